//! The `finalize` subresource of namespaces: how the namespace controller says that a namespace is empty.

use serde_json::Value;

use super::super::error::ApiResult;
use super::super::registry::ResourceType;
use super::{Transaction, Written, update};
use crate::store::ObjectKey;

/// Replaces `spec.finalizers`; a namespace being deleted that has none left goes.
pub(crate) fn finalize_namespace(
    transaction: &mut Transaction<'_>,
    ty: &ResourceType,
    name: &str,
    body: &Value,
) -> ApiResult<Written> {
    let key = ObjectKey::new("", name);
    let current = transaction.get(ty, &key)?;
    super::Preconditions::from_object(&body["metadata"]).check(ty, &current)?;
    let mut object = current.value().clone();
    object["spec"]["finalizers"] = body["spec"].get("finalizers").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
    let object = transaction.put(ty, key, object)?;
    if update::is_finished(ty, object.value()) {
        transaction.remove(ty, &object)?;
    }
    Ok(Written { object, created: false, warnings: Vec::new() })
}
