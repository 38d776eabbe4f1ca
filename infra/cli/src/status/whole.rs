//! What is known of the deployment as a whole, beside its accounts: dead letters, and whether Instagram
//! reaches it.

use serde::Serialize;
use spillway_core::time::Timestamp;
use spillway_service::admin::reception::ReceptionView;

use super::dead_letters::{DeadLettersView, text_of_schedules};
use crate::deployment::Deployment;
use crate::output::Output;

/// What is known of it.
#[derive(Serialize)]
pub(super) struct Whole {
    pub(super) dead_letters: DeadLettersView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule_dead_letters: Option<DeadLettersView>,
    pub(super) reception: ReceptionView,
}

/// A line about it.
pub(super) struct Told {
    pub(super) line: String,
    /// Whether somebody should look into it.
    pub(super) is_warning: bool,
}

impl Whole {
    /// Looks at it.
    pub(super) async fn look(deployment: &Deployment) -> Self {
        let of_schedules = async {
            let queue = deployment.schedule_dead_letters.as_ref()?;
            Some(DeadLettersView::look(queue).await)
        };
        let (dead_letters, schedule_dead_letters, reception) = tokio::join!(
            DeadLettersView::look(&deployment.dead_letters),
            of_schedules,
            deployment.admin.receptions.look(),
        );
        Self { dead_letters, schedule_dead_letters, reception }
    }

    /// What is said of it below the accounts.
    pub(super) fn text(&self, now: Timestamp, output: Output) -> String {
        let of_schedules = self.schedule_dead_letters.as_ref();
        let of_schedules = of_schedules.map(|found| text_of_schedules(found, now));
        let deliveries = output.wrapped(0, &self.deliveries(now));
        format!("\n{deliveries}") + &self.dead_letters.text(now) + &of_schedules.unwrap_or_default()
    }

    /// What is said of it in the live view, in a line each.
    pub(super) fn lines(&self, now: Timestamp) -> Vec<Told> {
        let warning = |line: String| Told { line: line.trim().to_owned(), is_warning: true };
        let of_schedules = self.schedule_dead_letters.as_ref();
        let of_schedules = of_schedules.map(|found| text_of_schedules(found, now));
        let dead_letters = self.dead_letters.line(now).into_iter();
        let dead_letters =
            dead_letters.chain(of_schedules.filter(|said| !said.is_empty())).map(warning);
        let is_warning = self.reception.is_suspicious();
        let deliveries = Told { line: self.deliveries(now), is_warning };
        std::iter::once(deliveries).chain(dead_letters).collect()
    }

    fn deliveries(&self, now: Timestamp) -> String {
        format!("deliveries: {}", self.reception.told(now))
    }
}
