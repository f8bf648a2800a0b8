//! Whoever answers with a redirect has answered: neither a probe nor a guard asks elsewhere, where nobody said that it may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{StatusCode, Uri, header};
use axum::{Json, Router};

use super::runs::{Stack, assert_held};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_takes_a_redirect_for_the_answer_and_asks_nowhere_else() {
    let fixture = Fixture::alone().await;
    let stack = Stack::start(&fixture.admin, NS, "gateway").await;
    let (operator, prober) = (fixture.operator("a"), fixture.prober());
    fixture
        .run(|spec| {
            let http = &mut spec["experiment"]["probes"][0]["http"];
            (http["path"], http["success"]) = (json!("/elsewhere"), json!({"status": [302]}));
        })
        .await;
    // What it leads to is answered by 200, which would be a failure here.
    assert_held(&fixture.completed().await);
    let paths = stack.paths();
    assert!(paths.contains("/elsewhere") && !paths.contains("/secret"), "{paths:?}");
    operator.end().await;
    prober.end().await;
}

/// A server until the test ends.
async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A Prometheus that says 1 to everything, and counts the requests.
async fn prometheus() -> (SocketAddr, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let answer = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let one = json!([{"metric": {}, "value": [jiff::Timestamp::now().as_second(), "1"]}]);
        async move { Json(json!({"status": "success", "data": {"resultType": "vector", "result": one}})) }
    };
    (serve(Router::new().fallback(answer)).await, requests)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_whose_source_sends_elsewhere_is_not_known_to_hold() {
    let fixture = Fixture::start().await;
    let (elsewhere, requests) = prometheus().await;
    let send_on = move |uri: Uri| {
        let there = format!("http://{elsewhere}{uri}");
        async move { (StatusCode::FOUND, [(header::LOCATION, there)]) }
    };
    let source = serve(Router::new().fallback(send_on)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yaml");
    let ask = |address: SocketAddr| {
        let text = format!("prometheus: {{platform: {{url: \"http://{address}\", namespaces: [{NS}]}}}}\n");
        std::fs::write(&config, text).unwrap();
        fixture.operator_with("a", &config)
    };
    let operator = ask(source);
    let guard = json!({"probe": {"source": "platform", "query": "min(up)", "min": 1}});
    fixture.monkey(|spec| spec["guards"] = json!([guard])).await;
    let is_told = |monkey: &ChaosMonkey| {
        let skipped = monkey.status.iter().flat_map(|status| &status.skipped);
        skipped.filter(|skip| skip.reason == "GuardUnknown").count() >= 3
    };
    let monkey = fixture.until("skips as the guard is not known", is_told).await;
    assert_eq!((kills(&monkey), requests.load(Ordering::Relaxed)), (0, 0));
    operator.end().await;

    let operator = ask(elsewhere);
    fixture.until("a kill once it is asked itself", |monkey| kills(monkey) > 0).await;
    operator.end().await;
}
