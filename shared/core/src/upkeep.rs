//! What an account needs beside its sends: a token that is renewed in time, a subscription that is
//! whole, and a look at what no webhook has told. Here is when each is due; `spillway-service` does
//! it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::campaign::{Campaign, Campaigns, Trigger};
use crate::conversation::Then;
use crate::id::MediaId;
use crate::send::REPLY_WINDOW;
use crate::time::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The webhook fields that Spillway lives on. An account gets all fields of its app.
pub const WEBHOOK_FIELDS: [&str; 3] = ["comments", "live_comments", "messages"];

/// The webhook fields that help, and that Meta may refuse: they are asked for apart, so that a
/// refusal never costs the others. Echoes tell whether an attempt without a clear answer arrived,
/// postbacks tell of taps on ice breakers and buttons, referrals of people who come by a link or ad.
pub const OPTIONAL_FIELDS: [&str; 3] =
    ["message_echoes", "messaging_postbacks", "messaging_referral"];

/// All of them. A subscription replaces the one before, so what is asked for apart names the others
/// as well.
pub const ALL_FIELDS: [&str; 6] = [
    "comments",
    "live_comments",
    "messages",
    "message_echoes",
    "messaging_postbacks",
    "messaging_referral",
];

/// Whether an account with these campaigns loses something without an optional field. Echoes are
/// wanted always.
pub fn is_of_use(optional: &str, campaigns: &Campaigns) -> bool {
    let is_on = |trigger| campaigns.iter().any(|campaign| campaign.is_on(trigger));
    match optional {
        "messaging_postbacks" => {
            let has_button =
                |campaign: &Campaign| campaign.then.as_ref().is_some_and(Then::has_postback);
            is_on(Trigger::Message) || campaigns.iter().any(has_button)
        }
        "messaging_referral" => is_on(Trigger::Referral),
        _ => true,
    }
}

/// Says what it costs that an account lacks an optional field.
pub fn cost_of_lacking(optional: &str) -> &'static str {
    match optional {
        "message_echoes" => {
            "whether an attempt without a clear answer has arrived is found out by reading the \
             conversation alone"
        }
        "messaging_postbacks" => "taps on ice breakers and buttons are not heard",
        _ => "people who come back by an ig.me link or an ad start nothing before they write",
    }
}

/// The time between two requests for optional fields that an account lacks.
const OPTIONAL_EVERY: Duration = DAY;

/// A token must be this old before Meta renews it (refresh_access_token, 17 July 2025).
pub const TOKEN_AGE_MIN: Duration = DAY;

/// A token with less time left than this is renewed: the last third of its 60 days.
pub const TOKEN_LEFT_MIN: Duration = Duration::from_secs(20 * 24 * 3600);

/// A token with less time left than this should have been renewed long before, so people are told.
pub const TOKEN_ENDING: Duration = Duration::from_secs(7 * 24 * 3600);

/// The time between two looks at an account's subscription: Meta may unsubscribe an account after
/// an hour of failed deliveries (Messenger webhooks).
pub const CHECK_EVERY: Duration = HOUR;

/// After so long without a webhook an account's comments are read once, and again each time so long
/// has passed: its webhooks may have stopped, or it may be night.
pub const QUIET_AFTER: Duration = Duration::from_secs(6 * 3600);

/// How long a webhook may be on its way, and how late the last-seen record may be written: a
/// comment that is older and that no webhook has reported was missed.
pub const HEARD_SLACK: Duration = Duration::from_secs(75 * 60);

/// The oldest comment that is looked for: younger ones can still be answered.
pub const BACKFILL_MAX: Duration = REPLY_WINDOW;

/// When its comments have so little time left, a backfill no longer waits for what is live.
const LAST_CHANCE: Duration = Duration::from_secs(2 * 24 * 3600);

/// How many times in a row a page may fail without a refusal before it counts as refused: an hour
/// of runs.
const PAGE_FAILURES_MAX: u32 = 4;

/// The longest wait until media that could not be read to the end are tried again. It begins at an
/// hour and doubles.
const UNFINISHED_WAIT_MAX: Duration = DAY;

/// The least that must be left of every quota of reads, in percent, for a read that can wait.
const HEADROOM_MIN: u8 = 50;

/// When a token was obtained and when it ends, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLife {
    /// The instant when it was obtained, or first seen.
    pub obtained_at: Option<Timestamp>,
    /// The instant when it ends. Where only the token was given, nobody knows before it is renewed.
    pub ends_at: Option<Timestamp>,
}

/// What is to be done about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenDuty {
    /// Nothing yet.
    Rest,
    /// Nobody has noted when it was obtained: it is now.
    Note,
    /// Ask for the next one.
    Renew,
    /// It has ended.
    Ended,
}

impl TokenLife {
    /// What is to be done at `now`, when the last try to renew it failed at `failed_at`.
    pub fn duty(&self, failed_at: Option<Timestamp>, now: Timestamp) -> TokenDuty {
        if self.ends_at.is_some_and(|ends| ends <= now) {
            return TokenDuty::Ended;
        }
        let Some(obtained_at) = self.obtained_at else { return TokenDuty::Note };
        let is_late = self.ends_at.is_none_or(|ends| ends.since(now) < TOKEN_LEFT_MIN);
        // One that nobody knows to end may be of a kind that is never renewed.
        let again_after = if self.ends_at.is_some() { HOUR } else { DAY };
        let may_try = failed_at.is_none_or(|failed| now.since(failed) >= again_after);
        if now.since(obtained_at) >= TOKEN_AGE_MIN && is_late && may_try {
            TokenDuty::Renew
        } else {
            TokenDuty::Rest
        }
    }

    /// Whether it ends so soon that people must know.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|ends| ends.since(now) < TOKEN_ENDING)
    }
}

/// What upkeep knows of an account from one visit to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Upkeep {
    /// The instant when the subscription was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked_at: Option<Timestamp>,
    /// The instant when the subscription was last found complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_at: Option<Timestamp>,
    /// The instant when the subscription was found missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_at: Option<Timestamp>,
    /// The instant when optional fields were last asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional_asked_at: Option<Timestamp>,
    /// The instant when renewing the token last failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_failed_at: Option<Timestamp>,
    /// The instant when that was last told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_told_at: Option<Timestamp>,
    /// Comments made since then may have been missed. They are read once the account is subscribed;
    /// it is written down before that, since afterwards nothing tells of it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_since: Option<Timestamp>,
    /// Since when the token is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_since: Option<Timestamp>,
    /// Since when comments are found that no webhook has told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Timestamp>,
    /// The instant when comments were last read to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// The latest request for a backfill, or notice of a deauthorisation, that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// See `asked_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deauthorized_at: Option<Timestamp>,
    /// The account's name on Instagram: its own comments are not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The account as the app alone names it: so Meta's requests about it do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_scoped: Option<String>,
    /// The backfill under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
    /// How many comments each media had when they were last read to the end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<MediaId, u64>,
    /// Media whose comments Meta has refused to list to the end. They are tried again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unfinished: BTreeMap<MediaId, Unfinished>,
    /// The media that campaigns name, and what each was found to be.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen_media: BTreeMap<MediaId, SeenMedia>,
    /// The instant when all of them were last known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_known_at: Option<Timestamp>,
}

/// What a media was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenMedia {
    /// It has no pictures, and never will.
    Single,
    /// An album, which was asked for its pictures then.
    Album(Timestamp),
    /// Meta refused to tell then.
    Refused(Timestamp),
}

/// How long the pictures of an album are taken for all that it has.
const ALBUM_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

impl SeenMedia {
    /// Whether it need not be asked at `now`. Pictures of an album may have been forgotten with the
    /// account's settings.
    pub fn is_fresh(&self, now: Timestamp, are_pictures_known: bool) -> bool {
        match self {
            Self::Single => true,
            Self::Album(at) => are_pictures_known && now.since(*at) < ALBUM_KEPT,
            Self::Refused(at) => now.since(*at) < DAY,
        }
    }
}

/// A media whose comments could not be read to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Comments made before this are known, or too old.
    pub since: Timestamp,
    /// The instant when a backfill last found no new comment. Webhooks report those made after this.
    pub until: Timestamp,
    /// How many backfills have failed to read it to the end.
    pub tries: u32,
    /// The instant when it is tried again.
    pub again_at: Timestamp,
}

/// Reading the comments of the recent past. It is written down after each page, so that a run that
/// is killed is gone on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Comments made before this are known, or too old.
    pub since: Timestamp,
    /// The instant when it began.
    pub begun_at: Timestamp,
    /// Why it is done.
    pub reason: Reason,
    /// The media that are left; `None` before they are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<Vec<MediaCursor>>,
    /// Comments read so far.
    #[serde(default)]
    pub read: u32,
    /// Of these, those that a campaign wants and that were not known.
    #[serde(default)]
    pub found: u32,
    /// Media that could not be read to the end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unfinished: u32,
    /// Whether it reads nothing but media that an earlier one could not read to the end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_unfinished: bool,
}

pub(crate) fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Why comments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No webhook for a while: are there comments?
    Quiet,
    /// Webhooks have stopped: reading takes their place.
    Silent,
    /// The account was not subscribed.
    Resubscribed,
    /// Somebody asked.
    Asked,
}

/// A media whose comments are to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaCursor {
    /// The id of the media.
    pub id: MediaId,
    /// Where the next page begins; `None` for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many comments it had when it was listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comments: Option<u64>,
    /// Since when its comments are looked for, where that is longer ago than for the other media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether it is read from the newest comment again, as Meta refused to go on behind a page.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restarted: bool,
    /// How many times in a row its next page brought neither comments nor a refusal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
}

/// What follows from a page of comments that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFailure {
    /// The same page is tried again by the next run.
    TryAgain,
    /// The media is read from its newest comment again.
    Restart,
    /// The backfill leaves the media unfinished and goes on with the others.
    Leave,
}

impl MediaCursor {
    /// The first page of a media.
    pub fn new(id: MediaId, comments: Option<u64>, since: Option<Timestamp>) -> Self {
        Self { id, after: None, comments, since, restarted: false, failures: 0 }
    }

    /// Takes note that the next page could not be read. A page that fails often counts as refused,
    /// so that it does not keep the other media unread.
    pub fn fail(&mut self, is_refused: bool) -> AfterFailure {
        self.failures += 1;
        if !is_refused && self.failures < PAGE_FAILURES_MAX {
            return AfterFailure::TryAgain;
        }
        if self.after.is_none() || self.restarted {
            return AfterFailure::Leave;
        }
        (self.after, self.restarted, self.failures) = (None, true, 0);
        AfterFailure::Restart
    }
}

impl Upkeep {
    /// Whether optional fields that the account lacks are to be asked for at `now`: once a day.
    pub fn may_ask_for_optional(&self, now: Timestamp) -> bool {
        self.optional_asked_at.is_none_or(|asked| now.since(asked) >= OPTIONAL_EVERY)
    }

    /// Whether the subscription is to be looked at.
    pub fn must_check(&self, now: Timestamp) -> bool {
        self.checked_at.is_none_or(|checked| now.since(checked) >= CHECK_EVERY)
    }

    /// The backfill that should begin now, if one should: of an account that webhooks have not told
    /// of for a while, or of media that an earlier one could not read to the end.
    pub fn look(&self, last_seen: Option<Timestamp>, now: Timestamp) -> Option<Backfill> {
        if self.backfill.is_some() {
            return None;
        }
        self.look_at_quiet(last_seen, now).or_else(|| self.look_at_unfinished(now))
    }

    /// `last_seen` is when a webhook last told of the account, or might have at the latest; without
    /// it nothing can have stopped.
    fn look_at_quiet(&self, last_seen: Option<Timestamp>, now: Timestamp) -> Option<Backfill> {
        let last_seen = last_seen?;
        let since = self.missed_since(Some(last_seen))?;
        let (reason, every) = match self.silent_since {
            Some(_) => (Reason::Silent, CHECK_EVERY),
            None => (Reason::Quiet, QUIET_AFTER),
        };
        let is_quiet = now.since(last_seen) >= every;
        let is_due = self.read_at.is_none_or(|read| now.since(read) >= every);
        (is_quiet && is_due).then(|| Backfill::new(reason, since, now))
    }

    fn look_at_unfinished(&self, now: Timestamp) -> Option<Backfill> {
        let media: Vec<MediaCursor> = self
            .due_unfinished(now)
            .map(|(id, left)| MediaCursor::new(id.clone(), None, Some(left.since)))
            .collect();
        let since = media.iter().filter_map(|media| media.since).min()?;
        let backfill = Backfill::new(Reason::Quiet, since, now);
        Some(Backfill { media: Some(media), only_unfinished: true, ..backfill })
    }

    /// The unfinished media that are to be tried again by now.
    pub fn due_unfinished(&self, now: Timestamp) -> impl Iterator<Item = (&MediaId, &Unfinished)> {
        self.unfinished.iter().filter(move |(_, left)| left.again_at <= now)
    }

    /// When there is something to do again after a visit at `now` that has left nothing undone: the
    /// next look at the subscription, or the next try of unfinished media if that comes first.
    pub fn due_after(&self, now: Timestamp) -> Timestamp {
        let tries = self.unfinished.values().map(|left| left.again_at);
        tries.filter(|&at| at > now).fold(now + CHECK_EVERY, Timestamp::min)
    }

    /// Takes note that `backfill` could not read the comments of a media to the end.
    pub fn leave_unfinished(&mut self, media: &MediaCursor, backfill: &Backfill, now: Timestamp) {
        // The next look must not take it for read.
        self.counts.remove(&media.id);
        let known = self.unfinished.get(&media.id);
        let tries = known.map_or(0, |left| left.tries) + 1;
        let until = match known {
            Some(left) if backfill.only_unfinished => left.until,
            _ => backfill.begun_at,
        };
        let wait = HOUR.saturating_mul(1 << (tries - 1).min(16)).min(UNFINISHED_WAIT_MAX);
        let left =
            Unfinished { since: backfill.since_of(media), until, tries, again_at: now + wait };
        self.unfinished.insert(media.id.clone(), left);
    }

    /// Forgets unfinished media whose missed comments are too old to be answered.
    pub fn forget_unfinished(&mut self, now: Timestamp) {
        self.unfinished.retain(|_, left| now.since(left.until) < BACKFILL_MAX);
    }

    /// Since when comments may have been missed by an account whose token was connected since its
    /// subscription was last found whole: nobody could look at it while the old token was dead, and
    /// connecting subscribes it again.
    pub fn missed_before(
        &self,
        connected: TokenLife,
        last_seen: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let whole_at = self.whole_at?;
        let is_newer = connected.obtained_at.is_none_or(|obtained| obtained > whole_at);
        // Webhooks may have stopped before, and what is read counts as all that there is.
        if is_newer { self.missed_since(last_seen) } else { None }
    }

    /// Since when comments may have been missed by an account that was found unsubscribed or
    /// silent: since the last webhook that came, as Meta had failed to deliver others before it
    /// gave up, or since they were read. A webhook that came after the subscription was last found
    /// whole may have been late, and tells nothing of the comments before it.
    pub fn missed_since(&self, last_seen: Option<Timestamp>) -> Option<Timestamp> {
        let told_until = [last_seen, self.whole_at].into_iter().flatten().min()?;
        Some(told_until.max(self.read_at.unwrap_or_default()) - HEARD_SLACK)
    }

    /// Since when comments may have been missed by an account of which webhooks come again, which
    /// was found silent at `silent_since`: since they were read, or since they are being read.
    pub fn missed_in_silence(&self, silent_since: Timestamp) -> Timestamp {
        let reading_since = self.backfill.as_ref().map(|backfill| backfill.begun_at);
        self.read_at.or(reading_since).unwrap_or(silent_since) - HEARD_SLACK
    }
}

impl Backfill {
    /// One that has read nothing yet, of comments made since `since` that can still be answered.
    pub fn new(reason: Reason, since: Timestamp, now: Timestamp) -> Self {
        let since = since.max(now - BACKFILL_MAX);
        Self {
            since,
            begun_at: now,
            reason,
            media: None,
            read: 0,
            found: 0,
            unfinished: 0,
            only_unfinished: false,
        }
    }

    /// Since when comments of a media are looked for.
    pub fn since_of(&self, media: &MediaCursor) -> Timestamp {
        media.since.map_or(self.since, |since| since.min(self.since))
    }

    /// Whether comments are looked for that were made then on this media.
    pub fn wants(&self, media: &MediaCursor, created_at: Timestamp, now: Timestamp) -> bool {
        created_at >= self.since_of(media) && now.since(created_at) < BACKFILL_MAX
    }

    /// Whether it may read now: `headroom` is what is left of the quota of reads that has least
    /// left, `Traffic` what else the account has to do. Live traffic goes first, unless what is
    /// looked for would soon be too late.
    pub fn may_read(&self, headroom: u8, traffic: Traffic, now: Timestamp) -> bool {
        let left = (self.since + BACKFILL_MAX).since(now);
        match traffic {
            Traffic::Idle => headroom >= HEADROOM_MIN,
            Traffic::Busy => left < LAST_CHANCE && headroom > 0,
        }
    }
}

/// Whether sends of an account wait for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// None does.
    Idle,
    /// Some do.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn days(n: u32) -> Duration {
        n * DAY
    }

    #[test]
    fn taps_are_of_use_where_messages_begin_something_or_buttons_are_answers() {
        let is_of_use = |rest: &str| {
            let campaign = format!(r#"{{ "id": "a", "messages": ["Hi"]{rest} }}"#);
            let campaign: Campaign = serde_json::from_str(&campaign).unwrap();
            is_of_use("messaging_postbacks", &Campaigns::new([campaign]))
        };
        let with_button = |button: &str| {
            format!(r#", "then": {{ "deliver": [{{ "text": "Here", "buttons": [{button}] }}] }}"#)
        };
        assert!(!is_of_use(r#", "keywords": ["guide"]"#));
        assert!(is_of_use(r#", "on": ["message"]"#));
        assert!(is_of_use(r#", "then": { "follow": { "ask": ["Follow me"], "button": "I do" } }"#));
        assert!(is_of_use(&with_button(r#"{ "title": "More" }"#)));
        assert!(!is_of_use(&with_button(r#"{ "title": "Open", "url": "https://example.com" }"#)));
    }

    #[test]
    fn a_token_is_renewed_after_a_day_and_in_its_last_twenty() {
        let life =
            |age, left| TokenLife { obtained_at: Some(NOW - age), ends_at: Some(NOW + left) };
        let duty = |life: TokenLife| life.duty(None, NOW);
        assert_eq!(duty(life(days(1), days(59))), TokenDuty::Rest);
        assert_eq!(duty(life(days(40), days(20))), TokenDuty::Rest);
        assert_eq!(duty(life(days(40), days(20) - HOUR)), TokenDuty::Renew);
        assert_eq!(duty(life(days(1) - HOUR, days(5))), TokenDuty::Rest, "too young");
        assert_eq!(duty(life(days(60), Duration::ZERO)), TokenDuty::Ended);
        let failed = |ago| life(days(50), days(10)).duty(Some(NOW - ago), NOW);
        assert_eq!(failed(HOUR / 2), TokenDuty::Rest);
        assert_eq!(failed(HOUR), TokenDuty::Renew);
        assert!(life(days(54), days(6)).is_ending(NOW));
        assert!(!life(days(50), days(10)).is_ending(NOW));
    }

    #[test]
    fn a_token_that_nobody_knows_to_end_is_renewed_when_it_has_been_seen_for_a_day() {
        let unknown = TokenLife::default();
        assert_eq!(unknown.duty(None, NOW), TokenDuty::Note);
        let seen = TokenLife { obtained_at: Some(NOW - DAY), ends_at: None };
        assert_eq!(seen.duty(None, NOW), TokenDuty::Renew);
        assert_eq!(seen.duty(Some(NOW - HOUR), NOW), TokenDuty::Rest);
        assert_eq!(seen.duty(Some(NOW - DAY), NOW), TokenDuty::Renew);
    }

    #[test]
    fn a_quiet_account_is_looked_at_four_times_a_day_and_a_silent_one_hourly() {
        let mut upkeep = Upkeep::default();
        assert_eq!(upkeep.look(None, NOW), None, "nothing can have stopped");
        let heard = Some(NOW - QUIET_AFTER);
        assert_eq!(upkeep.look(Some(NOW - HOUR), NOW), None);
        let look = upkeep.look(heard, NOW).unwrap();
        assert_eq!((look.reason, look.since), (Reason::Quiet, NOW - QUIET_AFTER - HEARD_SLACK));
        upkeep.read_at = Some(NOW - HOUR);
        assert_eq!(upkeep.look(heard, NOW), None);
        upkeep.silent_since = Some(NOW - HOUR);
        let look = upkeep.look(heard, NOW).unwrap();
        assert_eq!((look.reason, look.since), (Reason::Silent, NOW - HOUR - HEARD_SLACK));
        upkeep.backfill = Some(look);
        assert_eq!(upkeep.look(heard, NOW), None, "one at a time");
    }

    #[test]
    fn an_account_that_was_unsubscribed_has_missed_all_since_it_was_last_heard_of() {
        let mut upkeep = Upkeep::default();
        assert_eq!(upkeep.missed_since(None), None, "nothing is known to have been missed");
        upkeep.whole_at = Some(NOW - HOUR);
        assert_eq!(upkeep.missed_since(None), Some(NOW - HOUR - HEARD_SLACK));
        let heard = Some(NOW - DAY);
        assert_eq!(upkeep.missed_since(heard), Some(NOW - DAY - HEARD_SLACK));
        upkeep.read_at = Some(NOW - 2 * HOUR);
        assert_eq!(upkeep.missed_since(heard), Some(NOW - 2 * HOUR - HEARD_SLACK));
    }

    #[test]
    fn a_webhook_that_may_have_been_late_tells_nothing_of_the_comments_before_it() {
        let mut upkeep = Upkeep { whole_at: Some(NOW - 4 * HOUR), ..Upkeep::default() };
        let late = Some(NOW - HOUR);
        assert_eq!(upkeep.missed_since(late), Some(NOW - 4 * HOUR - HEARD_SLACK));
        let look = upkeep.look(late, NOW + QUIET_AFTER).unwrap();
        assert_eq!(look.since, NOW - 4 * HOUR - HEARD_SLACK);
        upkeep.whole_at = Some(NOW);
        assert_eq!(upkeep.missed_since(late), Some(NOW - HOUR - HEARD_SLACK));
    }

    #[test]
    fn an_account_that_was_connected_again_has_missed_all_since_it_was_last_found_subscribed() {
        let mut upkeep = Upkeep::default();
        let obtained = |at| TokenLife { obtained_at: Some(at), ends_at: None };
        let heard = Some(NOW);
        assert_eq!(upkeep.missed_before(obtained(NOW), heard), None, "it is connected first");
        upkeep.whole_at = Some(NOW - HOUR);
        assert_eq!(upkeep.missed_before(obtained(NOW - days(1)), heard), None);
        let renewed = upkeep.missed_before(obtained(NOW - HOUR), heard);
        assert_eq!(renewed, None, "renewed on that visit");
        let since = Some(NOW - HOUR - HEARD_SLACK);
        assert_eq!(upkeep.missed_before(obtained(NOW), heard), since);
        let unknown = upkeep.missed_before(TokenLife::default(), heard);
        assert_eq!(unknown, since, "nobody has noted when");
        let heard = Some(NOW - 3 * HOUR);
        let since = Some(NOW - 3 * HOUR - HEARD_SLACK);
        assert_eq!(upkeep.missed_before(obtained(NOW), heard), since, "webhooks may have stopped");
    }

    #[test]
    fn a_backfill_looks_no_further_back_than_can_be_answered() {
        let backfill = Backfill::new(Reason::Asked, Timestamp::EPOCH, NOW);
        assert_eq!(backfill.since, NOW - BACKFILL_MAX);
        let media = MediaCursor::new("179".into(), None, None);
        assert!(backfill.wants(&media, NOW - days(6), NOW));
        assert!(!backfill.wants(&media, NOW - days(7), NOW));
        let later = NOW + DAY;
        assert!(!backfill.wants(&media, backfill.since, later), "its time has run out since");
    }

    #[test]
    fn a_backfill_waits_for_what_is_live_until_its_last_chance() {
        let backfill = Backfill::new(Reason::Resubscribed, NOW - DAY, NOW);
        assert!(backfill.may_read(50, Traffic::Idle, NOW));
        assert!(!backfill.may_read(49, Traffic::Idle, NOW));
        assert!(!backfill.may_read(100, Traffic::Busy, NOW));
        assert!(backfill.may_read(1, Traffic::Busy, NOW + days(5)));
        assert!(!backfill.may_read(0, Traffic::Busy, NOW + days(5)));
    }

    #[test]
    fn unfinished_media_are_tried_again_until_nothing_of_them_can_be_answered() {
        let mut upkeep = Upkeep::default();
        let backfill = Backfill::new(Reason::Resubscribed, NOW - DAY, NOW);
        let media = MediaCursor::new("179".into(), Some(7), None);
        upkeep.counts.insert(media.id.clone(), 7);
        upkeep.leave_unfinished(&media, &backfill, NOW);
        assert!(upkeep.counts.is_empty(), "it does not count as read");
        assert_eq!(upkeep.look(None, NOW), None);
        let look = upkeep.look(None, NOW + HOUR).unwrap();
        assert_eq!((look.since, look.only_unfinished), (NOW - DAY, true));
        let again = &look.media.as_ref().unwrap()[0];
        assert_eq!(again, &MediaCursor::new("179".into(), None, Some(NOW - DAY)));
        upkeep.leave_unfinished(again, &look, NOW + HOUR);
        assert_eq!(upkeep.look(None, NOW + 2 * HOUR), None, "it waits twice as long");
        assert!(upkeep.look(None, NOW + 3 * HOUR).is_some());
        upkeep.forget_unfinished(NOW + BACKFILL_MAX - HOUR);
        assert_eq!(upkeep.unfinished.len(), 1);
        upkeep.forget_unfinished(NOW + BACKFILL_MAX);
        assert_eq!(upkeep.look(None, NOW + BACKFILL_MAX), None);
    }

    #[test]
    fn a_page_that_cannot_be_read_starts_its_media_again_once() {
        let first = MediaCursor::new("179".into(), None, None);
        assert_eq!(first.clone().fail(true), AfterFailure::Leave);
        let mut later = MediaCursor { after: Some("QVFI".into()), ..first };
        for _ in 1..PAGE_FAILURES_MAX {
            assert_eq!(later.fail(false), AfterFailure::TryAgain);
        }
        assert_eq!(later.fail(false), AfterFailure::Restart);
        assert_eq!((&later.after, later.failures), (&None, 0));
        later.after = Some("QVFJ".into());
        assert_eq!(later.fail(true), AfterFailure::Leave);
    }

    #[test]
    fn an_album_is_asked_again_after_a_week_and_a_single_post_never() {
        let fresh = |seen: SeenMedia, days: u32| seen.is_fresh(NOW + days * DAY, true);
        assert!(fresh(SeenMedia::Single, 400));
        assert!(fresh(SeenMedia::Album(NOW), 6) && !fresh(SeenMedia::Album(NOW), 7));
        assert!(fresh(SeenMedia::Refused(NOW), 0) && !fresh(SeenMedia::Refused(NOW), 1));
        assert!(!SeenMedia::Album(NOW).is_fresh(NOW, false), "the account was connected again");
    }

    #[test]
    fn what_upkeep_knows_may_grow() {
        let old = r#"{"checked_at":1790000000000,"of_a_newer_version":1}"#;
        let read: Upkeep = serde_json::from_str(old).unwrap();
        assert_eq!(read, Upkeep { checked_at: Some(NOW), ..Upkeep::default() });
        assert_eq!(serde_json::to_string(&Upkeep::default()).unwrap(), "{}");
    }
}
