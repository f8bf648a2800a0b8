//! Whether a threshold holds, is crossed, or cannot be decided, and what that makes of a load test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::summary::{FlowFold, least};
use super::threshold::{Metric, Quantile, Threshold};
use crate::units::Duration;
use crate::verdict::ExitCode;

/// What became of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// It holds, whatever became of the requests of which nothing is known.
    Held,
    /// It does not hold, whatever became of them.
    Crossed,
    /// It depends on them: the load generator was too weak for it.
    Undecided,
}

/// A threshold and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JudgedThreshold {
    /// The flow.
    pub flow: String,
    /// As it is written.
    pub threshold: String,
    /// What became of it.
    pub decision: Decision,
    /// What was measured, in words.
    pub found: String,
}

/// Judges a threshold on what one flow showed in `seconds`.
pub fn decide(threshold: &Threshold, flow: &FlowFold, seconds: f64) -> JudgedThreshold {
    let (decision, found) = match threshold.metric {
        Metric::Latency(quantile, bound) => latency(threshold, quantile, bound, flow),
        Metric::Lag(quantile, bound) => lag(threshold, quantile, bound, flow),
        Metric::Success(bound) => {
            let due = flow.due() as f64;
            let shares = (flow.good() as f64 / due, (flow.good() + flow.unknown()) as f64 / due);
            (between(threshold, shares, bound.ratio()), percent(shares.0))
        }
        Metric::Failed(bound) => {
            let due = flow.due() as f64;
            let shares = (flow.failed() as f64 / due, (flow.failed() + flow.unknown()) as f64 / due);
            (between(threshold, shares, bound.ratio()), percent(shares.0))
        }
        Metric::Rate(bound) => {
            let rates = (flow.good() as f64 / seconds, (flow.good() + flow.unknown()) as f64 / seconds);
            (between(threshold, rates, bound.per_second()), format!("{:.1}/s", rates.0))
        }
        Metric::Failures(bound) => {
            let counts = (flow.failed() as f64, (flow.failed() + flow.unknown()) as f64);
            (between(threshold, counts, bound as f64), flow.failed().to_string())
        }
        Metric::Unknown(bound) => {
            let count = flow.unknown() as f64;
            (between(threshold, (count, count), bound as f64), flow.unknown().to_string())
        }
    };
    // Without a request there is nothing that could hold.
    let decision = if flow.due() == 0 { Decision::Undecided } else { decision };
    JudgedThreshold { flow: flow.name().to_owned(), threshold: threshold.to_string(), decision, found }
}

/// A value that lies between two, depending on what is not known.
fn between(threshold: &Threshold, (low, high): (f64, f64), bound: f64) -> Decision {
    match (threshold.operator.holds(low, bound), threshold.operator.holds(high, bound)) {
        (true, true) => Decision::Held,
        (false, false) => Decision::Crossed,
        _ => Decision::Undecided,
    }
}

fn latency(threshold: &Threshold, quantile: Quantile, bound: Duration, flow: &FlowFold) -> (Decision, String) {
    let rank = quantile.rank(flow.due());
    let micros = micros(threshold, bound);
    let (surely, perhaps) = flow.good_within(micros);
    let decision = if surely >= rank {
        Decision::Held
    } else if perhaps + flow.unknown() < rank {
        Decision::Crossed
    } else {
        Decision::Undecided
    };
    let found = flow
        .latency_of_rank(rank)
        .map_or_else(|| format!("only {} of {} were answered well", flow.good(), flow.due()), millis);
    (decision, found)
}

/// The generator's own quality: nothing about it is unknown, but for where in its bucket a lag lies.
fn lag(threshold: &Threshold, quantile: Quantile, bound: Duration, flow: &FlowFold) -> (Decision, String) {
    match flow.lag_of_rank(quantile.rank(flow.due())) {
        Some(found) => {
            let most = micros(threshold, bound);
            let decision = if found <= most {
                Decision::Held
            } else if least(found) > most {
                Decision::Crossed
            } else {
                Decision::Undecided
            };
            (decision, millis(found))
        }
        None => (Decision::Crossed, "too many were never sent".to_owned()),
    }
}

/// The largest whole number of microseconds that the bound lets pass.
fn micros(threshold: &Threshold, bound: Duration) -> u64 {
    let nanos = bound.std().as_nanos();
    let below = threshold.operator == super::threshold::Operator::Below;
    let most = if below { nanos.saturating_sub(1) } else { nanos };
    u64::try_from(most / 1_000).unwrap_or(u64::MAX)
}

fn millis(micros: u64) -> String {
    format!("{:.3} ms", micros as f64 / 1e3)
}

fn percent(share: f64) -> String {
    // Rounded down: 99.9996 % is not a hundred.
    format!("{}%", (share * 1e6).floor() / 1e4)
}

/// The exit code of a load test: a threshold crossed (1), stopped by a signal (5), nothing measured (8), a threshold that
/// cannot be decided (7), all held (0); the first of these that is true.
pub fn exit_code(thresholds: &[JudgedThreshold], due: u64, stopped: bool) -> ExitCode {
    let any = |decision| thresholds.iter().any(|threshold| threshold.decision == decision);
    if any(Decision::Crossed) {
        ExitCode::Failed
    } else if stopped {
        ExitCode::Stopped
    } else if due == 0 {
        ExitCode::InvalidRun
    } else if any(Decision::Undecided) {
        ExitCode::Inconclusive
    } else {
        ExitCode::Held
    }
}
