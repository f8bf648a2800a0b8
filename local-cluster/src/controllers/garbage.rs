//! Garbage collection: what belongs to an owner that is gone goes too, and an owner that is deleted in the foreground waits for
//! what it owns.
//!
//! The graph is the metadata of every listable kind. A change makes one sweep over all of it, and sweeps wait for each other:
//! at the size of one machine that is cheaper than keeping the graph's edges. The graph may lag, so nothing is deleted before the
//! API server itself said that the owner is gone.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::core::PartialObjectMeta;
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::queue::Queue;
use super::writer::is_status;
use super::{Controller, Sync};
use crate::cache::{Cache, Change, ObjectKey};
use crate::objects::is_deleting;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Changes that come within this time are swept up together.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
/// How often kinds are looked up: custom resources come and go.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(2);

/// A kind that has objects to collect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) is_namespaced: bool,
}

/// All kinds that can be listed, watched and deleted. Events are left out: they belong to nobody and there are many.
pub(super) async fn discover(client: Client) -> kube::Result<Vec<Kind>> {
    let discovery = Discovery::new(client).run().await?;
    let resources = discovery.groups().flat_map(kube::discovery::ApiGroup::recommended_resources);
    let usable = resources.filter(|(resource, capabilities)| {
        let can = |verb| capabilities.supports_operation(verb);
        resource.plural != "events" && can(verbs::LIST) && can(verbs::WATCH) && can(verbs::DELETE)
    });
    Ok(usable
        .map(|(resource, capabilities)| Kind { resource, is_namespaced: capabilities.scope == Scope::Namespaced })
        .collect())
}

/// One object of the graph, shared with the copy that it is read from: every sweep has all of them.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) kind: Arc<Kind>,
    pub(super) object: Arc<Metadata>,
}

impl Item {
    pub(super) fn meta(&self) -> &ObjectMeta {
        &self.object.metadata
    }

    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }

    fn has_finalizer(&self, name: &str) -> bool {
        self.meta().finalizers.iter().flatten().any(|finalizer| finalizer == name)
    }

    /// Deleted in the foreground: it goes when its dependents are gone.
    fn waits_for_dependents(&self) -> bool {
        is_deleting(self.meta()) && self.has_finalizer(FOREGROUND)
    }
}

/// What one object needs done. Indices are into the list given to [`sweep`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// All its owners are gone, if the API server agrees.
    Collect { item: usize, owners: Vec<OwnerReference> },
    /// Its owners wait for it to go.
    DeleteForOwner { item: usize, policy: PropagationPolicy },
    /// Some owners are gone, if the API server agrees; others remain.
    DropReferences { item: usize, owners: Vec<OwnerReference> },
    /// Its owner is deleted with the wish that it stays.
    Orphan { item: usize, owner_uid: String },
    /// Nothing holds it back any more.
    RemoveFinalizer { item: usize, finalizer: &'static str },
}

/// Decides for the whole graph.
pub(super) fn sweep(items: &[Item]) -> Vec<Action> {
    let by_uid: HashMap<&str, &Item> = items.iter().map(|item| (item.uid(), item)).collect();
    let mut dependents: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        for owner in item.meta().owner_references.iter().flatten() {
            dependents.entry(&owner.uid).or_default().push(index);
        }
    }
    let mut actions = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let own = dependents.get(item.uid()).map(Vec::as_slice).unwrap_or_default();
        actions.extend(for_owner(index, item, own, items));
        if !is_deleting(item.meta()) {
            actions.extend(for_dependent(index, item, &by_uid, own.is_empty()));
        }
    }
    actions
}

fn for_owner(index: usize, item: &Item, dependents: &[usize], items: &[Item]) -> Vec<Action> {
    if !is_deleting(item.meta()) {
        return Vec::new();
    }
    if item.has_finalizer(ORPHAN) {
        let release = |item_index: &usize| Action::Orphan { item: *item_index, owner_uid: item.uid().to_owned() };
        let releases: Vec<_> = dependents.iter().map(release).collect();
        return if releases.is_empty() {
            vec![Action::RemoveFinalizer { item: index, finalizer: ORPHAN }]
        } else {
            releases
        };
    }
    let blocks = |dependent: &&usize| {
        let owners = items.get(**dependent).and_then(|item| item.meta().owner_references.as_ref());
        owners.into_iter().flatten().any(|owner| owner.uid == item.uid() && owner.block_owner_deletion == Some(true))
    };
    if item.has_finalizer(FOREGROUND) && !dependents.iter().any(|dependent| blocks(&dependent)) {
        return vec![Action::RemoveFinalizer { item: index, finalizer: FOREGROUND }];
    }
    Vec::new()
}

fn for_dependent(index: usize, item: &Item, by_uid: &HashMap<&str, &Item>, is_leaf: bool) -> Option<Action> {
    let owners = item.meta().owner_references.as_deref().filter(|owners| !owners.is_empty())?;
    let (present, absent): (Vec<_>, Vec<_>) = owners.iter().partition(|owner| by_uid.contains_key(owner.uid.as_str()));
    let waiting =
        present.iter().all(|owner| by_uid.get(owner.uid.as_str()).is_some_and(|item| item.waits_for_dependents()));
    let absent: Vec<OwnerReference> = absent.into_iter().cloned().collect();
    if present.is_empty() {
        return Some(Action::Collect { item: index, owners: absent });
    }
    if waiting {
        // Dependents of dependents are waited for as well.
        let policy = if is_leaf { PropagationPolicy::Background } else { PropagationPolicy::Foreground };
        return Some(Action::DeleteForOwner { item: index, policy });
    }
    (!absent.is_empty()).then_some(Action::DropReferences { item: index, owners: absent })
}

type Metadata = PartialObjectMeta<DynamicObject>;
type MetadataCache = Cache<Metadata>;

/// One watched kind.
struct Watched {
    kind: Arc<Kind>,
    cache: MetadataCache,
    stop: CancellationToken,
}

/// The loop around [`sweep`]. Its queue holds one key only: the graph.
#[derive(Clone)]
pub(super) struct GarbageCollector {
    client: Client,
    queue: Queue,
    watched: Arc<Mutex<Vec<Watched>>>,
}

impl GarbageCollector {
    pub(super) fn new(client: Client, queue: Queue) -> Self {
        Self { client, queue, watched: Arc::default() }
    }

    /// Keeps the watched kinds equal to those that exist, until `stop`.
    pub(super) async fn follow_kinds(self, stop: CancellationToken) {
        loop {
            match discover(self.client.clone()).await {
                Ok(kinds) => self.watch(kinds, &stop),
                Err(error) => tracing::debug!(%error, "discovery failed"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(DISCOVERY_INTERVAL) => {}
            }
        }
    }

    fn watch(&self, kinds: Vec<Kind>, stop: &CancellationToken) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|known| {
            let exists = kinds.contains(&known.kind);
            if !exists {
                known.stop.cancel();
            }
            exists
        });
        for kind in kinds {
            if watched.iter().any(|known| *known.kind == kind) {
                continue;
            }
            let (cache, stop) = (MetadataCache::default(), stop.child_token());
            let queue = self.queue.clone();
            cache.subscribe(move |change| {
                let meta = &change.object().metadata;
                let matters =
                    matches!(change, Change::Deleted(_)) || is_deleting(meta) || meta.owner_references.is_some();
                if matters {
                    queue.add_after(ObjectKey::new("", "graph"), SWEEP_PAUSE);
                }
            });
            cache.start(Api::all_with(self.client.clone(), &kind.resource), stop.clone());
            watched.push(Watched { kind: Arc::new(kind), cache, stop });
        }
    }

    fn items(&self) -> Vec<Item> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |known: &Watched| {
            let kind = Arc::clone(&known.kind);
            known.cache.list().into_iter().map(move |object| Item { kind: Arc::clone(&kind), object })
        };
        watched.iter().flat_map(of_kind).collect()
    }

    fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace.filter(|_| kind.is_namespaced) {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource),
            None => Api::all_with(self.client.clone(), &kind.resource),
        }
    }

    /// Asks the API server. Owners of a kind that does not exist are not judged.
    async fn is_gone(&self, owner: &OwnerReference, namespace: Option<&str>) -> kube::Result<bool> {
        let kind = {
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let known = watched.iter().find(|known| {
                known.kind.resource.api_version == owner.api_version && known.kind.resource.kind == owner.kind
            });
            known.map(|known| Arc::clone(&known.kind))
        };
        let Some(kind) = kind else { return Ok(false) };
        let found = self.api(&kind, namespace).get_opt(&owner.name).await?;
        Ok(found.is_none_or(|found| found.metadata.uid.as_deref() != Some(&owner.uid)))
    }

    async fn gone(&self, owners: &[OwnerReference], namespace: Option<&str>) -> kube::Result<Vec<String>> {
        let mut gone = Vec::new();
        for owner in owners {
            if self.is_gone(owner, namespace).await? {
                gone.push(owner.uid.clone());
            }
        }
        Ok(gone)
    }

    async fn delete(&self, item: &Item, policy: PropagationPolicy) -> kube::Result<()> {
        let params = DeleteParams {
            propagation_policy: Some(policy),
            preconditions: Some(Preconditions { uid: item.meta().uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        let name = item.meta().name.clone().unwrap_or_default();
        ignore_stale(self.api(&item.kind, item.meta().namespace.as_deref()).delete(&name, &params).await.map(drop))
    }

    /// Replaces the owners of an object; the version guards against a list that changed meanwhile.
    async fn keep_owners(&self, item: &Item, keep: impl Fn(&OwnerReference) -> bool) -> kube::Result<()> {
        let owners: Vec<_> = item.meta().owner_references.iter().flatten().filter(|owner| keep(owner)).collect();
        self.patch_metadata(item, json!({ "ownerReferences": owners })).await
    }

    async fn patch_metadata(&self, item: &Item, mut metadata: serde_json::Value) -> kube::Result<()> {
        metadata["resourceVersion"] = json!(item.meta().resource_version);
        let api = self.api(&item.kind, item.meta().namespace.as_deref());
        let name = item.meta().name.clone().unwrap_or_default();
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        ignore_stale(api.patch(&name, &PatchParams::default(), &patch).await.map(drop))
    }

    async fn apply(&self, items: &[Item], action: Action) -> kube::Result<()> {
        let at = |index: usize| items.get(index);
        match action {
            Action::Collect { item, owners } => {
                let Some(item) = at(item) else { return Ok(()) };
                let gone = self.gone(&owners, item.meta().namespace.as_deref()).await?;
                if gone.len() == owners.len() {
                    self.delete(item, PropagationPolicy::Background).await?;
                }
            }
            Action::DeleteForOwner { item, policy } => {
                let Some(item) = at(item) else { return Ok(()) };
                self.delete(item, policy).await?;
            }
            Action::DropReferences { item, owners } => {
                let Some(item) = at(item) else { return Ok(()) };
                let gone = self.gone(&owners, item.meta().namespace.as_deref()).await?;
                if !gone.is_empty() {
                    self.keep_owners(item, |owner| !gone.contains(&owner.uid)).await?;
                }
            }
            Action::Orphan { item, owner_uid } => {
                let Some(item) = at(item) else { return Ok(()) };
                self.keep_owners(item, |owner| owner.uid != owner_uid).await?;
            }
            Action::RemoveFinalizer { item, finalizer } => {
                let Some(item) = at(item) else { return Ok(()) };
                let kept: Vec<_> = item.meta().finalizers.iter().flatten().filter(|name| *name != finalizer).collect();
                self.patch_metadata(item, json!({ "finalizers": kept })).await?;
            }
        }
        Ok(())
    }
}

/// A graph that lags asks for things that are done already; the next sweep knows better.
fn ignore_stale(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(error) if is_status(&error, 404) || is_status(&error, 409) => Ok(()),
        other => other,
    }
}

impl Controller for GarbageCollector {
    const NAME: &'static str = "generic-garbage-collector";

    async fn sync(&self, _: &ObjectKey) -> kube::Result<Sync> {
        let items = self.items();
        let actions = sweep(&items);
        // Something is under way: look again, even if the graph misses the change that ends it.
        let outcome = if actions.is_empty() { Sync::Done } else { Sync::After(Duration::from_millis(500)) };
        for action in actions {
            self.apply(&items, action).await?;
        }
        Ok(outcome)
    }
}

/// Every object of a namespace, for its end.
pub(super) async fn objects_in(
    client: &Client,
    kinds: &[Kind],
    namespace: &str,
) -> kube::Result<Vec<(ApiResource, DynamicObject)>> {
    let mut objects = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.is_namespaced) {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind.resource);
        match api.list(&kube::api::ListParams::default()).await {
            Ok(list) => objects.extend(list.items.into_iter().map(|object| (kind.resource.clone(), object))),
            // The kind went away in between.
            Err(error) if is_status(&error, 404) => {}
            Err(error) => return Err(error),
        }
    }
    objects.sort_by_key(|(_, object)| object.name_any());
    Ok(objects)
}

#[cfg(test)]
mod tests;
