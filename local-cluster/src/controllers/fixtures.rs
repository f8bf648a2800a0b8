//! Objects for the tests of controllers, short to write.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) fn from<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

pub(super) fn now() -> Timestamp {
    "2026-01-31T12:00:00Z".parse().unwrap()
}

/// `seconds` before [`now`], as objects write it.
pub(super) fn ago(seconds: i64) -> String {
    (now() - jiff::SignedDuration::from_secs(seconds)).to_string()
}

/// A running pod with label `app=web` on node `a`, owned by the ReplicaSet with UID `set`; `extra` is merged over it.
pub(super) fn pod(name: &str, ready: bool, extra: &Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {
            "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": {"app": "web"},
            "creationTimestamp": ago(100),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "set", "controller": true}],
        },
        "spec": {"nodeName": "a", "containers": []},
        "status": {
            "phase": "Running",
            "podIP": "127.9.16.1",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": ago(60)}],
        },
    });
    json_patch::merge(&mut pod, extra);
    Arc::new(from(pod))
}

pub(super) fn terminating() -> Value {
    json!({"metadata": {"deletionTimestamp": ago(1)}})
}
