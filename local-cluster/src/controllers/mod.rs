//! The controllers: what turns a Deployment into pods on nodes behind a Service.
//!
//! Each controller is a pure function from objects to actions, and a thin loop: changes put keys in a queue, one worker takes
//! a key, reads its caches, decides, writes. One worker per controller is enough here and rules out two decisions about the same
//! object at a time. All of them talk to the API server as their real namesakes do and know nothing of its implementation.

mod deployment;
mod disruption;
mod endpoint_slice;
pub(crate) mod events;
#[cfg(test)]
mod fixtures;
mod garbage;
mod namespace;
mod node;
mod pod_template;
mod queue;
mod replica_set;
mod scheduler;
mod service_account;
mod start;
mod stateful_set;
mod volume;
mod writer;

pub(crate) use endpoint_slice::SERVICE_LABEL;
pub(crate) use node::{LEASE_NAMESPACE, NodeTimings};
pub(crate) use queue::Queue;
pub(crate) use scheduler::hostname_labels;
pub(crate) use start::{Caches, ControllerEnvironment, start};
pub(crate) use volume::VolumeFolders;
pub(crate) use writer::{Writer, is_status};

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::cache::ObjectKey;

/// What became of one sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    Done,
    /// Decide again at once, on the newer copy.
    Again,
    /// Decide again after this long, even if nothing changes.
    After(Duration),
}

/// One controller's loop body.
trait Controller: Send + std::marker::Sync + 'static {
    /// As its real namesake is called: user name, Event source.
    const NAME: &'static str;

    /// Brings one object closer to its wish. Errors are retried with back-off.
    fn sync(&self, key: &ObjectKey) -> impl Future<Output = kube::Result<Sync>> + Send;
}

/// Works through the queue until `stop`.
async fn work<C: Controller>(controller: C, queue: Queue, stop: CancellationToken) {
    loop {
        let key = tokio::select! {
            () = stop.cancelled() => return,
            key = queue.next() => key,
        };
        match controller.sync(&key).await {
            Ok(Sync::Done) => queue.forget(&key),
            Ok(Sync::Again) => {
                queue.forget(&key);
                queue.add(key);
            }
            Ok(Sync::After(pause)) => {
                queue.forget(&key);
                queue.add_after(key, pause);
            }
            Err(error) => {
                tracing::debug!(controller = C::NAME, %key, %error, "sync failed");
                queue.retry(key);
            }
        }
    }
}
