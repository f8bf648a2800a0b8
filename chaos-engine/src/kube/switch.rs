//! The stop switch of the cluster, as it is right now. What a missing or unreadable one means is decided in `chaos-core`.

use chaos_core::api::switch::{NAME, NAMESPACE, is_running};
use chaos_core::population::SwitchState;
use k8s_openapi::api::core::v1::ObjectReference;

use super::call::{CallError, Caller};
use super::wire::ConfigMap;

/// Reads the stop switch. It is unreadable to those alone who are told that they may not: any other failure says nothing about
/// it, and is one of the caller's, who must not decide as if it were known.
pub async fn read_switch(caller: &Caller) -> Result<SwitchState, CallError> {
    Ok(see_switch(caller).await?.0)
}

/// Reads the stop switch, and gives besides which version of which object says so, if there is one that can be read.
pub async fn see_switch(caller: &Caller) -> Result<(SwitchState, Option<ObjectReference>), CallError> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/{NAME}");
    match caller.get::<ConfigMap>(&path).await {
        Ok(map) => {
            let state = if is_running(&map.data) { SwitchState::Running } else { SwitchState::Stopped };
            Ok((state, Some(reference(map))))
        }
        Err(error) if error.is_not_found() => Ok((SwitchState::Missing, None)),
        Err(error) if error.is_forbidden() => Ok((SwitchState::Unreadable, None)),
        Err(error) => Err(error),
    }
}

fn reference(map: ConfigMap) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        name: Some(NAME.to_owned()),
        uid: Some(map.metadata.uid),
        resource_version: Some(map.metadata.resource_version),
        ..ObjectReference::default()
    }
}
