//! What kustomize makes of the base: for the embedded cluster, for one of several machines, for one namespace of such a one, and
//! with the right to delete pods. Pure: whoever calls writes files.

use chaos_core::api::{labels, switch};
use serde_json::{Value, json};

use super::{File, NAME, REPLICAS, accounts, delete_role, kustomization, network_policy, prober, yaml};

/// The namespace that the overlay for one works on; who has another one makes a copy.
const ONE: &str = "dispatch";

/// The files below `deploy/overlays`.
pub(super) fn files() -> Vec<File> {
    let files = [
        ("demo/kustomization.yaml", vec![demo()]),
        ("real/kustomization.yaml", vec![real()]),
        ("real/network-policy.yaml", vec![network_policy(), prober::network_policy()]),
        ("one-namespace/kustomization.yaml", vec![one_namespace()]),
        ("one-namespace/rbac.yaml", accounts(Some(ONE)).into_iter().filter(is_role).collect()),
        ("delete-mode/kustomization.yaml", vec![kustomization(json!({"resources": ["rbac.yaml"]}))]),
        ("delete-mode/rbac.yaml", delete_role(None)),
    ];
    files.into_iter().map(|(name, objects)| (format!("overlays/{name}"), objects)).collect()
}

fn demo() -> Value {
    let label = format!("/metadata/labels/{}", labels::ENVIRONMENT.replace('/', "~1"));
    kustomization(json!({
        "resources": ["../../base", "../../switch"],
        "patches": [{
            "target": {"kind": "Namespace", "name": switch::NAMESPACE},
            "patch": format!("- op: add\n  path: {label}\n  value: demo\n"),
        }],
    }))
}

fn real() -> Value {
    kustomization(json!({
        "resources": ["../../base", "network-policy.yaml"],
        "replicas": [{"name": NAME, "count": REPLICAS}],
    }))
}

/// What is granted in the cluster goes; roles of the base that are in the operator's own namespace stay. The accounts are the base's.
fn one_namespace() -> Value {
    let granted = accounts(None).into_iter().filter(is_of_cluster);
    let without = granted.map(|object| {
        let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
        let gone = json!({
            "$patch": "delete", "apiVersion": object["apiVersion"], "kind": kind, "metadata": {"name": name},
        });
        json!({"target": {"kind": kind, "name": name}, "patch": yaml(&gone)})
    });
    let told = json!({
        "target": {"kind": "Deployment"},
        "patch": format!(
            "- op: add\n  path: /spec/template/spec/containers/0/args/-\n  value: --watch-namespace={ONE}\n"
        ),
    });
    let patches: Vec<Value> = without.chain([told]).collect();
    kustomization(json!({"resources": ["../real", "rbac.yaml"], "patches": patches}))
}

/// Whether it grants something in the whole cluster.
fn is_of_cluster(object: &Value) -> bool {
    object["kind"].as_str().is_some_and(|kind| kind.starts_with("ClusterRole"))
}

/// Whether it grants something in the namespace that is worked on.
fn is_role(object: &Value) -> bool {
    object["metadata"]["namespace"] == ONE && object["kind"].as_str().is_some_and(|kind| kind.starts_with("Role"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_one_namespace_everything_that_is_granted_in_the_cluster_is_taken_out_and_granted_there() {
        let overlay = one_namespace();
        let patches = overlay["patches"].as_array().unwrap();
        let mut roles = 0;
        for object in accounts(None).iter().filter(|object| is_of_cluster(object)) {
            let name = object["metadata"]["name"].as_str().unwrap();
            let is_gone = |patch: &Value| {
                let text = patch["patch"].as_str().unwrap();
                patch["target"]["kind"] == object["kind"]
                    && patch["target"]["name"] == name
                    && text.contains("$patch: delete\n")
            };
            assert_eq!(patches.iter().filter(|patch| is_gone(patch)).count(), 1, "{object}");
            roles += 1;
        }
        // Of operator, nodes, runs, game days and prober.
        assert_eq!((roles, patches.len()), (10, 11));
        let there = accounts(Some(ONE)).into_iter().filter(is_role).count();
        assert_eq!(there, 8, "nodes are in no namespace");
    }
}
