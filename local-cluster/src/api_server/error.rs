//! Refusals in the words of the real API server: every one becomes a `metav1.Status`.
//!
//! Clients decide by `reason`, `code` and `details.causes`, so these three are exact; nothing here decides anything.

use http::StatusCode;
use serde_json::{Value, json};

use crate::store::{Compacted, GroupResource};

/// What is wrong with one field, in the vocabulary of `metav1.StatusCause`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    reason: &'static str,
    message: String,
    field: String,
}

impl FieldError {
    /// The field is missing.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self { reason: "FieldValueRequired", message, field: field.into() }
    }

    /// The field has a value that it must not have.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {}: {detail}", shown(value));
        Self { reason: "FieldValueInvalid", message, field: field.into() }
    }

    /// The field has a value of another type.
    pub(crate) fn wrong_type(field: impl Into<String>, found: &str, detail: &str) -> Self {
        let message = format!("Invalid value: {found:?}: {detail}");
        Self { reason: "FieldValueTypeInvalid", message, field: field.into() }
    }

    /// The field has none of the values that it may have.
    pub(crate) fn not_supported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), supported.join(", "));
        Self { reason: "FieldValueNotSupported", message, field: field.into() }
    }

    /// The field must not be set, or not be changed.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: format!("Forbidden: {detail}"), field: field.into() }
    }

    /// The value occurs twice.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self {
            reason: "FieldValueDuplicate",
            message: format!("Duplicate value: {}", shown(value)),
            field: field.into(),
        }
    }

    /// The value is too long.
    pub(crate) fn too_long(field: impl Into<String>, limit: u64) -> Self {
        let message = format!("Too long: may not be more than {limit} bytes");
        Self { reason: "FieldValueTooLong", message, field: field.into() }
    }

    /// What the field names does not exist.
    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Self {
        Self { reason: "FieldValueNotFound", message: format!("Not found: {}", shown(value)), field: field.into() }
    }

    /// The list or map has too many items.
    pub(crate) fn too_many(field: impl Into<String>, found: usize, limit: u64) -> Self {
        let message = format!("Too many: {found}: must have at most {limit} items");
        Self { reason: "FieldValueTooMany", message, field: field.into() }
    }

    fn text(&self) -> String {
        if self.field.is_empty() { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }
}

fn shown(value: &Value) -> String {
    value.to_string()
}

/// A refused request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Option<Value>,
    retry_after_seconds: Option<u32>,
    is_plain: bool,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, retry_after_seconds: None, is_plain: false }
    }

    fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    pub(crate) fn code(&self) -> StatusCode {
        self.code
    }

    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.retry_after_seconds
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Wrong options of a request: `kind` is `CreateOptions`, `ListOptions` and so on.
    pub(crate) fn invalid_options(kind: &str, error: FieldError) -> Self {
        Self::invalid("meta.k8s.io", kind, "", &[error])
    }

    /// A patch that does not fit the object.
    pub(crate) fn unprocessable(why: impl std::fmt::Display) -> Self {
        let message = format!("the server rejected our request due to an error in our request: {why}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).with_details(json!({}))
    }

    /// A body that was refused although the client sent only a difference: the patch is what is invalid.
    pub(crate) fn as_invalid_patch(&self, group: &str, kind: &str, name: &str) -> Self {
        let error = FieldError::invalid("patch", &"patch".into(), &self.message);
        Self::invalid(group, kind, name, &[error])
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn not_found(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {name:?} not found");
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).with_details(details(resource, name))
    }

    /// No such resource type, or nothing is served at the path.
    pub(crate) fn no_such_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
            .with_details(json!({}))
    }

    /// Nothing has ever been served at such a path: answered in plain text, as by the real server.
    pub(crate) fn no_such_path() -> Self {
        Self { is_plain: true, ..Self::new(StatusCode::NOT_FOUND, "NotFound", "404 page not found") }
    }

    /// Whether the answer is text instead of a Status.
    pub(crate) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(crate) fn already_exists(resource: &GroupResource, name: &str) -> Self {
        let message = format!("{resource} {name:?} already exists");
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).with_details(details(resource, name))
    }

    pub(crate) fn conflict(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Self::new(StatusCode::CONFLICT, "Conflict", message).with_details(details(resource, name))
    }

    pub(crate) fn modified(resource: &GroupResource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// Fields owned by other managers: `(manager, field)` pairs as server-side apply reports them.
    pub(crate) fn apply_conflict(conflicts: &[(String, String)]) -> Self {
        let causes: Vec<Value> = conflicts
            .iter()
            .map(|(manager, field)| {
                json!({"reason": "FieldManagerConflict", "message": format!("conflict with {manager}"), "field": field})
            })
            .collect();
        let message = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            _ => format!("Apply failed with {} conflicts: {}", conflicts.len(), conflicts_by_manager(conflicts)),
        };
        Self::new(StatusCode::CONFLICT, "Conflict", message).with_details(json!({"causes": causes}))
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let causes: Vec<Value> =
            errors.iter().map(|e| json!({"reason": e.reason, "message": e.message, "field": e.field})).collect();
        let texts: Vec<String> = errors.iter().map(FieldError::text).collect();
        let text = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut details = json!({"name": name, "kind": kind, "causes": causes});
        if !group.is_empty() {
            details["group"] = group.into();
        }
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{qualified} {name:?} is invalid: {text}"))
            .with_details(details)
    }

    pub(crate) fn forbidden(resource: &GroupResource, name: &str, why: &str) -> Self {
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {why}")
        } else {
            format!("{resource} {name:?} is forbidden: {why}")
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).with_details(details(resource, name))
    }

    /// A non-resource path that the user may not read.
    pub(crate) fn forbidden_path(message: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).with_details(json!({}))
    }

    /// A ValidatingAdmissionPolicy's no, with the reason that its author chose.
    pub(crate) fn denied_by_policy(resource: &GroupResource, name: &str, message: &str, reason: &str) -> Self {
        let (code, reason) = match reason {
            "Forbidden" => (StatusCode::FORBIDDEN, "Forbidden"),
            "Unauthorized" => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            "RequestEntityTooLarge" => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            _ => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
        };
        let mut details = details(resource, name);
        details["causes"] = json!([{"message": message}]);
        Self::new(code, reason, format!("{resource} {name:?} is forbidden: {message}")).with_details(details)
    }

    pub(crate) fn namespace_terminating(resource: &GroupResource, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut error = Self::forbidden(resource, name, &why);
        if let Some(details) = error.details.as_mut() {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        error
    }

    pub(crate) fn method_not_supported() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).with_details(json!({}))
    }

    pub(crate) fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    pub(crate) fn unsupported_media_type(found: &str, supported: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {} (found {found:?})",
            supported.join(", ")
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// A `PATCH` whose content type is no kind of patch.
    pub(crate) fn unsupported_patch_type() -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", "415: Unsupported Media Type")
    }

    /// A new object with a resourceVersion: the one refusal of the real server that gives no reason.
    pub(crate) fn revision_on_create() -> Self {
        let message = "resourceVersion should not be set on objects to be created";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    pub(crate) fn expired_continue() -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        Self::new(StatusCode::GONE, "Expired", message)
    }

    pub(crate) fn future_revision(requested: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {requested}, current: {current}");
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", format!("Timeout: {message}")).with_details(
            json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}),
        );
        error.retry_after_seconds = Some(1);
        error
    }

    /// An eviction that a disruption budget does not allow now.
    pub(crate) fn disruption_budget(message: &str, cause: &str, retry_after_seconds: u32) -> Self {
        let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}]});
        if retry_after_seconds > 0 {
            details["retryAfterSeconds"] = retry_after_seconds.into();
        }
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).with_details(details);
        error.retry_after_seconds = (retry_after_seconds > 0).then_some(retry_after_seconds);
        error
    }

    /// The eviction API supports one budget per pod.
    pub(crate) fn two_budgets() -> Self {
        let message =
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    pub(crate) fn internal(message: impl std::fmt::Display) -> Self {
        let details = json!({"causes": [{"message": message.to_string()}]});
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", format!("Internal error occurred: {message}"))
            .with_details(details)
    }

    /// The `metav1.Status` that says so.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

impl From<Compacted> for ApiError {
    fn from(compacted: Compacted) -> Self {
        Self::new(StatusCode::GONE, "Expired", compacted.to_string())
    }
}

fn conflicts_by_manager(conflicts: &[(String, String)]) -> String {
    let mut lines = Vec::new();
    let mut last = "";
    for (manager, field) in conflicts {
        if manager != last {
            lines.push(format!("conflicts with {manager}:"));
            last = manager;
        }
        lines.push(format!("- {field}"));
    }
    lines.join("\n")
}

fn details(resource: &GroupResource, name: &str) -> Value {
    let mut details = json!({"kind": &*resource.resource});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !resource.group.is_empty() {
        details["group"] = (*resource.group).into();
    }
    details
}
