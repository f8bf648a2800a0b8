//! What a request does to an object within its transaction, where that is more than one write.

use serde_json::{Value, json};

use super::super::decode::applied_config;
use super::super::error::{ApiError, ApiResult};
use super::super::patch::managed::Writer;
use super::super::patch::{self, PatchKind};
use super::super::rbac;
use super::super::registry::ResourceType;
use super::super::request::Part;
use super::super::write::{Address, Change, Transaction, WriteOptions, Written, create, timestamp, update};
use crate::store::{GroupResource, ObjectKey};

/// A `PUT` of an object that is not there: some kinds it creates, as on the real server, unless it names a UID.
pub(super) fn put_missing(
    transaction: &mut Transaction<'_>,
    address: &Address,
    mut body: Value,
    options: &WriteOptions,
) -> ApiResult<Written> {
    let ty = &*address.ty;
    let uid = body["metadata"]["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
        return Err(ApiError::conflict(&ty.group_resource(), &address.key.name, &why));
    }
    let is_created = ty.is("coordination.k8s.io", "Lease")
        || ty.is("", "Endpoints")
        || ty.is("", "Service")
        || ty.is("", "Event")
        || ty.group == rbac::GROUP;
    if !is_created {
        return Err(ApiError::not_found(&ty.group_resource(), &address.key.name));
    }
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    create(transaction, ty, &address.key.namespace, body, options)
}

pub(super) fn patch_object(
    transaction: &mut Transaction<'_>,
    address: &Address,
    options: &WriteOptions,
    kind: PatchKind,
    patch: &Value,
) -> ApiResult<Written> {
    match kind {
        PatchKind::Json => {
            update(transaction, address, options, Change::Patch, |object| patch::json::apply(object, patch))
        }
        PatchKind::Merge => {
            update(transaction, address, options, Change::Patch, |object| patch::merge::apply(object, patch))
        }
        PatchKind::Strategic => update(transaction, address, options, Change::Patch, |object| {
            patch::strategic::apply(&address.ty, object, patch)
        }),
        PatchKind::Apply => apply_object(transaction, address, options, patch),
    }
}

/// Server-side apply, which makes an object that is not there.
fn apply_object(
    transaction: &mut Transaction<'_>,
    address: &Address,
    options: &WriteOptions,
    patch: &Value,
) -> ApiResult<Written> {
    let ty = &*address.ty;
    let config = applied_config(ty, patch, options.field_validation, &address.key)?;
    let subresource = if address.part == Part::Status { "status" } else { "" };
    let writer = Writer::new(ty, options, subresource, transaction.now);
    if transaction.store.get(&ty.storage, &address.key).is_none() {
        if address.part != Part::Whole {
            return Err(ApiError::not_found(&ty.group_resource(), &address.key.name));
        }
        let uid = config["metadata"]["uid"].as_str().unwrap_or_default();
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(ApiError::conflict(&ty.group_resource(), &address.key.name, &why));
        }
        let object = patch::apply::apply(None, &config, &writer, options.force)?;
        return create(transaction, ty, &address.key.namespace, object, options);
    }
    update(transaction, address, options, Change::Apply, |object| {
        patch::apply::apply(Some(object), &config, &writer, options.force)
    })
}

pub(super) fn bind_pod(
    transaction: &mut Transaction<'_>,
    ty: &ResourceType,
    key: &ObjectKey,
    node: &str,
) -> ApiResult<()> {
    let current = transaction.get(ty, key)?;
    let pod = current.value();
    let refused = |why: &str| {
        let why = format!("pod {} {why}", key.name);
        Err(ApiError::conflict(&GroupResource::new("", "pods/binding"), &key.name, &why))
    };
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        return refused("is being deleted, cannot be assigned to a host");
    }
    if let Some(other) = pod["spec"]["nodeName"].as_str().filter(|other| !other.is_empty()) {
        return refused(&format!("is already assigned to node {other:?}"));
    }
    let mut bound = pod.clone();
    bound["spec"]["nodeName"] = node.into();
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": Value::Null,
        "lastTransitionTime": timestamp(transaction.now),
    });
    let mut conditions = bound["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|existing| existing["type"] != "PodScheduled");
    conditions.push(condition);
    bound["status"]["conditions"] = conditions.into();
    transaction.put(ty, key.clone(), bound)?;
    Ok(())
}
