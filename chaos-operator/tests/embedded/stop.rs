//! How soon the stop switch stops: by the record of the API server, nothing is killed a second after it was written. And that
//! it has stopped is told.

use jiff::{SignedDuration, Timestamp};

use super::permissions::{free_address, get};
use super::*;

/// What the API server has noted, request by request.
fn noted(log: &std::path::Path) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// When it received a request.
fn received(request: &Value) -> Timestamp {
    request["requestReceivedTimestamp"].as_str().unwrap().parse().unwrap()
}

/// How many strikes were held that were decided on after that instant, as far as the status remembers.
fn held_after(monkey: &ChaosMonkey, instant: Timestamp) -> usize {
    let skipped = monkey.status.iter().flat_map(|status| &status.skipped);
    skipped.filter(|skip| skip.reason == "Held" && skip.at.0 > instant).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_after_the_switch_was_written_nothing_is_killed_any_more() {
    let second = SignedDuration::from_secs(1);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.log");
    let fixture = Fixture::audited(&log).await;
    let operator = fixture.operator("a");
    fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(10_000)).await;
    fixture.until("ten kills", |monkey| kills(monkey) >= 10).await;
    let maps: Api<ConfigMap> = Api::namespaced(fixture.admin.clone(), "chaos-system");
    let stop = Patch::Merge(json!({"data": {"state": "Stopped"}}));
    maps.patch("chaos-switch", &PatchParams::default(), &stop).await.unwrap();
    let written = Timestamp::now();
    fixture.until("strikes that were due after that second", |monkey| held_after(monkey, written + second) >= 10).await;
    operator.end().await;

    let requests = noted(&log);
    let is_stop = |request: &&Value| request["verb"] == "patch" && request["objectRef"]["name"] == "chaos-switch";
    let stopped = requests.iter().find(is_stop).map(received).expect("the switch was written");
    let kills = requests.iter().filter(|request| request["objectRef"]["subresource"] == "eviction").map(received);
    let kills: Vec<Timestamp> = kills.collect();
    let before = kills.iter().filter(|at| **at < stopped).count();
    assert!(before >= 10, "{before} kills are noted before");
    let last = kills.iter().max().expect("a kill");
    assert!(*last <= stopped + second, "a kill at {last}, the switch was written at {stopped}");
}

/// The Events of the stop switch: their reasons, sorted.
async fn told_of_the_switch(fixture: &Fixture) -> Vec<String> {
    let events: Api<Event> = Api::namespaced(fixture.admin.clone(), "chaos-system");
    let events = events.list(&ListParams::default()).await.unwrap();
    let is_of_switch = |event: &&Event| {
        let regarding = event.regarding.as_ref();
        regarding.is_some_and(|object| object.name.as_deref() == Some("chaos-switch"))
    };
    let mut reasons: Vec<String> =
        events.items.iter().filter(is_of_switch).filter_map(|event| event.reason.clone()).collect();
    reasons.sort();
    reasons
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_the_switch_is_told_once_however_many_operators_see_it() {
    let fixture = Fixture::start().await;
    let (first, second) = (free_address(), free_address());
    let operators = [fixture.operator_at("a", &first.to_string()), fixture.operator_at("b", &second.to_string())];
    let maps: Api<ConfigMap> = Api::namespaced(fixture.admin.clone(), "chaos-system");
    let all: [(&str, &str, &[&str]); 3] = [
        // They find it so: that is no news.
        ("Running", "chaos_switch_running 1", &[]),
        ("Stopped", "chaos_switch_running 0", &["Stopped"]),
        ("Running", "chaos_switch_running 1", &["Resumed", "Stopped"]),
    ];
    for (state, metric, told) in all {
        let patch = Patch::Merge(json!({"data": {"state": state}}));
        maps.patch("chaos-switch", &PatchParams::default(), &patch).await.unwrap();
        for address in [first, second] {
            eventually(&format!("an operator that knows of {state}"), || async move {
                let metrics = get(address, "/metrics").await;
                if metrics.lines().any(|line| line == metric) { Ok(()) } else { Err(metrics) }
            })
            .await;
        }
        eventually(&format!("Events {told:?}"), || async {
            let found = told_of_the_switch(&fixture).await;
            if found == told { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
    for operator in operators {
        operator.end().await;
    }
    assert_eq!(told_of_the_switch(&fixture).await, ["Resumed", "Stopped"]);
}
