//! The Service proxy: listens on cluster addresses and joins each new connection to one ready endpoint.
//!
//! It keeps to what kube-proxy does on a real node. New connections go to ready endpoints in turn; existing ones stay with
//! theirs until one side ends them; a Service without endpoints refuses (its listener is closed); an endpoint that does not
//! answer is the client's problem (its connection is reset): another one is not tried.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::routes::{Routes, routes};
use crate::cache::ObjectKey;
use crate::controllers::events::{Notice, Recorder};
use crate::controllers::{Caches, Queue, SERVICE_LABEL};
use crate::profile::{Dice, Timings};

/// See the module.
pub(crate) struct ServiceProxy {
    pub(crate) caches: Caches,
    pub(crate) timings: Timings,
    pub(crate) dice: Dice,
    pub(crate) recorder: Recorder,
}

impl ServiceProxy {
    /// Follows Services and their slices until `stop`.
    pub(crate) fn start(self, stop: CancellationToken) {
        let queue = Queue::default();
        let services = queue.clone();
        self.caches.services.subscribe(move |change| services.add(ObjectKey::of(change.object().as_ref())));
        let (slices, timings, dice) = (queue.clone(), self.timings.clone(), self.dice.clone());
        self.caches.slices.subscribe(move |change| {
            let slice = change.object();
            let Some(service) = slice.labels().get(SERVICE_LABEL) else { return };
            let key = ObjectKey::new(slice.namespace().unwrap_or_default(), service.clone());
            match dice.draw(&timings.endpoint_lag) {
                lag if lag.is_zero() => slices.add(key),
                lag => slices.add_after(key, lag),
            }
        });
        tokio::spawn(async move {
            let mut table = Table::default();
            loop {
                let key = tokio::select! {
                    () = stop.cancelled() => break,
                    key = queue.next() => key,
                };
                let service = self.caches.services.get_key(&key);
                let wanted = service.as_ref().map(|service| self.routes_of(service, &key)).unwrap_or_default();
                for (address, error) in table.apply(&key, wanted).await {
                    if let Some(service) = &service {
                        let message = format!("failed to listen on {address}: {error}");
                        self.recorder.record(Notice::warning(&**service, "FailedToBind", message));
                    }
                }
            }
            table.close().await;
        });
    }

    fn routes_of(&self, service: &Service, key: &ObjectKey) -> Routes {
        let slices: Vec<Arc<EndpointSlice>> = self
            .caches
            .slices
            .list_in(&key.namespace)
            .into_iter()
            .filter(|slice| slice.labels().get(SERVICE_LABEL) == Some(&key.name))
            .collect();
        routes(service, &slices)
    }
}

/// What is listened on, by Service.
#[derive(Default)]
struct Table {
    listeners: HashMap<ObjectKey, BTreeMap<SocketAddrV4, Listening>>,
}

struct Listening {
    backends: Arc<Backends>,
    task: JoinHandle<()>,
}

impl Table {
    /// Makes the listeners of one Service what they should be. Returns the addresses that could not be had.
    async fn apply(&mut self, key: &ObjectKey, wanted: Routes) -> Vec<(SocketAddrV4, std::io::Error)> {
        let current = self.listeners.entry(key.clone()).or_default();
        let mut failures = Vec::new();
        let obsolete: Vec<_> = current.keys().filter(|at| wanted.get(at).is_none_or(Vec::is_empty)).copied().collect();
        for address in obsolete {
            if let Some(listening) = current.remove(&address) {
                listening.close().await;
            }
        }
        for (address, backends) in wanted.into_iter().filter(|(_, backends)| !backends.is_empty()) {
            if let Some(listening) = current.get(&address) {
                listening.backends.replace(backends);
                continue;
            }
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    let backends = Arc::new(Backends::new(backends));
                    let task = tokio::spawn(accept(listener, Arc::clone(&backends)));
                    current.insert(address, Listening { backends, task });
                }
                Err(error) => failures.push((address, error)),
            }
        }
        if current.is_empty() {
            self.listeners.remove(key);
        }
        failures
    }

    async fn close(self) {
        for listening in self.listeners.into_values().flat_map(BTreeMap::into_values) {
            listening.close().await;
        }
    }
}

impl Listening {
    /// Returns when the address is free again. Connections live on.
    async fn close(self) {
        self.task.abort();
        // The task only ever ends by this abort.
        let _ = self.task.await;
    }
}

/// The endpoints of one address, taken in turn.
struct Backends {
    list: RwLock<Arc<[SocketAddrV4]>>,
    turn: AtomicUsize,
}

impl Backends {
    fn new(backends: Vec<SocketAddrV4>) -> Self {
        Self { list: RwLock::new(backends.into()), turn: AtomicUsize::new(0) }
    }

    fn replace(&self, backends: Vec<SocketAddrV4>) {
        *self.list.write().unwrap_or_else(PoisonError::into_inner) = backends.into();
    }

    fn next(&self) -> Option<SocketAddrV4> {
        let list = Arc::clone(&self.list.read().unwrap_or_else(PoisonError::into_inner));
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        list.get(turn.checked_rem(list.len())?).copied()
    }
}

async fn accept(listener: TcpListener, backends: Arc<Backends>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let backend = backends.next();
                tokio::spawn(join(client, backend));
            }
            // Out of file descriptors, most likely: give connections the time to end.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

/// Joins a client to its endpoint. A side that breaks breaks the other: resets are passed on as resets.
async fn join(mut client: TcpStream, backend: Option<SocketAddrV4>) {
    let connected = match backend {
        Some(backend) => TcpStream::connect(backend).await.ok(),
        None => None,
    };
    let Some(mut server) = connected else {
        return reset(&client);
    };
    // Delays of Nagle's algorithm would be ours, not the application's; where it cannot be switched off, they stay.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    if tokio::io::copy_bidirectional(&mut client, &mut server).await.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Makes the coming close a reset.
fn reset(stream: &TcpStream) {
    // A socket that is closed already needs none.
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests;
