//! What is used, and what it costs.

use std::ops::{Add, Mul};

use serde::Serialize;

use super::prices::Prices;

/// Units of everything that AWS bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// DynamoDB write units.
    pub write_units: f64,
    /// DynamoDB read units.
    pub read_units: f64,
    /// GB in DynamoDB for a month.
    pub stored_gb_months: f64,
    /// SQS requests.
    pub queue_requests: f64,
    /// Those with messages that name a group.
    pub fair_requests: f64,
    /// Lambda requests.
    pub invocations: f64,
    /// GB of memory for a second.
    pub gb_seconds: f64,
    /// Invocations by EventBridge Scheduler.
    pub schedules: f64,
    /// State transitions of Step Functions.
    pub transitions: f64,
    /// GB of logs.
    pub log_gb: f64,
    /// GB to the internet.
    pub out_gb: f64,
    /// KMS requests.
    pub kms_requests: f64,
    /// KMS keys for a month.
    pub key_months: f64,
    /// Secrets for a month.
    pub secret_months: f64,
    /// Metrics for a month.
    pub metric_months: f64,
    /// Dashboards for a month.
    pub dashboard_months: f64,
    /// Alarms for a month.
    pub alarm_months: f64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            write_units: self.write_units + other.write_units,
            read_units: self.read_units + other.read_units,
            stored_gb_months: self.stored_gb_months + other.stored_gb_months,
            queue_requests: self.queue_requests + other.queue_requests,
            fair_requests: self.fair_requests + other.fair_requests,
            invocations: self.invocations + other.invocations,
            gb_seconds: self.gb_seconds + other.gb_seconds,
            schedules: self.schedules + other.schedules,
            transitions: self.transitions + other.transitions,
            log_gb: self.log_gb + other.log_gb,
            out_gb: self.out_gb + other.out_gb,
            kms_requests: self.kms_requests + other.kms_requests,
            key_months: self.key_months + other.key_months,
            secret_months: self.secret_months + other.secret_months,
            metric_months: self.metric_months + other.metric_months,
            dashboard_months: self.dashboard_months + other.dashboard_months,
            alarm_months: self.alarm_months + other.alarm_months,
        }
    }
}

impl Mul<f64> for Usage {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self {
            write_units: self.write_units * times,
            read_units: self.read_units * times,
            stored_gb_months: self.stored_gb_months * times,
            queue_requests: self.queue_requests * times,
            fair_requests: self.fair_requests * times,
            invocations: self.invocations * times,
            gb_seconds: self.gb_seconds * times,
            schedules: self.schedules * times,
            transitions: self.transitions * times,
            log_gb: self.log_gb * times,
            out_gb: self.out_gb * times,
            kms_requests: self.kms_requests * times,
            key_months: self.key_months * times,
            secret_months: self.secret_months * times,
            metric_months: self.metric_months * times,
            dashboard_months: self.dashboard_months * times,
            alarm_months: self.alarm_months * times,
        }
    }
}

/// USD by service.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bill {
    /// DynamoDB writes.
    pub dynamodb_writes: f64,
    /// DynamoDB reads.
    pub dynamodb_reads: f64,
    /// DynamoDB storage, with its backups.
    pub dynamodb_storage: f64,
    /// SQS requests.
    pub sqs_requests: f64,
    /// The surcharge for message groups.
    pub sqs_fair: f64,
    /// Lambda requests.
    pub lambda_requests: f64,
    /// Lambda's time.
    pub lambda_duration: f64,
    /// EventBridge Scheduler.
    pub scheduler: f64,
    /// Step Functions.
    pub step_functions: f64,
    /// CloudWatch Logs.
    pub logs: f64,
    /// Data to the internet.
    pub data_out: f64,
    /// KMS.
    pub kms: f64,
    /// Secrets Manager.
    pub secret: f64,
    /// CloudWatch's metrics, dashboard and alarms.
    pub watching: f64,
    /// All of it.
    pub total: f64,
}

impl Bill {
    /// What `usage` costs.
    pub(super) fn of(usage: &Usage, prices: &Prices) -> Self {
        let stored = usage.stored_gb_months;
        let bill = Self {
            dynamodb_writes: prices.dynamodb_write.of(usage.write_units),
            dynamodb_reads: prices.dynamodb_read.of(usage.read_units),
            dynamodb_storage: prices.dynamodb_storage.of(stored)
                + prices.dynamodb_recovery.of(stored),
            sqs_requests: prices.sqs_request.of(usage.queue_requests),
            sqs_fair: prices.sqs_fair.of(usage.fair_requests),
            lambda_requests: prices.lambda_request.of(usage.invocations),
            lambda_duration: prices.lambda_gb_second.of(usage.gb_seconds),
            scheduler: prices.scheduler.of(usage.schedules),
            step_functions: prices.step_functions.of(usage.transitions),
            logs: prices.logs.of(usage.log_gb),
            data_out: prices.data_out.of(usage.out_gb),
            kms: prices.kms.of(usage.kms_requests) + prices.kms_key.of(usage.key_months),
            secret: prices.secret.of(usage.secret_months),
            watching: prices.metric.of(usage.metric_months)
                + prices.dashboard.of(usage.dashboard_months)
                + prices.alarm.of(usage.alarm_months),
            total: 0.0,
        };
        Self { total: bill.lines().iter().map(|(_, usd)| usd).sum(), ..bill }
    }

    /// One line a service.
    pub(super) fn lines(&self) -> [(&'static str, f64); 14] {
        [
            ("DynamoDB writes", self.dynamodb_writes),
            ("DynamoDB reads", self.dynamodb_reads),
            ("DynamoDB storage", self.dynamodb_storage),
            ("SQS requests", self.sqs_requests),
            ("SQS fair queues", self.sqs_fair),
            ("Lambda requests", self.lambda_requests),
            ("Lambda GB-seconds", self.lambda_duration),
            ("EventBridge Scheduler", self.scheduler),
            ("Step Functions", self.step_functions),
            ("CloudWatch Logs, at most", self.logs),
            ("data out", self.data_out),
            ("KMS, at most", self.kms),
            ("Secrets Manager", self.secret),
            ("CloudWatch, the rest", self.watching),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bill::prices::LIST;

    #[test]
    fn every_unit_has_its_price_and_the_total_is_all_of_them() {
        let prices = Prices::read(LIST).unwrap();
        let one = Usage {
            write_units: 1e6,
            read_units: 1e6,
            stored_gb_months: 1.0,
            queue_requests: 1e6,
            fair_requests: 1e6,
            invocations: 1e6,
            gb_seconds: 1e6,
            schedules: 1e6,
            transitions: 1e6,
            log_gb: 1.0,
            out_gb: 1.0,
            kms_requests: 1e4,
            key_months: 1.0,
            secret_months: 1.0,
            metric_months: 1.0,
            dashboard_months: 1.0,
            alarm_months: 1.0,
        };
        let bill = Bill::of(&one, &prices);
        let usd =
            [0.625, 0.125, 0.45, 0.4, 0.1, 0.2, 13.3334, 1.0, 25.0, 0.5, 0.09, 1.03, 0.4, 3.4];
        for ((line, is), due) in bill.lines().into_iter().zip(usd) {
            assert!((is - due).abs() < 1e-9, "{line}: {is}, not {due}");
        }
        assert!((bill.total - usd.iter().sum::<f64>()).abs() < 1e-9);
        let thrice = Bill::of(&(one * 2.0 + one), &prices);
        assert!((thrice.total - 3.0 * bill.total).abs() < 1e-9);
    }
}
