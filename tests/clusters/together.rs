//! Two operators that both work, and the command line, on one workload: its budget holds for all of them together, no pod is
//! killed twice, and each record tells every kill.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chaos_core::api::{ChaosMonkey, switch};
use chaos_operator::manifests::NAME as OPERATOR;
use chaos_tests::kills::{Kills, disagreements};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::workload::{Workload, kills};

/// Pods of the workload.
const PODS: usize = 3;
/// Time between two looks at them.
const LOOK: Duration = Duration::from_millis(50);

/// Has every operator work, as one that was cut off from the others would.
fn have_all_work(cluster: &Cluster) {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), switch::NAMESPACE);
    let operators = cluster.block(deployments.get(OPERATOR)).unwrap();
    let mut container = operators.spec.unwrap().template.spec.unwrap().containers.remove(0);
    container.args.get_or_insert_default().push("--no-leader-election".to_owned());
    let changed = json!([{"name": container.name, "args": container.args}]);
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": changed}}}}));
    cluster.block(deployments.patch(OPERATOR, &PatchParams::default(), &patch)).unwrap();
    cluster.eventually("two operators work", || async {
        let operators = deployments.get(OPERATOR).await.map_err(|error| error.to_string())?;
        let status = operators.status.unwrap_or_default();
        let is_seen = status.observed_generation >= operators.metadata.generation;
        let counts = [status.replicas, status.updated_replicas, status.ready_replicas];
        if is_seen && counts == [Some(2); 3] { Ok(()) } else { Err(format!("{status:?}")) }
    });
}

/// What looks at the cluster have shown.
#[derive(Debug, Clone, Default)]
struct Seen {
    looks: u64,
    /// The most pods of the workload that did not serve at once.
    most_unavailable: usize,
    /// Processes that drove the monkey.
    drivers: BTreeSet<String>,
}

/// Looks until it is aborted. A look that fails shows nothing.
async fn look(pods: Api<Pod>, monkeys: Api<ChaosMonkey>, seen: Arc<Mutex<Seen>>) {
    let of_workload = ListParams::default().labels("app=eta");
    loop {
        if let (Ok(pods), Ok(monkey)) = (pods.list(&of_workload).await, monkeys.get("m").await) {
            let serving = pods.items.iter().filter(|pod| serves(pod)).count();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.looks += 1;
            seen.most_unavailable = seen.most_unavailable.max(PODS.saturating_sub(serving));
            seen.drivers.extend(monkey.status.and_then(|status| status.driver));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn serves(pod: &Pod) -> bool {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let is_ready = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    is_ready && pod.metadata.deletion_timestamp.is_none()
}

/// Kills of the same workload by whoever runs it. What it asks is asked of the API server, which every machine reaches.
fn experiment(namespace: &str) -> String {
    let ready = json!({"resource": "apps/v1/Deployment", "name": "eta", "jsonPath": "$.status.readyReplicas"});
    let experiment = json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "beside", "namespace": namespace},
        "spec": {
            "hypothesis": "Somebody is ready, whoever kills.",
            "target": {"workloads": [{"kind": "Deployment", "name": "eta"}]},
            "fault": {"podKill": {"mode": "Evict", "strikes": {"target": 5, "min": 1}, "every": {"mean": "4s", "min": "2s"}}},
            "phases": {"baseline": "3s", "fault": "150s", "recovery": "1s"},
            "probes": [{"name": "ready", "kubernetes": ready, "expect": {"min": 1}}],
            "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 5, "minInterval": "1s", "recoverWithin": "2m",
                "maxBlind": "1m", "allowForce": false},
            "abort": [],
        },
    });
    experiment.to_string()
}

/// What the audit log tells of kills in the namespace by anybody but the operators.
fn of_people(cluster: &Cluster, namespace: &str) -> Kills {
    let here = cluster.audit_of(namespace);
    let evictions = here.iter().filter(|line| line["objectRef"]["subresource"] == "eviction");
    let users: BTreeSet<&str> = evictions.filter_map(|line| line["user"]["username"].as_str()).collect();
    let operator = chaos_operator::manifests::user();
    let people: Vec<&str> = users.into_iter().filter(|user| *user != operator).collect();
    assert_eq!(people.len(), 1, "one person kills here: {people:?}");
    Kills::of_audit(&here, &people)
}

#[test]
fn two_operators_and_a_command_keep_to_one_budget_and_kill_nothing_twice() {
    let cluster = Cluster::start();
    cluster.install_with(&["--environment", "test", "--replicas", "2"]);
    have_all_work(&cluster);
    let workload = Workload::deploy(&cluster);
    let namespace = workload.namespace.clone();
    workload.monkey("m", |spec| {
        (spec["meanTimeBetweenKills"], spec["minTimeBetweenKills"]) = (json!("4s"), json!("2s"));
    });
    let seen = Arc::new(Mutex::new(Seen::default()));
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &namespace);
    let looking = cluster.spawn(look(pods, workload.monkeys(), seen.clone()));

    let (file, result) = (cluster.path("beside.yaml"), cluster.path("beside.json"));
    std::fs::write(&file, experiment(&namespace)).unwrap();
    let output = format!("json={}", result.display());
    let end = cluster.run(&["run", "--output", &output, file.to_str().unwrap()]);
    // A strike that finds no room for it costs evidence.
    assert!(matches!(end.code, Some(0 | 7)), "{:?}\n{}{}", end.code, end.stdout, end.stderr);
    workload.until("m", "six kills", |monkey| kills(monkey) >= 6);
    let by_operators = workload.assert_accounted("m");
    looking.abort();

    let result: Value = serde_json::from_str(&std::fs::read_to_string(&result).unwrap()).unwrap();
    let by_command = Kills::of_result(&result);
    // Without an audit log nothing but the journal tells what a person has killed.
    let by_people = cluster.has_audit().then(|| of_people(&cluster, &namespace));
    let told: Vec<_> =
        [("journal", &by_command)].into_iter().chain(by_people.iter().map(|kills| ("audit log", kills))).collect();
    assert_eq!(disagreements(&told), Vec::<String>::new());
    assert!(!by_command.pods.is_empty(), "both kill:\n{}", end.stderr);
    let both: Vec<_> = by_command.pods.iter().filter(|(uid, _)| by_operators.pods.contains_key(*uid)).collect();
    assert!(both.is_empty(), "these are killed twice: {both:?}");

    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(seen.drivers.len() >= 2, "both operators work: {seen:?}");
    assert!(seen.looks > 100 && seen.most_unavailable == 1, "never more than one is unavailable: {seen:?}");
}
