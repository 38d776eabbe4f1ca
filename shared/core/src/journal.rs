//! An account's journal: what happened to it, for people to read. Sends are not in it; each has a
//! history of its own.

use serde::{Deserialize, Serialize};

use crate::hold::HoldCause;
use crate::id::{AccountId, CampaignId, MediaId};
use crate::meta_error::MetaError;
use crate::quota::Tier;
use crate::time::Timestamp;
use crate::upkeep::is_zero;

/// One line of an account's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// The instant when it happened, by the clock of the process that wrote it down.
    pub at: Timestamp,
    /// To which account.
    pub account: AccountId,
    /// What happened.
    pub what: Event,
}

/// Something that happened to an account. A kind that this version does not know reads as
/// [`Event::Unknown`], so that going back by one version is possible.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It was connected, or connected again with a new token.
    Connected {
        /// The instant when the token ends; unknown where only the token was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_ends: Option<Timestamp>,
    },
    /// A new token has worked, and has taken the old one's place.
    TokenRefreshed {
        /// The instant when the new one ends.
        token_ends: Timestamp,
    },
    /// No new token could be had, or the new one did not work; the old one is still used. It is
    /// tried again by itself.
    TokenRefreshFailed {
        /// Meta's answer in a few words, or that there was none.
        reason: String,
        /// The instant when the token in use ends, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_ends: Option<Timestamp>,
    },
    /// The token has ended or was withdrawn: only a new login helps.
    TokenDead,
    /// The account's owner has removed the app in Instagram.
    Deauthorized,
    /// The account was no longer subscribed to these webhook fields.
    SubscriptionLost {
        /// The missing fields.
        fields: Vec<String>,
    },
    /// It is subscribed to its webhook fields again.
    Resubscribed,
    /// Comments were found that no webhook has told of.
    Silent {
        /// The last webhook, where one was seen.
        #[serde(rename = "last_seen", default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Timestamp>,
    },
    /// Webhooks come again.
    HeardAgain,
    /// A human wrote to somebody in the account's name, so nothing else writes to that person for a
    /// while. Told at most once an hour.
    HumanWrote {
        /// Until when, if they do not write again.
        until: Timestamp,
    },
    /// The comments of the recent past were read, to the end but for those of `unfinished` media.
    Backfilled {
        /// Since when.
        since: Timestamp,
        /// Comments that were read.
        read: u32,
        /// Of these, those that a campaign wants and no webhook had told of.
        found: u32,
        /// Media whose comments Meta refused to list to the end. They are tried again by
        /// themselves.
        #[serde(default, skip_serializing_if = "is_zero")]
        unfinished: u32,
    },
    /// A hold of the account began.
    HoldSet {
        /// Why.
        cause: HoldCause,
        /// No call before this instant.
        until: Timestamp,
        /// Meta's answer that led to it, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<MetaError>,
        /// The operator's note, of a hold by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The hold ended: a call went through.
    HoldEnded,
    /// Meta answered that a limit is met; the limits of an hour are lowered, and rise again by
    /// themselves.
    LimitMet {
        /// What they are lowered to, of 100.
        percent: u8,
    },
    /// A hold of one campaign began: Meta refuses its link or text.
    CampaignHeld {
        /// The campaign.
        campaign: CampaignId,
        /// Nothing of it is sent before this instant.
        until: Timestamp,
        /// Meta's answer that led to it, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<MetaError>,
    },
    /// The hold of one campaign ended by hand: it was resumed, or its messages were changed.
    CampaignHoldEnded {
        /// The campaign.
        campaign: CampaignId,
    },
    /// A campaign was added by a file.
    CampaignAdded {
        /// The campaign.
        campaign: CampaignId,
    },
    /// A campaign was changed by a file.
    CampaignChanged {
        /// The campaign.
        campaign: CampaignId,
        /// The names of the fields that were changed.
        fields: Vec<String>,
    },
    /// The post was published that a campaign with `media = "next"` has waited for.
    NextPostFound {
        /// The campaign.
        campaign: CampaignId,
        /// The post.
        media: MediaId,
    },
    /// A campaign was paused by hand.
    CampaignPaused {
        /// The campaign.
        campaign: CampaignId,
    },
    /// A paused campaign was resumed by hand.
    CampaignResumed {
        /// The campaign.
        campaign: CampaignId,
    },
    /// A campaign is sent by hand to a list of people. It is written before the sends are recorded.
    CampaignSent {
        /// The campaign.
        campaign: CampaignId,
        /// The name of the run.
        run: String,
        /// How many people, of whom a repeat finds some that have it.
        people: u32,
        /// Who, by the name that they gave.
        operator: String,
    },
    /// A campaign was removed by hand: what waited for it is cancelled.
    CampaignRemoved {
        /// The campaign.
        campaign: CampaignId,
    },
    /// Many calls of one hour ended in a 5xx. Told once an hour.
    ServerErrors {
        /// Calls of the hour so far. Those that no process has written down yet are missing.
        calls: u32,
        /// Of these, calls that ended in a 5xx.
        server_errors: u32,
    },
    /// The account's tier was changed.
    TierChanged {
        /// The one before.
        from: Tier,
        /// The one from now on.
        to: Tier,
    },
    /// The account was removed: nothing is sent for it any more, and what waited is cancelled.
    Removed {
        /// Who wanted it.
        by: RemovedBy,
    },
    /// Somebody ordered something in the console. It is written before it is done; what follows from
    /// it has events of its own.
    Ordered {
        /// Who, by the name under which the console runs.
        operator: String,
        /// What, in words.
        order: String,
    },
    /// Written by a newer version.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// Returns Meta's answer that led to the event, if there was one.
    pub fn error(&self) -> Option<&MetaError> {
        match self {
            Self::HoldSet { error, .. } | Self::CampaignHeld { error, .. } => error.as_ref(),
            _ => None,
        }
    }
}

/// Who removed an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedBy {
    /// The operator of the deployment.
    Operator,
    /// The account's owner, by Meta's request to delete their data.
    Owner,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_newer_version_is_read_as_unknown() {
        let newer = r#"{"at":1790000000000,"account":"178","what":{"event":"renamed","to":"x"}}"#;
        let read: JournalEntry = serde_json::from_str(newer).unwrap();
        assert_eq!(read.what, Event::Unknown);
    }

    #[test]
    fn the_form_of_an_event_is_kept() {
        let until = Timestamp::from_secs(1_790_000_000);
        let cause = HoldCause::TokenDead;
        let held = Event::HoldSet { cause, until, error: None, reason: None };
        let text = r#"{"event":"hold_set","cause":"token_dead","until":1790000000000}"#;
        assert_eq!(serde_json::to_string(&held).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), held);
        let text = r#"{"event":"campaign_held","campaign":"guide","until":1790000000000}"#;
        let held = Event::CampaignHeld { campaign: "guide".into(), until, error: None };
        assert_eq!(serde_json::to_string(&held).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), held);
        let error = MetaError { status: 400, code: Some(368), ..MetaError::default() };
        let cause = HoldCause::Blocked;
        let held = Event::HoldSet { cause, until, error: Some(error), reason: None };
        let text = r#"{"event":"hold_set","cause":"blocked","until":1790000000000,"error":{"status":400,"code":368}}"#;
        assert_eq!(serde_json::to_string(&held).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), held);
        let text = r#"{"event":"campaign_paused","campaign":"guide"}"#;
        let paused = Event::CampaignPaused { campaign: "guide".into() };
        assert_eq!(serde_json::to_string(&paused).unwrap(), text);
        let text = r#"{"event":"campaign_sent","campaign":"guide","run":"december","people":3,"operator":"ana"}"#;
        let (campaign, run, operator) = ("guide".into(), "december".into(), "ana".into());
        let sent = Event::CampaignSent { campaign, run, people: 3, operator };
        assert_eq!(serde_json::to_string(&sent).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), sent);
        let text = r#"{"event":"campaign_removed","campaign":"guide"}"#;
        let removed = Event::CampaignRemoved { campaign: "guide".into() };
        assert_eq!(serde_json::to_string(&removed).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), removed);
        let text =
            r#"{"event":"hold_set","cause":"operator","until":1790000000000,"reason":"audit"}"#;
        let (cause, reason) = (HoldCause::Operator, Some("audit".into()));
        let held = Event::HoldSet { cause, until, error: None, reason };
        assert_eq!(serde_json::to_string(&held).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), held);
        let text = r#"{"event":"campaign_hold_ended","campaign":"guide"}"#;
        let ended = Event::CampaignHoldEnded { campaign: "guide".into() };
        assert_eq!(serde_json::to_string(&ended).unwrap(), text);
        let text = r#"{"event":"next_post_found","campaign":"guide","media":"179"}"#;
        let found = Event::NextPostFound { campaign: "guide".into(), media: "179".into() };
        assert_eq!(serde_json::to_string(&found).unwrap(), text);
        let text = r#"{"event":"campaign_added","campaign":"guide"}"#;
        let added = Event::CampaignAdded { campaign: "guide".into() };
        assert_eq!(serde_json::to_string(&added).unwrap(), text);
        let text = r#"{"event":"campaign_changed","campaign":"guide","fields":["messages"]}"#;
        let fields = vec!["messages".to_owned()];
        let changed = Event::CampaignChanged { campaign: "guide".into(), fields };
        assert_eq!(serde_json::to_string(&changed).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), changed);
        let text = r#"{"event":"human_wrote","until":1790000000000}"#;
        assert_eq!(serde_json::to_string(&Event::HumanWrote { until }).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), Event::HumanWrote { until });
        let text = r#"{"event":"server_errors","calls":721,"server_errors":216}"#;
        let failing = Event::ServerErrors { calls: 721, server_errors: 216 };
        assert_eq!(serde_json::to_string(&failing).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), failing);
        let since = until;
        for (unfinished, rest) in [(0, ""), (2, r#","unfinished":2"#)] {
            let read = Event::Backfilled { since, read: 7, found: 3, unfinished };
            let text = r#"{"event":"backfilled","since":1790000000000,"read":7,"found":3"#;
            let text = format!("{text}{rest}}}");
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), read);
        }
        let text = r#"{"event":"ordered","operator":"ana","order":"cancel send 178/179"}"#;
        let (operator, order) = ("ana".to_owned(), "cancel send 178/179".to_owned());
        let ordered = Event::Ordered { operator, order };
        assert_eq!(serde_json::to_string(&ordered).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), ordered);
        let text = r#"{"event":"hold_ended"}"#;
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), Event::HoldEnded);
    }
}
