//! Compares this process's clock with the date in every answer of DynamoDB. The first answer comes
//! before the first grant, so a process with a wrong clock grants nothing at all.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use spillway_core::time::Timestamp;
use spillway_service::clock::{Clock, ClockCheck};

/// The interceptor for the SDK's client.
#[derive(Clone)]
pub struct ServerDate {
    /// This process's clock.
    pub clock: Arc<dyn Clock>,
    /// What is found out about it.
    pub check: Arc<ClockCheck>,
}

impl std::fmt::Debug for ServerDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerDate")
    }
}

/// The instant when the attempt under way was sent.
#[derive(Debug)]
struct SentAt(Timestamp);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        bag.interceptor_state().store_put(SentAt(self.clock.now()));
        Ok(())
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        let since_1970 = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
        if let (Some(since_1970), Some(SentAt(before))) = (since_1970, bag.load::<SentAt>()) {
            self.check.compare(*before, Timestamp::EPOCH + since_1970, &*self.clock);
        }
        Ok(())
    }
}
