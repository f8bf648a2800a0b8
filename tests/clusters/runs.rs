//! Runs that nobody followed: what they proved is fetched from the cluster afterwards.

use chaos_core::api::ExperimentRun;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workload::Workload;

/// A Service of the pods of a workload, and a short run of them by the operator.
pub(crate) fn manifests(namespace: &str, name: &str, mode: &str) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "eta", "namespace": namespace},
        "spec": {"selector": {"app": "eta"}, "ports": [{"name": "http", "port": 8084, "targetPort": "http"}]},
    });
    let run = json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ExperimentRun",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"mode": mode, "experiment": {
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
        }},
    });
    format!("{service}\n---\n{run}\n")
}

fn is_complete(condition: &Condition) -> bool {
    condition.type_ == "Complete" && condition.status == "True"
}

#[test]
fn a_run_that_nobody_followed_is_reported_from_the_cluster() {
    let cluster = Cluster::start();
    cluster.chaos(&["install", "--environment", "test", "--replicas", "1"]);
    let workload = Workload::deploy(&cluster);
    let namespace = workload.namespace.clone();
    let report = |name: &str| cluster.run(&["report", name, "-n", &namespace]);
    let unknown = report("crun/unfollowed");
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("kubectl get crun"), "{}", unknown.stderr);

    cluster.apply(&manifests(&namespace, "unfollowed", "Live"));
    let early = report("crun/unfollowed");
    assert_eq!(early.code, Some(3), "{}", early.stderr);
    assert!(early.stderr.contains("kubectl wait --for=condition=Complete"), "{}", early.stderr);

    let runs: Api<ExperimentRun> = Api::namespaced(cluster.client.clone(), &namespace);
    let status = cluster.eventually("the run is over", || async {
        let run = runs.get("unfollowed").await.map_err(|error| error.to_string())?;
        let status = run.status.unwrap_or_default();
        if status.conditions.iter().any(is_complete) { Ok(status) } else { Err(format!("{:?}", status.phase)) }
    });
    let verdict = status.verdict.expect("a verdict");
    // A machine that is too busy costs evidence; anything else would leave nothing to report.
    assert!(matches!(verdict.exit_code, 0 | 7), "{verdict:?}");
    // The same again: what was fetched before is no obstacle.
    for name in ["crun/unfollowed", "ExperimentRun/unfollowed"] {
        let end = report(name);
        assert_eq!(end.code, Some(i32::from(verdict.exit_code)), "{}\n{}", verdict.reason_text, end.stderr);
        assert!(!end.stderr.contains("the evidence says"), "{}", end.stderr);
    }

    let mut folders = std::fs::read_dir(cluster.path("out")).unwrap().map(|folder| folder.unwrap().path());
    let folder = folders.next().expect("the folder of the run");
    assert_eq!(folders.next(), None, "one folder for one run");
    for name in ["run.journal", "report.html", "junit.xml", "summary.md"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let text = std::fs::read_to_string(folder.join("result.json")).unwrap();
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(result["verdict"]["reasonCode"], verdict.reason_code.as_str());
    assert_eq!(result["kills"]["done"], status.kills);
    // The journal is whole: it tells the same by itself.
    let journal = folder.join("run.journal");
    let again = cluster.path("again");
    let end = cluster.run(&["report", journal.to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert_eq!(end.code, Some(i32::from(verdict.exit_code)), "{}", end.stderr);
    assert_eq!(std::fs::read_to_string(again.join("result.json")).unwrap(), text);
}
