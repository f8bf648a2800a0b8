//! Leader election by a Lease, with client-go's algorithm: read, and write under the version that was read. It saves work and
//! nothing more: two leaders at once are harmless, because every kill is fenced by the budgets and by the monkey's status.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::call::{CallError, Caller};

/// How an election is held.
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who stands. The same identity takes its own Lease over at once, so it must be used by one process at a time.
    pub identity: String,
    /// A Lease that was not renewed for this long is free.
    pub lease: Duration,
    /// A leader that could not renew for this long steps down. Below `lease`.
    pub renew_deadline: Duration,
    /// Time between two tries. Below `renew_deadline`.
    pub retry: Duration,
}

impl ElectionConfig {
    /// client-go's timing: 15 s, 10 s, 2 s.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// Where the Lease is kept.
pub trait LeaseStore: Send + Sync {
    /// The Lease, if there is one.
    fn get(&self) -> impl Future<Output = Result<Option<Lease>, CallError>> + Send;
    /// Creates it.
    fn create(&self, lease: &Lease) -> impl Future<Output = Result<Lease, CallError>> + Send;
    /// Replaces it if it is still at the version it names.
    fn replace(&self, lease: &Lease) -> impl Future<Output = Result<Lease, CallError>> + Send;
}

/// The Lease on a cluster.
#[derive(Clone)]
pub struct ClusterLease {
    caller: Caller,
    folder: String,
    path: String,
}

impl ClusterLease {
    /// The Lease that this election is about.
    pub fn new(caller: Caller, config: &ElectionConfig) -> Self {
        let folder = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", config.namespace);
        let path = format!("{folder}/{}", config.name);
        Self { caller, folder, path }
    }
}

impl LeaseStore for ClusterLease {
    async fn get(&self) -> Result<Option<Lease>, CallError> {
        self.caller.find(&self.path).await
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, CallError> {
        self.caller.create(&self.folder, lease).await
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, CallError> {
        self.caller.replace(&self.path, lease).await
    }
}

/// One candidate.
pub struct Election<S> {
    config: ElectionConfig,
    store: S,
    /// The Lease as it was last seen, and when that changed, by our own clock: clocks of others are never compared.
    seen: Option<(Lease, Instant)>,
}

impl<S: LeaseStore> Election<S> {
    /// A candidate.
    pub const fn new(config: ElectionConfig, store: S) -> Self {
        Self { config, store, seen: None }
    }

    /// Stands for election until `shutdown`, and tells `leading` whenever that changes. Gives the Lease back at the end.
    pub async fn run(mut self, leading: watch::Sender<bool>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.attempt().await {
                leading.send_replace(true);
                tracing::info!(identity = %self.config.identity, "leading");
                self.hold(&shutdown).await;
                leading.send_replace(false);
                tracing::info!(identity = %self.config.identity, "no longer leading");
            } else {
                self.pause(&shutdown).await;
            }
        }
        self.give_back().await;
    }

    /// Renews until it fails for too long or the process shuts down.
    async fn hold(&mut self, shutdown: &CancellationToken) {
        let mut deadline = Instant::now() + self.config.renew_deadline;
        loop {
            self.pause(shutdown).await;
            if shutdown.is_cancelled() {
                return;
            }
            match timeout_at(deadline, self.attempt()).await {
                Ok(true) => deadline = Instant::now() + self.config.renew_deadline,
                Ok(false) if self.is_taken() || Instant::now() >= deadline => return,
                Ok(false) => {}
                Err(_) => return,
            }
        }
    }

    /// Whether somebody else holds the Lease.
    fn is_taken(&self) -> bool {
        let holder = self.seen.as_ref().and_then(|(lease, _)| holder(lease));
        holder.is_some_and(|holder| holder != self.config.identity)
    }

    /// Tries to take or renew the Lease. Whether it is ours now.
    async fn attempt(&mut self) -> bool {
        let current = match self.store.get().await {
            Ok(current) => current,
            Err(error) => {
                tracing::warn!(%error, "failed to read the leader's Lease");
                return false;
            }
        };
        let Some(current) = current else {
            return self.wrote(self.store.create(&self.lease(None)).await);
        };
        if self.seen.as_ref().is_none_or(|(seen, _)| seen.spec != current.spec) {
            self.seen = Some((current.clone(), Instant::now()));
        }
        let is_fresh = self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() < self.lease_of(&current));
        let others = holder(&current).is_some_and(|holder| holder != self.config.identity);
        if others && is_fresh {
            return false;
        }
        self.wrote(self.store.replace(&self.lease(Some(&current))).await)
    }

    fn wrote(&mut self, written: Result<Lease, CallError>) -> bool {
        match written {
            Ok(lease) => {
                self.seen = Some((lease, Instant::now()));
                true
            }
            Err(error) if error.is_conflict() => false,
            Err(error) => {
                tracing::warn!(%error, "failed to write the leader's Lease");
                false
            }
        }
    }

    /// How long that Lease stands without being renewed: what its holder says, for it may be configured differently.
    fn lease_of(&self, lease: &Lease) -> Duration {
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
        seconds.and_then(|s| u64::try_from(s).ok()).map_or(self.config.lease, Duration::from_secs)
    }

    /// Our Lease, in place of `current`.
    fn lease(&self, current: Option<&Lease>) -> Lease {
        let now = MicroTime(Timestamp::now());
        let before = current.and_then(|lease| lease.spec.as_ref());
        let is_ours = current.and_then(holder) == Some(self.config.identity.as_str());
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.config.name.clone()),
                namespace: Some(self.config.namespace.clone()),
                resource_version: current.and_then(|lease| lease.metadata.resource_version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.config.identity.clone()),
                lease_duration_seconds: Some(i32::try_from(self.config.lease.as_secs()).unwrap_or(i32::MAX)),
                acquire_time: before
                    .filter(|_| is_ours)
                    .and_then(|spec| spec.acquire_time.clone())
                    .or(Some(now.clone())),
                renew_time: Some(now),
                lease_transitions: Some(if is_ours || current.is_none() { transitions } else { transitions + 1 }),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Frees the Lease, if it is ours, so that another candidate need not wait.
    async fn give_back(&self) {
        let Some((lease, _)) =
            self.seen.as_ref().filter(|(lease, _)| holder(lease) == Some(self.config.identity.as_str()))
        else {
            return;
        };
        let mut free = lease.clone();
        if let Some(spec) = &mut free.spec {
            spec.holder_identity = None;
            spec.lease_duration_seconds = Some(1);
        }
        if let Err(error) = self.store.replace(&free).await {
            tracing::warn!(%error, "failed to give the leader's Lease back");
        }
    }

    /// Waits one retry, a fifth more or less so that candidates do not march in step.
    async fn pause(&self, shutdown: &CancellationToken) {
        let factor = 0.8 + 0.4 * rand::random::<f64>();
        tokio::select! {
            () = sleep(self.config.retry.mul_f64(factor)) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests;
