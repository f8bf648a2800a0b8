//! Wires caches, queues and controllers together: which change wakes whom.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::Api;
use kube::{Client, Resource};
use tokio_util::sync::CancellationToken;

use super::deployment::DeploymentController;
use super::disruption::DisruptionController;
use super::endpoint_slice::EndpointSliceController;
use super::events::Recorder;
use super::garbage::GarbageCollector;
use super::namespace::NamespaceController;
use super::node::{NodeController, NodeTimings};
use super::replica_set::ReplicaSetController;
use super::scheduler::{SCHEDULER_NAME, Scheduler, is_waiting, waiting_keys};
use super::service_account::ServiceAccountController;
use super::stateful_set::StatefulSetController;
use super::volume::{VolumeController, VolumeFolders};
use super::writer::Writer;
use super::{Controller, Queue, work};
use crate::cache::{Cache, Cached, ObjectKey};
use crate::objects::controller_of;

/// The copies that all parts share.
#[derive(Clone, Default)]
pub(crate) struct Caches {
    pub(crate) pods: Cache<Pod>,
    pub(crate) nodes: Cache<Node>,
    pub(crate) services: Cache<Service>,
    pub(crate) slices: Cache<EndpointSlice>,
    pub(crate) config_maps: Cache<ConfigMap>,
    pub(crate) secrets: Cache<Secret>,
    pub(crate) claims: Cache<PersistentVolumeClaim>,
    pub(crate) namespaces: Cache<Namespace>,
    pub(crate) leases: Cache<Lease>,
    accounts: Cache<ServiceAccount>,
    volumes: Cache<PersistentVolume>,
    deployments: Cache<Deployment>,
    replica_sets: Cache<ReplicaSet>,
    stateful_sets: Cache<StatefulSet>,
    revisions: Cache<ControllerRevision>,
    budgets: Cache<PodDisruptionBudget>,
}

impl Caches {
    /// Starts following the API server. Subscribe first, or miss the beginning.
    pub(crate) fn start(&self, client: &Client, stop: &CancellationToken) {
        fn all<K: Cached + Resource<DynamicType = ()>>(cache: &Cache<K>, client: &Client, stop: &CancellationToken) {
            cache.start(Api::all(client.clone()), stop.clone());
        }
        all(&self.pods, client, stop);
        all(&self.nodes, client, stop);
        all(&self.services, client, stop);
        all(&self.slices, client, stop);
        all(&self.config_maps, client, stop);
        all(&self.secrets, client, stop);
        all(&self.claims, client, stop);
        all(&self.namespaces, client, stop);
        all(&self.leases, client, stop);
        all(&self.accounts, client, stop);
        all(&self.volumes, client, stop);
        all(&self.deployments, client, stop);
        all(&self.replica_sets, client, stop);
        all(&self.stateful_sets, client, stop);
        all(&self.revisions, client, stop);
        all(&self.budgets, client, stop);
    }

    /// Resolves when every copy is complete. Controllers must not decide before.
    pub(crate) async fn synced(&self) {
        self.pods.synced().await;
        self.nodes.synced().await;
        self.services.synced().await;
        self.slices.synced().await;
        self.config_maps.synced().await;
        self.secrets.synced().await;
        self.claims.synced().await;
        self.namespaces.synced().await;
        self.leases.synced().await;
        self.accounts.synced().await;
        self.volumes.synced().await;
        self.deployments.synced().await;
        self.replica_sets.synced().await;
        self.stateful_sets.synced().await;
        self.revisions.synced().await;
        self.budgets.synced().await;
    }
}

/// What the controllers need from whoever starts them.
pub(crate) struct ControllerEnvironment {
    pub(crate) caches: Caches,
    /// A client that acts as the controller of this name.
    pub(crate) client_for: Arc<dyn Fn(&str) -> Client + Send + Sync>,
    pub(crate) volume_folders: VolumeFolders,
    pub(crate) node_timings: NodeTimings,
    pub(crate) stop: CancellationToken,
}

/// Starts all controllers; they begin to work once [`Caches::start`] was called and the caches are complete.
pub(crate) fn start(environment: &ControllerEnvironment) {
    environment.start_deployments();
    environment.start_replica_sets();
    environment.start_stateful_sets();
    environment.start_endpoint_slices();
    environment.start_disruption();
    environment.start_scheduler();
    environment.start_nodes();
    environment.start_volumes();
    environment.start_namespaces();
    environment.start_garbage_collection();
}

impl ControllerEnvironment {
    fn client<C: Controller>(&self) -> Client {
        (self.client_for)(C::NAME)
    }

    fn recorder<C: Controller>(&self) -> Recorder {
        Recorder::start(self.client::<C>(), C::NAME, None)
    }

    fn spawn<C: Controller>(&self, controller: C, queue: Queue) {
        let (caches, stop) = (self.caches.clone(), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => return,
                () = caches.synced() => {}
            }
            work(controller, queue, stop).await;
        });
    }

    fn start_deployments(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.deployments, &queue);
        let owner_queue = queue.clone();
        caches.replica_sets.subscribe(move |change| {
            enqueue_owner(&owner_queue, change.object().as_ref(), "Deployment");
        });
        // Recreate waits for pods to be gone; nothing else about pods matters that their ReplicaSet does not tell.
        let (pod_queue, sets) = (queue.clone(), caches.replica_sets.clone());
        caches.pods.subscribe(move |change| {
            let pod = change.object();
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            let set = controller_of(&pod.metadata).and_then(|owner| sets.get(&namespace, &owner.name));
            if matches!(change, crate::cache::Change::Deleted(_))
                && let Some(set) = set
            {
                enqueue_owner(&pod_queue, set.as_ref(), "Deployment");
            }
        });
        let client = self.client::<DeploymentController>();
        let controller = DeploymentController {
            deployments: Writer::namespaced(client.clone(), caches.deployments.clone()),
            sets: Writer::namespaced(client, caches.replica_sets.clone()),
            pods: caches.pods.clone(),
            recorder: self.recorder::<DeploymentController>(),
        };
        self.spawn(controller, queue);
    }

    fn start_replica_sets(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.replica_sets, &queue);
        let (pod_queue, sets) = (queue.clone(), caches.replica_sets.clone());
        caches.pods.subscribe(move |change| {
            pod_queue.add_all(ReplicaSetController::keys_for_pod(&sets, change.object()));
        });
        let client = self.client::<ReplicaSetController>();
        let controller = ReplicaSetController {
            sets: Writer::namespaced(client.clone(), caches.replica_sets.clone()),
            pods: Writer::namespaced(client, caches.pods.clone()),
            recorder: self.recorder::<ReplicaSetController>(),
        };
        self.spawn(controller, queue);
    }

    fn start_stateful_sets(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.stateful_sets, &queue);
        let pod_queue = queue.clone();
        caches.pods.subscribe(move |change| {
            pod_queue.add_all(StatefulSetController::key_for_pod(change.object()));
        });
        let client = self.client::<StatefulSetController>();
        let controller = StatefulSetController {
            sets: Writer::namespaced(client.clone(), caches.stateful_sets.clone()),
            pods: Writer::namespaced(client.clone(), caches.pods.clone()),
            claims: Writer::namespaced(client.clone(), caches.claims.clone()),
            revisions: Writer::namespaced(client, caches.revisions.clone()),
            recorder: self.recorder::<StatefulSetController>(),
        };
        self.spawn(controller, queue);
    }

    fn start_endpoint_slices(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.services, &queue);
        let (pod_queue, services) = (queue.clone(), caches.services.clone());
        caches.pods.subscribe(move |change| {
            pod_queue.add_all(EndpointSliceController::keys_for_pod(&services, change.object()));
        });
        let controller = EndpointSliceController {
            services: caches.services.clone(),
            pods: caches.pods.clone(),
            nodes: caches.nodes.clone(),
            slices: Writer::namespaced(self.client::<EndpointSliceController>(), caches.slices.clone()),
        };
        self.spawn(controller, queue);
    }

    fn start_disruption(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.budgets, &queue);
        let (pod_queue, budgets) = (queue.clone(), caches.budgets.clone());
        caches.pods.subscribe(move |change| {
            pod_queue.add_all(DisruptionController::keys_for_pod(&budgets, change.object()));
        });
        // A workload that is resized changes what its budgets expect.
        enqueue_namespace(&caches.deployments, &caches.budgets, &queue);
        enqueue_namespace(&caches.stateful_sets, &caches.budgets, &queue);
        let controller = DisruptionController {
            budgets: Writer::namespaced(self.client::<DisruptionController>(), caches.budgets.clone()),
            pods: caches.pods.clone(),
            replica_sets: caches.replica_sets.clone(),
            deployments: caches.deployments.clone(),
            stateful_sets: caches.stateful_sets.clone(),
        };
        self.spawn(controller, queue);
    }

    fn start_scheduler(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        let (pod_queue, pods) = (queue.clone(), caches.pods.clone());
        caches.pods.subscribe(move |change| {
            if is_waiting(change.object()) {
                pod_queue.add(ObjectKey::of(change.object().as_ref()));
            }
        });
        let (node_queue, waiting) = (queue.clone(), caches.pods.clone());
        caches.nodes.subscribe(move |_| waiting_keys(&waiting).into_iter().for_each(|key| node_queue.add(key)));
        // A pod that is gone may make room for one that waits.
        let gone_queue = queue.clone();
        caches.pods.subscribe(move |change| {
            if matches!(change, crate::cache::Change::Deleted(_)) {
                gone_queue.add_all(waiting_keys(&pods));
            }
        });
        let client = (self.client_for)(SCHEDULER_NAME);
        let controller = Scheduler {
            client: client.clone(),
            pods: Writer::namespaced(client, caches.pods.clone()),
            nodes: caches.nodes.clone(),
            recorder: self.recorder::<Scheduler>(),
        };
        self.spawn(controller, queue);
    }

    fn start_nodes(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.nodes, &queue);
        let client = self.client::<NodeController>();
        let controller = NodeController {
            nodes: Writer::cluster_scoped(client.clone(), caches.nodes.clone()),
            pods: Writer::namespaced(client, caches.pods.clone()),
            leases: caches.leases.clone(),
            recorder: self.recorder::<NodeController>(),
            timings: self.node_timings,
            suspects: std::sync::Mutex::default(),
        };
        self.spawn(controller, queue);
    }

    fn start_volumes(&self) {
        let (queue, caches) = (Queue::default(), &self.caches);
        own_changes(&caches.claims, &queue);
        let client = self.client::<VolumeController>();
        let controller = VolumeController {
            claims: Writer::namespaced(client.clone(), caches.claims.clone()),
            volumes: Writer::cluster_scoped(client, caches.volumes.clone()),
            folders: self.volume_folders.clone(),
        };
        self.spawn(controller, queue);
    }

    fn start_namespaces(&self) {
        let (ends, accounts, caches) = (Queue::default(), Queue::default(), &self.caches);
        own_changes(&caches.namespaces, &ends);
        own_changes(&caches.namespaces, &accounts);
        let account_queue = accounts.clone();
        caches.accounts.subscribe(move |change| {
            let namespace = change.object().metadata.namespace.clone().unwrap_or_default();
            account_queue.add(ObjectKey::new("", namespace));
        });
        let client = self.client::<NamespaceController>();
        self.spawn(NamespaceController { client, namespaces: caches.namespaces.clone() }, ends);
        let controller = ServiceAccountController {
            namespaces: caches.namespaces.clone(),
            accounts: Writer::namespaced(self.client::<ServiceAccountController>(), caches.accounts.clone()),
        };
        self.spawn(controller, accounts);
    }

    fn start_garbage_collection(&self) {
        let queue = Queue::default();
        let collector = GarbageCollector::new(self.client::<GarbageCollector>(), queue.clone());
        tokio::spawn(collector.clone().follow_kinds(self.stop.clone()));
        self.spawn(collector, queue);
    }
}

/// Every change of an object wakes its own controller.
fn own_changes<K: Cached>(cache: &Cache<K>, queue: &Queue) {
    let queue = queue.clone();
    cache.subscribe(move |change| queue.add(ObjectKey::of(change.object().as_ref())));
}

fn enqueue_owner<K: Resource>(queue: &Queue, object: &K, kind: &str) {
    if let Some(owner) = controller_of(object.meta()).filter(|owner| owner.kind == kind) {
        queue.add(ObjectKey::new(object.meta().namespace.clone().unwrap_or_default(), owner.name.clone()));
    }
}

/// Every change of a `K` wakes all `T`s of its namespace.
fn enqueue_namespace<K: Cached, T: Cached>(changes: &Cache<K>, targets: &Cache<T>, queue: &Queue) {
    let (targets, queue) = (targets.clone(), queue.clone());
    changes.subscribe(move |change| {
        let namespace = change.object().meta().namespace.clone().unwrap_or_default();
        targets.list_in(&namespace).iter().for_each(|target| queue.add(ObjectKey::of(target.as_ref())));
    });
}
