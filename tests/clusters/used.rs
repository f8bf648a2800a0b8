//! Least privilege: what operator and prober ask of the API server, by its own audit log, is what is shipped, and all of that is
//! asked for by something.

use std::collections::BTreeSet;

use chaos_core::api::{ExperimentRun, GameDay, labels};
use chaos_operator::manifests::{NAME as OPERATOR, PROBER, user_of};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::{Cluster, manifests};
use crate::given;
use crate::rights::{Right, rights, roles};
use crate::workload::{Workload, kills};

/// Rights that are shipped and not used by what is done here: the account, verb, resource, group, and when they are.
const SELDOM: [(&str, &str, &str, &str, &str); 4] = [
    (OPERATOR, "list", "daemonsets", "apps", "a pod names one as its owner"),
    (OPERATOR, "list", "jobs", "batch", "a pod names one as its owner"),
    (OPERATOR, "list", "cronjobs", "batch", "a pod names a Job as its owner"),
    (PROBER, "get", "configmaps", "", "a report whose answer was lost is looked up"),
];

/// What an account asked for, whatever the answer was.
fn used(lines: &[Value], account: &str) -> BTreeSet<Right> {
    let user = user_of(account);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let right = |line: &Value| {
        let reference = &line["objectRef"];
        // Discovery and the schema are no resources: every account may read them.
        let resource = reference["resource"].as_str()?.to_owned();
        let resource = match reference["subresource"].as_str() {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource,
        };
        Some(Right { verb: text(&line["verb"]), resource, group: text(&reference["apiGroup"]) })
    };
    lines.iter().filter(|line| line["user"]["username"] == user.as_str()).filter_map(right).collect()
}

fn seldom(account: &str) -> BTreeSet<Right> {
    let of_account = SELDOM.iter().filter(|(whose, ..)| *whose == account);
    let right = |(_, verb, resource, group, _): &(&str, &str, &str, &str, &str)| Right {
        verb: (*verb).to_owned(),
        resource: (*resource).to_owned(),
        group: (*group).to_owned(),
    };
    of_account.map(right).collect()
}

fn told(rights: impl IntoIterator<Item = Right>) -> Vec<String> {
    rights.into_iter().map(|right| right.to_string()).collect()
}

/// A standing monkey that finds its namespace by a label and deletes: two rights that evictions by name do not take.
fn delete_a_pod(workload: &Workload<'_>) {
    workload.monkey("deletes", |spec| {
        spec["fault"]["podKill"]["mode"] = json!("Delete");
        let label = json!({"kubernetes.io/metadata.name": workload.namespace});
        spec["target"]["namespaces"] = json!({"selector": {"matchLabels": label}});
    });
    workload.until("deletes", "it deletes a pod", |monkey| kills(monkey) > 0);
    workload.assert_accounted("deletes");
}

/// A game day whose run kills by a monkey of its own, is ended in the middle, looks at everything, and is tidied away.
fn end_a_game_day(workload: &Workload<'_>, other: &Workload<'_>) {
    let (cluster, namespace) = (workload.cluster, workload.namespace.as_str());
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let allows = Patch::Merge(json!({"metadata": {"labels": {labels::ALLOW_FROM: namespace}}}));
    cluster.block(namespaces.patch(&other.namespace, &PatchParams::default(), &allows)).unwrap();
    let used = include_str!("used.yaml").replace("NAMESPACE", namespace).replace("OTHER", &other.namespace);
    cluster.apply(&used);
    cluster.chaos(&["gameday", "start", "used", "-n", namespace]);
    let of_runs = ListParams::default().labels(labels::RUN);
    cluster.eventually("the run's monkey kills", || async {
        let monkeys = workload.monkeys().list(&of_runs).await.map_err(|error| error.to_string())?;
        if monkeys.items.iter().any(|monkey| kills(monkey) > 0) { Ok(()) } else { Err(format!("{:#?}", monkeys.items)) }
    });
    cluster.chaos(&["gameday", "abort", "used", "-n", namespace]);
    let days: Api<GameDay> = Api::namespaced(cluster.client.clone(), namespace);
    let runs: Api<ExperimentRun> = Api::namespaced(cluster.client.clone(), namespace);
    cluster.eventually("the game day is over, and its run is gone", || async {
        let status = days.get("used").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let left = runs.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let names: Vec<String> = left.items.iter().map(kube::ResourceExt::name_any).collect();
        if status.last.is_some() && names.is_empty() { Ok(()) } else { Err(format!("{names:?}, {status:#?}")) }
    });
}

#[test]
fn all_rights_that_are_used_are_shipped_and_all_that_are_shipped_are_used() {
    if given::lacks_audit() {
        return;
    }
    let cluster = Cluster::start();
    let before = cluster.audit().len();
    cluster.install_with(&["--environment", "test", "--replicas", "1", "--delete-mode"]);
    let (workload, other) = (Workload::deploy(&cluster), Workload::deploy(&cluster));
    delete_a_pod(&workload);
    end_a_game_day(&workload, &other);

    let shipped = [manifests(), include_str!("../../deploy/overlays/delete-mode/rbac.yaml").to_owned()].join("---\n");
    let log = cluster.audit();
    for account in [OPERATOR, PROBER] {
        let (granted, seldom) = (rights(&roles(&shipped, account)), seldom(account));
        // Of whatever else was done on this cluster, too.
        let beyond = told(used(&log, account).difference(&granted).cloned());
        assert!(beyond.is_empty(), "{account} asks for what no role of its own grants: {beyond:#?}");
        let unknown = told(seldom.difference(&granted).cloned());
        assert!(unknown.is_empty(), "{account} has no such rights: {unknown:#?}");
        let needed = used(&log[before..], account);
        let unused = told(granted.iter().filter(|right| !needed.contains(*right) && !seldom.contains(*right)).cloned());
        assert!(unused.is_empty(), "nothing takes these rights of {account}: {unused:#?}");
    }
}
