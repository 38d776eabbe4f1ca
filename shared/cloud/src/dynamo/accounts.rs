//! Connected accounts: settings, campaigns and the sealed token, in one partition each.

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use spillway_core::campaign::{Campaign, Campaigns};
use spillway_core::id::AccountId;
use spillway_core::quota::Profile;
use spillway_service::account::Account;
use spillway_service::port::{Accounts, StoreError};

use super::item::{Item, Reader, b, json, s};
use super::unavailable;
use crate::schema::{account_pk, campaign_sk};
use crate::secrets::TokenKey;

/// Accounts in the `state` table.
pub struct DynamoAccounts {
    /// The client.
    pub client: Client,
    /// The `state` table's name.
    pub table: String,
    /// What tokens are sealed with.
    pub key: TokenKey,
}

const LOAD: &str = "load the account";
const CONNECT: &str = "connect the account";

#[async_trait]
impl Accounts for DynamoAccounts {
    async fn load(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(account_pk(id)))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut settings = None;
        let mut campaigns: Vec<Campaign> = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| unavailable(LOAD, error))?;
            let reader = Reader { item: &item, what: LOAD };
            match reader.text("sk")? {
                "settings" => settings = Some(self.settings(id, &reader)?),
                sk if sk.starts_with("campaign#") => campaigns.push(reader.json("campaign")?),
                other => return Err(reader.corrupt(format!("unknown item `{other}`"))),
            }
        }
        let account = settings.map(|(profile, token)| Account {
            id: id.clone(),
            profile,
            campaigns: Campaigns::new(campaigns),
            token,
        });
        Ok(account)
    }
}

impl DynamoAccounts {
    fn settings(
        &self,
        id: &AccountId,
        reader: &Reader<'_>,
    ) -> Result<(Profile, secrecy::SecretString), StoreError> {
        let profile: Profile = reader.json("profile")?;
        profile.validate().map_err(|error| reader.corrupt(error))?;
        let token =
            self.key.open(id, reader.bytes("token")?).map_err(|error| reader.corrupt(error))?;
        Ok((profile, token))
    }

    /// Connects an account, or replaces what is known of it; its campaigns are added or replaced.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn connect(
        &self,
        id: &AccountId,
        profile: &Profile,
        token: &secrecy::SecretString,
        campaigns: &[Campaign],
    ) -> Result<(), StoreError> {
        let sealed = self.key.seal(id, token).map_err(|error| StoreError::Unavailable {
            what: CONNECT,
            detail: error.to_string(),
        })?;
        let campaigns = campaigns.iter().map(|campaign| {
            Item::from([
                ("pk".into(), s(account_pk(id))),
                ("sk".into(), s(campaign_sk(&campaign.id))),
                ("campaign".into(), json(campaign)),
            ])
        });
        let settings = Item::from([
            ("pk".into(), s(account_pk(id))),
            ("sk".into(), s("settings")),
            ("profile".into(), json(profile)),
            ("token".into(), b(sealed)),
        ]);
        // The settings make the account: with them come all of its campaigns, or comments and
        // waiting sends that look for one would be dropped.
        for item in campaigns.chain([settings]) {
            self.client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(item))
                .send()
                .await
                .map_err(|error| unavailable(CONNECT, error))?;
        }
        Ok(())
    }
}
