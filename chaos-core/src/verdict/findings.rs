//! What speaks against a pass apart from the promises of http probes: how the run ended, what it had to work with, the
//! answers of other probes, and the rules of the business.

use std::time::Duration;

use super::ReasonCode;
use super::spec::{JudgeSpec, JudgedBy};
use super::words::{counted, thousands};
use crate::evidence::{Evidence, Recorded};
use crate::record::{Answer, RunTime, Sample, StopCause};
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
        Some([]) => {}
        Some(left) => findings.push(finding(
            ReasonCode::WindDownIncomplete,
            format!("wound down incompletely, a person must act now: {}", left.join("; ")),
        )),
    }
    findings.extend(too_few_kills(spec, evidence));
    findings.extend(uncertain_clock(evidence));
    findings
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
            "the instant of a kill is known to {} ms only, 50 ms are needed: it takes a killer whose clock can be read more often",
            worst / 1_000_000
        ),
    ))
}

/// Answers of probes that are not http load, and the application's own checkers.
pub(super) fn of_answers(spec: &JudgeSpec, evidence: &Evidence<'_>) -> Vec<Finding> {
    let recorded = &evidence.recorded;
    let of_probe = |probe: &super::spec::ProbeSpec| match &probe.judged_by {
        JudgedBy::Slo(_) => Vec::new(),
        JudgedBy::Expectation { expected, tolerate, after_fault } => {
            let expectation = Expectation { probe: &probe.name, expected, tolerate: tolerate.std() };
            expectation.findings(recorded, *after_fault)
        }
        JudgedBy::Invariants => invariants(recorded, &probe.name),
    };
    spec.probes.iter().flat_map(of_probe).collect()
}

fn samples_of<'r, 'a>(recorded: &'r Recorded<'a>, probe: &'r str) -> impl Iterator<Item = &'a Sample> + use<'r, 'a> {
    recorded.samples.iter().copied().filter(move |sample| sample.probe == probe)
}

fn unanswered(recorded: &Recorded<'_>, probe: &str) -> Option<Finding> {
    let (reason, message) = samples_of(recorded, probe).find_map(problem)?;
    Some(finding(ReasonCode::ProbeUnanswered, format!("{probe} could not answer ({reason}): {message}")))
}

/// Why a sample is no answer that could be judged.
pub(super) fn problem(sample: &Sample) -> Option<(&str, String)> {
    match (&sample.answer, sample.met) {
        (Answer::Error { reason, message }, _) => Some((reason, message.clone())),
        (Answer::Value(value), None) => Some(("unjudged", format!("{value} could not be compared"))),
        (Answer::Value(_), Some(_)) => None,
    }
}

struct Expectation<'a> {
    probe: &'a str,
    expected: &'a str,
    tolerate: Duration,
}

impl Expectation<'_> {
    fn findings(&self, recorded: &Recorded<'_>, after_fault: bool) -> Vec<Finding> {
        let fault = recorded.phases.fault.map_or(RunTime(u64::MAX), |fault| fault.start);
        let mut findings = Vec::new();
        for (reason, from, to) in
            [(ReasonCode::NotSteady, RunTime(0), fault), (ReasonCode::ExpectationBroken, fault, RunTime(u64::MAX))]
        {
            let samples: Vec<&Sample> =
                samples_of(recorded, self.probe).filter(|sample| from <= sample.at && sample.at < to).collect();
            findings.extend(self.broken(&samples).map(|message| finding(reason, message)));
        }
        let needed_from = if after_fault { fault } else { RunTime(0) };
        let began = recorded.phases.fault.is_some();
        if began && !samples_of(recorded, self.probe).any(|sample| sample.at >= needed_from) {
            findings.push(finding(ReasonCode::NoSample, format!("{} was never asked when it mattered", self.probe)));
        }
        findings.extend(unanswered(recorded, self.probe));
        findings
    }

    /// The first time that answers were off for longer than is tolerated.
    fn broken(&self, samples: &[&Sample]) -> Option<String> {
        let mut since: Option<&Sample> = None;
        for sample in samples {
            match sample.met {
                Some(true) => since = None,
                Some(false) => {
                    let first = *since.get_or_insert(sample);
                    let off = Duration::from_nanos(sample.at.0 - first.at.0);
                    if self.tolerate.is_zero() || off > self.tolerate {
                        return Some(self.message(sample));
                    }
                }
                None => {}
            }
        }
        None
    }

    fn message(&self, sample: &Sample) -> String {
        let answer = match &sample.answer {
            Answer::Value(value) => value.to_string(),
            Answer::Error { message, .. } => message.clone(),
        };
        let seconds = sample.at.0 as f64 / 1e9;
        format!("{} was {answer} at {seconds:.1} s, expected {}", self.probe, self.expected)
    }
}

fn invariants(recorded: &Recorded<'_>, probe: &str) -> Vec<Finding> {
    let checks: Vec<_> = recorded.checks.iter().filter(|check| check.probe == probe).collect();
    let broken: Vec<_> = checks.iter().flat_map(|check| check.violations).collect();
    let mut findings = Vec::new();
    if let Some(first) = broken.first() {
        findings.push(finding(
            ReasonCode::InvariantBroken,
            format!(
                "{probe}: {} of business rules; the first: {}: {}",
                counted(broken.len() as u64, "violation"),
                first.invariant,
                first.story
            ),
        ));
    }
    let unanswered = unanswered(recorded, probe);
    if unanswered.is_none() && checks.last().is_none_or(|check| check.checked == 0) {
        findings.push(finding(
            ReasonCode::NothingChecked,
            format!("{probe}: the rules of the business were checked on nothing; it takes at least one checked case"),
        ));
    }
    findings.extend(unanswered);
    findings
}
