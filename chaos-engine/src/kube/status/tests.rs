//! Statuses on a server that answers as it is told to, and whose object others change in between.

use std::collections::VecDeque;

use axum::http::{Method, StatusCode};
use axum::{Json, Router};
use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus};
use serde_json::json;

use super::*;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// Carried out, but the answer is lost.
    Unanswered,
    /// Not answered, and carried out when the next write arrives.
    Late,
    /// Neither carried out nor answered.
    Lost,
    /// Refused, as the server has too much to do.
    Busy,
    /// Refused for good.
    Forbidden,
}

/// A server with one monkey.
#[derive(Clone)]
struct Server(Arc<std::sync::Mutex<State>>);

struct State {
    monkey: Value,
    /// A write that is on its way.
    late: Option<String>,
    /// What becomes of the next calls. Later ones are answered.
    fates: VecDeque<Fate>,
    writes: usize,
    reads: usize,
    /// The schema does not know the counts of a status.
    prunes: bool,
}

impl Server {
    fn new() -> Self {
        let monkey = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey",
            "metadata": {"name": "m", "namespace": "dispatch", "uid": "u", "generation": 1, "resourceVersion": "1"},
            "spec": {
                "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]},
                "fault": {"podKill": {"mode": "Evict", "group": "Workload"}},
                "mode": "Live", "meanTimeBetweenKills": "1h", "minTimeBetweenKills": "10m", "schedule": {}, "guards": [],
                "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 100, "minInterval": "0s",
                    "recoverWithin": "1m", "maxBlind": "1m", "allowForce": false},
            },
        });
        Self(Arc::new(std::sync::Mutex::new(State {
            monkey,
            late: None,
            fates: VecDeque::new(),
            writes: 0,
            reads: 0,
            prunes: false,
        })))
    }

    async fn open(&self) -> StatusStore<ChaosMonkey> {
        let caller = self.caller();
        StatusStore::open(caller.clone(), caller, "dispatch", "m").await.unwrap()
    }

    /// A store on the monkey as a watch brings it now.
    fn watched(&self) -> Option<StatusStore<ChaosMonkey>> {
        let monkey = serde_json::from_value(self.0.lock().unwrap().monkey.clone()).unwrap();
        StatusStore::brought(self.caller(), self.caller(), monkey)
    }

    fn caller(&self) -> Caller {
        let server = self.clone();
        let answer = move |method: Method, body: String| {
            let answer = server.answer(&method, &body);
            async move { answer }
        };
        let router: Router = Router::new().fallback(answer);
        Caller::new(kube::Client::new(router, "default"))
    }

    fn answer(&self, method: &Method, body: &str) -> (StatusCode, Json<Value>) {
        let mut state = self.0.lock().unwrap();
        let fate = state.fates.pop_front().unwrap_or(Fate::Answered);
        state.reads += usize::from(*method == Method::GET);
        if let Some(late) = state.late.take_if(|_| *method == Method::PUT) {
            state.write(&late);
        }
        state.late = (fate == Fate::Late).then(|| body.to_owned()).or(state.late.take());
        let is_write = *method == Method::PUT && matches!(fate, Fate::Answered | Fate::Unanswered);
        let code = if is_write { state.write(body) } else { StatusCode::OK };
        match fate {
            Fate::Answered => (code, Json(state.monkey.clone())),
            Fate::Unanswered | Fate::Late | Fate::Lost => (StatusCode::GATEWAY_TIMEOUT, Json(json!({}))),
            Fate::Busy => (StatusCode::TOO_MANY_REQUESTS, Json(json!({}))),
            Fate::Forbidden => (StatusCode::FORBIDDEN, Json(json!({}))),
        }
    }

    /// Somebody changes the object.
    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.0.lock().unwrap();
        let before = state.monkey["spec"].clone();
        change(&mut state.monkey);
        if state.monkey["spec"] != before {
            let generation = state.monkey["metadata"]["generation"].as_i64().unwrap();
            state.monkey["metadata"]["generation"] = json!(generation + 1);
        }
        state.count_version();
    }

    /// What becomes of the next calls.
    fn expect(&self, fates: &[Fate]) {
        self.0.lock().unwrap().fates.extend(fates);
    }

    fn writes(&self) -> usize {
        self.0.lock().unwrap().writes
    }
}

impl State {
    fn write(&mut self, body: &str) -> StatusCode {
        let wanted: Value = serde_json::from_str(body).unwrap();
        if wanted["metadata"]["resourceVersion"] != self.monkey["metadata"]["resourceVersion"] {
            return StatusCode::CONFLICT;
        }
        self.monkey["status"] = wanted["status"].clone();
        if self.prunes {
            self.monkey["status"].as_object_mut().unwrap().remove("kills");
        }
        self.writes += 1;
        self.count_version();
        StatusCode::OK
    }

    fn count_version(&mut self) {
        let version: u64 = self.monkey["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        self.monkey["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    }
}

fn kills(kills: u64) -> ChaosMonkeyStatus {
    ChaosMonkeyStatus { kills, ..ChaosMonkeyStatus::default() }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_that_was_decided_on_another_spec() {
    let server = Server::new();
    let mut store = server.open().await;
    store.put(&kills(1)).await.unwrap();
    server.edit(|monkey| monkey["spec"]["suspend"] = json!(true));
    for _ in 0..2 {
        let written = store.put(&kills(2)).await;
        assert!(matches!(written, Err(StoreError::Changed)), "{written:?}");
    }
    assert_eq!(server.writes(), 1);
    assert!(store.object().spec.suspend, "what it says now is known");
    let seen = store.object().metadata.clone();
    store.decide_on(&seen);
    store.put(&kills(2)).await.unwrap();
    assert_eq!(server.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_on_the_newest_spec_is_written_whatever_else_has_changed() {
    let server = Server::new();
    let mut store = server.open().await;
    server.edit(|monkey| monkey["spec"]["suspend"] = json!(true));
    // A watch has brought it.
    store.decide_on(&ObjectMeta { generation: Some(2), ..ObjectMeta::default() });
    store.put(&kills(1)).await.unwrap();
    server.edit(|monkey| monkey["metadata"]["labels"] = json!({"team": "riders"}));
    store.put(&kills(2)).await.unwrap();
    assert_eq!(server.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_not_known_is_a_change_too() {
    let server = Server::new();
    let mut store = server.open().await;
    server.edit(|monkey| monkey["metadata"]["deletionTimestamp"] = json!("2026-11-23T12:00:00Z"));
    assert!(matches!(store.put(&kills(1)).await, Err(StoreError::Changed)));
    assert_eq!(server.writes(), 0);
    // What became of kills is written even then, by those who know.
    let seen = store.object().metadata.clone();
    store.decide_on(&seen);
    store.put(&kills(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_told_even_where_the_write_came_before_it_and_its_answer_was_lost() {
    let server = Server::new();
    let mut store = server.open().await;
    store.put(&kills(1)).await.unwrap();
    server.expect(&[Fate::Unanswered]);
    let edited = async {
        tokio::time::sleep(PAUSE / 2).await;
        server.edit(|monkey| monkey["spec"]["suspend"] = json!(true));
    };
    let status = kills(2);
    let (written, ()) = tokio::join!(store.put(&status), edited);
    assert!(matches!(written, Err(StoreError::Changed)), "{written:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_watch_brought_is_written_on_without_a_read_while_nobody_else_has_written() {
    let server = Server::new();
    let mut store = server.watched().unwrap();
    store.put(&kills(1)).await.unwrap();
    let requests = |server: &Server| {
        let state = server.0.lock().unwrap();
        (state.reads, state.writes)
    };
    assert_eq!(requests(&server), (0, 1));
    // Another label is no other status.
    let mut store = server.watched().unwrap();
    server.edit(|monkey| monkey["metadata"]["labels"] = json!({"team": "riders"}));
    store.put(&kills(2)).await.unwrap();
    let (mut behind, mut beside) = (server.watched().unwrap(), server.watched().unwrap());
    store.put(&kills(3)).await.unwrap();
    for store in [&mut behind, &mut beside] {
        assert!(matches!(store.put(&kills(9)).await, Err(StoreError::Fenced)));
    }
    let mut store = server.watched().unwrap();
    server.edit(|monkey| monkey["spec"]["suspend"] = json!(true));
    assert!(matches!(store.put(&kills(4)).await, Err(StoreError::Changed)));
    assert_eq!(server.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_say_which_it_is_is_no_basis() {
    for part in ["namespace", "name", "uid", "resourceVersion"] {
        let server = Server::new();
        assert!(server.watched().is_some());
        _ = server.0.lock().unwrap().monkey["metadata"].as_object_mut().unwrap().remove(part);
        assert!(server.watched().is_none(), "{part}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_desk_hands_out_the_object_that_a_write_came_upon() {
    let server = Server::new();
    let desk = StatusDesk::new(server.open().await);
    let mut changes = desk.changes();
    server.edit(|monkey| monkey["spec"]["suspend"] = json!(true));
    assert!(matches!(desk.update(|status| status.kills = 1).await, Err(StoreError::Changed)));
    let found = changes.borrow_and_update().clone().expect("the object as it was found");
    assert!(found.spec.suspend);
    desk.decide_on(&found.metadata);
    desk.update(|status| status.kills = 1).await.unwrap();
    assert_eq!(server.writes(), 1);
}

/// The write was carried out, its answer is lost, and the look at what became of it fails too.
async fn written_unknowingly(server: &Server, status: &ChaosMonkeyStatus) -> StatusStore<ChaosMonkey> {
    let mut store = server.open().await;
    store.put(&kills(1)).await.unwrap();
    server.expect(&[Fate::Unanswered, Fate::Lost]);
    assert!(matches!(store.put(status).await, Err(StoreError::Call(_))));
    assert_eq!(server.writes(), 2);
    store
}

#[tokio::test(start_paused = true)]
async fn what_one_task_has_written_is_not_taken_back_by_another_that_did_not_hear_of_it() {
    for fate in [Fate::Unanswered, Fate::Late] {
        let server = Server::new();
        let desk = StatusDesk::new(server.open().await);
        // Nobody hears of the write, nor what became of it.
        server.expect(&[fate, Fate::Lost]);
        assert!(matches!(desk.update(|status| status.kills = 1).await, Err(StoreError::Call(_))));
        let (before, after) = desk.update(|status| status.skips = 2).await.unwrap();
        assert_eq!((before.kills, after.kills, after.skips), (1, 1, 2), "{fate:?}");
        assert_eq!((desk.status().await.kills, server.writes()), (1, 2), "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_starts_over_begins_from_what_is_stored() {
    let server = Server::new();
    let desk = StatusDesk::new(server.open().await);
    server.expect(&[Fate::Unanswered, Fate::Lost, Fate::Lost]);
    assert!(matches!(desk.update(|status| status.kills = 1).await, Err(StoreError::Call(_))));
    assert!(matches!(desk.clear_status().await, Err(StoreError::Call(_))), "nobody answers");
    assert_eq!(desk.clear_status().await.unwrap().kills, 1);
}

#[tokio::test(start_paused = true)]
async fn an_own_write_whose_answer_was_lost_is_nobody_elses() {
    let server = Server::new();
    let mut store = written_unknowingly(&server, &kills(2)).await;
    store.put(&kills(3)).await.unwrap();
    assert_eq!((server.writes(), store.status().kills), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn what_was_before_a_write_of_unknown_fate_is_written_once_more() {
    let server = Server::new();
    let mut store = written_unknowingly(&server, &kills(2)).await;
    store.put(&kills(1)).await.unwrap();
    assert_eq!((server.writes(), store.status().kills), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let server = Server::new();
    let mut store = server.open().await;
    server.expect(&[Fate::Busy]);
    store.put(&kills(1)).await.unwrap();
    assert_eq!((server.writes(), store.status().kills), (1, 1));
    server.expect(&[Fate::Forbidden]);
    assert!(matches!(store.put(&kills(2)).await, Err(StoreError::Call(_))));
    assert_eq!(server.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_finds_the_status_of_somebody_else_leaves_it() {
    let server = Server::new();
    let mut store = written_unknowingly(&server, &kills(2)).await;
    server.edit(|monkey| monkey["status"]["driver"] = json!("another"));
    assert!(matches!(store.put(&kills(3)).await, Err(StoreError::Fenced)));
    assert_eq!(server.writes(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_keep_is_not_taken_for_stored() {
    let server = Server::new();
    let mut store = server.open().await;
    store.put(&kills(1)).await.unwrap();
    server.0.lock().unwrap().prunes = true;
    for _ in 0..2 {
        assert!(matches!(store.put(&kills(2)).await, Err(StoreError::Pruned)));
    }
    server.0.lock().unwrap().prunes = false;
    store.put(&kills(2)).await.unwrap();
    assert_eq!(store.status().kills, 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_says_so_once_and_nothing_else_of_it_is_touched() {
    let server = Server::new();
    let mut store = server.open().await;
    let active = json!([{"type": "Active", "status": "True", "reason": "Active", "message": "it may kill",
        "lastTransitionTime": "2026-11-23T12:00:00Z"}]);
    let status = json!({"kills": 3, "conditions": active});
    store.put(&serde_json::from_value(status).unwrap()).await.unwrap();
    let (caller, meta) = (store.read.clone(), store.object().metadata.clone());
    let say = || say_unreadable::<ChaosMonkey>(&caller, &caller, &meta, jiff::Timestamp::UNIX_EPOCH);
    say().await.unwrap();
    assert_eq!(server.writes(), 1, "it can be read");
    server.edit(|monkey| monkey["spec"]["mode"] = json!("Neither"));
    // Whoever decides on what it was before writes nothing, and so kills nothing.
    let decided = store.put(&kills(4)).await;
    assert!(matches!(&decided, Err(StoreError::Unreadable(why)) if why.contains("Neither")), "{decided:?}");
    for _ in 0..2 {
        say().await.unwrap();
    }
    assert_eq!(server.writes(), 2);
    let monkey = server.0.lock().unwrap().monkey.clone();
    assert_eq!((&monkey["status"]["kills"], &monkey["spec"]["mode"]), (&json!(3), &json!("Neither")));
    let conditions = monkey["status"]["conditions"].as_array().unwrap();
    let kinds: Vec<_> = conditions.iter().map(|condition| condition["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Active", "Ready"]);
    for condition in conditions {
        assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("Unreadable")));
    }
    server.edit(|monkey| monkey["spec"]["mode"] = json!("DryRun"));
    say().await.unwrap();
    assert_eq!(server.writes(), 2, "it can be read again");
}
