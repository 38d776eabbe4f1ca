//! What applying an accounts file to a connected account changes: found out before anything is
//! written, so that it can be shown, refused as a whole, or be nothing at all.

use serde::Serialize;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::content::{Disclosure, Fault};
use spillway_core::id::CampaignId;
use spillway_core::rules::Rules;
use spillway_core::time::Timestamp;

use crate::account::Account;
use crate::accounts_file::{self, NewAccount, Reason};
use crate::conversation_settings::ConversationSettings;
use crate::fields::{self, Field};

/// What happens to campaigns that the file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unnamed {
    /// They stay.
    Stay,
    /// They are removed.
    Go,
}

/// What happens to one campaign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added(Campaign),
    /// It is replaced.
    Changed {
        /// By this one.
        to: Campaign,
        /// The fields that change, each with its value before and after.
        fields: Vec<FieldChange>,
    },
    /// It is unchanged.
    Same(CampaignId),
    /// The file does not name it, and it stays.
    Left(CampaignId),
    /// The file does not name it, and it is removed.
    Removed(CampaignId),
}

/// A part of a campaign or of an account's limits, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Its name in the file.
    pub name: &'static str,
    /// The present value.
    pub before: String,
    /// The new value.
    pub after: String,
}

/// Everything that applying a file changes for one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its campaigns, those of the file first.
    pub campaigns: Vec<Change>,
    /// Its new limits, if they change.
    pub rules: Option<Rules>,
    /// Its new settings for conversations, if they change.
    pub conversations: Option<ConversationSettings>,
    /// All campaigns that it then has, in the order in which they are asked: those of the file,
    /// then the others as they were.
    pub order: Vec<CampaignId>,
    /// Whether that is another order for those that it has already.
    pub is_reordered: bool,
}

impl Plan {
    /// Returns the campaigns to write.
    pub fn put(&self) -> Vec<Campaign> {
        let written = |change: &Change| match change {
            Change::Added(campaign) | Change::Changed { to: campaign, .. } => {
                Some(campaign.clone())
            }
            Change::Same(_) | Change::Left(_) | Change::Removed(_) => None,
        };
        self.campaigns.iter().filter_map(written).collect()
    }

    /// Returns the campaigns to remove.
    pub fn removed(&self) -> Vec<CampaignId> {
        let removed = |change: &Change| match change {
            Change::Removed(id) => Some(id.clone()),
            _ => None,
        };
        self.campaigns.iter().filter_map(removed).collect()
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.rules.is_none() && self.conversations.is_none() && !self.changes_campaigns()
    }

    /// Whether campaigns are to be written, removed or put into another order.
    pub fn changes_campaigns(&self) -> bool {
        self.is_reordered || !self.put().is_empty() || !self.removed().is_empty()
    }
}

/// Plans the changes from `stored` to `wanted` at `now`.
///
/// # Errors
/// Fails if a campaign that stays wants the same comments as one of the file, if there would be too
/// many campaigns, or if the limits contradict each other.
pub fn plan(
    stored: &Account,
    wanted: &NewAccount,
    unnamed: Unnamed,
    now: Timestamp,
) -> Result<Plan, Reason> {
    let others: Vec<&Campaign> = stored
        .campaigns
        .iter()
        .filter(|known| wanted.campaigns.iter().all(|campaign| campaign.id != known.id))
        .collect();
    if unnamed == Unnamed::Stay {
        for other in &others {
            for campaign in &wanted.campaigns {
                let Some(word) = campaign.clash(other) else { continue };
                let (deployed, own) = (other.id.clone(), campaign.id.clone());
                let clash = Box::new(match word {
                    "" => Reason::BothTakeAll(deployed.clone(), own),
                    word => Reason::Clash(deployed.clone(), own, word.to_owned()),
                });
                return Err(Reason::ClashWithDeployed { deployed, clash });
            }
        }
    }
    let mut campaigns: Vec<Change> =
        wanted.campaigns.iter().map(|campaign| change(&stored.campaigns, campaign)).collect();
    // What is as it was may be more than is taken any more.
    if campaigns.iter().any(|change| !matches!(change, Change::Same(_))) {
        let left = others.iter().filter(|_| unnamed == Unnamed::Stay).copied();
        accounts_file::check_together(wanted.campaigns.iter().chain(left))
            .map_err(|much| Reason::TooMuch(stored.id.clone(), much))?;
    }
    let conversations = wanted.conversations.over(&stored.conversations);
    if let Some(disclosure) = &conversations.disclosure {
        let left = others.iter().filter(|_| unnamed == Unnamed::Stay).copied();
        for campaign in wanted.campaigns.iter().chain(left) {
            check_behind(disclosure, campaign)?;
        }
    }
    let left = others.iter().filter(|_| unnamed == Unnamed::Stay).copied();
    let (order, is_reordered) =
        order(&stored.campaigns, wanted.campaigns.iter().chain(left).cloned().collect());
    campaigns.extend(others.into_iter().map(|other| match unnamed {
        Unnamed::Stay => Change::Left(other.id.clone()),
        Unnamed::Go => Change::Removed(other.id.clone()),
    }));
    let rules = wanted.given.applied_to(&stored.rules, now);
    let rules = rules.map_err(|error| Reason::Limits(stored.id.clone(), error))?;
    let rules = Some(rules).filter(|rules| *rules != stored.rules);
    let conversations = Some(conversations).filter(|new| *new != stored.conversations);
    Ok(Plan { campaigns, rules, conversations, order, is_reordered })
}

/// Checks that no message of a campaign is too long behind the account's disclosure. The file may name
/// one of the two, and the other be stored.
fn check_behind(disclosure: &Disclosure, campaign: &Campaign) -> Result<(), Reason> {
    let Some(Fault { path, error }) = campaign.faults_behind(disclosure).into_iter().next() else {
        return Ok(());
    };
    let way: String = path.iter().map(ToString::to_string).collect();
    let way = way.trim_start_matches('.').to_owned();
    Err(Reason::LongBehind(campaign.id.clone(), way, error))
}

/// Returns the ids of `then`, and whether those that are stored have another order among them now.
/// What counts is who is asked first, not how the file mixes campaigns that never compete.
fn order(stored: &Campaigns, then: Vec<Campaign>) -> (Vec<CampaignId>, bool) {
    let order: Vec<CampaignId> = then.iter().map(|campaign| campaign.id.clone()).collect();
    let then = Campaigns::new(then);
    let before = stored.iter().filter(|campaign| then.get(&campaign.id).is_some());
    let after = then.iter().filter(|campaign| stored.get(&campaign.id).is_some());
    let is_reordered = !before.map(|campaign| &campaign.id).eq(after.map(|campaign| &campaign.id));
    (order, is_reordered)
}

fn change(stored: &Campaigns, wanted: &Campaign) -> Change {
    let Some(known) = stored.get(&wanted.id) else { return Change::Added(wanted.clone()) };
    if known == wanted {
        return Change::Same(wanted.id.clone());
    }
    let pairs = fields::of(known).into_iter().zip(fields::of(wanted));
    let differ = pairs.filter(|(before, after)| before != after);
    let field = |(before, after): (Field, Field)| FieldChange {
        name: before.name,
        before: before.text(),
        after: after.text(),
    };
    let fields = differ.map(field).collect();
    Change::Changed { to: wanted.clone(), fields }
}

#[cfg(test)]
mod tests {
    use spillway_core::campaign::Running;
    use spillway_core::profile::Profile;
    use spillway_core::quota::Tier;

    use super::*;
    use crate::account::SealedToken;
    use crate::accounts_file::parse;

    const FILE: &str = r#"[[account]]
id = "178"
[[account.campaign]]
id = "guide"
keywords = ["guide"]
messages = ["Hi"]
[[account.campaign]]
id = "link"
keywords = ["link"]
messages = ["Hello"]
"#;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn wanted(text: &str) -> NewAccount {
        parse(text, &Profile::careful()).unwrap().swap_remove(0)
    }

    fn stored(text: &str) -> Account {
        let NewAccount { id, rules, campaigns, .. } = wanted(text);
        let campaigns = campaigns.into_iter().map(|campaign| (campaign, Running::Active));
        Account {
            id,
            revision: Default::default(),
            rules,
            campaigns: Campaigns::as_they_run(campaigns),
            token: SealedToken { key: 1, sealed: Vec::new() },
            forgotten: Default::default(),
            albums: Default::default(),
            conversations: Default::default(),
        }
    }

    fn planned(text: &str, unnamed: Unnamed) -> Plan {
        plan(&stored(FILE), &wanted(text), unnamed, NOW).unwrap()
    }

    #[test]
    fn a_message_fits_behind_the_disclosure_whichever_of_them_is_stored() {
        let long = FILE.replace("\"Hello\"", &format!("\"{}\"", "x".repeat(990)));
        let disclosed = |text: &str| text.replacen("\n", "\ndisclosure = \"I am a bot.\"\n", 1);
        let refused = |stored: &Account, text: &str| {
            plan(stored, &wanted(text), Unnamed::Stay, NOW).unwrap_err().to_string()
        };
        let mut account = stored(FILE);
        account.conversations = wanted(&disclosed(FILE)).conversations.over(&Default::default());
        let said = "campaign `link`, `messages[0]`: behind the account's `disclosure` the text can end \
                    1003 bytes long, and Meta takes 1000: shorten one of them";
        assert_eq!(refused(&account, &long), said);
        let (first, _) = FILE.split_once("[[account.campaign]]\nid = \"link\"").unwrap();
        assert_eq!(refused(&stored(&long), &disclosed(first)), said);
        let none = disclosed(&long).replace("I am a bot.", "");
        assert!(plan(&account, &wanted(&none), Unnamed::Stay, NOW).is_ok());
    }

    #[test]
    fn the_same_file_changes_nothing() {
        let plan = planned(FILE, Unnamed::Go);
        assert!(plan.is_empty(), "{plan:?}");
        assert_eq!(plan.campaigns, [Change::Same("guide".into()), Change::Same("link".into())]);
    }

    #[test]
    fn what_differs_is_named_and_what_the_file_lacks_goes_only_if_asked() {
        let text = FILE.replace("\"Hi\"", "\"Hi\", \"Hey you\"").replace("link", "bio");
        let plan = planned(&text, Unnamed::Stay);
        let Change::Changed { fields, .. } = &plan.campaigns[0] else { panic!("{plan:?}") };
        let messages =
            FieldChange {
                name: "messages", before: "Hi".into(), after: "«Hi», «Hey you»".into()
            };
        assert_eq!(*fields, [messages]);
        assert!(
            matches!(&plan.campaigns[1], Change::Added(campaign) if campaign.id == "bio".into())
        );
        assert_eq!(plan.campaigns[2], Change::Left("link".into()));
        assert_eq!((plan.put().len(), plan.removed()), (2, vec![]));
        assert_eq!(planned(&text, Unnamed::Go).removed(), ["link".into()]);
    }

    #[test]
    fn another_order_is_a_change_unless_it_decides_nothing() {
        let (begin, campaigns) = FILE.split_once("[[account.campaign]]").unwrap();
        let [guide, link] =
            <[&str; 2]>::try_from(campaigns.split("[[account.campaign]]").collect::<Vec<_>>())
                .unwrap();
        let file = |first: &str, then: &str| {
            format!("{begin}[[account.campaign]]{first}[[account.campaign]]{then}")
        };
        let plan = planned(&file(link, guide), Unnamed::Stay);
        assert!(plan.is_reordered && plan.put().is_empty() && !plan.is_empty());
        assert_eq!(plan.order, ["link".into(), "guide".into()]);
        let one = planned(&format!("{begin}[[account.campaign]]{link}"), Unnamed::Stay);
        assert_eq!(one.order, ["link".into(), "guide".into()], "those of the file go first");
        let of_a_post = link.replace("keywords", "media = [\"179\"]\nkeywords");
        let before = stored(&file(guide, &of_a_post));
        let after = wanted(&file(&of_a_post, guide));
        let plan = plan_of(&before, &after);
        assert!(plan.is_empty(), "{plan:?}");
    }

    fn plan_of(before: &Account, after: &NewAccount) -> Plan {
        plan(before, after, Unnamed::Stay, NOW).unwrap()
    }

    #[test]
    fn limits_change_where_the_file_names_them() {
        assert_eq!(planned(FILE, Unnamed::Stay).rules, None);
        let text = FILE.replace("\"178\"", "\"178\"\nterms = { tier = 2 }");
        let rules = planned(&text, Unnamed::Stay).rules.unwrap();
        assert_eq!((rules.terms().tier, rules.profile().name.as_str()), (Tier::Two, "careful"));
        let same = plan(&stored(&text), &wanted(FILE), Unnamed::Stay, NOW).unwrap();
        assert_eq!(same.rules, None, "what the file does not name stays");
        let zone = FILE.replace("\"178\"", "\"178\"\nterms = { time_zone = \"Asia/Tokyo\" }");
        let rules =
            plan(&stored(&text), &wanted(&zone), Unnamed::Stay, NOW).unwrap().rules.unwrap();
        assert_eq!(rules.terms().tier, Tier::Two, "a term that the file does not name stays");
    }

    #[test]
    fn settings_of_conversations_change_where_the_file_names_them() {
        assert_eq!(planned(FILE, Unnamed::Stay).conversations, None);
        let text = FILE.replace("\"178\"", "\"178\"\nstop_words = [\"basta\"]");
        let plan = planned(&text, Unnamed::Stay);
        assert_eq!(plan.conversations.as_ref().unwrap().stop_words, ["basta"]);
        assert!(!plan.is_empty() && !plan.changes_campaigns());
    }

    #[test]
    fn a_campaign_that_stays_must_not_want_the_same_comments() {
        let text = FILE.replace("id = \"link\"", "id = \"bio\"");
        let clash = plan(&stored(FILE), &wanted(&text), Unnamed::Stay, NOW).unwrap_err();
        let clash = clash.to_string();
        assert!(clash.starts_with("campaigns `link` and `bio` have the keyword `link`"), "{clash}");
        assert!(clash.contains("`link` is deployed and not in this file"), "{clash}");
        assert!(plan(&stored(FILE), &wanted(&text), Unnamed::Go, NOW).is_ok());
    }
}
