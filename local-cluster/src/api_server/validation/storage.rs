//! Rules of claims and volumes.

use serde_json::Value;

use super::super::error::FieldError;
use super::super::registry::ResourceType;

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
/// What a volume's specification says besides where the volume is.
const NO_SOURCE: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// Checks a claim that has its defaults.
pub(super) fn check_claim(spec: &Value, errors: &mut Vec<FieldError>) {
    check_modes(&spec["accessModes"], "at least 1 access mode is required", errors);
    if spec["resources"]["requests"]["storage"].is_null() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    check_volume_mode(spec, errors);
}

/// Checks a volume that has its defaults.
pub(super) fn check_volume(spec: &Value, errors: &mut Vec<FieldError>) {
    check_modes(&spec["accessModes"], "", errors);
    let capacity = &spec["capacity"];
    let sizes = capacity.as_object().map_or(0, serde_json::Map::len);
    if sizes == 0 {
        errors.push(FieldError::required("spec.capacity", ""));
    }
    if sizes != 1 || capacity["storage"].is_null() {
        errors.push(FieldError::not_supported("spec.capacity", capacity, &["storage"]));
    }
    if source(spec).is_empty() {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
    let policies = ["Delete", "Recycle", "Retain"];
    let policy = &spec["persistentVolumeReclaimPolicy"];
    if !policies.iter().any(|known| policy == known) {
        errors.push(FieldError::not_supported("spec.persistentVolumeReclaimPolicy", policy, &policies));
    }
    check_volume_mode(spec, errors);
}

fn check_modes(modes: &Value, required: &str, errors: &mut Vec<FieldError>) {
    let modes: Vec<&Value> = modes.as_array().into_iter().flatten().collect();
    if modes.is_empty() {
        errors.push(FieldError::required("spec.accessModes", required));
    }
    for mode in modes.iter().filter(|mode| !MODES.iter().any(|known| **mode == known)) {
        errors.push(FieldError::not_supported("spec.accessModes", mode, &MODES));
    }
    let alone = modes.iter().filter(|mode| **mode == "ReadWriteOncePod").count();
    if alone > 0 && alone < modes.len() {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden("spec.accessModes", detail));
    }
}

fn check_volume_mode(spec: &Value, errors: &mut Vec<FieldError>) {
    let (mode, modes) = (&spec["volumeMode"], ["Block", "Filesystem"]);
    if !mode.is_null() && !modes.iter().any(|known| mode == known) {
        errors.push(FieldError::not_supported("spec.volumeMode", mode, &modes));
    }
}

/// Where a volume is: what its specification says besides all else.
fn source(spec: &Value) -> Vec<(&String, &Value)> {
    let fields = spec.as_object().into_iter().flatten();
    fields.filter(|(field, _)| !NO_SOURCE.contains(&field.as_str())).collect()
}

/// What is wrong with a change of one of these kinds.
pub(super) fn check_update(ty: &ResourceType, old: &Value, new: &Value) -> Vec<FieldError> {
    if ty.is("", "PersistentVolumeClaim") {
        return check_claim_update(old, new);
    }
    if ty.is("", "PersistentVolume") {
        return check_volume_update(&old["spec"], &new["spec"]);
    }
    Vec::new()
}

/// A claim gets its volume once, and its class if it had none; only a bound one may ask for more.
fn check_claim_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let frozen = |object: &Value| {
        let mut spec = object["spec"].clone();
        if let Some(fields) = spec.as_object_mut() {
            for given_once in ["volumeName", "storageClassName"] {
                if old["spec"][given_once].is_null() {
                    fields.remove(given_once);
                }
            }
        }
        if new["status"]["phase"] == "Bound" {
            for (of, field) in [("", "volumeAttributesClassName"), ("/resources/requests", "storage")] {
                if let Some(fields) = spec.pointer_mut(of).and_then(Value::as_object_mut) {
                    fields.remove(field);
                }
            }
        }
        spec
    };
    let mut errors = Vec::new();
    if frozen(old) != frozen(new) {
        let detail =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", detail));
    }
    errors.extend(check_same(&old["spec"], &new["spec"], &["volumeMode"]));
    errors
}

fn check_volume_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if source(old) != source(new) {
        let detail = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", detail));
    }
    errors.extend(check_same(old, new, &["volumeMode"]));
    if !old["nodeAffinity"].is_null() {
        errors.extend(check_same(old, new, &["nodeAffinity"]));
    }
    errors
}

/// Fields that never change, named as the real server names them: without what they stand in.
fn check_same(old: &Value, new: &Value, fields: &[&str]) -> Vec<FieldError> {
    let changed = fields.iter().filter(|field| old[**field] != new[**field]);
    changed.map(|field| FieldError::invalid(*field, &new[*field], "field is immutable")).collect()
}
