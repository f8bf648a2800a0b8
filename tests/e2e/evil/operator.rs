//! An operator that kills as it should and lies about the time: its clock jumps in mid-run, as one does that is set anew.

use std::time::Duration;

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus, ClockReading, EndRecord, KillRecord, Outcome, VictimRef};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

/// Time between two looks at the monkey.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two kills.
const LOOKS_PER_KILL: usize = 5;
/// How far the clock jumps.
pub(crate) const JUMP: SignedDuration = SignedDuration::from_mins(10);

/// Drives the run-owned monkeys of a namespace for ever. The clock is set by so much after so many kills.
pub(crate) async fn drive(client: Client, namespace: String, set_after: usize, set_by: SignedDuration) {
    let monkeys: Api<ChaosMonkey> = Api::namespaced(client.clone(), &namespace);
    let mut looks = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        looks += 1;
        let listed = monkeys.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        for monkey in listed {
            let mut status = monkey.status.clone().unwrap_or_default();
            let ahead = if status.history.len() >= set_after { set_by } else { SignedDuration::ZERO };
            let now = Timestamp::now() + ahead;
            let idle = monkey.spec.suspend || status.ended.is_some();
            if !idle && looks % LOOKS_PER_KILL == 0 {
                status.history.extend(kill(&client, &namespace, &status, now).await);
            }
            let wanted = monkey.spec.max_kills.unwrap_or_default() as usize;
            if status.history.len() >= wanted && status.ended.is_none() {
                let (reason, message) = ("StrikesDone".to_owned(), String::new());
                status.ended = Some(EndRecord { reason, message, at: MicroTime(now) });
            }
            status.kills = status.history.len() as u64;
            status.observed_generation = monkey.metadata.generation;
            status.clock = heartbeat(&client, &monkey, now).await.or(status.clock);
            let patch = json!({"status": status});
            // A monkey that is gone by now needs no status.
            let _ = monkeys.patch_status(&monkey.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
        }
    }
}

/// Evicts a Ready pod that was not hit before.
async fn kill(client: &Client, namespace: &str, status: &ChaosMonkeyStatus, now: Timestamp) -> Option<KillRecord> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = pods.list(&ListParams::default()).await.ok()?.items;
    let ready: Vec<&Pod> = listed.iter().filter(|pod| super::field::is_ready(pod)).collect();
    let fresh = |pod: &&&Pod| pod.metadata.deletion_timestamp.is_none();
    let victim = ready.iter().find(fresh).filter(|_| ready.len() == super::field::REPLICAS)?;
    let owner = victim.owner_references().first()?.clone();
    pods.evict(&victim.name_any(), &EvictParams::default()).await.ok()?;
    let strike = status.history.len() as u64;
    Some(KillRecord {
        strike,
        nonce: format!("lie-{strike}"),
        group: namespace.to_owned(),
        victim: VictimRef {
            namespace: namespace.to_owned(),
            pod: victim.name_any(),
            uid: victim.uid()?,
            workload: "Deployment/app".to_owned(),
            workload_uid: String::new(),
            owner_uid: owner.uid,
            node: None,
        },
        at: MicroTime(now),
        outcome: Outcome::Killed,
        message: None,
    })
}

async fn heartbeat(client: &Client, monkey: &ChaosMonkey, now: Timestamp) -> Option<ClockReading> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), &monkey.namespace()?);
    let lease = leases.get(&monkey.spec.heartbeat_lease.as_ref()?.name).await.ok()?;
    Some(ClockReading { heartbeat: lease.spec?.renew_time?, read_at: MicroTime(now) })
}
