//! The way of every request: who, what, may they, do it, write it down.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use jiff::Timestamp;
use serde_json::Value;

use super::audit::Record;
use super::auth::{self, Identity};
use super::error::{ApiError, ApiResult};
use super::request::{self, Query, ResourceRequest, Target};
use super::respond::error_response;
use super::state::State;
use super::{discovery, handlers, rbac};

/// The largest body accepted, as on the real server.
const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;

/// A request whose body has been read.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) identity: Identity,
}

impl Call {
    /// A header as text, empty if absent.
    pub(crate) fn header(&self, name: &HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn accept(&self) -> &str {
        self.header(&ACCEPT)
    }

    pub(crate) fn content_type(&self) -> &str {
        self.header(&CONTENT_TYPE)
    }

    pub(crate) fn user_agent(&self) -> &str {
        self.header(&USER_AGENT)
    }

    /// The body as JSON, `null` if there is none.
    pub(crate) fn body_value(&self) -> ApiResult<Value> {
        super::decode::parse_body(self.content_type(), &self.body)
    }
}

/// Answers a request of `identity`, or of whomever its token belongs to.
pub(crate) async fn handle(state: Arc<State>, identity: Option<Identity>, request: Request<Body>) -> Response<Body> {
    let received = Timestamp::now();
    let id = uuid::Uuid::new_v4().to_string();
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let target = request::parse(&parts.method, parts.uri.path(), &query);
    let mut trail = Trail::default();
    let answer = match &target {
        Ok(target) => answer(&state, target, Arrived { identity, parts: &parts, query, body }, &mut trail).await,
        Err(error) => Err(error.clone()),
    };
    let mut response = answer.unwrap_or_else(|error| error_response(&error));
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("audit-id", value);
    }
    let verb = match &target {
        Ok(Target::Resource(resource)) => resource.verb.as_str(),
        Ok(Target::Path { verb }) => verb,
        Err(_) => "",
    };
    let resource = match &target {
        Ok(Target::Resource(resource)) => Some(resource),
        _ => None,
    };
    let code = response.status().as_u16();
    state.metrics.count(verb, resource.map_or("", |r| r.resource.as_str()), code);
    state.audit.write(&Record {
        received,
        id: &id,
        identity: trail.authenticated.as_ref(),
        impersonated: trail.impersonated.as_ref(),
        verb,
        uri: parts.uri.path_and_query().map_or("", |uri| uri.as_str()),
        user_agent: parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default(),
        resource,
        uid: trail.uid,
        code,
    });
    response
}

/// What the audit log wants to know of a request, as far as it got.
#[derive(Default)]
struct Trail {
    authenticated: Option<Identity>,
    impersonated: Option<Identity>,
    uid: Option<String>,
}

/// A request whose body has not been read.
struct Arrived<'a> {
    /// Whose it is; nobody's: its token says.
    identity: Option<Identity>,
    parts: &'a Parts,
    query: Query,
    body: Body,
}

async fn answer(
    state: &Arc<State>,
    target: &Target,
    arrived: Arrived<'_>,
    trail: &mut Trail,
) -> ApiResult<Response<Body>> {
    let Arrived { identity, parts, query, body } = arrived;
    let mut identity = match identity {
        Some(identity) => identity,
        None => state.tokens.authenticate(&state.read(), &parts.headers)?,
    };
    trail.authenticated = Some(identity.clone());
    if let Some(impersonated) = auth::impersonated(&parts.headers) {
        rbac::authorize_impersonation(state, &identity, &impersonated)?;
        identity = impersonated;
        trail.impersonated = Some(identity.clone());
    }
    rbac::authorize(state, &identity, target, parts.uri.path())?;
    let body =
        axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ApiError::body_too_large(MAX_BODY_BYTES))?;
    let call = Call {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query,
        headers: parts.headers.clone(),
        body,
        identity,
    };
    match target {
        Target::Resource(resource) => {
            if state.audit.is_enabled() {
                trail.uid = demanded_uid(&call, resource);
            }
            handlers::handle(state, &call, resource).await
        }
        Target::Path { .. } => discovery::handle(state, &call),
    }
}

/// The UID that a deletion or eviction demands.
fn demanded_uid(call: &Call, resource: &ResourceRequest) -> Option<String> {
    let is_eviction = resource.subresource == "eviction";
    if call.body.is_empty() || !(is_eviction || call.method == Method::DELETE) {
        return None;
    }
    let body = call.body_value().ok()?;
    let options = if is_eviction { &body["deleteOptions"] } else { &body };
    options["preconditions"]["uid"].as_str().map(str::to_owned)
}
