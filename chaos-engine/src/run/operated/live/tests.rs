//! A run whose evidence cannot be written: it is stopped, and never passes.

use chaos_core::verdict::ReasonCode;
use http::StatusCode;

use super::super::fixture::{Server, begun};
use super::*;

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
