//! The columns of volumes, claims and storage classes.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::columns::{AGE, NAME, View, at, joined, list, name, text_or};

pub(super) fn of_claim() -> View {
    View { headings: CLAIM, cells: claim }
}

pub(super) fn of_volume() -> View {
    View { headings: VOLUME, cells: volume }
}

pub(super) fn of_class() -> View {
    View { headings: CLASS, cells: class }
}

const VOLUME: &[(&str, &str, i64)] = &[
    NAME,
    ("Capacity", "string", 0),
    ("Access Modes", "string", 0),
    ("Reclaim Policy", "string", 0),
    ("Status", "string", 0),
    ("Claim", "string", 0),
    ("StorageClass", "string", 0),
    ("VolumeAttributesClass", "string", 0),
    ("Reason", "string", 0),
    AGE,
    ("VolumeMode", "string", 1),
];
const CLAIM: &[(&str, &str, i64)] = &[
    NAME,
    ("Status", "string", 0),
    ("Volume", "string", 0),
    ("Capacity", "string", 0),
    ("Access Modes", "string", 0),
    ("StorageClass", "string", 0),
    ("VolumeAttributesClass", "string", 0),
    AGE,
    ("VolumeMode", "string", 1),
];
const CLASS: &[(&str, &str, i64)] = &[
    NAME,
    ("Provisioner", "string", 0),
    ("ReclaimPolicy", "string", 0),
    ("VolumeBindingMode", "string", 0),
    ("AllowVolumeExpansion", "string", 0),
    AGE,
];

/// Access modes as people write them.
fn modes(value: &Value) -> Value {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO".to_owned(),
        "ReadOnlyMany" => "ROX".to_owned(),
        "ReadWriteMany" => "RWX".to_owned(),
        "ReadWriteOncePod" => "RWOP".to_owned(),
        other => other.to_owned(),
    };
    joined(list(value).filter_map(Value::as_str).map(short)).into()
}

fn phase(o: &Value) -> Value {
    if o["metadata"]["deletionTimestamp"].is_null() { at(o, "status.phase") } else { "Terminating".into() }
}

fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(o),
        phase(o),
        text_or(&at(o, "spec.volumeName"), ""),
        text_or(&at(o, "status.capacity.storage"), ""),
        modes(&o["status"]["accessModes"]),
        text_or(&at(o, "spec.storageClassName"), ""),
        text_or(&at(o, "spec.volumeAttributesClassName"), "<unset>"),
        age::of(o, now),
        text_or(&at(o, "spec.volumeMode"), "<unset>"),
    ]
}

fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
    let claim = &o["spec"]["claimRef"];
    let part = |field: &str| claim[field].as_str().unwrap_or_default();
    let claim = if claim.is_object() { format!("{}/{}", part("namespace"), part("name")) } else { String::new() };
    vec![
        name(o),
        text_or(&at(o, "spec.capacity.storage"), "0"),
        modes(&o["spec"]["accessModes"]),
        text_or(&at(o, "spec.persistentVolumeReclaimPolicy"), ""),
        phase(o),
        claim.into(),
        text_or(&at(o, "spec.storageClassName"), ""),
        text_or(&at(o, "spec.volumeAttributesClassName"), "<unset>"),
        text_or(&at(o, "status.reason"), ""),
        age::of(o, now),
        text_or(&at(o, "spec.volumeMode"), "<unset>"),
    ]
}

fn class(o: &Value, now: Timestamp) -> Vec<Value> {
    let is_default = o["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true";
    let shown = name(o).as_str().map(|name| if is_default { format!("{name} (default)") } else { name.to_owned() });
    vec![
        shown.into(),
        text_or(&at(o, "provisioner"), ""),
        text_or(&at(o, "reclaimPolicy"), ""),
        text_or(&at(o, "volumeBindingMode"), ""),
        (o["allowVolumeExpansion"] == true).into(),
        age::of(o, now),
    ]
}
