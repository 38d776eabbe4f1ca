//! The stamp of a message: Meta returns it as `message.metadata` in the message's echo, which so
//! names the send that it belongs to.

use crate::id::OnceKey;

/// What every stamp begins with. Other tools of the account stamp their messages differently.
const PREFIX: &str = "spillway:";

/// Divides the key from the variant. No key has one.
const DIVIDER: char = '#';

/// The longest stamp that is taken for one, in bytes. Meta takes 1,000 characters.
const BYTES_MAX: usize = 512;

/// The send that a message was made for. It names no person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The key of the send in its account.
    pub key: OnceKey,
    /// Which of the campaign's texts the message has, if that is known.
    pub variant: Option<u8>,
}

impl Stamp {
    /// Writes the stamp as `spillway:`, the key and the variant.
    pub fn encode(&self) -> String {
        let variant = self.variant.map(|variant| format!("{DIVIDER}{variant}"));
        format!("{PREFIX}{}{}", self.key, variant.unwrap_or_default())
    }

    /// Reads what [`encode`](Self::encode) has written. `None` for anything else: another app, or
    /// nobody, has stamped the message.
    pub fn decode(metadata: &str) -> Option<Self> {
        let stamp = metadata.strip_prefix(PREFIX).filter(|_| metadata.len() <= BYTES_MAX)?;
        let (key, variant) = match stamp.split_once(DIVIDER) {
            Some((key, variant)) => (key, Some(variant.parse().ok()?)),
            None => (stamp, None),
        };
        let is_key = !key.is_empty() && key.chars().all(|c| !c.is_control() && c != '/');
        is_key.then(|| Self { key: OnceKey::new(key), variant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back() {
        for variant in [None, Some(0), Some(255)] {
            for key in ["17890000000000001", "s.step.p.1.2"] {
                let stamp = Stamp { key: key.into(), variant };
                assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
            }
        }
        let stamp = Stamp { key: "178".into(), variant: Some(2) };
        assert_eq!(stamp.encode(), "spillway:178#2");
    }

    #[test]
    fn what_others_write_is_no_stamp() {
        let long = format!("spillway:{}", "1".repeat(600));
        for other in [
            "",
            "178",
            "spillway:",
            "spillway:#1",
            "spillway:1#x",
            "spillway:1#256",
            "spillway:1/2",
            &long,
        ] {
            assert_eq!(Stamp::decode(other), None, "{other}");
        }
    }
}
