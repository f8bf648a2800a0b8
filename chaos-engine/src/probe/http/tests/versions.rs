//! HTTP/2 and TLS, against servers that speak them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An application, and how often it was connected to.
struct Served {
    address: std::net::SocketAddr,
    connections: Arc<AtomicU64>,
    ca: tempfile::NamedTempFile,
    _accepting: tokio_util::task::AbortOnDropHandle<()>,
}

/// How a server speaks.
#[derive(Clone, Copy)]
struct Speaks {
    /// What it offers (ALPN); `None`: no TLS.
    tls: Option<&'static [u8]>,
    /// HTTP/2 requests at a time on a connection.
    streams: u32,
    /// It answers after this.
    delay: Duration,
    /// What its certificate is for.
    name: &'static str,
}

const PLAIN: Speaks = Speaks { tls: None, streams: 100, delay: Duration::ZERO, name: "127.0.0.1" };

async fn serve(speaks: Speaks) -> Served {
    let certified = rcgen::generate_simple_self_signed([speaks.name.to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), certified.cert.pem()).unwrap();
    let acceptor = speaks.tls.map(|protocol| {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config =
            config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let version = async move |version: http::Version| {
        tokio::time::sleep(speaks.delay).await;
        ([("x-version", format!("{version:?}"))], "ok")
    };
    let app = Router::new().fallback(get(version));
    let connections = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&connections);
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let (app, acceptor) = (TowerToHyperService::new(app.clone()), acceptor.clone());
            tokio::spawn(async move {
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http2().max_concurrent_streams(speaks.streams);
                let served = match acceptor {
                    None => builder.serve_connection(TokioIo::new(stream), app).await,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => builder.serve_connection(TokioIo::new(stream), app).await,
                        Err(_) => return,
                    },
                };
                drop(served);
            });
        }
    });
    Served { address, connections, ca, _accepting: tokio_util::task::AbortOnDropHandle::new(accepting) }
}

fn of(served: &Served, scheme: &str, version: HttpVersion) -> HttpPlan {
    let mut plan = HttpPlan { version, ..plan("p", &format!("{scheme}://{}", served.address)) };
    let spoken = if version == HttpVersion::Http2 { "HTTP/2.0" } else { "HTTP/1.1" };
    plan.steps[0].success.headers = vec![("x-version".into(), HeaderCheck::Equals(spoken.into()))];
    plan
}

/// Classes of the slots that were not good, and how many slots there were, in half a second.
async fn load(plan: HttpPlan) -> (Vec<BadSlot>, Vec<Bin>) {
    let context = context();
    let mut load = Load::start_for(vec![plan], Duration::from_millis(500), &context).unwrap();
    load.finished().await.unwrap();
    let (mut bins, mut bad) = told(&context.recorder);
    (bad.remove("p").unwrap_or_default(), bins.remove("p").unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_carries_many_requests_on_a_connection() {
    let served = serve(PLAIN).await;
    let (bad, bins) = load(of(&served, "http", HttpVersion::Http2)).await;
    assert_eq!((bad, bins[0].slots), (Vec::new(), 50));
    let connections = served.connections.load(Ordering::SeqCst);
    // One is enough on an idle machine; a starved one has several requests to send before the first server speaks.
    assert!(connections <= 25, "{connections}");

    let closing = HttpPlan { keep_alive: false, ..of(&served, "http", HttpVersion::Http2) };
    assert_eq!(load(closing).await.0, Vec::new());
    assert_eq!(served.connections.load(Ordering::SeqCst) - connections, 50, "one for each request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_allows_few_requests_at_a_time_gets_more_connections() {
    // 30 requests are under way at any time; queueing for 2 places would take each of them seconds.
    let served = serve(Speaks { streams: 2, delay: Duration::from_millis(300), ..PLAIN }).await;
    let (bad, bins) = load(of(&served, "http", HttpVersion::Http2)).await;
    assert_eq!((bad, bins[0].slots), (Vec::new(), 50));
    let connections = served.connections.load(Ordering::SeqCst);
    // On a starved machine more are under way at a time, and a connection of its own for each is the most.
    assert!((10..=50).contains(&connections), "{connections}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_and_its_version_is_what_was_asked_for() {
    for (offers, version) in [(&b"h2"[..], HttpVersion::Http2), (b"http/1.1", HttpVersion::Http1)] {
        let served = serve(Speaks { tls: Some(offers), ..PLAIN }).await;
        let trusting = HttpPlan { trust: Trust::of_file(served.ca.path()).unwrap(), ..of(&served, "https", version) };
        knock(&trusting, Duration::from_secs(20)).await.unwrap();
        let (bad, bins) = load(trusting).await;
        assert_eq!((bad, bins[0].slots), (Vec::new(), 50), "{version:?}");

        let strange = of(&served, "https", version);
        let told = knock(&strange, Duration::from_secs(20)).await.unwrap_err();
        assert!(told.to_string().contains("certificate"), "{told}");
        let (bad, _) = load(strange).await;
        assert!(bad.len() == 50 && bad.iter().all(|bad| bad.class == BadClass::Tls), "{:?}", bad.first());
    }
    // Asked for HTTP/2 and offered something else: no answer of another version counts.
    let old = serve(Speaks { tls: Some(b"http/1.1"), ..PLAIN }).await;
    let plan = of(&old, "https", HttpVersion::Http2);
    let (bad, _) = load(HttpPlan { trust: Trust::of_file(old.ca.path()).unwrap(), ..plan }).await;
    assert!(bad.len() == 50 && bad.iter().all(|bad| !bad.class.is_unknown()), "{:?}", bad.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_an_address_is_verified_by_the_name_that_a_manifest_gives() {
    let served = serve(Speaks { tls: Some(b"http/1.1"), name: "gateway.dispatch", ..PLAIN }).await;
    let ca = served.ca.path().display();
    let told = async |tls: &str, scheme: &str| {
        let text = format!(
            "apiVersion: chaos.dispatch.dev/v1alpha1\nkind: LoadTest\nmetadata: {{name: l, namespace: dispatch}}\nspec:\n  \
             duration: 1s\n  flows: [{{name: p, http: {{service: gateway, rate: 1/s, timeout: 20s{tls}}}}}]\n"
        );
        let test = chaos_core::validate::load_file("l.yaml", &text).unwrap().remove(0);
        let origin = format!("{scheme}://{}", served.address).parse().unwrap();
        let plan = HttpPlan::new("p", &test.flows[0].load, origin).map_err(|error| error.to_string())?;
        knock(&plan, Duration::from_secs(20)).await.map_err(|error| error.to_string())
    };
    assert_eq!(told(&format!(", caFile: \"{ca}\", serverName: gateway.dispatch"), "https").await, Ok(()));
    for (tls, scheme, part) in [
        (format!(", caFile: \"{ca}\", serverName: billing.dispatch"), "https", "certificate"),
        (format!(", caFile: \"{ca}\""), "https", "certificate"),
        (", serverName: gateway.dispatch".to_owned(), "https", "certificate"),
        (", caFile: /nowhere/ca.pem".to_owned(), "https", "/nowhere/ca.pem"),
        // Whoever asks for a verified server must not get one that nobody verified.
        (", serverName: gateway.dispatch".to_owned(), "http", "appProtocol: https"),
    ] {
        let error = told(&tls, scheme).await.unwrap_err();
        assert!(error.contains(part), "{tls} {scheme}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_server_that_goes_away_costs_what_was_under_way_on_it() {
    // It accepts, says that it speaks HTTP/2, reads, and is gone.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                // The first request is taken, and nobody answers it.
                let _taken = connection.accept().await;
            });
        }
    });
    let plan = HttpPlan { version: HttpVersion::Http2, ..plan("p", &format!("http://{address}")) };
    let (bad, bins) = load(plan).await;
    let slots: u64 = bins.iter().map(|bin| bin.slots).sum();
    assert_eq!((slots, bad.len()), (50, 50), "no second try made it good");
    assert!(bad.iter().all(|bad| bad.class == BadClass::Reset), "{:?}", bad.first());
}
