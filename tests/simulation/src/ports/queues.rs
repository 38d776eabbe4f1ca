//! The two queues.

use async_trait::async_trait;
use futures::future::join_all;
use spillway_core::id::AccountId;
use spillway_service::port::{Queued, ReleaseQueue, SendQueue, StoreError};

use crate::host::Host;
use crate::meta::millis;
use crate::world::World;

/// Messages in one request.
const BATCH: usize = 10;

/// The longest delay, in milliseconds.
const DELAY_MAX: u64 = 900_000;

/// What a queue answers to one message of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    Taken,
    Refused,
}

fn refused() -> StoreError {
    StoreError::unavailable("send messages", "refused")
}

#[async_trait]
impl SendQueue for Host {
    async fn enqueue(&self, messages: &[Queued]) -> Vec<Result<(), StoreError>> {
        let batches = messages.chunks(BATCH).map(|batch| async move {
            let answer = self
                .queue("send messages", |world| {
                    batch.iter().map(|message| world.take_message(message)).collect::<Vec<Taken>>()
                })
                .await;
            match answer {
                Ok(taken) => taken
                    .into_iter()
                    .map(|taken| if taken == Taken::Taken { Ok(()) } else { Err(refused()) })
                    .collect(),
                Err(_) => batch.iter().map(|_| Err(refused())).collect::<Vec<_>>(),
            }
        });
        join_all(batches).await.into_iter().flatten().collect()
    }

    async fn dead_letter(&self, _: &str) -> Result<(), StoreError> {
        self.queue("dead-letter a message", |world| world.record.count("message dead-lettered"))
            .await
    }
}

#[async_trait]
impl ReleaseQueue for Host {
    async fn enqueue(&self, accounts: &[AccountId]) -> Result<(), StoreError> {
        self.queue("send messages", |world| {
            for account in accounts {
                let at = world.now + world.lateness();
                let World { releases, dice, now, .. } = world;
                releases.send(account.clone(), *now, at, dice);
            }
        })
        .await
    }
}

impl World {
    fn take_message(&mut self, message: &Queued) -> Taken {
        if self.strikes(self.scenario.rates.message_refused) {
            self.record.count("message refused");
            return Taken::Refused;
        }
        let delay = (millis(message.delay).div_ceil(1000) * 1000).min(DELAY_MAX);
        let at = self.now + delay + self.lateness();
        self.event(format_args!("message for {} in {delay} ms", message.task.send));
        let Self { sends, dice, now, .. } = self;
        sends.send(message.task.clone(), *now, at, dice);
        Taken::Taken
    }

    /// How late a message is received, in milliseconds.
    fn lateness(&mut self) -> u64 {
        if self.strikes(self.scenario.rates.message_late) {
            self.record.count("message late");
            return self.dice.between(1000..=120_000);
        }
        self.dice.between(0..=300)
    }
}
