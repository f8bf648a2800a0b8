//! Verdicts as a status tells them: those that judge a record, and those of runs that never touched anything.

use crate::api::RunVerdict;
use crate::result::Verdict;
use crate::verdict::{Conclusion, ExitCode};

/// Longest text that a status keeps of a reason, in characters.
const LONGEST: usize = 2_000;

/// Why a run was not started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// What `chaos run` would have left with.
    pub exit_code: ExitCode,
    /// Stable reason.
    pub reason: &'static str,
    /// The facts, for people.
    pub message: String,
    may_pass: bool,
}

impl Unfit {
    /// A manifest that is not valid, or that may not be run from inside a cluster.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ExitCode::InvalidManifest, "InvalidManifest", message.into())
    }

    /// Something that is needed does not answer. It may do so a moment later.
    pub fn out_of_reach(message: impl Into<String>) -> Self {
        Self { may_pass: true, ..Self::new(ExitCode::OutOfReach, "OutOfReach", message.into()) }
    }

    /// A safety rule.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Refused, "Refused", message.into())
    }

    /// A permission is missing, by the word of the API server. One that has just been started says so of those that are there.
    pub fn not_permitted(message: impl Into<String>) -> Self {
        Self { may_pass: true, ..Self::refused(message) }
    }

    /// Nobody may be killed.
    pub fn no_victim(message: impl Into<String>) -> Self {
        Self::new(ExitCode::InvalidRun, "NoVictim", message.into())
    }

    const fn new(exit_code: ExitCode, reason: &'static str, message: String) -> Self {
        Self { exit_code, reason, message, may_pass: false }
    }

    /// The same where asking again does not help.
    #[must_use]
    pub fn for_good(self) -> Self {
        Self { may_pass: false, ..self }
    }

    /// Whether asking again may help.
    pub const fn may_pass(&self) -> bool {
        self.may_pass
    }

    /// As a verdict.
    pub fn verdict(&self) -> RunVerdict {
        verdict(self.exit_code, self.reason, &self.message)
    }
}

fn verdict(exit_code: ExitCode, reason: &str, text: &str) -> RunVerdict {
    RunVerdict {
        outcome: exit_code.outcome().as_str().to_owned(),
        exit_code: exit_code.code(),
        reason_code: reason.to_owned(),
        reason_text: text.chars().take(LONGEST).collect(),
    }
}

/// The same where something is left for a person to do, which is told in full.
pub fn leaving(verdict: RunVerdict, left: &str) -> RunVerdict {
    let room = LONGEST.saturating_sub(left.chars().count());
    let text: String = verdict.reason_text.chars().take(room).collect();
    RunVerdict { reason_text: format!("{text}; {left}"), ..verdict }
}

/// What a record proves.
pub fn of_result(result: &Verdict) -> RunVerdict {
    verdict(result.exit_code, &result.reason_code.to_string(), &result.reason_text)
}

/// A dry run that could have been run: it proves nothing.
pub fn planned(strikes: u64, candidates: u64) -> RunVerdict {
    let text =
        format!("dry run: {strikes} strikes on {candidates} candidates are planned; nothing was touched or proved");
    RunVerdict {
        outcome: Conclusion::Planned.as_str().to_owned(),
        exit_code: ExitCode::Held.code(),
        reason_code: "DryRun".to_owned(),
        reason_text: text,
    }
}

/// Somebody ended it before anything was touched.
pub fn aborted_before_start(why: &str) -> RunVerdict {
    verdict(ExitCode::Stopped, "Interrupted", &format!("stopped before anything was touched: {why}"))
}

/// Nobody approved the plan in time.
pub fn not_approved(within: crate::units::Duration) -> RunVerdict {
    verdict(ExitCode::Refused, "NotApproved", &format!("nobody approved the plan within {within}; nothing was touched"))
}

/// A run that was under way, and whose record cannot be read any more.
pub fn evidence_lost(why: &str) -> RunVerdict {
    let text = format!("the record of the run is lost, so nothing can be claimed: {why}");
    verdict(ExitCode::Stopped, "Orphaned", &text)
}
