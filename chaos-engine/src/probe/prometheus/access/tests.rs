//! Servers that want to be shown something.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::PrometheusLook;
use super::*;

type Shown = Arc<Mutex<Vec<Option<String>>>>;

/// The value 1 for whoever shows this token; everybody else is told what they showed.
fn answer(headers: &HeaderMap, wanted: &str) -> Response {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if shown == format!("Bearer {wanted}") {
        let now = jiff::Timestamp::now().as_second();
        let data = json!({"resultType": "scalar", "result": [now, "1"]});
        return Json(json!({"status": "success", "data": data})).into_response();
    }
    let told = json!({"status": "error", "errorType": "execution", "error": format!("not with {shown}")});
    (StatusCode::UNAUTHORIZED, Json(told)).into_response()
}

fn app(wanted: &'static str) -> Router {
    let ask = async move |headers: HeaderMap| answer(&headers, wanted);
    Router::new().route("/api/v1/query", get(ask))
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn value(access: &Access) -> Result<serde_json::Value, NoAnswer> {
    PrometheusLook::of(access, "up", Duration::from_secs(20)).unwrap().value().await
}

#[tokio::test]
async fn a_token_is_read_for_every_request_and_never_told() {
    let (listener, address) = listener().await;
    tokio::spawn(async move { axum::serve(listener, app("the-second-token")).await });
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("http://{address}");
    let access = Access { bearer_token_file: Some(file.path().to_owned()), ..Access::from(url.as_str()) };
    let look = PrometheusLook::of(&access, "up", Duration::from_secs(20)).unwrap();

    std::fs::write(file.path(), "the-first-token\n").unwrap();
    let refused = look.value().await.unwrap_err().to_string();
    assert!(refused.contains("not with Bearer (redacted)") && !refused.contains("first"), "{refused}");
    assert!(!format!("{access:?} {look:?}").contains("first"));
    assert_eq!(access.secret().as_deref(), Some("the-first-token\n"));
    std::fs::write(file.path(), "the-second-token\n").unwrap();
    assert_eq!(look.value().await.unwrap(), json!(1.0));

    for (text, why) in [("", "there is none"), ("a\nb", "a header cannot hold it")] {
        std::fs::write(file.path(), text).unwrap();
        let error = look.value().await.unwrap_err();
        assert!(error.reason == "credentials" && error.to_string().contains(why), "{error}");
    }
    let gone = Access { bearer_token_file: Some("/nowhere/token".into()), ..access };
    assert!(value(&gone).await.unwrap_err().to_string().contains("/nowhere/token"));
}

#[tokio::test]
async fn a_token_is_not_taken_along_to_where_an_answer_points() {
    let (elsewhere, there) = listener().await;
    let shown = Shown::default();
    let seen = Arc::clone(&shown);
    let note = async move |headers: HeaderMap| {
        let token = headers.get(header::AUTHORIZATION).map(|value| format!("{value:?}"));
        seen.lock().unwrap().push(token);
        "{}"
    };
    tokio::spawn(async move { axum::serve(elsewhere, Router::new().fallback(get(note))).await });
    let (listener, address) = listener().await;
    let away = async move || Redirect::temporary(&format!("http://{there}/api/v1/query"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/api/v1/query", get(away))).await });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the-token").unwrap();
    let url = format!("http://{address}");
    let access = Access { bearer_token_file: Some(file.path().to_owned()), ..Access::from(url.as_str()) };
    assert!(value(&access).await.is_err());
    assert!(shown.lock().unwrap().is_empty());
}

/// A server with a certificate of its own; gives its address and the file to trust.
async fn private() -> (String, tempfile::NamedTempFile) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), certified.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (app, acceptor) = (TowerToHyperService::new(app("the-token")), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), app).await);
            });
        }
    });
    (address, ca)
}

#[tokio::test]
async fn a_server_of_a_private_authority_is_trusted_by_its_file() {
    let (address, ca) = private().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "the-token").unwrap();
    let url = format!("https://{address}");
    let strange = Access { bearer_token_file: Some(file.path().to_owned()), ..Access::from(url.as_str()) };
    let error = value(&strange).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let known = Access { ca_file: Some(ca.path().to_owned()), ..strange.clone() };
    assert_eq!(value(&known).await.unwrap(), json!(1.0));
    let missing = Access { ca_file: Some("/nowhere/ca.pem".into()), ..strange };
    let error = PrometheusLook::of(&missing, "up", Duration::from_secs(1)).unwrap_err();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
}

#[test]
fn what_cannot_be_meant_is_objected_to() {
    let plain = Access { ca_file: Some("ca.pem".into()), ..Access::from("http://p") };
    assert!(plain.objection().is_some_and(|why| why.contains("caFile")));
    assert!(Access::from("p:9090").objection().is_some());
    let secure = Access { url: "https://p".into(), ..plain };
    assert_eq!(secure.objection(), None);
    assert_eq!(secure.below(Path::new("/etc/chaos")).ca_file, Some("/etc/chaos/ca.pem".into()));
}
