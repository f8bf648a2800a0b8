//! Rules of pod specifications.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::error::FieldError;
use super::names;

/// Checks a pod specification that has its defaults.
pub(super) fn check_spec(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let containers = |field: &str| spec[field].as_array().map_or(&[][..], Vec::as_slice);
    if containers("containers").is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let volumes: BTreeSet<&str> =
        spec["volumes"].as_array().into_iter().flatten().filter_map(|volume| volume["name"].as_str()).collect();
    let mut names_seen = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        for (index, container) in containers(field).iter().enumerate() {
            let path = format!("{path}.{field}[{index}]");
            check_container(container, &path, &volumes, errors);
            let name = container["name"].as_str().unwrap_or_default();
            if !name.is_empty() && !names_seen.insert(name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), &container["name"]));
            }
        }
    }
    check_policies(spec, path, errors);
    names::check_labels(&spec["nodeSelector"], &format!("{path}.nodeSelector"), errors);
}

fn check_policies(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    for (field, supported) in [
        ("restartPolicy", &["Always", "OnFailure", "Never"][..]),
        ("dnsPolicy", &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    ] {
        if !supported.iter().any(|choice| spec[field] == *choice) {
            errors.push(FieldError::not_supported(format!("{path}.{field}"), &spec[field], supported));
        }
    }
    if let Some(grace) = spec["terminationGracePeriodSeconds"].as_i64().filter(|grace| *grace < 0) {
        let path = format!("{path}.terminationGracePeriodSeconds");
        errors.push(FieldError::invalid(path, &grace.into(), "must be greater than or equal to 0"));
    }
}

fn check_container(container: &Value, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<FieldError>) {
    let name = container["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else if let Some(detail) = names::label_problem(name) {
        errors.push(FieldError::invalid(format!("{path}.name"), &container["name"], &detail));
    }
    if container["image"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    if !policies.iter().any(|policy| container["imagePullPolicy"] == *policy) {
        let path = format!("{path}.imagePullPolicy");
        errors.push(FieldError::not_supported(path, &container["imagePullPolicy"], &policies));
    }
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        if !(1..=65_535).contains(&port["containerPort"].as_i64().unwrap_or(0)) {
            let path = format!("{path}.ports[{index}].containerPort");
            errors.push(FieldError::invalid(path, &port["containerPort"], "must be between 1 and 65535, inclusive"));
        }
    }
    for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        if variable["name"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{path}.env[{index}].name"), ""));
        }
    }
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        if !volumes.contains(mount["name"].as_str().unwrap_or_default()) {
            errors.push(FieldError::not_found(format!("{path}.name"), &mount["name"]));
        }
        if mount["mountPath"].as_str().is_none_or(str::is_empty) {
            errors.push(FieldError::required(format!("{path}.mountPath"), ""));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        check_probe(&container[probe], &format!("{path}.{probe}"), probe != "readinessProbe", errors);
    }
}

fn check_probe(probe: &Value, path: &str, succeeds_once: bool, errors: &mut Vec<FieldError>) {
    if !probe.is_object() {
        return;
    }
    let actions = ["exec", "httpGet", "tcpSocket", "grpc"].into_iter().filter(|action| probe[*action].is_object());
    match actions.count() {
        0 => errors.push(FieldError::required(path, "must specify a handler type")),
        1 => {}
        _ => errors.push(FieldError::forbidden(path, "may not specify more than 1 handler type")),
    }
    if succeeds_once && probe["successThreshold"].as_i64().is_some_and(|threshold| threshold != 1) {
        errors.push(FieldError::invalid(format!("{path}.successThreshold"), &probe["successThreshold"], "must be 1"));
    }
}

/// What a pod's specification may still change once it exists.
pub(super) fn check_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mutable = ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates"];
    let frozen = |pod: &Value| {
        let mut spec = pod["spec"].clone();
        if let Some(spec) = spec.as_object_mut() {
            mutable.iter().for_each(|field| drop(spec.remove(*field)));
        }
        for field in ["initContainers", "containers"] {
            for container in spec[field].as_array_mut().into_iter().flatten() {
                container["image"] = Value::Null;
            }
        }
        spec
    };
    if frozen(old) == frozen(new) {
        return Vec::new();
    }
    let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
    vec![FieldError::forbidden("spec", detail)]
}
