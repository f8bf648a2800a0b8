//! What the server fills in for fields that a client leaves out. Only defaults that users or controllers can notice.

mod pod;
mod workload;

use serde_json::{Map, Value, json};

use super::crd;
use super::registry::{Origin, ResourceType};

pub(crate) use workload::TEMPLATE_GENERATION;

/// Fills in the defaults of an object of `ty`.
pub(crate) fn apply(ty: &ResourceType, object: &mut Value) {
    if let Origin::Custom(custom) = &ty.origin {
        if let Some(schema) = custom.schema(&ty.version) {
            crd::apply_defaults(schema, object);
        }
        return;
    }
    if ty.has_subresource("status") {
        set(object, "status", Value::Object(Map::new()));
    }
    match (ty.group.as_str(), ty.kind.as_str()) {
        ("", "Pod") => pod::pod(object),
        ("", "Namespace") => namespace(object),
        ("", "Service") => service(object),
        ("", "Secret") => secret(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "PersistentVolume") => volume(object),
        ("apps", "Deployment") => workload::deployment(object),
        ("apps", "ReplicaSet") => workload::replica_set(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("apps", "DaemonSet") => workload::daemon_set(object),
        ("batch", "Job") => workload::job(object),
        ("batch", "CronJob") => workload::cron_job(object),
        ("policy", "PodDisruptionBudget") => {
            for counter in ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"] {
                set(field(object, "status"), counter, 0);
            }
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(object),
        ("scheduling.k8s.io", "PriorityClass") => set(object, "preemptionPolicy", "PreemptLowerPriority"),
        ("storage.k8s.io", "StorageClass") => {
            set(object, "reclaimPolicy", "Delete");
            set(object, "volumeBindingMode", "Immediate");
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => {
            set(field(object, "spec"), "failurePolicy", "Fail");
        }
        _ => {}
    }
}

/// Sets a field that is absent (or null).
pub(super) fn set(object: &mut Value, name: &str, default: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        let value = object.entry(name).or_insert(Value::Null);
        if value.is_null() {
            *value = default.into();
        }
    }
}

/// A field that is an object, made if absent.
pub(super) fn field<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    set(object, name, Value::Object(Map::new()));
    &mut object[name]
}

/// The items of a list field, if it is there.
pub(super) fn items<'a>(object: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten()
}

fn namespace(object: &mut Value) {
    set(field(object, "spec"), "finalizers", json!(["kubernetes"]));
    set(field(object, "status"), "phase", "Active");
    let name = object["metadata"]["name"].clone();
    field(&mut object["metadata"], "labels")["kubernetes.io/metadata.name"] = name;
}

fn service(object: &mut Value) {
    set(field(object, "status"), "loadBalancer", json!({}));
    let spec = field(object, "spec");
    set(spec, "type", "ClusterIP");
    set(spec, "sessionAffinity", "None");
    if spec["type"] != "ExternalName" {
        set(spec, "internalTrafficPolicy", "Cluster");
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", "SingleStack");
        if spec["clusterIP"] == "None" {
            set(spec, "clusterIPs", json!(["None"]));
        }
    }
    for port in items(spec, "ports") {
        set(port, "protocol", "TCP");
        let number = port["port"].clone();
        set(port, "targetPort", number);
    }
}

fn secret(object: &mut Value) {
    set(object, "type", "Opaque");
    let Some(plain) = object.as_object_mut().and_then(|object| object.remove("stringData")) else { return };
    let data = field(object, "data");
    for (key, text) in plain.as_object().into_iter().flatten() {
        let encoded = k8s_openapi::ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        data[key] = serde_json::to_value(encoded).unwrap_or(Value::Null);
    }
}

fn claim(object: &mut Value) {
    set(field(object, "spec"), "volumeMode", "Filesystem");
    set(field(object, "status"), "phase", "Pending");
}

fn volume(object: &mut Value) {
    let created = object["metadata"]["creationTimestamp"].clone();
    let spec = field(object, "spec");
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    set(spec, "volumeMode", "Filesystem");
    let status = field(object, "status");
    set(status, "phase", "Pending");
    set(status, "lastPhaseTransitionTime", created);
}

fn binding(object: &mut Value) {
    set(field(object, "roleRef"), "apiGroup", "rbac.authorization.k8s.io");
    for subject in items(object, "subjects") {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            set(subject, "apiGroup", "rbac.authorization.k8s.io");
        }
    }
}
