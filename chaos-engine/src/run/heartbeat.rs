//! The heartbeat of a run whose pods a monkey kills: a Lease that is renewed while the run lives. A monkey whose run is silent kills
//! nobody, so nothing may beat for one that was to rest and could not be told.

use std::time::Duration;

use chaos_core::api::{self, ChaosMonkey};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::monkey::MonkeyOrder;
use crate::clock::RunClock;

/// The first beats come faster, this far apart, so that the operator's clock is known before it kills.
const FIRST_BEATS: (u32, Duration) = (20, Duration::from_millis(100));

/// Owned by the monkey, so that removing the monkey by hand leaves nothing. Its first beat is by the run's clock as well.
pub(super) fn lease(monkey: &ChaosMonkey, order: &MonkeyOrder, clock: RunClock) -> Lease {
    let owner = monkey.controller_owner_ref(&()).map(|owner| OwnerReference { block_owner_deletion: None, ..owner });
    Lease {
        metadata: ObjectMeta {
            name: Some(monkey.name_any()),
            namespace: Some(order.namespace.clone()),
            labels: Some([(api::labels::RUN.to_owned(), order.run_id.clone())].into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(order.run_id.clone()),
            lease_duration_seconds: i32::try_from(order.beat.as_secs() * 2).ok(),
            renew_time: Some(MicroTime(clock.timestamp(clock.now()))),
            ..LeaseSpec::default()
        }),
    }
}

/// Beats for one monkey.
pub(super) struct Heart {
    pub(super) leases: Api<Lease>,
    pub(super) name: String,
    /// Time between two beats.
    pub(super) every: Duration,
    /// The run's clock, which beats are stamped by: the operator's is measured against that.
    pub(super) clock: RunClock,
    /// Whether it may beat.
    pub(super) may_beat: watch::Receiver<bool>,
}

impl Heart {
    /// Renews the heartbeat, as long as it may, until stopped. A beat that fails is tried again soon, and so is one that is not answered
    /// before the next is due: its connection may be dead. Whether the monkey stops meanwhile is the operator's to decide, from the Lease.
    pub(super) async fn beat(mut self, stop: CancellationToken) {
        let mut beats = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                may = self.may() => if !may { return },
            }
            let patch = serde_json::json!({"spec": {"renewTime": MicroTime(self.clock.timestamp(self.clock.now()))}});
            let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
            let beat = tokio::time::timeout(self.every, self.leases.patch(&self.name, &params, &patch)).await;
            beats += 1;
            let pause = match beat {
                Ok(Ok(_)) if beats < FIRST_BEATS.0 => FIRST_BEATS.1,
                Ok(Ok(_)) => self.every,
                failed => {
                    tracing::debug!(?failed, "heartbeat failed");
                    self.every / 8
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    /// Waits until it may beat. Whether it ever may.
    async fn may(&mut self) -> bool {
        self.may_beat.wait_for(|may_beat| *may_beat).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_beat_that_is_never_answered_keeps_no_other_waiting_until_the_run_is_lost() {
        let beats = Arc::new(AtomicUsize::new(0));
        let count = beats.clone();
        let server = tower::service_fn(move |_: Request<Body>| {
            let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if is_first {
                    std::future::pending::<()>().await;
                }
                let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": "run-1", "namespace": "shop"}});
                Ok::<_, kube::Error>(Response::new(Body::from(lease.to_string().into_bytes())))
            }
        });
        let leases = Api::namespaced(Client::new(server, "shop"), "shop");
        let (_lives, may_beat) = watch::channel(true);
        let every = Duration::from_secs(2);
        let heart = Heart { leases, name: "run-1".to_owned(), every, clock: RunClock::start(), may_beat };
        let stop = CancellationToken::new();
        let beating = tokio::spawn(heart.beat(stop.clone()));
        // So long a run may be silent.
        tokio::time::sleep(every * 2).await;
        assert!(beats.load(Ordering::Relaxed) > 1);
        stop.cancel();
        beating.await.unwrap();
    }
}
