//! Rules across and within fields of built-in kinds: the ones that users run into, in the real server's words.

mod batch;
mod names;
mod pod;
mod schedule;
mod storage;
#[cfg(test)]
mod tests;
mod workload;

use serde_json::Value;

use super::error::FieldError;
use super::registry::{Origin, ResourceType};
use crate::store::selector::LabelSelector;

/// What is wrong with a new object.
pub(crate) fn check_new(ty: &ResourceType, object: &Value) -> Vec<FieldError> {
    let mut errors = check_metadata(ty, object);
    if matches!(ty.origin, Origin::Builtin(_)) {
        errors.extend(check_builtin(ty, object));
        if ty.is("batch", "CronJob") {
            errors.extend(batch::check_cron_job_name(object));
        }
    }
    errors
}

/// What is wrong with a change.
pub(crate) fn check_update(ty: &ResourceType, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = check_labels(new);
    if matches!(ty.origin, Origin::Builtin(_)) {
        errors.extend(check_builtin(ty, new));
        errors.extend(check_immutable(ty, old, new));
        if ty.is("", "Pod") {
            errors.extend(pod::check_update(old, new));
        }
        if ty.is("apps", "StatefulSet") {
            errors.extend(workload::check_stateful_set_update(old, new));
        }
        if ty.is("batch", "Job") {
            errors.extend(batch::check_job_update(old, new));
        }
        errors.extend(storage::check_update(ty, old, new));
    }
    errors
}

fn check_metadata(ty: &ResourceType, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = &object["metadata"]["name"];
    let text = name.as_str().unwrap_or_default();
    if let Some(detail) = names::name_problem(ty, text) {
        errors.push(FieldError::invalid("metadata.name", name, &detail));
    }
    check_owners(&object["metadata"]["ownerReferences"], &mut errors);
    for finalizer in object["metadata"]["finalizers"].as_array().into_iter().flatten() {
        let text = finalizer.as_str().unwrap_or_default();
        let is_standard = matches!(text, "orphan" | "foregroundDeletion" | "kubernetes");
        if let Some(detail) = names::qualified_name_problem(text) {
            errors.push(FieldError::invalid("metadata.finalizers", finalizer, &detail));
        } else if !is_standard && !text.contains('/') {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid("metadata.finalizers", finalizer, detail));
        }
    }
    errors.extend(check_labels(object));
    errors
}

fn check_owners(owners: &Value, errors: &mut Vec<FieldError>) {
    let owners: Vec<&Value> = owners.as_array().into_iter().flatten().collect();
    for owner in &owners {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let path = format!("metadata.ownerReferences.{field}");
                errors.push(FieldError::invalid(path, &owner[field], "must not be empty"));
            }
        }
    }
    let controllers: Vec<&str> =
        owners.iter().filter(|owner| owner["controller"] == true).filter_map(|owner| owner["name"].as_str()).collect();
    if let [first, second, ..] = controllers.as_slice() {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", &Value::Null, &detail));
    }
}

fn check_labels(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    names::check_labels(&object["metadata"]["labels"], "metadata.labels", &mut errors);
    for (key, _) in object["metadata"]["annotations"].as_object().into_iter().flatten() {
        if let Some(detail) = names::qualified_name_problem(&key.to_lowercase()) {
            errors.push(FieldError::invalid("metadata.annotations", &key.as_str().into(), &detail));
        }
    }
    errors
}

fn check_builtin(ty: &ResourceType, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match (ty.group.as_str(), ty.kind.as_str()) {
        ("", "Pod") => pod::check_spec(&object["spec"], "spec", &mut errors),
        ("", "Service") => check_service(object, &mut errors),
        ("", "ConfigMap") => check_keys(object, &["data", "binaryData"], &mut errors),
        ("", "Secret") => check_keys(object, &["data"], &mut errors),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => {
            workload::check(&ty.kind, object, &mut errors);
        }
        ("batch", "Job") => batch::check_job(object, &mut errors),
        ("batch", "CronJob") => batch::check_cron_job(object, &mut errors),
        ("", "PersistentVolumeClaim") => storage::check_claim(&object["spec"], &mut errors),
        ("", "PersistentVolume") => storage::check_volume(&object["spec"], &mut errors),
        ("policy", "PodDisruptionBudget") => check_budget(object, &mut errors),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => check_binding(object, &mut errors),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => check_role(object, &mut errors),
        ("coordination.k8s.io", "Lease") => check_lease(object, &mut errors),
        ("", "Event") => check_event(object, "involvedObject", &mut errors),
        ("events.k8s.io", "Event") => check_event(object, "regarding", &mut errors),
        _ => {}
    }
    errors
}

/// Fields that never change once set.
fn check_immutable(ty: &ResourceType, old: &Value, new: &Value) -> Vec<FieldError> {
    let paths: &[&[&str]] = match (ty.group.as_str(), ty.kind.as_str()) {
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => &[&["spec", "selector"]],
        ("apps", "ControllerRevision") => &[&["data"]],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => &[&["roleRef"]],
        ("scheduling.k8s.io", "PriorityClass") => &[&["value"]],
        ("storage.k8s.io", "StorageClass") => {
            &[&["parameters"], &["provisioner"], &["reclaimPolicy"], &["volumeBindingMode"]]
        }
        ("", "Secret") => &[&["type"]],
        ("discovery.k8s.io", "EndpointSlice") => &[&["addressType"]],
        _ => &[],
    };
    let at = |object: &Value, path: &[&str]| path.iter().fold(object.clone(), |value, field| value[*field].clone());
    let mut errors: Vec<FieldError> = paths
        .iter()
        .filter(|path| at(old, path) != at(new, path))
        .map(|path| {
            let detail = if *path == ["roleRef"] { "cannot change roleRef" } else { "field is immutable" };
            FieldError::invalid(path.join("."), &at(new, path), detail)
        })
        .collect();
    if ty.is("", "Service") && new["spec"]["type"] != "ExternalName" {
        let (before, after) = (&old["spec"]["clusterIPs"], &new["spec"]["clusterIPs"]);
        if before[0].is_string() && before[0] != after[0] {
            errors.push(FieldError::invalid("spec.clusterIPs[0]", after, "may not change once set"));
        }
    }
    let keeps_data = old["immutable"] == true && (ty.is("", "ConfigMap") || ty.is("", "Secret"));
    if keeps_data && (old["data"] != new["data"] || new["immutable"] != true) {
        errors.push(FieldError::forbidden("data", "field is immutable when `immutable` is set"));
    }
    errors
}

fn check_service(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    if !kinds.iter().any(|kind| spec["type"] == *kind) {
        errors.push(FieldError::not_supported("spec.type", &spec["type"], &kinds));
    }
    let ports: Vec<&Value> = spec["ports"].as_array().into_iter().flatten().collect();
    if ports.is_empty() && spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        if ports.len() > 1 && port["name"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        if !(1..=65_535).contains(&port["port"].as_i64().unwrap_or(0)) {
            let path = format!("{path}.port");
            errors.push(FieldError::invalid(path, &port["port"], "must be between 1 and 65535, inclusive"));
        }
    }
}

fn check_keys(object: &Value, fields: &[&str], errors: &mut Vec<FieldError>) {
    let is_valid = |key: &str| {
        !key.is_empty()
            && key.len() <= 253
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    for field in fields {
        for (key, _) in object[*field].as_object().into_iter().flatten().filter(|(key, _)| !is_valid(key)) {
            let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
            errors.push(FieldError::invalid(format!("{field}[{key}]"), &key.as_str().into(), detail));
        }
    }
}

fn check_budget(object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
        let both = FieldError::invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
        errors.push(both);
    }
    for field in ["minAvailable", "maxUnavailable"] {
        workload::check_count_or_percent(&spec[field], &format!("spec.{field}"), false, errors);
    }
    check_selector(&spec["selector"], "spec.selector", errors);
}

/// A label selector that can be read.
pub(super) fn check_selector(selector: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Err(error) = LabelSelector::from_object(selector) {
        errors.push(FieldError::invalid(path, selector, &error.to_string()));
    }
    names::check_labels(&selector["matchLabels"], &format!("{path}.matchLabels"), errors);
}

fn check_binding(object: &Value, errors: &mut Vec<FieldError>) {
    let role = &object["roleRef"];
    if !matches!(role["kind"].as_str(), Some("Role" | "ClusterRole")) {
        errors.push(FieldError::not_supported("roleRef.kind", &role["kind"], &["Role", "ClusterRole"]));
    }
    if role["name"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for (index, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let path = format!("subjects[{index}]");
        if subject["name"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        let kinds = ["ServiceAccount", "User", "Group"];
        if !kinds.iter().any(|kind| subject["kind"] == *kind) {
            errors.push(FieldError::not_supported(format!("{path}.kind"), &subject["kind"], &kinds));
        }
        let lacks_namespace = subject["namespace"].as_str().is_none_or(str::is_empty);
        if subject["kind"] == "ServiceAccount" && lacks_namespace {
            errors.push(FieldError::required(format!("{path}.namespace"), ""));
        }
    }
}

fn check_role(object: &Value, errors: &mut Vec<FieldError>) {
    for (index, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        let path = format!("rules[{index}]");
        let is_empty = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
        if is_empty("verbs") {
            errors.push(FieldError::required(format!("{path}.verbs"), "verbs must contain at least one value"));
        }
        if is_empty("nonResourceURLs") {
            for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
                if is_empty(field) {
                    let detail = format!("resource rules must supply at least one {what}");
                    errors.push(FieldError::required(format!("{path}.{field}"), &detail));
                }
            }
        }
    }
}

fn check_lease(object: &Value, errors: &mut Vec<FieldError>) {
    for (field, least) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
        if let Some(number) = object["spec"][field].as_i64().filter(|number| *number < least) {
            let relation = if least == 1 { "must be greater than 0" } else { "must be greater than or equal to 0" };
            errors.push(FieldError::invalid(format!("spec.{field}"), &number.into(), relation));
        }
    }
}

/// An event lies in the namespace of what it is about; one about the cluster, in `default`.
fn check_event(object: &Value, about: &str, errors: &mut Vec<FieldError>) {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let fits = match object[about]["namespace"].as_str().unwrap_or_default() {
        "" => matches!(namespace, "" | "default" | "kube-system"),
        theirs => theirs == namespace,
    };
    if !fits {
        let value = object[about]["namespace"].as_str().unwrap_or_default().into();
        errors.push(FieldError::invalid("involvedObject.namespace", &value, "does not match event.namespace"));
    }
}
