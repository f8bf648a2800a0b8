//! Looking a pod up by name and UID: what became of a kill whose answer was lost.

use chaos_core::api::VictimRef;
use chaos_core::killer::Sighting;

use super::call::Caller;
use super::wire::Pod;

/// What that very pod (by UID) looks like now.
pub(crate) async fn look_up(caller: &Caller, victim: &VictimRef) -> Sighting {
    let path = format!("/api/v1/namespaces/{}/pods/{}", victim.namespace, victim.pod);
    match caller.get::<Pod>(&path).await {
        Ok(pod) if pod.metadata.uid != victim.uid => Sighting::Gone,
        Ok(pod) if pod.metadata.deletion_timestamp.is_some() => Sighting::Terminating,
        Ok(_) => Sighting::Alive,
        Err(error) if error.is_not_found() => Sighting::Gone,
        Err(error) => Sighting::Unseen(error.to_string()),
    }
}
