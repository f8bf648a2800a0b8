//! What a pod may ask for and not get. A container here is a process of the user who runs the cluster, so everything that needs
//! another root, network or user is refused by name: silently ignoring it would run something else than was asked for.
//! What only takes rights away (`runAsNonRoot`, dropped capabilities, `readOnlyRootFilesystem`) is accepted and has no effect.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, PodSpec, Probe, Volume};

/// The first thing that cannot be given, as text for the Event; `None` when the pod can run.
pub(super) fn refusal(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let what = pod_refusal(spec)
        .or_else(|| spec.volumes.iter().flatten().find_map(volume_refusal))
        .or_else(|| spec.init_containers.iter().flatten().find_map(init_refusal))
        .or_else(|| spec.containers.iter().chain(spec.init_containers.iter().flatten()).find_map(container_refusal))?;
    Some(format!("{what} is not supported by this cluster: containers are plain processes"))
}

fn pod_refusal(spec: &PodSpec) -> Option<String> {
    let named = [
        ("spec.hostNetwork", spec.host_network == Some(true)),
        ("spec.hostPID", spec.host_pid == Some(true)),
        ("spec.hostIPC", spec.host_ipc == Some(true)),
        ("spec.activeDeadlineSeconds", spec.active_deadline_seconds.is_some()),
        ("spec.runtimeClassName", spec.runtime_class_name.is_some()),
        ("spec.resourceClaims", spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty())),
    ];
    named.into_iter().find(|(_, asked)| *asked).map(|(name, _)| name.to_owned())
}

fn volume_refusal(volume: &Volume) -> Option<String> {
    let supported = volume.empty_dir.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
        || volume.persistent_volume_claim.is_some();
    let name = &volume.name;
    match (supported, &volume.host_path) {
        (true, _) => None,
        (false, Some(_)) => Some(format!("a hostPath volume ({name})")),
        (false, None) => Some(format!("the source of volume {name}")),
    }
}

fn init_refusal(container: &Container) -> Option<String> {
    container.restart_policy.as_ref().map(|_| format!("restartPolicy of init container {}", container.name))
}

fn container_refusal(container: &Container) -> Option<String> {
    let name = &container.name;
    let security = container.security_context.as_ref();
    let added =
        security.and_then(|security| security.capabilities.as_ref()).and_then(|capabilities| capabilities.add.as_ref());
    if security.and_then(|security| security.privileged) == Some(true) {
        return Some(format!("privileged container {name}"));
    }
    if added.is_some_and(|added| !added.is_empty()) {
        return Some(format!("capabilities.add of container {name}"));
    }
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Some(format!("volumeDevices of container {name}"));
    }
    let probes = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
    if probes.into_iter().flatten().any(is_unsupported_probe) {
        return Some(format!("a grpc or HTTPS probe of container {name}"));
    }
    let lifecycle = container.lifecycle.as_ref()?;
    if lifecycle.post_start.is_some() {
        return Some(format!("lifecycle.postStart of container {name}"));
    }
    lifecycle
        .pre_stop
        .as_ref()
        .filter(|hook| is_unsupported_hook(hook))
        .map(|_| format!("the preStop hook of container {name}"))
}

fn is_unsupported_probe(probe: &Probe) -> bool {
    let scheme = probe.http_get.as_ref().and_then(|http| http.scheme.as_deref());
    probe.grpc.is_some() || scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("HTTP"))
}

fn is_unsupported_hook(hook: &LifecycleHandler) -> bool {
    let scheme = hook.http_get.as_ref().and_then(|http| http.scheme.as_deref());
    hook.tcp_socket.is_some() || scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case("HTTP"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(spec: &serde_json::Value) -> Option<String> {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        json_patch::merge(&mut pod["spec"], spec);
        refusal(&serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn what_would_run_something_else_is_refused_by_name() {
        let cases = [
            (json!({"hostNetwork": true}), "spec.hostNetwork"),
            (json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}), "hostPath"),
            (json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}), "volume v"),
            (json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]}), "privileged"),
            (
                json!({"containers": [{"name": "c", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]}),
                "capabilities.add",
            ),
            (json!({"containers": [{"name": "c", "readinessProbe": {"grpc": {"port": 1}}}]}), "grpc"),
        ];
        for (spec, expected) in cases {
            let message = refused(&spec).unwrap();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_only_takes_rights_away_is_accepted() {
        assert_eq!(refused(&json!({})), None);
        let restricted = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            }}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        });
        assert_eq!(refused(&restricted), None);
    }
}
