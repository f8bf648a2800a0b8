//! What the one who runs an experiment must be allowed to do, as RBAC says it: the CLI asks the API server for each.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::{Endpoint, Experiment, Fault, GroupBy, KillMode, ProbeKind, Question};
use crate::population::Population;

/// A verb on a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// Namespace; empty: the cluster.
    pub namespace: String,
    /// API group; empty: core.
    pub group: String,
    /// Resource in the plural, with its subresource; for the object of a `kubernetes` probe its kind.
    pub resource: String,
    /// get, list, watch, create, update, patch, delete.
    pub verb: &'static str,
}

/// What whoever kills pods of a namespace must be allowed to do: for `podKill` the one who runs the experiment, for a
/// monkey the operator.
pub fn of_killer(mode: KillMode, namespace: &str) -> BTreeSet<Permission> {
    let mut all = on("", "", "namespaces", &["get"]);
    all.extend(on(namespace, "", "pods", &["get", "list"]));
    for resource in ["deployments", "replicasets", "statefulsets"] {
        all.extend(on(namespace, "apps", resource, &["list"]));
    }
    all.extend(on(namespace, "policy", "poddisruptionbudgets", &["list"]));
    all.extend(on(namespace, "coordination.k8s.io", "leases", &["get", "create", "update"]));
    all.extend(match mode {
        KillMode::Evict => on(namespace, "", "pods/eviction", &["create"]),
        KillMode::Delete => on(namespace, "", "pods", &["delete"]),
    });
    all
}

/// All that are needed by the one who runs an experiment, each once.
pub(super) fn needed(experiment: &Experiment, population: &Population) -> Vec<Permission> {
    let (mut all, mut killers) = (BTreeSet::new(), BTreeSet::new());
    let mut add = |namespace: &str, group: &str, resource: &str, verbs: &[&'static str]| {
        all.extend(on(namespace, group, resource, verbs));
    };
    let scope = &experiment.target.namespaces;
    let targeted = population.namespaces.iter().filter(|namespace| scope.contains(&namespace.name, &namespace.labels));
    for namespace in targeted.map(|namespace| namespace.name.as_str()) {
        add("", "", "namespaces", &["get"]);
        add(namespace, "", "pods", &["list", "watch"]);
        for resource in ["deployments", "replicasets", "statefulsets"] {
            add(namespace, "apps", resource, &["list"]);
        }
        add(namespace, "policy", "poddisruptionbudgets", &["list"]);
        add(namespace, "discovery.k8s.io", "endpointslices", &["list", "watch"]);
        if let Fault::PodKill(kill) = &experiment.fault {
            killers.extend(of_killer(kill.kill.mode, namespace));
        }
    }
    if matches!(experiment.fault, Fault::Monkey(_)) {
        let own = experiment.namespace.as_str();
        add(own, crate::api::GROUP, "chaosmonkeys", &["create", "get", "watch", "patch", "delete"]);
        add(own, "coordination.k8s.io", "leases", &["create", "update", "delete"]);
    }
    let wants_nodes = experiment.target.nodes.is_some()
        || !experiment.target.zones.is_empty()
        || *experiment.fault.group() == GroupBy::Zone;
    if wants_nodes {
        add("", "", "nodes", &["list"]);
    }
    for probe in &experiment.probes {
        if let ProbeKind::Kubernetes(probe) = &probe.kind {
            let verb = if matches!(probe.question, Question::Count { .. }) { "list" } else { "get" };
            add(&probe.namespace, &probe.group, &probe.kind, &[verb]);
        }
        if let Some(Endpoint::Service { namespace, .. }) = probe.endpoint() {
            add(namespace, "", "services", &["get"]);
        }
    }
    all.append(&mut killers);
    all.into_iter().collect()
}

fn on(namespace: &str, group: &str, resource: &str, verbs: &[&'static str]) -> BTreeSet<Permission> {
    let (namespace, group, resource) = (namespace.to_owned(), group.to_owned(), resource.to_owned());
    let permission = |verb: &&'static str| Permission {
        namespace: namespace.clone(),
        group: group.clone(),
        resource: resource.clone(),
        verb,
    };
    verbs.iter().map(permission).collect()
}
