//! `POST` to a collection.

use serde_json::Value;

use super::super::decode::decode_object;
use super::super::error::{ApiError, ApiResult, FieldError};
use super::super::patch::managed::{self, Writer};
use super::super::registry::ResourceType;
use super::super::{crd, defaults, validation};
use super::{Admission, Transaction, WriteOptions, Written, admission, metadata};
use crate::store::ObjectKey;

/// How often a generated name that is taken is replaced by another.
const NAME_ATTEMPTS: usize = 8;

/// Creates an object in `namespace` (empty when cluster-scoped).
pub(crate) fn create(
    transaction: &mut Transaction<'_>,
    ty: &ResourceType,
    namespace: &str,
    body: Value,
    options: &WriteOptions,
) -> ApiResult<Written> {
    let decoded = decode_object(ty, body, options.field_validation)?;
    let (mut object, warnings) = (decoded.value, decoded.warnings);
    check_address(ty, &object, namespace)?;
    let is_generated = object["metadata"]["name"].as_str().is_none_or(str::is_empty);
    let mut key = ObjectKey::new(namespace, &metadata::choose_name(ty, &mut object)?);
    for _ in 1..NAME_ATTEMPTS {
        if !is_generated || transaction.store.get(&ty.storage, &key).is_none() {
            break;
        }
        metadata::metadata_mut(&mut object)?.remove("name");
        key.name = metadata::choose_name(ty, &mut object)?;
    }
    metadata::fill_new(ty, &mut object, namespace, transaction.now)?;
    prepare(ty, &mut object);
    admission::admit_namespace(transaction, ty, &key)?;
    if transaction.store.get(&ty.storage, &key).is_some() {
        return Err(ApiError::already_exists(&ty.group_resource(), &key.name));
    }
    defaults::apply(ty, &mut object);
    admission::admit_new(transaction, ty, &mut object, &key)?;
    let mut errors = validation::check_new(ty, &object);
    errors.extend(crd::check_new(ty, &object));
    if !errors.is_empty() {
        return Err(ApiError::invalid(&ty.group, &ty.kind, &key.name, &errors));
    }
    transaction.admit(&Admission {
        operation: "CREATE",
        ty,
        subresource: "",
        key: &key,
        object: &object,
        old: &Value::Null,
        options: &Value::Null,
    })?;
    crd::complete_definition(transaction, ty, &mut object);
    if !options.is_apply {
        managed::track(None, &mut object, &Writer::new(ty, options, "", transaction.now));
    }
    admission::allocate_service_addresses(transaction, ty, &mut object, &key)?;
    let object = transaction.put(ty, key, object)?;
    Ok(Written { object, created: true, warnings })
}

fn check_address(ty: &ResourceType, object: &Value, namespace: &str) -> ApiResult<()> {
    let own = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if ty.namespaced && !own.is_empty() && own != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if ty.namespaced && namespace.is_empty() {
        let missing = FieldError::required("metadata.namespace", "an empty namespace may not be set during creation");
        return Err(ApiError::invalid(&ty.group, &ty.kind, "", &[missing]));
    }
    let revision = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !revision.is_empty() {
        return Err(ApiError::revision_on_create());
    }
    Ok(())
}

/// Drops what a client may not set when it creates: the status, where that is a part of its own.
fn prepare(ty: &ResourceType, object: &mut Value) {
    if ty.has_subresource("status")
        && !ty.is("", "Node")
        && let Some(object) = object.as_object_mut()
    {
        object.remove("status");
    }
}
