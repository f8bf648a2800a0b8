//! The second lock: admission policies on the operator's identity, checked by the API server itself. Whatever a bug or a stolen
//! token asks for, a kill that is not opted in or that names no UID is refused, and so is writing a Lease of others. Pure.
//!
//! Admission sees what a request carries: for a delete the pod, for an eviction only the Eviction. So an eviction is held to
//! the opt-in of the namespace and to the UID, never to the labels of the pod; `docs/permissions.md` says so.

use chaos_core::api::{labels, switch};
use chaos_core::eligible::DENIED_NAMESPACES;
use serde_json::{Value, json};

use crate::LEASE;
use crate::manifests::{NAME, user};

/// Leases that the operator writes wherever it works: budgets of workloads (`chaos-` and 64 bits), heartbeats of runs (`run-` and
/// the run's UID).
const LEASES: &str = "^(chaos-[0-9a-f]{16}|run-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$";

/// All policies with their bindings.
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
    let lease = format!("{NAME}-lease");
    vec![
        policy(&delete, &on("", "pods", &["DELETE"]), &of_delete),
        binding(&delete),
        policy(&evict, &on("", "pods/eviction", &["CREATE"]), &of_evict),
        binding(&evict),
        policy(&lease, &on("coordination.k8s.io", "leases", &["CREATE", "UPDATE"]), &of_lease()),
        binding(&lease),
    ]
}

/// What must hold of a Lease that the operator writes. A patch is an update.
fn of_lease() -> Vec<Value> {
    let (name, namespace, own) = ("object.metadata.name", "namespaceObject.metadata.name", switch::NAMESPACE);
    let denied = quoted(DENIED_NAMESPACES.iter());
    let ours = format!("{name}.matches('{LEASES}') || ({namespace} == '{own}' && {name} == '{LEASE}')");
    vec![
        rule(&format!("!({namespace} in [{denied}])"), "no Lease of this namespace is the operator's"),
        rule(&ours, "the Lease is not one of the operator's"),
    ]
}

/// What must hold of the namespace of any kill.
fn in_namespace() -> Vec<Value> {
    let denied = quoted(DENIED_NAMESPACES.iter().chain([&switch::NAMESPACE]));
    vec![
        rule(&format!("!(namespaceObject.metadata.name in [{denied}])"), "the namespace is never a target"),
        rule(&opted_in("namespaceObject"), "the namespace is not opted in to chaos"),
        rule(&not_excluded("namespaceObject"), "the namespace is excluded from chaos"),
    ]
}

/// Names as the members of a list.
fn quoted(names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    names.map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
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

/// The requests that a policy is about.
fn on(group: &str, resource: &str, operations: &[&str]) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": [resource]})
}

fn policy(name: &str, on: &Value, validations: &[Value]) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [on]},
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
