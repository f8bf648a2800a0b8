//! The gateway role: the HTTP API of riders and drivers. Keeps no state. Passes idempotency keys on and so may retry every
//! call when a pod behind it dies; sheds load rather than queueing it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::api::{
    ActionRequest, ActionRequests, ActionResult, ActionResults, CreateRide, Offers, Position, Positions, Quote,
    QuoteRequest, Ride, RideCreated,
};
use crate::metrics::Metrics;
use crate::net::client::{Call, Peer, Reply};
use crate::net::retry::{RetryBudget, ask};
use crate::net::server::Service;
use crate::net::{Chained, DEADLINE_MS, DEGRADED, Failure, IDEMPOTENCY_KEY, REPLAYED, deadline_of, join_chain};
use crate::ride::{DriverAction, DriverId, Place, RideId};

/// What an optional part of an answer may take.
const OPTIONAL_MAX: Duration = Duration::from_millis(120);
/// Requests in flight before the gateway answers 503.
const IN_FLIGHT_MAX: usize = 128;
/// Largest request body: a batch of a few thousand positions.
const MAX_BODY: usize = 1 << 20;
/// Longest Idempotency-Key.
const KEY_MAX: usize = 200;
/// Retries a second that a gateway may make besides its tenth of the requests.
const RETRIES_PER_SECOND: f64 = 20.0;

/// Whom the gateway talks to and how it works.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Rides.
    pub trips: Peer,
    /// Positions.
    pub location: Peer,
    /// Quotes; optional.
    pub eta: Peer,
    /// What a request may take before it is answered with an error.
    pub deadline: Duration,
    /// `retry-new-key`: a retried request gets a fresh Idempotency-Key.
    pub retry_new_key: bool,
}

#[derive(Clone)]
struct Shared {
    config: Arc<GatewayConfig>,
    budget: Arc<RetryBudget>,
    in_flight: Arc<Semaphore>,
    degraded: Counter,
    shed: Counter,
}

/// The service of the gateway role.
pub fn service(config: GatewayConfig, metrics: Arc<Metrics>) -> Service {
    let shared = Shared {
        config: Arc::new(config),
        budget: Arc::new(RetryBudget::new(0.1, RETRIES_PER_SECOND)),
        in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
        degraded: Counter::default(),
        shed: Counter::default(),
    };
    metrics.register("dispatch_degraded_responses", "Answers without an optional part.", shared.degraded.clone());
    metrics.register("dispatch_shed_requests", "Requests refused as too many were in flight.", shared.shed.clone());
    let router = Router::new()
        .route("/v1/rides", post(create_ride))
        .route("/v1/rides/{id}", get(get_ride))
        .route("/v1/rides/{id}/cancel", post(cancel_ride))
        .route("/v1/rides/{id}/{action}", post(ride_action))
        .route("/v1/drivers/locations", put(locations))
        .route("/v1/drivers/{id}/location", put(location))
        .route("/v1/drivers/actions", post(actions))
        .route("/v1/drivers/{id}/offers/{ride}/{action}", post(offer_action))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(shared.clone(), shed_load))
        .with_state(shared);
    Service::new(router, metrics)
}

async fn shed_load(State(shared): State<Shared>, request: axum::extract::Request, next: Next) -> Response {
    let Ok(_permit) = shared.in_flight.try_acquire() else {
        shared.shed.inc();
        return Failure::unavailable("too many requests in flight").into_response();
    };
    next.run(request).await
}

impl Shared {
    fn deadline(&self, headers: &HeaderMap) -> Duration {
        deadline_of(headers).min(self.config.deadline)
    }

    async fn trips(&self, headers: &HeaderMap, call_for: impl Fn(u32) -> Call) -> Result<Reply, Failure> {
        ask(&self.config.trips, &self.budget, self.deadline(headers), call_for).await
    }

    /// The price and time, if they can be had in a moment, and who gave them.
    async fn quote(&self, from: Place, to: Place) -> (Option<Quote>, String) {
        let call =
            Call::post("/quote", &QuoteRequest { from, to }).header(DEADLINE_MS, &OPTIONAL_MAX.as_millis().to_string());
        match self.config.eta.call(&call, OPTIONAL_MAX).await {
            Ok(reply) => (reply.json().ok(), reply.served_by().to_owned()),
            Err(error) => {
                tracing::debug!(%error, "answering without a quote");
                (None, String::new())
            }
        }
    }
}

async fn create_ride(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(request): Json<CreateRide>,
) -> Result<Response, Failure> {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Failure::bad_request("the header Idempotency-Key is missing or too long"));
    }
    for place in [request.from, request.to] {
        h3o::LatLng::new(place.lat, place.lng).map_err(Failure::bad_request)?;
    }
    let fresh_keys = shared.config.retry_new_key;
    let call_for = |attempt: u32| {
        let key = if fresh_keys && attempt > 0 { uuid::Uuid::new_v4().to_string() } else { key.clone() };
        Call::post("/rides", &request).header(IDEMPOTENCY_KEY, &key)
    };
    let (reply, (quote, quoted_by)) =
        tokio::join!(shared.trips(&headers, call_for), shared.quote(request.from, request.to));
    let reply = reply?;
    if !reply.status.is_success() {
        return Ok(pass_on(reply));
    }
    let ride: Ride = reply.json().map_err(Failure::unavailable)?;
    let missing_quote = quote.is_none();
    let served_by = join_chain([reply.served_by(), quoted_by.as_str()]);
    let body = RideCreated { ride, quote };
    let mut response = Chained { status: reply.status, body, served_by }.into_response();
    if missing_quote {
        shared.degraded.inc();
        response.headers_mut().insert(DEGRADED, HeaderValue::from_static("quote"));
    }
    if let Some(replayed) = reply.headers.get(REPLAYED) {
        response.headers_mut().insert(REPLAYED, replayed.clone());
    }
    Ok(response)
}

async fn get_ride(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let path = format!("/rides/{}", segment(&id)?);
    shared.trips(&headers, |_| Call::get(&path)).await.map(pass_on)
}

async fn cancel_ride(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let path = format!("/rides/{}/cancel", segment(&id)?);
    shared.trips(&headers, |_| Call::post(&path, &())).await.map(pass_on)
}

/// Body of `POST /v1/rides/{id}/pickup` and its siblings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Driver {
    driver: DriverId,
}

async fn ride_action(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path((id, action)): Path<(String, String)>,
    Json(body): Json<Driver>,
) -> Result<Response, Failure> {
    single_action(&shared, &headers, RideId(id), body.driver, &action).await
}

async fn offer_action(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path((driver, ride, action)): Path<(String, String, String)>,
) -> Result<Response, Failure> {
    single_action(&shared, &headers, RideId(ride), DriverId(driver), &action).await
}

async fn single_action(
    shared: &Shared,
    headers: &HeaderMap,
    ride: RideId,
    driver: DriverId,
    action: &str,
) -> Result<Response, Failure> {
    let unknown = || Failure { status: StatusCode::NOT_FOUND, error: format!("no such action: {action}") };
    let action = DriverAction::ALL.into_iter().find(|known| known.name() == action).ok_or_else(unknown)?;
    let request = ActionRequests { actions: vec![ActionRequest { ride, driver, action }] };
    let reply = shared.trips(headers, |_| Call::post("/actions", &request)).await?;
    let mut answer: ActionResults = reply.json().map_err(Failure::unavailable)?;
    match answer.results.pop() {
        Some(ActionResult::Done { ride, .. }) => Ok(Chained::ok(ride, reply.served_by().to_owned()).into_response()),
        Some(ActionResult::Conflict { reason }) => Err(Failure { status: StatusCode::CONFLICT, error: reason }),
        Some(ActionResult::NotFound) => Err(Failure { status: StatusCode::NOT_FOUND, error: "no such ride".into() }),
        None => Err(Failure::unavailable("trips answered nothing")),
    }
}

async fn actions(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let call = Call { method: Method::POST, path: "/actions".into(), headers: Vec::new(), body };
    shared.trips(&headers, |_| call.clone()).await.map(pass_on)
}

/// As much of a position as the gateway looks at; the rest is location's business.
#[derive(Deserialize)]
struct Reporter {
    driver: DriverId,
}

#[derive(Deserialize)]
struct Reporters {
    positions: Vec<Reporter>,
}

async fn locations(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Result<Response, Failure> {
    let reporters: Reporters = serde_json::from_slice(&body).map_err(Failure::bad_request)?;
    let drivers = reporters.positions.into_iter().map(|reporter| reporter.driver).collect();
    report(&shared, &headers, body, drivers).await
}

/// Body of `PUT /v1/drivers/{id}/location`.
#[derive(Debug, Deserialize)]
struct OnePosition {
    #[serde(flatten)]
    place: Place,
    #[serde(default)]
    idle: bool,
}

async fn location(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(body): Json<OnePosition>,
) -> Result<Response, Failure> {
    let driver = DriverId(id);
    let position = Position { driver: driver.clone(), place: body.place, idle: body.idle };
    let body = serde_json::to_vec(&Positions { positions: vec![position] }).map_err(Failure::bad_request)?;
    report(&shared, &headers, body.into(), HashSet::from([driver])).await
}

/// Stores positions, which may fail, and answers with the offers to these drivers.
async fn report(
    shared: &Shared,
    headers: &HeaderMap,
    body: Bytes,
    drivers: HashSet<DriverId>,
) -> Result<Response, Failure> {
    let store = Call { method: Method::PUT, path: "/positions".into(), headers: Vec::new(), body };
    let (stored, offers) = tokio::join!(
        shared.config.location.call(&store, OPTIONAL_MAX),
        shared.trips(headers, |_| Call::get("/offers"))
    );
    let reply = offers?;
    let mut offers: Offers = reply.json().map_err(Failure::unavailable)?;
    offers.offers.retain(|ride| ride.phase.driver().is_some_and(|driver| drivers.contains(driver)));
    let stored = stored.ok().filter(|reply| reply.status.is_success());
    let located_by = stored.as_ref().map_or("", Reply::served_by);
    let mut response = Chained::ok(offers, join_chain([reply.served_by(), located_by])).into_response();
    if stored.is_none() {
        shared.degraded.inc();
        response.headers_mut().insert(DEGRADED, HeaderValue::from_static("location"));
    }
    Ok(response)
}

/// An identity as part of a path: nothing that could lead elsewhere.
fn segment(id: &str) -> Result<&str, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !id.is_empty() && id.chars().all(plain) {
        Ok(id)
    } else {
        Err(Failure { status: StatusCode::NOT_FOUND, error: "no such ride".into() })
    }
}

fn pass_on(reply: Reply) -> Response {
    let mut headers = HeaderMap::new();
    for name in [http::header::CONTENT_TYPE, crate::net::SERVED_BY, REPLAYED] {
        if let Some(value) = reply.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    (reply.status, headers, reply.body).into_response()
}
