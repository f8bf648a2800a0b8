//! Workloads: what keeps pods alive, replaces, rolls and scales them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{TestCluster, container, deployment, eventually, is_ready};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_spreads_its_pods_and_replaces_those_that_are_killed() {
    let cluster = TestCluster::start().await;
    cluster.create(deployment("web", 3, &json!({}))).await;
    let pods = cluster.settled("web", 3).await;
    let nodes: BTreeSet<_> = pods.iter().map(|pod| pod.spec.as_ref().unwrap().node_name.clone().unwrap()).collect();
    assert_eq!(nodes.len(), 3, "one pod a node");

    let victim = pods[0].name_any();
    let killed = Instant::now();
    cluster.api::<Pod>().delete(&victim, &DeleteParams::default()).await.unwrap();
    eventually("a replacement is ready", async || {
        (cluster.ready("web").await.iter().filter(|pod| pod.name_any() != victim).count() == 3).then_some(())
    })
    .await;
    eprintln!("kill -> replacement ready: {:?}", killed.elapsed());
    cluster.settled("web", 3).await;

    let events = cluster.api::<Event>().list(&ListParams::default()).await.unwrap().items;
    let reasons: BTreeSet<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
    for reason in ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulled", "Created", "Started", "Killing"] {
        assert!(reasons.contains(reason), "{reason} is missing in {reasons:?}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_never_has_too_few_and_a_rollback_reuses_the_old_set() {
    let cluster = TestCluster::start().await;
    cluster.create(deployment("web", 3, &json!({}))).await;
    cluster.settled("web", 3).await;
    let deployments = cluster.api::<Deployment>();
    let set_env = |value: &str| {
        let container = container(&json!({"env": [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "VERSION", "value": value},
        ]}));
        Patch::Merge(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
    };
    deployments.patch("web", &PatchParams::default(), &set_env("2")).await.unwrap();
    let mut fewest = usize::MAX;
    let updated = eventually("the rollout is complete", async || {
        fewest = fewest.min(cluster.ready("web").await.len());
        let status = deployments.get("web").await.unwrap();
        is_rolled_out(&status, 3).then_some(status)
    })
    .await;
    assert!(fewest >= 3, "maxUnavailable 25% of 3 is 0, but only {fewest} were ready");
    assert_eq!(updated.annotations().get("deployment.kubernetes.io/revision").map(String::as_str), Some("2"));

    let sets = cluster.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items;
    let old = sets.iter().find(|set| set.annotations()["deployment.kubernetes.io/revision"] == "1").unwrap();
    let template = json!({"spec": {"template": {"spec": old.spec.as_ref().unwrap().template.as_ref().unwrap().spec}}});
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(template)).await.unwrap();
    eventually("the rollback is complete", async || {
        is_rolled_out(&deployments.get("web").await.unwrap(), 3).then_some(())
    })
    .await;
    let sets = cluster.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(sets.len(), 2);
    let reused = sets.iter().find(|set| set.name_any() == old.name_any()).unwrap();
    assert_eq!(reused.annotations()["deployment.kubernetes.io/revision"], "3");
    cluster.stop().await;
}

fn is_rolled_out(deployment: &Deployment, replicas: i32) -> bool {
    let Some(status) = &deployment.status else { return false };
    status.observed_generation == deployment.metadata.generation
        && [status.replicas, status.updated_replicas, status.available_replicas] == [Some(replicas); 3]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_keeps_names_and_volumes_over_kills() {
    let cluster = TestCluster::start().await;
    cluster.create(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "store", "namespace": "default"},
        "spec": {
            "replicas": 2, "serviceName": "store",
            "selector": {"matchLabels": {"app": "store"}},
            "template": {
                "metadata": {"labels": {"app": "store"}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "initContainers": [{
                        "name": "log", "image": crate::harness::IMAGE, "args": ["append", "/data/starts", "started"],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                    "containers": [container(&json!({
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                        "env": [
                            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                            {"name": "DATA_DIR", "value": "/data"},
                        ],
                    }))],
                },
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    }))
    .await;
    let pods = cluster.settled("store", 2).await;
    let names: BTreeSet<_> = pods.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, BTreeSet::from(["store-0".to_owned(), "store-1".to_owned()]));
    let first = pods.iter().find(|pod| pod.name_any() == "store-0").unwrap();
    let folder = crate::harness::get(&crate::harness::pod_address(first), "/env/DATA_DIR").await.unwrap();

    cluster.api::<Pod>().delete("store-0", &DeleteParams::default()).await.unwrap();
    eventually("store-0 is back as another pod", async || {
        let pod = cluster.api::<Pod>().get_opt("store-0").await.unwrap()?;
        (pod.uid() != first.uid() && is_ready(&pod)).then_some(())
    })
    .await;
    let starts = std::fs::read_to_string(format!("{folder}/starts")).unwrap();
    assert_eq!(starts.lines().count(), 2, "the volume outlives the pod");
    let claim = cluster.api::<PersistentVolumeClaim>().get("data-store-0").await.unwrap();
    assert_eq!(claim.status.unwrap().phase.as_deref(), Some("Bound"));

    let scale = Patch::Merge(json!({"spec": {"replicas": 1}}));
    cluster.api::<StatefulSet>().patch("store", &PatchParams::default(), &scale).await.unwrap();
    let left = cluster.settled("store", 1).await;
    assert_eq!(left[0].name_any(), "store-0", "the highest ordinal goes first");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_deployment_takes_its_pods_along() {
    let cluster = TestCluster::start().await;
    cluster.create(deployment("web", 2, &json!({}))).await;
    cluster.settled("web", 2).await;
    cluster.api::<Deployment>().delete("web", &DeleteParams::background()).await.unwrap();
    cluster.settled("web", 0).await;
    let sets = cluster.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(sets.len(), 0);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_leave_a_node_that_falls_silent() {
    let cluster = TestCluster::start().await;
    cluster.create(deployment("web", 3, &json!({}))).await;
    let pods = cluster.settled("web", 3).await;
    let lost = pods[0].spec.as_ref().unwrap().node_name.clone().unwrap();
    cluster.cluster.silence_node(&lost).unwrap();
    let on_lost = |pod: &Pod| pod.spec.as_ref().unwrap().node_name.as_ref() == Some(&lost);
    tokio::time::timeout(
        Duration::from_secs(25),
        eventually("three pods are ready elsewhere", async || {
            (cluster.ready("web").await.iter().filter(|pod| !on_lost(pod)).count() == 3).then_some(())
        }),
    )
    .await
    .unwrap();
    assert!(cluster.pods("web").await.iter().any(on_lost), "nobody confirms the end of the pod on the silent node");
    cluster.cluster.revive_node(&lost).unwrap();
    cluster.settled("web", 3).await;
    cluster.stop().await;
}
