//! Builds the result of a run from what was counted and decided. It formats and sums; it decides nothing.

mod advice;
mod answers;
mod kills;
mod measures;

pub(super) use answers::answer_claims;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::ReasonCode;
use super::spec::JudgeSpec;
use crate::api::API_VERSION;
use crate::evidence::{Evidence, Recorded};
use crate::population::{PodFacts, Population};
use crate::record::{Event, Excluded, RunTime, Started};
use crate::result::{
    Claim, ExcludedPod, Fact, Finding, ImageUsed, KillSummary, PhaseSpan, PlanFacts, PlannedPod, Recovery, RunInfo,
    RunResult, SCHEMA_VERSION, Verdict,
};

/// What was decided.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) claims: Vec<Claim>,
}

/// The whole result.
pub(super) fn result(spec: &JudgeSpec, evidence: &Evidence<'_>, judged: Judged) -> RunResult {
    let recorded = &evidence.recorded;
    RunResult {
        claims: judged.claims,
        probes: measures::probes(spec, evidence),
        expectations: answers::expectations(spec, recorded),
        invariants: answers::invariants(spec, recorded),
        kills: kills::summary(spec, evidence),
        kill_rows: kills::rows(evidence),
        skips: kills::skips(recorded),
        put_off: kills::put_off(recorded),
        recovery: kills::recovery(evidence),
        phases: phases(recorded),
        series: measures::series(evidence),
        plan: recorded
            .planned
            .map(|(population, ..)| population)
            .map_or_else(PlanFacts::default, |population| plan(population, recorded)),
        advice: advice::advice(evidence),
        leftovers: recorded.left.unwrap_or_default().to_vec(),
        notes: notes(evidence),
        ..empty(spec, recorded.started, recorded.phases.last, judged.verdict)
    }
}

/// The result of a record that cannot be counted.
pub(super) fn unreadable(
    spec: &JudgeSpec,
    events: &[Event],
    recorded: Option<&Recorded<'_>>,
    left: &[String],
    verdict: Verdict,
) -> RunResult {
    let unknown = unknown_run(&spec.name);
    let started = events.iter().find_map(|event| match event {
        Event::Started(started) => Some(started.as_ref()),
        _ => None,
    });
    let leftovers = left.to_vec();
    let invariants = recorded.map(|recorded| answers::invariants(spec, recorded)).unwrap_or_default();
    RunResult { invariants, leftovers, ..empty(spec, started.unwrap_or(&unknown), RunTime::default(), verdict) }
}

/// The beginning of a run of which nothing is known but its experiment.
pub(super) fn unknown_run(experiment: &str) -> Started {
    Started {
        run_id: String::new(),
        experiment: experiment.to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        tool: String::new(),
        tool_digest: None,
        manifest: String::new(),
        manifest_source: String::new(),
        manifest_digest: String::new(),
        seed: 0,
        attempt: 1,
        cluster: String::new(),
        environment: Vec::new(),
    }
}

/// A run that was never started, as a result like any other: whoever gates on results must not miss it.
pub fn not_started(refused: NotStarted) -> RunResult {
    let NotStarted { spec, started, reason_code, message } = refused;
    let exit_code = reason_code.exit_code();
    let findings = vec![Finding { reason_code, message: message.clone() }];
    let verdict = Verdict { outcome: exit_code.outcome(), exit_code, reason_code, reason_text: message, findings };
    empty(&spec, &started, RunTime::default(), verdict)
}

/// Why a run was never started, and as much as is known of it.
#[derive(Debug, Clone)]
pub struct NotStarted {
    /// What it would have been judged by.
    pub spec: JudgeSpec,
    /// What its record would have begun with.
    pub started: Started,
    /// Why.
    pub reason_code: ReasonCode,
    /// The facts, for people.
    pub message: String,
}

fn empty(spec: &JudgeSpec, started: &Started, last: RunTime, verdict: Verdict) -> RunResult {
    let run = RunInfo {
        id: started.run_id.clone(),
        experiment: spec.name.clone(),
        namespace: spec.namespace.clone(),
        started_at: started.started_at,
        duration_us: last.micros(),
        tool: started.tool.clone(),
        tool_digest: started.tool_digest.clone(),
        cluster: started.cluster.clone(),
        environment: started.environment.iter().map(fact).collect(),
        seed: started.seed,
        attempt: started.attempt,
        manifest_source: started.manifest_source.clone(),
        manifest_digest: started.manifest_digest.clone(),
        manifest: started.manifest.clone(),
    };
    RunResult {
        schema_version: SCHEMA_VERSION.into(),
        api_version: API_VERSION.into(),
        kind: "RunResult".into(),
        run,
        hypothesis: spec.hypothesis.clone(),
        verdict,
        claims: Vec::new(),
        probes: Vec::new(),
        expectations: Vec::new(),
        invariants: Vec::new(),
        kills: KillSummary { planned: spec.strikes_target, least: spec.strikes_min, ..KillSummary::default() },
        kill_rows: Vec::new(),
        skips: Vec::new(),
        put_off: Vec::new(),
        recovery: Recovery::default(),
        phases: Vec::new(),
        series: Vec::new(),
        plan: PlanFacts::default(),
        advice: Vec::new(),
        leftovers: Vec::new(),
        notes: Vec::new(),
    }
}

fn fact((name, value): &(String, String)) -> Fact {
    Fact { name: name.clone(), value: value.clone() }
}

fn phases(recorded: &Recorded<'_>) -> Vec<PhaseSpan> {
    let started_at = recorded.started.started_at;
    let utc = |at: RunTime| {
        let nanos = i64::try_from(at.0).unwrap_or(i64::MAX);
        started_at.checked_add(SignedDuration::from_nanos(nanos)).unwrap_or(Timestamp::MAX)
    };
    recorded
        .phases
        .reached()
        .map(|(phase, span)| PhaseSpan {
            phase,
            start_us: span.start.micros(),
            end_us: span.end.micros(),
            started_at: utc(span.start),
        })
        .collect()
}

fn plan(population: &Population, recorded: &Recorded<'_>) -> PlanFacts {
    let (eligible, excluded) =
        recorded.planned.map_or((&[][..], &[][..]), |(_, eligible, excluded)| (eligible, excluded));
    let pods = population.pods.iter().filter(|pod| eligible.contains(&pod.uid));
    let planned = pods.map(|pod| PlannedPod {
        pod: format!("{}/{}", pod.namespace, pod.name),
        workload: pod.workload.as_ref().map_or_else(String::new, |key| format!("{}/{}", key.kind, key.name)),
        node: pod.node.clone(),
        zone: pod.node.as_deref().and_then(|node| population.node(node)?.zone()).map(str::to_owned),
    });
    let might_be_killed = population.pods.iter().filter(|pod| eligible.contains(&pod.uid));
    PlanFacts {
        eligible: planned.collect(),
        excluded: excluded.iter().map(excluded_pod).collect(),
        images: might_be_killed.flat_map(images).collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

fn images(pod: &PodFacts) -> Vec<ImageUsed> {
    let workload = pod.workload.as_ref().map_or_else(String::new, |key| format!("{}/{}", key.kind, key.name));
    let containers = pod.template.iter().flat_map(|template| &template.containers);
    containers
        .map(|container| ImageUsed {
            workload: workload.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
        })
        .collect()
}

fn excluded_pod(excluded: &Excluded) -> ExcludedPod {
    ExcludedPod { pod: excluded.pod.clone(), reason: excluded.reason.clone(), message: excluded.message.clone() }
}

fn notes(evidence: &Evidence<'_>) -> Vec<String> {
    let recorded = &evidence.recorded;
    let mut notes: Vec<String> = recorded.notes.iter().map(|note| (*note).to_owned()).collect();
    let attempt = recorded.started.attempt;
    if attempt > 1 {
        notes.push(format!(
            "this is attempt {attempt} of the same manifest: a pass that came after failures is worth less than its confidence"
        ));
    }
    let merged = recorded.kills.iter().zip(&evidence.timelines).filter(|(_, timeline)| timeline.done).count()
        - evidence.trials.iter().map(|trial| trial.kills.len().min(1)).sum::<usize>();
    if merged > 0 {
        notes.push(format!(
            "{merged} kills came before the replacement of the one before was Ready: they count as one trial with it"
        ));
    }
    notes
}
