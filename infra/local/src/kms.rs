//! KMS as far as Spillway asks for it: data keys out of [`LocalKeys`]. Key ids are unread; the
//! encryption context must be ours.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use spillway_cloud::token::Purpose;
use spillway_service::port::StoreError;

use crate::aws_json::{Refusal, Service, parse};
use crate::keys::LocalKeys;

/// What stands for the ARN of the deployment's key.
pub const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/local";

/// The service.
pub struct Kms(pub Arc<LocalKeys>);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(default)]
    ciphertext_blob: String,
    #[serde(default)]
    encryption_context: HashMap<String, String>,
}

impl Service for Kms {
    fn call(&self, target: &str, body: &[u8]) -> Result<Value, Refusal> {
        let request: Request = parse(body)?;
        let refused = |why: String| Refusal::new("InvalidCiphertextException", why);
        let is_given = |purpose: &Purpose| {
            let (name, value) = purpose.context();
            request.encryption_context.get(name).is_some_and(|given| given == value)
        };
        let Some(purpose) = Purpose::ALL.into_iter().find(is_given) else {
            return Err(refused("another encryption context".into()));
        };
        match target {
            "TrentService.GenerateDataKey" => {
                let gone =
                    |error: StoreError| Refusal::new("KMSInternalException", error.to_string());
                let (plain, encrypted) = self.0.make(purpose).map_err(gone)?;
                Ok(json!({
                    "KeyId": KEY,
                    "CiphertextBlob": STANDARD.encode(encrypted),
                    "Plaintext": STANDARD.encode(plain),
                }))
            }
            "TrentService.Decrypt" => {
                let encrypted = STANDARD.decode(&request.ciphertext_blob);
                let encrypted = encrypted.map_err(|_| refused("no base64".into()))?;
                let plain = self
                    .0
                    .plain(purpose, &encrypted)
                    .map_err(|error| refused(error.to_string()))?;
                Ok(json!({ "KeyId": KEY, "Plaintext": STANDARD.encode(plain) }))
            }
            other => Err(Refusal::unknown(other)),
        }
    }
}
