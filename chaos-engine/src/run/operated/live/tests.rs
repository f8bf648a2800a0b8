//! The record of a run: what is part of it, and what becomes of a run whose record cannot be written.

use chaos_core::api::{ChaosMonkey, IntentRecord, RunControl, switch};
use chaos_core::killer::Ledger;
use chaos_core::operated::write_killer;
use chaos_core::prober::Report;
use chaos_core::record::RunTime;
use chaos_core::verdict::ReasonCode;
use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Resource as _;
use serde_json::json;

use super::super::fixture::{Server, begun, changed_run, under_way};
use super::*;
use crate::chunks::{ChunkWriter, Role};
use crate::kube::Caller;
use crate::run::fixture::victim;

/// How evidence is written, and a monkey is made, kept alive and suspended.
const EVIDENCE: &str = "POST /api/v1/namespaces/shop/configmaps";
const MAKE: &str = "POST /apis/chaos.dispatch.dev/v1alpha1/namespaces/shop/chaosmonkeys";
const HEARTBEAT: &str = "POST /apis/coordination.k8s.io/v1/namespaces/shop/leases";
const SUSPEND: &str = "PATCH /apis/chaos.dispatch.dev/v1alpha1/namespaces/shop/chaosmonkeys";

#[tokio::test]
async fn a_record_that_is_out_of_reach_or_refused_for_too_long_stops_the_run() {
    let table = [
        (StatusCode::SERVICE_UNAVAILABLE, "30s", false),
        // The attempts of one write take a second.
        (StatusCode::SERVICE_UNAVAILABLE, "500ms", true),
        (StatusCode::FORBIDDEN, "30s", false),
        (StatusCode::FORBIDDEN, "1ns", true),
    ];
    for (code, max_blind, stops) in table {
        let server = Server::start();
        let (mut live, link) = begun(&server, max_blind).await;
        live.perform(RunAction::BeginRecovery, &link).await;
        assert_eq!(live.stop_cause(), None);
        server.refuse(code);
        live.perform(RunAction::CleanUp, &link).await;
        let cause = live.stop_cause();
        assert_eq!(matches!(cause, Some(StopCause::Journal { .. })), stops, "{code} {max_blind}: {cause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_last_events_cannot_be_written_ends_as_stopped_and_has_no_digest() {
    for refused in [false, true] {
        let server = Server::start();
        let (mut live, link) = begun(&server, "30s").await;
        live.perform(RunAction::CleanUp, &link).await;
        if refused {
            server.refuse(StatusCode::FORBIDDEN);
        }
        let spec = JudgeSpec::from(&live.run.experiment);
        let (events, told) = live.finish(&spec).await;
        assert_eq!(told, (!refused).then(|| digest(&events)));
        let reason = judge(&spec, &events).verdict.reason_code;
        assert_eq!(reason == ReasonCode::JournalFailed, refused, "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_end_is_refused_for_a_moment_is_whole() {
    let server = Server::start();
    let (mut live, _link) = begun(&server, "30s").await;
    server.refuse_some(EVIDENCE, StatusCode::FORBIDDEN, 5);
    let spec = JudgeSpec::from(&live.run.experiment);
    let (events, told) = live.finish(&spec).await;
    assert_eq!(told, Some(digest(&events)));
    assert_ne!(judge(&spec, &events).verdict.reason_code, ReasonCode::JournalFailed);
}

/// What happens while a run waits for the looks before its faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Abort,
    Stop,
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_to_end_does_not_wait_for_the_looks_before_its_faults() {
    let switch = format!("/api/v1/namespaces/{}/configmaps/{}", switch::NAMESPACE, switch::NAME);
    for meanwhile in [Meanwhile::Nothing, Meanwhile::Abort, Meanwhile::Stop] {
        let server = Server::start();
        let (mut live, link) = begun(&server, "30s").await;
        let mut run = live.desk.object().await;
        let (watch, object) = watch::channel(Arc::new(run.clone()));
        live.object = object;
        let began = tokio::time::Instant::now();
        let happens = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            match meanwhile {
                Meanwhile::Nothing => {}
                Meanwhile::Abort => {
                    run.spec.control = Some(RunControl { abort: true, ..RunControl::default() });
                    watch.send_replace(Arc::new(run));
                }
                Meanwhile::Stop => {
                    let stopped = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": switch::NAME},
                        "data": {(switch::KEY): switch::STOPPED}});
                    Caller::new(server.client()).replace::<serde_json::Value>(&switch, &stopped).await.unwrap();
                }
            }
        };
        tokio::join!(live.perform(RunAction::AskBefore, &link), happens);
        let waited = began.elapsed();
        assert_eq!(waited < Duration::from_secs(10), meanwhile != Meanwhile::Nothing, "{meanwhile:?}: {waited:?}");
        // Nobody says of a prober that was not waited for that it did not do what it was told.
        let cause = live.stop_cause();
        let is_told = match meanwhile {
            Meanwhile::Nothing => matches!(cause, Some(StopCause::Probes { .. })),
            Meanwhile::Abort => cause.is_none(),
            Meanwhile::Stop => matches!(cause, Some(StopCause::Switch { .. })),
        };
        assert!(is_told, "{meanwhile:?}: {cause:?}");
    }
}

/// The fault phase begins, and is meant to last for a while.
async fn begin_to_kill(live: &mut Live, link: &Link) {
    let until = chaos_core::instant::after(live.now(), Duration::from_secs(600));
    live.perform(RunAction::StartKiller { until }, link).await;
}

#[tokio::test]
async fn nobody_is_let_in_to_kill_before_the_beginning_of_the_fault_phase_is_on_the_cluster() {
    let server = Server::start();
    let (mut live, link) = begun(&server, "10m").await;
    server.refuse_some(EVIDENCE, StatusCode::FORBIDDEN, 2);
    begin_to_kill(&mut live, &link).await;
    assert_eq!((live.killer.is_some(), live.stop_cause()), (false, None));
    live.write_in_time().await.unwrap_err();
    assert_eq!((live.killer.is_some(), live.stop_cause()), (false, None));
    live.write_in_time().await.unwrap();
    assert!(live.killer.is_some());
}

#[tokio::test]
async fn nobody_is_let_in_to_kill_once_something_else_is_to_be_done() {
    let server = Server::start();
    let (mut live, link) = begun(&server, "10m").await;
    server.refuse_some(EVIDENCE, StatusCode::FORBIDDEN, 1);
    begin_to_kill(&mut live, &link).await;
    live.perform(RunAction::NoteStop(StopCause::Signal { name: "enough".into() }), &link).await;
    live.write_in_time().await.unwrap();
    assert!(live.killer.is_none(), "the run is going to end");
}

#[tokio::test]
async fn a_killer_is_held_while_what_happens_cannot_be_written() {
    let server = Server::start();
    let (mut live, link) = begun(&server, "10m").await;
    begin_to_kill(&mut live, &link).await;
    let held = |live: &Live| matches!(&live.killer, Some(Killer::Kept(kept)) if kept.is_held());
    assert!(live.killer.is_some() && !held(&live));
    server.refuse_some(EVIDENCE, StatusCode::FORBIDDEN, 1);
    live.note("something happens".to_owned());
    live.write().await.unwrap_err();
    assert!(held(&live));
    live.write_in_time().await.unwrap();
    assert!(!held(&live));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_killed_while_the_note_is_written_that_a_run_ends_early() {
    let server = Server::start();
    let (mut live, link) = begun(&server, "10m").await;
    begin_to_kill(&mut live, &link).await;
    let rests = |live: &Live| matches!(&live.killer, Some(Killer::Kept(kept)) if kept.is_told_to_rest());
    assert!(live.killer.is_some() && !rests(&live));
    let written = live.chunks();
    live.perform(RunAction::NoteStop(StopCause::Guard { message: "too much".into() }), &link).await;
    assert!(rests(&live));
    assert_eq!(live.chunks(), written, "nothing is waited for before whoever kills rests");
    live.perform(RunAction::StopKiller, &link).await;
    let kept = live.row.kept();
    assert!(kept.iter().any(|event| matches!(event, Event::Stop { .. })), "and then it is written: {kept:?}");
}

/// The same run, whose pods a monkey kills.
async fn begun_with_monkey(server: &Server) -> (Live, Link) {
    let run = changed_run(|experiment| {
        experiment["fault"] = json!({"monkey": {"meanTimeBetweenKills": "2s", "minTimeBetweenKills": "1s",
            "strikes": {"target": 4, "min": 2}, "killMode": "Evict", "group": "Workload"}});
    });
    under_way(server, run.1).await
}

#[tokio::test(start_paused = true)]
async fn a_monkey_that_may_not_be_made_is_asked_for_again_for_a_while() {
    for (times, is_made) in [(2, true), (usize::MAX, false)] {
        let server = Server::start();
        let (mut live, link) = begun_with_monkey(&server).await;
        server.refuse_some(MAKE, StatusCode::FORBIDDEN, times);
        begin_to_kill(&mut live, &link).await;
        assert_eq!((live.killer.is_some(), live.stop_cause()), (false, None));
        while live.vacancy.is_some() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            live.write_in_time().await.unwrap();
        }
        assert_eq!(live.killer.is_some(), is_made);
        let cause = live.stop_cause();
        assert_eq!(matches!(cause, Some(StopCause::Killer { .. })), !is_made, "{cause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_monkey_that_was_there_before_is_not_removed_where_its_heartbeat_cannot_be_made() {
    let server = Server::start();
    let (mut live, link) = begun_with_monkey(&server).await;
    begin_to_kill(&mut live, &link).await;
    let path = format!("{}/run-{}", ChaosMonkey::url_path(&(), Some("shop")), live.run.uid);
    let strikes = |server: &Server| server.object(&path).unwrap()["spec"]["maxKills"].clone();
    assert_eq!(strikes(&server), json!(4));
    // As a process does that takes the run up.
    live.killer = None;
    server.refuse_some(HEARTBEAT, StatusCode::SERVICE_UNAVAILABLE, 1);
    begin_to_kill(&mut live, &link).await;
    assert!(live.killer.is_none());
    assert_eq!(strikes(&server), json!(4), "what it killed stands there alone");
    live.write_in_time().await.unwrap();
    assert!(live.killer.is_some());
    assert_eq!(live.stop_cause(), None);
}

#[tokio::test(start_paused = true)]
async fn a_monkey_is_told_its_end_by_the_clock_as_it_is_and_not_as_it_was_when_the_run_was_taken_up() {
    let server = Server::start();
    let (mut live, link) = begun_with_monkey(&server).await;
    live.clock = RunClock::stepped(Duration::from_secs(60), jiff::SignedDuration::from_hours(1));
    begin_to_kill(&mut live, &link).await;
    let path = format!("{}/run-{}", ChaosMonkey::url_path(&(), Some("shop")), live.run.uid);
    let monkey = server.object(&path).unwrap();
    let until: Timestamp = monkey["spec"]["until"].as_str().unwrap().parse().unwrap();
    let left = until.duration_since(Timestamp::now()).as_secs();
    assert!((590..=600).contains(&left), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_monkey_is_told_to_rest_until_that_is_not_refused_any_more() {
    let server = Server::start();
    let (mut live, link) = begun_with_monkey(&server).await;
    begin_to_kill(&mut live, &link).await;
    server.refuse_some(SUSPEND, StatusCode::FORBIDDEN, 2);
    live.perform(RunAction::StopKiller, &link).await;
    let monkey = format!("{}/run-{}", ChaosMonkey::url_path(&(), Some("shop")), live.run.uid);
    assert_eq!(server.object(&monkey).unwrap()["spec"]["suspend"], json!(true));
    let beat = last_beat(&server, &live.run.uid);
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_ne!(last_beat(&server, &live.run.uid), beat, "it is alive until it is removed");
}

#[tokio::test(start_paused = true)]
async fn a_monkey_is_removed_by_whoever_takes_the_run_up_once_it_was_told_to_rest() {
    let server = Server::start();
    let (mut live, link) = begun_with_monkey(&server).await;
    begin_to_kill(&mut live, &link).await;
    let monkey = format!("{}/run-{}", ChaosMonkey::url_path(&(), Some("shop")), live.run.uid);
    assert!(server.object(&monkey).is_some());
    // As it is for a process that takes the run up behind that.
    live.killer = None;
    live.perform(RunAction::CleanUp, &link).await;
    assert_eq!(server.object(&monkey), None);
}

#[tokio::test(start_paused = true)]
async fn a_kill_that_is_open_is_told_by_whoever_takes_the_run_up_to_clean_up() {
    let server = Server::start();
    let (mut live, link) = begun(&server, "10m").await;
    begin_to_kill(&mut live, &link).await;
    live.killer = None;
    let victim = victim("trips", "trips-1", "pod-1");
    let (nonce, group, now) = ("n-1".to_owned(), "trips".to_owned(), MicroTime(live.now()));
    let (due, decided_at, deadline) = (now.clone(), now.clone(), now);
    let intent = IntentRecord { strike: 1, nonce, group, victim, due, decided_at, deadline };
    let ledger = Ledger { intents: vec![intent], ..Ledger::default() };
    live.desk.update(|status| write_killer(&ledger, status)).await.unwrap();
    live.perform(RunAction::CleanUp, &link).await;
    let events = live.row.recorder().events();
    let tells = |event: &Event| match event {
        Event::Kill(kill) => kill.nonce == "n-1",
        Event::WoundDown { left, .. } => left.iter().any(|look| look.contains("trips-1")),
        _ => false,
    };
    assert!(events.iter().any(tells), "{events:?}");
}

/// When the run last gave its monkey a sign of life.
fn last_beat(server: &Server, run: &str) -> serde_json::Value {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/shop/leases/run-{run}");
    server.object(&path).unwrap()["spec"]["renewTime"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_monkey_that_cannot_be_told_to_rest_is_given_no_sign_of_life() {
    for is_taken_up in [false, true] {
        let server = Server::start();
        let (mut live, link) = begun_with_monkey(&server).await;
        begin_to_kill(&mut live, &link).await;
        if is_taken_up {
            live.killer = None;
        }
        server.refuse_some(SUSPEND, StatusCode::FORBIDDEN, usize::MAX);
        let run = live.run.uid.clone();
        // The first twenty beats of a heart are a tenth of a second apart.
        let looks = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let before = last_beat(&server, &run);
            tokio::time::sleep(Duration::from_millis(1_200)).await;
            (before, last_beat(&server, &run))
        };
        let ((), (before, after)) = tokio::join!(live.perform(RunAction::StopKiller, &link), looks);
        assert_eq!(before, after, "taken up: {is_taken_up}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(last_beat(&server, &run), after, "nor afterwards");
    }
}

#[tokio::test(start_paused = true)]
async fn a_monkey_that_cannot_be_told_to_rest_hears_nothing_of_its_run_any_more() {
    let server = Server::start();
    let (mut live, link) = begun_with_monkey(&server).await;
    begin_to_kill(&mut live, &link).await;
    let lease = format!("/apis/coordination.k8s.io/v1/namespaces/shop/leases/run-{}", live.run.uid);
    let beat = || server.object(&lease).unwrap()["spec"]["renewTime"].clone();
    let first = beat();
    tokio::time::sleep(BEAT * 2).await;
    assert_ne!(beat(), first);
    server.refuse_some(SUSPEND, StatusCode::FORBIDDEN, usize::MAX);
    live.perform(RunAction::StopKiller, &link).await;
    let last = beat();
    tokio::time::sleep(BEAT * 4).await;
    assert_eq!(beat(), last);
}

fn note(text: &str) -> Event {
    Event::Note { at: RunTime(1), text: text.to_owned() }
}

fn report(reached: Reached) -> Report {
    let (started_at, written_at) = (Timestamp::UNIX_EPOCH, Timestamp::now());
    Report { prober: "prober".into(), tool_digest: None, reached, started_at, written_at, heard: None, queued: false }
}

/// Looks until it is so.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_told_after_the_end_is_no_part_of_the_record_and_is_not_counted() {
    let server = Server::start();
    let (mut live, link) = begun(&server, "30s").await;
    let (read, write) = (Caller::new(server.client()), Caller::new(server.client()));
    let mut prober = ChunkWriter::new(read, write, super::super::key(&live.run), Role::Prober, "prober".into());
    prober.append(&[note("in time")], Some(&report(Reached::Loading))).await.unwrap();
    until(|| link.started_at().is_some()).await;
    live.take_news(&link);
    let (events, digest) = live.finish(&JudgeSpec::from(&live.run.experiment)).await;
    prober.append(&[note("too late")], Some(&report(Reached::Ended { message: "it left".into() }))).await.unwrap();
    until(|| link.lost().is_some()).await;
    live.take_news(&link);
    assert!(events.contains(&note("in time")) && digest.is_some());
    assert!(!live.observer.events().contains(&note("too late")));
    assert_eq!(live.chunks(), (1, 1), "whoever reads so many has what was judged");
}
