//! What a drill came to: what each trouble did, and that nobody was left out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use spillway_core::id::AccountId;
use spillway_core::journal::Event;
use spillway_core::time::Timestamp;

use super::days::{DayReport, Wrong};
use super::picture;
use super::strike::Happened;
use super::trouble::Trouble;
use super::{Drill, START};
use crate::report::{Entry, Report};
use crate::story::trace::Said;

/// The report object. `wanted = sent + waiting + failed + unknown + expired + lost`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DrillReport {
    /// Comments that must each get one DM.
    pub wanted: u64,
    /// Of these, those that got it.
    pub sent: u64,
    /// Not ended yet.
    pub waiting: u64,
    /// Given up. No trouble here is a reason to.
    pub failed: u64,
    /// Meta's servers failed, so that nobody knew whether the DM was made: it was not, and a person
    /// decides whether it is made again.
    pub unknown: u64,
    /// Too late, within the limits.
    pub expired: u64,
    /// Nobody knows of them, and they got none. Must be 0.
    pub lost: u64,
    /// DMs beyond the first, and calls for one although the answer to the first was heard and could
    /// be recorded (of those, Meta refuses the DM). Must be 0.
    pub twice: u64,
    /// Calls made over a limit, as the judge counted. Must be 0.
    pub violations: u64,
    /// Sends recorded as sent that the judge never accepted, and the other way round. Must be 0.
    pub disagreements: u64,
    /// Calls of the Graph API.
    pub graph_calls: u64,
    /// What it was drawn from.
    pub seed: u64,
    /// What each trouble did.
    pub troubles: Vec<TroubleReport>,
    /// Each day, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<DayReport>,
    /// When Meta told nothing of an account, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unheard: Vec<UnheardReport>,
}

/// What a trouble did. Times are in seconds since the first day's start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TroubleReport {
    /// Which.
    pub trouble: Trouble,
    /// Whose; everybody's without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// When it began.
    pub begin_s: f64,
    /// When it ended.
    pub end_s: f64,
    /// How often it struck: requests, calls, deliveries or invocations that it let fail.
    pub struck: u64,
    /// Wanted comments made while it lasted.
    pub comments: u64,
    /// DMs that people got while it lasted.
    pub sent: u64,
    /// Comments that waited for theirs at its end.
    pub waiting: u64,
    /// Comments lost from its beginning until the next trouble's. Must be 0.
    pub lost: u64,
    /// When the last comment made while it lasted had its DM. Unknown outcomes are left out.
    pub caught_up_s: Option<f64>,
    /// When Meta gave up telling of an account, the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribed_s: Option<f64>,
    /// When Meta told of all such accounts again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resubscribed_s: Option<f64>,
    /// When upkeep had renewed the token that was near its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewed_s: Option<f64>,
}

/// A time in which Meta told nothing of an account, in seconds since the first day's start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnheardReport {
    /// Which.
    pub account: AccountId,
    /// When Meta unsubscribed it.
    pub begin_s: f64,
    /// When it was subscribed again.
    pub end_s: Option<f64>,
}

/// What became of a wanted comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent(Timestamp),
    Waiting,
    Failed,
    Unknown,
    Expired,
    Lost,
}

/// Each wanted comment's fate: a DM that arrived counts, whatever the stores say.
pub(super) async fn fates(drill: &Drill) -> Result<Vec<(Timestamp, Fate)>> {
    let entries = Entry::all(&drill.stack).await?.into_iter();
    let entries: HashMap<String, (String, bool)> =
        entries.map(|entry| (entry.answers, (entry.state, entry.is_unknown))).collect();
    let fate = |said: &Said| {
        let comment = &said.comment;
        if let Some(at) = drill.stack.graph.answered_at(&comment.id, &comment.account) {
            return Fate::Sent(at);
        }
        let entry = entries.get(&format!("{}/{}", comment.account, comment.id));
        match entry.map(|(state, is_unknown)| (state.as_str(), *is_unknown)) {
            Some(("waiting", _)) => Fate::Waiting,
            Some(("failed", true)) => Fate::Unknown,
            Some(("failed", false)) => Fate::Failed,
            Some(("expired", _)) => Fate::Expired,
            _ => Fate::Lost,
        }
    };
    let wanted = drill.comments.iter().filter(|said| said.is_wanted);
    Ok(wanted.map(|said| (said.comment.created_at, fate(said))).collect())
}

impl DrillReport {
    /// Takes the report of a drill as of now.
    pub(super) async fn of(drill: &Drill) -> Result<Self> {
        let fates = fates(drill).await?;
        let count =
            |is: fn(&Fate) -> bool| fates.iter().filter(|(_, fate)| is(fate)).count() as u64;
        let story = Report::of(&drill.stack).await?;
        let graph = &drill.stack.graph;
        let judged = graph.report();
        let sent = count(|fate| matches!(fate, Fate::Sent(_)));
        let repeated: Vec<Timestamp> = judged
            .duplicate_calls
            .iter()
            .filter(|call| {
                let first = graph.answered_at(&call.comment_id, &call.account);
                first.is_none_or(|first| !drill.may_be_unrecorded(first))
            })
            .map(|call| Timestamp::from_millis(call.at_ms))
            .collect();
        let over: Vec<Timestamp> =
            judged.violations.iter().map(|call| Timestamp::from_millis(call.at_ms)).collect();
        let is_long = drill.days > 1;
        let unheard = drill.unheard.iter().filter(|_| is_long).map(|gap| UnheardReport {
            account: drill.account(gap.account).clone(),
            begin_s: since_start(gap.from),
            end_s: gap.until.map(since_start),
        });
        Ok(Self {
            wanted: fates.len() as u64,
            sent,
            waiting: count(|fate| *fate == Fate::Waiting),
            failed: count(|fate| *fate == Fate::Failed),
            unknown: count(|fate| *fate == Fate::Unknown),
            expired: count(|fate| *fate == Fate::Expired),
            lost: count(|fate| *fate == Fate::Lost),
            twice: judged.accepted.saturating_sub(sent) + repeated.len() as u64,
            violations: story.violations.max(graph.recount().len() as u64),
            disagreements: story.disagreements,
            graph_calls: judged.calls,
            seed: drill.seed,
            troubles: drill.trouble_reports(&fates).await?,
            days: if is_long {
                DayReport::all(drill.days, &fates, &Wrong { repeated, over })
            } else {
                Vec::new()
            },
            unheard: unheard.collect(),
        })
    }

    /// Whether nothing was lost, given up, doubled or over a limit.
    pub fn is_clean(&self) -> bool {
        let Self { waiting, failed, lost, twice, violations, disagreements, .. } = self;
        [waiting, failed, lost, twice, violations, disagreements].iter().all(|&&count| count == 0)
    }

    /// The report for people.
    pub fn render(&self) -> String {
        let mut out = if self.days.is_empty() { self.table() } else { picture::draw(self) };
        let rows = [
            ("comments wanted", self.wanted, ""),
            ("DMs sent", self.sent, ""),
            ("expired", self.expired, "too late, within the limits"),
            ("waiting", self.waiting, ""),
            ("failed", self.failed, "given up"),
            ("unknown", self.unknown, "after a 5xx nobody can tell; here none was made"),
            ("lost", self.lost, "neither sent nor known"),
            ("DMs twice", self.twice, "as the simulated Meta counted"),
            ("over a limit", self.violations, "calls, by its exact log"),
            ("disagreements", self.disagreements, "between its log and the stores"),
            ("Graph calls", self.graph_calls, ""),
        ];
        out.push('\n');
        for (name, count, note) in rows {
            let _ = writeln!(out, "{}", format!("{name:<16}{count:>6}   {note}").trim_end());
        }
        out
    }

    /// A row for each trouble.
    fn table(&self) -> String {
        let mut out = format!(
            "{:<14}{:<44}{:>7}{:>10}{:>6}{:>9}{:>6}  caught up\n",
            "when", "trouble", "struck", "comments", "sent", "waiting", "lost"
        );
        for trouble in &self.troubles {
            let TroubleReport { begin_s, end_s, struck, comments, sent, waiting, lost, .. } =
                trouble;
            let when = format!("{} - {}", clock(*begin_s), clock(*end_s));
            let what = trouble.trouble.what();
            let caught_up = trouble.caught_up_s.map_or_else(|| "never".to_owned(), clock);
            let _ = writeln!(
                out,
                "{when:<14}{what:<44}{struck:>7}{comments:>10}{sent:>6}{waiting:>9}{lost:>6}  {caught_up:>9}"
            );
            if let Some(lost) = trouble.unsubscribed_s {
                let again = match trouble.resubscribed_s {
                    Some(again) => format!("subscribed again at {}", clock(again)),
                    None => "never subscribed again".to_owned(),
                };
                let _ = writeln!(out, "{:<14}unsubscribed by Meta at {}, {again}", "", clock(lost));
            }
        }
        out
    }
}

impl Drill {
    async fn trouble_reports(&self, fates: &[(Timestamp, Fate)]) -> Result<Vec<TroubleReport>> {
        let mut reports = Vec::new();
        for (nth, happened) in self.troubles.iter().enumerate() {
            let next = self.troubles.get(nth + 1).map(|next| next.begin);
            let from = if nth == 0 { Timestamp::EPOCH } else { happened.begin };
            let report = happened.report(fates, from, next.unwrap_or(Timestamp::NEVER));
            let gaps = || self.unheard.iter().filter(|gap| self.cause(gap.from) == Some(nth));
            let back: Option<Vec<Timestamp>> = gaps().map(|gap| gap.until).collect();
            reports.push(TroubleReport {
                account: happened.account.map(|account| self.account(account).clone()),
                unsubscribed_s: gaps().map(|gap| gap.from).min().map(since_start),
                resubscribed_s: back.and_then(|back| back.into_iter().max()).map(since_start),
                renewed_s: self.renewed_at(happened).await?.map(since_start),
                ..report
            });
        }
        Ok(reports)
    }

    /// The trouble for which Meta has unsubscribed an account then.
    fn cause(&self, unsubscribed: Timestamp) -> Option<usize> {
        self.troubles.iter().rposition(|happened| {
            happened.trouble.fails_deliveries() && happened.begin <= unsubscribed
        })
    }

    /// When the account's journal says that upkeep has renewed the token of this trouble.
    async fn renewed_at(&self, happened: &Happened) -> Result<Option<Timestamp>> {
        let (Trouble::Renewal, Some(account)) = (happened.trouble, happened.account) else {
            return Ok(None);
        };
        let journal = &self.outside.journal;
        let lines = journal.list(self.account(account), happened.begin, usize::MAX).await?;
        let renewed = lines.iter().filter(|line| {
            matches!(line.what, Event::TokenRefreshed { .. }) && line.at <= happened.end
        });
        Ok(renewed.map(|line| line.at).min())
    }
}

impl Happened {
    /// `from` and `until` bound the comments whose loss is put down to it.
    fn report(
        &self,
        fates: &[(Timestamp, Fate)],
        from: Timestamp,
        until: Timestamp,
    ) -> TroubleReport {
        let (begin, end) = (self.begin, self.end);
        let within = |at: Timestamp| at >= begin && at < end;
        let count = |is: &dyn Fn(Timestamp, Fate) -> bool| {
            fates.iter().filter(|(made, fate)| is(*made, *fate)).count() as u64
        };
        // Nothing more becomes of what nobody knows.
        let during = fates.iter().filter(|(made, fate)| within(*made) && *fate != Fate::Unknown);
        let answered: Option<Vec<Timestamp>> = during
            .map(|(_, fate)| match fate {
                Fate::Sent(at) => Some(*at),
                _ => None,
            })
            .collect();
        TroubleReport {
            trouble: self.trouble,
            account: None,
            begin_s: since_start(begin),
            end_s: since_start(end),
            struck: self.struck,
            comments: count(&|made, _| within(made)),
            sent: count(&|_, fate| matches!(fate, Fate::Sent(at) if within(at))),
            waiting: count(&|made, fate| made < end && !matches!(fate, Fate::Sent(at) if at < end)),
            lost: count(&|made, fate| made >= from && made < until && fate == Fate::Lost),
            caught_up_s: answered
                .map(|answered| since_start(answered.into_iter().max().unwrap_or(end))),
            unsubscribed_s: None,
            resubscribed_s: None,
            renewed_s: None,
        }
    }
}

fn since_start(at: Timestamp) -> f64 {
    at.since(START).as_secs_f64()
}

/// Hours and minutes since the day's start.
pub(super) fn clock(seconds: f64) -> String {
    let minutes = Duration::from_secs_f64(seconds).as_secs() / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
