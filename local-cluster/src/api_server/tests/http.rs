//! Everything that only the wire shows: tokens, permissions, tables, discovery, hostile input, logs.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use serde_json::json;

use super::*;
use crate::api_server::{LogError, LogRequest, LogSource, LogStream};

async fn raw(server: &ApiServer, headers: &[(&str, &str)], method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let mut request = ::http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(axum::body::Body::from(body.to_vec())).unwrap();
    let response = super::super::router::handle(Arc::clone(&server.state), None, request).await;
    let code = response.status().as_u16();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let value =
        serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    (code, value)
}

#[tokio::test]
async fn tokens_say_who_asks_and_die_with_their_account() {
    let server = server().await;
    let (code, status) = raw(&server, &[("authorization", "Bearer wrong")], "GET", "/api/v1/pods", b"").await;
    assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")));
    let (code, status) = raw(&server, &[], "GET", "/api/v1/pods", b"").await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" at the cluster scope"
    );
    assert_eq!(raw(&server, &[("authorization", "Bearer admin-token")], "GET", "/api/v1/pods", b"").await.0, 200);
    let accounts = "/api/v1/namespaces/a/serviceaccounts";
    post(&server, accounts, &json!({"metadata": {"name": "sa"}})).await;
    let token = server.issue_token("a", "sa");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let (code, me) =
        raw(&server, &headers, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review.as_bytes()).await;
    assert_eq!((code, &me["status"]["userInfo"]["username"]), (201, &json!("system:serviceaccount:a:sa")), "{me}");
    let (code, issued) = post(&server, &format!("{accounts}/sa/token"), &json!({"spec": {"audiences": []}})).await;
    assert_eq!(code, 201);
    assert!(issued["status"]["token"].is_string() && issued["status"]["expirationTimestamp"].is_string());
    delete(&server, &format!("{accounts}/sa"), &Value::Null).await;
    post(&server, accounts, &json!({"metadata": {"name": "sa"}})).await;
    assert_eq!(raw(&server, &headers, "GET", "/version", b"").await.0, 401, "a namesake does not inherit tokens");
}

#[tokio::test]
async fn roles_decide_and_nobody_grants_more_than_they_have() {
    let server = server().await;
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/a";
    let role = json!({"metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]});
    post(&server, &format!("{roles}/roles"), &role).await;
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "jane"}]});
    let (code, created) = post(&server, &format!("{roles}/rolebindings"), &binding).await;
    assert_eq!((code, &created["subjects"][0]["apiGroup"]), (201, &json!("rbac.authorization.k8s.io")), "{created}");
    let jane = Identity::user("jane", &[]);
    let ask = |method: &'static str, path: String| {
        let (server, jane) = (server.clone(), jane.clone());
        async move { send_as(&server, jane, method, &path, "application/json", &Value::Null).await }
    };
    assert_eq!(ask("GET", PODS.to_owned()).await.0, 200);
    let (code, status) = ask("DELETE", format!("{PODS}/p")).await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods \"p\" is forbidden: User \"jane\" cannot delete resource \"pods\" in API group \"\" in the namespace \"a\""
    );
    assert_eq!(ask("GET", "/metrics".to_owned()).await.0, 403);
    assert_eq!(ask("GET", "/openapi/v3".to_owned()).await.0, 200);
    let may = json!({"spec": {"resourceAttributes": {"namespace": "a", "verb": "list", "resource": "pods"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let (_, answer) = send_as(&server, jane.clone(), "POST", path, "application/json", &may).await;
    assert_eq!(answer["status"]["allowed"], true);
    let editor = json!({"metadata": {"name": "role-editor"}, "rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}]});
    post(&server, &format!("{roles}/roles"), &editor).await;
    let binding = json!({"metadata": {"name": "c"}, "roleRef": {"kind": "Role", "name": "role-editor"},
        "subjects": [{"kind": "User", "name": "jane"}]});
    post(&server, &format!("{roles}/rolebindings"), &binding).await;
    let wider = json!({"metadata": {"name": "wider"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]}]});
    let (code, status) = send_as(&server, jane, "POST", &format!("{roles}/roles"), "application/json", &wider).await;
    assert_eq!(code, 403);
    assert!(
        status["message"].as_str().unwrap().contains("attempting to grant RBAC permissions not currently held"),
        "{status}"
    );
}

#[tokio::test]
async fn hostile_input_is_answered_with_a_status() {
    let server = server().await;
    let admin = ("authorization", "Bearer admin-token");
    let json_type = ("content-type", "application/json");
    for (method, path, body, expected) in [
        ("POST", PODS, &b"{not json"[..], 400),
        ("POST", PODS, b"\xff\xfe", 400),
        ("POST", PODS, b"", 400),
        ("POST", PODS, b"{\"metadata\": 5}", 400),
        ("PUT", "/api/v1/namespaces/a/pods/p", b"[]", 400),
        ("TRACE", "/api/v1/pods", b"", 405),
        ("GET", "/apis/nope.example/v1/things", b"", 404),
        ("GET", "/nonsense", b"", 404),
        ("DELETE", "/api/v1/namespaces/a/pods/p", b"\"text\"", 400),
        ("GET", "/api/v1/pods?labelSelector=%28", b"", 400),
        ("GET", "/api/v1/pods?limit=x", b"", 400),
        ("POST", "/api/v1/namespaces/a/pods/p/exec?command=ls", b"", 501),
    ] {
        let (code, status) = raw(&server, &[admin, json_type], method, path, body).await;
        // Paths that nothing was ever served at get the real server's plain text.
        let is_explained = status["kind"] == "Status" || status == "404 page not found\n";
        assert!(code == expected && is_explained, "{method} {path}: {code} {status}");
    }
    let huge = vec![b' '; 3 * 1024 * 1024 + 1];
    assert_eq!(raw(&server, &[admin, json_type], "POST", PODS, &huge).await.0, 413);
    let (code, _) = raw(&server, &[admin, ("content-type", "application/cbor")], "POST", PODS, b"k8s").await;
    assert_eq!(code, 415);
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\n";
    let (code, status) =
        raw(&server, &[admin, ("content-type", "application/yaml")], "POST", "/api/v1/namespaces/a/configmaps", yaml)
            .await;
    assert_eq!(code, 201, "{status}");
}

#[tokio::test]
async fn tables_and_metadata_are_negotiated() {
    let server = server().await;
    running_pod(&server, "p").await;
    let admin = ("authorization", "Bearer admin-token");
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let (_, shown) = raw(&server, &[admin, ("accept", table)], "GET", PODS, b"").await;
    assert_eq!(shown["kind"], "Table");
    assert_eq!(shown["columnDefinitions"][2]["name"], "Status");
    assert_eq!(shown["rows"][0]["cells"][0], "p");
    assert_eq!(shown["rows"][0]["cells"][6], "n1");
    let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let (_, list) = raw(&server, &[admin, ("accept", metadata)], "GET", PODS, b"").await;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0].get("spec"), None);
    let (code, _) = raw(&server, &[admin, ("accept", "text/html")], "GET", PODS, b"").await;
    assert_eq!(code, 406);
}

#[tokio::test]
async fn discovery_names_every_group_and_every_document() {
    let server = server().await;
    let discovery = kube::discovery::Discovery::new(server.client(Identity::admin())).run().await.unwrap();
    assert!(discovery.has_group("apps") && discovery.has_group("policy"));
    let aggregated = kube::discovery::Discovery::new(server.client(Identity::admin())).run_aggregated().await.unwrap();
    assert_eq!(discovery.groups().count(), aggregated.groups().count());
    let (_, index) = get(&server, "/openapi/v3").await;
    for (name, entry) in index["paths"].as_object().unwrap() {
        let (code, document) = get(&server, entry["serverRelativeURL"].as_str().unwrap()).await;
        assert_eq!((code, &document["openapi"]), (200, &json!("3.0.0")), "{name}");
    }
    let (_, apps) = get(&server, "/openapi/v3/apis/apps/v1").await;
    let deployment = &apps["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(deployment["x-kubernetes-group-version-kind"][0]["kind"], "Deployment");
    let version = server.client(Identity::admin()).apiserver_version().await.unwrap();
    assert_eq!(version.minor, "36");
}

struct Lines;

impl LogSource for Lines {
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogError>> {
        async move {
            if request.previous {
                return Err(LogError::NotAvailable(
                    "previous terminated container \"c\" in pod \"p\" not found".to_owned(),
                ));
            }
            let text = format!("{}/{} tail={:?}\n", request.pod, request.container, request.tail_lines);
            Ok(futures::stream::iter([Ok(Bytes::from(text))]).boxed())
        }
        .boxed()
    }
}

#[tokio::test]
async fn logs_come_from_the_kubelet() {
    let server = server().await;
    running_pod(&server, "p").await;
    assert_eq!(get(&server, &format!("{PODS}/p/log")).await.0, 501);
    server.set_log_source(Arc::new(Lines));
    let (code, text) = get(&server, &format!("{PODS}/p/log?tailLines=2")).await;
    assert_eq!((code, text), (200, json!("p/c tail=Some(2)\n")));
    assert_eq!(get(&server, &format!("{PODS}/p/log?sinceSeconds={}", i64::MAX)).await.0, 200);
    assert_eq!(get(&server, &format!("{PODS}/p/log?previous=true")).await.0, 400);
    assert_eq!(get(&server, &format!("{PODS}/missing/log")).await.0, 404);
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_to_which_uid() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let server =
        ApiServer::new(ApiServerConfig { audit_log: Some(path.clone()), ..ApiServerConfig::default() }).unwrap();
    let body = json!({"preconditions": {"uid": "u1"}});
    delete(&server, "/api/v1/namespaces/default/pods/p", &body).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let event: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(
        event["objectRef"],
        json!({"apiVersion": "v1", "resource": "pods", "namespace": "default", "name": "p", "uid": "u1"})
    );
    assert_eq!((&event["verb"], &event["responseStatus"]["code"]), (&json!("delete"), &json!(404)));
    assert_eq!(event["user"]["username"], "kubernetes-admin");
}

#[tokio::test]
async fn it_serves_over_a_socket_until_told_to_stop() {
    let server = server().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn({
        let server = server.clone();
        async move { server.serve(listener, async { drop(stopped.await) }).await }
    });
    let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
    config.auth_info.token = Some("admin-token".to_owned().into());
    let client = kube::Client::try_from(config).unwrap();
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client, "a");
    let mut watch = Box::pin(pods.watch(&kube::api::WatchParams::default(), "0").await.unwrap());
    stop.send(()).unwrap();
    assert!(watch.next().await.is_none(), "watches end, so that nothing holds the server up");
    drop((watch, pods));
    serving.await.unwrap().unwrap();
}
