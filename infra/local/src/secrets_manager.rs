//! Secrets Manager as far as Spillway asks for it: the one secret of the stack, as it is now.

use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use spillway_cloud::secrets::Secrets;

use crate::aws_json::{Refusal, Service, parse};

/// What stands for the secret's ARN.
pub const SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:local-AbCdEf";

/// The same without the characters that Secrets Manager adds, which finds the secret too.
const PARTIAL: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:local";

/// What stands for the ARN of the secret of links. Operators do not ask for it.
pub const LINK_SECRET: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:links-AbCdEf";

/// The service.
pub struct SecretsManager(pub Secrets);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    secret_id: String,
}

impl Service for SecretsManager {
    fn call(&self, target: &str, body: &[u8]) -> Result<Value, Refusal> {
        match target {
            "secretsmanager.GetSecretValue" => {
                let request: Request = parse(body)?;
                if ![SECRET, PARTIAL].contains(&request.secret_id.as_str()) {
                    let message = "Secrets Manager can't find the specified secret.";
                    return Err(Refusal::new("ResourceNotFoundException", message));
                }
                let exposed = |secrets: &[secrecy::SecretString]| -> Vec<String> {
                    secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect()
                };
                let text = json!({
                    "app_secrets": exposed(&self.0.app_secrets),
                    "verify_tokens": exposed(&self.0.verify_tokens),
                });
                Ok(json!({ "ARN": SECRET, "Name": "local", "SecretString": text.to_string() }))
            }
            other => Err(Refusal::unknown(other)),
        }
    }
}
