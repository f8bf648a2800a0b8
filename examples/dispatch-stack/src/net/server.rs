//! What every role's server does: health, metrics, the chain of pods, and a shutdown that loses no request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{SERVED_BY, join_chain};
use crate::metrics::Metrics;

/// Longest time that requests in flight may take after the server stopped accepting.
const IN_FLIGHT_MAX: Duration = Duration::from_secs(7);

/// Tells whether this pod can serve; the reason is for people.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;
/// Brings gauges up to date before they are read.
pub type Refresh = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// What a role serves.
#[expect(missing_debug_implementations, reason = "a router and closures have nothing to show")]
pub struct Service {
    /// The role's own routes.
    pub router: Router,
    /// Asked by `/readyz`.
    pub ready: ReadyCheck,
    /// Served at `/metrics`.
    pub metrics: Arc<Metrics>,
    /// Run before each scrape.
    pub refresh: Refresh,
    /// Asked by `/livez`: false only when a restart would help.
    pub alive: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Service {
    /// A service that is ready as soon as it listens.
    pub fn new(router: Router, metrics: Arc<Metrics>) -> Self {
        Self {
            router,
            metrics,
            ready: Arc::new(|| Box::pin(async { Ok(()) })),
            refresh: Arc::new(|| Box::pin(async {})),
            alive: Arc::new(|| true),
        }
    }
}

/// How a pod ends.
#[derive(Clone, Copy, Debug)]
pub enum Shutdown {
    /// Unready first; go on accepting for this long, as others take time to notice; then finish what is in flight.
    Drain(Duration),
    /// At once, whatever is in flight.
    Instant,
}

/// Who this pod is and how it ends.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Name, as in `x-served-by`.
    pub name: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How it ends.
    pub shutdown: Shutdown,
}

/// A server that could not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error(
        "failed to listen on {address}: {source}\nhint: POD_IP and PORT say where; every pod needs an address of its own"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("failed to serve: {0}")]
    Serve(std::io::Error),
}

struct Shared {
    pod: String,
    draining: AtomicBool,
    service: ServiceParts,
}

struct ServiceParts {
    ready: ReadyCheck,
    metrics: Arc<Metrics>,
    refresh: Refresh,
    alive: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Serves until `stop` is cancelled and the shutdown is over.
///
/// # Errors
/// [`ServeError`] when the address cannot be bound or the listener breaks.
pub async fn serve(pod: Pod, service: Service, stop: CancellationToken) -> Result<(), ServeError> {
    let address = pod.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })?;
    tracing::info!(%address, pod = pod.name, "listening");
    let parts =
        ServiceParts { ready: service.ready, metrics: service.metrics, refresh: service.refresh, alive: service.alive };
    let shared = Arc::new(Shared { pod: pod.name, draining: AtomicBool::new(false), service: parts });
    let health = Router::new()
        .route("/livez", get(livez))
        .route("/startupz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(&shared));
    let app = service.router.layer(middleware::from_fn_with_state(Arc::clone(&shared), observe)).merge(health);

    // Small answers must not wait for the other end's delayed acknowledgement. A refused option costs only time.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    match pod.shutdown {
        Shutdown::Instant => {
            tokio::select! {
                ended = axum::serve(listener, app).into_future() => ended.map_err(ServeError::Serve),
                () = stop.cancelled() => Ok(()),
            }
        }
        Shutdown::Drain(delay) => {
            let stopped_accepting = CancellationToken::new();
            let quiet = drain(Arc::clone(&shared), stop, delay, stopped_accepting.clone());
            let server = axum::serve(listener, app).with_graceful_shutdown(quiet);
            let give_up = async move {
                stopped_accepting.cancelled().await;
                tokio::time::sleep(IN_FLIGHT_MAX).await;
            };
            tokio::select! {
                ended = server.into_future() => ended.map_err(ServeError::Serve),
                () = give_up => Ok(()),
            }
        }
    }
}

async fn drain(shared: Arc<Shared>, stop: CancellationToken, delay: Duration, stopped_accepting: CancellationToken) {
    stop.cancelled().await;
    shared.draining.store(true, Ordering::Relaxed);
    tokio::time::sleep(delay).await;
    stopped_accepting.cancel();
}

/// Measures every request of the role's own routes and puts this pod's name in front of the chain.
async fn observe(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".into(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    let behind = response.headers().get(SERVED_BY).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if let Ok(chain) = HeaderValue::from_str(&join_chain([shared.pod.as_str(), behind])) {
        response.headers_mut().insert(SERVED_BY, chain);
    }
    // A client that keeps this connection would meet its end in the middle of a request: it is told to take another one.
    if shared.draining.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    shared.service.metrics.observe_request(&route, response.status().as_u16(), begun.elapsed());
    response
}

/// That it is answered at all shows that the event loop turns.
async fn livez(State(shared): State<Arc<Shared>>) -> Response {
    if (shared.service.alive)() {
        return "ok\n".into_response();
    }
    (StatusCode::INTERNAL_SERVER_ERROR, "a thread that this pod cannot work without has ended\n").into_response()
}

async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if shared.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response();
    }
    match (shared.service.ready)().await {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    (shared.service.refresh)().await;
    let text_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, text_type)], shared.service.metrics.encode()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::{Call, CallError, Peer};

    struct Running {
        peer: Peer,
        stop: CancellationToken,
        server: tokio::task::JoinHandle<()>,
        /// Told when a slow request has arrived.
        arrived: Arc<tokio::sync::Notify>,
    }

    async fn start(shutdown: Shutdown) -> Running {
        let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = probe.local_addr().unwrap();
        drop(probe);
        let arrived = Arc::new(tokio::sync::Notify::new());
        let arriving = Arc::clone(&arrived);
        let slow = get(move || async move {
            arriving.notify_one();
            tokio::time::sleep(Duration::from_millis(150)).await;
            "\"done\""
        });
        let service = Service::new(Router::new().route("/slow", slow), Arc::new(Metrics::new("test")));
        let stop = CancellationToken::new();
        let pod = Pod { name: "pod-1".into(), listen, shutdown };
        let stopped = stop.clone();
        let server = tokio::spawn(async move { serve(pod, service, stopped).await.unwrap() });
        let peer = Peer::new("test", &format!("http://{listen}")).unwrap();
        while peer.call(&Call::get("/livez"), Duration::from_secs(1)).await.is_err() {
            tokio::task::yield_now().await;
        }
        Running { peer, stop, server, arrived }
    }

    #[tokio::test]
    async fn draining_is_unready_at_once_accepts_for_a_while_and_finishes_what_is_in_flight() {
        let Running { peer, stop, server, .. } = start(Shutdown::Drain(Duration::from_millis(300))).await;
        let limit = Duration::from_secs(5);
        assert_eq!(peer.call(&Call::get("/readyz"), limit).await.unwrap().status, StatusCode::OK);
        stop.cancel();
        let late = Call::get("/slow");
        let (ready, slow) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                peer.call(&Call::get("/readyz"), limit).await.unwrap().status
            },
            peer.call(&late, limit)
        );
        assert_eq!(ready, StatusCode::SERVICE_UNAVAILABLE);
        let slow = slow.unwrap();
        assert_eq!((slow.status, slow.served_by()), (StatusCode::OK, "pod-1"));
        server.await.unwrap();
        assert!(matches!(peer.call(&Call::get("/livez"), limit).await, Err(CallError::Refused(..))));
    }

    #[tokio::test]
    async fn an_idle_server_ends_as_soon_as_the_drain_delay_is_over() {
        let Running { stop, server, .. } = start(Shutdown::Drain(Duration::from_millis(20))).await;
        let begun = Instant::now();
        stop.cancel();
        server.await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn instant_exit_does_not_wait_for_requests() {
        let Running { peer, stop, server, arrived } = start(Shutdown::Instant).await;
        let in_flight = tokio::spawn(async move { peer.call(&Call::get("/slow"), Duration::from_secs(5)).await });
        arrived.notified().await;
        stop.cancel();
        server.await.unwrap();
        assert!(!in_flight.is_finished(), "the request was still being served");
        in_flight.abort();
    }
}
