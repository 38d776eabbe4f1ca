//! The accounts: what each is, whether its token opens and Meta takes it, and what it would answer
//! to.

use spillway_cloud::meta::login::SCOPES;
use spillway_core::campaign::{Campaigns, Running};
use spillway_core::hold::HoldCause;
use spillway_core::id::{AccountId, CampaignId};
use spillway_core::profile::ProfileWarning;
use spillway_core::status::{Condition, Facts, Next, State, Why};
use spillway_core::upkeep::{
    OPTIONAL_FIELDS, TokenLife, WEBHOOK_FIELDS, cost_of_lacking, is_of_use,
};
use spillway_meta::error::Verdict as Answered;
use spillway_meta::graph::{CallError, Me, Subscription};
use spillway_service::account::Account;
use spillway_service::port::{MaintenanceRecords, StoreError};
use spillway_service::upkeep::{CommentsRead, Examined, NoAnswer};

use super::finding::Finding;
use crate::deployment::{Deployment, Services};
use crate::exit::UNREADABLE;
use crate::output::Times;
use crate::status;

const SETTINGS: &str = "settings";
const QUOTAS: &str = "quotas";
const CAMPAIGNS: &str = "campaigns";
const STATE: &str = "state";
const UPKEEP: &str = "upkeep";
const TOKEN: &str = "token";
const IDENTITY: &str = "identity at Meta";
const KIND: &str = "account type";
const SUBSCRIPTION: &str = "subscription";
const MESSAGES: &str = "permission to send messages";
const COMMENTS: &str = "permission to read comments";

/// What a login asks the owner to allow.
const BASIC: &str = SCOPES[0];
const MANAGE_COMMENTS: &str = SCOPES[1];
const MANAGE_MESSAGES: &str = SCOPES[2];

/// What only the account's owner can mend.
const LOGIN: &str =
    "have its owner log in again and leave every switch on: `spillway connect --help`";

/// What a permission or a setting that is missing takes. The subcode of Meta's answer may tell which
/// it is; the code alone does not.
const PERMIT: &str = "in Instagram, let its owner allow access to messages (Settings, Messages); else have them log in \
     again (`spillway connect --help`) and allow `instagram_business_manage_messages` and \
     `instagram_business_manage_comments`; if it stays, request Advanced Access to these (App \
     Dashboard, App Review). Then `spillway account resume` tries at once";

/// Of an account that somebody has named.
pub(super) fn unknown() -> Finding {
    Finding::wrong(
        SETTINGS,
        "it is not connected",
        "`spillway account list` names those that are; `spillway connect --help`",
    )
}

/// Looks at one; nothing is found of one that is not connected, as while it is being removed.
pub(super) async fn check(deployment: &Deployment, id: &AccountId) -> Vec<Finding> {
    match deployment.wiring.accounts.load(id).await {
        Ok(Some(account)) => look(deployment, &account).await,
        Ok(None) => Vec::new(),
        Err(error @ StoreError::Corrupt { .. }) => {
            vec![Finding::wrong(SETTINGS, error.to_string(), UNREADABLE)]
        }
        Err(error) => vec![Finding::unread(SETTINGS, &error)],
    }
}

async fn look(deployment: &Deployment, account: &Account) -> Vec<Finding> {
    let wiring = &deployment.wiring;
    let mut findings = quotas(account, deployment.services);
    findings.extend(record(deployment, account).await);
    if let Err(error) = wiring.account_graph.prepare(&account.id, &account.token).await {
        findings.push(unopened(&error));
        let said = "its token cannot be opened";
        let checks = [IDENTITY, KIND, SUBSCRIPTION, MESSAGES, COMMENTS];
        findings.extend(checks.map(|check| Finding::skipped(check, said)));
        return findings;
    }
    findings.push(Finding::good(TOKEN, "it can be opened"));
    match wiring.upkeep().examine(account).await {
        Ok(examined) => findings.extend(answered(account, &examined)),
        Err(error) => findings.push(Finding::unread(IDENTITY, &error)),
    }
    findings
}

/// What Meta says. Where the first call is not answered for a cause that keeps the others from
/// being made, that is told once.
fn answered(account: &Account, examined: &Examined) -> Vec<Finding> {
    let Account { id, campaigns, .. } = account;
    let Examined { me, subscription, messages, comments } = examined;
    let is_of_all = |no_answer: &NoAnswer| match no_answer {
        NoAnswer::Denied(_) | NoAnswer::NoTime => true,
        NoAnswer::Failed(error) => error.verdict() == Answered::TokenDead,
        NoAnswer::Store(_) => false,
    };
    if let Err(no_answer) = me
        && is_of_all(no_answer)
    {
        let hides = vec![KIND, SUBSCRIPTION, MESSAGES, COMMENTS];
        return vec![Finding { hides, ..unanswered(IDENTITY, no_answer) }];
    }
    let mut findings = identity(id, me);
    findings.extend([subscribed(subscription, campaigns), may_send(messages), may_read(comments)]);
    findings
}

fn quotas(account: &Account, services: Services) -> Vec<Finding> {
    let profile = account.rules.profile();
    let mut warnings = profile.warnings(account.rules.terms().tier);
    // A day that is kept below Meta's figure is meant to be.
    warnings.retain(|warning| match warning {
        ProfileWarning::DayUnreachable { .. } => false,
        // A local stack's Meta has limits of its own.
        ProfileWarning::AboveMeta { .. } => services == Services::Aws,
        ProfileWarning::NeverBinds { .. } => true,
    });
    if warnings.is_empty() {
        return vec![Finding::good(
            QUOTAS,
            format!("profile `{}` contradicts itself nowhere", profile.name),
        )];
    }
    let told = |warning: &dyn std::fmt::Display| {
        Finding::warning(
            QUOTAS,
            format!("profile `{}`: {warning}", profile.name),
            "change the profile's rows, or take one away (infra/OPERATIONS.md, \"The limits of an account\")",
        )
    };
    warnings.iter().map(|warning| told(warning)).collect()
}

/// `is_held` says which are on hold, because Meta refuses their link or text: the state tells more.
fn campaigns(campaigns: &Campaigns, is_held: impl Fn(&CampaignId) -> bool) -> Finding {
    let all = campaigns.iter().count();
    let paused = |id| matches!(campaigns.running(id), Running::PausedSince(_));
    let active = || campaigns.iter().filter(|campaign| !paused(&campaign.id));
    let (running, held) =
        (active().count(), active().filter(|campaign| is_held(&campaign.id)).count());
    match (all, running) {
        (0, _) => Finding::warning(
            CAMPAIGNS,
            "it has none, and answers nothing",
            "`spillway campaign apply --help`",
        ),
        (_, 0) => Finding::warning(
            CAMPAIGNS,
            "all are paused, and nothing is answered",
            "`spillway campaign resume --help`",
        ),
        _ if held > 0 => {
            let are = if held == 1 { "is" } else { "are" };
            let said = format!("{} of {all} run, and {held} {are} on hold", running - held);
            Finding::good(CAMPAIGNS, said)
        }
        _ => Finding::good(CAMPAIGNS, format!("{running} of {all} run")),
    }
}

/// What the store knows of it: holds, the token's life, what upkeep found.
async fn record(deployment: &Deployment, account: &Account) -> Vec<Finding> {
    let (id, wiring) = (&account.id, &deployment.wiring);
    let loaded = futures::try_join!(
        wiring.budgets.load(id),
        wiring.app.load(),
        wiring.maintenance.record(id),
        wiring.tokens.load(id),
    );
    let (budget, app, record, token) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return vec![Finding::unread(STATE, &error)],
    };
    let now = deployment.clock.now();
    let is_held = |id: &CampaignId| budget.holds.refusals.campaign_held_until(id, now).is_some();
    let mut findings = vec![campaigns(&account.campaigns, is_held)];
    findings.push(match record {
        Some(_) => Finding::good(UPKEEP, "it is on the list of accounts to keep up"),
        None => Finding::wrong(
            UPKEEP,
            "it is not on the list: its token is not renewed, its subscription not watched",
            "connect it again: `spillway connect --help`",
        ),
    });
    let record = record.unwrap_or_default();
    let life = token.map_or_else(TokenLife::default, |token| token.life);
    let facts = Facts {
        campaigns: &account.campaigns,
        rules: &account.rules,
        holds: &budget.holds,
        app: &app.holds,
        feedback: budget.feedback,
        token: life,
        upkeep: &record.upkeep,
        last_seen: record.last_seen,
    };
    let times = Times { now, zone: account.rules.terms().time_zone.clone() };
    findings.extend(facts.conditions(now).iter().map(|condition| state(condition, &times)));
    findings.push(ends(life, &times));
    findings
}

fn state(condition: &Condition, times: &Times) -> Finding {
    let said = format!("{}: {}", condition.state, status::sentence(condition, times));
    let do_this = || match (condition.state, condition.next) {
        (State::TokenDead, _) | (_, Next::Login(_)) => LOGIN,
        (State::Blocked, _) => {
            "look into Instagram for what it says, and change the texts before it goes on"
        }
        (State::Unsubscribed, _) => {
            "compare the app's webhook fields in the App Dashboard; upkeep subscribes it meanwhile"
        }
        (State::Silent, _) => "compare the callback URL in the App Dashboard with the WebhookUrl",
        (State::CampaignHeld, _) => {
            "apply another link or text (`spillway campaign apply`), which ends the hold; it is tried \
             again by itself, too"
        }
        (State::Held, _) if condition.why == Why::Answer(HoldCause::Permission) => PERMIT,
        (_, Next::Stopped | Next::Resumes(_)) => "`spillway account resume` ends it",
        _ => "wait: it ends by itself; `spillway status` shows when",
    };
    match condition.state {
        State::Healthy => Finding::good(STATE, condition.state.to_string()),
        State::WarmingUp | State::Slowed | State::CampaignPaused => Finding::good(STATE, said),
        State::Held | State::CampaignHeld | State::TokenExpiring => {
            Finding::warning(STATE, said, do_this())
        }
        State::TokenDead | State::Blocked | State::Unsubscribed | State::Silent => {
            Finding::wrong(STATE, said, do_this())
        }
    }
}

/// When the token ends; what follows from that is told by the state.
fn ends(life: TokenLife, times: &Times) -> Finding {
    match life.ends_at {
        Some(ends_at) => Finding::good(TOKEN, format!("it ends {}", times.when(ends_at))),
        None => Finding::skipped(TOKEN, "nobody knows when it ends before upkeep renews it"),
    }
}

fn unopened(error: &StoreError) -> Finding {
    match error {
        StoreError::Corrupt { .. } => {
            Finding::wrong(TOKEN, error.to_string(), "connect it again: `spillway connect --help`")
        }
        StoreError::Unavailable { .. } => Finding::unread(TOKEN, error),
    }
}

fn identity(id: &AccountId, me: &Result<Me, NoAnswer>) -> Vec<Finding> {
    let me = match me {
        Ok(me) => me,
        Err(no_answer) => {
            let said = "Meta did not say who it is";
            let who = unpermitted(IDENTITY, BASIC, no_answer);
            return vec![who, Finding::skipped(KIND, said)];
        }
    };
    let whose = if me.account == *id {
        Finding::good(IDENTITY, "Meta takes the token, and it is this account's")
    } else {
        Finding::wrong(
            IDENTITY,
            format!("the token is that of account {}", me.account),
            "connect both accounts again, each with its own login",
        )
    };
    vec![whose, kind(me.kind.as_deref())]
}

/// `Business` and `Media_Creator` are the professional ones; Meta has written them in several ways.
fn kind(kind: Option<&str>) -> Finding {
    let Some(kind) = kind else { return Finding::skipped(KIND, "Meta does not say which it is") };
    match kind.to_ascii_lowercase().as_str() {
        "business" | "media_creator" | "creator" => {
            Finding::good(KIND, format!("{kind}, a professional one"))
        }
        "personal" => Finding::wrong(
            KIND,
            format!("{kind}: only professional accounts can be written for"),
            "in Instagram, choose Settings, Account type, Switch to professional account",
        ),
        _ => Finding::warning(
            KIND,
            format!("{kind} is not known"),
            "only professional accounts (business or creator) can be written for: is it one?",
        ),
    }
}

fn subscribed(subscription: &Result<Subscription, NoAnswer>, campaigns: &Campaigns) -> Finding {
    let subscription = match subscription {
        Ok(subscription) => subscription,
        Err(no_answer) => return unanswered(SUBSCRIPTION, no_answer),
    };
    let useful = OPTIONAL_FIELDS.into_iter().filter(|field| is_of_use(field, campaigns));
    let useful: Vec<&str> = useful.collect();
    match subscription.lacks(&WEBHOOK_FIELDS) {
        lacking if lacking.is_empty() => match subscription.lacks(&useful) {
            lacking if lacking.is_empty() => {
                let fields = [&WEBHOOK_FIELDS[..], &useful].concat().join(", ");
                Finding::good(SUBSCRIPTION, format!("whole: {fields}"))
            }
            lacking => Finding::warning(
                SUBSCRIPTION,
                format!(
                    "it has {}, and lacks {}",
                    WEBHOOK_FIELDS.join(", "),
                    lacking
                        .iter()
                        .map(|field| format!("{field} ({})", cost_of_lacking(field)))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                "upkeep asks for these once a day; if they stay, subscribe the app to them in the \
                 App Dashboard (Instagram, API setup, Configure webhooks)",
            ),
        },
        lacking => Finding::wrong(
            SUBSCRIPTION,
            format!("it lacks {}: of these Meta tells nothing", lacking.join(", ")),
            "upkeep subscribes it within the hour; if it stays, subscribe the app to these fields in \
             the App Dashboard (Instagram, API setup, Configure webhooks)",
        ),
    }
}

/// Meta tells of no way to ask which permissions a token has, so a read that takes one is tried.
fn may_send(messages: &Result<(), NoAnswer>) -> Finding {
    match messages {
        Ok(()) => Finding::good(MESSAGES, "conversations can be read, which takes the same one"),
        Err(no_answer) => unpermitted(MESSAGES, MANAGE_MESSAGES, no_answer),
    }
}

fn may_read(comments: &Result<CommentsRead, NoAnswer>) -> Finding {
    match comments {
        Ok(CommentsRead::Some) => Finding::good(COMMENTS, "comments can be read"),
        Ok(CommentsRead::NoMedia) => {
            Finding::skipped(COMMENTS, "the account has posted nothing to read comments of")
        }
        Err(no_answer) => unpermitted(COMMENTS, MANAGE_COMMENTS, no_answer),
    }
}

fn is_unpermitted(verdict: Answered) -> bool {
    let unclear = [Answered::PermissionUnclear, Answered::MediaUnclear];
    verdict == Answered::Permission || unclear.contains(&verdict)
}

fn unpermitted(check: &'static str, permission: &str, no_answer: &NoAnswer) -> Finding {
    match no_answer {
        NoAnswer::Failed(error) if is_unpermitted(error.verdict()) => Finding::wrong(
            check,
            format!("Meta: {error}: `{permission}` is missing"),
            format!(
                "{LOGIN}; if it stays, request Advanced Access to it (App Dashboard, App Review), \
                 without which only accounts with a role in the app can be written for"
            ),
        ),
        _ => unanswered(check, no_answer),
    }
}

/// A read that brought nothing.
fn unanswered(check: &'static str, no_answer: &NoAnswer) -> Finding {
    let error = match no_answer {
        NoAnswer::Denied(denial) => {
            return Finding::skipped(
                check,
                format!("there is no room for the call: {}", denial.reason),
            )
            .advising("`spillway status` shows until when; then run the doctor again");
        }
        NoAnswer::NoTime => return Finding::skipped(check, "there was no time left for the call"),
        NoAnswer::Store(error) => return Finding::unread(check, error),
        NoAnswer::Failed(error) => error,
    };
    let said = format!("Meta: {error}");
    match error.verdict() {
        Answered::TokenDead => Finding::wrong(check, format!("{said}: the token is dead"), LOGIN),
        // These reads are about the account and nobody else.
        verdict if is_unpermitted(verdict) => {
            Finding::wrong(check, format!("{said}: a permission is missing"), LOGIN)
        }
        Answered::Blocked => Finding::wrong(
            check,
            format!("{said}: Meta restricts the account"),
            "look into Instagram for what it says",
        ),
        Answered::CommentGone => Finding::wrong(
            check,
            format!("{said}: with this token there is no such account"),
            "connect it again: `spillway connect --help`",
        ),
        _ if *error == CallError::NotWritten => Finding::skipped(check, said)
            .advising("is SPILLWAY_GRAPH_URL right, and the network up?"),
        _ => Finding::skipped(check, said).advising("run the doctor again in some minutes"),
    }
}

#[cfg(test)]
mod tests {
    use spillway_core::budget::{Denial, DenialReason};
    use spillway_core::hold::HoldCause;
    use spillway_core::status::Why;
    use spillway_core::time::Timestamp;
    use spillway_core::upkeep::ALL_FIELDS;
    use spillway_meta::error::GraphError;
    use spillway_meta::usage::Usage;

    use super::super::finding::Verdict::{self, Good, Skipped, Warning, Wrong};
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn refused(code: i64, subcode: Option<i64>) -> NoAnswer {
        let error = GraphError { status: 400, code: Some(code), subcode, ..GraphError::default() };
        NoAnswer::Failed(CallError::Refused { error, usage: Usage::default(), server_date: None })
    }

    #[test]
    fn what_meta_refuses_for_good_is_wrong_and_what_passes_is_not_judged() {
        let verdict = |no_answer: NoAnswer| unanswered(IDENTITY, &no_answer).verdict;
        let wrong = [(190, None), (10, None), (368, None), (100, Some(33))];
        for (code, subcode) in wrong {
            assert_eq!(verdict(refused(code, subcode)), Wrong, "{code}");
        }
        assert_eq!(verdict(refused(4, None)), Skipped);
        assert_eq!(verdict(refused(2, None)), Skipped);
        assert_eq!(verdict(NoAnswer::Failed(CallError::NotWritten)), Skipped);
        let denial = Denial { reason: DenialReason::Hold(HoldCause::Throttled), retry_at: NOW };
        assert_eq!(verdict(NoAnswer::Denied(denial)), Skipped);
    }

    #[test]
    fn a_token_must_be_its_own_accounts() {
        let me = |id: &str| Me {
            account: AccountId::new(id),
            app_scoped: None,
            username: None,
            kind: Some("BUSINESS".into()),
        };
        let verdicts = |me: Me| -> Vec<Verdict> {
            let findings = identity(&AccountId::new("1"), &Ok(me));
            findings.iter().map(|finding| finding.verdict).collect()
        };
        assert_eq!(verdicts(me("1")), [Good, Good]);
        assert_eq!(verdicts(me("2")), [Wrong, Good]);
    }

    #[test]
    fn a_permission_that_is_missing_is_named_and_what_else_fails_is_not_taken_for_it() {
        let missing = [may_send(&Err(refused(200, None))), may_read(&Err(refused(10, None)))];
        let named = ["instagram_business_manage_messages", "instagram_business_manage_comments"];
        for (finding, named) in missing.iter().zip(named) {
            assert_eq!(finding.verdict, Wrong);
            assert!(finding.said.contains(named), "{}", finding.said);
            assert!(finding.do_this.as_ref().unwrap().contains("Advanced Access"));
        }
        let [who, _] = &identity(&AccountId::new("1"), &Err(refused(10, None)))[..] else {
            panic!("who it is, and its kind")
        };
        assert!(who.said.contains("`instagram_business_basic` is missing"), "{}", who.said);
        assert_eq!(may_send(&Err(refused(4, None))).verdict, Skipped);
        assert!(!may_send(&Err(refused(190, None))).said.contains("manage_messages"));
        assert_eq!(may_read(&Ok(CommentsRead::NoMedia)).verdict, Skipped);
        assert_eq!(
            (may_send(&Ok(())).verdict, may_read(&Ok(CommentsRead::Some)).verdict),
            (Good, Good)
        );
    }

    #[test]
    fn only_professional_accounts_will_do() {
        let kinds = ["Business", "MEDIA_CREATOR", "Personal", "ROBOT"];
        let verdicts = kinds.map(|of| kind(Some(of)).verdict);
        assert_eq!(verdicts, [Good, Good, Wrong, Warning]);
        assert_eq!(kind(None).verdict, Skipped);
    }

    #[test]
    fn a_subscription_must_be_whole() {
        let on = serde_json::json!({ "id": "c", "on": ["referral"], "messages": ["Hi"] });
        let referral = Campaigns::new([serde_json::from_value(on).unwrap()]);
        let of_comments = Campaigns::default();
        let of = |fields: &[&str], campaigns| {
            let fields = fields.iter().map(|&field| field.to_owned()).collect();
            subscribed(&Ok(Subscription::Fields(fields)), campaigns)
        };
        assert_eq!(of(&ALL_FIELDS, &referral).verdict, Good);
        let without_echoes = of(&WEBHOOK_FIELDS, &of_comments);
        assert_eq!(without_echoes.verdict, Warning);
        assert!(without_echoes.said.contains("message_echoes (whether"), "{}", without_echoes.said);
        let one = of(&ALL_FIELDS[..5], &referral);
        assert!(one.said.contains("lacks messaging_referral (people"), "{}", one.said);
        assert_eq!(of(&ALL_FIELDS[..4], &of_comments).verdict, Good, "nothing is on the others");
        let some = of(&["comments"], &of_comments);
        assert_eq!(some.verdict, Wrong);
        assert!(some.said.contains("live_comments, messages"), "{}", some.said);
        assert_eq!(subscribed(&Ok(Subscription::None), &of_comments).verdict, Wrong);
        assert_eq!(subscribed(&Ok(Subscription::Some), &of_comments).verdict, Good);
    }

    #[test]
    fn a_state_is_judged_by_what_it_keeps_from_going_out() {
        let verdict = |of: State| {
            let (why, next) = (Why::Nothing, Next::GoesOn);
            state(&Condition { state: of, since: None, why, next }, &Times::utc(NOW)).verdict
        };
        assert_eq!(verdict(State::Healthy), Good);
        assert_eq!(verdict(State::WarmingUp), Good);
        assert_eq!(verdict(State::Held), Warning);
        assert_eq!(verdict(State::TokenExpiring), Warning);
        assert_eq!(verdict(State::TokenDead), Wrong);
        assert_eq!(verdict(State::Silent), Wrong);
    }

    #[test]
    fn without_a_campaign_that_runs_nothing_is_answered() {
        assert_eq!(campaigns(&Campaigns::default(), |_| false).verdict, Warning);
        let two = ["a", "b"].map(|id| {
            let fields = serde_json::json!({ "id": id, "messages": ["Hi"] });
            serde_json::from_value(fields).unwrap()
        });
        let two = Campaigns::new(two);
        assert_eq!(campaigns(&two, |_| false).said, "2 of 2 run");
        let held = campaigns(&two, |id| id.as_str() == "a");
        assert_eq!(held.said, "1 of 2 run, and 1 is on hold");
    }

    #[test]
    fn a_missing_permission_is_not_waited_for() {
        let why = Why::Answer(HoldCause::Permission);
        let next = Next::Probe(NOW);
        let held = Condition { state: State::Held, since: None, why, next };
        let do_this = state(&held, &Times::utc(NOW)).do_this.unwrap();
        for part in [MANAGE_MESSAGES, MANAGE_COMMENTS, "allow access to messages", "App Review"] {
            assert!(do_this.contains(part), "{do_this}");
        }
    }

    #[test]
    fn every_finding_that_is_not_good_says_what_to_do() {
        let findings = [
            unanswered(IDENTITY, &refused(190, None)),
            unanswered(IDENTITY, &refused(4, None)),
            subscribed(&Ok(Subscription::None), &Campaigns::default()),
            kind(Some("Personal")),
            campaigns(&Campaigns::default(), |_| false),
        ];
        for finding in findings {
            assert!(finding.do_this.is_some(), "{finding:?}");
        }
    }
}
