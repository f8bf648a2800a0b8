//! What is made of a run's monkey where the API server fails, and what is known of one from its status.

use std::sync::atomic::{AtomicUsize, Ordering};

use chaos_core::model::Fault;
use chaos_core::validate::experiment_file;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::journal::Redactor;
use crate::kube::fixture;

/// Of a run that is no object.
fn order() -> MonkeyOrder {
    let text = include_str!("../../../../experiments/riders-can-request-while-pods-die.yaml");
    let experiment = experiment_file("x.yaml", text).unwrap().remove(0);
    let Fault::Monkey(plan) = experiment.fault else { panic!("a monkey kills for it") };
    MonkeyOrder {
        run_id: "r-1".to_owned(),
        namespace: experiment.namespace,
        plan,
        limits: experiment.limits,
        seed: 7,
        until: Timestamp::now(),
        owner: None,
        beat: Duration::from_secs(2),
        may_create: true,
        slack: Arc::default(),
        instance: None,
    }
}

#[tokio::test]
async fn a_monkey_of_which_nobody_heard_whether_it_was_made_is_removed_or_told_of() {
    let (lost, refused, missing) = (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FORBIDDEN, StatusCode::NOT_FOUND);
    // Who removes it is answered with what it was, which may be what another version wrote.
    let unreadable = StatusCode::OK;
    for (made, removed, is_removed, is_told) in [
        (lost, missing, true, false),
        (lost, unreadable, true, false),
        (lost, lost, true, true),
        (refused, lost, false, false),
    ] {
        let removals = Arc::new(AtomicUsize::new(0));
        let count = removals.clone();
        let client = fixture::client("dispatch", move |method, path, _| {
            let is_removal = *method == Method::DELETE && path.ends_with("/chaosmonkeys/run-r-1");
            count.fetch_add(usize::from(is_removal), Ordering::Relaxed);
            (if is_removal { removed } else { made }, Value::Null)
        });
        let (clock, recorder) = (RunClock::start(), Recorder::in_memory(Redactor::default()));
        let created = OwnedMonkey::create(&Clients::same(client), &order(), clock, recorder, Told::default()).await;
        let Err(error) = created else { panic!("{made}: there is none") };
        let found = (removals.load(Ordering::Relaxed) > 0, error.left().is_some());
        assert_eq!(found, (is_removed, is_told), "{made} {removed}: {error:?}");
    }
}

/// One of that status.
fn monkey_of(status: &Value) -> ChaosMonkey {
    let spec = json!({
        "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]},
        "fault": {"podKill": {"mode": "Evict"}}, "mode": "Live",
        "meanTimeBetweenKills": "2h", "minTimeBetweenKills": "1h", "schedule": {}, "guards": [],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "1m",
            "maxBlind": "30s", "allowForce": false},
    });
    let metadata = json!({"name": "m", "namespace": "n"});
    let object = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey",
        "metadata": metadata, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

#[test]
fn trouble_lasts_from_when_it_was_first_heard_until_the_operator_can_act_again() {
    let monkey = |ready: &str, reason: &str| {
        let condition = json!({"type": "Ready", "status": ready, "reason": reason, "message": "why",
            "lastTransitionTime": "2026-11-23T12:00:00Z"});
        monkey_of(&json!({"conditions": [condition]}))
    };
    let since = |view: &MonkeyView| view.trouble.as_ref().map(|(_, since)| *since);
    let first = view_of(&monkey("False", "SchemaUnknown"), &MonkeyView::default(), RunTime(5));
    assert_eq!(first.trouble, Some(("SchemaUnknown: why".to_owned(), RunTime(5))));
    let other = view_of(&monkey("False", "ClusterUnseen"), &first, RunTime(9));
    assert_eq!(other.trouble, Some(("ClusterUnseen: why".to_owned(), RunTime(5))), "it cannot act all the while");
    let well = view_of(&monkey("True", "Ready"), &other, RunTime(11));
    assert_eq!(since(&well), None);
    assert_eq!(since(&view_of(&monkey("False", "ClusterUnseen"), &well, RunTime(12))), Some(RunTime(12)));
}

#[tokio::test]
async fn a_kill_of_which_nobody_heard_what_became_of_it_is_told_when_its_monkey_is_removed() {
    let victim = json!({"namespace": "shop", "pod": "trips-1", "uid": "u", "workload": "Deployment/trips",
        "workloadUid": "w", "ownerUid": "rs"});
    let at = "2026-11-23T12:00:00.000000Z";
    let intent = json!({"strike": 1, "nonce": "n", "group": "g", "victim": victim, "due": at, "decidedAt": at,
        "deadline": at});
    for (intents, told) in [(vec![intent], 1), (Vec::new(), 0)] {
        let seen = view_of(&monkey_of(&json!({"intents": intents})), &MonkeyView::default(), RunTime(5));
        let client = fixture::client("n", |_, _, _| (StatusCode::NOT_FOUND, Value::Null));
        let monkey = OwnedMonkey {
            name: "m".to_owned(),
            monkeys: Api::namespaced(client.clone(), "n"),
            leases: Api::namespaced(client, "n"),
            uid: "u-1".to_owned(),
            owned: false,
            lives: watch::channel(true).0,
            view: watch::channel(seen).1,
            stop: CancellationToken::new(),
            tasks: Vec::new(),
        };
        let left = monkey.remove().await;
        assert_eq!(left.len(), told, "{left:?}");
        assert!(left.iter().all(|text| text.contains("pod shop/trips-1")), "{left:?}");
    }
}
