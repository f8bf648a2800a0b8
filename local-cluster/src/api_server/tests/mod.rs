//! The API server as its clients see it: through `kube::Client`, in process, and over a socket where that matters.

mod apply;
mod crud;
mod custom;
mod eviction;
mod http;
mod policy;
mod watch;
mod workloads;

use std::sync::Arc;

use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::{ApiServer, ApiServerConfig, Identity};
use crate::network::AddressRange;

/// A server with a namespace `a`.
async fn server() -> ApiServer {
    let services = AddressRange::all().next().unwrap().services();
    let config = ApiServerConfig {
        admin_token: "admin-token".to_owned(),
        service_ips: Some(Arc::new(services)),
        ..ApiServerConfig::default()
    };
    let server = ApiServer::new(config).unwrap();
    let namespace = json!({"metadata": {"name": "a"}});
    assert_eq!(send(&server, "POST", "/api/v1/namespaces", "application/json", &namespace).await.0, 201);
    server
}

/// Sends a request as the administrator; gives code and body.
async fn send(server: &ApiServer, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
    send_as(server, Identity::admin(), method, path, content_type, body).await
}

async fn send_as(
    server: &ApiServer,
    identity: Identity,
    method: &str,
    path: &str,
    content_type: &str,
    body: &Value,
) -> (u16, Value) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = ::http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .header("user-agent", "tester/1.0")
        .body(axum::body::Body::from(body))
        .unwrap();
    let response = super::router::handle(Arc::clone(&server.state), Some(identity), request).await;
    let code = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let value =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    (code, value)
}

async fn get(server: &ApiServer, path: &str) -> (u16, Value) {
    send(server, "GET", path, "application/json", &Value::Null).await
}

async fn post(server: &ApiServer, path: &str, body: &Value) -> (u16, Value) {
    send(server, "POST", path, "application/json", body).await
}

async fn put(server: &ApiServer, path: &str, body: &Value) -> (u16, Value) {
    send(server, "PUT", path, "application/json", body).await
}

async fn delete(server: &ApiServer, path: &str, body: &Value) -> (u16, Value) {
    send(server, "DELETE", path, "application/json", body).await
}

async fn patch(server: &ApiServer, path: &str, kind: &str, body: &Value) -> (u16, Value) {
    send(server, "PATCH", path, &format!("application/{kind}"), body).await
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
}

const PODS: &str = "/api/v1/namespaces/a/pods";

/// Makes a pod that runs on a node and is ready.
async fn running_pod(server: &ApiServer, name: &str) -> Value {
    assert_eq!(post(server, PODS, &pod(name)).await.0, 201);
    let binding = json!({"metadata": {"name": name}, "target": {"kind": "Node", "name": "n1"}});
    assert_eq!(post(server, &format!("{PODS}/{name}/binding"), &binding).await.0, 201);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let (code, pod) = patch(server, &format!("{PODS}/{name}/status"), "merge-patch+json", &status).await;
    assert_eq!(code, 200);
    pod
}

fn dynamic(server: &ApiServer, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(server.client(Identity::admin()), "a", &resource)
}

/// What a client posts with when it has nothing special to say.
fn plainly() -> PostParams {
    PostParams::default()
}
