//! How many pods may go.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::{ago, from, now, pod, terminating};

/// (healthy, desired, expected, allowed) with a Deployment of `replicas`.
fn counts(spec: &Value, status: &Value, pods: &[Arc<Pod>], replicas: Option<i32>) -> (i32, i32, i32, i32) {
    let mut budget = json!({
        "metadata": {"name": "web", "namespace": "ns", "generation": 2},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
    });
    json_patch::merge(&mut budget["spec"], spec);
    budget["status"] = status.clone();
    let scale = |_: &Pod| replicas.map(|replicas| Scale { uid: "dep".into(), replicas });
    let status = super::status(&from(budget), pods, &scale, now());
    (status.current_healthy, status.desired_healthy, status.expected_pods, status.disruptions_allowed)
}

fn three() -> Vec<Arc<Pod>> {
    ["a", "b", "c"].map(|name| pod(name, true, &json!({}))).to_vec()
}

#[test]
fn counts_and_percentages_follow_the_size_of_the_workload() {
    let pods = three();
    let cases = [
        (json!({"maxUnavailable": 1}), (3, 2, 3, 1)),
        (json!({"maxUnavailable": "34%"}), (3, 1, 3, 2)),
        (json!({"minAvailable": 2}), (3, 2, 3, 1)),
        (json!({"minAvailable": "50%"}), (3, 2, 3, 1)),
        (json!({"maxUnavailable": 0}), (3, 3, 3, 0)),
    ];
    for (spec, expected) in cases {
        assert_eq!(counts(&spec, &json!(null), &pods, Some(3)), expected, "{spec}");
    }
}

#[test]
fn pods_that_are_missing_unready_or_leaving_use_the_budget_up() {
    let one = json!({"maxUnavailable": 1});
    assert_eq!(counts(&one, &json!(null), &three()[..2], Some(3)), (2, 2, 3, 0));
    let mut pods = three();
    pods[0] = pod("a", false, &json!({}));
    assert_eq!(counts(&one, &json!(null), &pods, Some(3)), (2, 2, 3, 0));
    pods[0] = pod("a", true, &terminating());
    assert_eq!(counts(&one, &json!(null), &pods, Some(3)), (2, 2, 3, 0));
}

#[test]
fn a_granted_eviction_counts_until_its_deletion_is_seen_or_given_up() {
    let one = json!({"maxUnavailable": 1});
    let granted = |seconds| json!({"disruptedPods": {"a": ago(seconds)}, "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    assert_eq!(counts(&one, &granted(5), &three(), Some(3)).3, 0);
    assert_eq!(counts(&one, &granted(130), &three(), Some(3)).3, 1);
}

#[test]
fn without_a_controller_nothing_may_go_by_percentage() {
    assert_eq!(counts(&json!({"maxUnavailable": 1}), &json!(null), &three(), None), (3, 0, 0, 0));
    assert_eq!(counts(&json!({"minAvailable": 1}), &json!(null), &three(), None), (3, 1, 3, 2));
}
