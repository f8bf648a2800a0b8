//! A local copy of one kind of object, kept current by list and watch, in which its owner's own writes are visible at once.
//!
//! A controller that decides on a copy older than its own last write creates things twice. So whoever writes through the
//! API hands the answer to [`Cache::note`]: the copy is then at least as new as the writer. Versions are compared, an older
//! one never replaces a newer one, and the last thousands of deleted UIDs are remembered, so that an answer that arrives after
//! its object's deletion was watched does not bring it back.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures::StreamExt;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Deleted UIDs that are remembered: far more than writes that can be in flight.
const REMEMBERED_DELETIONS: usize = 4096;

/// Pause before the next attempt when the API server cannot be reached.
const RETRY: Duration = Duration::from_millis(200);

/// Namespace (empty for cluster-scoped objects) and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ObjectKey {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    pub(crate) fn of<K: Resource>(object: &K) -> Self {
        Self::new(object.meta().namespace.clone().unwrap_or_default(), object.name_any())
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What every kind kept in a cache can do.
pub(crate) trait Cached: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static {}
impl<K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static> Cached for K {}

/// What happened to an object.
#[derive(Debug, Clone)]
pub(crate) enum Change<K> {
    Applied(Arc<K>),
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The object, in its last known version.
    pub(crate) fn object(&self) -> &Arc<K> {
        match self {
            Self::Applied(object) | Self::Deleted(object) => object,
        }
    }
}

type Subscriber<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// See the module. Clones share the copy.
pub(crate) struct Cache<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    state: RwLock<State<K>>,
    subscribers: RwLock<Vec<Subscriber<K>>>,
    synced: watch::Sender<bool>,
}

struct State<K> {
    objects: BTreeMap<ObjectKey, Arc<K>>,
    deleted: HashSet<String>,
    deletion_order: VecDeque<String>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Cached> Default for Cache<K> {
    fn default() -> Self {
        let state = State { objects: BTreeMap::new(), deleted: HashSet::new(), deletion_order: VecDeque::new() };
        let inner =
            Inner { state: RwLock::new(state), subscribers: RwLock::default(), synced: watch::Sender::new(false) };
        Self { inner: Arc::new(inner) }
    }
}

impl<K: Cached> Cache<K> {
    /// Calls `listener` at every change from now on. It must not block: put a key in a queue.
    pub(crate) fn subscribe(&self, listener: impl Fn(&Change<K>) + Send + Sync + 'static) {
        self.inner.subscribers.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(listener));
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_key(&ObjectKey::new(namespace, name))
    }

    pub(crate) fn get_key(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.read().objects.get(key).cloned()
    }

    pub(crate) fn list(&self) -> Vec<Arc<K>> {
        self.read().objects.values().cloned().collect()
    }

    pub(crate) fn list_in(&self, namespace: &str) -> Vec<Arc<K>> {
        let from = ObjectKey::new(namespace, "");
        let state = self.read();
        state
            .objects
            .range(from..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// Resolves once the first list is in.
    pub(crate) async fn synced(&self) {
        // The sender lives as long as `self`.
        let _ = self.inner.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Takes the answer to an own write.
    pub(crate) fn note(&self, object: K) {
        self.apply(object);
    }

    /// Takes the answer to an own delete: the object is gone.
    pub(crate) fn note_gone(&self, object: &K) {
        self.remove(object);
    }

    /// Lists and watches until `stop`.
    pub(crate) fn start(&self, api: Api<K>, stop: CancellationToken) {
        let cache = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = cache.follow(&api) => {}
            }
        });
    }

    async fn follow(&self, api: &Api<K>) {
        loop {
            match api.list(&ListParams::default()).await {
                Ok(list) => {
                    let version = list.metadata.resource_version.clone().unwrap_or_default();
                    self.replace(list.items, parse_version(&version));
                    self.inner.synced.send_replace(true);
                    self.watch(api, version).await;
                }
                Err(error) => {
                    tracing::debug!(url = api.resource_url(), %error, "list failed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Watches from `version`; returns when only a new list can help.
    async fn watch(&self, api: &Api<K>, mut version: String) {
        loop {
            let stream = match api.watch(&WatchParams::default(), &version).await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(url = api.resource_url(), %error, "watch failed");
                    return tokio::time::sleep(RETRY).await;
                }
            };
            let mut stream = std::pin::pin!(stream);
            while let Some(event) = stream.next().await {
                match event {
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                        version = object.resource_version().unwrap_or(version);
                        self.apply(object);
                    }
                    Ok(WatchEvent::Deleted(object)) => {
                        version = object.resource_version().unwrap_or(version);
                        self.remove(&object);
                    }
                    Ok(WatchEvent::Bookmark(bookmark)) => version = bookmark.metadata.resource_version,
                    // Expired, or garbled: list again.
                    Ok(WatchEvent::Error(_)) => return,
                    Err(_) => break,
                }
            }
        }
    }

    fn apply(&self, object: K) {
        let object = Arc::new(object);
        {
            let mut state = self.write();
            let deleted = object.meta().uid.as_ref().is_some_and(|uid| state.deleted.contains(uid));
            let key = ObjectKey::of(object.as_ref());
            let known = state.objects.get(&key).map_or(0, |known| version_of(known.as_ref()));
            if deleted || version_of(object.as_ref()) <= known {
                return;
            }
            state.objects.insert(key, Arc::clone(&object));
        }
        self.announce(&Change::Applied(object));
    }

    fn remove(&self, object: &K) {
        let removed = {
            let mut state = self.write();
            state.remember_deletion(object.meta().uid.clone());
            let key = ObjectKey::of(object);
            // A successor of the same name may be known already.
            let same = state.objects.get(&key).is_some_and(|known| known.meta().uid == object.meta().uid);
            if same { state.objects.remove(&key) } else { None }
        };
        if removed.is_some() {
            self.announce(&Change::Deleted(Arc::new(object.clone())));
        }
    }

    /// Takes a whole list. What is cached but newer than the list stays: it is an own write that the list has not seen.
    fn replace(&self, items: Vec<K>, list_version: u64) {
        let listed: HashSet<ObjectKey> = items.iter().map(ObjectKey::of).collect();
        let gone: Vec<Arc<K>> = {
            let state = self.read();
            let missing = state.objects.iter().filter(|(key, _)| !listed.contains(*key));
            missing
                .map(|(_, object)| Arc::clone(object))
                .filter(|object| version_of(object.as_ref()) <= list_version)
                .collect()
        };
        for object in gone {
            self.remove(&object);
        }
        for object in items {
            self.apply(object);
        }
    }

    fn announce(&self, change: &Change<K>) {
        for subscriber in self.inner.subscribers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            subscriber(change);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.inner.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> State<K> {
    fn remember_deletion(&mut self, uid: Option<String>) {
        let Some(uid) = uid else { return };
        if self.deleted.insert(uid.clone()) {
            self.deletion_order.push_back(uid);
        }
        if self.deletion_order.len() > REMEMBERED_DELETIONS
            && let Some(oldest) = self.deletion_order.pop_front()
        {
            self.deleted.remove(&oldest);
        }
    }
}

/// Resource versions are decimal and ordered; since Kubernetes 1.35 clients may rely on it.
fn parse_version(version: &str) -> u64 {
    version.parse().unwrap_or(u64::MAX)
}

fn version_of<K: Resource>(object: &K) -> u64 {
    object.meta().resource_version.as_deref().map_or(u64::MAX, parse_version)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(name: &str, uid: &str, version: u64) -> ConfigMap {
        let metadata = ObjectMeta {
            namespace: Some("ns".into()),
            name: Some(name.into()),
            uid: Some(uid.into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    fn version(cache: &Cache<ConfigMap>, name: &str) -> Option<u64> {
        cache.get("ns", name).map(|object| version_of(object.as_ref()))
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let cache = Cache::default();
        cache.note(object("a", "1", 7));
        cache.apply(object("a", "1", 5));
        assert_eq!(version(&cache, "a"), Some(7));
    }

    #[test]
    fn a_late_answer_does_not_bring_a_deleted_object_back() {
        let cache = Cache::default();
        cache.apply(object("a", "1", 5));
        cache.remove(&object("a", "1", 6));
        cache.note(object("a", "1", 5));
        assert_eq!(version(&cache, "a"), None);
        cache.apply(object("a", "2", 8));
        cache.remove(&object("a", "1", 6));
        assert_eq!(version(&cache, "a"), Some(8), "the successor of the same name stays");
    }

    #[test]
    fn a_list_removes_what_it_lacks_except_newer_own_writes() {
        let cache = Cache::default();
        cache.apply(object("old", "1", 5));
        cache.note(object("own", "2", 12));
        cache.replace(vec![object("listed", "3", 9)], 10);
        assert_eq!(
            (version(&cache, "old"), version(&cache, "own"), version(&cache, "listed")),
            (None, Some(12), Some(9))
        );
    }

    #[test]
    fn subscribers_hear_each_change_once() {
        let cache = Cache::default();
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = Arc::clone(&heard);
        cache.subscribe(move |change: &Change<ConfigMap>| {
            log.lock().unwrap().push((matches!(change, Change::Deleted(_)), version_of(change.object().as_ref())));
        });
        cache.note(object("a", "1", 5));
        cache.apply(object("a", "1", 5));
        cache.remove(&object("a", "1", 6));
        cache.remove(&object("a", "1", 6));
        assert_eq!(*heard.lock().unwrap(), [(false, 5), (true, 6)]);
    }

    #[test]
    fn objects_of_one_namespace_are_listed_without_their_neighbours() {
        let cache = Cache::default();
        let mut other = object("a", "9", 3);
        other.metadata.namespace = Some("ns-2".into());
        cache.apply(other);
        cache.apply(object("a", "1", 4));
        assert_eq!(cache.list_in("ns").len(), 1);
        assert_eq!(cache.list().len(), 2);
    }
}
