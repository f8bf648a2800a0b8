//! The objects of a cluster and the history of their changes: a pure data structure.
//!
//! It knows nothing of HTTP, of kinds or of what a change means; it does no I/O and reads no clock. Whoever shares it
//! between tasks locks it outside.

mod log;
pub mod selector;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde_json::Value;

use log::EventLog;
pub use log::{Compacted, Event, EventKind};

/// Which collection an object belongs to: API group (empty for the core group) and plural resource name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Plural name, such as `pods`.
    pub resource: Arc<str>,
}

impl GroupResource {
    /// The collection of `resource` in `group`.
    pub fn new(group: &str, resource: &str) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }
}

impl std::fmt::Display for GroupResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.group.is_empty() { f.write_str(&self.resource) } else { write!(f, "{}.{}", self.resource, self.group) }
    }
}

/// Where an object lies within its collection. Ordered as lists are: by namespace, then by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of `name` in `namespace` (empty when cluster-scoped).
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// One version of one object. Immutable; shared between lists, watches and history.
#[derive(Debug)]
pub struct Object {
    key: ObjectKey,
    revision: u64,
    value: Value,
    json: OnceLock<Bytes>,
    item_json: OnceLock<Bytes>,
}

/// The fields of an object, without those that a list says once for all its items.
struct Item<'a>(&'a Value);

impl serde::Serialize for Item<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.0.as_object().into_iter().flatten();
        serializer.collect_map(fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind")))
    }
}

impl Object {
    fn new(key: ObjectKey, revision: u64, mut value: Value) -> Self {
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".to_owned(), Value::String(revision.to_string()));
        }
        Self { key, revision, value, json: OnceLock::new(), item_json: OnceLock::new() }
    }

    /// A version that is not stored: what a dry run would write. It keeps the resourceVersion that it has.
    pub fn preview(key: ObjectKey, value: Value) -> Self {
        Self { key, revision: 0, value, json: OnceLock::new(), item_json: OnceLock::new() }
    }

    /// Where the object lies in its collection.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The store's revision that wrote this version; also in `metadata.resourceVersion`.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The object itself.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The object as JSON, serialised at most once however many readers there are.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| Bytes::from(self.value.to_string())).clone()
    }

    /// The object as JSON without `apiVersion` and `kind`, as it appears in a list of its kind.
    pub fn item_json(&self) -> Bytes {
        // A map of JSON values always serialises.
        let json = || serde_json::to_vec(&Item(&self.value)).map_or_else(|_| self.json(), Bytes::from);
        self.item_json.get_or_init(json).clone()
    }
}

#[derive(Debug, Default)]
struct Collection {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    log: EventLog,
    changed_at: u64,
}

/// All objects, one strictly increasing revision, and a bounded log of changes per collection.
#[derive(Debug)]
pub struct Store {
    revision: u64,
    log_capacity: usize,
    collections: HashMap<GroupResource, Collection>,
    changed: Vec<GroupResource>,
}

impl Store {
    /// An empty store that remembers at least the last `log_capacity` changes of every collection.
    pub fn new(log_capacity: usize) -> Self {
        Self { revision: 1, log_capacity: log_capacity.max(1), collections: HashMap::new(), changed: Vec::new() }
    }

    /// The revision of the newest change.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision of the newest change of one collection, 0 if it never changed.
    pub fn changed_at(&self, collection: &GroupResource) -> u64 {
        self.collections.get(collection).map_or(0, |c| c.changed_at)
    }

    /// The newest version of an object.
    pub fn get(&self, collection: &GroupResource, key: &ObjectKey) -> Option<&Arc<Object>> {
        self.collections.get(collection)?.objects.get(key)
    }

    /// The objects of a collection in key order; of one namespace if given.
    pub fn list<'a>(
        &'a self,
        collection: &GroupResource,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        let start = namespace.map_or(Bound::Unbounded, |ns| Bound::Included(ObjectKey::new(ns, "")));
        self.collections
            .get(collection)
            .into_iter()
            .flat_map(move |c| c.objects.range((start.clone(), Bound::Unbounded)))
            .map(|(_, object)| object)
            .take_while(move |object| namespace.is_none_or(|ns| object.key.namespace == ns))
    }

    /// The objects of a collection as they were at `revision`.
    pub fn list_at(&self, collection: &GroupResource, revision: u64) -> Result<Vec<Arc<Object>>, Compacted> {
        let Some(found) = self.collections.get(collection) else { return Ok(Vec::new()) };
        let later = found.log.after(revision)?;
        if later.is_empty() {
            return Ok(found.objects.values().cloned().collect());
        }
        let mut objects = found.objects.clone();
        for event in later.iter().rev() {
            match &event.previous {
                Some(previous) => objects.insert(previous.key.clone(), Arc::clone(previous)),
                None => objects.remove(&event.object.key),
            };
        }
        Ok(objects.into_values().collect())
    }

    /// Changes of a collection after `revision`, oldest first.
    pub fn events_after(&self, collection: &GroupResource, revision: u64) -> Result<&[Arc<Event>], Compacted> {
        self.collections.get(collection).map_or(Ok(&[]), |c| c.log.after(revision))
    }

    /// Writes a new version of an object (or the first one) and returns it with its `metadata.resourceVersion` set.
    pub fn put(&mut self, collection: &GroupResource, key: ObjectKey, value: Value) -> Arc<Object> {
        self.revision += 1;
        let object = Arc::new(Object::new(key.clone(), self.revision, value));
        let capacity = self.log_capacity;
        let found = self.collections.entry(collection.clone()).or_default();
        let previous = found.objects.insert(key, Arc::clone(&object));
        let kind = if previous.is_some() { EventKind::Modified } else { EventKind::Added };
        found.changed_at = self.revision;
        found.log.push(Event { kind, object: Arc::clone(&object), previous }, capacity);
        self.changed.push(collection.clone());
        object
    }

    /// Removes an object. What is returned, and what watches see, is its last version at the revision of the removal.
    pub fn remove(&mut self, collection: &GroupResource, key: &ObjectKey) -> Option<Arc<Object>> {
        let found = self.collections.get_mut(collection)?;
        let previous = found.objects.remove(key)?;
        self.revision += 1;
        let object = Arc::new(Object::new(key.clone(), self.revision, previous.value.clone()));
        found.changed_at = self.revision;
        let event = Event { kind: EventKind::Deleted, object: Arc::clone(&object), previous: Some(previous) };
        found.log.push(event, self.log_capacity);
        self.changed.push(collection.clone());
        Some(object)
    }

    /// Starts a collection whose history begins now: watches from before are told to list.
    pub fn open(&mut self, collection: &GroupResource) {
        let revision = self.revision;
        self.collections.entry(collection.clone()).or_insert_with(|| Collection {
            objects: BTreeMap::new(),
            log: EventLog::starting_at(revision),
            changed_at: 0,
        });
    }

    /// Forgets an empty collection and its history.
    pub fn close(&mut self, collection: &GroupResource) {
        if self.collections.get(collection).is_some_and(|found| found.objects.is_empty()) {
            self.collections.remove(collection);
        }
    }

    /// The collections changed since the last call, for whoever wakes their watchers.
    pub fn take_changed(&mut self) -> Vec<GroupResource> {
        std::mem::take(&mut self.changed)
    }
}
