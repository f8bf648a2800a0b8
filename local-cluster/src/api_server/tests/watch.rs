//! Watches: nothing missed, nothing twice, the end when history is gone.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, WatchEvent, WatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::*;

async fn lines(server: &ApiServer, path: &str) -> Vec<Value> {
    let (code, body) = get(server, path).await;
    assert_eq!(code, 200, "{body}");
    match body {
        Value::String(text) => text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        one => vec![one],
    }
}

#[tokio::test]
async fn a_selecting_watch_sees_objects_come_and_go() {
    let server = server().await;
    let (_, list) = get(&server, PODS).await;
    let revision = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    post(&server, PODS, &pod("p")).await;
    let relabel = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    patch(&server, &format!("{PODS}/p"), "merge-patch+json", &relabel("other")).await;
    patch(&server, &format!("{PODS}/p"), "merge-patch+json", &relabel("web")).await;
    delete(&server, &format!("{PODS}/p"), &Value::Null).await;
    let path = format!("{PODS}?watch=true&labelSelector=app%3Dweb&resourceVersion={revision}&timeoutSeconds=1");
    let events = lines(&server, &path).await;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!(kinds, ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"]);
    assert_eq!(events[1]["object"]["metadata"]["labels"]["app"], "web");
    let versions: Vec<u64> =
        events.iter().map(|e| e["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()).collect();
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[tokio::test]
async fn a_streaming_list_ends_with_its_bookmark() {
    let server = server().await;
    post(&server, PODS, &pod("p")).await;
    let path = format!(
        "{PODS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0&allowWatchBookmarks=true&timeoutSeconds=1"
    );
    let events = lines(&server, &path).await;
    assert_eq!(events[0]["type"], "ADDED");
    assert_eq!(events[1]["type"], "BOOKMARK");
    assert_eq!(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
}

#[tokio::test]
async fn a_watch_from_forgotten_history_is_told_to_list_again() {
    let config = ApiServerConfig { log_capacity: 4, ..ApiServerConfig::default() };
    let server = ApiServer::new(config).unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let (_, first) = post(&server, maps, &json!({"metadata": {"name": "m"}})).await;
    let revision = first["metadata"]["resourceVersion"].as_str().unwrap();
    for round in 0..20 {
        patch(&server, &format!("{maps}/m"), "merge-patch+json", &json!({"data": {"k": round.to_string()}})).await;
    }
    // For a second, and for ever.
    for timeout in [1, u64::MAX] {
        let path = format!("{maps}?watch=true&resourceVersion={revision}&timeoutSeconds={timeout}");
        let events = lines(&server, &path).await;
        assert_eq!((&events[0]["type"], &events[0]["object"]["code"]), (&json!("ERROR"), &json!(410)));
        assert_eq!(events[0]["object"]["reason"], "Expired");
        assert_eq!(events.len(), 1);
    }
    let (code, status) = get(&server, &format!("{maps}?resourceVersion={revision}&resourceVersionMatch=Exact")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let (code, status) = get(&server, &format!("{maps}?resourceVersion=99999999")).await;
    assert_eq!((code, &status["details"]["causes"][0]["reason"]), (504, &json!("ResourceVersionTooLarge")));
}

#[tokio::test]
async fn a_hundred_watchers_each_see_every_change() {
    let server = server().await;
    let maps: Api<ConfigMap> = Api::namespaced(server.client(Identity::admin()), "a");
    let mut watchers = Vec::new();
    for _ in 0..100 {
        let stream = maps.watch(&WatchParams::default(), "0").await.unwrap();
        watchers.push(tokio::spawn(async move {
            let events: Vec<WatchEvent<ConfigMap>> = stream.take(20).try_collect().await.unwrap();
            events
                .into_iter()
                .map(|event| match event {
                    WatchEvent::Added(map) => map.metadata.name.unwrap(),
                    other => panic!("unexpected {other:?}"),
                })
                .collect::<BTreeSet<_>>()
        }));
    }
    for index in 0..20 {
        let path = "/api/v1/namespaces/a/configmaps";
        post(&server, path, &json!({"metadata": {"name": format!("m{index:02}")}})).await;
    }
    for watcher in watchers {
        assert_eq!(watcher.await.unwrap().len(), 20);
    }
}

#[tokio::test]
async fn kube_watchers_follow_a_pod_through_its_life() {
    let server = server().await;
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let pods: Api<Pod> = Api::namespaced(server.client(Identity::admin()), "a");
        let mut events = Box::pin(watcher(pods.clone(), config));
        loop {
            if matches!(events.try_next().await.unwrap().unwrap(), watcher::Event::InitDone) {
                break;
            }
        }
        post(&server, PODS, &pod("p")).await;
        let event = events.try_next().await.unwrap().unwrap();
        assert!(matches!(&event, watcher::Event::Apply(pod) if pod.metadata.name.as_deref() == Some("p")));
        delete(&server, &format!("{PODS}/p"), &Value::Null).await;
        let event = events.try_next().await.unwrap().unwrap();
        let ends = |pod: &Pod| pod.metadata.deletion_grace_period_seconds == Some(0);
        assert!(matches!(&event, watcher::Event::Apply(pod) if ends(pod)), "the end of its grace comes first");
        let event = events.try_next().await.unwrap().unwrap();
        assert!(matches!(&event, watcher::Event::Delete(pod) if pod.metadata.name.as_deref() == Some("p")));
    }
}
