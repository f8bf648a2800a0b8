//! Health and metrics: the only listener of the operator, and it takes no order.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::shared::{SchemaState, Shared};

/// A supervisor that was silent for longer is stuck.
const STUCK_AFTER_SECONDS: u64 = 60;

/// Serves until the operator stops.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let router = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

/// Fails only when stuck: a restart is what helps then, and nothing else does.
async fn livez(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    match shared.silent_for() {
        silent if silent > STUCK_AFTER_SECONDS => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("the supervisor has been silent for {silent} s\n"))
        }
        _ => (StatusCode::OK, "ok\n".to_owned()),
    }
}

/// Fails when it could not act if it had to: the API server is out of reach, serves another schema, or lets us do too little.
async fn readyz(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let why = match &*shared.schema.borrow() {
        SchemaState::Same => shared.permissions.borrow().lacks_always().map(|lack| lack.message + "\n"),
        SchemaState::Unknown(why) => Some(format!("the served schema is not known: {why}\n")),
        SchemaState::Other(why) => Some(format!("the served schema is not ours: {why}\n")),
    };
    why.map_or((StatusCode::OK, "ok\n".to_owned()), |why| (StatusCode::SERVICE_UNAVAILABLE, why))
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], shared.metrics.text())
}
