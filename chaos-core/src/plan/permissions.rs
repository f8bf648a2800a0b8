//! What the one who runs an experiment must be allowed to do, as RBAC says it: the CLI asks the API server for each.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::{Endpoint, Experiment, Fault, GroupBy, KillMode, ProbeKind};
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

/// All that are needed, each once.
pub(super) fn needed(experiment: &Experiment, population: &Population) -> Vec<Permission> {
    let mut all = BTreeSet::new();
    let mut add = |namespace: &str, group: &str, resource: &str, verbs: &[&'static str]| {
        all.extend(verbs.iter().map(|verb| Permission {
            namespace: namespace.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            verb,
        }));
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
            match kill.kill.mode {
                KillMode::Evict => add(namespace, "", "pods/eviction", &["create"]),
                KillMode::Delete => add(namespace, "", "pods", &["delete"]),
            }
            add(namespace, "coordination.k8s.io", "leases", &["get", "create", "update"]);
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
        let endpoint = match &probe.kind {
            ProbeKind::Http(http) => Some(&http.endpoint),
            ProbeKind::Invariants(probe) => Some(&probe.endpoint),
            ProbeKind::Kubernetes(probe) => {
                add(&probe.namespace, &probe.group, &probe.kind, &["get"]);
                None
            }
            ProbeKind::Prometheus(_) | ProbeKind::Command(_) | ProbeKind::Tcp(_) => None,
        };
        if let Some(Endpoint::Service { namespace, .. }) = endpoint {
            add(namespace, "", "services", &["get"]);
        }
    }
    all.into_iter().collect()
}
