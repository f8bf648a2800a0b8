//! Rules of Jobs and CronJobs.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::error::FieldError;
use super::{check_selector, names, pod, schedule};
use crate::store::selector::LabelSelector;

/// The controller adds a time to the name for each Job.
const CRON_JOB_NAME_MAX: usize = 52;

/// Checks a Job that has its defaults.
pub(super) fn check_job(job: &Value, errors: &mut Vec<FieldError>) {
    let spec = &job["spec"];
    check_generated_selector(job, errors);
    check_job_spec(spec, "spec", errors);
    let selector = &spec["selector"];
    if !selector.is_object() {
        errors.push(FieldError::required("spec.selector", ""));
    }
    check_selector(selector, "spec.selector", errors);
    let labels = &spec["template"]["metadata"]["labels"];
    // No selector selects nothing.
    let selects = LabelSelector::from_object(selector).ok().flatten().is_some_and(|selector| selector.matches(labels));
    if !selects {
        let detail = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid("spec.template.metadata.labels", labels, detail));
    }
}

/// Who lets the server choose the selector may not choose it as well, nor the labels that it selects by.
fn check_generated_selector(job: &Value, errors: &mut Vec<FieldError>) {
    let (spec, metadata) = (&job["spec"], &job["metadata"]);
    if spec["manualSelector"] == true || !spec["selector"].is_object() {
        return;
    }
    let expected = json!({
        "batch.kubernetes.io/controller-uid": metadata["uid"],
        "batch.kubernetes.io/job-name": metadata["name"],
        "controller-uid": metadata["uid"],
        "job-name": metadata["name"],
    });
    let labels = &spec["template"]["metadata"]["labels"];
    for (key, value) in expected.as_object().into_iter().flatten() {
        let field = format!("spec.template.metadata.labels[{key}]");
        let detail = format!("must be '{}'", value.as_str().unwrap_or_default());
        match labels.get(key) {
            None => errors.push(FieldError::required(field, &detail)),
            Some(found) if found != value => errors.push(FieldError::invalid(field, labels, &detail)),
            Some(_) => {}
        }
    }
    let selector = LabelSelector::from_object(&spec["selector"]).ok().flatten();
    if selector.is_some_and(|selector| !selector.matches(&expected)) {
        errors.push(FieldError::invalid("spec.selector", &spec["selector"], "`selector` not auto-generated"));
    }
}

fn check_job_spec(spec: &Value, path: &str, errors: &mut Vec<FieldError>) {
    check_counts(
        spec,
        path,
        &[
            "parallelism",
            "completions",
            "activeDeadlineSeconds",
            "backoffLimit",
            "ttlSecondsAfterFinished",
            "backoffLimitPerIndex",
        ],
        errors,
    );
    let modes = ["NonIndexed", "Indexed"];
    let mode = &spec["completionMode"];
    if !mode.is_null() && !modes.iter().any(|known| mode == known) {
        errors.push(FieldError::not_supported(format!("{path}.completionMode"), mode, &modes));
    }
    if mode == "Indexed" && spec["completions"].is_null() {
        errors.push(FieldError::required(format!("{path}.completions"), "when completion mode is Indexed"));
    }
    if mode != "Indexed" && !spec["backoffLimitPerIndex"].is_null() {
        let field = format!("{path}.backoffLimitPerIndex");
        errors.push(FieldError::invalid(field, &spec["backoffLimitPerIndex"], "requires indexed completion mode"));
    }
    let policies: &[&str] =
        if spec["podFailurePolicy"].is_null() { &["Failed", "TerminatingOrFailed"] } else { &["Failed"] };
    let policy = &spec["podReplacementPolicy"];
    if !policy.is_null() && !policies.iter().any(|known| policy == known) {
        errors.push(FieldError::not_supported(format!("{path}.podReplacementPolicy"), policy, policies));
    }
    let template = &spec["template"];
    names::check_labels(&template["metadata"]["labels"], &format!("{path}.template.metadata.labels"), errors);
    let path = format!("{path}.template.spec");
    pod::check_spec(&template["spec"], &path, errors);
    // A Job's pods end, so they may not always be restarted; that is what a template says that says nothing.
    if template["spec"]["restartPolicy"] == "Always" {
        let detail = "valid values: \"OnFailure\", \"Never\"";
        errors.push(FieldError::required(format!("{path}.restartPolicy"), detail));
    }
}

fn check_counts(spec: &Value, path: &str, fields: &[&str], errors: &mut Vec<FieldError>) {
    for field in fields {
        if spec[*field].as_i64().is_some_and(|count| count < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(format!("{path}.{field}"), &spec[*field], detail));
        }
    }
}

/// What never changes of a Job that exists.
pub(super) fn check_job_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (old, new) = (&old["spec"], &new["spec"]);
    // The completions of one that gives its pods numbers follow its parallelism, where they are the same.
    let scales = new["completionMode"] == "Indexed" && new["completions"] == new["parallelism"];
    let fields = [
        "completions",
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ];
    let changed = fields.into_iter().filter(|field| old[*field] != new[*field] && !(scales && *field == "completions"));
    let mut errors: Vec<_> =
        changed.map(|field| FieldError::invalid(format!("spec.{field}"), &new[field], "field is immutable")).collect();
    errors.extend(template_changed(old, new));
    errors
}

/// The template of a Job never changes; of one that is suspended what its pods ask for and where they go may.
fn template_changed(old: &Value, new: &Value) -> Option<FieldError> {
    let (before, after) = (&old["template"], &new["template"]);
    if old["suspend"] != true {
        let changed = before != after;
        return changed.then(|| FieldError::invalid("spec.template", after, "field is immutable"));
    }
    let changed = fixed(&before["spec"]) != fixed(&after["spec"]);
    changed.then(|| FieldError::invalid("spec.template.spec", &after["spec"], "field is immutable"))
}

/// What stays of the pods of a suspended Job.
fn fixed(pod_spec: &Value) -> Value {
    let mut fixed = pod_spec.clone();
    for name in ["containers", "initContainers"] {
        for container in fixed.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            container.as_object_mut().map(|container| container.remove("resources"));
        }
    }
    if let Some(fields) = fixed.as_object_mut() {
        for name in ["nodeSelector", "tolerations", "schedulingGates"] {
            fields.remove(name);
        }
        fields.get_mut("affinity").and_then(Value::as_object_mut).map(|affinity| affinity.remove("nodeAffinity"));
        // An affinity to nodes alone may come and go.
        fields
            .retain(|name, value| name != "affinity" || value.as_object().is_some_and(|affinity| !affinity.is_empty()));
    }
    fixed
}

/// Checks a CronJob that has its defaults.
pub(super) fn check_cron_job(cron_job: &Value, errors: &mut Vec<FieldError>) {
    let spec = &cron_job["spec"];
    match spec["schedule"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required("spec.schedule", "")),
        text => {
            let zone = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            let problem = schedule::problem(text).or_else(|| text.contains("TZ").then(|| zone.to_owned()));
            errors.extend(problem.map(|detail| FieldError::invalid("spec.schedule", &spec["schedule"], &detail)));
        }
    }
    if let Some(zone) = spec["timeZone"].as_str()
        && TimeZone::get(zone).is_err()
    {
        let detail = format!("unknown time zone {zone}");
        errors.push(FieldError::invalid("spec.timeZone", &spec["timeZone"], &detail));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    if !policies.iter().any(|policy| spec["concurrencyPolicy"] == *policy) {
        errors.push(FieldError::not_supported("spec.concurrencyPolicy", &spec["concurrencyPolicy"], &policies));
    }
    let limits = ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
    check_counts(spec, "spec", &limits, errors);
    let template = &spec["jobTemplate"]["spec"];
    check_job_spec(template, "spec.jobTemplate.spec", errors);
    if template["selector"].is_object() {
        let field = "spec.jobTemplate.spec.selector";
        errors.push(FieldError::invalid(field, &template["selector"], "`selector` will be auto-generated"));
    }
}

/// The name of a new CronJob leaves room for what the names of its Jobs add.
pub(super) fn check_cron_job_name(cron_job: &Value) -> Option<FieldError> {
    let name = &cron_job["metadata"]["name"];
    let is_long = name.as_str().is_some_and(|name| name.len() > CRON_JOB_NAME_MAX);
    is_long.then(|| FieldError::invalid("metadata.name", name, "must be no more than 52 characters"))
}
