//! HTTP of the trips role: translates, measures, and decides nothing.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use super::{HastyWriter, PATIENCE, Trips};
use crate::api::{
    ActionRequests, ActionResult, ActionResults, CreateRide, LeaseRequest, Offers, ProposalResult, ProposalResults,
    Proposals, RequestedRides, Ride, Rides, Zones,
};
use crate::metrics::{Metrics, OutcomeLabel, latency_histogram};
use crate::net::server::Service;
use crate::net::{Chained, Failure, IDEMPOTENCY_KEY, REPLAYED};
use crate::ride::{Phase, RideId};
use crate::store::{Query, Served, StoreError};

/// Rides handed to a matcher at a time.
const MATCH_LIMIT: u32 = 200;
/// Largest request body.
const MAX_BODY: usize = 1 << 20;
/// A store that answered this recently counts as reachable: pods must not all turn unready while it restarts.
const STORE_HYSTERESIS: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Shared {
    trips: Trips,
    hasty: Option<HastyWriter>,
    measures: Measures,
    store_seen: Arc<Mutex<Option<Instant>>>,
}

#[derive(Clone, Default)]
struct Measures {
    rides: Family<OutcomeLabel, Counter>,
    replays: Counter,
    time_to_match: Option<Histogram>,
}

impl Measures {
    fn new(metrics: &Metrics) -> Self {
        let time_to_match = latency_histogram();
        let measures = Self { time_to_match: Some(time_to_match.clone()), ..Self::default() };
        metrics.register("dispatch_rides", "Rides that reached a state, by this pod.", measures.rides.clone());
        metrics.register(
            "dispatch_idempotent_replays",
            "Requests answered with the effect of an earlier attempt.",
            measures.replays.clone(),
        );
        metrics.register("dispatch_time_to_match_seconds", "Time from a request to the driver's yes.", time_to_match);
        measures
    }

    fn count(&self, outcome: &'static str) {
        self.rides.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    fn observe(&self, ride: &Ride, replayed: bool) {
        if replayed {
            self.replays.inc();
            return;
        }
        self.count(ride.phase.name());
        if let (Phase::Assigned { .. }, Some(histogram)) = (&ride.phase, &self.time_to_match) {
            histogram.observe(since_ms(ride.requested_at_ms).as_secs_f64());
        }
    }
}

fn since_ms(at_ms: u64) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(at_ms))
}

/// The service of the trips role; with `hasty`, rides are acknowledged before they are durable.
pub fn service(trips: Trips, hasty: Option<HastyWriter>, metrics: Arc<Metrics>) -> Service {
    let measures = Measures::new(&metrics);
    let store_seen = Arc::new(Mutex::new(None));
    let shared = Shared { trips, hasty, measures, store_seen };
    let router = Router::new()
        .route("/rides", post(create))
        .route("/rides/{id}", get(ride))
        .route("/rides/{id}/cancel", post(cancel))
        .route("/actions", post(actions))
        .route("/offers", get(offers))
        .route("/matching/leases", post(leases))
        .route("/matching/requested", post(requested))
        .route("/matching/offers", post(propose))
        .route("/matching/sweep", post(sweep))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared.clone());
    let mut service = Service::new(router, metrics);
    service.ready = Arc::new(move || {
        let shared = shared.clone();
        Box::pin(async move { shared.store_reachable().await })
    });
    service
}

impl Shared {
    /// Passes an answer of the store on and remembers that it answered.
    fn seen<T>(&self, answer: Result<Served<T>, StoreError>) -> Result<Served<T>, Failure> {
        let served = answer.map_err(Failure::unavailable)?;
        *self.store_seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(served)
    }

    async fn store_reachable(&self) -> Result<(), String> {
        let seen = *self.store_seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|at| at.elapsed() < STORE_HYSTERESIS) {
            return Ok(());
        }
        self.seen(self.trips.store().read(Query::Stats).await).map(drop).map_err(|failure| failure.error)
    }
}

async fn create(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(request): Json<CreateRide>,
) -> Result<Response, Failure> {
    let key = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok()).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Failure::bad_request("the header Idempotency-Key is missing"))?;
    if let Some(hasty) = &shared.hasty {
        let new = shared.trips.new_ride(key, request);
        let ride = new.requested(0);
        hasty.remember(new);
        shared.measures.count("requested");
        return Ok(Chained { status: StatusCode::CREATED, body: ride, served_by: String::new() }.into_response());
    }
    let served = shared.seen(shared.trips.create(key, request).await)?;
    let mut response =
        Chained { status: StatusCode::CREATED, body: served.value.ride, served_by: served.served_by }.into_response();
    if served.value.replayed {
        shared.measures.replays.inc();
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    } else {
        shared.measures.count("requested");
    }
    Ok(response)
}

async fn ride(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Chained<Ride>, Failure> {
    let served = shared.seen(shared.trips.get(RideId(id)).await)?;
    let found = served.value.ok_or_else(|| Failure { status: StatusCode::NOT_FOUND, error: "no such ride".into() })?;
    Ok(Chained::ok(found, served.served_by))
}

async fn cancel(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Response, Failure> {
    let served = shared.seen(shared.trips.cancel(RideId(id)).await)?;
    match served.value {
        ActionResult::Done { ride, replayed } => {
            shared.measures.observe(&ride, replayed);
            Ok(Chained::ok(ride, served.served_by).into_response())
        }
        ActionResult::Conflict { reason } => Err(Failure { status: StatusCode::CONFLICT, error: reason }),
        ActionResult::NotFound => Err(Failure { status: StatusCode::NOT_FOUND, error: "no such ride".into() }),
    }
}

async fn actions(
    State(shared): State<Shared>,
    Json(request): Json<ActionRequests>,
) -> Result<Chained<ActionResults>, Failure> {
    let served = shared.seen(shared.trips.act(request.actions).await)?;
    for result in &served.value {
        if let ActionResult::Done { ride, replayed } = result {
            shared.measures.observe(ride, *replayed);
        }
    }
    Ok(Chained::ok(ActionResults { results: served.value }, served.served_by))
}

async fn offers(State(shared): State<Shared>) -> Result<Chained<Offers>, Failure> {
    let served = shared.seen(shared.trips.offered().await)?;
    Ok(Chained::ok(Offers { offers: served.value }, served.served_by))
}

async fn leases(State(shared): State<Shared>, Json(request): Json<LeaseRequest>) -> Result<Chained<Zones>, Failure> {
    let ttl = Duration::from_millis(request.ttl_ms);
    let served = shared.seen(shared.trips.lease(request.holder, ttl).await)?;
    Ok(Chained::ok(served.value, served.served_by))
}

async fn requested(
    State(shared): State<Shared>,
    Json(request): Json<RequestedRides>,
) -> Result<Chained<Rides>, Failure> {
    let found = shared.trips.requested(request.zones, MATCH_LIMIT, request.take_by).await;
    let served = shared.seen(found)?;
    Ok(Chained::ok(Rides { rides: served.value }, served.served_by))
}

async fn propose(
    State(shared): State<Shared>,
    Json(request): Json<Proposals>,
) -> Result<Chained<ProposalResults>, Failure> {
    let served = shared.seen(shared.trips.offer(request.proposals).await)?;
    for _ in served.value.iter().filter(|result| **result == ProposalResult::Offered) {
        shared.measures.count("offered");
    }
    Ok(Chained::ok(ProposalResults { results: served.value }, served.served_by))
}

async fn sweep(State(shared): State<Shared>) -> Result<Json<usize>, Failure> {
    shared.trips.sweep(PATIENCE).await.map(Json).map_err(Failure::unavailable)
}
