//! Tokens: in the account's settings item, the one in use and, while it is not proven, the next
//! one.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use spillway_core::id::AccountId;
use spillway_core::upkeep::TokenLife;
use spillway_service::account::SealedToken;
use spillway_service::port::{KeptToken, NextToken, Read, StoreError, Tokens};
use spillway_service::versioned::Races;

use super::DynamoAccounts;
use super::accounts::settings_key;
use super::item::{Reader, at, b, n};
use super::table::{Ask, Table};

/// Tokens in the `state` table.
pub struct DynamoTokens {
    /// The `state` table.
    pub table: Table,
}

const LOAD: &str = "load the account's token";
const CHANGE: &str = "change the account's token";

const FORGET_NEXT: &str = "REMOVE next_token, next_token_key, next_token_obtained, next_token_ends";

#[async_trait]
impl Tokens for DynamoTokens {
    async fn load(&self, account: &AccountId) -> Result<Option<KeptToken>, StoreError> {
        let get = self.table.get(settings_key(account)).consistent_read(true);
        let Some(item) = get.ask(LOAD).await? else { return Ok(None) };
        let reader = Reader { item: &item, what: LOAD };
        let (token, life) = token_of(&reader, "token")?;
        let next = if item.contains_key("next_token") {
            let (token, life) = token_of(&reader, "next_token")?;
            Some(NextToken { token, life })
        } else {
            None
        };
        Ok(Some(KeptToken { token, life, next }))
    }

    async fn note_life(
        &self,
        account: &AccountId,
        token: &SealedToken,
        life: TokenLife,
    ) -> Result<(), StoreError> {
        let update = self.update(account).condition_expression("#token = :token");
        let update = update.expression_attribute_names("#token", "token");
        let update = update.expression_attribute_values(":token", b(token.sealed.as_slice()));
        // Another token by now has a life of its own.
        change(with_life(update, "token", life, Vec::new(), "")).await.map(|_| ())
    }

    async fn keep_next(
        &self,
        account: &AccountId,
        token: &SealedToken,
        next: &NextToken,
    ) -> Result<bool, StoreError> {
        let update = self
            .update(account)
            .condition_expression("#token = :token")
            .expression_attribute_names("#token", "token")
            .expression_attribute_values(":token", b(token.sealed.as_slice()))
            .expression_attribute_values(":next", b(next.token.sealed.as_slice()))
            .expression_attribute_values(":key", n(next.token.key));
        let set = vec!["next_token = :next", "next_token_key = :key"];
        change(with_life(update, "next_token", next.life, set, "")).await
    }

    async fn swap(&self, account: &AccountId, next: &NextToken) -> Result<bool, StoreError> {
        let accounts = DynamoAccounts { table: self.table.clone() };
        let mut races = Races::new(CHANGE);
        loop {
            races.enter()?;
            let Some(kept) = self.load(account).await? else { return Ok(false) };
            if kept.token == next.token {
                // Our own write, whose answer was lost and which the SDK tried again, or that of a
                // visit which died before it could announce it.
                if let Some(revision) = accounts.stored_revision(account, Read::Consistent).await? {
                    accounts.announce_revision(account, revision).await?;
                }
                return Ok(true);
            }
            if kept.next.is_none_or(|kept| kept.token != next.token) {
                return Ok(false);
            }
            let revision = accounts.next_revision(account).await?;
            let update = self
                .update(account)
                .condition_expression(
                    "next_token = :next AND (attribute_not_exists(revision) OR revision < :revision)",
                )
                .expression_attribute_names("#token", "token")
                .expression_attribute_values(":next", b(next.token.sealed.as_slice()))
                .expression_attribute_values(":key", n(next.token.key))
                .expression_attribute_values(":revision", n(revision.0));
            let set = vec!["#token = :next", "token_key = :key", "revision = :revision"];
            if change(with_life(update, "token", next.life, set, FORGET_NEXT)).await? {
                accounts.announce_revision(account, revision).await?;
                return Ok(true);
            }
        }
    }

    async fn drop_next(&self, account: &AccountId, next: &NextToken) -> Result<(), StoreError> {
        let update = self
            .update(account)
            .update_expression(FORGET_NEXT)
            .condition_expression("next_token = :next")
            .expression_attribute_values(":next", b(next.token.sealed.as_slice()));
        change(update).await.map(|_| ())
    }
}

impl DynamoTokens {
    fn update(&self, account: &AccountId) -> UpdateItemFluentBuilder {
        self.table.update(settings_key(account))
    }
}

/// Whether the condition held.
async fn change(update: UpdateItemFluentBuilder) -> Result<bool, StoreError> {
    Ok(update.ask(CHANGE).await?.is_done())
}

/// An update that also sets what is known of the life of the token named `name`, and forgets what
/// is not.
fn with_life(
    mut update: UpdateItemFluentBuilder,
    name: &str,
    life: TokenLife,
    set: Vec<&str>,
    remove: &str,
) -> UpdateItemFluentBuilder {
    let mut set: Vec<String> = set.into_iter().map(str::to_owned).collect();
    let mut forget = Vec::new();
    for (what, instant) in [("obtained", life.obtained_at), ("ends", life.ends_at)] {
        match instant {
            Some(instant) => {
                update = update.expression_attribute_values(format!(":{what}"), at(instant));
                set.push(format!("{name}_{what} = :{what}"));
            }
            None => forget.push(format!("{name}_{what}")),
        }
    }
    let mut expression =
        if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
    match (remove.is_empty(), forget.is_empty()) {
        (_, true) => expression += remove,
        (true, false) => expression += &format!("REMOVE {}", forget.join(", ")),
        (false, false) => expression += &format!("{remove}, {}", forget.join(", ")),
    }
    update.update_expression(expression.trim_end())
}

/// A token by the name of its attribute, with its key and its life beside it.
fn token_of(reader: &Reader<'_>, name: &str) -> Result<(SealedToken, TokenLife), StoreError> {
    let token = SealedToken {
        key: reader.number(&format!("{name}_key"))?,
        sealed: reader.bytes(name)?.to_owned(),
    };
    let life = TokenLife {
        obtained_at: reader.opt_at(&format!("{name}_obtained"))?,
        ends_at: reader.opt_at(&format!("{name}_ends"))?,
    };
    Ok((token, life))
}
