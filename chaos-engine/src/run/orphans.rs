//! What runs whose process died have left on the cluster: their own monkeys, and reservations of kills. Reads only; a cluster
//! that does not say is not asked twice.

use std::time::Duration;

use chaos_core::api::{ChaosMonkey, labels};
use chaos_core::killer::{EndReason, IN_DOUBT};
use chaos_core::model::{Experiment, NamespaceScope};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::kube::budget_of;

/// Reading it takes at most this long: nobody should wait for what is only said.
const PATIENCE: Duration = Duration::from_secs(3);
/// A run that has not beaten for this long is gone: its monkey has stopped long before.
const SILENT: SignedDuration = SignedDuration::from_secs(30);

/// The namespaces in which runs of this experiment leave something, as far as they are named.
pub fn namespaces(experiment: &Experiment) -> Vec<String> {
    let mut namespaces = vec![experiment.namespace.clone()];
    if let NamespaceScope::Named(names) = &experiment.target.namespaces {
        namespaces.extend(names.iter().cloned());
    }
    namespaces
}

/// What is left in these namespaces, each with what to do about it.
pub async fn left(client: &Client, namespaces: &[String]) -> Vec<String> {
    let look = async {
        let mut found = Vec::new();
        for namespace in namespaces {
            found.extend(monkeys(client, namespace).await);
            found.extend(reservations(client, namespace).await);
        }
        found
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_default()
}

/// Run-owned monkeys whose run does not beat any more.
async fn monkeys(client: &Client, namespace: &str) -> Vec<String> {
    let monkeys: Api<ChaosMonkey> = Api::namespaced(client.clone(), namespace);
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let mut found = Vec::new();
    let listed = monkeys.list(&ListParams::default().labels(labels::RUN)).await;
    for monkey in listed.map(|list| list.items).unwrap_or_default() {
        let name = monkey.name_any();
        let run = monkey.labels().get(labels::RUN).cloned().unwrap_or_default();
        let beat = leases.get_opt(&name).await.ok().flatten().and_then(|lease| lease.spec?.renew_time);
        let since = beat.map(|beat| beat.0).or_else(|| monkey.creation_timestamp().map(|created| created.0));
        let ended = monkey.status.as_ref().and_then(|status| status.ended.as_ref());
        let is_lost = ended.is_some_and(|end| EndReason::parse(&end.reason) == Some(EndReason::HeartbeatLost));
        if is_lost || is_silent(since, Timestamp::now()) {
            let kills = monkey.status.as_ref().map_or(0, |status| status.kills);
            found.push(format!(
                "ChaosMonkey {namespace}/{name} is left of run {run}, which died ({kills} kills; it kills no more); hint: \
                 kubectl delete chaosmonkey -n {namespace} {name}"
            ));
        }
    }
    found
}

fn is_silent(since: Option<Timestamp>, now: Timestamp) -> bool {
    since.is_none_or(|since| now.duration_since(since) > SILENT)
}

/// Reservations that nobody can use any more.
async fn reservations(client: &Client, namespace: &str) -> Vec<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let listed = leases.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let now = Timestamp::now();
    let expired = |since: Timestamp| now.duration_since(since) > SignedDuration::try_from(IN_DOUBT).unwrap_or(SILENT);
    let mut found = Vec::new();
    for lease in &listed {
        let held = budget_of(lease).map(|budget| budget.reservations).unwrap_or_default();
        found.extend(held.iter().filter(|held| expired(held.since)).map(|held| {
            format!(
                "a kill of pod UID {} is reserved in Lease {namespace}/{} since {} by run {}, which died; it is dropped by \
                 the next kill of that workload",
                held.victim_uid,
                lease.name_any(),
                held.since,
                held.run
            )
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_beats_is_no_orphan_and_one_without_any_sign_is() {
        let now = Timestamp::constant(1_795_435_200, 0);
        for (seconds, silent) in [(0, false), (29, false), (31, true), (-5, false)] {
            assert_eq!(is_silent(Some(now - SignedDuration::from_secs(seconds)), now), silent, "{seconds}");
        }
        assert!(is_silent(None, now));
    }
}
