//! What `chaos install` puts on a cluster for the prober: an identity that can read and create evidence and nothing else, its
//! process, and what it may connect to.

use chaos_core::api::{GROUP, labels, switch};
use serde_json::{Value, json};

use super::process::Process;
use super::{NAME as OPERATOR, PORT, bound, user_of};

/// Name of the prober's Deployment, `ServiceAccount` and roles.
pub const NAME: &str = "chaos-prober";
/// Name of the ConfigMap with the sources that it may ask, which its owner makes.
const CONFIG: &str = "chaos-prober-config";

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": switch::NAMESPACE, "labels": {"app.kubernetes.io/name": NAME}})
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// Exactly the verbs that the prober uses. It can neither kill nor write a status, nor change what it has told.
pub(super) fn rbac(namespace: Option<&str>) -> Vec<Value> {
    const GET: &[&str] = &["get"];
    // A probe reads one object, or counts those that a selector finds.
    const LOOK: &[&str] = &["get", "list"];
    let rules = [
        rule(GROUP, &["experimentruns"], &["list", "watch"]),
        rule(GROUP, &["experiments"], GET),
        rule("", &["configmaps"], &["create", "get"]),
        rule("", &["namespaces"], GET),
        rule("", &["pods", "services"], LOOK),
        rule("apps", &["daemonsets", "deployments", "replicasets", "statefulsets"], LOOK),
        rule("batch", &["jobs"], LOOK),
        rule("policy", &["poddisruptionbudgets"], LOOK),
    ];
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME)});
    [account].into_iter().chain(bound(NAME, NAME, namespace, &rules)).collect()
}

pub(super) fn deployment(image: &str, namespace: Option<&str>) -> Value {
    let process = Process {
        name: NAME,
        command: "prober",
        image,
        namespace,
        replicas: 1,
        environment: &[("POD_IP", "status.podIP"), ("POD_NAME", "metadata.name")],
        // It works for every request of a load test: whatever costs time there is not worth the memory.
        settings: &[],
        resources: json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}),
        grace_seconds: 15,
        configuration: CONFIG,
    };
    process.deployment()
}

/// Nothing but health and metrics may come in. It may connect to pods of namespaces that are opted in or let another one look into
/// them, to the API server and to DNS; whoever names a metrics source adds a way to it.
pub(super) fn network_policy() -> Value {
    let looked_into = json!({"matchExpressions": [{"key": labels::ALLOW_FROM, "operator": "Exists"}]});
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(NAME),
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
            "egress": [
                {"to": [
                    {"namespaceSelector": {"matchLabels": {labels::ENABLED: "true"}}},
                    {"namespaceSelector": looked_into},
                ]},
                {"ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]},
                {"ports": [{"protocol": "TCP", "port": 53}, {"protocol": "UDP", "port": 53}]},
            ],
        },
    })
}

/// The second lock on evidence: nobody else may make it up. Everybody may delete it, as it goes with its run.
pub(super) fn admission() -> Vec<Value> {
    let name = "chaos-evidence";
    let label = |role: &str| format!("object.metadata.labels['{}'] == '{role}'", labels::EVIDENCE);
    let by = |role: &str, account: &str| {
        format!("{} ? request.userInfo.username == '{}' : true", label(role), user_of(account))
    };
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["configmaps"],
                }],
                "objectSelector": {"matchExpressions": [{"key": labels::EVIDENCE, "operator": "Exists"}]},
            },
            "validations": [
                {"expression": by("operator", OPERATOR), "message": "only the operator writes its evidence"},
                {"expression": by("prober", NAME), "message": "only the prober writes its evidence"},
                {
                    "expression": format!("{} || {}", label("operator"), label("prober")),
                    "message": "evidence is the operator's or the prober's",
                },
            ],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    });
    vec![policy, binding]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_can_create_evidence_and_change_nothing() {
        let rules: Vec<Value> =
            rbac(None).iter().flat_map(|object| object["rules"].as_array().cloned().unwrap_or_default()).collect();
        assert!(!rules.is_empty());
        for rule in rules {
            for verb in rule["verbs"].as_array().unwrap() {
                let writes = !["get", "list", "watch"].contains(&verb.as_str().unwrap());
                assert!(!writes || (verb == "create" && rule["resources"] == json!(["configmaps"])), "{rule}");
            }
            let text = rule.to_string();
            assert!(!text.contains("eviction") && !text.contains("secrets") && !text.contains('*'), "{text}");
        }
    }
}
