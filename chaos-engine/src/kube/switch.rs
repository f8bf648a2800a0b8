//! The stop switch of the cluster, as it is right now. What a missing or unreadable one means is decided in `chaos-core`.

use chaos_core::api::switch::{NAME, NAMESPACE, is_running};
use chaos_core::population::SwitchState;

use super::call::Caller;
use super::wire::ConfigMap;

/// Reads the stop switch.
pub async fn read_switch(caller: &Caller) -> SwitchState {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}");
    match caller.get::<ConfigMap>(&path).await {
        Ok(map) if is_running(&map.data) => SwitchState::Running,
        Ok(_) => SwitchState::Stopped,
        Err(error) if error.is_not_found() => SwitchState::Missing,
        Err(_) => SwitchState::Unreadable,
    }
}
