//! What stands behind a Service.

use serde_json::{Value, json};

use super::*;
use crate::controllers::fixtures::{from, pod, terminating};

fn slice(service_spec: &Value, pods: &[Arc<Pod>]) -> Option<EndpointSlice> {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "svc"},
        "spec": {"clusterIP": "127.9.1.1", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    });
    json_patch::merge(&mut service["spec"], service_spec);
    desired(&from::<Service>(service), pods, &|node| Some(format!("zone-{node}")))
}

fn backend(name: &str, ready: bool, extra: &Value) -> Arc<Pod> {
    let mut merged =
        json!({"spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]}});
    json_patch::merge(&mut merged, extra);
    pod(name, ready, &merged)
}

fn conditions(service_spec: &Value, pods: &[Arc<Pod>]) -> Vec<(bool, bool, bool)> {
    let endpoints = slice(service_spec, pods).unwrap().endpoints;
    let conditions = endpoints.into_iter().map(|endpoint| endpoint.conditions.unwrap());
    conditions.map(|all| (all.ready.unwrap(), all.serving.unwrap(), all.terminating.unwrap())).collect()
}

#[test]
fn readiness_and_termination_become_conditions() {
    let one = |ready, extra: &Value| conditions(&json!({}), &[backend("a", ready, extra)]);
    assert_eq!(one(true, &json!({})), [(true, true, false)]);
    assert_eq!(one(false, &json!({})), [(false, false, false)]);
    assert_eq!(one(true, &terminating()), [(false, true, true)]);
    assert_eq!(one(true, &json!({"status": {"phase": "Failed"}})), []);
    assert_eq!(one(true, &json!({"status": {"podIP": ""}})), []);
    assert_eq!(one(true, &json!({"metadata": {"labels": {"app": "other"}}})), []);
    let eager = json!({"publishNotReadyAddresses": true});
    assert_eq!(conditions(&eager, &[backend("a", false, &json!({}))]), [(true, false, false)]);
}

#[test]
fn an_endpoint_says_which_pod_where_and_on_which_port() {
    let slice = slice(&json!({}), &[backend("a", true, &json!({}))]).unwrap();
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(8080));
    let endpoint = &slice.endpoints[0];
    assert_eq!((endpoint.node_name.as_deref(), endpoint.zone.as_deref()), (Some("a"), Some("zone-a")));
    let target = endpoint.target_ref.as_ref().unwrap();
    assert_eq!((target.name.as_deref(), target.uid.as_deref()), (Some("a"), Some("uid-a")));
    assert_eq!(slice.labels()[SERVICE_LABEL], "web");
}

#[test]
fn services_without_a_selector_are_left_to_others() {
    assert!(slice(&json!({"selector": null}), &[]).is_none());
    assert!(slice(&json!({"type": "ExternalName"}), &[]).is_none());
}

#[test]
fn the_order_of_pods_makes_no_difference() {
    let a = backend("a", true, &json!({}));
    let b = backend("b", true, &json!({"status": {"podIP": "127.9.16.2"}}));
    assert_eq!(slice(&json!({}), &[a.clone(), b.clone()]), slice(&json!({}), &[b, a]));
}
