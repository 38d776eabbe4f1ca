//! Public replies: which comments take one, which there are, and what a read of them lists.

use std::collections::BTreeMap;

use spillway_core::id::{AccountId, CommentId, OnceKey, RecipientId, SendId};
use spillway_core::send::Outcome;
use spillway_core::time::Timestamp;
use spillway_meta::graph::{CommentItem, Page};
use spillway_meta::webhook::{CommentEvent, CommentKind, Commenter};

use super::Refusal;
use crate::scenario::{Nature, Post, SENT, Surface, Told};
use crate::world::World;

/// The public replies of all comments.
#[derive(Default)]
pub(crate) struct PublicReplies {
    /// What the last call for each comment said.
    said: BTreeMap<CommentId, String>,
    /// Those that were made.
    made: BTreeMap<CommentId, Vec<Made>>,
    count: u64,
}

struct Made {
    id: CommentId,
    at: u64,
    text: String,
}

impl PublicReplies {
    /// How many replies a comment has.
    pub(crate) fn of(&self, comment: &CommentId) -> usize {
        self.made.get(comment).map_or(0, Vec::len)
    }
}

impl World {
    /// What the next public reply to a comment says.
    pub(crate) fn says_in_public(&mut self, comment: &CommentId, text: &str) {
        self.meta.public.said.insert(comment.clone(), text.to_owned());
    }

    /// A public reply is asked for.
    pub(super) fn reply_in_public(
        &mut self,
        account: &AccountId,
        comment: &CommentId,
    ) -> Result<(), Refusal> {
        let text = self.meta.public.said.get(comment).cloned().unwrap_or_default();
        self.check_public_reply(account, comment, &text);
        let now = self.now;
        let hidden = self.scenario.is_hidden(comment);
        let known = self.meta.comments.get(comment).map(|known| known.plan.clone());
        let Some(plan) = known else { return Err(Refusal::CommentGone) };
        if let Nature::Refused(Refusal::CommentGone, from) = plan.nature
            && from <= now
        {
            return Err(Refusal::CommentGone);
        }
        if hidden || plan.surface != Surface::Post {
            return Err(Refusal::BadRequest);
        }
        let public = &mut self.meta.public;
        public.count += 1;
        let id = CommentId::new(format!("1777{:09}", public.count));
        let made = public.made.entry(comment.clone()).or_default();
        made.push(Made { id: id.clone(), at: now, text: text.clone() });
        let replies = made.len();
        if replies > 1 {
            self.broken(format!("there are {replies} public replies under {comment}"));
        }
        self.tell_reply(account, comment, id, text);
        Ok(())
    }

    /// It comes back as a comment of the account's own.
    fn tell_reply(
        &mut self,
        account: &AccountId,
        comment: &CommentId,
        id: CommentId,
        text: String,
    ) {
        let event = CommentEvent {
            account: account.clone(),
            notified_at: None,
            kind: CommentKind::Comment,
            id,
            from: Some(Commenter {
                id: Some(RecipientId::new(account.as_str())),
                username: Some("guide".into()),
            }),
            // It contains the keyword: an account that answered its own reply would never stop.
            text: Some(format!("{text} guide")),
            media: None,
            original_media: None,
            ad: None,
            parent: Some(comment.clone()),
        };
        self.meta.own_comments.push(Post { at: self.now, what: Told::Comments(vec![event]) });
    }

    /// The account's own comments that Meta tells of from now on.
    pub(crate) fn own_comments(&mut self) -> Vec<Post> {
        std::mem::take(&mut self.meta.own_comments)
    }

    /// A public reply says what became of the DM, which is known.
    fn check_public_reply(&mut self, account: &AccountId, comment: &CommentId, text: &str) {
        let send = self.send_of(account, comment);
        let ended = self.tables.entries.get(&send).and_then(|entry| entry.ended());
        let says_sent = SENT
            .iter()
            .any(|sent| sent.split(',').next().is_some_and(|begin| text.starts_with(begin)));
        let problem = match ended {
            None => Some("its DM has not ended".to_owned()),
            Some((Outcome::Sent { .. }, _)) if !says_sent => Some("its DM was sent".to_owned()),
            Some((Outcome::Sent { .. }, _)) => None,
            Some((outcome @ (Outcome::Failed { .. } | Outcome::Expired), _)) if says_sent => {
                Some(format!("its DM ended as {outcome:?}"))
            }
            Some((Outcome::Failed { .. } | Outcome::Expired, _)) => None,
            Some((Outcome::Cancelled { .. }, _)) => Some("its DM was cancelled".to_owned()),
        };
        if let Some(problem) = problem {
            self.broken(format!("«{text}» is said under {comment}, and {problem}"));
        }
    }

    /// What a read of the replies to a comment lists: the account's own, and others'.
    pub(super) fn replies_to(&self, account: &AccountId, comment: &CommentId) -> Page<CommentItem> {
        let item = |id: &CommentId, at: u64, from: &str, text: &str| CommentItem {
            id: id.clone(),
            created_at: Some(Timestamp::from_secs(at / 1000)),
            text: Some(text.to_owned()),
            from: Some(Commenter { id: Some(RecipientId::new(from)), username: None }),
            username: None,
        };
        let own = self.meta.public.made.get(comment).into_iter().flatten();
        let own = own.map(|made| item(&made.id, made.at, account.as_str(), &made.text));
        let other = item(&CommentId::new("1776"), self.now, "5999", "me too");
        Page { items: own.chain([other]).collect(), next: None }
    }

    /// Checks what became of the public reply to a comment, at the end of a run.
    pub(crate) fn check_public_end(&mut self, account: &AccountId, comment: &CommentId) {
        let key = OnceKey::public_reply(comment);
        let reply = SendId { account: account.clone(), key };
        let entry = self.tables.entries.get(&reply).and_then(|entry| entry.ended());
        let made = self.meta.public.of(comment);
        let problem = match entry {
            _ if made > 1 => Some(format!("there are {made} public replies")),
            None if made > 0 => Some("a public reply was made without a send".to_owned()),
            Some((Outcome::Sent { .. }, _)) if made == 0 => {
                Some("its public reply counts as sent, and is not there".to_owned())
            }
            Some((Outcome::Expired, _)) if made > 0 => {
                Some("its public reply was made, and counts as expired".to_owned())
            }
            None | Some(_) => None,
        };
        let problem = problem.or_else(|| self.missing_reply(account, comment));
        if let Some(problem) = problem {
            self.broken(format!("{comment}: {problem}"));
        }
    }

    /// Where the store answers, each DM that has landed on a post is followed by a public reply.
    fn missing_reply(&self, account: &AccountId, comment: &CommentId) -> Option<String> {
        let plan = &self.meta.comments.get(comment)?.plan;
        let campaign = self.scenario.account(account)?.campaigns.first()?;
        if self.has_store_trouble() || plan.surface != Surface::Post {
            return None;
        }
        let send = self.send_of(account, comment);
        let entry = self.tables.entries.get(&send)?;
        let (outcome, _) = entry.ended()?;
        let is_sent = matches!(outcome, Outcome::Sent { .. });
        let key = OnceKey::public_reply(comment);
        let reply = SendId { account: account.clone(), key };
        let is_missing = !self.tables.entries.contains_key(&reply);
        // An echo may come after the DM has ended as unknown.
        let is_wanted = is_sent && !campaign.public_replies.is_empty() && !self.was_closed(&send);
        (is_missing && is_wanted).then(|| "its DM has landed, and no public reply follows".into())
    }
}
