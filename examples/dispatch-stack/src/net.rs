//! HTTP between the roles: a server that drains, a client that never pins to one pod, retries within a deadline and a budget.
//! Knows nothing of rides.

pub mod client;
pub mod retry;
pub mod server;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use std::time::Duration;

use crate::api::ErrorBody;

/// Names the pods that served an answer, outermost first, separated by commas.
pub const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// Milliseconds that the caller is still going to wait.
pub const DEADLINE_MS: HeaderName = HeaderName::from_static("x-deadline-ms");
/// The client's name for one effect, however often it asks for it.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Present when an optional part of the answer is missing: names the part.
pub const DEGRADED: HeaderName = HeaderName::from_static("x-degraded");
/// Present when an earlier attempt with the same key had the effect.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// How long a request without [`DEADLINE_MS`] may take.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// An answer with the pods behind this one that helped to make it.
#[derive(Debug)]
pub struct Chained<T> {
    /// Status of the answer.
    pub status: StatusCode,
    /// Its body.
    pub body: T,
    /// The pods behind this one; this pod's own name is put in front by the server.
    pub served_by: String,
}

impl<T> Chained<T> {
    /// 200.
    pub fn ok(body: T, served_by: String) -> Self {
        Self { status: StatusCode::OK, body, served_by }
    }
}

impl<T: Serialize> IntoResponse for Chained<T> {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Ok(chain) = HeaderValue::from_str(&self.served_by)
            && !self.served_by.is_empty()
        {
            response.headers_mut().insert(SERVED_BY, chain);
        }
        response
    }
}

/// A failed request: status and reason for the caller.
#[derive(Debug)]
pub struct Failure {
    /// What kind of failure.
    pub status: StatusCode,
    /// What failed, for people.
    pub error: String,
}

impl Failure {
    /// 503: the caller may try again.
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err, which hands the error over")]
    pub fn unavailable(error: impl ToString) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, error: error.to_string() }
    }

    /// 400: trying again is useless.
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err, which hands the error over")]
    pub fn bad_request(error: impl ToString) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error: error.to_string() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorBody { error: self.error })).into_response()
    }
}

/// Joins chains of pods, leaving out empty ones.
pub fn join_chain<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

/// How long the caller of this request still waits.
pub fn deadline_of(headers: &HeaderMap) -> Duration {
    let told = headers.get(DEADLINE_MS).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    told.map_or(DEFAULT_DEADLINE, Duration::from_millis).min(DEFAULT_DEADLINE)
}
