//! The record of a run: what is part of it, and what becomes of a run whose record cannot be written.

use chaos_core::prober::Report;
use chaos_core::record::RunTime;
use chaos_core::verdict::ReasonCode;
use http::StatusCode;

use super::super::fixture::{Server, begun};
use super::*;
use crate::chunks::{ChunkWriter, Role};
use crate::kube::Caller;

#[tokio::test]
async fn a_record_that_is_lost_or_out_of_reach_for_too_long_stops_the_run() {
    let table = [
        (StatusCode::FORBIDDEN, "30s", true),
        (StatusCode::SERVICE_UNAVAILABLE, "30s", false),
        // The attempts of one write take a second.
        (StatusCode::SERVICE_UNAVAILABLE, "500ms", true),
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

#[tokio::test]
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
