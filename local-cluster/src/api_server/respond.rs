//! From objects to answers: the version asked for, and the representation asked for (the object, a table of it, or
//! its metadata alone).

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::registry::{Origin, ResourceType};
use super::{events, table};
use crate::store::Object;

/// How the client wants to see objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Representation {
    Object,
    Table,
    Metadata,
}

impl Representation {
    /// Reads the `Accept` header: the first form in it that can be served.
    pub(crate) fn from_accept(accept: &str) -> ApiResult<Self> {
        if accept.trim().is_empty() {
            return Ok(Self::Object);
        }
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            if !matches!(media_type, "application/json" | "*/*" | "application/*") {
                continue;
            }
            match parts.find_map(|part| part.strip_prefix("as=")) {
                None => return Ok(Self::Object),
                Some("Table") => return Ok(Self::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Ok(Self::Metadata),
                Some(_) => {}
            }
        }
        Err(ApiError::not_acceptable())
    }
}

/// The object in the version that `ty` serves. Borrowed when it is stored that way.
pub(crate) fn convert<'a>(ty: &ResourceType, value: &'a Value) -> Cow<'a, Value> {
    if ty.is("events.k8s.io", "Event") {
        return Cow::Owned(events::to_v1(value));
    }
    if matches!(ty.origin, Origin::Custom(_)) && value["apiVersion"] != ty.api_version() {
        let mut converted = value.clone();
        converted["apiVersion"] = ty.api_version().into();
        return Cow::Owned(converted);
    }
    Cow::Borrowed(value)
}

/// One object as the JSON of an answer or a watch event.
pub(crate) fn object_json(ty: &ResourceType, object: &Object, representation: Representation) -> Bytes {
    let converted = convert(ty, object.value());
    match representation {
        Representation::Object => match converted {
            Cow::Borrowed(_) => object.json(),
            Cow::Owned(value) => Bytes::from(value.to_string()),
        },
        Representation::Table => {
            Bytes::from(table::render(ty, &[&converted], json!({}), table::Rows::Metadata).to_string())
        }
        Representation::Metadata => Bytes::from(metadata_of(&converted).to_string()),
    }
}

/// `metav1.PartialObjectMetadata` of an object.
fn metadata_of(value: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]})
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Arc<Object>>,
    pub(crate) revision: u64,
    pub(crate) next: Option<String>,
    pub(crate) remaining: Option<usize>,
}

impl Page {
    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = next.clone().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        metadata
    }
}

/// A list as the JSON of an answer.
pub(crate) fn list_json(ty: &ResourceType, page: &Page, representation: Representation, rows: table::Rows) -> Bytes {
    match representation {
        Representation::Table => {
            let converted: Vec<_> = page.objects.iter().map(|object| convert(ty, object.value())).collect();
            let values: Vec<&Value> = converted.iter().map(AsRef::as_ref).collect();
            Bytes::from(table::render(ty, &values, page.metadata(), rows).to_string())
        }
        Representation::Metadata => {
            let items: Vec<Value> =
                page.objects.iter().map(|object| metadata_of(&convert(ty, object.value()))).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": page.metadata(),
                "items": items,
            });
            Bytes::from(list.to_string())
        }
        Representation::Object => {
            // Items are joined from their cached JSON: a list of many pods is mostly copying.
            let head =
                json!({"kind": ty.list_kind, "apiVersion": ty.api_version(), "metadata": page.metadata()}).to_string();
            let mut json = BytesMut::with_capacity(head.len() + 1024 * (page.objects.len() + 1));
            json.put_slice(head.trim_end_matches('}').as_bytes());
            json.put_slice(b"},\"items\":[");
            for (index, object) in page.objects.iter().enumerate() {
                if index > 0 {
                    json.put_u8(b',');
                }
                match (&ty.origin, convert(ty, object.value())) {
                    (Origin::Builtin(_), Cow::Borrowed(_)) => json.put_slice(&object.item_json()),
                    (_, Cow::Borrowed(_)) => json.put_slice(&object.json()),
                    (_, Cow::Owned(value)) => json.put_slice(value.to_string().as_bytes()),
                }
            }
            json.put_slice(b"]}");
            json.freeze()
        }
    }
}

/// A JSON answer.
pub(crate) fn json_response(code: StatusCode, json: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(json.into());
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds what the client should be told besides the answer.
pub(crate) fn add_warnings(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = format!("299 - \"{}\"", warning.replace('\\', "\\\\").replace('"', "\\\""));
        if let Ok(value) = HeaderValue::from_str(&quoted) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// The answer to a refused request.
pub(crate) fn error_response(error: &ApiError) -> Response<Body> {
    if error.is_plain() {
        let mut response = Response::new(Body::from(format!("{error}\n")));
        *response.status_mut() = error.code();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        return response;
    }
    let mut response = json_response(error.code(), error.status().to_string());
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// `metav1.Status` of a finished deletion.
pub(crate) fn deleted_status(ty: &ResourceType, object: &Object) -> Value {
    let mut details = json!({"name": object.key().name, "kind": ty.plural, "uid": object.value()["metadata"]["uid"]});
    if !ty.group.is_empty() {
        details["group"] = ty.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
