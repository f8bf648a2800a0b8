//! The store role: a [`RideStore`] behind HTTP.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::HeaderValue;
use http::header::CONNECTION;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::{Answer, Op, Query, RideStore, StoreError};
use crate::metrics::Metrics;
use crate::net::Failure;
use crate::net::server::Service;

/// Largest request: a few thousand operations.
const MAX_BODY: usize = 8 << 20;

#[derive(Clone)]
struct Shared {
    store: Arc<dyn RideStore>,
    writes: Counter,
}

/// The service of the store role.
pub fn service(store: Arc<dyn RideStore>, metrics: Arc<Metrics>) -> Service {
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
        .with_state(Shared { store: Arc::clone(&store), writes });
    let mut service = Service::new(router, metrics);
    let (checked, watched) = (Arc::clone(&store), Arc::clone(&store));
    service.alive = Arc::new(move || watched.is_alive());
    service.ready = Arc::new(move || {
        let store = Arc::clone(&checked);
        Box::pin(async move { store.check().await.map_err(|error| error.to_string()) })
    });
    service.refresh = Arc::new(move || {
        let (store, open, oldest) = (Arc::clone(&store), open.clone(), oldest.clone());
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

async fn write(State(shared): State<Shared>, Json(ops): Json<Vec<Op>>) -> Response {
    let count = ops.len() as u64;
    match shared.store.write(ops).await {
        Ok(served) => {
            shared.writes.inc_by(count);
            Json(served.value).into_response()
        }
        Err(error) => failure(&error),
    }
}

async fn read(State(shared): State<Shared>, Json(query): Json<Query>) -> Response {
    match shared.store.read(query).await {
        Ok(served) => Json(served.value).into_response(),
        Err(error) => failure(&error),
    }
}

/// The next call of this client is for a store that is ready: its connection to this one, which it would keep, is closed.
fn failure(error: &StoreError) -> Response {
    let mut response = Failure::unavailable(error).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
