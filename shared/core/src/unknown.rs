//! Attempts whose outcome is unknown, and the evidence that resolves them.
//!
//! An error of Meta's servers may come after the DM was delivered, and Meta then accepts a repeat
//! for the same comment (seen on 23 August 2026). So nothing is repeated on the belief that it did
//! not arrive. A send waits with [`UnknownAttempt`] as its stage until its echo comes, until a read
//! of the conversation shows it, or until there is evidence that it is absent. Only this evidence
//! allows a repeat, and only one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::budget::GrantId;
use crate::time::Timestamp;

/// No conversation is read earlier than this after an attempt: Meta lists a message with a delay.
pub const FIRST_LOOK: Duration = Duration::from_secs(120);

/// The least time between two reads that both have to show a message as absent. Also the time
/// within which an echo comes, if it comes at all.
pub const ABSENT_FOR: Duration = Duration::from_secs(600);

/// An echo of another send is evidence for an attempt if both were made within this time.
const ECHO_AROUND: Duration = Duration::from_secs(600);

/// A message of a conversation lies around an attempt if it was made within this time of it.
const LISTED_AROUND: Duration = Duration::from_secs(3600);

/// The call of an attempt may have begun this long before its outcome was known to be unknown: the
/// longest invocation of the sender is 30 s, and clocks and whole seconds add a few.
const CALL_MAX: Duration = Duration::from_secs(40);

/// Meta makes a message during its call. A little later is allowed for.
const MADE_WITHIN: Duration = Duration::from_secs(60);

/// A watch for echoes stays open for this long after an attempt: those of sends made within
/// `ECHO_AROUND` have come by then.
pub const WATCH_FOR: Duration = Duration::from_secs(1800);

/// An attempt that may have reached the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnknownAttempt {
    /// The instant when its call was over.
    pub tried_at: Timestamp,
    /// The conversation is not read before this instant.
    pub look_at: Timestamp,
    /// The instant of the first read that showed the conversation without this message.
    pub absent_at: Option<Timestamp>,
}

impl UnknownAttempt {
    /// An attempt whose call was over at `tried_at`.
    pub fn new(tried_at: Timestamp) -> Self {
        Self { tried_at, look_at: tried_at + FIRST_LOOK, absent_at: None }
    }

    /// The next instant after `now` at which there may be something new to decide on.
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let instants = [self.look_at, self.tried_at + ABSENT_FOR];
        instants.into_iter().filter(|&at| at > now).min()
    }

    /// The next read: ten minutes later, then in growing steps. An attempt of seven days ago was
    /// looked for about ten times.
    fn later(&self, now: Timestamp) -> Timestamp {
        now + now.since(self.tried_at).max(ABSENT_FOR)
    }
}

/// What is known about an attempt, beside how long ago it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing new.
    None,
    /// The account's echoes come: those of other sends made around then have arrived.
    Echoes,
    /// A successful read of the conversation.
    Read(Reading),
}

/// What a read of a conversation shows of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The message, by Meta's id.
    Found(String),
    /// Other messages around the attempt, and not this one.
    Absent,
    /// Neither: no conversation, no message around the attempt, or one whose text is not told.
    Nothing,
}

/// How often a send is repeated by itself after evidence that an attempt did not arrive: once, or
/// never. So nobody gets more than one surplus DM, whatever Meta does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryUnknown {
    /// Never: nobody gets a surplus DM, and somebody may get none.
    Never,
    /// Once.
    #[default]
    Once,
}

impl RetryUnknown {
    /// Reads `0` or `1`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "0" => Some(Self::Never),
            "1" => Some(Self::Once),
            _ => None,
        }
    }

    /// Returns how many repeats are left after so many.
    pub const fn left(self, repeats: u32) -> u32 {
        match self {
            Self::Never => 0,
            Self::Once => 1_u32.saturating_sub(repeats),
        }
    }
}

/// What becomes of an attempt whose outcome is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// It reached the person, as the message with this id.
    Sent(String),
    /// It did not, and is repeated.
    RepeatOnce,
    /// It stays unknown for now.
    AskAgainAt(UnknownAttempt),
    /// It stays unknown for good: its time is over.
    Unknown,
}

/// Decides on an attempt at `now`. Its send ends at `ends_at`, and may be repeated `repeats_left`
/// times.
pub fn resolve(
    attempt: &UnknownAttempt,
    evidence: Evidence,
    now: Timestamp,
    ends_at: Timestamp,
    repeats_left: u32,
) -> Resolved {
    let is_absent = match evidence {
        Evidence::Read(Reading::Found(message)) => return Resolved::Sent(message),
        _ if ends_at <= now => return Resolved::Unknown,
        Evidence::Echoes => now >= attempt.tried_at + ABSENT_FOR,
        Evidence::Read(Reading::Absent) => {
            attempt.absent_at.is_some_and(|first| now >= first + ABSENT_FOR)
        }
        Evidence::Read(Reading::Nothing) | Evidence::None => false,
    };
    if is_absent && repeats_left > 0 {
        return Resolved::RepeatOnce;
    }
    let is_shown_absent = evidence == Evidence::Read(Reading::Absent);
    let is_first =
        is_shown_absent && attempt.absent_at.is_none() && now >= attempt.tried_at + FIRST_LOOK;
    let look_at = if is_first { now + ABSENT_FOR } else { attempt.later(now) };
    Resolved::AskAgainAt(UnknownAttempt {
        look_at: look_at.min(ends_at),
        absent_at: attempt.absent_at.or(is_first.then_some(now)),
        ..*attempt
    })
}

/// A message of a conversation, as a read lists it.
#[derive(Clone, Copy)]
pub struct ListedMessage<'a> {
    /// Meta's id.
    pub id: &'a str,
    /// The instant when it was made.
    pub made_at: Timestamp,
    /// Whether the account sent it.
    pub is_own: bool,
    /// Its text, if Meta told it.
    pub text: Option<&'a str>,
}

impl Reading {
    /// A word for it, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Absent => "absent",
            Self::Nothing => "nothing",
        }
    }

    /// Looks for an attempt among the messages of the conversation with its person, newest first or
    /// in any order. `texts` are the texts that it may have had. `is_whole` says whether there are
    /// no older messages than those listed.
    pub fn of(
        attempt: &UnknownAttempt,
        listed: &[ListedMessage<'_>],
        is_whole: bool,
        texts: &[String],
    ) -> Self {
        let began = attempt.tried_at - CALL_MAX;
        let around = attempt.tried_at - LISTED_AROUND..=attempt.tried_at + LISTED_AROUND;
        let texts: Vec<String> = texts.iter().map(|text| comparable(text)).collect();
        let may_be_it = |message: &&ListedMessage<'_>| {
            message.is_own && message.made_at >= began && around.contains(&message.made_at)
        };
        let mut is_doubtful = false;
        for message in listed.iter().filter(may_be_it) {
            let is_like_it = message.text.map(|text| texts.contains(&comparable(text)));
            let is_in_time = message.made_at <= attempt.tried_at + MADE_WITHIN;
            match is_like_it {
                Some(true) if is_in_time => return Self::Found(message.id.to_owned()),
                // Another send to this person may have made it, or this one, later than any other.
                Some(true) | None => is_doubtful = true,
                Some(false) => {}
            }
        }
        let reaches_back = is_whole || listed.iter().any(|message| message.made_at < began);
        let shows_others = listed.iter().any(|message| around.contains(&message.made_at));
        if shows_others && reaches_back && !is_doubtful { Self::Absent } else { Self::Nothing }
    }
}

/// Whether two texts are the same, but for what a server may have changed about one of them.
pub fn is_same_text(one: &str, other: &str) -> bool {
    comparable(one) == comparable(other)
}

/// The text without what a server may have changed about it: case, white space and punctuation. A
/// text that has nothing else is compared as it is.
fn comparable(text: &str) -> String {
    let letters: String =
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if letters.is_empty() { text.trim().to_owned() } else { letters }
}

/// Notes for which minutes an account's messages have come back as echoes, while an attempt of it
/// is unknown. Nothing is written while none is: so an echo costs a DM no write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EchoWatch {
    /// The version, raised by every write.
    pub version: u64,
    /// Its last write.
    pub grant: GrantId,
    /// Echoes are noted until this instant.
    pub until: Timestamp,
    /// The minutes since 1970 in which messages were made whose echoes have come.
    pub minutes: BTreeSet<u64>,
}

/// Minutes that are remembered: those of a watch that is opened again and again for two hours.
const MINUTES_MAX: usize = 120;

impl EchoWatch {
    /// The watch after an attempt at `now` whose outcome is unknown; `None` if it is open for about
    /// as long already.
    pub fn opened(&self, now: Timestamp, grant: GrantId) -> Option<Self> {
        let until = now + WATCH_FOR;
        (self.until + Duration::from_secs(60) < until).then(|| self.next(grant, until))
    }

    /// The watch after echoes of messages that were made at these instants; `None` if nobody asks
    /// for them, or they say nothing new.
    pub fn noted(&self, made_at: &[Timestamp], now: Timestamp, grant: GrantId) -> Option<Self> {
        if now >= self.until {
            return None;
        }
        let mut next = self.next(grant, self.until);
        next.minutes.extend(made_at.iter().map(|&at| minute(at)));
        while next.minutes.len() > MINUTES_MAX {
            next.minutes.pop_first();
        }
        (next.minutes != self.minutes).then_some(next)
    }

    fn next(&self, grant: GrantId, until: Timestamp) -> Self {
        Self { version: self.version + 1, grant, until, minutes: self.minutes.clone() }
    }

    /// Whether echoes of messages that were made around `tried_at` have come. The one that is
    /// missed has no part in it: its echo would have ended its send.
    pub fn shows_around(&self, tried_at: Timestamp) -> bool {
        let first = minute(tried_at - ECHO_AROUND) + 1;
        self.minutes.range(first..minute(tried_at + ECHO_AROUND)).next().is_some()
    }
}

fn minute(at: Timestamp) -> u64 {
    at.as_secs() / 60
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const TRIED: Timestamp = Timestamp::from_secs(1_790_000_000);
    const ENDS: Timestamp = Timestamp::from_secs(1_790_600_000);

    fn attempt() -> UnknownAttempt {
        UnknownAttempt::new(TRIED)
    }

    fn absent() -> Evidence {
        Evidence::Read(Reading::Absent)
    }

    #[test]
    fn two_reads_ten_minutes_apart_show_that_it_is_absent() {
        let first = TRIED + 2 * MINUTE;
        let Resolved::AskAgainAt(once) = resolve(&attempt(), absent(), first, ENDS, 1) else {
            panic!("one read is not enough")
        };
        assert_eq!((once.absent_at, once.look_at), (Some(first), first + 10 * MINUTE));
        let early = resolve(&once, absent(), first + 9 * MINUTE, ENDS, 1);
        assert!(matches!(early, Resolved::AskAgainAt(again) if again.absent_at == Some(first)));
        let second = first + 10 * MINUTE;
        assert_eq!(resolve(&once, absent(), second, ENDS, 1), Resolved::RepeatOnce);
        assert!(matches!(resolve(&once, absent(), second, ENDS, 0), Resolved::AskAgainAt(_)));
        let nothing = Evidence::Read(Reading::Nothing);
        assert!(matches!(resolve(&once, nothing, second, ENDS, 1), Resolved::AskAgainAt(_)));
        let late = Resolved::Sent("m".into());
        let found = Evidence::Read(Reading::Found("m".into()));
        assert_eq!(resolve(&once, found, ENDS, ENDS, 0), late, "also after its time");
    }

    #[test]
    fn a_read_within_two_minutes_shows_nothing() {
        let now = TRIED + Duration::from_secs(119);
        let again = resolve(&attempt(), absent(), now, ENDS, 1);
        assert!(matches!(again, Resolved::AskAgainAt(again) if again.absent_at.is_none()));
    }

    #[test]
    fn echoes_of_others_show_it_after_ten_minutes() {
        let at = |now| resolve(&attempt(), Evidence::Echoes, now, ENDS, 1);
        assert!(matches!(at(TRIED + Duration::from_secs(599)), Resolved::AskAgainAt(_)));
        assert_eq!(at(TRIED + 10 * MINUTE), Resolved::RepeatOnce);
        assert_eq!(at(ENDS), Resolved::Unknown);
    }

    #[test]
    fn without_evidence_it_is_asked_for_ever_more_rarely_and_ends_unknown() {
        let (mut now, mut attempt, mut asked) = (TRIED + FIRST_LOOK, attempt(), 0);
        loop {
            match resolve(&attempt, Evidence::Read(Reading::Nothing), now, ENDS, 1) {
                Resolved::AskAgainAt(next) => {
                    assert!(next.look_at > now && next.look_at <= ENDS);
                    (now, attempt, asked) = (next.look_at, next, asked + 1);
                }
                resolved => break assert_eq!((resolved, now), (Resolved::Unknown, ENDS)),
            }
        }
        assert!((8..=14).contains(&asked), "{asked}");
    }

    fn listed<'a>(seconds: i64, is_own: bool, text: Option<&'a str>) -> ListedMessage<'a> {
        let made_at = Timestamp::from_secs(TRIED.as_secs().saturating_add_signed(seconds));
        ListedMessage { id: "m1", made_at, is_own, text }
    }

    fn read(messages: &[ListedMessage<'_>]) -> Reading {
        Reading::of(&attempt(), messages, true, &["Hi Ana! Here: https://a.b/c".to_owned()])
    }

    #[test]
    fn a_message_is_known_by_its_text() {
        let ours = listed(-1, true, Some("hi ana!  here: https://a.b/c"));
        assert_eq!(read(&[ours]), Reading::Found("m1".into()));
        let theirs = ListedMessage { is_own: false, ..ours };
        assert_eq!(read(&[theirs]), Reading::Absent, "the person quotes it");
        assert_eq!(read(&[listed(-300, true, ours.text)]), Reading::Absent, "an earlier one");
        assert_eq!(read(&[listed(300, true, ours.text)]), Reading::Nothing, "perhaps a later one");
    }

    #[test]
    fn only_a_conversation_with_messages_around_the_attempt_is_evidence() {
        let theirs = |seconds| listed(seconds, false, Some("guide"));
        assert_eq!(read(&[]), Reading::Nothing);
        assert_eq!(read(&[theirs(-7 * 86_400)]), Reading::Nothing);
        assert_eq!(read(&[theirs(7200)]), Reading::Nothing);
        assert_eq!(read(&[theirs(-60)]), Reading::Absent);
        assert_eq!(read(&[theirs(60), listed(5, true, Some("something else"))]), Reading::Absent);
        assert_eq!(read(&[theirs(60), listed(5, true, None)]), Reading::Nothing, "it may be it");
        let newest = [theirs(60)];
        let part = Reading::of(&attempt(), &newest, false, &[]);
        assert_eq!(part, Reading::Nothing, "it may be on the next page");
    }

    #[test]
    fn echoes_are_noted_only_while_somebody_asks() {
        let id = GrantId::new(1, 1);
        let closed = EchoWatch::default();
        assert_eq!(closed.noted(&[TRIED], TRIED, id), None);
        let open = closed.opened(TRIED, id).unwrap();
        assert_eq!(open.opened(TRIED + MINUTE, id), None, "open for as long");
        assert!(!open.shows_around(TRIED));
        let noted = open.noted(&[TRIED + MINUTE], TRIED + MINUTE, id).unwrap();
        assert_eq!(noted.noted(&[TRIED + MINUTE], TRIED + 2 * MINUTE, id), None, "known");
        assert!(noted.shows_around(TRIED));
        assert!(noted.shows_around(TRIED + 10 * MINUTE));
        assert!(!noted.shows_around(TRIED + 12 * MINUTE));
        assert!(!noted.shows_around(TRIED - 10 * MINUTE));
        assert_eq!(noted.noted(&[TRIED], TRIED + WATCH_FOR, id), None, "over");
    }

    #[test]
    fn a_watch_keeps_the_last_minutes() {
        let id = GrantId::new(1, 1);
        let mut watch = EchoWatch { until: Timestamp::NEVER, ..EchoWatch::default() };
        for nth in 0..500 {
            watch = watch.noted(&[TRIED + MINUTE * nth], TRIED, id).unwrap();
        }
        assert_eq!(watch.minutes.len(), MINUTES_MAX);
        assert!(watch.shows_around(TRIED + 499 * MINUTE) && !watch.shows_around(TRIED));
        assert_eq!(watch.noted(&[TRIED], TRIED, id), None, "older than all that are kept");
    }

    proptest! {
        /// Whatever is read whenever: a repeat takes the evidence, the time and the permission.
        #[test]
        fn a_repeat_takes_evidence(
            asked in prop::collection::vec((0_u64..700_000, 0_u8..4), 1..20),
            repeats_left in 0_u32..2,
        ) {
            let mut asked = asked;
            asked.sort_unstable();
            let mut attempt = attempt();
            let mut first: Option<u64> = None;
            for (after, kind) in asked {
                let evidence = match kind {
                    0 => Evidence::None,
                    1 => Evidence::Read(Reading::Nothing),
                    2 => Evidence::Echoes,
                    _ => absent(),
                };
                let now = TRIED + Duration::from_secs(after);
                let is_due = kind == 2 && after >= 600
                    || kind == 3 && first.is_some_and(|first| after >= first + 600);
                match resolve(&attempt, evidence, now, ENDS, repeats_left) {
                    Resolved::RepeatOnce => {
                        prop_assert!(is_due && repeats_left == 1 && now < ENDS);
                        break;
                    }
                    Resolved::AskAgainAt(next) => {
                        prop_assert!(!is_due || repeats_left == 0);
                        attempt = next;
                    }
                    Resolved::Unknown => prop_assert!(now >= ENDS),
                    Resolved::Sent(_) => prop_assert!(false, "nothing was found"),
                }
                if kind == 3 && after >= 120 {
                    first = first.or(Some(after));
                }
            }
        }
    }
}
