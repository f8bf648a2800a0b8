//! Defaults of Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs.

use serde_json::{Value, json};

use super::{field, items, pod, set};

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
}

pub(super) fn job(object: &mut Value) {
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let spec = field(object, "spec");
    job_spec(spec);
    // Unless asked not to, the server chooses the selector, so that no two Jobs can claim the same pods.
    if spec["manualSelector"] != true && spec["selector"].is_null() && uid.is_string() {
        spec["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
        let labels = field(field(field(spec, "template"), "metadata"), "labels");
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
            ("controller-uid", &uid),
            ("job-name", &name),
        ] {
            set(labels, key, value.clone());
        }
    }
}

fn job_spec(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    set(spec, "backoffLimit", 6);
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
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
