//! The API server: Kubernetes' HTTP API over the [store](crate::store), for clients in process and over TCP alike.
//!
//! It keeps, checks and announces objects. It runs nothing and reconciles nothing: what follows from an object is the
//! business of controllers, which are clients like any other. `SURFACE.md` lists what is served.

mod audit;
mod auth;
mod builtin;
mod compact;
mod crd;
mod decode;
mod defaults;
mod discovery;
mod duplicates;
mod error;
mod events;
mod eviction;
mod handlers;
mod logs;
mod metrics;
mod openapi;
mod patch;
mod policy;
mod protobuf;
mod quantity;
mod rbac;
mod read;
mod registry;
mod request;
mod respond;
mod reviews;
mod router;
mod scale;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod validation;
mod watch;
mod write;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use tokio::net::TcpListener;

pub use audit::AuditError;
pub use auth::Identity;
pub use logs::{LogError, LogRequest, LogSource, LogStream};
pub use tls::{ServingCertificate, TlsError};

use crate::network::ServiceIpAllocator;
use crate::store::ObjectKey;
use state::{State, StateParts};

/// Changes remembered per collection: at a thousand changes a second a watcher may sleep for eight seconds.
const DEFAULT_LOG_CAPACITY: usize = 8192;

/// How an [`ApiServer`] is set up.
#[derive(Default)]
pub struct ApiServerConfig {
    /// File to append audit events to, one JSON object a line.
    pub audit_log: Option<PathBuf>,
    /// Bearer token of the administrator (group `system:masters`).
    pub admin_token: String,
    /// Who gives Services their addresses. Without one they have none.
    pub service_ips: Option<Arc<dyn ServiceIpAllocator>>,
    /// Changes remembered per collection, for watches that start in the past; 0 for the default of 8192.
    pub log_capacity: usize,
}

/// Why an API server could not be made or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// The audit log cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The first objects could not be created.
    #[error("failed to create the bootstrap objects: {0}")]
    Bootstrap(String),
    /// The listener failed.
    #[error("failed to serve the API: {0}")]
    Serve(#[from] std::io::Error),
}

/// An API server with its objects. Clones share them.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<State>,
}

impl ApiServer {
    /// A server with the objects that every cluster starts with: namespaces, default roles, priority classes.
    pub fn new(config: ApiServerConfig) -> Result<Self, ApiServerError> {
        let log_capacity = if config.log_capacity == 0 { DEFAULT_LOG_CAPACITY } else { config.log_capacity };
        let state = State::new(StateParts {
            log_capacity,
            service_ips: config.service_ips,
            tokens: auth::Tokens::new(config.admin_token),
            audit: audit::AuditLog::open(config.audit_log.as_deref())?,
        });
        rbac::bootstrap(&state).map_err(|error| ApiServerError::Bootstrap(error.to_string()))?;
        Ok(Self { state: Arc::new(state) })
    }

    /// A client in this process: no socket, no authentication, but every authorization rule that holds for `identity`.
    pub fn client(&self, identity: Identity) -> kube::Client {
        let state = Arc::clone(&self.state);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (state, identity) = (Arc::clone(&state), identity.clone());
            async move { Ok::<_, Infallible>(router::handle(state, Some(identity), request.map(Body::new)).await) }
        });
        kube::Client::new(service, "default")
    }

    /// The same service for a socket: whoever asks is told by the bearer token.
    pub fn router(&self) -> Router {
        let state = Arc::clone(&self.state);
        Router::new().fallback(move |request: Request<Body>| {
            let state = Arc::clone(&state);
            async move { router::handle(state, None, request).await }
        })
    }

    /// Serves until `shutdown`, then ends watches and followed logs and waits for the requests in flight.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ApiServerError> {
        Ok(axum::serve(listener, self.router()).with_graceful_shutdown(self.stopping(shutdown)).await?)
    }

    /// Serves the same over TLS, which is what kubectl needs to send its token.
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        certificate: &ServingCertificate,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ApiServerError> {
        let listener = tls::TlsListener::new(listener, certificate)?;
        Ok(axum::serve(listener, self.router()).with_graceful_shutdown(self.stopping(shutdown)).await?)
    }

    /// Ends watches and logs too once it is asked to stop: they would hold a graceful end up for ever.
    fn stopping(
        &self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let stop = self.state.shutdown.clone();
        async move {
            shutdown.await;
            stop.cancel();
        }
    }

    /// A token for a service account, valid for as long as the account exists.
    pub fn issue_token(&self, namespace: &str, service_account: &str) -> String {
        self.state.tokens.issue(&self.state.read(), ObjectKey::new(namespace, service_account), None)
    }

    /// Tells where container logs come from.
    pub fn set_log_source(&self, source: Arc<dyn LogSource>) {
        self.state.set_log_source(source);
    }
}
