//! The stop switch of the cluster, as it is right now. What a missing or unreadable one means is decided in `chaos-core`.

use chaos_core::api::switch::{NAME, NAMESPACE, is_running};
use chaos_core::population::SwitchState;

use super::call::{CallError, Caller};
use super::wire::ConfigMap;

/// Reads the stop switch. It is unreadable to those alone who are told that they may not: any other failure says nothing about
/// it, and is one of the caller's, who must not decide as if it were known.
pub async fn read_switch(caller: &Caller) -> Result<SwitchState, CallError> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}");
    match caller.get::<ConfigMap>(&path).await {
        Ok(map) if is_running(&map.data) => Ok(SwitchState::Running),
        Ok(_) => Ok(SwitchState::Stopped),
        Err(error) if error.is_not_found() => Ok(SwitchState::Missing),
        Err(error) if error.is_forbidden() => Ok(SwitchState::Unreadable),
        Err(error) => Err(error),
    }
}
