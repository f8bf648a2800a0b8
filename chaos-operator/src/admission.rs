//! The second lock: admission policies on the operator's identity, checked by the API server itself. Whatever a bug or a stolen
//! token asks for, a kill that is not opted in or that names no UID is refused. Pure.
//!
//! Admission sees what a request carries: for a delete the pod, for an eviction only the Eviction. So an eviction is held to
//! the opt-in of the namespace and to the UID, never to the labels of the pod; `docs/permissions.md` says so.

use chaos_core::api::{labels, switch};
use chaos_core::eligible::DENIED_NAMESPACES;
use serde_json::{Value, json};

use crate::manifests::{NAME, user};

/// Both policies with their bindings.
pub(crate) fn policies() -> Vec<Value> {
    let delete = format!("{NAME}-delete");
    let evict = format!("{NAME}-evict");
    let mut of_delete = in_namespace();
    of_delete.extend([
        rule(&opted_in("oldObject"), "the pod is not opted in to chaos"),
        rule(&not_excluded("oldObject"), "the pod is excluded from chaos"),
        rule(&names_uid("request.options"), "the delete names no UID"),
    ]);
    let mut of_evict = in_namespace();
    let uid = format!("has(object.deleteOptions) && {}", names_uid("object.deleteOptions"));
    of_evict.push(rule(&uid, "the eviction names no UID"));
    vec![
        policy(&delete, "pods", "DELETE", &of_delete),
        binding(&delete),
        policy(&evict, "pods/eviction", "CREATE", &of_evict),
        binding(&evict),
    ]
}

/// What must hold of the namespace of any kill.
fn in_namespace() -> Vec<Value> {
    let denied: Vec<_> = DENIED_NAMESPACES.iter().chain([&switch::NAMESPACE]).map(|name| format!("'{name}'")).collect();
    vec![
        rule(
            &format!("!(namespaceObject.metadata.name in [{}])", denied.join(", ")),
            "the namespace is never a target",
        ),
        rule(&opted_in("namespaceObject"), "the namespace is not opted in to chaos"),
        rule(&not_excluded("namespaceObject"), "the namespace is excluded from chaos"),
    ]
}

fn opted_in(object: &str) -> String {
    let (labels, label) = (format!("{object}.metadata.labels"), labels::ENABLED);
    format!("has({labels}) && '{label}' in {labels} && {labels}['{label}'] == 'true'")
}

fn not_excluded(object: &str) -> String {
    let (labels, label) = (format!("{object}.metadata.labels"), labels::EXCLUDE);
    format!("!has({labels}) || !('{label}' in {labels}) || {labels}['{label}'] == 'false'")
}

fn names_uid(options: &str) -> String {
    format!("has({options}.preconditions) && has({options}.preconditions.uid)")
}

fn rule(expression: &str, message: &str) -> Value {
    json!({"expression": expression, "message": message})
}

fn policy(name: &str, resource: &str, operation: &str, validations: &[Value]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource],
            }]},
            "matchConditions": [{"name": NAME, "expression": format!("request.userInfo.username == '{}'", user())}],
            "validations": validations,
        },
    })
}

fn binding(name: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]},
    })
}
