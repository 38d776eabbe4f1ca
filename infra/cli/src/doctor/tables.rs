//! The tables: there, with the right keys, forgetting what is over and not what is lost.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{
    ContinuousBackupsDescription, KeyType, PointInTimeRecoveryStatus, TableDescription,
    TableStatus, TimeToLiveDescription, TimeToLiveStatus,
};
use spillway_cloud::failure::failure;
use spillway_cloud::schema::{EXPIRES_AT, SENDS_KEY, STATE_PARTITION, STATE_SORT};
use spillway_service::port::Failure;

use super::finding::Finding;
use crate::deployment::{Deployment, Services};

const TABLE: &str = "table";
const TTL: &str = "time to live";
const RECOVERY: &str = "point-in-time recovery";

/// Looks at both.
pub(super) async fn check(deployment: &Deployment) -> Vec<Finding> {
    let config = &deployment.config;
    let (sends, state) = futures::join!(
        look(deployment, &config.sends_table, &[(SENDS_KEY, KeyType::Hash)]),
        look(
            deployment,
            &config.state_table,
            &[(STATE_PARTITION, KeyType::Hash), (STATE_SORT, KeyType::Range)],
        ),
    );
    [sends, state].concat()
}

async fn look(deployment: &Deployment, name: &str, keys: &[(&str, KeyType)]) -> Vec<Finding> {
    let client = &deployment.dynamo;
    let described = client.describe_table().table_name(name).send().await;
    let table = match described {
        Ok(described) => table(name, described.table.as_ref(), keys),
        Err(error) => unseen(TABLE, name, failure(error)),
    };
    if deployment.services == Services::Local {
        let only = |check| Finding::skipped(check, format!("{name}: a local stack has none"));
        return vec![table, only(TTL), only(RECOVERY)];
    }
    let (ttl, backups) = futures::join!(
        client.describe_time_to_live().table_name(name).send(),
        client.describe_continuous_backups().table_name(name).send(),
    );
    let ttl = match ttl {
        Ok(ttl) => time_to_live(name, ttl.time_to_live_description.as_ref()),
        Err(error) => unseen(TTL, name, failure(error)),
    };
    let recovery = match backups {
        Ok(backups) => recovery(name, backups.continuous_backups_description.as_ref()),
        Err(error) => unseen(RECOVERY, name, failure(error)),
    };
    vec![table, ttl, recovery]
}

fn unseen(check: &'static str, name: &str, failure: Failure) -> Finding {
    let said = format!("{name}: {failure}");
    Finding::unseen(check, &Failure { said, ..failure })
}

fn table(name: &str, found: Option<&TableDescription>, keys: &[(&str, KeyType)]) -> Finding {
    let Some(found) = found else {
        return unseen(TABLE, name, Failure::other("DynamoDB describes nothing"));
    };
    let has: BTreeSet<(&str, &str)> = found
        .key_schema()
        .iter()
        .map(|key| (key.attribute_name(), key.key_type().as_str()))
        .collect();
    let wanted: BTreeSet<(&str, &str)> =
        keys.iter().map(|(name, kind)| (*name, kind.as_str())).collect();
    if has != wanted {
        return Finding::wrong(
            TABLE,
            format!("{name} has other keys than Spillway's"),
            "name the stack's own tables: write the deployment file again with `spillway deployment`",
        );
    }
    match found.table_status() {
        // All of them are read and written.
        Some(TableStatus::Active | TableStatus::Updating) => {
            Finding::good(TABLE, format!("{name} is there, with its keys"))
        }
        other => Finding::wrong(
            TABLE,
            format!("{name} is {}", other.map_or("in no known state", TableStatus::as_str)),
            "wait until it is ACTIVE; where it is being deleted, restore it (infra/OPERATIONS.md, \"Restore\")",
        ),
    }
}

fn time_to_live(name: &str, found: Option<&TimeToLiveDescription>) -> Finding {
    let status = found.and_then(TimeToLiveDescription::time_to_live_status);
    let attribute = found.and_then(TimeToLiveDescription::attribute_name);
    match (status, attribute) {
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(EXPIRES_AT)) => {
            Finding::good(TTL, format!("{name} forgets what is over"))
        }
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), other) => Finding::wrong(
            TTL,
            format!("{name} deletes by `{}`", other.unwrap_or_default()),
            format!("switch time to live off and on again, by `{EXPIRES_AT}`"),
        ),
        _ => Finding::wrong(
            TTL,
            format!("{name} keeps everything for ever, what people wrote too"),
            format!(
                "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification \
                 Enabled=true,AttributeName={EXPIRES_AT}"
            ),
        ),
    }
}

fn recovery(name: &str, found: Option<&ContinuousBackupsDescription>) -> Finding {
    let status = found
        .and_then(ContinuousBackupsDescription::point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status());
    match status {
        Some(PointInTimeRecoveryStatus::Enabled) => {
            Finding::good(RECOVERY, format!("{name} can be restored to any second"))
        }
        _ => Finding::warning(
            RECOVERY,
            format!("{name} could not be restored"),
            format!(
                "aws dynamodb update-continuous-backups --table-name {name} \
                 --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::{KeySchemaElement, PointInTimeRecoveryDescription};

    use super::super::finding::Verdict::{Good, Warning, Wrong};
    use super::*;

    #[test]
    fn a_table_is_good_with_its_keys_and_in_use() {
        let described = |status: TableStatus, key: &str| {
            let key = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
            let table = TableDescription::builder().table_status(status);
            table.key_schema(key.build().unwrap()).build()
        };
        let keys = [(SENDS_KEY, KeyType::Hash)];
        let verdict = |status, key| table("t", Some(&described(status, key)), &keys).verdict;
        assert_eq!(verdict(TableStatus::Active, "id"), Good);
        assert_eq!(verdict(TableStatus::Updating, "id"), Good);
        assert_eq!(verdict(TableStatus::Deleting, "id"), Wrong);
        assert_eq!(verdict(TableStatus::Active, "pk"), Wrong);
        assert_eq!(table("t", None, &keys).verdict, Wrong);
    }

    #[test]
    fn items_must_be_deleted_by_their_own_attribute() {
        let verdict = |status: TimeToLiveStatus, attribute: &str| {
            let found = TimeToLiveDescription::builder().time_to_live_status(status);
            time_to_live("t", Some(&found.attribute_name(attribute).build())).verdict
        };
        assert_eq!(verdict(TimeToLiveStatus::Enabled, "expires_at"), Good);
        assert_eq!(verdict(TimeToLiveStatus::Enabling, "expires_at"), Good);
        assert_eq!(verdict(TimeToLiveStatus::Enabled, "due"), Wrong);
        assert_eq!(verdict(TimeToLiveStatus::Disabled, "expires_at"), Wrong);
        assert_eq!(time_to_live("t", None).verdict, Wrong);
    }

    #[test]
    fn no_recovery_is_a_warning() {
        let verdict = |status: PointInTimeRecoveryStatus| {
            let point =
                PointInTimeRecoveryDescription::builder().point_in_time_recovery_status(status);
            let found = ContinuousBackupsDescription::builder()
                .continuous_backups_status("ENABLED".into())
                .point_in_time_recovery_description(point.build());
            recovery("t", Some(&found.build().unwrap())).verdict
        };
        assert_eq!(verdict(PointInTimeRecoveryStatus::Enabled), Good);
        assert_eq!(verdict(PointInTimeRecoveryStatus::Disabled), Warning);
        assert_eq!(recovery("t", None).verdict, Warning);
    }
}
