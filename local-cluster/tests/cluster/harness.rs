//! A cluster per test, objects from JSON, and waiting for what should become true.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt};
use local_cluster::{Cluster, ClusterConfig, Image};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const TESTPOD: &str = env!("CARGO_BIN_EXE_local-cluster-testpod");
pub(crate) const IMAGE: &str = "test/pod:dev";

/// What should become true does so within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster in a folder of its own.
pub(crate) struct TestCluster {
    pub(crate) cluster: Cluster,
    pub(crate) client: Client,
    parent: tempfile::TempDir,
}

pub(crate) fn config(dir: &Path) -> ClusterConfig {
    let mut config = ClusterConfig::new(dir.to_owned());
    config.images = vec![Image { name: IMAGE.into(), argv: vec![TESTPOD.into()] }];
    config.supervisor = vec![TESTPOD.into(), "__supervise".into()];
    config
}

impl TestCluster {
    pub(crate) async fn start() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(config(&parent.path().join("run"))).await.unwrap();
        let client = cluster.client();
        Self { cluster, client, parent }
    }

    pub(crate) async fn create(&self, object: Value) -> DynamicObject {
        let api_version = object["apiVersion"].as_str().unwrap_or("v1").to_owned();
        let kind = object["kind"].as_str().unwrap().to_owned();
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let namespace = object.namespace().unwrap_or_else(|| "default".into());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &namespace, &resource);
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    pub(crate) async fn pods(&self, app: &str) -> Vec<Pod> {
        let selector = ListParams::default().labels(&format!("app={app}"));
        self.api::<Pod>().list(&selector).await.unwrap().items
    }

    /// Ready pods that are not on their way out.
    pub(crate) async fn ready(&self, app: &str) -> Vec<Pod> {
        self.pods(app)
            .await
            .into_iter()
            .filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none())
            .collect()
    }

    /// Waits until exactly `count` pods are Ready and no other is there.
    pub(crate) async fn settled(&self, app: &str, count: usize) -> Vec<Pod> {
        let what = format!("{count} pods of {app} are ready and alone");
        let settled = eventually(&what, async || {
            let pods = self.pods(app).await;
            (pods.len() == count && self.ready(app).await.len() == count).then_some(pods)
        });
        tokio::select! {
            pods = settled => pods,
            () = tokio::time::sleep(PATIENCE.checked_sub(Duration::from_secs(1)).unwrap()) => panic!("{what}: {:#?}", self.describe(app).await),
        }
    }

    async fn describe(&self, app: &str) -> Vec<Value> {
        let pods = self.pods(app).await;
        let events: Api<k8s_openapi::api::core::v1::Event> = self.api();
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let mut lines: Vec<Value> =
            pods.iter().map(|pod| json!({"pod": pod.name_any(), "status": pod.status})).collect();
        lines.extend(events.iter().map(|event| json!([event.involved_object.name, event.reason, event.message])));
        lines
    }

    /// Ends the cluster and checks that its folder is gone.
    pub(crate) async fn stop(self) {
        self.cluster.stop().await.unwrap();
        assert!(!self.parent.path().join("run").exists(), "the run folder is left");
    }
}

/// Polls until `check` gives something.
pub(crate) async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let attempt = async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, attempt).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// A container that serves and is probed; `extra` is merged over it.
pub(crate) fn container(extra: &Value) -> Value {
    let mut container = json!({
        "name": "main", "image": IMAGE, "args": ["serve"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1, "failureThreshold": 1},
    });
    json_patch::merge(&mut container, extra);
    container
}

pub(crate) fn deployment(app: &str, replicas: i32, extra: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": app, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"terminationGracePeriodSeconds": 5, "containers": [container(extra)]},
            },
        },
    })
}

pub(crate) fn service(app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": app, "namespace": "default"},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 8080, "targetPort": "http"}]},
    })
}

/// The body of `GET path`.
pub(crate) async fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| std::io::Error::other("no answer"))?;
    Ok(body.to_owned())
}

pub(crate) fn pod_address(pod: &Pod) -> String {
    format!("{}:8080", pod.status.as_ref().unwrap().pod_ip.as_ref().unwrap())
}
