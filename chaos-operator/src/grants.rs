//! What the operator may do, as one table: the roles under `deploy/`, the page `docs/permissions.md` and the operator's own
//! look at its permissions all come from it. Pure.

use chaos_core::api::{GROUP, switch};
use serde_json::{Value, json};

/// The role that carries a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The ClusterRole of the operator; with `--watch-namespace` a Role of that namespace will do.
    Cluster,
    /// The optional ClusterRole for ExperimentRuns; with `--watch-namespace` a Role of that namespace will do.
    Runs,
    /// The optional ClusterRole for GameDays; with `--watch-namespace` a Role of that namespace will do.
    GameDays,
    /// The Role in the operator's own namespace.
    Own,
    /// The ClusterRole for nodes and zones: part of every installation for the cluster, and of none for one namespace.
    Nodes,
    /// The optional ClusterRole (or Role of a target's namespace) for kills by `Delete`.
    Delete,
}

/// Verbs on one resource.
#[derive(Debug, Clone, Copy)]
pub struct Grant {
    /// Where it is granted.
    pub role: Role,
    /// API group; empty: core.
    pub group: &'static str,
    /// Resource in the plural, with its subresource.
    pub resource: &'static str,
    /// The only object it is about; absent: all.
    pub name: Option<&'static str>,
    /// get, list, watch, create, update, patch, delete.
    pub verbs: &'static [&'static str],
    /// What is lost without it.
    pub purpose: &'static str,
    /// Nothing may be killed without it.
    pub to_kill: bool,
}

const READ: &[&str] = &["get", "list", "watch"];
const LIST: &[&str] = &["list"];
const LEASE: &[&str] = &["create", "get", "update"];

/// Exactly what the operator uses. The audit log of a cluster is compared with it.
pub const GRANTS: &[Grant] = &[
    grant(Role::Cluster, GROUP, "chaosmonkeys", READ, "its work"),
    grant(Role::Cluster, GROUP, "chaosmonkeys/status", &["update"], "plan, intents, outcomes: the durable state"),
    grant(Role::Cluster, "", "namespaces", &["get", "list"], "opt-in, stop annotation, environment"),
    grant(Role::Cluster, "", "pods", &["get", "list"], "who may be killed, what became of a kill"),
    grant(Role::Cluster, "", "pods/eviction", &["create"], "the kill, in Evict mode"),
    grant(Role::Cluster, "apps", "daemonsets", LIST, "owners and rollouts"),
    grant(Role::Cluster, "apps", "deployments", LIST, "owners and rollouts"),
    grant(Role::Cluster, "apps", "replicasets", LIST, "owners and rollouts"),
    grant(Role::Cluster, "apps", "statefulsets", LIST, "owners and rollouts"),
    grant(Role::Cluster, "batch", "cronjobs", LIST, "owners"),
    grant(Role::Cluster, "batch", "jobs", LIST, "owners"),
    grant(Role::Cluster, "policy", "poddisruptionbudgets", LIST, "headroom"),
    grant(Role::Cluster, "coordination.k8s.io", "leases", LEASE, "budgets of workloads, heartbeats"),
    grant(
        Role::Cluster,
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        &["create"],
        "whether all of this is granted",
    ),
    Grant {
        to_kill: false,
        ..grant(
            Role::Cluster,
            "events.k8s.io",
            "events",
            &["create"],
            "what happened to a pod, a run, a game day or the switch",
        )
    },
    of_runs(GROUP, "experimentruns", READ, "runs of experiments"),
    of_runs(GROUP, "experimentruns/status", &["update"], "the durable state of runs, and their verdicts"),
    of_runs(GROUP, "experiments", &["get"], "experiments that runs refer to"),
    of_runs(GROUP, "chaosmonkeys", &["create", "delete", "patch"], "the monkey of a run whose fault is one"),
    of_runs("coordination.k8s.io", "leases", &["patch"], "the heartbeat of that monkey"),
    of_runs("", "configmaps", &["create", "get"], "the evidence of runs"),
    of_runs("", "pods", &["watch"], "what became of the pods that a run killed"),
    of_runs("discovery.k8s.io", "endpointslices", &["list", "watch"], "when a killed pod got no more traffic"),
    of_days(GROUP, "gamedays", READ, "game days"),
    of_days(GROUP, "gamedays/status", &["update"], "the durable state of game days"),
    of_days(
        GROUP,
        "experimentruns",
        &["create", "delete", "get", "patch"],
        "the runs of a game day: made, ended, tidied away",
    ),
    Grant { name: Some(switch::NAME), ..grant(Role::Own, "", "configmaps", &["get"], "the stop switch") },
    grant(Role::Own, "coordination.k8s.io", "leases", LEASE, "leader election"),
    Grant {
        name: Some(switch::NAMESPACE),
        ..grant(Role::Own, "", "namespaces", &["get"], "the environment of the cluster")
    },
    grant(Role::Nodes, "", "nodes", LIST, "zones, nodes, readiness of nodes"),
    grant(Role::Delete, "", "pods", &["delete"], "the kill, in Delete mode"),
];

const fn of_runs(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    purpose: &'static str,
) -> Grant {
    Grant { to_kill: false, ..grant(Role::Runs, group, resource, verbs, purpose) }
}

const fn of_days(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    purpose: &'static str,
) -> Grant {
    Grant { to_kill: false, ..grant(Role::GameDays, group, resource, verbs, purpose) }
}

const fn grant(
    role: Role,
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    purpose: &'static str,
) -> Grant {
    Grant { role, group, resource, name: None, verbs, purpose, to_kill: true }
}

/// The rules of a role. Grants of one group with the same verbs are one rule.
pub(crate) fn rules(role: Role) -> Vec<Value> {
    let mut rules: Vec<(&Grant, Vec<&str>)> = Vec::new();
    for grant in GRANTS.iter().filter(|grant| grant.role == role) {
        let alike = |(first, _): &&mut (&Grant, Vec<&str>)| {
            (first.group, first.verbs, first.name) == (grant.group, grant.verbs, grant.name)
        };
        match rules.iter_mut().find(alike) {
            Some((_, resources)) => resources.push(grant.resource),
            None => rules.push((grant, vec![grant.resource])),
        }
    }
    let rule = |(grant, resources): (&Grant, Vec<&str>)| {
        let mut rule = json!({"apiGroups": [grant.group], "resources": resources, "verbs": grant.verbs});
        if let Some(name) = grant.name {
            rule["resourceNames"] = json!([name]);
        }
        rule
    };
    rules.into_iter().map(rule).collect()
}

/// The rows of the table in `docs/permissions.md`.
pub fn markdown() -> String {
    let row = |grant: &Grant| {
        let Grant { role, group, resource, name, verbs, purpose, .. } = grant;
        let group = if group.is_empty() { "core" } else { group };
        let name = name.map(|name| format!(" `{name}`")).unwrap_or_default();
        let place = match role {
            Role::Cluster => "cluster",
            Role::Runs => "ClusterRole `chaos-operator-runs`",
            Role::GameDays => "ClusterRole `chaos-operator-gamedays`",
            Role::Own => "chaos-system",
            Role::Nodes => "ClusterRole `chaos-operator-nodes`",
            Role::Delete => "not shipped but in `overlays/delete-mode`",
        };
        format!("| {group} | {resource}{name} | {} | {place} | {purpose} |\n", verbs.join(", "))
    };
    let head = "| API group | resource | verbs | where | what for |\n|---|---|---|---|---|\n".to_owned();
    GRANTS.iter().map(row).fold(head, |table, row| table + &row)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_granted_twice_by_one_role_and_nothing_is_a_wildcard() {
        let mut seen = BTreeSet::new();
        for grant in GRANTS {
            assert!(seen.insert(format!("{:?} {} {}", grant.role, grant.group, grant.resource)), "{grant:?}");
            assert!(!grant.verbs.is_empty() && !grant.purpose.is_empty(), "{grant:?}");
            for word in grant.verbs.iter().chain([&grant.resource, &grant.group]) {
                assert!(!word.contains('*') && !word.contains("secrets") && !word.contains("exec"), "{grant:?}");
            }
        }
    }

    #[test]
    fn a_grant_for_one_object_is_a_rule_of_its_own() {
        let own = rules(Role::Own);
        assert_eq!(own[0]["resourceNames"], json!([switch::NAME]));
        assert!(own[1].get("resourceNames").is_none());
    }

    #[test]
    fn grants_of_one_group_with_the_same_verbs_are_one_rule() {
        let apps: Vec<_> =
            rules(Role::Cluster).into_iter().filter(|rule| rule["apiGroups"] == json!(["apps"])).collect();
        assert_eq!(apps.len(), 1);
        assert_eq!(apps[0]["resources"].as_array().map(Vec::len), Some(4));
    }
}
