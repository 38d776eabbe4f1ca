//! The profiles of a file: those that come with Spillway, and the file's own.

use std::time::Duration;

use spillway_core::profile::{Profile, ProfileError, SlowDown};
use spillway_core::quota::{Action, Limit, Quota, Unit};
use toml::Spanned;

use super::form::CustomProfile;
use super::mistake::{Mistakes, Reason};
use super::tree::Tree;

/// The name of the quota that a spread makes.
const VELOCITY: &str = "velocity";

const HOUR: Duration = Duration::from_secs(3600);

/// The profiles there are: those that come with Spillway, and the file's.
pub(super) fn read(
    custom: Vec<Spanned<CustomProfile>>,
    tree: &Tree<'_>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Profile> {
    let mut known = vec![Profile::careful(), Profile::meta()];
    for profile in custom {
        let span = profile.span();
        let is_wounded = tree.is_wounded(&span);
        let CustomProfile { name, base, quota, spread, warm_up, slow_down } = profile.into_inner();
        let (name_span, name) = (name.span(), name.into_inner());
        // One that is missing has no place in the file, and was said to be missing.
        let is_named = !name_span.is_empty();
        if is_named && name.trim().is_empty() {
            mistakes.add(name_span, Reason::NoName);
        } else if is_named && known.iter().any(|profile| profile.name == name) {
            mistakes.add(name_span, Reason::SameProfile(name.clone()));
        }
        let none = Profile {
            name: name.clone(),
            quotas: Vec::new(),
            spread: None,
            warm_up: None,
            slow_down: SlowDown::default(),
        };
        let mut profile = match base {
            None => none,
            Some(base) => match known.iter().find(|profile| profile.name == *base.get_ref()) {
                Some(base) => Profile { name: name.clone(), ..base.clone() },
                None => {
                    if !tree.is_touched("profile") {
                        mistakes.add(base.span(), Reason::NoBase(base.into_inner()));
                    }
                    // Accounts that name it are not to blame.
                    known.push(Profile { name, ..Profile::careful() });
                    continue;
                }
            },
        };
        for (at, row) in quota.iter().enumerate() {
            let row_of = |row: &Spanned<Quota>| row.get_ref().id.clone();
            let is_whole = !tree.is_wounded(&row.span());
            if is_whole && quota[..at].iter().any(|other| row_of(other) == row_of(row)) {
                mistakes.add(row.span(), Reason::SameQuota(row_of(row)));
                continue;
            }
            match profile.quotas.iter_mut().find(|known| known.id == row_of(row)) {
                Some(known) => *known = row.get_ref().clone(),
                None => profile.quotas.push(row.get_ref().clone()),
            }
        }
        let (spreads, warms_up) =
            (spread.as_ref().map(Spanned::span), warm_up.as_ref().map(Spanned::span));
        let slows_down = slow_down.as_ref().map(Spanned::span);
        profile.spread = spread.map(Spanned::into_inner).or(profile.spread);
        profile.warm_up = warm_up.map(Spanned::into_inner).or(profile.warm_up);
        profile.slow_down = slow_down.map_or(profile.slow_down, Spanned::into_inner);
        let of_row = |id: &str| {
            let row = quota.iter().find(|row| row.get_ref().id.as_str() == id);
            row.map(Spanned::span)
        };
        let mut is_sound = true;
        for error in faults(&profile) {
            let at = match &error {
                ProfileError::Reserved => of_row(VELOCITY),
                ProfileError::Active | ProfileError::NothingToSpread => spreads.clone(),
                ProfileError::WarmUp => warms_up.clone(),
                ProfileError::SlowDown => slows_down.clone(),
                other => other.quota().and_then(|id| of_row(id.as_str())),
            };
            is_sound = false;
            // Where a part could not be read, what it lacks is that part's mistake.
            if !is_wounded || at.as_ref().is_some_and(|at| !tree.is_wounded(at)) {
                let at = at.unwrap_or(span.clone());
                mistakes.add(at, Reason::Profile(name.clone(), error));
            }
        }
        if !is_sound || is_wounded {
            // Accounts that name it are not to blame.
            let counts = if is_sound { profile } else { Profile { name, ..Profile::careful() } };
            known.push(counts);
            continue;
        }
        // Rules that are stored may lack these rows: so this is no fault of a profile as such.
        for (action, named) in [(Action::Message, "message"), (Action::PublicReply, "public_reply")]
        {
            if !profile.quotas.iter().any(|quota| quota.counts(action)) {
                mistakes.add(span.clone(), Reason::Unlimited(name.clone(), named));
            }
        }
        known.push(profile);
    }
    known
}

/// Returns everything that is wrong with a profile: each part that breaks a rule is mended, and the
/// profile is checked again.
fn faults(profile: &Profile) -> Vec<ProfileError> {
    let (mut rest, mut faults) = (profile.clone(), Vec::new());
    while let Err(error) = rest.validate() {
        let row = error.quota().cloned();
        let row = rest.quotas.iter_mut().find(|quota| Some(&quota.id) == row.as_ref());
        match (&error, row) {
            (ProfileError::NoWindow(_) | ProfileError::LongWindow(_), Some(row)) => {
                row.window = HOUR;
            }
            (ProfileError::NoAction(_) | ProfileError::SomePeople(_), Some(row)) => {
                row.actions = Action::ALL.to_vec();
            }
            (ProfileError::NeverSends(_), Some(row)) => row.limit = Limit::TIERS,
            (ProfileError::Name(id), _) => rest.quotas.retain(|quota| quota.id != *id),
            (ProfileError::Reserved, _) => {
                rest.quotas.retain(|quota| quota.id.as_str() != VELOCITY);
            }
            (ProfileError::Unlimited(_), _) => {
                let calls = Quota::new("all", &Action::ALL, Unit::Calls, HOUR, Limit::TIERS);
                rest.quotas.push(calls);
            }
            (ProfileError::Active | ProfileError::NothingToSpread, _) => rest.spread = None,
            (ProfileError::WarmUp, _) => rest.warm_up = None,
            (ProfileError::SlowDown, _) => rest.slow_down = SlowDown::default(),
            _ => {
                faults.push(error);
                break;
            }
        }
        faults.push(error);
    }
    faults
}
