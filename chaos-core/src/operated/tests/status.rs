//! A record survives its status, and a status stays small.

use super::*;
use crate::api::{
    ExperimentRunStatus, KillRecord, Outcome, RunKiller, RunPhase, SkipRecord, UnfinishedStrike, VictimRef,
};
use crate::killer::Ledger;
use crate::run::WindDown;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

fn every_stage() -> Vec<Stage> {
    let until = start();
    let mut stages = vec![
        Stage::New,
        Stage::Resolving { until },
        Stage::AwaitingApproval { until },
        Stage::Preparing { until, queued: None },
        Stage::Preparing { until, queued: Some(until) },
        Stage::Completed,
    ];
    let mut running = vec![
        RunState::New,
        RunState::Asking,
        RunState::Baseline { until },
        RunState::Fault { ceiling: until },
        RunState::Settling { since: until },
        RunState::Recovery { until },
    ];
    let message = || "m".to_owned();
    let causes = [
        StopCause::SloRefuted { probe: message() },
        StopCause::Guard { message: message() },
        StopCause::Switch { message: message() },
        StopCause::Signal { name: message() },
        StopCause::NotRecovered { message: message() },
        StopCause::Blind { message: message() },
        StopCause::Journal { message: message() },
        StopCause::Killer { message: message() },
        StopCause::NoProbes { message: message() },
        StopCause::Probes { message: message() },
    ];
    assert_eq!(causes.each_ref().map(StopCause::name).as_slice(), StopCause::NAMES);
    for next in [WindDown::StopKiller, WindDown::StopProbes, WindDown::AskAfter, WindDown::CleanUp] {
        running.push(RunState::WindingDown { next, stop: None });
        running.extend(causes.iter().map(|cause| RunState::WindingDown { next, stop: Some(cause.clone()) }));
    }
    for stop in causes.iter().cloned().map(Some).chain([None]) {
        running.push(RunState::Finished { stop: stop.clone() });
        stages.push(Stage::Judging { stop });
    }
    stages.extend(running.into_iter().map(Stage::Running));
    stages
}

#[test]
fn a_record_is_read_back_as_it_was_written() {
    for stage in every_stage() {
        let verdict = (stage == Stage::Completed).then(|| not_approved(Duration::from_secs(1)));
        let record = Record { stage, resolved: Some(resolved("p")), verdict };
        let mut status = ExperimentRunStatus::default();
        write_record(&record, &mut status, start());
        let stored = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        assert_eq!(read_record(&stored), record);
    }
}

#[test]
fn a_damaged_status_leads_to_an_end() {
    for phase in [RunPhase::Resolving, RunPhase::Baseline, RunPhase::Fault, RunPhase::WindingDown, RunPhase::Settling] {
        let status = ExperimentRunStatus { phase: Some(phase), ..ExperimentRunStatus::default() };
        let mut world = World { view: healthy, saved: read_record(&status), begun: true, ..World::new() };
        assert_eq!(world.play(&machine()).stage, Stage::Completed, "{phase:?}");
    }
}

fn kill(strike: u64) -> KillRecord {
    let uid = |kind: &str| format!("{kind}-7d2f4b1e-0000-4000-8000-{strike:012}");
    KillRecord {
        strike,
        nonce: uid("n"),
        group: "dispatch/Deployment/trips".into(),
        victim: VictimRef {
            namespace: "dispatch".into(),
            pod: format!("trips-6f9c7b5d8c-{strike:05}"),
            uid: uid("p"),
            workload: "Deployment/trips".into(),
            workload_uid: uid("w"),
            owner_uid: uid("o"),
            node: Some("node-with-a-rather-long-name.example.internal".into()),
        },
        at: MicroTime(start()),
        outcome: Outcome::Killed,
        message: Some("x".repeat(100)),
    }
}

#[test]
fn a_killer_remembers_what_it_needs_and_no_more_than_fits() {
    let skip = |strike| SkipRecord {
        strike,
        group: "g".into(),
        at: MicroTime(start()),
        reason: "MaxUnavailable".into(),
        message: "y".repeat(300),
    };
    let ledger = Ledger {
        history: (0..100).map(kill).collect(),
        skipped: (0..50).map(skip).collect(),
        kills: 10_000,
        struck: 9_000,
        strikes: 12_000,
        skips: 500,
        fences: 3,
        unfinished: Some(UnfinishedStrike { strike: 11_999, group: "g".into(), left: 2 }),
        ..Ledger::default()
    };
    let mut status = ExperimentRunStatus::default();
    write_killer(&ledger, &mut status);
    let read = read_killer(&status);
    assert_eq!((read.history.len(), read.skipped.len()), (60, 10));
    assert_eq!(read.history.last(), ledger.history.last());
    let kept = Ledger { history: Vec::new(), skipped: Vec::new(), ..ledger.clone() };
    assert_eq!(Ledger { history: Vec::new(), skipped: Vec::new(), ..read }, kept, "everything else stays");
    // The worst of everything still fits.
    let claim = |_| crate::api::RunClaim { claim: "c".repeat(500), probe: "p".repeat(63), holds: "Undecided".into() };
    status.claims = (0..40).map(claim).collect();
    let resolved = ResolvedRun { power: (0..40).map(|_| "p".repeat(500)).collect(), ..resolved("p") };
    status.resolved = Some(resolved);
    assert!(serde_json::to_vec(&status).unwrap().len() > 64 * 1024);
    fit(&mut status);
    let size = serde_json::to_vec(&status).unwrap().len();
    assert!(size <= 64 * 1024, "{size}");
    let killer: &RunKiller = status.killer.as_ref().unwrap();
    assert_eq!((killer.kills, killer.strikes), (10_000, 12_000));
}

#[test]
fn a_condition_says_that_it_waits_for_its_turn() {
    let ready = |queued, hindrance| {
        let record = Record { stage: Stage::Preparing { until: start(), queued }, ..Record::default() };
        let mut status = ExperimentRunStatus::default();
        write_record(&record, &mut status, start());
        update_conditions(&record, &mut status, &Facts { generation: Some(1), hindrance, now: start() });
        let found = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        format!("{} {}", found.status, found.reason)
    };
    assert_eq!(ready(None, None), "True Ready");
    assert_eq!(ready(Some(start()), None), "False Queued");
    assert_eq!(ready(Some(start()), Some(("Stopped", "the stop switch".to_owned()))), "False Stopped");
}

#[test]
fn conditions_say_that_it_is_over_and_what_it_proved() {
    let of = |verdict: Option<RunVerdict>| {
        let stage = if verdict.is_some() { Stage::Completed } else { Stage::Judging { stop: None } };
        let record = Record { stage, resolved: None, verdict };
        let mut status = ExperimentRunStatus::default();
        write_record(&record, &mut status, start());
        update_conditions(&record, &mut status, &Facts { generation: Some(1), hindrance: None, now: start() });
        let say = |kind: &str| {
            let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
            format!("{} {}", found.status, found.reason)
        };
        [say("Complete"), say("Passed")]
    };
    let pass = RunVerdict {
        outcome: "pass".into(),
        exit_code: 0,
        reason_code: "HypothesisHeld".into(),
        reason_text: String::new(),
    };
    let fail = RunVerdict { outcome: "fail".into(), exit_code: 1, reason_code: "SloRefuted".into(), ..pass.clone() };
    assert_eq!(of(None), ["False Judging", "Unknown Judging"]);
    assert_eq!(of(Some(pass)), ["True HypothesisHeld", "True HypothesisHeld"]);
    assert_eq!(of(Some(fail)), ["True SloRefuted", "False SloRefuted"]);
    assert_eq!(of(Some(planned(5, 3))), ["True DryRun", "Unknown DryRun"]);
    assert_eq!(of(Some(not_approved(Duration::from_secs(60)))), ["True NotApproved", "Unknown NotApproved"]);
}
