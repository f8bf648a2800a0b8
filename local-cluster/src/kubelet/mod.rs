//! The kubelet: runs the pods that the scheduler put on its nodes, as child processes of the supervisor.
//!
//! All nodes of a cluster are this machine, so one [`Kubelet`] serves them all; what differs between them (name, address, whether
//! they answer) is in [`node`]. Each pod has one worker, and each worker a pure state machine that makes its decisions.

mod container;
mod environment;
mod exec;
pub(crate) mod kubeconfig;
mod logs;
mod machine;
mod node;
mod probe;
mod sources;
mod status;
mod supported;
mod volumes;
mod worker;

pub use environment::Image;
pub(crate) use logs::LogFolder;
pub(crate) use node::{NodeAgent, NodeContext};

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::sync::mpsc;

use crate::cache::Change;
use crate::controllers::{Caches, VolumeFolders, Writer};
use crate::network::AddressPool;
use crate::objects::node_of;
use crate::profile::{Dice, Timings};
use crate::supervisor::Supervisor;
use machine::Input;
use worker::PodWorker;

/// Makes a token of a ServiceAccount: namespace, name.
pub(crate) type TokenIssuer = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// See the module.
pub(crate) struct Kubelet {
    pub(crate) caches: Caches,
    pub(crate) pods: Writer<Pod>,
    pub(crate) supervisor: Supervisor,
    pub(crate) addresses: AddressPool,
    pub(crate) images: Vec<Image>,
    pub(crate) timings: Timings,
    pub(crate) dice: Dice,
    /// The run folder.
    pub(crate) folder: PathBuf,
    pub(crate) volume_folders: VolumeFolders,
    pub(crate) logs: LogFolder,
    /// URL of the API server, for pods.
    pub(crate) server: kubeconfig::Server,
    pub(crate) issue_token: TokenIssuer,
    pub(crate) nodes: Vec<Arc<NodeAgent>>,
}

impl Kubelet {
    /// Takes over its pods: those that are there and those that come.
    pub(crate) fn start(self: Arc<Self>) {
        let workers = Arc::new(Workers::default());
        for node in &self.nodes {
            let (kubelet, workers, node_of_wake) = (Arc::clone(&self), Arc::clone(&workers), Arc::clone(node));
            // What happened while a node was silent is looked at when it is heard again.
            node.on_return(move || {
                let pods = kubelet.caches.pods.list().into_iter();
                for pod in pods.filter(|pod| node_of(pod) == Some(node_of_wake.name.as_str())) {
                    workers.tell(&kubelet, &Change::Applied(pod));
                }
            });
        }
        let kubelet = Arc::clone(&self);
        self.caches.pods.subscribe(move |change| workers.tell(&kubelet, change));
    }
}

/// The mailboxes of the pods' workers, by UID.
#[derive(Default)]
struct Workers {
    inputs: Mutex<HashMap<String, mpsc::UnboundedSender<Input>>>,
}

impl Workers {
    fn tell(&self, kubelet: &Arc<Kubelet>, change: &Change<Pod>) {
        let pod = change.object();
        let Some(node) = node_of(pod).and_then(|name| kubelet.nodes.iter().find(|node| node.name == name)) else {
            return;
        };
        let uid = pod.uid().unwrap_or_default();
        let mut inputs = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            // A silent kubelet hears of a forced deletion late, but the process is ours: it ends now.
            Change::Deleted(_) => {
                if let Some(worker) = inputs.remove(&uid) {
                    let _ = worker.send(Input::Gone);
                }
            }
            Change::Applied(_) if node.is_silent() => {}
            Change::Applied(pod) => {
                if let Some(worker) = inputs.get(&uid) {
                    // A worker that is done needs no news.
                    let _ = worker.send(Input::Updated(Arc::clone(pod)));
                    return;
                }
                let (sender, receiver) = mpsc::unbounded_channel();
                inputs.insert(uid, sender.clone());
                let worker = PodWorker::new(Arc::clone(kubelet), Arc::clone(node), Arc::clone(pod), sender);
                tokio::spawn(worker.run(receiver));
            }
        }
    }
}
