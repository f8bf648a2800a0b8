//! Fields of objects, from a server that plays the few answers of an API server that these looks need.

use std::collections::{BTreeSet, HashMap};

use axum::extract::Query;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use chaos_core::model::{Operator, Requirement, Selector};
use serde_json::json;

use super::*;

async fn client() -> kube::Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let resource = |name: &str, kind: &str, namespaced| json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get"]});
    let apps = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1",
        "resources": [resource("deployments", "Deployment", true)]});
    let core = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1",
        "resources": [resource("nodes", "Node", false), resource("pods", "Pod", true)]});
    let trips = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "trips", "namespace": "dispatch"},
        "status": {"readyReplicas": 2, "conditions": [
            {"type": "Available", "status": "True"}, {"type": "Progressing", "status": "Unknown"}]}});
    let pod = |name: &str, ready: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": ready}]}})
    };
    let pages = [
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": "more"},
            "items": [pod("a", "True"), pod("b", "False")]}),
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {},
            "items": [pod("c", "True"), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "d"}}]}),
    ];
    let pods = async move |Query(asked): Query<HashMap<String, String>>| {
        let nothing = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []});
        match asked.get("labelSelector").map(String::as_str) {
            Some("app=trips,!canary") => Json(pages[usize::from(asked.contains_key("continue"))].clone()),
            _ => Json(nothing),
        }
    };
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}, "spec": {"unschedulable": true}});
    let status = |code: u16, reason: &str| {
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason});
        (StatusCode::from_u16(code).unwrap(), Json(body))
    };
    let forbidden = status(403, "Forbidden");
    let app = Router::new()
        .route("/apis/apps/v1", get(async move || Json(apps)))
        .route("/api/v1", get(async move || Json(core)))
        .route("/apis/apps/v1/namespaces/dispatch/deployments/trips", get(async move || Json(trips)))
        .route("/apis/apps/v1/namespaces/dispatch/deployments/secret", get(async move || forbidden))
        .route("/api/v1/nodes/a", get(async move || Json(node)))
        .route("/api/v1/namespaces/dispatch/pods", get(pods))
        .fallback(async move || status(404, "NotFound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap()
}

async fn ask(kind: (&str, &str, &str), question: Question) -> Result<Value, &'static str> {
    answer(kind, question).await.map_err(|cause| cause.reason)
}

async fn answer(kind: (&str, &str, &str), question: Question) -> Result<Value, NoAnswer> {
    // The client's own set-up asks for a TLS provider even where the URL is plain.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kind = GroupVersionKind::gvk(kind.0, kind.1, kind.2);
    KubernetesLook::new(client().await, kind, "dispatch", question).value().await
}

fn field(name: &str, path: &str) -> Question {
    Question::Field { name: name.into(), path: path.parse().unwrap() }
}

fn condition(kind: &str, status: &str) -> Condition {
    Condition { kind: kind.into(), status: status.into() }
}

const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");
const POD: (&str, &str, &str) = ("", "v1", "Pod");

#[tokio::test]
async fn one_field_of_one_object_or_a_cause() {
    let look = async |kind, name: &str, path: &str| ask(kind, field(name, path)).await;
    assert_eq!(look(DEPLOYMENT, "trips", "$.status.readyReplicas").await, Ok(json!(2)));
    assert_eq!(look(("", "v1", "Node"), "a", "$.spec.unschedulable").await, Ok(json!(true)));
    assert_eq!(look(DEPLOYMENT, "trips", "$.status.replicas").await, Err("noData"));
    assert_eq!(look(DEPLOYMENT, "trips", "$.status.conditions[*].type").await, Err("severalValues"));
    assert_eq!(look(DEPLOYMENT, "gone", "$.status").await, Err("notFound"));
    assert_eq!(look(DEPLOYMENT, "secret", "$.status").await, Err("refused"));
    for (kind, words) in [(("apps", "v1", "Typo"), "no Typo of apps/v1"), (("", "v1", "Typo"), "no Typo of v1")] {
        let cause = answer(kind, field("trips", "$.status")).await.unwrap_err();
        assert_eq!(cause.reason, "notFound");
        assert!(cause.message.starts_with(&format!("the server serves {words}; hint: ")), "{}", cause.message);
    }
}

#[tokio::test]
async fn a_condition_has_the_status_that_it_has() {
    let of = async |name: &str, kind: &str| {
        ask(DEPLOYMENT, Question::Condition { name: name.into(), condition: condition(kind, "True") }).await
    };
    assert_eq!(of("trips", "Available").await, Ok(json!("True")));
    assert_eq!(of("trips", "Progressing").await, Ok(json!("Unknown")));
    assert_eq!(of("trips", "Availabel").await, Err("noData"), "a condition that is not there is not False");
    assert_eq!(of("gone", "Available").await, Err("notFound"));
}

#[tokio::test]
async fn objects_are_counted_over_all_pages() {
    let count = async |label: &str, condition: Option<Condition>| {
        let requirement = |key: &str, operator| Requirement { key: key.into(), operator };
        let selector = Selector::new(vec![
            requirement("app", Operator::In(BTreeSet::from([label.to_owned()]))),
            requirement("canary", Operator::DoesNotExist),
        ]);
        ask(POD, Question::Count { selector, condition }).await
    };
    assert_eq!(count("trips", None).await, Ok(json!(4)));
    assert_eq!(count("trips", Some(condition("Ready", "True"))).await, Ok(json!(2)));
    assert_eq!(count("trips", Some(condition("Ready", "False"))).await, Ok(json!(1)));
    assert_eq!(count("other", None).await, Ok(json!(0)), "that there is none is an answer");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = kube::Client::try_from(kube::Config::new(format!("http://{closed}").parse().unwrap())).unwrap();
    let kind = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let look = KubernetesLook::new(client, kind, "dispatch", field("trips", "$.status"));
    assert_eq!(look.value().await.unwrap_err().reason, "unreachable");
}
