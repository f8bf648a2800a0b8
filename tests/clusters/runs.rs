//! Runs that nobody followed from the start: listed, shown, watched and aborted from the command line, and what they proved is
//! fetched from the cluster afterwards.

use std::path::{Path, PathBuf};

use chaos_core::api::{ExperimentRun, ExperimentRunStatus};
use chaos_tests::Ended;
use chaos_tests::kills::Kills;
use kube::Api;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workload::Workload;

/// A Service of the pods of a workload, and a short run of them by the operator.
pub(crate) fn manifests(namespace: &str, name: &str, mode: &str) -> String {
    format!("{}\n---\n{}\n", service(namespace), run(namespace, name, mode))
}

/// A Service of the pods.
pub(crate) fn service(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "eta", "namespace": namespace},
        "spec": {"selector": {"app": "eta"}, "ports": [{"name": "http", "port": 8084, "targetPort": "http"}]},
    })
}

/// A short run of them by the operator.
pub(crate) fn run(namespace: &str, name: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"mode": mode, "experiment": experiment()},
    })
}

/// What such a run proves, and how: the spec of an Experiment.
pub(crate) fn experiment() -> Value {
    json!({
        "hypothesis": "Somebody answers while eta pods die.",
        "target": {"environment": "test", "workloads": [{"kind": "Deployment", "name": "eta"}]},
        "fault": {"podKill": {"strikes": {"target": 3, "min": 2}, "every": {"mean": "2s", "distribution": "Fixed"}}},
        "phases": {"baseline": "2s", "fault": "90s", "recovery": "1s"},
        "probes": [{"name": "ask",
            "http": {"service": "eta", "port": "http", "path": "/livez", "rate": "20/s", "timeout": "3s", "maxLag": "3s",
                "keepAlive": false, "success": {"status": [200]}},
            "slo": {"availability": "50%", "confidence": "95%", "evidence": {"observed": {}}}}],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 10, "minInterval": "0s", "recoverWithin": "60s",
            "maxBlind": "60s", "allowForce": false},
        "abort": [], "seed": 7,
    })
}

/// The folder of the only run that was told on this machine, and its result. All files of a run are in it.
pub(crate) fn told(cluster: &Cluster) -> (PathBuf, Value) {
    let mut folders = std::fs::read_dir(cluster.path("out")).unwrap().map(|folder| folder.unwrap().path());
    let folder = folders.next().expect("the folder of the run");
    assert_eq!(folders.next(), None, "one folder for one run");
    for name in ["run.journal", "report.html", "junit.xml", "summary.md"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let text = std::fs::read_to_string(folder.join("result.json")).unwrap();
    (folder, serde_json::from_str(&text).unwrap())
}

/// The result that the journal in a folder tells by itself, with this exit code.
pub(crate) fn told_by_journal(cluster: &Cluster, folder: &Path, exit_code: u8) -> Value {
    let (journal, again) = (folder.join("run.journal"), cluster.path("again"));
    let end = cluster.run(&["report", journal.to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert_eq!(end.code, Some(i32::from(exit_code)), "{}", end.stderr);
    serde_json::from_str(&std::fs::read_to_string(again.join("result.json")).unwrap()).unwrap()
}

/// The status of a run that is over, its result (where all of it could be read), Events and the audit log must tell the same
/// kills, and none twice. Nothing else may kill in the namespace.
pub(crate) fn assert_accounted(workload: &Workload<'_>, status: &ExperimentRunStatus, result: Option<&Value>) {
    let history: Vec<_> = status.killer.iter().flat_map(|killer| &killer.history).collect();
    let by_status = Kills::of_histories([&serde_json::to_value(history).unwrap()]);
    let by_result = result.map(Kills::of_result);
    let records: Vec<_> =
        [("status", &by_status)].into_iter().chain(by_result.iter().map(|kills| ("journal", kills))).collect();
    workload.until_told(&records);
}

/// `chaos runs` in that namespace.
fn runs(cluster: &Cluster, namespace: &str, args: &[&str]) -> Ended {
    cluster.run(&[&["runs"], args, &["-n", namespace]].concat())
}

/// A run that waits for somebody is aborted, and says so.
fn assert_abortable(cluster: &Cluster, namespace: &str) {
    let chaos = |args: &[&str]| runs(cluster, namespace, args);
    let mut run = run(namespace, "unwanted", "Live");
    run["spec"]["approval"] = json!({"within": "1h"});
    cluster.apply(&run.to_string());
    cluster.eventually("it waits for somebody", || async {
        let shown = chaos(&["show", "unwanted", "-o", "json"]).document();
        if shown["phase"] == "AwaitingApproval" { Ok(()) } else { Err(shown.to_string()) }
    });
    let shown = chaos(&["show", "unwanted"]).stdout;
    assert!(shown.contains("somebody who approves its plan") && shown.contains("kubectl patch crun"), "{shown}");
    let long = chaos(&["abort", "unwanted", "--reason", &"x".repeat(201)]);
    assert_eq!(long.code, Some(2), "{}", long.stderr);
    let aborted = chaos(&["abort", "unwanted", "--reason", "the shop is slow"]);
    assert_eq!(aborted.code, Some(0), "{}", aborted.stderr);
    assert!(aborted.stderr.contains("is over: aborted (Interrupted)"), "{}", aborted.stderr);
    let watched = chaos(&["watch", "unwanted", "-o", "json"]);
    assert_eq!(watched.code, Some(5), "{}", watched.stderr);
    let text = watched.document()["verdict"]["reasonText"].to_string();
    assert!(text.contains("spec.control.abort: the shop is slow"), "{text}");
}

#[test]
fn runs_that_nobody_followed_are_watched_reported_and_aborted_from_the_command_line() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let namespace = workload.namespace.clone();
    let report = |name: &str| cluster.run(&["report", name, "-n", &namespace]);
    let chaos = |args: &[&str]| runs(&cluster, &namespace, args);
    for unknown in [report("crun/unfollowed"), chaos(&["show", "unfollowed"]), chaos(&["abort", "unfollowed"])] {
        assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
        assert!(unknown.stderr.contains("chaos runs list"), "{}", unknown.stderr);
    }
    assert_eq!(chaos(&["list", "-o", "json"]).document(), json!([]));

    cluster.apply(&manifests(&namespace, "unfollowed", "Live"));
    let early = report("crun/unfollowed");
    assert_eq!(early.code, Some(3), "{}", early.stderr);
    assert!(early.stderr.contains("chaos runs watch unfollowed"), "{}", early.stderr);
    let shown = chaos(&["show", "unfollowed", "-o", "json"]).document();
    assert!(shown["waitsFor"].is_string() && shown["verdict"].is_null(), "{shown:#}");

    let watched = chaos(&["watch", "unfollowed", "-o", "json"]);
    assert!(watched.stderr.contains("waits for its strikes"), "{}", watched.stderr);
    let api: Api<ExperimentRun> = Api::namespaced(cluster.client.clone(), &namespace);
    let status = cluster.block(api.get("unfollowed")).unwrap().status.expect("a status");
    let verdict = status.verdict.expect("a verdict");
    // A machine that is too busy costs evidence; anything else would leave nothing to report.
    assert!(matches!(verdict.exit_code, 0 | 7), "{verdict:?}");
    assert_eq!(watched.code, Some(i32::from(verdict.exit_code)), "{}", watched.stderr);
    assert_eq!(watched.document()["verdict"]["reasonCode"], verdict.reason_code.as_str());
    let list = chaos(&["list"]).stdout;
    assert!(list.contains(&format!("{namespace}/unfollowed")) && list.contains(&verdict.reason_code), "{list}");
    let late = chaos(&["abort", "unfollowed"]);
    assert_eq!(late.code, Some(4), "what is over is not aborted: {}", late.stderr);
    assert_abortable(&cluster, &namespace);
    // The same again: what was fetched before is no obstacle.
    for name in ["crun/unfollowed", "ExperimentRun/unfollowed"] {
        let end = report(name);
        assert_eq!(end.code, Some(i32::from(verdict.exit_code)), "{}\n{}", verdict.reason_text, end.stderr);
        assert!(!end.stderr.contains("the evidence says"), "{}", end.stderr);
    }

    let (folder, result) = told(&cluster);
    assert_eq!(result["verdict"]["reasonCode"], verdict.reason_code.as_str());
    assert_eq!(result["kills"]["done"], status.kills);
    // Operator and prober are one program, and a build with optimisation names it twice.
    let mut facts = result["run"]["environment"].as_array().into_iter().flatten();
    let of_prober = facts.find(|fact| fact["name"] == "program of the prober").and_then(|fact| fact["value"].as_str());
    let of_operator = result["run"]["toolDigest"].as_str().map(|digest| format!("sha256 {digest}"));
    assert_eq!(of_operator.as_deref(), of_prober);
    assert_eq!(told_by_journal(&cluster, &folder, verdict.exit_code), result, "the journal is whole");
}
