//! Identifiers that look random and are not: the same seed gives the same ids in the same order.

/// Spreads a counter over all 64 bits. Different inputs give different outputs.
pub(crate) fn mix(value: u64) -> u64 {
    let mut bits = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A source of ids in the shape of UUIDs.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    seed: u64,
    made: u64,
}

impl Ids {
    /// A source of its own: sources of different seeds do not give the same ids.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: mix(seed), made: 0 }
    }

    /// The next id.
    pub(crate) fn next_uuid(&mut self) -> String {
        self.made += 1;
        let high = mix(self.seed ^ self.made);
        let low = mix(high ^ self.seed.rotate_left(32));
        // The version and variant bits of a random UUID, so that parsers accept it.
        let high = high & !0xf000 | 0x4000;
        let low = low & !(0b11 << 62) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_repeat_with_the_seed_and_with_nothing_else() {
        let take = |seed| {
            let mut ids = Ids::new(seed);
            (0..1000).map(|_| ids.next_uuid()).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        let all: HashSet<_> = take(7).into_iter().chain(take(8)).collect();
        assert_eq!(all.len(), 2000);
        for id in all {
            assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        }
    }
}
