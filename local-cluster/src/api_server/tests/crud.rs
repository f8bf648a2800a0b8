//! Create, read, update, delete: identity, versions, parts, finalizers, grace.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn a_new_object_gets_what_only_the_server_gives() {
    let server = server().await;
    let (code, pod) = post(&server, PODS, &pod("p")).await;
    assert_eq!(code, 201);
    assert!(pod["metadata"]["uid"].is_string() && pod["metadata"]["creationTimestamp"].is_string());
    assert_eq!(pod["metadata"]["generation"], 1);
    assert_eq!(pod["metadata"]["namespace"], "a");
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(pod["spec"]["tolerations"][0]["tolerationSeconds"], 300);
    assert_eq!(pod["metadata"]["managedFields"][0]["manager"], "tester");
    let (code, status) = post(&server, PODS, &super::pod("p")).await;
    assert_eq!((code, &status["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(status["message"], "pods \"p\" already exists");
    assert_eq!(status["details"], json!({"name": "p", "kind": "pods"}));
}

#[tokio::test]
async fn kube_clients_create_replace_patch_and_list() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client(Identity::admin()), "a");
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"generateName": "m-"}, "data": {"k": "1"}})).unwrap();
    let created = maps.create(&plainly(), &map).await.unwrap();
    let name = created.metadata.name.clone().unwrap();
    assert!(name.starts_with("m-") && name.len() == 7);
    let mut changed = created.clone();
    changed.data = Some([("k".to_owned(), "2".to_owned())].into());
    let replaced = maps.replace(&name, &plainly(), &changed).await.unwrap();
    assert_ne!(replaced.metadata.resource_version, created.metadata.resource_version);
    let stale = maps.replace(&name, &plainly(), &changed).await.unwrap_err();
    assert!(matches!(&stale, kube::Error::Api(status) if status.code == 409 && status.reason == "Conflict"), "{stale}");
    let patch = Patch::Merge(json!({"data": {"k": "3"}}));
    maps.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    let listed = maps.list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].data.as_ref().unwrap()["k"], "3");
}

#[tokio::test]
async fn a_write_that_changes_nothing_keeps_the_version() {
    let server = server().await;
    let (_, created) = post(&server, PODS, &pod("p")).await;
    let path = format!("{PODS}/p");
    let (code, replaced) = put(&server, &path, &created).await;
    assert_eq!(code, 200, "{replaced}");
    assert_eq!(replaced["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
    let same = json!({"metadata": {"labels": {"app": "web"}}});
    let (_, patched) = patch(&server, &path, "strategic-merge-patch+json", &same).await;
    assert_eq!(patched["metadata"]["resourceVersion"], created["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn specification_and_status_are_written_apart() {
    let server = server().await;
    let deployments = "/apis/apps/v1/namespaces/a/deployments";
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    }, "status": {"replicas": 9}});
    let (code, created) = post(&server, deployments, &deployment).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["spec"]["strategy"]["rollingUpdate"], json!({"maxSurge": "25%", "maxUnavailable": "25%"}));
    assert_ne!(created["status"]["replicas"], 9);
    let path = format!("{deployments}/d");
    let both = json!({"spec": {"replicas": 3}, "status": {"replicas": 3}});
    let (_, scaled) = patch(&server, &path, "merge-patch+json", &both).await;
    assert_eq!((&scaled["spec"]["replicas"], &scaled["metadata"]["generation"]), (&json!(3), &json!(2)));
    assert_ne!(scaled["status"]["replicas"], 3);
    let (_, reported) = patch(
        &server,
        &format!("{path}/status"),
        "merge-patch+json",
        &json!({"spec": {"replicas": 7}, "status": {"replicas": 3}}),
    )
    .await;
    assert_eq!((&reported["spec"]["replicas"], &reported["status"]["replicas"]), (&json!(3), &json!(3)));
    assert_eq!(reported["metadata"]["generation"], 2);
    let (_, scale) = get(&server, &format!("{path}/scale")).await;
    assert_eq!(scale["status"], json!({"replicas": 3, "selector": "app=web"}));
    let (code, scale) =
        patch(&server, &format!("{path}/scale"), "merge-patch+json", &json!({"spec": {"replicas": 5}})).await;
    assert_eq!((code, &scale["spec"]["replicas"]), (200, &json!(5)));
    let (code, status) =
        patch(&server, &path, "merge-patch+json", &json!({"spec": {"selector": {"matchLabels": {"app": "x"}}}})).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
}

#[tokio::test]
async fn deletion_waits_for_finalizers_and_takes_no_new_ones() {
    let server = server().await;
    let maps = "/api/v1/namespaces/a/configmaps";
    post(&server, maps, &json!({"metadata": {"name": "m", "finalizers": ["x.example/one"]}})).await;
    let path = format!("{maps}/m");
    let (code, marked) = delete(&server, &path, &Value::Null).await;
    assert_eq!(code, 200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    let more = json!({"metadata": {"finalizers": ["x.example/one", "x.example/two"]}});
    let (code, status) = patch(&server, &path, "merge-patch+json", &more).await;
    assert_eq!(code, 422, "{status}");
    let (code, _) = patch(&server, &path, "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(code, 200);
    assert_eq!(get(&server, &path).await.0, 404);
}

#[tokio::test]
async fn a_pod_on_a_node_goes_when_its_kubelet_says_so() {
    let server = server().await;
    let pods: Api<Pod> = Api::namespaced(server.client(Identity::admin()), "a");
    let uid = running_pod(&server, "p").await["metadata"]["uid"].as_str().unwrap().to_owned();
    let marked = pods.delete("p", &DeleteParams::default().grace_period(10)).await.unwrap().left().unwrap();
    assert_eq!(marked.metadata.deletion_grace_period_seconds, Some(10));
    let other = Preconditions { uid: Some("other".to_owned()), resource_version: None };
    let refused = pods.delete("p", &DeleteParams::default().grace_period(0).preconditions(other)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 409), "{refused}");
    let own = Preconditions { uid: Some(uid), resource_version: None };
    pods.delete("p", &DeleteParams::default().grace_period(0).preconditions(own)).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
    post(&server, PODS, &pod("unscheduled")).await;
    pods.delete("unscheduled", &DeleteParams::default()).await.unwrap();
    assert!(pods.get_opt("unscheduled").await.unwrap().is_none());
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_and_goes_when_finalized() {
    let server = server().await;
    let (_, marked) = delete(&server, "/api/v1/namespaces/a", &Value::Null).await;
    assert_eq!(marked["status"]["phase"], "Terminating");
    let (code, status) = post(&server, PODS, &pod("p")).await;
    assert_eq!((code, &status["details"]["causes"][0]["reason"]), (403, &json!("NamespaceTerminating")));
    let mut empty = marked.clone();
    empty["spec"]["finalizers"] = json!([]);
    assert_eq!(put(&server, "/api/v1/namespaces/a/finalize", &empty).await.0, 200);
    assert_eq!(get(&server, "/api/v1/namespaces/a").await.0, 404);
    let (code, status) = post(&server, PODS, &pod("p")).await;
    assert_eq!((code, &status["message"]), (404, &json!("namespaces \"a\" not found")));
}

#[tokio::test]
async fn services_get_addresses_and_give_them_back() {
    let server = server().await;
    let services = "/api/v1/namespaces/a/services";
    let service = |name: &str, address: Value| json!({"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": [{"port": 80}]}});
    let (code, first) = post(&server, services, &service("one", Value::Null)).await;
    assert_eq!((code, &first["spec"]["clusterIPs"]), (201, &json!(["127.2.1.1"])));
    assert_eq!(first["spec"]["ports"][0], json!({"port": 80, "protocol": "TCP", "targetPort": 80}));
    let (code, refused) = post(&server, services, &service("two", json!("127.2.1.1"))).await;
    assert_eq!(code, 422, "{refused}");
    delete(&server, &format!("{services}/one"), &Value::Null).await;
    let (code, again) = post(&server, services, &service("two", json!("127.2.1.1"))).await;
    assert_eq!((code, &again["spec"]["clusterIP"]), (201, &json!("127.2.1.1")));
    let (_, headless) = post(&server, services, &service("none", json!("None"))).await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
}

#[tokio::test]
async fn a_dry_run_shows_and_stores_nothing() {
    let server = server().await;
    let (code, shown) = post(&server, &format!("{PODS}?dryRun=All"), &pod("p")).await;
    assert_eq!((code, &shown["status"]["phase"]), (201, &json!("Pending")));
    assert_eq!(get(&server, &format!("{PODS}/p")).await.0, 404);
    post(&server, PODS, &pod("p")).await;
    assert_eq!(delete(&server, &format!("{PODS}/p"), &json!({"dryRun": ["All"]})).await.0, 200);
    assert_eq!(get(&server, &format!("{PODS}/p")).await.0, 200);
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_about_or_ignored_as_asked() {
    let server = server().await;
    let mut misspelt = pod("p");
    misspelt["spec"]["restartPolcy"] = json!("Never");
    let (code, status) = post(&server, &format!("{PODS}?fieldValidation=Strict"), &misspelt).await;
    assert_eq!(code, 400);
    assert!(
        status["message"].as_str().unwrap().contains("strict decoding error: unknown field \"spec.restartPolcy\""),
        "{status}"
    );
    let (code, created) = post(&server, PODS, &misspelt).await;
    assert_eq!(code, 201);
    assert_eq!(created["spec"].get("restartPolcy"), None);
}

#[tokio::test]
async fn broken_objects_are_refused_with_causes() {
    let server = server().await;
    let (code, status) =
        post(&server, PODS, &json!({"metadata": {"name": "Bad_Name"}, "spec": {"containers": [{"name": "c"}]}})).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    let fields: Vec<&str> =
        status["details"]["causes"].as_array().unwrap().iter().filter_map(|c| c["field"].as_str()).collect();
    assert_eq!(fields, ["metadata.name", "spec.containers[0].image"]);
    let (code, status) = post(&server, PODS, &json!({"metadata": {"name": "p"}, "spec": {"containers": "none"}})).await;
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")));
    let (code, status) = post(&server, PODS, &json!([1, 2])).await;
    assert_eq!((code, &status["kind"]), (400, &json!("Status")));
}

#[tokio::test]
async fn lists_come_in_consistent_pages() {
    let server = server().await;
    for index in 0..5 {
        post(&server, PODS, &pod(&format!("p{index}"))).await;
    }
    let (_, first) = get(&server, &format!("{PODS}?limit=2")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    delete(&server, &format!("{PODS}/p3"), &Value::Null).await;
    let (_, second) = get(&server, &format!("{PODS}?limit=5&continue={token}")).await;
    let names: Vec<&str> =
        second["items"].as_array().unwrap().iter().filter_map(|p| p["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["p2", "p3", "p4"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let (code, _) = get(&server, &format!("{PODS}?continue=nonsense")).await;
    assert_eq!(code, 400);
    let (_, selected) = get(&server, &format!("{PODS}?fieldSelector=metadata.name%3Dp1&labelSelector=app%3Dweb")).await;
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    let (code, status) = get(&server, &format!("{PODS}?fieldSelector=spec.foo%3D1")).await;
    assert_eq!((code, &status["message"]), (400, &json!("field label not supported: spec.foo")));
}

#[tokio::test]
async fn events_have_two_faces() {
    let server = server().await;
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p", "namespace": "a"}, "reason": "Killed",
        "note": "text", "type": "Normal", "action": "Kill", "reportingController": "c", "reportingInstance": "i",
        "eventTime": "2026-01-01T00:00:00.000000Z"});
    let (code, created) = post(&server, "/apis/events.k8s.io/v1/namespaces/a/events", &event).await;
    assert_eq!((code, &created["note"]), (201, &json!("text")), "{created}");
    let (_, core) = get(&server, "/api/v1/namespaces/a/events/e").await;
    assert_eq!((&core["message"], &core["involvedObject"]["name"]), (&json!("text"), &json!("p")));
    let series = json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:05.000000Z"}});
    let (code, patched) =
        patch(&server, "/apis/events.k8s.io/v1/namespaces/a/events/e", "merge-patch+json", &series).await;
    assert_eq!((code, &patched["series"]["count"]), (200, &json!(2)), "{patched}");
}

#[tokio::test]
async fn a_pod_is_deleted_whatever_time_it_is_given() {
    let server = server().await;
    running_pod(&server, "p").await;
    let (code, marked) = delete(&server, &format!("{PODS}/p"), &json!({"gracePeriodSeconds": i64::MAX})).await;
    assert_eq!((code, &marked["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(i32::MAX)), "{marked}");
    let (code, sooner) = delete(&server, &format!("{PODS}/p"), &json!({"gracePeriodSeconds": 5})).await;
    assert_eq!((code, &sooner["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(5)), "{sooner}");
}
