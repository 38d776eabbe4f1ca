//! The text of a send: chosen among its campaign's, and filled in.

use spillway_core::campaign::Campaign;
use spillway_core::content::{Disclosure, Draft, Message, Tracking};
use spillway_core::message::Values;
use spillway_core::rotation::Rotation;
use spillway_core::send::PendingSend;
use spillway_meta::graph::Profile;

use crate::account::Account;
use crate::converse::payload;
use crate::links::MessageLinks;
use crate::send_task::SendTask;

/// Chooses the text of a send: of its campaign's, one that was not used last.
pub(super) fn choose_text(account: &Account, task: &SendTask, rotation: &mut Rotation) -> usize {
    let SendTask { send, content, .. } = task;
    let campaign = account.campaigns.get(&content.campaign);
    let variants = campaign.map_or(1, |campaign| campaign.drafts(content.step).len());
    rotation.pick(content, send, variants)
}

/// Returns the message of a send; `None` if its campaign has none for this step any more.
pub(super) fn fill(
    campaign: &Campaign,
    variant: usize,
    send: &PendingSend,
    profile: Option<&Profile>,
    links: Option<&MessageLinks>,
) -> Option<Message> {
    // The campaign may have lost messages since the variant was picked.
    let drafts = campaign.drafts(send.content.step);
    let variant = variant.checked_rem(drafts.len())?;
    Some(drafts[variant].fill(values(send, profile, links), &payload(send)))
}

/// Every text that a send may have, as far as its names are known: with the account's disclosure, and
/// without.
pub(super) fn fill_all(
    account: &Account,
    campaign: &Campaign,
    send: &PendingSend,
    links: Option<&MessageLinks>,
) -> Vec<String> {
    let fill = |draft: &Draft| draft.fill(values(send, None, links), "").text().to_owned();
    let plain: Vec<String> = campaign.drafts(send.content.step).iter().map(fill).collect();
    let disclosure = account.conversations.disclosure.iter().filter(|_| !send.class.is_public());
    let before = |disclosure: &Disclosure| {
        plain.iter().map(|text| disclosure.before_text(text)).collect::<Vec<_>>()
    };
    let disclosed: Vec<String> = disclosure.flat_map(before).collect();
    [plain, disclosed].concat()
}

fn values<'a>(
    send: &'a PendingSend,
    profile: Option<&'a Profile>,
    links: Option<&'a MessageLinks>,
) -> Values<'a> {
    let username = profile.and_then(|profile| profile.username.as_deref());
    Values {
        username: send.username.as_deref().or(username),
        keyword: send.keyword.as_deref(),
        first_name: profile.and_then(|profile| profile.first_name.as_deref()),
        tracking: links.map(|links| links as &dyn Tracking),
    }
}
