//! The life of single pods: restarts, probes, termination, logs, refusals.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, LogParams};
use serde_json::{Value, json};

use crate::harness::{IMAGE, TestCluster, container, eventually, get, is_ready, pod_address};

fn pod(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}}, "spec": spec})
}

async fn container_status(cluster: &TestCluster, name: &str) -> Option<ContainerStatus> {
    cluster.api::<Pod>().get(name).await.unwrap().status?.container_statuses?.into_iter().next()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashing_container_restarts_and_backs_off() {
    let cluster = TestCluster::start().await;
    cluster.create(pod("p", &json!({"containers": [{"name": "main", "image": IMAGE, "args": ["exit", "3"]}]}))).await;
    let status = eventually("it backs off", async || {
        let status = container_status(&cluster, "p").await?;
        let reason = status.state.as_ref()?.waiting.as_ref()?.reason.clone();
        (reason.as_deref() == Some("CrashLoopBackOff") && status.restart_count >= 2).then_some(status)
    })
    .await;
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 3);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_reported_and_the_previous_log_stays_readable() {
    let cluster = TestCluster::start().await;
    cluster.create(pod("p", &json!({"containers": [container(&json!({}))]}))).await;
    let first = cluster.settled("p", 1).await.remove(0);
    let _ = get(&pod_address(&first), "/crash").await;
    let status = eventually("it runs again", async || {
        let status = container_status(&cluster, "p").await?;
        (status.restart_count == 1 && status.ready).then_some(status)
    })
    .await;
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.signal, last.reason.as_deref()), (134, Some(6), Some("Error")));
    let logs = |previous| LogParams { previous, ..LogParams::default() };
    let serving = format!("serving on {}\n", pod_address(&first));
    assert_eq!(cluster.api::<Pod>().logs("p", &logs(true)).await.unwrap(), serving);
    assert_eq!(cluster.api::<Pod>().logs("p", &logs(false)).await.unwrap(), serving);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_ignores_sigterm_is_killed_after_its_grace() {
    let cluster = TestCluster::start().await;
    let main = container(&json!({"env": [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "IGNORE_TERM", "value": "1"},
    ]}));
    cluster.create(pod("p", &json!({"terminationGracePeriodSeconds": 1, "containers": [main]}))).await;
    let address = pod_address(&cluster.settled("p", 1).await[0]);
    let asked = Instant::now();
    cluster.api::<Pod>().delete("p", &DeleteParams::default()).await.unwrap();
    cluster.settled("p", 0).await;
    assert!(asked.elapsed() >= Duration::from_secs(1), "the grace period is granted");
    assert!(get(&address, "/").await.is_err(), "the process is gone before the object");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_deletion_does_not_leave_the_process() {
    let cluster = TestCluster::start().await;
    cluster.create(pod("p", &json!({"containers": [container(&json!({}))]}))).await;
    let address = pod_address(&cluster.settled("p", 1).await[0]);
    cluster.api::<Pod>().delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    eventually("the process is gone", async || get(&address, "/").await.is_err().then_some(())).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_containers_run_in_order_and_jobs_end() {
    let cluster = TestCluster::start().await;
    let mount = json!([{"name": "shared", "mountPath": "/shared"}]);
    let step = |name: &str| json!({"name": name, "image": IMAGE, "args": ["append", "/shared/steps", name], "volumeMounts": mount});
    let spec = json!({
        "restartPolicy": "Never",
        "volumes": [{"name": "shared", "emptyDir": {}}],
        "initContainers": [step("one"), step("two")],
        "containers": [step("three")],
    });
    cluster.create(pod("p", &spec)).await;
    let pod = eventually("it succeeds", async || {
        let pod = cluster.api::<Pod>().get("p").await.unwrap();
        (pod.status.as_ref()?.phase.as_deref() == Some("Succeeded")).then_some(pod)
    })
    .await;
    let status = pod.status.as_ref().unwrap();
    let init: Vec<_> = status.init_container_statuses.iter().flatten().map(|init| init.ready).collect();
    assert_eq!(init, [true, true]);
    assert!(!is_ready(&pod));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_run_says_why() {
    let cluster = TestCluster::start().await;
    cluster.create(pod("unknown-image", &json!({"containers": [{"name": "main", "image": "nginx:1"}]}))).await;
    cluster
        .create(pod(
            "host-path",
            &json!({
                "containers": [{"name": "main", "image": IMAGE, "args": ["sleep"]}],
                "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
            }),
        ))
        .await;
    let message = eventually("the image is not found", async || {
        let waiting = container_status(&cluster, "unknown-image").await?.state?.waiting?;
        (waiting.reason.as_deref() == Some("ImagePullBackOff")).then_some(waiting.message?)
    })
    .await;
    assert!(message.contains(IMAGE), "it says what there is: {message}");
    eventually("the hostPath is refused by an event", async || {
        let events = cluster.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let refused = |event: &Event| {
            event.involved_object.name.as_deref() == Some("host-path")
                && event.message.as_deref().is_some_and(|message| message.contains("hostPath"))
        };
        events.iter().any(refused).then_some(())
    })
    .await;
    assert_eq!(cluster.api::<Pod>().get("host-path").await.unwrap().name_any(), "host-path");
    cluster.stop().await;
}
