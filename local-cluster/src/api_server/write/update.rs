//! `PUT` and `PATCH`: one way for both, a function from the old object to the new one.

use std::sync::Arc;

use serde_json::Value;

use super::super::decode::decode_object;
use super::super::error::{ApiError, ApiResult, FieldError};
use super::super::patch::managed::{self, Writer};
use super::super::registry::{Origin, ResourceType};
use super::super::request::Part;
use super::super::{crd, defaults, validation};
use super::{Address, Admission, FieldValidation, Transaction, WriteOptions, Written, admission, metadata};
use crate::store::Object;

/// How the new object came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The client sent it whole.
    Put,
    /// The client sent a difference.
    Patch,
    /// Server-side apply, which keeps the books of field ownership itself.
    Apply,
}

/// Changes one part of an object by `transform`, which gets the current object and gives the wanted one.
pub(crate) fn update(
    transaction: &mut Transaction<'_>,
    address: &Address,
    options: &WriteOptions,
    change: Change,
    transform: impl FnOnce(&Value) -> ApiResult<Value>,
) -> ApiResult<Written> {
    let ty = &*address.ty;
    let current = transaction.get(ty, &address.key)?;
    let old = served(ty, &current);
    let wanted = transform(&old)?;
    check_preconditions(ty, &old, &wanted, change)?;
    let decoded = decode_object(ty, wanted, options.field_validation).map_err(|error| match change {
        Change::Patch if options.field_validation == FieldValidation::Strict => {
            error.as_invalid_patch(&ty.group, &ty.kind, &address.key.name)
        }
        _ => error,
    })?;
    let (mut new, warnings) = (decoded.value, decoded.warnings);
    metadata::keep_identity(&old, &mut new)?;
    keep_other_parts(address, &old, &mut new);
    defaults::apply(ty, &mut new);
    metadata::count_templates(ty, &old, &mut new);
    let mut errors = metadata::check_identity(&old, &new);
    if address.part == Part::Whole {
        errors.extend(validation::check_update(ty, &old, &new));
    }
    errors.extend(crd::check_update(ty, &old, &new, address.part));
    if !errors.is_empty() {
        return Err(ApiError::invalid(&ty.group, &ty.kind, &address.key.name, &errors));
    }
    admission::admit_update(transaction, ty, &old, &mut new)?;
    transaction.admit(&Admission {
        operation: "UPDATE",
        ty,
        subresource: part_name(address.part),
        key: &address.key,
        object: &new,
        old: &old,
        options: &Value::Null,
    })?;
    crd::complete_definition(transaction, ty, &mut new);
    if change != Change::Apply {
        managed::track(Some(&old), &mut new, &Writer::new(ty, options, part_name(address.part), transaction.now));
    }
    metadata::count_generation(ty, &old, &mut new)?;
    if metadata::is_same(&old, &new) {
        return Ok(Written { object: current, created: false, warnings });
    }
    let object = transaction.put(ty, address.key.clone(), new)?;
    if is_finished(ty, object.value()) {
        transaction.remove(ty, &object)?;
    }
    Ok(Written { object, created: false, warnings })
}

/// The part as a subresource, none for the whole.
const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Whole => "",
        Part::Status => "status",
        Part::Scale => "scale",
    }
}

/// The stored object in the version that the request speaks.
fn served(ty: &ResourceType, current: &Arc<Object>) -> Value {
    super::super::respond::convert(ty, current.value()).into_owned()
}

fn check_preconditions(ty: &ResourceType, old: &Value, wanted: &Value, change: Change) -> ApiResult<()> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    if change != Change::Put {
        check_patched_identity(ty, old, wanted)?;
    }
    let uid = wanted["metadata"]["uid"].as_str().unwrap_or_default();
    let own_uid = old["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && uid != own_uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own_uid}");
        return Err(ApiError::conflict(&ty.group_resource(), name, &why));
    }
    let revision = wanted["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if revision.is_empty() || revision == "0" {
        return if change == Change::Put && needs_revision(ty) {
            let missing = FieldError::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
            Err(ApiError::invalid(&ty.group, &ty.kind, name, &[missing]))
        } else {
            Ok(())
        };
    }
    if old["metadata"]["resourceVersion"].as_str() == Some(revision) {
        Ok(())
    } else {
        Err(ApiError::modified(&ty.group_resource(), name))
    }
}

/// A patch may name the object that it is for, but not make it another one.
fn check_patched_identity(ty: &ResourceType, old: &Value, wanted: &Value) -> ApiResult<()> {
    let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    for field in ["name", "namespace"] {
        let (own, given) = (text(old, field), text(wanted, field));
        if own != given {
            return Err(ApiError::bad_request(format!(
                "the {field} of the object ({given}) does not match the {field} on the URL ({own})"
            )));
        }
    }
    if text(old, "uid") == text(wanted, "uid") || text(wanted, "uid").is_empty() {
        return Ok(());
    }
    let changed = FieldError::invalid("metadata.uid", &wanted["metadata"]["uid"], "field is immutable");
    Err(ApiError::invalid(&ty.group, &ty.kind, &text(old, "name"), &[changed]))
}

/// Kinds that refuse a `PUT` without a resourceVersion.
fn needs_revision(ty: &ResourceType) -> bool {
    matches!(ty.origin, Origin::Custom(_))
        || ty.is("policy", "PodDisruptionBudget")
        || ty.is("coordination.k8s.io", "Lease")
        || ty.is("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// Lets a write of the status touch nothing else, and a write of the object leave the status alone.
fn keep_other_parts(address: &Address, old: &Value, new: &mut Value) {
    let ty = &*address.ty;
    match address.part {
        Part::Whole | Part::Scale => {
            if ty.has_subresource("status") {
                copy(old, new, "status");
            }
        }
        Part::Status => {
            let status = new.get("status").cloned();
            let metadata = new["metadata"].clone();
            *new = old.clone();
            match (status, new.as_object_mut()) {
                (Some(status), Some(object)) => object.insert("status".to_owned(), status),
                (None, Some(object)) => object.remove("status"),
                (_, None) => None,
            };
            // A kubelet writes annotations and labels of its node and its pods together with their status.
            let keeps_labels = ty.is("", "Pod") || ty.is("", "Node");
            let kept: &[&str] =
                if keeps_labels { &["labels", "annotations", "managedFields"] } else { &["managedFields"] };
            for field in kept {
                copy(&metadata, &mut new["metadata"], field);
            }
        }
    }
}

fn copy(from: &Value, to: &mut Value, field: &str) {
    let Some(to) = to.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => to.insert(field.to_owned(), value.clone()),
        None => to.remove(field),
    };
}

/// Whether an object being deleted has nothing left to wait for.
pub(super) fn is_finished(ty: &ResourceType, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let waits_for_kubelet = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    let waits_for_content = ty.is("", "Namespace") && !metadata::strings(&object["spec"]["finalizers"]).is_empty();
    !metadata["deletionTimestamp"].is_null()
        && metadata::strings(&metadata["finalizers"]).is_empty()
        && !waits_for_kubelet
        && !waits_for_content
}
