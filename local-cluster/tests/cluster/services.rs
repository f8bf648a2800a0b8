//! Services: who gets connections, and who does not.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;

use crate::harness::{TestCluster, deployment, eventually, get, pod_address, service};

async fn service_address(cluster: &TestCluster, name: &str) -> String {
    let service = cluster.api::<Service>().get(name).await.unwrap();
    format!("{}:8080", service.spec.unwrap().cluster_ip.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_go_to_all_ready_pods_and_to_no_other() {
    let cluster = TestCluster::start().await;
    cluster.create(service("web")).await;
    let address = service_address(&cluster, "web").await;
    assert_eq!(get(&address, "/").await.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    cluster.create(deployment("web", 3, &json!({}))).await;
    let pods = cluster.settled("web", 3).await;
    let names: BTreeSet<_> = pods.iter().map(ResourceExt::name_any).collect();
    eventually("all pods are behind the service", async || {
        let mut answers = BTreeSet::new();
        for _ in 0..6 {
            answers.insert(get(&address, "/").await.ok()?);
        }
        (answers == names).then_some(())
    })
    .await;

    get(&pod_address(&pods[0]), "/unready").await.unwrap();
    eventually("an unready pod gets no connection", async || {
        let mut answers = BTreeSet::new();
        for _ in 0..6 {
            answers.insert(get(&address, "/").await.ok()?);
        }
        (!answers.contains(&pods[0].name_any())).then_some(())
    })
    .await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_kill_costs_no_request_when_the_pod_drains() {
    let cluster = TestCluster::start().await;
    cluster.create(service("web")).await;
    cluster.create(deployment("web", 2, &json!({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}))).await;
    let pods = cluster.settled("web", 2).await;
    let address = service_address(&cluster, "web").await;
    eventually("the service answers", async || get(&address, "/").await.ok()).await;
    cluster.api::<Pod>().delete(&pods[0].name_any(), &DeleteParams::default()).await.unwrap();
    let mut failures = 0;
    while cluster.api::<Pod>().get_opt(&pods[0].name_any()).await.unwrap().is_some() {
        failures += u32::from(get(&address, "/").await.is_err());
    }
    assert_eq!(failures, 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_find_services_by_environment() {
    let cluster = TestCluster::start().await;
    cluster.create(service("trips")).await;
    let address = service_address(&cluster, "trips").await;
    let env = json!({"env": [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "TRIPS_URL", "value": "http://$(TRIPS_SERVICE_HOST):$(TRIPS_SERVICE_PORT)"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    ]});
    cluster.create(deployment("web", 1, &env)).await;
    let pod = cluster.settled("web", 1).await.remove(0);
    let show = async |name: &str| get(&pod_address(&pod), &format!("/env/{name}")).await.unwrap();
    assert_eq!(show("TRIPS_URL").await, format!("http://{address}"));
    assert_eq!(show("NODE").await, pod.spec.as_ref().unwrap().node_name.clone().unwrap());

    let kubeconfig = std::fs::read_to_string(show("KUBECONFIG").await).unwrap();
    let config = kube::config::Kubeconfig::from_yaml(&kubeconfig).unwrap();
    let config =
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await.unwrap();
    assert_eq!(config.cluster_url.port_u16(), Some(cluster.cluster.address().port()));
    cluster.stop().await;
}
