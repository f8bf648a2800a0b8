//! JSON Merge Patch (RFC 7386).

use serde_json::Value;

use super::super::error::{ApiError, ApiResult};

/// Applies `patch` to a copy of `document`.
pub(crate) fn apply(document: &Value, patch: &Value) -> ApiResult<Value> {
    if !patch.is_object() {
        return Err(ApiError::bad_request("error decoding patch: a merge patch must be a JSON object"));
    }
    let mut patched = document.clone();
    json_patch::merge(&mut patched, patch);
    Ok(patched)
}
