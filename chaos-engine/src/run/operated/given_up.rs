//! The monkey of a run that is given up without its record. Nobody gives it a sign of life any more, and it stops for that, but not
//! before two are missed: until then it would go on to kill for a run that is over. So it is told to rest before the run is.

use std::time::Duration;

use chaos_core::api::ChaosMonkey;
use kube::Api;
use kube::api::{Patch, PatchParams};
use tokio::time::Instant;

use crate::kube::{Clients, is_of_a_moment, is_turned_away, told};

/// How long that is tried: load is on meanwhile.
const WITHIN: Duration = Duration::from_secs(10);
/// Pause before what may pass is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Tells the monkey of the run of that UID to rest, if it has one. What a person has to know where that fails.
pub async fn let_rest(clients: &Clients, namespace: &str, uid: &str) -> Option<String> {
    let name = format!("run-{uid}");
    let monkeys: Api<ChaosMonkey> = Api::namespaced(clients.write.clone(), namespace);
    let error = suspend(&monkeys, &name).await.err()?;
    let left = format!(
        "ChaosMonkey {namespace}/{name}, if it is there, could not be suspended ({}), and may kill until it has missed the signs of life \
         of its run for most of a minute; hint: kubectl delete chaosmonkey -n {namespace} {name}",
        told(&error)
    );
    tracing::warn!(%left, "a run that is given up has left its monkey");
    Some(left)
}

async fn suspend(monkeys: &Api<ChaosMonkey>, name: &str) -> kube::Result<()> {
    let patch = Patch::Merge(serde_json::json!({"spec": {"suspend": true}}));
    let since = Instant::now();
    loop {
        match monkeys.patch(name, &PatchParams::default(), &patch).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) if (is_of_a_moment(&error) || is_turned_away(&error)) && since.elapsed() < WITHIN => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}
