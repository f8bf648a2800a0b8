//! The status of one of our objects on the cluster. Every write names the version it follows; if somebody else has written the
//! status in between, we are not the one who drives this object any more.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::core::object::HasStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use super::call::{CallError, Caller};

/// How often a write is tried when its fate is not clear.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

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
pub struct StatusStore<K> {
    read: Caller,
    write: Caller,
    path: String,
    /// The object as it was last written or read: its version is the one that the next write follows.
    object: K,
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
    /// The server does not answer, or refuses.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The status is not representable.
    #[error("failed to serialise the status: {0}")]
    Encode(#[from] serde_json::Error),
}

impl StoreError {
    /// Stable name, for the metric.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "Gone",
            Self::Fenced => "Fenced",
            Self::Call(_) => "ApiServer",
            Self::Encode(_) => "Encode",
        }
    }
}

impl<K: Tended> StatusStore<K> {
    /// Reads the object afresh.
    pub async fn open(read: Caller, write: Caller, namespace: &str, name: &str) -> Result<Self, StoreError> {
        let path = format!("{}/{name}", K::url_path(&(), Some(namespace)));
        let object = get(&read, &path).await?;
        Ok(Self { read, write, path, object })
    }

    /// The object as it was last written or read.
    pub const fn object(&self) -> &K {
        &self.object
    }

    /// The status as it is stored.
    pub fn status(&self) -> K::Status {
        self.object.status().cloned().unwrap_or_default()
    }

    /// Replaces the status, if nobody else has since we last did. Does nothing if it says nothing new.
    pub async fn put(&mut self, status: &K::Status) -> Result<(), StoreError> {
        let wanted: K::Status = serde_json::from_value(serde_json::to_value(status)?)?;
        if self.object.status() == Some(&wanted) {
            return Ok(());
        }
        let mut failed = None;
        for attempt in 0..TRIES {
            if attempt > 0 && self.settle(&wanted).await? {
                return Ok(());
            }
            match self.write_once(&wanted).await {
                Ok(object) => {
                    self.object = object;
                    return Ok(());
                }
                Err(error) if error.is_not_found() => return Err(StoreError::Gone),
                Err(error) if error.is_conflict() => failed = Some(error),
                Err(error) if error.may_have_happened() || error.code().is_none() => {
                    failed = Some(error);
                    tokio::time::sleep(PAUSE * (attempt + 1)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(failed.map_or(StoreError::Fenced, StoreError::Call))
    }

    async fn write_once(&self, status: &K::Status) -> Result<K, CallError> {
        let mut object = self.object.clone();
        object.meta_mut().managed_fields = None;
        *object.status_mut() = Some(status.clone());
        self.write.replace(&format!("{}/status", self.path), &object).await
    }

    /// After a write whose fate is not clear, or that came too late: whether `wanted` is stored already. An error if
    /// somebody else has written another status meanwhile; a change of the spec is none.
    async fn settle(&mut self, wanted: &K::Status) -> Result<bool, StoreError> {
        let current: K = get(&self.read, &self.path).await?;
        if current.meta().uid != self.object.meta().uid {
            return Err(StoreError::Gone);
        }
        let is_stored = current.status() == Some(wanted);
        if !is_stored && current.status().cloned().unwrap_or_default() != self.status() {
            return Err(StoreError::Fenced);
        }
        self.object = current;
        Ok(is_stored)
    }
}

async fn get<K: Tended>(caller: &Caller, path: &str) -> Result<K, StoreError> {
    match caller.get::<Value>(path).await {
        Ok(object) => Ok(serde_json::from_value(object)?),
        Err(error) if error.is_not_found() => Err(StoreError::Gone),
        Err(error) => Err(error.into()),
    }
}

/// A status that several tasks of one driver write, each its own part of it.
pub struct StatusDesk<K> {
    store: Arc<Mutex<StatusStore<K>>>,
}

impl<K> Clone for StatusDesk<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone() }
    }
}

impl<K: Tended> StatusDesk<K> {
    /// A desk around a store.
    pub fn new(store: StatusStore<K>) -> Self {
        Self { store: Arc::new(Mutex::new(store)) }
    }

    /// The status as it is stored.
    pub async fn status(&self) -> K::Status {
        self.store.lock().await.status()
    }

    /// The object as it was last written or read.
    pub async fn object(&self) -> K {
        self.store.lock().await.object().clone()
    }

    /// Changes the status, and gives it as it was before and is now.
    pub async fn update(
        &self,
        change: impl FnOnce(&mut K::Status) + Send,
    ) -> Result<(K::Status, K::Status), StoreError> {
        let mut store = self.store.lock().await;
        let before = store.status();
        let mut after = before.clone();
        change(&mut after);
        store.put(&after).await?;
        Ok((before, after))
    }
}
