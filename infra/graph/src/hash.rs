//! Repeatable bits from a seed: ids, trace ids and the draws of faults.

/// Sixty-four bits of `seed` and `parts`. Equal input, equal bits, on every machine.
pub(super) fn bits(seed: u64, parts: &[&str]) -> u64 {
    let mut state = mixed(seed ^ 0x5197_11a7_0c0f_fee5);
    for part in parts {
        for byte in part.bytes() {
            state = mixed(state ^ u64::from(byte));
        }
        // The parts' borders count: ("ab", "c") is not ("a", "bc").
        state = mixed(state ^ 0x100);
    }
    state
}

/// A number in `[0, 1)`.
pub(super) fn fraction(seed: u64, parts: &[&str]) -> f64 {
    // The 53 bits that a double holds exactly.
    (bits(seed, parts) >> 11) as f64 / (1_u64 << 53) as f64
}

/// `length` characters as Meta's ids use them.
pub(super) fn text(seed: u64, parts: &[&str], length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = bits(seed, parts);
    let mut text = String::with_capacity(length);
    for _ in 0..length {
        text.push(char::from(ALPHABET[(state >> 58) as usize]));
        state = mixed(state);
    }
    text
}

/// Meta's ids of people: decimal, 15 digits here.
pub(super) fn digits(seed: u64, parts: &[&str]) -> String {
    format!("526{:012}", bits(seed, parts) % 1_000_000_000_000)
}

/// One step of a generator whose every step is a bijection, so that no bits are lost on the way.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_input_gives_equal_output_and_borders_count() {
        assert_eq!(text(1, &["a", "b"], 20), text(1, &["a", "b"], 20));
        assert_ne!(text(1, &["ab"], 20), text(1, &["a", "b"], 20));
        assert_ne!(text(1, &["a"], 20), text(2, &["a"], 20));
        assert_eq!(digits(1, &["a"]).len(), 15);
    }

    #[test]
    fn fractions_spread() {
        let below = (0..1000).filter(|n| fraction(7, &[&n.to_string()]) < 0.25).count();
        assert!((200..300).contains(&below), "{below}");
    }
}
