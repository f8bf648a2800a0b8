//! What requests share: the locked store, the served resources, and the wake-up calls of watchers.
//!
//! Every write runs as one closure under the store's lock, so that what it read is still true when it writes: an
//! eviction and its budget, a scale and its Deployment. No closure may wait or do I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::audit::AuditLog;
use super::auth::{Identity, Tokens};
use super::error::ApiResult;
use super::logs::LogSource;
use super::metrics::Metrics;
use super::rbac::RbacCache;
use super::registry::Registry;
use super::write::Transaction;
use crate::network::ServiceIpAllocator;
use crate::store::{GroupResource, Store};

pub(crate) struct State {
    store: RwLock<Store>,
    registry: RwLock<Arc<Registry>>,
    wakers: Mutex<HashMap<GroupResource, watch::Sender<u64>>>,
    log_source: RwLock<Option<Arc<dyn LogSource>>>,
    service_ips: Option<Arc<dyn ServiceIpAllocator>>,
    pub(crate) tokens: Tokens,
    pub(crate) rbac: RbacCache,
    pub(crate) audit: AuditLog,
    pub(crate) metrics: Metrics,
    /// Cancelled when the server goes: watches and followed logs end.
    pub(crate) shutdown: CancellationToken,
}

/// What [`State::new`] needs.
pub(crate) struct StateParts {
    pub(crate) log_capacity: usize,
    pub(crate) service_ips: Option<Arc<dyn ServiceIpAllocator>>,
    pub(crate) tokens: Tokens,
    pub(crate) audit: AuditLog,
}

impl State {
    pub(crate) fn new(parts: StateParts) -> Self {
        Self {
            store: RwLock::new(Store::new(parts.log_capacity)),
            registry: RwLock::new(Arc::new(Registry::new([]))),
            wakers: Mutex::default(),
            log_source: RwLock::default(),
            service_ips: parts.service_ips,
            tokens: parts.tokens,
            rbac: RbacCache::default(),
            audit: parts.audit,
            metrics: Metrics::default(),
            shutdown: CancellationToken::new(),
        }
    }

    /// The objects, for reading. Hold it briefly and never across an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resources served now.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs one write, all of it or (if it fails before its first change) nothing, and wakes the watchers concerned.
    pub(crate) fn write<T>(
        &self,
        requester: Option<&Identity>,
        dry_run: bool,
        act: impl FnOnce(&mut Transaction<'_>) -> ApiResult<T>,
    ) -> ApiResult<T> {
        let registry = self.registry();
        let (result, changed, revision) = {
            let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
            let mut transaction = Transaction {
                store: &mut store,
                registry: Arc::clone(&registry),
                now: Timestamp::now(),
                dry_run,
                requester,
                service_ips: self.service_ips.as_deref(),
                new_registry: None,
            };
            let result = act(&mut transaction);
            if let Some(registry) = transaction.new_registry.take() {
                *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
            }
            (result, store.take_changed(), store.revision())
        };
        if !changed.is_empty() {
            let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            for waker in changed.iter().filter_map(|collection| wakers.get(collection)) {
                waker.send_replace(revision);
            }
        }
        result
    }

    /// Something to wait on for changes of a collection.
    pub(crate) fn changes(&self, collection: &GroupResource) -> watch::Receiver<u64> {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.entry(collection.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Where container logs come from, once a kubelet has said so.
    pub(crate) fn log_source(&self) -> Option<Arc<dyn LogSource>> {
        self.log_source.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_log_source(&self, source: Arc<dyn LogSource>) {
        *self.log_source.write().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }
}
