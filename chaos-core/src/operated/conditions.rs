//! The conditions of an ExperimentRun, from its record and what is known about it.

use jiff::Timestamp;

use super::{Record, Stage};
use crate::api::{ExperimentRunStatus, RunPhase};
use crate::condition::{Say, set};
use crate::verdict::{Conclusion, ExitCode, Outcome};

/// What conditions are made of besides the record.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The generation of the spec.
    pub generation: Option<i64>,
    /// Why the operator cannot act on the run at present: a stable reason and the facts.
    pub hindrance: Option<(&'static str, String)>,
    /// The time.
    pub now: Timestamp,
}

/// Brings the conditions up to date: `Ready` (it can be acted on), `Complete` (it is over, however it ended) and `Passed`
/// (what it proved; Unknown until it is over, and where it proved nothing).
pub fn update_conditions(record: &Record, status: &mut ExperimentRunStatus, facts: &Facts) {
    let phase = status.phase.map_or("New", RunPhase::as_str);
    let ready = match (&facts.hindrance, &record.stage) {
        (Some((reason, why)), _) => Say::of(false, *reason, why),
        (None, Stage::Preparing { queued: Some(since), .. }) => {
            let why =
                format!("the prober measures as many runs as it may at once; it waits for its turn since {since}");
            Say::of(false, "Queued", why)
        }
        (None, _) => Say::of(true, "Ready", "it can be acted on"),
    };
    let over = record.verdict.as_ref().filter(|_| record.stage == Stage::Completed);
    let (complete, passed) = match over {
        None => (Say::of(false, phase, "it is not over"), Say::unknown(phase, "it is not over")),
        Some(verdict) => {
            let (reason, text) = (&verdict.reason_code, &verdict.reason_text);
            let held = Conclusion::read(&verdict.outcome) == Conclusion::Judged(Outcome::Pass);
            let passed = match ExitCode::try_from(verdict.exit_code) {
                Ok(ExitCode::Held) if held => Say::of(true, reason, text),
                Ok(ExitCode::Failed) => Say::of(false, reason, text),
                _ => Say::unknown(reason, text),
            };
            (Say::of(true, reason, text), passed)
        }
    };
    status.observed_generation = facts.generation;
    for (kind, say) in [("Ready", ready), ("Complete", complete), ("Passed", passed)] {
        set(&mut status.conditions, kind, say, facts.generation, facts.now);
    }
}
