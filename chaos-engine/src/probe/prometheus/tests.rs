//! Answers of every shape, from a server that plays Prometheus. The real one is asked in the test target `prometheus`.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::post;
use serde_json::json;

use super::*;

async fn reason(status: StatusCode, body: String) -> Result<Value, &'static str> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = async move || (status, [(header::CONTENT_TYPE, "application/json")], body);
    let app = Router::new().route("/api/v1/query", post(answer.clone()).get(answer));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let look = PrometheusLook::new(&url, "up", Duration::from_secs(30)).unwrap();
    look.value().await.map_err(|cause| cause.reason)
}

async fn result(kind: &str, result: Value) -> Result<Value, &'static str> {
    let body = json!({"status": "success", "data": {"resultType": kind, "result": result}});
    reason(StatusCode::OK, body.to_string()).await
}

#[tokio::test]
async fn only_one_finite_number_for_now_is_a_value() {
    let now = Timestamp::now().as_second();
    let series = |value: &str| json!({"metric": {"job": "a"}, "value": [now, value]});
    assert_eq!(result("scalar", json!([now, "0.5"])).await, Ok(json!(0.5)));
    assert_eq!(result("vector", json!([series("1")])).await, Ok(json!(1.0)));
    assert_eq!(result("vector", json!([])).await, Err("noData"));
    assert_eq!(result("vector", json!([series("NaN")])).await, Err("nan"));
    assert_eq!(result("vector", json!([series("+Inf")])).await, Err("infinite"));
    assert_eq!(result("vector", json!([series("1"), series("2")])).await, Err("severalSeries"));
    assert_eq!(result("matrix", json!([{"metric": {}, "values": [[now, "1"]]}])).await, Err("badQuery"));
    assert_eq!(result("scalar", json!([now - 3_600, "0.5"])).await, Err("stale"));
    assert_eq!(result("string", json!([now, "text"])).await, Err("unparsable"));
}

#[tokio::test]
async fn refusals_have_a_cause() {
    let refused = |kind: &str| json!({"status": "error", "errorType": kind, "error": "why"}).to_string();
    assert_eq!(reason(StatusCode::BAD_REQUEST, refused("bad_data")).await, Err("badQuery"));
    assert_eq!(reason(StatusCode::SERVICE_UNAVAILABLE, refused("timeout")).await, Err("timeout"));
    assert_eq!(reason(StatusCode::UNPROCESSABLE_ENTITY, refused("execution")).await, Err("failed"));
    assert_eq!(reason(StatusCode::OK, "{".into()).await, Err("unparsable"));
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_differ() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let silent = PrometheusLook::new(&url, "up", Duration::from_millis(100)).unwrap();
    assert_eq!(silent.value().await.unwrap_err().reason, "timeout");
    drop(listener);
    let gone = PrometheusLook::new(&url, "up", Duration::from_secs(30)).unwrap();
    assert_eq!(gone.value().await.unwrap_err().reason, "unreachable");
}
