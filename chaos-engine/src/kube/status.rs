//! The status of one of our objects on the cluster. Every write names the version it follows; if somebody else has written the
//! status in between, we are not the one who drives this object any more.

mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, watch};

use super::call::{CallError, Caller};
pub(super) use unreadable::UNREADABLE;
pub use unreadable::say_unreadable;

/// How often a write is tried when its fate is not clear.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);
/// Statuses that may have been written that are remembered. All follow one version, so that one of them was, at most.
const UNSETTLED: usize = 8;

/// A kind of ours with a status.
pub trait Tended:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + HasStatus<Status: Serialize + DeserializeOwned + Clone + PartialEq + Default + Send + Sync>
    + Serialize
    + DeserializeOwned
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<K> Tended for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus<Status: Serialize + DeserializeOwned + Clone + PartialEq + Default + Send + Sync>
        + Serialize
        + DeserializeOwned
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The status of one object.
pub struct StatusStore<K: HasStatus> {
    read: Caller,
    write: Caller,
    path: String,
    /// The object as it was last written or read: its version is the one that the next write follows.
    object: K,
    basis: Basis,
    /// Statuses of ours that may have been written since: nobody answered. One of them that is found was not written by
    /// somebody else.
    unsettled: Vec<K::Status>,
}

/// What somebody who decides what a status says knows of the rest of the object.
#[derive(Debug, Clone, Copy)]
struct Basis {
    generation: Option<i64>,
    /// Its deletion was asked for.
    is_going: bool,
}

impl Basis {
    const fn of(meta: &ObjectMeta) -> Self {
        Self { generation: meta.generation, is_going: meta.deletion_timestamp.is_some() }
    }

    /// Whether that version says something that is not known here.
    fn is_behind(self, meta: &ObjectMeta) -> bool {
        let newer = Self::of(meta);
        newer.generation > self.generation || (newer.is_going && !self.is_going)
    }
}

/// Whether the first of two versions of an object says something that the other does not know yet: another spec, or that its
/// deletion was asked for.
pub fn is_newer(version: &ObjectMeta, known: &ObjectMeta) -> bool {
    Basis::of(known).is_behind(version)
}

/// A status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is gone, or another one has its name.
    #[error("the object is gone")]
    Gone,
    /// Somebody else has written the status.
    #[error("another operator drives this object")]
    Fenced,
    /// The spec was changed, or the deletion asked for, after it was decided what to write.
    #[error("the object was changed after this was decided")]
    Changed,
    /// The server has stored something else than what was written: its schema does not know all of it.
    #[error("the server did not keep all of the status; hint: `chaos install` installs the schema of this version")]
    Pruned,
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The status is not representable.
    #[error("failed to serialise the status: {0}")]
    Encode(#[from] serde_json::Error),
    /// The server has an object that cannot be read: nobody knows what is wanted of it.
    #[error("the object cannot be read: {0}; hint: `kubectl edit` it, or `chaos install` the schema of this version")]
    Unreadable(String),
}

/// Their names, in one table: the compiler asks for a row for each.
macro_rules! names {
    ($($error:ident => $name:expr,)+) => {
        impl StoreError {
            /// The names of all that there are.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Stable name, for the metric.
            pub const fn as_str(&self) -> &'static str {
                match self {
                    $(Self::$error { .. } => $name,)+
                }
            }
        }
    };
}

names! {
    Gone => "Gone",
    Fenced => "Fenced",
    Changed => "Changed",
    Pruned => "Pruned",
    Call => "ApiServer",
    Encode => "Encode",
    Unreadable => UNREADABLE,
}

impl<K: Tended> StatusStore<K> {
    /// Reads the object afresh. What is written is decided on this version until another is named.
    pub async fn open(read: Caller, write: Caller, namespace: &str, name: &str) -> Result<Self, StoreError> {
        let path = path_of::<K>(namespace, name);
        let object: K = get(&read, &path).await?;
        Ok(Self::at(read, write, path, object))
    }

    /// Goes on from a version that a watch has brought, with its status, and asks nobody. It may be an old one: the first write
    /// finds that out, as it names the version that it follows. `None`: it does not say which version it is, or of what.
    pub fn brought(read: Caller, write: Caller, object: K) -> Option<Self> {
        let meta = object.meta();
        let (namespace, name) = (meta.namespace.as_deref()?, meta.name.as_deref()?);
        let is_said = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
        if !is_said(meta.uid.as_deref()) || !is_said(meta.resource_version.as_deref()) {
            return None;
        }
        let path = path_of::<K>(namespace, name);
        Some(Self::at(read, write, path, object))
    }

    fn at(read: Caller, write: Caller, path: String, object: K) -> Self {
        let basis = Basis::of(object.meta());
        Self { read, write, path, object, basis, unsettled: Vec::new() }
    }

    /// Names the version that what is written from now on was decided on: a watch may have brought one that is newer than the
    /// last write.
    pub const fn decide_on(&mut self, version: &ObjectMeta) {
        self.basis = Basis::of(version);
    }

    /// The object as it was last written or read.
    pub const fn object(&self) -> &K {
        &self.object
    }

    /// The status as it is stored.
    pub fn status(&self) -> K::Status {
        self.object.status().cloned().unwrap_or_default()
    }

    /// Replaces the status, if nobody else has since we last did, and if the object still is what was decided on. Does nothing
    /// if it says nothing new. Afterwards all of it is stored.
    pub async fn put(&mut self, status: &K::Status) -> Result<(), StoreError> {
        self.change(&|stored: &mut K::Status| stored.clone_from(status)).await.map(drop)
    }

    /// Finds out which of the statuses that were written from here is stored, if that is not clear.
    pub async fn clear_up(&mut self) -> Result<(), StoreError> {
        if self.unsettled.is_empty() { Ok(()) } else { self.look(None).await }
    }

    /// Changes the status under the same conditions, and gives it as it was before and is now. The change is made once more where
    /// another status of ours turns out to be stored than was thought: what that one says is not taken back.
    async fn change(
        &mut self,
        change: &(impl Fn(&mut K::Status) + Sync),
    ) -> Result<(K::Status, K::Status), StoreError> {
        self.clear_up().await?;
        let (mut before, mut wanted) = self.changed(change)?;
        // Most of the time nothing is new, and every killer asks for this at each of its steps.
        if self.unsettled.is_empty() && self.object.status() == Some(&wanted) {
            return Ok((before, wanted));
        }
        if self.basis.is_behind(self.object.meta()) {
            return Err(StoreError::Changed);
        }
        let mut failed = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                if self.settle(&wanted).await? {
                    return Ok((before, wanted));
                }
                (before, wanted) = self.changed(change)?;
            }
            match self.write_once(&wanted).await {
                Ok(object) => {
                    self.object = object;
                    self.unsettled.clear();
                    // The schema may have changed since it was last looked at, and whoever acts relies on what is stored.
                    return if self.status() == wanted { Ok((before, wanted)) } else { Err(StoreError::Pruned) };
                }
                Err(error) if error.is_not_found() => return Err(StoreError::Gone),
                Err(error) if error.is_conflict() => failed = Some(error),
                Err(error) if error.is_passing() => {
                    if error.may_have_happened() {
                        self.remember(&wanted);
                    }
                    failed = Some(error);
                    tokio::time::sleep(PAUSE * (attempt + 1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(failed.map_or(StoreError::Fenced, StoreError::Call))
    }

    /// The status as it was last seen, and as it is after that change and in the form in which a server keeps it.
    fn changed(&self, change: impl Fn(&mut K::Status)) -> Result<(K::Status, K::Status), StoreError> {
        let before = self.status();
        let mut after = before.clone();
        change(&mut after);
        let is_new = self.object.status() != Some(&after);
        let kept = if is_new { serde_json::from_value(serde_json::to_value(after)?)? } else { after };
        Ok((before, kept))
    }

    fn remember(&mut self, status: &K::Status) {
        if !self.unsettled.contains(status) {
            let surplus = (self.unsettled.len() + 1).saturating_sub(UNSETTLED);
            self.unsettled.drain(..surplus);
            self.unsettled.push(status.clone());
        }
    }

    async fn write_once(&self, status: &K::Status) -> Result<K, CallError> {
        let mut object = self.object.clone();
        object.meta_mut().managed_fields = None;
        *object.status_mut() = Some(status.clone());
        self.write.replace(&format!("{}/status", self.path), &object).await
    }

    /// After a write whose fate is not clear, or that came too late: whether `wanted` is stored already. An error if
    /// somebody else has written another status meanwhile, or if `wanted` was decided before the object became what it is.
    /// Every change of a spec gives an object another version, so none goes unnoticed, whatever a watch brings.
    async fn settle(&mut self, wanted: &K::Status) -> Result<bool, StoreError> {
        self.look(Some(wanted)).await?;
        if self.basis.is_behind(self.object.meta()) {
            return Err(StoreError::Changed);
        }
        Ok(self.object.status() == Some(wanted))
    }

    /// Reads the object afresh. An error if its status is none that was known here, nor that one.
    async fn look(&mut self, wanted: Option<&K::Status>) -> Result<(), StoreError> {
        let current: K = get(&self.read, &self.path).await?;
        if current.meta().uid != self.object.meta().uid {
            return Err(StoreError::Gone);
        }
        let found = current.status().cloned().unwrap_or_default();
        if found != self.status() && !self.unsettled.contains(&found) && wanted != current.status() {
            return Err(StoreError::Fenced);
        }
        // A write that is still on its way follows the version before, and comes too late for another.
        if current.meta().resource_version != self.object.meta().resource_version {
            self.unsettled.clear();
        }
        self.object = current;
        Ok(())
    }
}

fn path_of<K: Tended>(namespace: &str, name: &str) -> String {
    format!("{}/{name}", K::url_path(&(), Some(namespace)))
}

async fn get<K: Tended>(caller: &Caller, path: &str) -> Result<K, StoreError> {
    match caller.get::<Value>(path).await {
        Ok(object) => serde_json::from_value(object).map_err(|why| StoreError::Unreadable(why.to_string())),
        Err(error) if error.is_not_found() => Err(StoreError::Gone),
        Err(error) => Err(error.into()),
    }
}

/// A status that several tasks of one driver write, each its own part of it.
pub struct StatusDesk<K: HasStatus> {
    store: Arc<Mutex<StatusStore<K>>>,
    /// Not in the store: nobody waits for a write to name what the next one is decided on.
    basis: watch::Sender<Basis>,
    /// The object as a write came upon it that was decided on another version.
    changed: watch::Sender<Option<Arc<K>>>,
}

impl<K: HasStatus> Clone for StatusDesk<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), basis: self.basis.clone(), changed: self.changed.clone() }
    }
}

impl<K: Tended> StatusDesk<K> {
    /// A desk around a store.
    pub fn new(store: StatusStore<K>) -> Self {
        let (basis, changed) = (watch::channel(store.basis).0, watch::channel(None).0);
        Self { store: Arc::new(Mutex::new(store)), basis, changed }
    }

    /// The object whenever a write comes upon a version of it that nobody has named to [`Self::decide_on`].
    pub fn changes(&self) -> watch::Receiver<Option<Arc<K>>> {
        self.changed.subscribe()
    }

    /// Names the version that whatever is written here from now on is decided on.
    pub fn decide_on(&self, version: &ObjectMeta) {
        self.basis.send_replace(Basis::of(version));
    }

    /// The status as it is stored.
    pub async fn status(&self) -> K::Status {
        self.store.lock().await.status()
    }

    /// The same, asked for if it is not clear which of the statuses that were written here that is.
    pub async fn clear_status(&self) -> Result<K::Status, StoreError> {
        let mut store = self.store.lock().await;
        store.clear_up().await?;
        Ok(store.status())
    }

    /// The object as it was last written or read.
    pub async fn object(&self) -> K {
        self.store.lock().await.object().clone()
    }

    /// Changes the status, and gives it as it was before and is now. The change may be made several times, each on a newer status.
    pub async fn update(
        &self,
        change: impl Fn(&mut K::Status) + Send + Sync,
    ) -> Result<(K::Status, K::Status), StoreError> {
        let mut store = self.store.lock().await;
        store.basis = *self.basis.borrow();
        let changed = store.change(&change).await;
        if matches!(changed, Err(StoreError::Changed)) {
            self.changed.send_replace(Some(Arc::new(store.object().clone())));
        }
        changed
    }
}

#[cfg(test)]
mod tests;
