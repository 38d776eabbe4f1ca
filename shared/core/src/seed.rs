//! Seeds from text: the same parts give the same number in every process and version.

/// FNV-1a over the parts, each ended by a byte that UTF-8 never has, then mixed so that all bits
/// depend on all parts. Not for anything an attacker must not steer.
pub fn seed(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::seed;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(seed(&["ab", "c"]), seed(&["a", "bc"]));
        assert_eq!(seed(&["ab", "c"]), seed(&["ab", "c"]));
    }

    #[test]
    fn low_bits_are_spread() {
        let mut counts = [0; 4];
        for n in 0..4000 {
            counts[(seed(&[&n.to_string()]) % 4) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (900..1100).contains(&count)), "{counts:?}");
    }
}
