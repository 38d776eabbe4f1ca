//! In the place of HPKE: texts that nobody reads by accident.

use async_trait::async_trait;
use spillway_core::conversation::Email;
use spillway_core::id::{AccountId, RecipientId};
use spillway_core::misses::SampleText;
use spillway_service::port::{
    LeadOpener, LeadSealer, SampleOpener, SampleSealer, SealedText, StoreError,
};

/// Turns the bits of texts, and turns them back.
pub struct Sealer;

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

#[async_trait]
impl SampleSealer for Sealer {
    async fn seal(
        &self,
        _: &AccountId,
        texts: &[&SampleText],
    ) -> Result<Option<Vec<SealedText>>, StoreError> {
        let seal =
            |text: &&SampleText| SealedText { key: 1, sealed: turned(text.expose().as_bytes()) };
        Ok(Some(texts.iter().map(seal).collect()))
    }
}

#[async_trait]
impl SampleOpener for Sealer {
    async fn open(&self, _: &AccountId, text: &SealedText) -> Result<String, StoreError> {
        opened(text)
    }
}

#[async_trait]
impl LeadSealer for Sealer {
    async fn seal_lead(
        &self,
        _: &AccountId,
        _: &RecipientId,
        email: &Email,
    ) -> Result<SealedText, StoreError> {
        Ok(SealedText { key: 1, sealed: turned(email.as_str().as_bytes()) })
    }
}

#[async_trait]
impl LeadOpener for Sealer {
    async fn open_lead(
        &self,
        _: &AccountId,
        _: &RecipientId,
        email: &SealedText,
    ) -> Result<String, StoreError> {
        opened(email)
    }
}

fn opened(text: &SealedText) -> Result<String, StoreError> {
    let invalid = |error: std::string::FromUtf8Error| StoreError::Corrupt {
        what: "open a text",
        detail: error.utf8_error().to_string(),
    };
    String::from_utf8(turned(&text.sealed)).map_err(invalid)
}
