//! What the console function alone reads from its environment.

use spillway_cloud::config::ConfigError;
use spillway_console::sign_in::{Allowed, SignInOptions};

/// The claim in which a Cognito pool names groups.
const COGNITO_GROUPS: &str = "cognito:groups";

/// What the console function alone reads.
pub struct ConsoleConfig {
    /// `SPILLWAY_CONSOLE_SECRET_ID`: the name or ARN of its secret.
    pub secret_id: String,
    /// `SPILLWAY_CONSOLE_ISSUER`, `SPILLWAY_CONSOLE_CLIENT_ID`, `SPILLWAY_CONSOLE_ALLOWED`,
    /// `SPILLWAY_CONSOLE_GROUPS_CLAIM` (that of Cognito by default) and `SPILLWAY_CONSOLE_DOMAIN` (the
    /// function's own address by default).
    pub sign_in: SignInOptions,
}

impl ConsoleConfig {
    /// Reads it through `get`, which gives a variable's value.
    ///
    /// # Errors
    /// Names every variable that is missing, empty or mistaken.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut missing = Vec::new();
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let allowed = Allowed::parse(&get("SPILLWAY_CONSOLE_ALLOWED").unwrap_or_default());
        let mut required = |name, meaning, is_right: fn(&str) -> bool| {
            let value = get(name).filter(|value| is_right(value));
            value.unwrap_or_else(|| {
                missing.push((name, meaning));
                String::new()
            })
        };
        let secret_id = required(
            "SPILLWAY_CONSOLE_SECRET_ID",
            "name or ARN of the secret of the console",
            |_| true,
        );
        let issuer = required(
            "SPILLWAY_CONSOLE_ISSUER",
            "address of the issuer of sign-ins, https://…",
            spillway_console::sign_in::is_safe,
        );
        let client_id =
            required("SPILLWAY_CONSOLE_CLIENT_ID", "what the issuer knows the console by", |_| {
                true
            });
        let groups_claim =
            get("SPILLWAY_CONSOLE_GROUPS_CLAIM").unwrap_or_else(|| COGNITO_GROUPS.into());
        let domain = get("SPILLWAY_CONSOLE_DOMAIN");
        match allowed {
            Ok(allowed) if missing.is_empty() => {
                let sign_in = SignInOptions { issuer, client_id, allowed, groups_claim, domain };
                Ok(Self { secret_id, sign_in })
            }
            Ok(_) => Err(ConfigError { missing }),
            Err(_) => {
                let meaning = "whom the console lets in: `ana@example.com,@example.com,group:NAME`";
                missing.push(("SPILLWAY_CONSOLE_ALLOWED", meaning));
                Err(ConfigError { missing })
            }
        }
    }

    /// Reads the process's environment.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }
}
