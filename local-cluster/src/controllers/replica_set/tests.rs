//! Decisions of ReplicaSets.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::{ago, from, now, pod, terminating};

fn set(replicas: i32, extra: &Value) -> ReplicaSet {
    let mut set = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "set", "generation": 4},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}},
        },
    });
    json_patch::merge(&mut set, extra);
    from(set)
}

/// The actions other than the status, and the status.
fn decide(set: &ReplicaSet, pods: &[Arc<Pod>]) -> (Vec<Action>, ReplicaSetStatus) {
    let (statuses, others): (Vec<_>, Vec<_>) =
        sync(set, pods, now()).into_iter().partition(|action| matches!(action, Action::Status(_)));
    match statuses.into_iter().next() {
        Some(Action::Status(status)) => (others, *status),
        _ => panic!("no status"),
    }
}

fn deleted(set: &ReplicaSet, pods: &[Arc<Pod>]) -> Vec<String> {
    let (actions, _) = decide(set, pods);
    let pods = actions.into_iter().find_map(|action| match action {
        Action::Delete(pods) => Some(pods),
        _ => None,
    });
    pods.unwrap_or_default().iter().map(|pod| pod.name_any()).collect()
}

#[test]
fn a_terminating_pod_does_not_count_and_is_replaced_at_once() {
    let pods = [pod("a", true, &json!({})), pod("b", true, &terminating())];
    let (actions, status) = decide(&set(2, &json!({})), &pods);
    assert_eq!(actions, [Action::Create(1)]);
    assert_eq!((status.replicas, status.ready_replicas, status.terminating_replicas), (1, Some(1), Some(1)));
    assert_eq!(status.observed_generation, Some(4));
}

#[test]
fn finished_pods_are_replaced() {
    let pods = [pod("a", false, &json!({"status": {"phase": "Failed"}}))];
    assert_eq!(decide(&set(1, &json!({})), &pods).0, [Action::Create(1)]);
}

#[test]
fn victims_are_those_that_matter_least() {
    let pods = [
        pod(
            "old",
            true,
            &json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(9000)}]}}),
        ),
        pod("young", true, &json!({})),
        pod("unready", false, &json!({})),
        pod("unscheduled", false, &json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}})),
        pod("cheap", true, &json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}})),
    ];
    assert_eq!(deleted(&set(1, &json!({})), &pods), ["unscheduled", "unready", "cheap", "young"]);
}

#[test]
fn of_two_equal_pods_the_one_on_the_fuller_node_goes() {
    let pods = [
        pod("alone", true, &json!({"spec": {"nodeName": "b"}})),
        pod("crowded-1", true, &json!({})),
        pod("crowded-2", true, &json!({})),
    ];
    assert_eq!(deleted(&set(2, &json!({})), &pods), ["crowded-1"]);
}

#[test]
fn matching_orphans_are_adopted_and_strangers_released() {
    let orphan = pod("orphan", true, &json!({"metadata": {"ownerReferences": null}}));
    let stranger = pod("stranger", true, &json!({"metadata": {"labels": {"app": "other"}}}));
    let foreign = pod(
        "foreign",
        true,
        &json!({"metadata": {"ownerReferences": [{"uid": "x", "kind": "K", "name": "n", "apiVersion": "v", "controller": true}]}}),
    );
    let (actions, status) = decide(&set(1, &json!({})), &[orphan.clone(), stranger.clone(), foreign]);
    assert_eq!(actions, [Action::Adopt(orphan), Action::Release(stranger)]);
    assert_eq!(status.replicas, 1);
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let patient = set(1, &json!({"spec": {"minReadySeconds": 90}}));
    let (actions, status) = decide(&patient, &[pod("a", true, &json!({}))]);
    assert_eq!((status.ready_replicas, status.available_replicas), (Some(1), Some(0)));
    assert_eq!(actions, [Action::WakeAfter(Duration::from_millis(30_001))]);
}

#[test]
fn a_set_that_is_deleted_creates_nothing() {
    let (actions, _) = decide(&set(3, &terminating()), &[]);
    assert_eq!(actions, []);
}
