//! A game day's world on a cluster whose runs cannot all be read, and guards that are asked together.

use std::sync::Mutex;

use axum::routing::get;
use axum::{Json, Router};
use chaos_core::gameday::About;
use http::{Method, StatusCode};
use kube::core::Status;
use serde_json::json;
use tokio::sync::Barrier;

use super::*;
use crate::kube::{StatusStore, fixture};
use crate::sources::Source;

/// Nobody is told.
struct Silent;

impl GameDayTeller for Silent {
    fn changed(&self, _: &GameDay, _: &GameDayStatus, _: &GameDayStatus) {}
}

/// The world of game day `d` on a cluster whose runs are all its own, `bad` not to be read; and names of runs that were deleted.
fn with_a_bad_run() -> (GameDayWorld, Arc<Mutex<Vec<String>>>) {
    let deleted: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = deleted.clone();
    let client = fixture::client("n", move |method, path, _| {
        let name = path.rsplit('/').next().unwrap_or_default();
        if *method == Method::DELETE {
            noted.lock().unwrap().push(name.to_owned());
            return (StatusCode::OK, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
        }
        let mode = if name == "bad" { "Neither" } else { "Live" };
        let owner = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay", "name": "d", "uid": "d"});
        let run = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
            "metadata": {"name": name, "namespace": "n", "uid": format!("uid-{name}"), "ownerReferences": [owner]},
            "spec": {"mode": mode, "experimentRef": {"name": "none"}},
        });
        (StatusCode::OK, run)
    });
    (world(client, Sources::default()), deleted)
}

fn world(client: kube::Client, sources: Sources) -> GameDayWorld {
    let day = json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
        "metadata": {"name": "d", "namespace": "n", "uid": "d", "resourceVersion": "1"},
        "spec": {
            "schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "Live",
            "steps": [{"name": "only", "experiment": {"name": "none"}}],
        },
    });
    let day: GameDay = serde_json::from_value(day).unwrap();
    let caller = Caller::new(client.clone());
    let store = StatusStore::brought(caller.clone(), caller, day.clone()).unwrap();
    GameDayWorld::new(GameDayParts {
        clients: Clients::same(client),
        day,
        invalid: None,
        desk: StatusDesk::new(store),
        hold: watch::channel(None).1,
        sources: Arc::new(sources),
        teller: Arc::new(Silent),
    })
}

#[tokio::test]
async fn all_guards_are_asked_at_once() {
    // It answers nobody before two ask.
    let two = Arc::new(Barrier::new(2));
    let answer = async move || {
        two.wait().await;
        let sample = json!({"metric": {}, "value": [Timestamp::now().as_second(), "0.5"]});
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": [sample]}}))
    };
    let app = Router::new().route("/api/v1/query", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let source = Source { url, namespaces: vec!["n".to_owned()], bearer_token_file: None, ca_file: None };
    let sources = Sources { prometheus: BTreeMap::from([("platform".to_owned(), source)]) };
    let nobody = fixture::client("n", |_, _, _| (StatusCode::NOT_FOUND, json!({})));
    let question = |query: &str| MetricQuestion {
        source: "platform".to_owned(),
        query: query.to_owned(),
        reads: Vec::new(),
        timeout: chaos_core::units::Duration::from_secs(5),
    };
    let asked = GameDayAction::Ask(About::Budgets, vec![question("first"), question("second")]);
    let answered = world(nobody, sources).perform(asked).await;
    let GameDayResponse::Answered { values, age } = answered else { panic!("{answered:?}") };
    assert_eq!(values, Ok(vec![0.5, 0.5]));
    assert!(age < Duration::from_secs(5), "{age:?}");
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_there_hides_no_other_and_can_be_deleted() {
    let (mut world, deleted) = with_a_bad_run();
    let names = BTreeSet::from(["bad".to_owned(), "good".to_owned()]);
    let seen = world.perform(GameDayAction::Look(names)).await;
    let fact = |name: &str| (name.to_owned(), RunFact { uid: format!("uid-{name}"), over: None });
    assert_eq!(seen, GameDayResponse::Seen(Ok(BTreeMap::from([fact("bad"), fact("good")]))));
    // The server carries that out, and answers with what cannot be read.
    assert_eq!(world.perform(GameDayAction::Abort("bad".to_owned())).await, GameDayResponse::Done(Ok(())));
    // Its step has waited for it for as long as it may, and for its end.
    let delete = GameDayAction::Delete { run: "bad".to_owned(), uid: Some("uid-bad".to_owned()) };
    assert_eq!(world.perform(delete).await, GameDayResponse::Done(Ok(())));
    let other = GameDayAction::Delete { run: "bad".to_owned(), uid: Some("other".to_owned()) };
    assert_eq!(world.perform(other).await, GameDayResponse::Done(Ok(())));
    assert_eq!(*deleted.lock().unwrap(), ["bad"]);
}

#[test]
fn what_an_answer_says_of_a_run_that_was_to_be_created() {
    let refused = |code: u16, cause: Option<&str>| {
        let causes: Vec<_> = cause.iter().map(|reason| serde_json::json!({"reason": reason})).collect();
        let status = serde_json::json!({"code": code, "details": {"causes": causes}});
        let status: Status = serde_json::from_value(status).unwrap();
        CallError::Refused { what: "create".into(), status: Box::new(status) }
    };
    for (error, expected) in [
        (refused(503, None), NotCreated::Unclear(String::new())),
        (refused(429, None), NotCreated::Unclear(String::new())),
        (refused(403, None), NotCreated::Forbidden(String::new())),
        (refused(401, None), NotCreated::Forbidden(String::new())),
        (refused(403, Some("NamespaceTerminating")), NotCreated::Refused(String::new())),
        (refused(422, None), NotCreated::Refused(String::new())),
    ] {
        let found = not_created(&error);
        assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected), "{error}: {found:?}");
    }
}
