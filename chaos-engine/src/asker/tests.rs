//! Sources that answer, that do not and that are not given, from a server that plays Prometheus.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use chaos_core::validate::{self, Meta};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::*;
use crate::sources::Source;

const NS: &str = "dispatch";

/// A Prometheus: what it says to queries, and the names of its alerting rules; one that is called broken is not evaluated.
async fn serve(says: fn(&str) -> Value, rules: &[&str]) -> (String, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let query = async move |Query(asked): Query<HashMap<String, String>>| {
        counted.fetch_add(1, Ordering::Relaxed);
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": says(&asked["query"])}}))
    };
    let rule = |&name: &&str| {
        let health = if name == "Broken" { "err" } else { "ok" };
        json!({"type": "alerting", "name": name, "labels": {}, "health": health})
    };
    let rules: Vec<Value> = rules.iter().map(rule).collect();
    let rules = json!({"status": "success", "data": {"groups": [{"rules": rules}]}});
    let app = Router::new().route("/api/v1/query", get(query)).route("/api/v1/rules", get(async move || Json(rules)));
    (listen(app).await, requests)
}

async fn listen(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn series(values: &[f64]) -> Value {
    let now = Timestamp::now().as_second();
    let one = |(i, value): (usize, &f64)| json!({"metric": {"n": i.to_string()}, "value": [now, value.to_string()]});
    values.iter().enumerate().map(one).collect()
}

/// What is asked besides a value: how old the samples are that it rests on.
fn fresh(query: &str, values: &[f64]) -> Value {
    if query.contains("time()") { series(&[1.0]) } else { series(values) }
}

fn firing() -> Value {
    json!([{"metric": {"alertname": "RidesLost"}, "value": [Timestamp::now().as_second(), "1"]}])
}

fn guards(list: Value) -> Vec<MonkeyGuard> {
    let spec = json!({
        "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]}, "fault": {"podKill": {"mode": "Evict"}},
        "mode": "Live", "meanTimeBetweenKills": "1h", "minTimeBetweenKills": "10m", "schedule": {}, "guards": list,
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "30s",
            "maxBlind": "30s", "allowForce": false},
    });
    let meta = Meta { name: "m".into(), namespace: NS.into(), uid: "u".into() };
    let monkey = validate::monkey(&serde_json::from_value(spec).unwrap(), &meta);
    monkey.unwrap_or_else(|problems| panic!("{problems:?}")).guards
}

fn alert() -> Value {
    json!({"alert": {"source": "platform", "matchers": ["alertname=\"RidesLost\""]}})
}

fn error_budget() -> Value {
    json!({"errorBudget": {"source": "platform", "query": "slo:left", "keep": "25%"}})
}

fn probe(timeout: &str) -> Value {
    json!({"probe": {"source": "platform", "query": "min(up)", "min": 1, "timeout": timeout}})
}

/// Asks a source that is given to these namespaces.
fn asker(url: &str, namespaces: &[&str]) -> Asker {
    let namespaces = namespaces.iter().map(|&namespace| namespace.to_owned()).collect();
    let source = Source { url: url.to_owned(), namespaces, bearer_token_file: None, ca_file: None };
    let sources = Sources { prometheus: BTreeMap::from([("platform".to_owned(), source)]) };
    Asker::new(Arc::new(sources), NS)
}

async fn heard(says: fn(&str) -> Value, rules: &[&str], guard: Value) -> Result<GuardReading, String> {
    let (url, _) = serve(says, rules).await;
    asker(&url, &[NS]).hear(&guards(json!([guard]))).await.remove(0)
}

#[tokio::test]
async fn no_alert_is_an_answer_only_where_some_rule_could_give_one() {
    let quiet: fn(&str) -> Value = |_| json!([]);
    let fires: fn(&str) -> Value = |query| if query.contains("ALERTS") { firing() } else { json!([]) };
    assert_eq!(heard(quiet, &["RidesLost"], alert()).await, Ok(GuardReading::Alerts(None)));
    for rules in [&["RidesLost"][..], &[]] {
        let told = heard(fires, rules, alert()).await;
        let expected = "alert fires: {alertname=\"RidesLost\"}";
        assert_eq!(told, Ok(GuardReading::Alerts(Some(expected.to_owned()))), "{rules:?}");
    }
    for rules in [&["RidesLots"][..], &[]] {
        let told = heard(quiet, rules, alert()).await.unwrap_err();
        assert!(told.starts_with("noRule: "), "{told}");
    }
    let any = || json!({"alert": {"source": "platform", "matchers": ["alertname!=\"Watchdog\""]}});
    assert_eq!(heard(quiet, &["RidesLost", "RidesLate"], any()).await, Ok(GuardReading::Alerts(None)));
    let told = heard(quiet, &["RidesLost", "Broken"], any()).await.unwrap_err();
    assert!(told.starts_with("ruleFailed: the health of alerting rule Broken is err"), "{told}");
    assert!(matches!(heard(fires, &["Broken"], any()).await, Ok(GuardReading::Alerts(Some(_)))));
}

/// What a Prometheus says to a query.
type Says = fn(&str) -> Value;

#[tokio::test]
async fn a_value_is_one_finite_number_that_rests_on_something_fresh() {
    for guard in [error_budget(), probe("5s")] {
        assert_eq!(heard(|query| fresh(query, &[0.5]), &[], guard.clone()).await, Ok(GuardReading::Value(0.5)));
        let cases: [(Says, &str); 4] = [
            (|query| fresh(query, &[]), "noData: "),
            (|query| fresh(query, &[1.0, 2.0]), "severalSeries: "),
            (|query| fresh(query, &[f64::NAN]), "nan: "),
            (|query| if query.contains("time()") { series(&[301.0]) } else { series(&[0.5]) }, "stale: "),
        ];
        for (says, cause) in cases {
            let told = heard(says, &[], guard.clone()).await.unwrap_err();
            assert!(told.starts_with(cause), "{cause}: {told}");
        }
    }
}

#[tokio::test]
async fn a_source_that_is_not_given_is_not_asked() {
    let (url, requests) = serve(|query| fresh(query, &[1.0]), &["RidesLost"]).await;
    let all = guards(json!([alert(), error_budget(), probe("5s")]));
    let unnamed = Asker::new(Arc::default(), NS);
    for asker in [asker(&url, &["elsewhere"]), asker(&url, &[]), unnamed] {
        for told in asker.hear(&all).await {
            let told = told.unwrap_err();
            assert!(told.starts_with("it is not given to this namespace"), "whether there is one is not told: {told}");
        }
    }
    assert_eq!(requests.load(Ordering::Relaxed), 0);
    assert!(asker(&url, &["*"]).hear(&all).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn guards_are_asked_at_once_and_each_within_its_timeout() {
    // It answers nobody before three ask.
    let three = Arc::new(Barrier::new(3));
    let answer = async move |Query(asked): Query<HashMap<String, String>>| {
        three.wait().await;
        Json(json!({"status": "success", "data": {"resultType": "vector", "result": fresh(&asked["query"], &[1.0])}}))
    };
    let url = listen(Router::new().route("/api/v1/query", get(answer))).await;
    let all = guards(json!([probe("5s"), probe("5s"), probe("5s")]));
    let together = asker(&url, &[NS]).hear(&all).await;
    assert!(together.iter().all(Result::is_ok), "{together:?}");
    let silent = listen(Router::new().route("/api/v1/query", get(std::future::pending::<()>))).await;
    let told = asker(&silent, &[NS]).hear(&guards(json!([probe("100ms")]))).await.remove(0).unwrap_err();
    assert!(told.starts_with("timeout: "), "{told}");
    let nobody = asker("http://127.0.0.1:1", &[NS]).hear(&guards(json!([alert()]))).await.remove(0).unwrap_err();
    assert!(nobody.starts_with("unreachable: "), "{nobody}");
}
