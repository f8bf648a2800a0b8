//! What a run that is under way means: its record says so, as its objects may have been changed since. A record that cannot be read
//! is waited for, and that is told; once it has lasted, or somebody wants the run to end, the run is given up: each has an end.

use std::time::Duration;

use chaos_core::api::ExperimentRun;
use chaos_core::forbidden::FORBIDDEN_AT_MOST;
use chaos_core::model::Run;
use chaos_core::operated::{Facts, Record, Stage, TAKE_UP_WITHIN, Unfit, update_conditions};
use chaos_core::run::RunState;
use chaos_core::units;
use chaos_engine::chunks::ReadError;
use chaos_engine::kube::{CallError, Caller, StatusDesk, StoreError};
use chaos_engine::run::operated::recorded;
use jiff::Timestamp;
use tokio::time::Instant;

const HINT: &str = "hint: may the operator get configmaps? `chaos install`, or see docs/permissions.md";

/// Since when the record of a run could not be read, over all times that this process takes the run up.
#[derive(Default)]
pub(super) struct Unread {
    since: Option<Instant>,
}

impl Unread {
    /// The run by its record. `None`: it is not under way, or nothing was recorded yet, so that its objects say what it is.
    pub(super) async fn by_record(
        &mut self,
        reads: Caller,
        desk: &StatusDesk<ExperimentRun>,
        object: &ExperimentRun,
        record: &Record,
    ) -> Result<Option<Result<Run, Unfit>>, StoreError> {
        if !matches!(record.stage, Stage::Running(_) | Stage::Judging { .. }) {
            return Ok(None);
        }
        let read = match recorded(reads, object).await {
            Ok(run) => Ok(run),
            Err(ReadError::Call(error)) => return self.unread(desk, object, record, error).await,
            Err(damaged @ ReadError::Damaged { .. }) => Err(damaged.to_string()),
        };
        if self.since.take().is_some() {
            say(desk, object, record, None).await?;
        }
        Ok(match read {
            Ok(Some(run)) => Some(Ok(run)),
            Ok(None) if record.stage == Stage::Running(RunState::New) => None,
            Ok(None) => Some(Err(Unfit::out_of_reach("the record of the run is gone"))),
            Err(damaged) => Some(Err(Unfit::out_of_reach(damaged))),
        })
    }

    /// The record could not be read: an error as long as that may pass.
    async fn unread(
        &mut self,
        desk: &StatusDesk<ExperimentRun>,
        object: &ExperimentRun,
        record: &Record,
        error: CallError,
    ) -> Result<Option<Result<Run, Unfit>>, StoreError> {
        let lasted = self.since.get_or_insert_with(Instant::now).elapsed();
        // Whoever ends a run does not wait for its record as long as others, and still as long as a server may take to start.
        let (whose, patience) = if object.is_aborted() {
            ("the run was asked to end, and its record", FORBIDDEN_AT_MOST)
        } else {
            ("the record of the run", TAKE_UP_WITHIN.std())
        };
        if lasted >= patience {
            let lasted = units::Duration::from(Duration::from_secs(lasted.as_secs()));
            let message = format!("{whose} could not be read for {lasted}: {error}; {HINT}");
            return Ok(Some(Err(Unfit::out_of_reach(message))));
        }
        if error.is_forbidden() {
            say(desk, object, record, Some(("PermissionMissing", format!("{error}; {HINT}")))).await?;
        }
        Err(error.into())
    }
}

/// Says in the conditions of the run why it cannot be acted on at present, or that it can be.
async fn say(
    desk: &StatusDesk<ExperimentRun>,
    object: &ExperimentRun,
    record: &Record,
    hindrance: Option<(&'static str, String)>,
) -> Result<(), StoreError> {
    let facts = Facts { generation: object.metadata.generation, hindrance, now: Timestamp::now() };
    desk.update(|status| update_conditions(record, status, &facts)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::body::Bytes;
    use axum::http::{Method, StatusCode, Uri};
    use axum::{Json, Router};
    use chaos_core::api::{ExperimentRunStatus, ProberStage, RunPhase};
    use serde_json::{Value, json};
    use tokio::sync::watch;
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::run::tend;
    use crate::shared::tests::shared;
    use crate::watched::tests::run;

    const MINUTE: Duration = Duration::from_secs(60);

    /// What is answered to the question for the record, by how often it was asked before.
    type OfRecord = fn(usize) -> StatusCode;

    /// A server with one run in the middle of its faults, and what it answers to the question for the record.
    #[derive(Clone)]
    struct Server {
        of_record: OfRecord,
        held: Arc<Mutex<Held>>,
    }

    struct Held {
        run: Value,
        asked: usize,
        /// Whether a monkey of the run may be told to rest, and how often it was.
        of_rest: StatusCode,
        rests: usize,
        /// What was asked for besides reads, that, and the status of the run.
        others: Vec<String>,
    }

    impl Server {
        fn new(of_record: OfRecord) -> Self {
            let mut run = json!(run("r", RunPhase::Fault));
            run["status"]["probing"] = json!({"order": "Load", "beat": "2026-11-23T12:00:00.000000Z", "lasts": "10m"});
            // As it is where there is none.
            let of_rest = StatusCode::NOT_FOUND;
            let held = Held { run, asked: 0, of_rest, rests: 0, others: Vec::new() };
            Self { of_record, held: Arc::new(Mutex::new(held)) }
        }

        fn answer(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Json<Value>) {
            let mut held = self.held.lock().unwrap();
            if *method == Method::GET && path.contains("/configmaps/") {
                let code = (self.of_record)(held.asked);
                held.asked += 1;
                let reason = if code == StatusCode::FORBIDDEN { "Forbidden" } else { "No" };
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
                    "message": "cannot get resource \"configmaps\"", "reason": reason});
                return (code, Json(status));
            }
            if *method == Method::PATCH && path.ends_with("/namespaces/default/chaosmonkeys/run-r") {
                assert_eq!(serde_json::from_slice::<Value>(body).unwrap(), json!({"spec": {"suspend": true}}));
                // Nobody reads that the run is over before its monkey is told.
                assert_ne!(held.run["status"]["phase"], json!("Completed"));
                held.rests += 1;
                let monkey = json!(crate::watched::tests::monkey("run-r", &json!({})));
                return (held.of_rest, Json(if held.of_rest == StatusCode::OK { monkey } else { Value::Null }));
            }
            if *method == Method::PUT && path.ends_with("/experimentruns/r/status") {
                let written: Value = serde_json::from_slice(body).unwrap();
                held.run["status"] = written["status"].clone();
            } else if *method != Method::GET {
                held.others.push(format!("{method} {path}"));
            }
            (StatusCode::OK, Json(held.run.clone()))
        }

        /// A process that tends the run; the watch brings it what is sent.
        fn tended(&self) -> (watch::Sender<Arc<ExperimentRun>>, JoinHandle<()>) {
            let server = self.clone();
            let answer = move |method: Method, uri: Uri, body: Bytes| {
                let answer = server.answer(&method, uri.path(), &body);
                async move { answer }
            };
            let router: Router = Router::new().fallback(answer);
            let (brings, object) = watch::channel(Arc::new(self.object()));
            let tending = async move {
                let (shared, _teller) = shared(kube::Client::new(router, "default"));
                tend(shared, object, CancellationToken::new()).await;
            };
            (brings, tokio::spawn(tending))
        }

        /// Somebody asks the run to end.
        fn abort(&self) {
            self.held.lock().unwrap().run["spec"]["control"] = json!({"abort": true});
        }

        fn object(&self) -> ExperimentRun {
            serde_json::from_value(self.held.lock().unwrap().run.clone()).unwrap()
        }

        fn status(&self) -> ExperimentRunStatus {
            self.object().status.unwrap()
        }

        /// Reason and message of its condition `Ready`, if that is false.
        fn hindrance(&self) -> Option<(String, String)> {
            let conditions = self.status().conditions;
            let ready =
                conditions.into_iter().find(|condition| condition.type_ == "Ready" && condition.status == "False");
            ready.map(|ready| (ready.reason, ready.message))
        }

        /// Why it was given up; fails if it is not over, or if anything else was done for it.
        fn given_up(&self) -> String {
            let status = self.status();
            let verdict = status.verdict.expect("a verdict");
            assert_eq!((status.phase, verdict.reason_code.as_str()), (Some(RunPhase::Completed), "OutOfReach"));
            let order = status.probing.map(|probing| probing.order);
            assert_eq!(order, Some(ProberStage::Release), "nobody sends load for a run that is over");
            let others = self.held.lock().unwrap().others.clone();
            assert!(others.is_empty(), "{others:?}");
            verdict.reason_text
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_whose_record_stays_out_of_reach_says_what_is_missing_and_has_an_end() {
        let (server, began) = (Server::new(|_| StatusCode::FORBIDDEN), Instant::now());
        let (_brings, tending) = server.tended();
        sleep(TAKE_UP_WITHIN.std().checked_sub(Duration::from_secs(1)).unwrap()).await;
        assert_eq!((tending.is_finished(), server.status().phase), (false, Some(RunPhase::Fault)));
        let (reason, message) = server.hindrance().expect("it says so");
        assert_eq!(reason, "PermissionMissing");
        assert!(message.contains("cannot get resource \"configmaps\"") && message.contains("; hint: "), "{message}");
        timeout(MINUTE, tending).await.expect("an end").unwrap();
        assert!(began.elapsed() >= TAKE_UP_WITHIN.std());
        let why = server.given_up();
        assert!(why.starts_with("the record of the run could not be read for 10m"), "{why}");
        assert!(why.contains("cannot get resource \"configmaps\"") && why.contains("; hint: "), "{why}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_whose_record_cannot_be_read_ends_at_once_when_it_is_asked_to() {
        let answers: [(OfRecord, bool); 2] =
            [(|_| StatusCode::FORBIDDEN, true), (|_| StatusCode::INTERNAL_SERVER_ERROR, false)];
        for (of_record, is_told) in answers {
            let server = Server::new(of_record);
            let (brings, tending) = server.tended();
            sleep(2 * MINUTE).await;
            assert_eq!((tending.is_finished(), server.hindrance().is_some()), (false, is_told));
            server.abort();
            brings.send_replace(Arc::new(server.object()));
            timeout(Duration::from_secs(1), tending).await.expect("it is heard").unwrap();
            let why = server.given_up();
            assert!(why.starts_with("the run was asked to end, and its record could not be read for 2m"), "{why}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_monkey_of_a_run_that_is_given_up_is_told_to_rest_or_the_verdict_tells_of_it() {
        let (ok, missing, forbidden) = (StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::FORBIDDEN);
        // What is taken and answered with nothing that can be read is done, too.
        for (of_rest, is_left) in [(ok, false), (StatusCode::ACCEPTED, false), (missing, false), (forbidden, true)] {
            let server = Server::new(|_| StatusCode::NOT_FOUND);
            server.held.lock().unwrap().of_rest = of_rest;
            let (_brings, tending) = server.tended();
            timeout(MINUTE, tending).await.expect("an end").unwrap();
            let why = server.given_up();
            assert!(why.starts_with("the record of the run is gone"), "{why}");
            assert_eq!(why.contains("hint: kubectl delete chaosmonkey -n default run-r"), is_left, "{why}");
            let rests = server.held.lock().unwrap().rests;
            assert!(if is_left { rests > 5 } else { rests == 1 }, "{of_rest}: {rests}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_that_kills_by_itself_has_no_monkey_to_be_told_and_its_open_kill_is_told_of() {
        let victim = json!({"namespace": "shop", "pod": "trips-1", "uid": "u", "workload": "Deployment/trips",
            "workloadUid": "w", "ownerUid": "rs"});
        let at = "2026-11-23T12:00:00.000000Z";
        let intent = json!({"strike": 1, "nonce": "n", "group": "g", "victim": victim, "due": at, "decidedAt": at,
            "deadline": at});
        let open = "; see whether pod shop/trips-1 was killed: its kill has no known outcome";
        for (intents, told) in [(json!([]), ""), (json!([intent]), open)] {
            let server = Server::new(|_| StatusCode::NOT_FOUND);
            server.held.lock().unwrap().run["status"]["killer"] = json!({"kills": 1, "intents": intents});
            let (_brings, tending) = server.tended();
            timeout(MINUTE, tending).await.expect("an end").unwrap();
            assert_eq!(server.given_up(), format!("the record of the run is gone{told}"));
            assert_eq!(server.held.lock().unwrap().rests, 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_cannot_be_read_for_a_moment_ends_no_run_not_even_one_that_is_asked_to_end() {
        let server = Server::new(|asked| if asked < 3 { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND });
        server.abort();
        let (_brings, tending) = server.tended();
        timeout(MINUTE, tending).await.expect("an end").unwrap();
        assert_eq!(server.given_up(), "the record of the run is gone", "it was read");
        assert_eq!(server.hindrance(), None);
    }
}
