//! Which of a campaign's texts a send gets: chosen by the send's own seed, never the same twice
//! running.
//!
//! The last text used is stored with the budget's write, so this costs nothing.

use crate::id::SendId;
use crate::seed::seed;
use crate::send::{CampaignStep, Content};

/// The text that each campaign used last. It rides on the budget's write, so that it costs none
/// of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Newest first: a campaign's hash and the variant it used.
    last: Vec<(u32, u8)>,
}

/// Campaigns remembered; an account rarely has more running at once, and one forgotten may repeat
/// a text once.
const CAMPAIGNS_MAX: usize = 8;

impl Rotation {
    /// Chooses one of `variants` (at least 1, at most 255) texts for `send` and remembers it.
    pub fn pick(&mut self, content: &Content, send: &SendId, variants: usize) -> usize {
        let variants = variants.clamp(1, 255);
        if variants == 1 {
            return 0;
        }
        let campaign = &content.campaign;
        let key = match content.step {
            CampaignStep::Opening => seed(&[campaign.as_str()]) as u32,
            step => seed(&[campaign.as_str(), &step.to_string()]) as u32,
        };
        let known = self.last.iter().position(|&(hash, _)| hash == key);
        let last = known.map(|at| usize::from(self.last.remove(at).1));
        let draw = seed(&[send.account.as_str(), send.key.as_str(), campaign.as_str()]);
        let picked = match last {
            // One of the others: count past the last one.
            Some(last) if variants > 1 && last < variants => {
                let step = 1 + draw % (variants as u64 - 1);
                (last + step as usize) % variants
            }
            _ => (draw % variants as u64) as usize,
        };
        self.last.insert(0, (key, picked as u8));
        self.last.truncate(CAMPAIGNS_MAX);
        picked
    }

    /// Five bytes a campaign, for the store.
    pub fn encode(&self) -> Vec<u8> {
        self.last
            .iter()
            .flat_map(|(key, variant)| key.to_be_bytes().into_iter().chain([*variant]))
            .collect()
    }

    /// Reads [`Self::encode`]. What is left over at the end is ignored: a forgotten text may be
    /// repeated once, which is no reason to stop.
    pub fn decode(bytes: &[u8]) -> Self {
        let entry = |chunk: &[u8; 5]| {
            let [a, b, c, d, variant] = *chunk;
            (u32::from_be_bytes([a, b, c, d]), variant)
        };
        let (chunks, _) = bytes.as_chunks::<5>();
        Self { last: chunks.iter().map(entry).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CampaignId;

    fn send(n: u32) -> SendId {
        SendId { account: "a".into(), key: n.to_string().as_str().into() }
    }

    #[test]
    fn never_the_same_twice_running_and_all_are_used() {
        for variants in 2..6 {
            let mut rotation = Rotation::default();
            let campaign = Content::opening("guide");
            let picks: Vec<_> =
                (0..500).map(|n| rotation.pick(&campaign, &send(n), variants)).collect();
            assert!(picks.windows(2).all(|pair| pair[0] != pair[1]));
            assert!((0..variants).all(|variant| picks.contains(&variant)));
        }
    }

    #[test]
    fn campaigns_between_do_not_matter() {
        let mut rotation = Rotation::default();
        let (a, b) = (Content::opening("a"), Content::opening("b"));
        for n in 0..100 {
            let first = rotation.pick(&a, &send(n), 2);
            rotation.pick(&b, &send(n), 3);
            assert_ne!(first, rotation.pick(&a, &send(n + 1000), 2));
        }
    }

    #[test]
    fn one_text_is_always_that_one() {
        let mut rotation = Rotation::default();
        assert!((0..9).all(|n| rotation.pick(&Content::opening("x"), &send(n), 1) == 0));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut rotation = Rotation::default();
        for n in 0..20 {
            rotation.pick(&Content::opening(CampaignId::new(n.to_string())), &send(n), 7);
        }
        assert_eq!(Rotation::decode(&rotation.encode()), rotation);
    }
}
