//! The price list: a file, and what is checked when it is read.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The list that comes with Spillway.
pub const LIST: &str = include_str!("prices.toml");

/// What AWS asks for each unit.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// The day as of which they are known.
    pub date: String,
    /// The region they are of.
    pub region: String,
    /// The processor that the functions run on.
    pub architecture: String,
    /// DynamoDB write request units.
    pub dynamodb_write: Price,
    /// DynamoDB read request units.
    pub dynamodb_read: Price,
    /// A GB in DynamoDB for a month.
    pub dynamodb_storage: Price,
    /// The same GB in the backups of point-in-time recovery.
    pub dynamodb_recovery: Price,
    /// SQS requests on standard queues, for each 64 KB.
    pub sqs_request: Price,
    /// On top of that, where messages name a group.
    pub sqs_fair: Price,
    /// Lambda requests.
    pub lambda_request: Price,
    /// A GB of a function's memory for a second.
    pub lambda_gb_second: Price,
    /// Invocations by EventBridge Scheduler.
    pub scheduler: Price,
    /// State transitions of Standard Workflows.
    pub step_functions: Price,
    /// A GB of logs.
    pub logs: Price,
    /// A GB to the internet.
    pub data_out: Price,
    /// KMS requests.
    pub kms: Price,
    /// A key of one's own for a month.
    pub kms_key: Price,
    /// A secret for a month.
    pub secret: Price,
    /// A metric of one's own for a month.
    pub metric: Price,
    /// A dashboard for a month.
    pub dashboard: Price,
    /// An alarm for a month.
    pub alarm: Price,
}

/// So many USD for so many units.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// USD.
    pub usd: f64,
    /// Units for it.
    pub per: u64,
    /// The page that says so.
    pub source: String,
}

/// A list that cannot be used.
#[derive(Debug)]
pub enum PricesError {
    /// It is no TOML, or not all of it is there.
    Unreadable(Box<toml::de::Error>),
    /// The date is none.
    Date(jiff::Error),
    /// A field that must not be empty is.
    Empty(&'static str),
    /// A price is not a number above zero, is for no units, or names no page.
    Unsound(&'static str),
}

impl std::error::Error for PricesError {}

impl fmt::Display for PricesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "the price list cannot be read: {error}"),
            Self::Date(error) => {
                write!(f, "the price list's `date` must be like 2026-06-01: {error}")
            }
            Self::Empty(field) => write!(f, "the price list's `{field}` is empty: fill it in"),
            Self::Unsound(price) => write!(
                f,
                "the price `{price}` needs `usd` above zero, `per` of at least 1, and the page that \
                 says so as `source`"
            ),
        }
    }
}

impl Prices {
    /// Reads a list.
    ///
    /// # Errors
    /// When a price is missing, unknown, not above zero, or without its source.
    pub fn read(text: &str) -> Result<Self, PricesError> {
        let prices: Self =
            toml::from_str(text).map_err(|error| PricesError::Unreadable(Box::new(error)))?;
        prices.date.parse::<Date>().map_err(PricesError::Date)?;
        let texts = [("region", &prices.region), ("architecture", &prices.architecture)];
        if let Some((field, _)) = texts.iter().find(|(_, text)| text.trim().is_empty()) {
            return Err(PricesError::Empty(field));
        }
        let unsound = prices.all().into_iter().find(|(_, price)| !price.is_sound());
        match unsound.map(|(name, _)| name) {
            Some(name) => Err(PricesError::Unsound(name)),
            None => Ok(prices),
        }
    }

    fn all(&self) -> [(&'static str, &Price); 18] {
        [
            ("dynamodb_write", &self.dynamodb_write),
            ("dynamodb_read", &self.dynamodb_read),
            ("dynamodb_storage", &self.dynamodb_storage),
            ("dynamodb_recovery", &self.dynamodb_recovery),
            ("sqs_request", &self.sqs_request),
            ("sqs_fair", &self.sqs_fair),
            ("lambda_request", &self.lambda_request),
            ("lambda_gb_second", &self.lambda_gb_second),
            ("scheduler", &self.scheduler),
            ("step_functions", &self.step_functions),
            ("logs", &self.logs),
            ("data_out", &self.data_out),
            ("kms", &self.kms),
            ("kms_key", &self.kms_key),
            ("secret", &self.secret),
            ("metric", &self.metric),
            ("dashboard", &self.dashboard),
            ("alarm", &self.alarm),
        ]
    }
}

impl Price {
    fn is_sound(&self) -> bool {
        self.usd.is_finite() && self.usd > 0.0 && self.per > 0 && !self.source.trim().is_empty()
    }

    /// USD for so many units.
    pub(super) fn of(&self, units: f64) -> f64 {
        units * self.usd / self.per as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_comes_with_it_is_sound() {
        let prices = Prices::read(LIST).unwrap();
        assert_eq!((prices.region.as_str(), prices.architecture.as_str()), ("us-east-1", "arm64"));
        assert!((prices.dynamodb_write.of(2_000_000.0) - 1.25).abs() < 1e-12);
    }

    #[test]
    fn a_list_with_a_mistake_is_refused_and_the_error_names_it() {
        for (right, wrong, named) in [
            ("usd = 0.625", "usd = -0.625", "dynamodb_write"),
            ("usd = 0.625", "usd = nan", "dynamodb_write"),
            ("usd = 0.10\nper = 1_000_000", "usd = 0.10\nper = 0", "sqs_fair"),
            ("source = \"AWS Lambda pricing: requests\"", "source = \" \"", "lambda_request"),
            ("region = \"us-east-1\"", "region = \"\"", "region"),
            ("date = \"2026-06-01\"", "date = \"June\"", "date"),
            ("[scheduler]", "[sheduler]", "sheduler"),
            ("[step_functions]\nusd = 25.0", "[step_functions]", "usd"),
        ] {
            assert!(LIST.contains(right), "{right}");
            let error = Prices::read(&LIST.replace(right, wrong)).unwrap_err().to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }
}
