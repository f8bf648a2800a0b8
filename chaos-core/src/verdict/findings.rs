//! What speaks against a pass apart from the promises of http probes: how the run ended, what it had to work with, and the
//! rules of the business; answers of other probes are judged in `expectation`.

use super::ReasonCode;
use super::expectation::unanswered;
use super::spec::{JudgeSpec, JudgedBy};
use super::violations::Violations;
use super::words::{counted, thousands};
use crate::evidence::{Check, Evidence, Recorded};
use crate::record::{RunTime, StopCause};
use crate::result::Finding;

/// The instant of a kill must be known at least this well, in nanoseconds.
const CLOCK_UNCERTAINTY_MAX: u64 = 50_000_000;

fn finding(reason_code: ReasonCode, message: impl Into<String>) -> Finding {
    Finding { reason_code, message: message.into() }
}

/// How the run ended, and what it had to work with.
pub(super) fn of_run(spec: &JudgeSpec, evidence: &Evidence<'_>) -> Vec<Finding> {
    let recorded = &evidence.recorded;
    let mut findings: Vec<Finding> = recorded.stops.iter().map(|(_, cause)| stopped(cause)).collect();
    match recorded.left {
        None => findings.push(finding(
            ReasonCode::Orphaned,
            "the record ends before the run was wound down: whoever drove it died; hint: look for leftovers of the run, \
             its own monkey stops by itself",
        )),
        Some(left) => findings.extend(left_behind(left)),
    }
    findings.extend(too_few_kills(spec, evidence));
    findings.extend(uncertain_clock(evidence));
    findings
}

/// What a person must act on, whatever else the record says.
pub(super) fn left_behind(left: &[String]) -> Option<Finding> {
    let message = || format!("wound down incompletely, a person must act now: {}", left.join("; "));
    (!left.is_empty()).then(|| finding(ReasonCode::WindDownIncomplete, message()))
}

fn stopped(cause: &StopCause) -> Finding {
    match cause {
        StopCause::SloRefuted { probe } => finding(
            ReasonCode::SloRefuted,
            format!("{probe}: its promise was refuted while pods were still being killed, which ended the run"),
        ),
        StopCause::Guard { message } => finding(ReasonCode::GuardTripped, format!("stopped by a guard: {message}")),
        StopCause::Switch { message } => finding(ReasonCode::Switched, format!("stopped by a switch: {message}")),
        StopCause::Signal { name } => finding(ReasonCode::Interrupted, format!("stopped by {name}")),
        StopCause::NotRecovered { message } => {
            finding(ReasonCode::NotRecovered, format!("stopped because a pod was not replaced in time: {message}"))
        }
        StopCause::Blind { message } => {
            finding(ReasonCode::BlindTooLong, format!("stopped because the cluster was out of sight: {message}"))
        }
        StopCause::Journal { message } => {
            finding(ReasonCode::JournalFailed, format!("stopped because the journal could not be written: {message}"))
        }
        StopCause::Killer { message } => {
            finding(ReasonCode::KillerGaveUp, format!("stopped because the killer gave up: {message}"))
        }
        StopCause::NoProbes { message } => finding(
            ReasonCode::ProbesNotStarted,
            format!("the probes could not be started, so nothing was killed: {message}"),
        ),
        StopCause::Probes { message } => finding(
            ReasonCode::ProberLost,
            format!("whoever measured fell silent, so nothing can be claimed: {message}; it takes a prober that stays"),
        ),
    }
}

fn too_few_kills(spec: &JudgeSpec, evidence: &Evidence<'_>) -> Option<Finding> {
    let recorded = &evidence.recorded;
    let done = strikes_done(evidence);
    let none_eligible = recorded.planned.is_some_and(|(_, eligible, _)| eligible.is_empty());
    if done == 0 && none_eligible {
        return Some(finding(ReasonCode::NoVictim, "no pod of the target might be killed: see the exclusions"));
    }
    if done < spec.strikes_min.max(1) {
        let still_there = victims_still_there(evidence);
        let alive = (still_there > 0).then(|| {
            format!(
                "; {} still there when the run ended, and a kill that does not kill proves nothing; hint: \
                 a phases.recovery above the pods' grace period",
                if still_there == 1 {
                    "1 victim was".to_owned()
                } else {
                    format!("{} victims were", thousands(still_there))
                }
            )
        });
        let skipped = recorded.skips.last().map(|skip| format!("; last reason to skip: {}", skip.reason));
        let waited = || recorded.put_off.last().map(|(_, reason)| format!("; last reason to wait: {reason}"));
        let reasons = skipped.or_else(waited);
        return Some(finding(
            ReasonCode::TooFewKills,
            format!(
                "{} done, at least {} are needed of {} planned: it takes {} more{}{}",
                counted(done, "strike"),
                thousands(spec.strikes_min.max(1)),
                thousands(spec.strikes_target),
                thousands(spec.strikes_min.max(1) - done),
                reasons.unwrap_or_default(),
                alive.unwrap_or_default()
            ),
        ));
    }
    let over = recorded.phases.recovery.is_some() || done >= spec.strikes_target;
    (!over && recorded.stops.is_empty())
        .then(|| finding(ReasonCode::TooFewKills, "the run ended before its fault phase was over"))
}

/// Strikes of which at least one pod was really killed: its kill was accepted, and it went.
pub(super) fn strikes_done(evidence: &Evidence<'_>) -> u64 {
    let kills = evidence.recorded.kills.iter().zip(&evidence.timelines);
    let done = kills.filter(|(_, timeline)| timeline.victim_is_gone());
    done.map(|(kill, _)| kill.strike).collect::<std::collections::BTreeSet<_>>().len() as u64
}

/// Victims of accepted kills that were never seen to be gone.
pub(super) fn victims_still_there(evidence: &Evidence<'_>) -> u64 {
    evidence.timelines.iter().filter(|timeline| timeline.done && !timeline.victim_is_gone()).count() as u64
}

fn uncertain_clock(evidence: &Evidence<'_>) -> Option<Finding> {
    let done = evidence.recorded.kills.iter().zip(&evidence.timelines).filter(|(_, timeline)| timeline.done);
    let worst = done.map(|(kill, _)| kill.uncertainty).max().filter(|worst| *worst > CLOCK_UNCERTAINTY_MAX)?;
    Some(finding(
        ReasonCode::ClockUncertain,
        format!(
            "the instant of a kill is known to {} ms only, 50 ms are needed: it takes a killer whose clock can be read more often, and \
             that is not lost while it kills",
            worst / 1_000_000
        ),
    ))
}

/// What needs no count of requests: what asked the run to end, broken rules of the business, and answers that were not expected.
/// That a promise was refuted is not among it.
pub(super) fn without_counts(spec: &JudgeSpec, recorded: &Recorded<'_>) -> Vec<Finding> {
    let stops = recorded.stops.iter().filter(|(_, cause)| !matches!(cause, StopCause::SloRefuted { .. }));
    let mut findings: Vec<Finding> = stops.map(|(_, cause)| stopped(cause)).collect();
    let facts = [ReasonCode::InvariantBroken, ReasonCode::ExpectationBroken];
    findings.extend(of_answers(spec, recorded).into_iter().filter(|finding| facts.contains(&finding.reason_code)));
    findings
}

/// Answers of probes that are not http load, and the application's own checkers.
pub(super) fn of_answers(spec: &JudgeSpec, recorded: &Recorded<'_>) -> Vec<Finding> {
    let of_probe = |probe: &super::spec::ProbeSpec| match &probe.judged_by {
        JudgedBy::Slo(_) => Vec::new(),
        JudgedBy::Expectation(expected) => expected.of(&probe.name).findings(recorded),
        JudgedBy::Invariants { after_fault } => invariants(recorded, &probe.name, *after_fault),
    };
    spec.probes.iter().flat_map(of_probe).collect()
}

fn invariants(recorded: &Recorded<'_>, probe: &str, after_fault: bool) -> Vec<Finding> {
    let checks = recorded.checks.iter().filter(|check| check.probe == probe);
    let fault = recorded.phases.fault.map_or(RunTime(u64::MAX), |fault| fault.start);
    let (before, after): (Vec<&Check<'_>>, Vec<_>) = checks.partition(|check| check.at < fault);
    let already = Violations::of(before.iter().copied(), &Violations::default());
    let broken = Violations::of(after.iter().copied(), &already);
    let told = |reason: ReasonCode, words: Option<String>| Some(finding(reason, format!("{probe}: {}", words?)));
    let mut findings = Vec::new();
    findings.extend(told(ReasonCode::InvariantBroken, broken.words("")));
    findings.extend(told(ReasonCode::NotSteady, already.words(" before the fault")));
    let unanswered = unanswered(recorded, probe);
    let needed = if after_fault && recorded.phases.fault.is_some() { &after } else { &before };
    if unanswered.is_none() && needed.last().is_none_or(|check| check.checked == 0) {
        findings.push(finding(
            ReasonCode::NothingChecked,
            format!("{probe}: the rules of the business were checked on nothing; it takes at least one checked case"),
        ));
    }
    findings.extend(unanswered);
    findings
}
