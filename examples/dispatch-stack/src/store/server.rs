//! The store role: an [`SqliteStore`] behind HTTP.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::sqlite::SqliteStore;
use super::{Answer, Op, Outcome, Query, RideStore, StoreError};
use crate::metrics::Metrics;
use crate::net::Failure;
use crate::net::server::Service;

/// Largest request: a few thousand operations.
const MAX_BODY: usize = 8 << 20;

#[derive(Clone)]
struct Shared {
    store: SqliteStore,
    writes: Counter,
}

/// The service of the store role.
pub fn service(store: SqliteStore, metrics: Arc<Metrics>) -> Service {
    let open = Gauge::<i64>::default();
    let oldest = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    let writes = Counter::default();
    metrics.register("dispatch_rides_open", "Rides that are not over.", open.clone());
    metrics.register("dispatch_oldest_open_ride_seconds", "Age of the oldest ride that is not over.", oldest.clone());
    metrics.register("dispatch_store_operations", "Operations made durable.", writes.clone());

    let router = Router::new()
        .route("/write", post(write))
        .route("/read", post(read))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Shared { store: store.clone(), writes });
    let mut service = Service::new(router, metrics);
    let (checked, watched) = (store.clone(), store.clone());
    service.alive = Arc::new(move || watched.is_alive());
    service.ready = Arc::new(move || {
        let store = checked.clone();
        Box::pin(async move { store.read(Query::Stats).await.map(drop).map_err(|error| error.to_string()) })
    });
    service.refresh = Arc::new(move || {
        let (store, open, oldest) = (store.clone(), open.clone(), oldest.clone());
        Box::pin(async move {
            if let Ok(served) = store.read(Query::Stats).await
                && let Answer::Stats(stats) = served.value
            {
                open.set(i64::try_from(stats.open).unwrap_or(i64::MAX));
                oldest.set(std::time::Duration::from_millis(stats.oldest_open_ms).as_secs_f64());
            }
        })
    });
    service
}

async fn write(State(shared): State<Shared>, Json(ops): Json<Vec<Op>>) -> Result<Json<Vec<Outcome>>, Failure> {
    let count = ops.len() as u64;
    let served = shared.store.write(ops).await.map_err(|error| failure(&error))?;
    shared.writes.inc_by(count);
    Ok(Json(served.value))
}

async fn read(State(shared): State<Shared>, Json(query): Json<Query>) -> Result<Json<Answer>, Failure> {
    shared.store.read(query).await.map(|served| Json(served.value)).map_err(|error| failure(&error))
}

fn failure(error: &StoreError) -> Failure {
    Failure::unavailable(error)
}
