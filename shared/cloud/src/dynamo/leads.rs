//! Leads: a partition an account, with an item for each. A lead that no event has told of yet has a copy in
//! one of eight other partitions, which are nearly always empty.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use spillway_core::conversation::Origin;
use spillway_core::id::{AccountId, CampaignId, RecipientId};
use spillway_core::time::Timestamp;
use spillway_service::keys;
use spillway_service::port::{Lead, LeadPage, Leads, SealedText, StoreError};

use super::item::{Item, Reader, at, b, n, s};
use super::table::{Ask, Table, key};
use crate::failure::unavailable;
use crate::schema::EXPIRES_AT;

/// Leads in the `state` table.
pub struct DynamoLeads {
    /// The `state` table.
    pub table: Table,
    /// Whether leads are told of.
    pub are_told: bool,
}

const STORE: &str = "store a lead";
const LIST: &str = "list leads";
const DELETE: &str = "delete leads";
const UNTOLD: &str = "list untold leads";
const TOLD: &str = "note that a lead was told of";

/// Items of a page at most. Each has some 300 bytes.
const PAGE: i32 = 1000;

#[async_trait]
impl Leads for DynamoLeads {
    async fn store(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        let mut item = key(keys::leads(account), sk_of(lead));
        item.extend(body(lead));
        // First, so that no lead that is stored stays untold. It is told again where it was told of in
        // between.
        if self.are_told {
            let mut untold = key(keys::untold(account), keys::untold_sk(account, &sk_of(lead)));
            untold.extend(body(lead));
            untold.insert("account".into(), s(account.as_str()));
            self.table.put(untold).ask(STORE).await?;
        }
        let put = self.table.put(item).condition_expression("attribute_not_exists(pk)");
        put.ask(STORE).await.map(drop)
    }

    async fn list(
        &self,
        account: &AccountId,
        since: Timestamp,
        now: Timestamp,
        after: Option<&str>,
    ) -> Result<LeadPage, StoreError> {
        let start = after.map(|sk| key(keys::leads(account), sk));
        let answer = self
            .table
            .partition(keys::leads(account))
            .set_exclusive_start_key(start)
            .limit(PAGE)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable(LIST, error))?;
        let mut leads: Vec<Lead> = answer.items().iter().map(lead_of).collect::<Result<_, _>>()?;
        leads.retain(|lead| lead.at >= since && now < lead.kept_until);
        let next = answer.last_evaluated_key().and_then(|last| last.get("sk"));
        let next = next.and_then(|sk| sk.as_s().ok()).cloned();
        Ok(LeadPage { leads, next })
    }

    async fn untold(&self, limit: usize) -> Result<Vec<(AccountId, Lead)>, StoreError> {
        let limit = i32::try_from(limit).unwrap_or(PAGE);
        let parts = (0..keys::SHARDS).map(|shard| async move {
            let query = self.table.partition(keys::untold_shard(shard));
            let answer = query.limit(limit).consistent_read(true).send().await;
            let answer = answer.map_err(|error| unavailable(UNTOLD, error))?;
            let of_item = |item: &Item| {
                let reader = Reader { item, what: UNTOLD };
                Ok((AccountId::new(reader.text("account")?), lead_of(item)?))
            };
            answer.items().iter().map(of_item).collect::<Result<Vec<_>, StoreError>>()
        });
        Ok(try_join_all(parts).await?.into_iter().flatten().collect())
    }

    async fn told(&self, account: &AccountId, lead: &Lead) -> Result<(), StoreError> {
        let key = key(keys::untold(account), keys::untold_sk(account, &sk_of(lead)));
        self.table.delete(key).ask(TOLD).await.map(drop)
    }

    async fn forget(&self, account: &AccountId, person: &RecipientId) -> Result<usize, StoreError> {
        self.forget_untold(account, &keys::leads_of_person_sk(person)).await?;
        let query = self
            .table
            .partition(keys::leads(account))
            .key_condition_expression("pk = :pk AND begins_with(sk, :theirs)")
            .expression_attribute_values(":theirs", s(keys::leads_of_person_sk(person)))
            .filter_expression("person = :person")
            .expression_attribute_values(":person", s(person.as_str()));
        let found = query.projection_expression("sk").consistent_read(true).ask(DELETE);
        self.delete_found(keys::leads(account), found).await
    }

    async fn delete(&self, account: &AccountId) -> Result<(), StoreError> {
        self.forget_untold(account, "").await?;
        let query = self.table.partition(keys::leads(account)).projection_expression("sk");
        let found = query.consistent_read(true).ask(DELETE);
        self.delete_found(keys::leads(account), found).await.map(drop)
    }
}

impl DynamoLeads {
    /// Deletes untold leads of an account whose own sort keys begin so.
    async fn forget_untold(&self, account: &AccountId, begins: &str) -> Result<(), StoreError> {
        if !self.are_told {
            return Ok(());
        }
        let query = self
            .table
            .partition(keys::untold(account))
            .key_condition_expression("pk = :pk AND begins_with(sk, :theirs)")
            .expression_attribute_values(":theirs", s(keys::untold_sk(account, begins)))
            .projection_expression("sk");
        let found = query.consistent_read(true).ask(DELETE);
        self.delete_found(keys::untold(account), found).await.map(drop)
    }

    async fn delete_found(
        &self,
        partition: String,
        found: impl Future<Output = Result<Vec<Item>, StoreError>>,
    ) -> Result<usize, StoreError> {
        let items = found.await?;
        for item in &items {
            let reader = Reader { item, what: DELETE };
            let sk = reader.text("sk")?;
            self.table.delete(key(&partition, sk)).ask(DELETE).await?;
        }
        Ok(items.len())
    }
}

fn sk_of(Lead { person, campaign, origin, .. }: &Lead) -> String {
    keys::lead_sk(person, campaign, *origin)
}

/// What is stored of a lead beside its keys.
fn body(lead: &Lead) -> [(String, AttributeValue); 7] {
    let Lead { campaign, origin, person, at: given_at, kept_until, email } = lead;
    [
        ("campaign".into(), s(campaign.as_str())),
        ("origin".into(), n(origin.as_u64())),
        ("person".into(), s(person.as_str())),
        ("at".into(), at(*given_at)),
        ("key".into(), n(email.key)),
        ("sealed".into(), b(email.sealed.as_slice())),
        (EXPIRES_AT.into(), n(kept_until.as_secs())),
    ]
}

fn lead_of(item: &Item) -> Result<Lead, StoreError> {
    let reader = Reader { item, what: LIST };
    Ok(Lead {
        campaign: CampaignId::new(reader.text("campaign")?),
        origin: Origin::from_u64(reader.number("origin")?),
        person: RecipientId::new(reader.text("person")?),
        at: reader.at("at")?,
        kept_until: Timestamp::from_secs(reader.number(EXPIRES_AT)?),
        email: SealedText {
            key: reader.number("key")?,
            sealed: reader.bytes("sealed")?.to_owned(),
        },
    })
}
