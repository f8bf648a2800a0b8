//! What one node says of itself: its object, its lease, its heartbeat. And the way to make it fall silent, as a node whose
//! kubelet died does: its containers run on, nobody hears of them.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::controllers::events::Recorder;
use crate::controllers::{Caches, LEASE_NAMESPACE, NodeTimings, Writer, hostname_labels, is_status};
use crate::objects::time;

/// Pods per node, as kubelet's default.
const MAX_PODS: &str = "110";

/// What nodes are made with.
pub(crate) struct NodeContext {
    pub(crate) client: Client,
    pub(crate) caches: Caches,
    pub(crate) timings: NodeTimings,
    pub(crate) stop: CancellationToken,
}

/// One node.
pub(crate) struct NodeAgent {
    pub(crate) name: String,
    pub(crate) zone: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) recorder: Recorder,
    silent: watch::Sender<bool>,
    return_hook: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

impl NodeAgent {
    pub(crate) fn new(name: String, zone: String, address: Ipv4Addr, recorder: Recorder) -> Self {
        Self { name, zone, address, recorder, silent: watch::Sender::new(false), return_hook: Mutex::default() }
    }

    pub(crate) fn is_silent(&self) -> bool {
        *self.silent.borrow()
    }

    /// Makes the node fall silent, or be heard again.
    pub(crate) fn set_silent(&self, silent: bool) {
        let was_silent = self.silent.send_replace(silent);
        if was_silent
            && !silent
            && let Some(hook) = self.return_hook.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        {
            hook();
        }
    }

    /// Resolves while, or as soon as, the node is heard.
    pub(crate) async fn is_heard(&self) {
        // The sender lives as long as `self`.
        let _ = self.silent.subscribe().wait_for(|silent| !silent).await;
    }

    /// Called whenever the node is heard again.
    pub(crate) fn on_return(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.return_hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// Makes the node's object and lease.
    pub(crate) async fn register(&self, context: &NodeContext) -> kube::Result<()> {
        let nodes: Api<Node> = Api::all(context.client.clone());
        let node = self.object();
        exists(nodes.create(&PostParams::default(), &node).await)?;
        let patch = Patch::Merge(json!({ "status": node.status }));
        nodes.patch_status(&self.name, &PatchParams::default(), &patch).await?;
        let leases: Api<Lease> = Api::namespaced(context.client.clone(), LEASE_NAMESPACE);
        exists(leases.create(&PostParams::default(), &self.lease(context.timings)).await)
    }

    /// Renews the lease, and repairs what others wrote about the node while it was silent, until the cluster stops.
    pub(crate) async fn heartbeat(self: Arc<Self>, context: Arc<NodeContext>) {
        let leases: Api<Lease> = Api::namespaced(context.client.clone(), LEASE_NAMESPACE);
        let nodes = Writer::cluster_scoped(context.client.clone(), context.caches.nodes.clone());
        loop {
            tokio::select! {
                () = context.stop.cancelled() => return,
                () = tokio::time::sleep(context.timings.renew) => {}
            }
            self.is_heard().await;
            let patch = Patch::Merge(json!({"spec": {"renewTime": MicroTime(Timestamp::now())}}));
            if let Err(error) = leases.patch(&self.name, &PatchParams::default(), &patch).await {
                tracing::debug!(node = self.name, %error, "lease was not renewed");
            }
            let Some(node) = context.caches.nodes.get("", &self.name) else { continue };
            let status = node.status.clone().unwrap_or_default();
            let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
            if ready.is_none_or(|ready| ready.status != "True") {
                let conditions = Some(conditions(Timestamp::now()));
                let repaired = NodeStatus { conditions, ..status.clone() };
                if let Err(error) = nodes.patch_status(&*node, Some(&status), &repaired).await {
                    tracing::debug!(node = self.name, %error, "node status was not written");
                }
            }
        }
    }

    fn object(&self) -> Node {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let amounts = std::collections::BTreeMap::from([
            ("cpu".to_owned(), Quantity(cores.to_string())),
            ("memory".to_owned(), Quantity(memory())),
            ("pods".to_owned(), Quantity(MAX_PODS.to_owned())),
        ]);
        let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
        Node {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(hostname_labels(&self.name, &self.zone)),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec { provider_id: Some(format!("local-cluster://{}", self.name)), ..NodeSpec::default() }),
            status: Some(NodeStatus {
                addresses: Some(vec![
                    address("InternalIP", self.address.to_string()),
                    address("Hostname", self.name.clone()),
                ]),
                capacity: Some(amounts.clone()),
                allocatable: Some(amounts),
                conditions: Some(conditions(Timestamp::now())),
                node_info: Some(system_info(&self.name)),
                ..NodeStatus::default()
            }),
        }
    }

    fn lease(&self, timings: NodeTimings) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(self.name.clone()),
            lease_duration_seconds: i32::try_from(timings.grace.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            namespace: Some(LEASE_NAMESPACE.to_owned()),
            ..ObjectMeta::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

fn exists<K>(result: kube::Result<K>) -> kube::Result<()> {
    match result {
        Err(error) if !is_status(&error, 409) => Err(error),
        _ => Ok(()),
    }
}

fn conditions(now: Timestamp) -> Vec<NodeCondition> {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_heartbeat_time: Some(time(now)),
        last_transition_time: Some(time(now)),
    };
    vec![
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
}

/// The machine's memory, from `/proc/meminfo`; where that cannot be read, none.
fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    format!("{}Ki", total.unwrap_or("0"))
}

fn system_info(name: &str) -> NodeSystemInfo {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    NodeSystemInfo {
        machine_id: name.to_owned(),
        system_uuid: name.to_owned(),
        kernel_version: kernel,
        os_image: "local-cluster".to_owned(),
        container_runtime_version: format!("process://{}", env!("CARGO_PKG_VERSION")),
        kubelet_version: "v1.36.3-embedded".to_owned(),
        operating_system: "linux".to_owned(),
        architecture: if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" }.to_owned(),
        ..NodeSystemInfo::default()
    }
}
