//! Load without faults, told and judged: the summary of what was measured, and thresholds on it. Pure: folds the same events
//! that a run's verdict reads.
//!
//! One rule runs through it: **what is not known speaks for nobody**. A request that the load generator sent late, never, or
//! could not watch is bad where a threshold is to hold and good where it is to be crossed, so that a weak generator makes a
//! test undecided and nothing else. And a quantile is one of *all* requests: those that were not answered well are slower
//! than any bound, so refusing quickly improves nothing.

mod judge;
mod result;
mod summary;
mod threshold;

#[cfg(test)]
mod tests;

pub use judge::{Decision, JudgedThreshold, decide, exit_code};
pub use result::{FlowResult, LoadResult, SCHEMA_VERSION};
pub use summary::{FailureCount, FlowFold, FlowSummary, LoadFold, Quantiles, StepSummary};
pub use threshold::{Metric, Operator, Quantile, Threshold, ThresholdError};
