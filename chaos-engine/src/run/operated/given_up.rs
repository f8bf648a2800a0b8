//! Who killed for a run that is given up without its record. Nobody gives its monkey a sign of life any more, and it stops for that,
//! but not before two are missed: until then it would go on to kill for a run that is over. So it is told to rest before the run is.
//! A run that killed by itself kills no more, and nobody looks up what became of a kill that is open.

use std::time::Duration;

use chaos_core::api::{ChaosMonkey, ExperimentRunStatus};
use kube::Api;
use tokio::time::Instant;

use super::super::monkey::{name_of, suspend_once};
use super::super::told::unknown;
use crate::kube::{Clients, done, is_of_a_moment, is_turned_away, told};

/// How long that is tried: load is on meanwhile.
const WITHIN: Duration = Duration::from_secs(10);
/// Pause before what may pass is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Tells the monkey of the run of that UID and status to rest, if it has one. What a person has to know, where that fails or a kill is
/// open.
pub async fn let_rest(clients: &Clients, namespace: &str, uid: &str, status: &ExperimentRunStatus) -> Option<String> {
    // A run whose killer remembers in its status whom it killed has no monkey.
    if let Some(killer) = &status.killer {
        let open = unknown(&killer.intents);
        return (!open.is_empty()).then(|| open.join("; "));
    }
    let name = name_of(uid);
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
    let since = Instant::now();
    loop {
        match done(suspend_once(monkeys, name).await) {
            Ok(()) => return Ok(()),
            Err(error) if (is_of_a_moment(&error) || is_turned_away(&error)) && since.elapsed() < WITHIN => {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}
