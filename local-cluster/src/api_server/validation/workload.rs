//! Rules of Deployments, ReplicaSets, StatefulSets and DaemonSets.

use serde_json::{Map, Value, json};

use super::super::error::FieldError;
use super::{check_selector, pod};
use crate::store::selector::LabelSelector;

/// Checks a workload that has its defaults.
pub(super) fn check(kind: &str, object: &Value, errors: &mut Vec<FieldError>) {
    let spec = &object["spec"];
    if let Some(replicas) = spec["replicas"].as_i64().filter(|replicas| *replicas < 0) {
        errors.push(FieldError::invalid("spec.replicas", &replicas.into(), "must be greater than or equal to 0"));
    }
    let selector = &spec["selector"];
    let is_empty = |field: &str| match &selector[field] {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => true,
    };
    let is_missing = selector.as_object().is_none_or(Map::is_empty);
    // Of a DaemonSet the real server says only that a selector that is not there selects nothing.
    if is_missing && kind != "DaemonSet" {
        errors.push(FieldError::required("spec.selector", ""));
    } else if !is_missing && is_empty("matchLabels") && is_empty("matchExpressions") {
        let detail = format!("empty selector is invalid for {}", kind.to_lowercase());
        errors.push(FieldError::invalid("spec.selector", selector, &detail));
    }
    check_selector(selector, "spec.selector", errors);
    let template = &spec["template"];
    let labels = &template["metadata"]["labels"];
    let selects = LabelSelector::from_object(selector).ok().flatten().is_none_or(|selector| selector.matches(labels));
    if !selects || (is_missing && kind == "DaemonSet") {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels, detail));
    }
    super::names::check_labels(labels, "spec.template.metadata.labels", errors);
    pod::check_spec(&with_claims(spec), "spec.template.spec", errors);
    if template["spec"]["restartPolicy"] != "Always" {
        let policy = &template["spec"]["restartPolicy"];
        errors.push(FieldError::not_supported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
    match kind {
        "Deployment" => check_strategy(&spec["strategy"], errors),
        "DaemonSet" => check_daemon_strategy(&spec["updateStrategy"], errors),
        "StatefulSet" => check_ordered(spec, errors),
        _ => {}
    }
}

/// A DaemonSet replaces its pods either after the old ones are gone, or before.
fn check_daemon_strategy(strategy: &Value, errors: &mut Vec<FieldError>) {
    if strategy["type"] == "OnDelete" {
        return;
    }
    if strategy["type"] != "RollingUpdate" {
        let kinds = ["RollingUpdate", "OnDelete"];
        errors.push(FieldError::not_supported("spec.updateStrategy", strategy, &kinds));
        return;
    }
    let rolling = &strategy["rollingUpdate"];
    let path = |field: &str| format!("spec.updateStrategy.rollingUpdate.{field}");
    for field in ["maxUnavailable", "maxSurge"] {
        check_count_or_percent(&rolling[field], &path(field), false, errors);
    }
    let is_zero = |field: &str| rolling[field] == 0 || rolling[field] == "0%";
    match (is_zero("maxUnavailable"), is_zero("maxSurge")) {
        (false, false) => {
            let detail = "may not be set when maxUnavailable is non-zero";
            errors.push(FieldError::invalid(path("maxSurge"), &rolling["maxSurge"], detail));
        }
        (true, true) => {
            errors.push(FieldError::required(path("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
        }
        _ => {}
    }
}

/// How a StatefulSet makes its pods, and replaces them.
fn check_ordered(spec: &Value, errors: &mut Vec<FieldError>) {
    let policy = &spec["podManagementPolicy"];
    if policy != "OrderedReady" && policy != "Parallel" {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid("spec.podManagementPolicy", policy, detail));
    }
    let strategy = &spec["updateStrategy"];
    let rolling = &strategy["rollingUpdate"];
    match strategy["type"].as_str() {
        Some("RollingUpdate") => {
            if rolling["partition"].as_i64().is_some_and(|partition| partition < 0) {
                let path = "spec.updateStrategy.rollingUpdate.partition";
                errors.push(FieldError::invalid(path, &rolling["partition"], "must be greater than or equal to 0"));
            }
        }
        Some("OnDelete") => {
            if !rolling.is_null() {
                let detail = "only allowed for updateStrategy 'RollingUpdate'";
                errors.push(FieldError::invalid("spec.updateStrategy.rollingUpdate", rolling, detail));
            }
        }
        _ => {
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid("spec.updateStrategy", strategy, detail));
        }
    }
}

/// The template's pod specification as the pods will have it: claim templates are volumes then.
fn with_claims(spec: &Value) -> Value {
    let mut pod_spec = spec["template"]["spec"].clone();
    let claims: Vec<Value> = spec["volumeClaimTemplates"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|claim| json!({"name": claim["metadata"]["name"]}))
        .collect();
    if !claims.is_empty() && pod_spec.is_object() {
        let mut volumes = pod_spec["volumes"].as_array().cloned().unwrap_or_default();
        volumes.extend(claims);
        pod_spec["volumes"] = volumes.into();
    }
    pod_spec
}

fn check_strategy(strategy: &Value, errors: &mut Vec<FieldError>) {
    let kinds = ["Recreate", "RollingUpdate"];
    if !kinds.iter().any(|kind| strategy["type"] == *kind) {
        errors.push(FieldError::not_supported("spec.strategy.type", &strategy["type"], &kinds));
    }
    let rolling = &strategy["rollingUpdate"];
    if strategy["type"] == "Recreate" && rolling.is_object() {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        errors.push(FieldError::forbidden("spec.strategy.rollingUpdate", detail));
    }
    for field in ["maxUnavailable", "maxSurge"] {
        check_count_or_percent(
            &rolling[field],
            &format!("spec.strategy.rollingUpdate.{field}"),
            field == "maxSurge",
            errors,
        );
    }
    let is_zero = |value: &Value| *value == 0 || *value == "0%";
    if is_zero(&rolling["maxUnavailable"]) && is_zero(&rolling["maxSurge"]) {
        let path = "spec.strategy.rollingUpdate.maxUnavailable";
        errors.push(FieldError::invalid(path, &rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0"));
    }
}

/// A number of at least 0, or a percentage, which only a surge may have above 100.
pub(super) fn check_count_or_percent(value: &Value, path: &str, may_exceed_all: bool, errors: &mut Vec<FieldError>) {
    let problem = match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            "must be greater than or equal to 0"
        }
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or_default();
            let is_percent = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
            if is_percent && (may_exceed_all || digits.parse::<u32>().is_ok_and(|percent| percent <= 100)) {
                return;
            }
            if is_percent {
                errors.push(FieldError::invalid(path, value, "must not be greater than 100%"));
                return;
            }
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
        }
        _ => return,
    };
    errors.push(FieldError::invalid(path, value, problem));
}

/// What a StatefulSet's specification may still change once it exists.
pub(super) fn check_stateful_set_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mutable = [
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let frozen = |object: &Value| {
        let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
        mutable.iter().for_each(|field| drop(spec.remove(*field)));
        spec
    };
    if frozen(old) == frozen(new) {
        return Vec::new();
    }
    let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    vec![FieldError::forbidden("spec", detail)]
}
