//! Where pods go.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::from;

fn node(name: &str, extra: &Value) -> Arc<Node> {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, ZONE: format!("zone-{name}")}},
        "status": {"allocatable": {"pods": "110"}},
    });
    json_patch::merge(&mut node, extra);
    Arc::new(from(node))
}

fn nodes() -> Vec<Arc<Node>> {
    ["a", "b", "c"].map(|name| node(name, &json!({}))).to_vec()
}

fn pod(name: &str, on: Option<&str>, extra: &Value) -> Arc<Pod> {
    let mut merged =
        json!({"spec": {"nodeName": on}, "status": {"phase": if on.is_some() { "Running" } else { "Pending" }}});
    json_patch::merge(&mut merged, extra);
    crate::controllers::fixtures::pod(name, on.is_some(), &merged)
}

fn placed(extra: &Value, nodes: &[Arc<Node>], others: &[Arc<Pod>]) -> Result<String, String> {
    place(&pod("new", None, extra), nodes, others)
}

#[test]
fn siblings_are_spread_over_zones() {
    let others = [pod("x", Some("a"), &json!({})), pod("y", Some("c"), &json!({}))];
    assert_eq!(placed(&json!({}), &nodes(), &others), Ok("b".into()));
    let stranger = json!({"metadata": {"ownerReferences": [{"uid": "other", "kind": "ReplicaSet", "name": "o", "apiVersion": "apps/v1", "controller": true}]}});
    let others = [pod("x", Some("a"), &json!({})), pod("y", Some("b"), &stranger)];
    assert_eq!(placed(&json!({}), &nodes(), &others), Ok("c".into()), "then over nodes");
}

#[test]
fn nodes_without_a_zone_are_told_apart_by_their_pods() {
    let nodes = ["a", "b"].map(|name| node(name, &json!({"metadata": {"labels": null}})));
    let others = [pod("x", Some("a"), &json!({})), pod("y", Some("gone"), &json!({}))];
    assert_eq!(placed(&json!({}), &nodes, &others), Ok("b".into()));
}

#[test]
fn cordoned_and_tainted_nodes_are_left_out_unless_tolerated() {
    let cordoned = json!({"spec": {"unschedulable": true}});
    let tainted = json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}});
    let nodes = [node("a", &cordoned), node("b", &tainted)];
    let message = placed(&json!({}), &nodes, &[]).unwrap_err();
    assert_eq!(message, "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) had untolerated taint(s).");
    let tolerant =
        json!({"spec": {"tolerations": [{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}]}});
    assert_eq!(placed(&tolerant, &nodes, &[]), Ok("b".into()));
    assert_eq!(placed(&json!({"spec": {"tolerations": [{"operator": "Exists"}]}}), &nodes, &[]), Ok("a".into()));
}

#[test]
fn selectors_and_affinity_choose_nodes() {
    assert_eq!(placed(&json!({"spec": {"nodeSelector": {ZONE: "zone-c"}}}), &nodes(), &[]), Ok("c".into()));
    let affinity = json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": ZONE, "operator": "NotIn", "values": ["zone-a"]}]}],
    }}}}});
    assert_eq!(placed(&affinity, &nodes(), &[]), Ok("b".into()));
    assert!(
        placed(&json!({"spec": {"nodeSelector": {"gpu": "yes"}}}), &nodes(), &[])
            .unwrap_err()
            .contains("node affinity/selector")
    );
}

#[test]
fn anti_affinity_and_hard_spread_refuse_rather_than_crowd() {
    let apart = json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}},
    ]}}}});
    let full: Vec<_> = ["a", "b", "c"].map(|name| pod(name, Some(name), &json!({}))).to_vec();
    assert_eq!(placed(&apart, &nodes(), &full[..2]), Ok("c".into()));
    assert!(placed(&apart, &nodes(), &full).unwrap_err().contains("anti-affinity"));

    let spread = json!({"spec": {"topologySpreadConstraints": [{
        "maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}},
    }]}});
    let mut cordoned = nodes();
    cordoned[2] = node("c", &json!({"spec": {"unschedulable": true}}));
    assert!(placed(&spread, &cordoned, &full[..2]).unwrap_err().contains("topology spread"));
    assert_eq!(placed(&spread, &nodes(), &full[..2]), Ok("c".into()));
}

#[test]
fn affinity_lets_the_first_of_its_kind_in() {
    let together = json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "web"}}},
    ]}}}});
    assert_eq!(placed(&together, &nodes(), &[]), Ok("a".into()));
    assert_eq!(placed(&together, &nodes(), &[pod("x", Some("c"), &json!({}))]), Ok("c".into()));
}

#[test]
fn a_full_node_is_full() {
    let small = node("a", &json!({"status": {"allocatable": {"pods": "1"}}}));
    assert!(placed(&json!({}), &[small], &[pod("x", Some("a"), &json!({}))]).unwrap_err().contains("Too many pods"));
}
