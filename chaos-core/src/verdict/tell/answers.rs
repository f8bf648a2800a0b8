//! Figures and claims of the probes with answers, and of the application's own checkers.

use std::collections::BTreeMap;

use crate::evidence::{Check, Evidence, Recorded};
use crate::record::{Answer, RunTime, Sample};
use crate::result::{Claim, ExpectationResult, Finding, Holds, InvariantsResult};
use crate::verdict::expectation::{Expectation, problem};
use crate::verdict::spec::{JudgeSpec, JudgedBy};
use crate::verdict::violations::Violations;
use crate::verdict::{Level, ReasonCode};

/// Stories of violations that a result holds at most, for each probe.
const STORIES_MAX: usize = 100;

pub(super) fn expectations(spec: &JudgeSpec, recorded: &Recorded<'_>) -> Vec<ExpectationResult> {
    let expected = |probe: &str| {
        spec.probes.iter().find(|candidate| candidate.name == probe).and_then(|probe| match &probe.judged_by {
            JudgedBy::Expectation(expected) => Some(expected.words.clone()),
            JudgedBy::Slo(_) | JudgedBy::Invariants { .. } => None,
        })
    };
    let mut by_probe: BTreeMap<&str, ExpectationResult> = BTreeMap::new();
    for sample in &recorded.samples {
        let fresh = || ExpectationResult {
            probe: sample.probe.clone(),
            expected: expected(&sample.probe).unwrap_or_else(|| "an answer".into()),
            met: 0,
            unmet: 0,
            errors: 0,
            first_problem: None,
            last: None,
        };
        add(by_probe.entry(&sample.probe).or_insert_with(fresh), sample);
    }
    by_probe.into_values().collect()
}

fn add(result: &mut ExpectationResult, sample: &Sample) {
    let seconds = sample.at.0 as f64 / 1e9;
    if let Some((reason, message)) = problem(sample) {
        result.errors += 1;
        result.first_problem.get_or_insert_with(|| format!("at {seconds:.1} s: {reason}: {message}"));
    }
    if let Answer::Value(value) = &sample.answer {
        match sample.met {
            Some(true) => result.met += 1,
            Some(false) => {
                result.unmet += 1;
                result.first_problem.get_or_insert_with(|| format!("at {seconds:.1} s: {value}"));
            }
            None => {}
        }
        result.last = Some(value.clone());
    }
}

pub(super) fn invariants(spec: &JudgeSpec, recorded: &Recorded<'_>) -> Vec<InvariantsResult> {
    let mut by_probe: BTreeMap<&str, Vec<&Check<'_>>> = BTreeMap::new();
    for check in &recorded.checks {
        by_probe.entry(check.probe).or_default().push(check);
    }
    let result = |(probe, checks): (&str, Vec<&Check<'_>>)| {
        let violations = Violations::of(checks.iter().copied(), &Violations::default());
        let from = needed_from(spec, recorded, probe);
        InvariantsResult {
            probe: probe.to_owned(),
            checked: checks.last().filter(|check| check.at >= from).map_or(0, |check| check.checked),
            violations: violations.count(),
            stories: violations.told.into_iter().take(STORIES_MAX).cloned().collect(),
        }
    };
    by_probe.into_iter().map(result).collect()
}

/// From when on an answer of a checker says whether its rules were kept. One from before the fault says nothing of what the kills
/// did: where another one was to follow and did not, nothing was checked, as the verdict has it.
fn needed_from(spec: &JudgeSpec, recorded: &Recorded<'_>, probe: &str) -> RunTime {
    let is_after = |judged_by: &JudgedBy| matches!(judged_by, JudgedBy::Invariants { after_fault: true });
    let after_fault = spec.probes.iter().any(|other| other.name == probe && is_after(&other.judged_by));
    recorded.phases.fault.filter(|_| after_fault).map_or(RunTime::default(), |fault| fault.start)
}

/// The rows of the table of claims that are about answers.
pub(in crate::verdict) fn answer_claims(spec: &JudgeSpec, evidence: &Evidence<'_>) -> Vec<Claim> {
    let recorded = &evidence.recorded;
    let results = expectations(spec, recorded);
    let checks = invariants(spec, recorded);
    let claim = |probe: &crate::verdict::ProbeSpec| match &probe.judged_by {
        JudgedBy::Slo(_) => None,
        JudgedBy::Expectation(expected) => {
            let expectation = expected.of(&probe.name);
            let result = results.iter().find(|result| result.probe == probe.name);
            Some(expectation_claim(&expectation, &expectation.findings(recorded), result))
        }
        JudgedBy::Invariants { .. } => {
            Some(invariants_claim(&probe.name, checks.iter().find(|check| check.probe == probe.name)))
        }
    };
    spec.probes.iter().filter_map(claim).collect()
}

/// It holds as the verdict says: what is tolerated breaks no claim.
fn expectation_claim(expectation: &Expectation<'_>, found: &[Finding], result: Option<&ExpectationResult>) -> Claim {
    let (met, unmet) = result.map_or((0, 0), |result| (result.met, result.unmet));
    let broken =
        |finding: &Finding| matches!(finding.reason_code, ReasonCode::ExpectationBroken | ReasonCode::NotSteady);
    let holds = match found {
        [] if met > 0 => Holds::Yes,
        found if found.iter().any(broken) => Holds::No,
        _ => Holds::Undecided,
    };
    let claim = format!("{}: {}", expectation.probe, expectation.expected);
    counted_claim(
        claim,
        expectation.probe,
        &Figures { level: Level::Expectation, n: met + unmet, broken: unmet, holds },
    )
}

fn invariants_claim(probe: &str, check: Option<&InvariantsResult>) -> Claim {
    let (checked, violations) = check.map_or((0, 0), |check| (check.checked, check.violations));
    let holds = match (checked, violations) {
        (_, 1..) => Holds::No,
        (0, 0) => Holds::Undecided,
        _ => Holds::Yes,
    };
    let claim = format!("{probe}: no rule of the business is broken");
    counted_claim(claim, probe, &Figures { level: Level::Invariant, n: checked, broken: violations, holds })
}

struct Figures {
    level: Level,
    n: u64,
    broken: u64,
    holds: Holds,
}

fn counted_claim(claim: String, probe: &str, figures: &Figures) -> Claim {
    Claim {
        claim,
        probe: probe.to_owned(),
        level: figures.level,
        method: "every answer".into(),
        alpha: None,
        assumption: None,
        n: figures.n,
        trials: 0,
        exposed: 0,
        value: figures.broken as f64,
        bound: 0.0,
        holds: figures.holds,
    }
}
