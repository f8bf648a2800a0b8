//! The judgement of a whole run: evidence, promises, findings, and the one that decides. Pure: the same record and spec
//! give the same result, to the byte.

use super::promise::Promise;
use super::spec::{JudgeSpec, JudgedBy};
use super::{Level, ReasonCode, decisive, findings, operator, tell};
use crate::evidence::{Evidence, Load, Recorded, evidence};
use crate::record::Event;
use crate::result::{Claim, Finding, Holds, RunResult, Verdict};

/// Judges a run by its record and builds everything that is told about it.
///
/// The record may be torn: then the run counts as orphaned, unless something worse is shown. A `Finished` event changes
/// nothing, so the same result comes out before and after it is written. Where the record holds what the operator said of the
/// run, the result is no better than that.
pub fn judge(spec: &JudgeSpec, events: &[Event]) -> RunResult {
    let result = match evidence(events) {
        Ok(evidence) => judge_evidence(spec, &evidence),
        Err(error) => {
            // What cannot be counted may still say what broke, why it ended, and what is left on the cluster.
            let left = left_of(events);
            let mut found = vec![Finding { reason_code: ReasonCode::RecordInconsistent, message: error.to_string() }];
            let recorded = Recorded::fold(events).ok();
            if let Some(recorded) = &recorded {
                found.extend(findings::without_counts(spec, recorded));
            }
            found.extend(findings::left_behind(left));
            tell::unreadable(spec, events, recorded.as_ref(), left, verdict(found, String::new))
        }
    };
    operator::no_better(result, events)
}

/// What the wind-down could not undo.
fn left_of(events: &[Event]) -> &[String] {
    let left = events.iter().rev().find_map(|event| match event {
        Event::WoundDown { left, .. } => Some(left.as_slice()),
        _ => None,
    });
    left.unwrap_or_default()
}

fn judge_evidence(spec: &JudgeSpec, evidence: &Evidence<'_>) -> RunResult {
    let promises = promises(spec, evidence);
    // Of several findings with one reason the first is told: promises speak with figures.
    let mut found: Vec<Finding> = promises.iter().flat_map(Promise::findings).collect();
    found.extend(findings::of_answers(spec, &evidence.recorded));
    found.extend(findings::of_run(spec, evidence));
    found.extend(without_samples(spec, evidence));
    // What was not asked because whoever asks fell silent is told as that.
    if found.iter().any(|finding| finding.reason_code == ReasonCode::ProberLost) {
        found.retain(|finding| finding.reason_code != ReasonCode::NoSample);
    }
    let mut claims: Vec<Claim> = promises.iter().flat_map(Promise::claims).collect();
    if !evidence.recorded.stops.is_empty() {
        claims.iter_mut().for_each(without_certificate);
    }
    claims.extend(tell::answer_claims(spec, evidence));
    let verdict = verdict(found, || held(&promises));
    tell::result(spec, evidence, tell::Judged { verdict, claims })
}

/// A certificate rests on a number of kills that nothing but the experiment has fixed. Whoever ends a run early may have looked at what
/// came of them.
fn without_certificate(claim: &mut Claim) {
    if matches!(claim.level, Level::HarmlessKills | Level::Availability) && claim.holds == Holds::Yes {
        claim.holds = Holds::Undecided;
    }
}

fn promises<'a>(spec: &'a JudgeSpec, evidence: &'a Evidence<'a>) -> Vec<Promise<'a>> {
    let mut promises = Vec::new();
    for (slo, load) in spec.probes.iter().filter_map(|probe| match &probe.judged_by {
        JudgedBy::Slo(slo) => Some((slo, load_of(evidence, &probe.name)?)),
        JudgedBy::Expectation(_) | JudgedBy::Invariants { .. } => None,
    }) {
        promises.extend(slo.claims.iter().map(|claim| Promise::judge(load, slo, *claim, spec.chances_to_fail())));
    }
    promises
}

pub(super) fn load_of<'a>(evidence: &'a Evidence<'_>, probe: &str) -> Option<&'a Load<'a>> {
    evidence.loads.iter().find(|load| load.schedule.probe == probe)
}

fn without_samples(spec: &JudgeSpec, evidence: &Evidence<'_>) -> Vec<Finding> {
    if evidence.recorded.phases.fault.is_none() {
        // Nothing was killed: that is what is missing.
        return Vec::new();
    }
    let measured = |name: &str| load_of(evidence, name).is_some_and(|load| load.judged.slots > 0);
    spec.probes
        .iter()
        .filter(|probe| matches!(probe.judged_by, JudgedBy::Slo(_)) && !measured(&probe.name))
        .map(|probe| Finding {
            reason_code: ReasonCode::NoSample,
            message: format!("{}: not one request was due while pods were killed", probe.name),
        })
        .collect()
}

fn held(promises: &[Promise<'_>]) -> String {
    let sentences: Vec<String> = promises.iter().filter(|promise| promise.holds()).map(Promise::sentence).collect();
    if sentences.is_empty() {
        "everything that was expected was seen; nothing is certified".into()
    } else {
        sentences.join("; ")
    }
}

/// The finding that decides comes first and gives the reason; without any the hypothesis held.
fn verdict(mut findings: Vec<Finding>, held: impl FnOnce() -> String) -> Verdict {
    findings.sort_by_key(|finding| finding.reason_code.precedence());
    let reason_code = decisive(findings.iter().map(|finding| finding.reason_code));
    let reason_text = findings.first().map_or_else(held, |finding| finding.message.clone());
    let exit_code = reason_code.exit_code();
    Verdict { outcome: exit_code.outcome(), exit_code, reason_code, reason_text, findings }
}
