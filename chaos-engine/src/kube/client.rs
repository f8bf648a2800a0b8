//! Clients. Reads may be repeated by the client; whatever changes the cluster is sent exactly once, because a repeated
//! eviction is silent pressure on a disruption budget and a repeated delete can be a second kill. None waits for ever (see `answered`).

use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::ServiceBuilder;

use super::answered::AnswerWithin;
use super::survey::Surveys;

/// A server that takes longer to accept a connection is out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that has not begun to answer a write by then has lost it, as far as anybody knows: one that keeps its connections and says
/// nothing would hold up a run, or its end, for as long. Longer than [`Caller`](super::Caller) waits, which tells more of what was lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The same of a read, with all that the client repeats it: lists of a server that is busy take their time.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// One client for reads, one for writes.
#[derive(Clone)]
pub struct Clients {
    /// May repeat a request. Waits for no answer for ever either, but for those that are meant to be long.
    pub read: Client,
    /// Sends every request exactly once, and waits for no answer for ever.
    pub write: Client,
    /// Who surveys the cluster, and for whom. What a strike has to know is read without waiting for it.
    pub(crate) surveys: Surveys,
}

/// A client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The configuration cannot be used.
    #[error("failed to set up the client for {url}: {source}")]
    Setup {
        /// Address of the API server.
        url: String,
        /// What is wrong.
        source: Box<kube::Error>,
    },
}

impl Clients {
    /// Clients for this cluster. `agent` names the caller in the server's audit log.
    pub fn new(mut config: Config, agent: &str) -> Result<Self, ConnectError> {
        let url = config.cluster_url.to_string();
        let setup = |source: kube::Error| ConnectError::Setup { url: url.clone(), source: Box::new(source) };
        // The process-wide provider may have been installed by somebody else already: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if let Ok(agent) = HeaderValue::from_str(agent) {
            config.headers.push((USER_AGENT, agent));
        }
        let write = once(&config).map_err(setup)?;
        let read = answering(config, READ_WITHIN).map_err(setup)?;
        Ok(Self::of(read, write))
    }

    /// Both from one client, which must not repeat requests by itself.
    pub fn same(client: Client) -> Self {
        Self::of(client.clone(), client)
    }

    /// For whoever measures by what the cluster answers: it asks once. That a server is busy or away is what a probe is to hear of, and
    /// the client for reads asks it again until it is not.
    pub fn asking_once(&self) -> Client {
        self.write.clone()
    }

    fn of(read: Client, write: Client) -> Self {
        Self { read, write, surveys: Surveys::new() }
    }
}

/// A client as kube makes it, which waits no longer than that for an answer to begin, and for its next piece, but for watches and
/// logs that are followed: those are meant to be long.
pub fn answering(config: Config, within: Duration) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&AnswerWithin(within)).build())
}

/// A client without kube's retry layer and without hyper's own retry of cancelled requests.
fn once(config: &Config) -> kube::Result<Client> {
    let connector = config.rustls_https_connector()?;
    let transport: legacy::Client<_, Body> =
        legacy::Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .layer(AnswerWithin(ANSWER_WITHIN))
        .service(transport);
    Ok(Client::new(service, config.default_namespace.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::StatusCode;
    use axum::{Json, Router};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::{Patch, PatchParams};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::*;
    use crate::kube::is_of_a_moment;

    #[tokio::test]
    async fn whoever_measures_hears_of_a_server_that_is_away_for_a_moment() {
        let asked: Arc<AtomicUsize> = Arc::default();
        let counted = asked.clone();
        let app = Router::new().fallback(move || {
            let is_first = counted.fetch_add(1, Ordering::Relaxed) == 0;
            let code = if is_first { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            async move { (code, Json(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))) }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let clients = Clients::new(Config::new(url), "test").unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(clients.asking_once(), "n");
        assert!(maps.get("a").await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_a_read_and_says_nothing_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let clients = Clients::new(Config::new(url), "test").unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(clients.read, "n");
        let read = tokio::time::timeout(READ_WITHIN * 2, maps.get("a")).await;
        let error = read.expect("it ends by itself").unwrap_err();
        assert!(is_of_a_moment(&error), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_a_write_and_says_nothing_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let clients = Clients::new(Config::new(url), "test").unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(clients.write, "n");
        let (params, patch) = (PatchParams::default(), Patch::Merge(json!({"data": {}})));
        let written = tokio::time::timeout(ANSWER_WITHIN * 2, maps.patch("a", &params, &patch)).await;
        let error = written.expect("it ends by itself").unwrap_err();
        assert!(is_of_a_moment(&error), "{error:?}");
    }
}
