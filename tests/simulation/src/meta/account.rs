//! What Meta knows of an account that is kept up: its tokens, its subscription, and the comments
//! that it lists, in pages.

use std::collections::BTreeMap;
use std::time::Duration;

use spillway_core::id::{AccountId, CommentId, MediaId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_core::upkeep::{ALL_FIELDS, TOKEN_AGE_MIN};
use spillway_meta::graph::{CommentItem, Conversation, MediaItem, Page, Subscription};
use spillway_meta::webhook::{CommentEvent, Commenter};
use spillway_service::account::SealedToken;

use super::{Meta, Refusal, millis};
use crate::scenario::{
    AccountPlan, Asks, KeptUp, ListOrder, Listing, Post, Scenario, Surface, Told as Tells,
};
use crate::world::World;

/// What upkeep asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The next token.
    Refresh,
    /// Whom the token is for.
    Me,
    /// Whether it may read conversations.
    Conversations,
    /// Which webhooks the account is subscribed to.
    Subscription,
    /// To be subscribed to those that are needed.
    Subscribe,
    /// The newest media.
    Media,
    /// A page of a media's comments, behind another one.
    Comments(MediaId, Option<String>),
    /// The pictures of a media.
    Pictures,
}

/// What an answer tells.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    /// Nothing more.
    Nothing,
    /// The next token, and for how long it is good.
    Token(SealedToken, Duration),
    /// What the account is subscribed to.
    Subscription(Subscription),
    /// Media.
    Media(Page<MediaItem>),
    /// Comments.
    Comments(Page<CommentItem>),
    /// Pictures of a media: none is an album.
    Pictures,
    /// A conversation, if there is one.
    Conversation(Option<Conversation>),
}

/// An account that is kept up.
pub(super) struct KnownAccount {
    kept: KeptUp,
    /// Its tokens by number, with when each was issued and when it ends, in milliseconds since 1970
    /// as all instants here.
    tokens: BTreeMap<u64, (u64, u64)>,
    /// When its subscription has ended.
    losses: Vec<u64>,
    /// When it was subscribed.
    subscribed: Vec<u64>,
    /// Its comments by media, in the order in which they are made.
    comments: BTreeMap<MediaId, Vec<(u64, CommentId)>>,
}

/// A token lasts for so long.
const TOKEN_LASTS: u64 = 60 * 24 * 3_600_000;

/// The account's first token.
const FIRST_TOKEN: u64 = 1;

/// What of a listed author Meta leaves away, for one in so many.
pub(super) const UNNAMED: u64 = 4;

/// Whether Meta names the author of a comment that it leaves away for one in `so_many`.
pub(super) fn names(comment: &CommentId, so_many: u64) -> bool {
    comment.as_str().bytes().map(u64::from).sum::<u64>() % so_many != 0
}

/// A token as it is stored.
fn sealed(number: u64) -> SealedToken {
    SealedToken { key: 1, sealed: number.to_be_bytes().to_vec() }
}

/// The token that a kept-up account is connected with.
pub(crate) fn first_token() -> SealedToken {
    sealed(FIRST_TOKEN)
}

/// When a token was issued that ends at `ends`.
pub(crate) const fn issued_at(ends: u64) -> u64 {
    ends - TOKEN_LASTS
}

/// The account's name on Instagram.
fn username(account: &AccountId) -> String {
    format!("creator{account}")
}

fn number(token: &SealedToken) -> Option<u64> {
    token.sealed.as_slice().try_into().ok().map(u64::from_be_bytes)
}

impl KnownAccount {
    /// The accounts of a scenario that are kept up.
    pub(super) fn all(scenario: &Scenario) -> BTreeMap<AccountId, Self> {
        let known = |plan: &AccountPlan| Some((plan.id.clone(), Self::new(plan)?));
        scenario.accounts.iter().filter_map(known).collect()
    }

    fn new(plan: &AccountPlan) -> Option<Self> {
        let kept = plan.kept.clone()?;
        let mut comments: BTreeMap<MediaId, Vec<(u64, CommentId)>> = BTreeMap::new();
        for nth in 0..kept.listing.media {
            comments.insert(plan.media(nth), Vec::new());
        }
        // Comments on a broadcast are not listed with those on media.
        for comment in plan.comments.iter().filter(|comment| comment.surface == Surface::Post) {
            let of_media = comments.entry(plan.media_of(&comment.id)).or_default();
            of_media.push((comment.made_at, comment.id.clone()));
        }
        comments.values_mut().for_each(|comments| comments.sort());
        Some(Self {
            tokens: BTreeMap::from([(FIRST_TOKEN, (issued_at(kept.token_ends), kept.token_ends))]),
            losses: kept.losses.clone(),
            subscribed: Vec::new(),
            comments,
            kept,
        })
    }

    /// Whether it was subscribed at `at`.
    fn is_subscribed(&self, at: u64) -> bool {
        let last = |instants: &[u64]| instants.iter().copied().filter(|&one| one <= at).max();
        last(&self.losses).is_none_or(|lost| last(&self.subscribed) >= Some(lost))
    }

    /// Whether webhooks have stopped by themselves at `at`.
    fn is_silent(&self, at: u64) -> bool {
        let Some(from) = self.kept.silent_from.filter(|&from| from <= at) else { return false };
        !self.subscribed.iter().any(|one| (from..=at).contains(one))
    }

    fn media(&self, now: u64) -> Page<MediaItem> {
        let items = self.comments.iter().map(|(id, comments)| {
            let count = comments.iter().filter(|(made_at, _)| *made_at <= now).count() as u64;
            MediaItem {
                id: id.clone(),
                created_at: None,
                comments: self.kept.listing.tells_counts.then_some(count),
            }
        });
        Page { items: items.collect(), next: None }
    }

    /// The ids on a page, and where the next one begins. A cursor names the last comment of a page.
    fn page(
        &self,
        media: &MediaId,
        after: Option<&str>,
        now: u64,
    ) -> Result<(Vec<CommentId>, Option<String>), Refusal> {
        let Some(comments) = self.comments.get(media) else { return Err(Refusal::CommentGone) };
        let made = comments.iter().filter(|(made_at, _)| *made_at <= now).map(|(_, id)| id);
        let Listing { page, order, .. } = self.kept.listing;
        let listed: Vec<&CommentId> = match order {
            ListOrder::NewestFirst => made.rev().collect(),
            ListOrder::OldestFirst => made.collect(),
        };
        let from = match after {
            None => 0,
            Some(after) => {
                let last = listed.iter().position(|id| id.as_str() == after);
                last.map(|last| last + 1).ok_or(Refusal::BadRequest)?
            }
        };
        let items: Vec<CommentId> = listed.iter().skip(from).take(page).copied().cloned().collect();
        let is_last = from + items.len() >= listed.len();
        let next = items.last().filter(|_| !is_last).map(|id| id.as_str().to_owned());
        Ok((items, next))
    }
}

impl Meta {
    /// Whether the account is subscribed to its webhooks at `at`; an account that is not kept up
    /// always is.
    pub(crate) fn is_subscribed(&self, account: &AccountId, at: u64) -> bool {
        self.accounts.get(account).is_none_or(|known| known.is_subscribed(at))
    }

    /// Whether Meta delivered no webhook of the account at `at`, though it is subscribed.
    pub(crate) fn is_silent(&self, account: &AccountId, at: u64) -> bool {
        self.accounts.get(account).is_some_and(|known| known.is_silent(at))
    }

    /// When the token ends; `None` of one that Meta does not know.
    pub(crate) fn token_ends(&self, account: &AccountId, token: &SealedToken) -> Option<u64> {
        let known = self.accounts.get(account)?;
        known.tokens.get(&number(token)?).map(|&(_, ends)| ends)
    }

    /// The account's owner removes the app at `at`.
    pub(crate) fn withdraw(&mut self, account: &AccountId, at: u64) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.tokens.values_mut().for_each(|(_, ends)| *ends = at.min(*ends));
            known.losses.push(at);
        }
    }

    /// The account's owner logs in at `at`. Gives the token.
    pub(crate) fn log_in(&mut self, account: &AccountId, at: u64) -> SealedToken {
        let Some(known) = self.accounts.get_mut(account) else { return first_token() };
        let next = known.tokens.len() as u64 + FIRST_TOKEN;
        known.tokens.insert(next, (at, at + TOKEN_LASTS));
        sealed(next)
    }

    /// The account is subscribed at `at`.
    pub(crate) fn subscribe(&mut self, account: &AccountId, at: u64) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.subscribed.push(at);
        }
    }

    /// Meta ends the account's subscription at `at`, as its deliveries have failed for too long.
    pub(crate) fn unsubscribe(&mut self, account: &AccountId, at: u64) {
        if let Some(known) = self.accounts.get_mut(account) {
            known.losses.push(at);
        }
    }

    /// What Meta delivers of what there is to tell: nothing of an account that was not subscribed
    /// when the comment was made.
    pub(crate) fn delivers(&self, post: &Post) -> Option<Post> {
        let Tells::Comments(comments) = &post.what else { return Some(post.clone()) };
        let is_told = |comment: &&CommentEvent| {
            let made_at = self.made_at(&comment.id).unwrap_or(post.at);
            self.is_subscribed(&comment.account, made_at)
                && !self.is_silent(&comment.account, made_at)
        };
        let told: Vec<CommentEvent> = comments.iter().filter(is_told).cloned().collect();
        (!told.is_empty()).then_some(Post { at: post.at, what: Tells::Comments(told) })
    }

    fn item(&self, account: &AccountId, id: &CommentId) -> Option<CommentItem> {
        let plan = &self.comments.get(id)?.plan;
        let name = match plan.asks {
            Asks::Own => username(account),
            Asks::Wanted | Asks::Unwanted => "someone".to_owned(),
        };
        let is_named = names(id, UNNAMED);
        let from = is_named.then(|| Commenter {
            id: Some(RecipientId::new(plan.author.as_str())),
            username: Some(name.clone()),
        });
        Some(CommentItem {
            id: id.clone(),
            created_at: Some(Timestamp::from_secs(plan.made_at / 1000)),
            text: Some(plan.text().to_owned()),
            from,
            username: Some(name),
        })
    }
}

impl World {
    /// How Meta refuses a call with that token, where it does: one that has ended, or that it has
    /// not issued.
    pub(super) fn refuses_token(
        &self,
        account: &AccountId,
        token: &SealedToken,
    ) -> Option<Refusal> {
        let known = self.meta.accounts.get(account)?;
        let ends = number(token).and_then(|number| known.tokens.get(&number));
        ends.is_none_or(|&(_, ends)| ends <= self.now).then_some(Refusal::TokenDead)
    }

    /// Does what upkeep asks for.
    pub(super) fn keep(
        &mut self,
        account: &AccountId,
        token: &SealedToken,
        keep: &Keep,
    ) -> Result<Told, Refusal> {
        let now = self.now;
        if let Keep::Comments(_, Some(_)) = keep {
            let rate = self.scenario.rates.page_refused;
            let refused = self.scenario.account(account).and_then(|plan| plan.kept.as_ref());
            if refused.is_some_and(|kept| kept.pages_refused.contains(&now)) || self.strikes(rate) {
                return Err(Refusal::BadRequest);
            }
        }
        let Some(known) = self.meta.accounts.get_mut(account) else {
            return Err(Refusal::AccountUnseen);
        };
        Ok(match keep {
            Keep::Me | Keep::Conversations => Told::Nothing,
            Keep::Refresh => {
                let issued = number(token).and_then(|number| known.tokens.get(&number));
                let is_young =
                    issued.is_none_or(|&(issued, _)| now < issued + millis(TOKEN_AGE_MIN));
                if is_young {
                    return Err(Refusal::BadRequest);
                }
                let next = known.tokens.len() as u64 + FIRST_TOKEN;
                known.tokens.insert(next, (now, now + TOKEN_LASTS));
                Told::Token(sealed(next), Duration::from_millis(TOKEN_LASTS))
            }
            Keep::Subscription => Told::Subscription(if known.is_subscribed(now) {
                Subscription::Fields(ALL_FIELDS.map(str::to_owned).into())
            } else if known.losses.len().is_multiple_of(2) {
                // Some fields may be left, or none.
                Subscription::Fields(["messages".to_owned()].into())
            } else {
                Subscription::None
            }),
            Keep::Subscribe => {
                known.subscribed.push(now);
                Told::Nothing
            }
            Keep::Pictures => Told::Pictures,
            Keep::Media => Told::Media(known.media(now)),
            Keep::Comments(media, after) => {
                let (ids, next) = known.page(media, after.as_deref(), now)?;
                let items = ids.iter().filter_map(|id| self.meta.item(account, id)).collect();
                Told::Comments(Page { items, next })
            }
        })
    }
}

impl AccountPlan {
    /// How Meta names the account.
    pub(crate) fn username(&self) -> String {
        username(&self.id)
    }
}
