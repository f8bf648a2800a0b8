//! Answers of every shape, from a server that plays Prometheus. The real one is asked in the test target `prometheus`.

use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use axum::{Json, Router};
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

/// A server that answers every kind of question: instant queries by a function of the query, and ranges.
async fn playing(instant: fn(&str) -> Value, range: Value) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ask = async move |Query(asked): Query<HashMap<String, String>>| {
        Json(json!({"status": "success", "data": instant(&asked["query"])}))
    };
    let ranges = async move |Query(asked): Query<HashMap<String, String>>| {
        // The values are put at the points that were asked for, unless they say themselves where they are.
        let (start, step): (f64, f64) = (asked["start"].parse().unwrap(), asked["step"].parse().unwrap());
        let values: Vec<Value> = range
            .as_array()
            .unwrap()
            .iter()
            .enumerate()
            .filter_map(|(i, value)| match value {
                Value::Null => None,
                value => Some(json!([start + i as f64 * step, value])),
            })
            .collect();
        let result = json!([{"metric": {}, "values": values}]);
        Json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    };
    let app = Router::new().route("/api/v1/query", get(ask)).route("/api/v1/query_range", get(ranges));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn vector(values: &[f64]) -> Value {
    let now = Timestamp::now().as_second();
    let series: Vec<Value> = values
        .iter()
        .enumerate()
        .map(|(i, value)| json!({"metric": {"n": i.to_string()}, "value": [now, value.to_string()]}))
        .collect();
    json!({"resultType": "vector", "result": series})
}

#[tokio::test]
async fn an_answer_must_rest_on_something_fresh() {
    let ages = async |instant: fn(&str) -> Value, max_age: Option<u64>| {
        let url = playing(instant, json!([])).await;
        let mut look = PrometheusLook::new(&url, "good or bad", Duration::from_secs(30)).unwrap();
        look.reads = vec!["bad".into(), "good".into()];
        look.max_age = max_age.map(Duration::from_secs);
        look.value().await.map_err(|cause| cause.reason)
    };
    assert_eq!(
        ages(|query| if query.contains("time()") { vector(&[3.0]) } else { vector(&[7.0]) }, Some(60)).await,
        Ok(json!(7.0))
    );
    assert_eq!(
        ages(|query| if query.contains("time()") { vector(&[61.0]) } else { vector(&[7.0]) }, Some(60)).await,
        Err("stale")
    );
    assert_eq!(
        ages(|query| if query.contains("time()") { vector(&[-90.0]) } else { vector(&[7.0]) }, Some(60)).await,
        Err("stale")
    );
    // One selector is old: the fresh one does not make up for it.
    let one_old: fn(&str) -> Value = |query| match query {
        "max(time() - timestamp(good))" => vector(&[1.0]),
        "max(time() - timestamp(bad))" => vector(&[200.0]),
        _ => vector(&[7.0]),
    };
    assert_eq!(ages(one_old, Some(60)).await, Err("stale"));
    assert_eq!(ages(one_old, Some(300)).await, Ok(json!(7.0)));
    // One that is not there at all may be meant so (errors before the first one), both may not: `or vector(0)` is no evidence.
    let one_there: fn(&str) -> Value = |query| match query {
        "max(time() - timestamp(good))" => vector(&[1.0]),
        "max(time() - timestamp(bad))" => vector(&[]),
        _ => vector(&[0.0]),
    };
    assert_eq!(ages(one_there, Some(60)).await, Ok(json!(0.0)));
    let nothing: fn(&str) -> Value = |query| if query.contains("time()") { vector(&[]) } else { vector(&[0.0]) };
    assert_eq!(ages(nothing, Some(60)).await, Err("stale"));
    assert_eq!(ages(nothing, None).await, Ok(json!(0.0)), "who switches the question off gets what there is");
}

#[tokio::test]
async fn every_point_of_a_range_must_be_there() {
    let asked = async |range: Value| {
        let url = playing(|_| vector(&[]), range).await;
        let mut look = PrometheusLook::new(&url, "good", Duration::from_secs(30)).unwrap();
        look.range = Some(QueryRange { over: "20s".parse().unwrap(), step: "5s".parse().unwrap() });
        look.value().await.map_err(|cause| cause.reason)
    };
    assert_eq!(asked(json!(["1", "2", "3", "4", "5"])).await, Ok(json!([1.0, 2.0, 3.0, 4.0, 5.0])));
    for (range, reason) in [
        (json!(["1", null, "3", "4", "5"]), "gap"),
        (json!([null, "2", "3", "4", "5"]), "gap"),
        (json!(["1", "2", "3", "4"]), "gap"),
        (json!([]), "gap"),
        (json!(["1", "2", "3", "4", "5", "6"]), "unparsable"),
        (json!(["1", "NaN", "3", "4", "5"]), "nan"),
        (json!(["1", "2", "+Inf", "4", "5"]), "infinite"),
    ] {
        assert_eq!(asked(range.clone()).await, Err(reason), "{range}");
    }
}

/// A server that scrapes job `a` and says how often, if it says anything.
async fn scraping(interval: Option<&'static str>, job: &'static str) -> PrometheusLook {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let now = Timestamp::now().as_second();
    let ask = async move || {
        let metric = if job.is_empty() { json!({}) } else { json!({"job": job}) };
        let result = json!([{"metric": metric, "value": [now, "1"]}]);
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": result}}))
    };
    let mut app = Router::new().route("/api/v1/query", get(ask));
    if let Some(interval) = interval {
        let targets = json!({"activeTargets": [{"labels": {"job": "a"}, "scrapeInterval": interval}]});
        let told = async move || Json(json!({"status": "success", "data": targets}));
        app = app.route("/api/v1/targets", get(told));
    }
    tokio::spawn(async move { axum::serve(listener, app).await });
    PrometheusLook::new(&url, "up", Duration::from_secs(30)).unwrap()
}

#[tokio::test]
async fn windows_are_held_to_the_scrapes_and_what_could_not_be_held_is_told() {
    let windows: Vec<(String, units::Duration)> = vec![("asked".to_owned(), "30s".parse().unwrap())];
    for (told, job, declared, held) in [
        (Some("15s"), "a", None, Ok(Vec::new())),
        (Some("20s"), "a", None, Err("40s")),
        // The server's own word counts, whatever is declared.
        (Some("20s"), "a", Some("1s"), Err("40s")),
        (Some("15s"), "b", None, Ok(vec!["asked".to_owned()])),
        (Some("15s"), "", None, Ok(vec!["asked".to_owned()])),
        (None, "a", None, Ok(vec!["asked".to_owned()])),
        (None, "a", Some("15s"), Ok(Vec::new())),
        (None, "a", Some("20s"), Err("40s")),
    ] {
        let look = scraping(told, job).await;
        let declared: Option<units::Duration> = declared.map(|interval: &str| interval.parse().unwrap());
        let case = format!("{told:?} {job:?} {declared:?}");
        match (look.check(&windows, declared).await, held) {
            (Ok(unknown), Ok(expected)) => assert_eq!(unknown, expected, "{case}"),
            (Err(short), Err(part)) => assert!(short.to_string().contains(part), "{case}: {short}"),
            (found, _) => panic!("{case}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_server_warns_of_and_what_is_too_large_is_no_answer() {
    let now = Timestamp::now().as_second();
    let partial = json!({"status": "success", "warnings": ["a store did not answer"],
        "data": {"resultType": "scalar", "result": [now, "1"]}});
    assert_eq!(reason(StatusCode::OK, partial.to_string()).await, Err("warned"));
    assert_eq!(reason(StatusCode::OK, format!("{{\"status\": \"{}\"}}", "x".repeat(17 << 20))).await, Err("tooLarge"));
    assert_eq!(reason(StatusCode::BAD_GATEWAY, "<html>".into()).await, Err("unreachable"));
    assert_eq!(reason(StatusCode::FORBIDDEN, "no".into()).await, Err("refused"));
    assert_eq!(reason(StatusCode::OK, "{\"status\": \"success\"}".into()).await, Err("unparsable"));
}
