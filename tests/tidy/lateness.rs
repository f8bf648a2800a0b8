//! What kept late kills, as `tests/real-kubernetes/lateness` tells it by an audit log.

use std::process::Command;

use serde_json::{Value, json};

use crate::tree::root;

/// An instant, so many milliseconds after some other.
fn at(millis: u32) -> String {
    format!("2026-11-30T07:00:{:02}.{:03}000Z", millis / 1_000, millis % 1_000)
}

/// A request of the operator for a monkey that has a namespace of its name: when it began, and how long it took.
fn request(verb: &str, resource: &str, monkey: &str, (began, took): (u32, u32), body: &Value) -> Value {
    let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(of, part)| (of, Some(part)));
    json!({
        "stage": "ResponseComplete", "verb": verb, "userAgent": "chaos-operator/1.0", "responseStatus": {"code": 200},
        "objectRef": {"resource": resource, "subresource": subresource, "namespace": monkey, "name": monkey},
        "requestReceivedTimestamp": at(began), "stageTimestamp": at(began + took), "requestObject": body,
    })
}

/// A kill that is due a second after the beginning: how long it waited, and how long its intent took.
fn kill(monkey: &str, waited: u32, intent: u32) -> [Value; 3] {
    let (due, reserved, uid) = (1_000, 1_000 + waited, format!("pod of {monkey}"));
    let written = reserved + 11;
    let budget = json!({"reservations": [{"run": monkey, "strike": 1, "victimUid": uid, "since": at(reserved)}]});
    let lease = json!({"metadata": {"annotations": {"chaos.dispatch.dev/budget": budget.to_string()}}});
    let intents = [json!({"nonce": monkey, "due": at(due), "victim": {"namespace": monkey, "uid": uid}})];
    let eviction = json!({"deleteOptions": {"preconditions": {"uid": uid}}});
    [
        request("update", "leases", monkey, (reserved, 10), &lease),
        request("update", "chaosmonkeys/status", monkey, (written, intent), &json!({"status": {"intents": intents}})),
        request("create", "pods/eviction", monkey, (written + intent + 4, 10), &eviction),
    ]
}

#[test]
fn what_kept_a_late_kill_is_told_by_the_audit_log() {
    // As the other scripts, it needs jq, and `cargo test` does not.
    if Command::new("jq").arg("--version").output().is_err() {
        return;
    }
    let mut log = [kill("a", 2, 11), kill("b", 200, 11), kill("c", 120, 11), kill("d", 2, 140)].concat();
    log.push(request("list", "pods", "b", (900, 290), &Value::Null));
    log.push(request("update", "chaosmonkeys/status", "c", (1_010, 60), &json!({"status": {}})));
    // Neither keeps a kill: nothing waited for the one, and the other is not of the operator.
    log.push(request("list", "pods", "d", (900, 120), &Value::Null));
    log.push(json!({"stage": "ResponseComplete", "verb": "list", "userAgent": "kwok/1.0", "requestURI": "/"}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.log");
    let lines: Vec<_> = log.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, lines.concat()).unwrap();
    let output = Command::new("bash").arg(root().join("tests/real-kubernetes/lateness")).arg(file).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    for expected in [
        "4 kills by the audit log, 3 of them later than 100 ms\n",
        "  late: 146 ms, 226 ms, 226 ms (p50, p90, p99)\n",
        "  reserve: 10 ms, 10 ms, 10 ms (p50, p90, p99)\n",
        "  largest part of those later than 100 ms: intent of 1, waited of 2\n",
        "  2 of them waited for more than 50 ms: 1 beside a look at their namespace, 1 beside another write of their monkey\n",
    ] {
        assert!(told.contains(expected), "expected {expected:?}: {told}{}", String::from_utf8_lossy(&output.stderr));
    }
}
