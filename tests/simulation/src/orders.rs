//! What operators do, by the operations of their tool.

use spillway_core::hold::NewToken;
use spillway_core::id::{AccountId, CampaignId, RecipientId, SendId};
use spillway_core::outbound::Run;
use spillway_core::send::{FailReason, Outcome};
use spillway_service::accounts_file::NewAccount;
use spillway_service::admin::connect::{Connection, NewSettings};
use spillway_service::admin::outbound::{Fate, OutboundError};
use spillway_service::admin::sends::{RetryError, State, Stored};
use spillway_service::admin::{Admin, AdminError};
use spillway_service::new_limits::NewLimits;

use crate::host::Host;
use crate::scenario::{CAMPAIGN, File, Order};

/// Does what an operator wants of an account. Returns whether it is done; else somebody sees an
/// error, and does it again.
pub(crate) async fn carry_out(
    admin: &Admin,
    host: &Host,
    account: &AccountId,
    order: &Order,
) -> bool {
    let campaign = CampaignId::new(CAMPAIGN);
    match order {
        Order::Apply(file) => apply(admin, host, account, file).await,
        Order::Pause => admin.accounts.pause(account, &campaign).await.is_ok(),
        Order::Resume => admin.accounts.resume_campaign(account, &campaign).await.is_ok(),
        Order::Forget(person) => {
            let forgotten = admin.sends.forget(account, person, |_| ()).await;
            forgotten.is_ok_and(|forgotten| forgotten.waiting.left == 0)
        }
        Order::Retry => retry(admin, account).await,
        Order::Send(run) => send(admin, host, account, run).await,
        Order::Remove => remove(admin, account).await,
        Order::Connect => connect(admin, host, account).await,
    }
}

async fn apply(admin: &Admin, host: &Host, account: &AccountId, file: &File) -> bool {
    let new = {
        let world = host.shared.world();
        let limits = world.scenario.account(account).map(|plan| &plan.limits);
        let Some(rules) = limits.and_then(|limits| limits.then()).cloned() else { return true };
        let given = if file.has_limits {
            NewLimits { profile: Some(rules.profile().clone()), terms: rules.terms().into() }
        } else {
            NewLimits::default()
        };
        NewAccount {
            id: account.clone(),
            line: 1,
            rules,
            given,
            conversations: Default::default(),
            campaigns: file.campaigns.clone(),
            tracked_links: Vec::new(),
        }
    };
    let Ok((planned, mistakes)) = admin.accounts.plans(&[new], file.unnamed).await else {
        return false;
    };
    for mistake in mistakes {
        host.shared.world().broken(format!("a file is refused: {mistake}"));
    }
    for planned in &planned {
        if admin.accounts.apply(planned).await.is_err() {
            return false;
        }
    }
    true
}

/// Retries what has failed and certainly never arrived.
async fn retry(admin: &Admin, account: &AccountId) -> bool {
    let has_failed = |stored: &Stored| match &stored.state {
        State::Ended { outcome: Outcome::Failed { reason }, .. } => *reason != FailReason::Unknown,
        _ => false,
    };
    let Ok(failed) = admin.sends.ended(account, has_failed, usize::MAX, |_| ()).await else {
        return false;
    };
    let failed: Vec<SendId> = failed.into_iter().map(|stored| stored.id).collect();
    for send in &failed {
        if let Err(RetryError::Store(_)) = admin.sends.retry(send).await {
            return false;
        }
    }
    true
}

/// Sends the last campaign to all who comment, and to somebody who never does.
async fn send(admin: &Admin, host: &Host, id: &AccountId, name: &str) -> bool {
    let (campaign, people) = {
        let world = host.shared.world();
        let Some(plan) = world.scenario.account(id) else { return true };
        let Some(campaign) = plan.campaigns.last() else { return true };
        let mut people: Vec<RecipientId> =
            plan.comments.iter().map(|comment| comment.author.clone()).collect();
        people.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        people.dedup();
        people.push(RecipientId::new("5999999999"));
        (campaign.id.clone(), people)
    };
    let Ok(account) = admin.accounts.connected(id).await else { return false };
    let (outbound, overviews) = (&admin.outbound, &admin.overviews);
    let now = outbound.clock.now();
    let run = match Run::new(id, &account.campaigns, &campaign, name, now) {
        Ok(run) => run,
        Err(error) => {
            host.shared.world().broken(format!("a run is refused: {error}"));
            return true;
        }
    };
    let fates = match outbound.look(overviews, &account, &run, &people, &|_| ()).await {
        Ok(fates) => fates,
        // The token is dead, say: who sends it does something about that first.
        Err(OutboundError::Held(_)) => return true,
        Err(OutboundError::Admin(_)) => return false,
    };
    let sends = fates.into_iter().filter_map(|fate| match fate {
        Fate::Reached { send, .. } => Some(*send),
        Fate::LeftOut(_) => None,
    });
    outbound.record(&run, name, sends.collect(), "operator", &|_| ()).await.is_ok()
}

async fn remove(admin: &Admin, account: &AccountId) -> bool {
    match admin.removable(account).await {
        Ok(removable) => admin.remove(&removable, |_| ()).await.is_ok(),
        // An attempt that died had removed it.
        Err(AdminError::NotConnected(_)) => true,
        Err(_) => false,
    }
}

/// Connects an account with the token of its owner's login.
async fn connect(admin: &Admin, host: &Host, account: &AccountId) -> bool {
    let login = host.shared.world().log_in(account);
    let Some((new, token, lasts)) = login else { return true };
    let connection = Connection {
        settings: &NewSettings::from(&new),
        token: &token,
        lasts,
        proof: NewToken::Works,
        app_scoped: None,
    };
    let is_done = admin.accounts.connect(&connection).await.is_ok();
    if is_done {
        host.shared.world().is_connected_by_hand(account);
    }
    is_done
}
