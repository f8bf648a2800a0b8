//! Fields of objects, from a server that plays the few answers of an API server that these looks need.

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::*;

async fn client() -> kube::Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let resource = |name: &str, kind: &str, namespaced| json!({"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": ["get"]});
    let apps = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1",
        "resources": [resource("deployments", "Deployment", true)]});
    let core = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1",
        "resources": [resource("nodes", "Node", false)]});
    let trips = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "trips", "namespace": "dispatch"},
        "status": {"readyReplicas": 2, "conditions": [{"type": "A"}, {"type": "B"}]}});
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
        .fallback(async move || status(404, "NotFound"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap()
}

async fn look(kind: (&str, &str, &str), name: &str, path: &str) -> Result<Value, &'static str> {
    // The client's own set-up asks for a TLS provider even where the URL is plain.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kind = GroupVersionKind::gvk(kind.0, kind.1, kind.2);
    let look = KubernetesLook::new(client().await, kind, ("dispatch", name), path.parse().unwrap());
    look.value().await.map_err(|cause| cause.reason)
}

#[tokio::test]
async fn one_field_of_one_object_or_a_cause() {
    let deployment = ("apps", "v1", "Deployment");
    assert_eq!(look(deployment, "trips", "$.status.readyReplicas").await, Ok(json!(2)));
    assert_eq!(look(("", "v1", "Node"), "a", "$.spec.unschedulable").await, Ok(json!(true)));
    assert_eq!(look(deployment, "trips", "$.status.replicas").await, Err("noData"));
    assert_eq!(look(deployment, "trips", "$.status.conditions[*].type").await, Err("severalValues"));
    assert_eq!(look(deployment, "gone", "$.status").await, Err("notFound"));
    assert_eq!(look(deployment, "secret", "$.status").await, Err("refused"));
    assert_eq!(look(("apps", "v1", "Typo"), "trips", "$.status").await, Err("notFound"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = kube::Client::try_from(kube::Config::new(format!("http://{closed}").parse().unwrap())).unwrap();
    let kind = GroupVersionKind::gvk("apps", "v1", "Deployment");
    let look = KubernetesLook::new(client, kind, ("dispatch", "trips"), "$.status".parse().unwrap());
    assert_eq!(look.value().await.unwrap_err().reason, "unreachable");
}
