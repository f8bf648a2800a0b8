//! What a run proves: claims, the order in which they are decided, and the outcome. Pure functions of the record of a run.
//! The rule is laid down in `docs/verdict-rule.md`; nothing here may look at a clock, a file or the cluster.

mod conclusion;
mod expectation;
mod findings;
mod judge;
mod live;
mod operator;
mod outcome;
mod promise;
pub mod rule;
mod spec;
mod tell;
mod violations;
pub mod words;

// Runs with known truth, by which the tests and `examples/error-rates.rs` measure how often the rule errs. No verdict is made there.
pub mod error_rates;
pub mod simulation;
pub mod whole_runs;

#[cfg(test)]
mod tests;

pub use conclusion::Conclusion;
pub use judge::judge;
pub use live::{Refutation, refuted_live};
pub use operator::reason_told;
pub use outcome::{ExitCode, Outcome, ReasonCode, decisive};
pub use spec::{Expected, JudgeSpec, JudgedBy, ProbeSpec};
pub use tell::{NotStarted, not_started};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of claim it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Steady before the fault: can only be refuted.
    Baseline,
    /// Healed after the fault: can only be refuted.
    Recovery,
    /// Observed, nothing certified.
    Observed,
    /// Most kills are harmless, certified.
    HarmlessKills,
    /// The promise itself, certified under a declared worst loss.
    Availability,
    /// A typed expectation of a probe.
    Expectation,
    /// A rule of the business.
    Invariant,
}
