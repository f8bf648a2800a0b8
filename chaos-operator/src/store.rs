//! The status of one `ChaosMonkey` on the cluster. Every write names the version it follows; if somebody else has written the
//! status in between, we are not the one who drives this monkey any more.

use std::time::Duration;

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus, GROUP, VERSION};
use chaos_engine::kube::{CallError, Caller};
use serde_json::Value;

/// How often a write is tried when its fate is not clear.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// The status of one monkey.
pub(crate) struct StatusStore {
    read: Caller,
    write: Caller,
    path: String,
    /// The object as it was last written or read: its version is the one that the next write follows.
    object: ChaosMonkey,
}

/// A status could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The object is gone, or another one has its name.
    #[error("the ChaosMonkey is gone")]
    Gone,
    /// Somebody else has written the status.
    #[error("another operator drives this ChaosMonkey")]
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
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Gone => "Gone",
            Self::Fenced => "Fenced",
            Self::Call(_) => "ApiServer",
            Self::Encode(_) => "Encode",
        }
    }
}

impl StatusStore {
    /// Reads the object afresh.
    pub(crate) async fn open(read: Caller, write: Caller, namespace: &str, name: &str) -> Result<Self, StoreError> {
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/chaosmonkeys/{name}");
        let object = get(&read, &path).await?;
        Ok(Self { read, write, path, object })
    }

    /// The object as it was last written or read.
    pub(crate) const fn object(&self) -> &ChaosMonkey {
        &self.object
    }

    /// The status as it is stored.
    pub(crate) fn status(&self) -> ChaosMonkeyStatus {
        self.object.status.clone().unwrap_or_default()
    }

    /// Replaces the status, if nobody else has since we last did. Does nothing if it says nothing new.
    pub(crate) async fn put(&mut self, status: &ChaosMonkeyStatus) -> Result<(), StoreError> {
        let wanted: ChaosMonkeyStatus = serde_json::from_value(serde_json::to_value(status)?)?;
        if self.object.status.as_ref() == Some(&wanted) {
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

    async fn write_once(&self, status: &ChaosMonkeyStatus) -> Result<ChaosMonkey, CallError> {
        let mut object = self.object.clone();
        object.metadata.managed_fields = None;
        object.status = Some(status.clone());
        self.write.replace(&format!("{}/status", self.path), &object).await
    }

    /// After a write whose fate is not clear, or that came too late: whether `wanted` is stored already. An error if
    /// somebody else has written another status meanwhile; a change of the spec is none.
    async fn settle(&mut self, wanted: &ChaosMonkeyStatus) -> Result<bool, StoreError> {
        let current = get(&self.read, &self.path).await?;
        if current.metadata.uid != self.object.metadata.uid {
            return Err(StoreError::Gone);
        }
        let is_stored = current.status.as_ref() == Some(wanted);
        if !is_stored && current.status.clone().unwrap_or_default() != self.status() {
            return Err(StoreError::Fenced);
        }
        self.object = current;
        Ok(is_stored)
    }
}

async fn get(caller: &Caller, path: &str) -> Result<ChaosMonkey, StoreError> {
    match caller.get::<Value>(path).await {
        Ok(object) => Ok(serde_json::from_value(object)?),
        Err(error) if error.is_not_found() => Err(StoreError::Gone),
        Err(error) => Err(error.into()),
    }
}
