//! Defaults of Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs.

use serde_json::Value;

use super::{field, items, pod, set};

/// How often the template of a DaemonSet has changed. It is a field no more, and an annotation since.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template(spec: &mut Value) {
    pod::pod_spec(field(field(spec, "template"), "spec"));
}

pub(super) fn deployment(object: &mut Value) {
    let spec = field(object, "spec");
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    let strategy = field(spec, "strategy");
    set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = field(strategy, "rollingUpdate");
        set(rolling, "maxUnavailable", "25%");
        set(rolling, "maxSurge", "25%");
    }
    template(spec);
}

pub(super) fn replica_set(object: &mut Value) {
    let spec = field(object, "spec");
    set(spec, "replicas", 1);
    template(spec);
    set(field(object, "status"), "replicas", 0);
}

pub(super) fn stateful_set(object: &mut Value) {
    let spec = field(object, "spec");
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "podManagementPolicy", "OrderedReady");
    let retention = field(spec, "persistentVolumeClaimRetentionPolicy");
    set(retention, "whenDeleted", "Retain");
    set(retention, "whenScaled", "Retain");
    let strategy = field(spec, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set(field(strategy, "rollingUpdate"), "partition", 0);
    }
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
        set(field(claim, "spec"), "volumeMode", "Filesystem");
        set(field(claim, "status"), "phase", "Pending");
    }
    template(spec);
    let status = field(object, "status");
    set(status, "replicas", 0);
    set(status, "availableReplicas", 0);
}

pub(super) fn daemon_set(object: &mut Value) {
    let spec = field(object, "spec");
    set(spec, "revisionHistoryLimit", 10);
    let strategy = field(spec, "updateStrategy");
    set(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = field(strategy, "rollingUpdate");
        set(rolling, "maxUnavailable", 1);
        set(rolling, "maxSurge", 0);
    }
    template(spec);
    let status = field(object, "status");
    for counter in ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"] {
        set(status, counter, 0);
    }
    let annotations = field(field(object, "metadata"), "annotations");
    let counts = annotations[TEMPLATE_GENERATION].as_str().and_then(|text| text.parse::<i64>().ok());
    if counts.is_none_or(|count| count < 1) {
        annotations[TEMPLATE_GENERATION] = "1".into();
    }
}

pub(super) fn job(object: &mut Value) {
    job_spec(field(object, "spec"));
    // Unless asked not to, the server makes the selector of a new Job, so that no two can claim the same pods.
    let is_new = object["metadata"]["resourceVersion"].is_null() && object["metadata"]["uid"].is_string();
    if is_new && object["spec"]["manualSelector"] != true {
        select_own_pods(object);
    }
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    let has_own = object["metadata"]["labels"].as_object().is_some_and(|labels| !labels.is_empty());
    if labels.is_object() && !has_own {
        object["metadata"]["labels"] = labels;
    }
}

fn select_own_pods(job: &mut Value) {
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    let spec = field(job, "spec");
    let labels = field(field(field(spec, "template"), "metadata"), "labels");
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        set(labels, key, value.clone());
    }
    // A selector that the client sent as well gets it too, and is refused then.
    set(field(field(spec, "selector"), "matchLabels"), "batch.kubernetes.io/controller-uid", uid);
}

fn job_spec(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    let retries = if spec["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
    set(spec, "backoffLimit", retries);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    let replaced = if spec["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
    set(spec, "podReplacementPolicy", replaced);
    template(spec);
}

pub(super) fn cron_job(object: &mut Value) {
    let spec = field(object, "spec");
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    pod::pod_spec(field(field(field(field(spec, "jobTemplate"), "spec"), "template"), "spec"));
}
