//! JSON Patch (RFC 6902), with the liberties that the real API server's library takes: testing an absent member for
//! `null` succeeds, which is how controllers say "not there yet", and replacing one adds it.

use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::Value;

use super::super::error::{ApiError, ApiResult};

/// A patch longer than this is refused, as by the real server.
const MAX_OPERATIONS: usize = 10_000;

/// Applies `patch`, a list of operations, to a copy of `document`.
pub(crate) fn apply(document: &Value, patch: &Value) -> ApiResult<Value> {
    let Patch(operations) = serde_json::from_value(patch.clone())
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if operations.len() > MAX_OPERATIONS {
        return Err(ApiError::body_too_large(MAX_OPERATIONS));
    }
    let mut patched = document.clone();
    for operation in operations {
        if is_test_for_absence(&operation) && document_lacks(&patched, operation.path().as_str()) {
            continue;
        }
        let operation = add_if_absent(&patched, operation);
        json_patch::patch(&mut patched, std::slice::from_ref(&operation))
            .map_err(|error| ApiError::unprocessable(error.to_string()))?;
    }
    Ok(patched)
}

/// Replacing an absent member adds it, as the real server's library does.
fn add_if_absent(document: &Value, operation: PatchOperation) -> PatchOperation {
    match operation {
        PatchOperation::Replace(replace) if document_lacks(document, replace.path.as_str()) => {
            PatchOperation::Add(AddOperation { path: replace.path, value: replace.value })
        }
        other => other,
    }
}

fn is_test_for_absence(operation: &PatchOperation) -> bool {
    matches!(operation, PatchOperation::Test(test) if test.value.is_null())
}

fn document_lacks(document: &Value, pointer: &str) -> bool {
    document.pointer(pointer).is_none()
}
