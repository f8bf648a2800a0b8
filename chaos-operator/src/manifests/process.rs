//! A process of ours as a Deployment: what operator and prober have in common.

use chaos_core::api::switch;
use serde_json::{Value, json};

use super::PORT;

/// What the processes differ in.
pub(super) struct Process<'a> {
    /// Name of the Deployment and of its `ServiceAccount`.
    pub(super) name: &'a str,
    /// The command of the program, and the name of the container.
    pub(super) command: &'a str,
    pub(super) image: &'a str,
    /// The only namespace on which it works; absent: all.
    pub(super) namespace: Option<&'a str>,
    pub(super) replicas: u32,
    /// Environment variables, each with the field of the pod that it holds.
    pub(super) environment: &'a [(&'a str, &'a str)],
    /// Environment variables with their values.
    pub(super) settings: &'a [(&'a str, &'a str)],
    pub(super) resources: Value,
    /// How long it may take to end, in seconds.
    pub(super) grace_seconds: u32,
    /// The ConfigMap with its configuration.
    pub(super) configuration: &'a str,
}

impl Process<'_> {
    pub(super) fn deployment(&self) -> Value {
        let labels = json!({"app.kubernetes.io/name": self.name});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": switch::NAMESPACE, "labels": labels},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": self.name,
                        "terminationGracePeriodSeconds": self.grace_seconds,
                        // What Pod Security's `restricted` asks of a pod.
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [self.container()],
                        // Where its owner has made none, no source is named.
                        "volumes": [{"name": "config", "configMap": {"name": self.configuration, "optional": true}}],
                    },
                },
            },
        })
    }

    fn container(&self) -> Value {
        let field = |(name, path): &(&str, &str)| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let set = |(name, value): &(&str, &str)| json!({"name": name, "value": value});
        let environment: Vec<Value> = self.environment.iter().map(field).chain(self.settings.iter().map(set)).collect();
        let mut args = vec![self.command.to_owned(), "--config".to_owned(), "/etc/chaos/config.yaml".to_owned()];
        args.extend(self.namespace.map(|namespace| format!("--watch-namespace={namespace}")));
        json!({
            "name": self.command, "image": self.image, "imagePullPolicy": "IfNotPresent",
            "args": args,
            "env": environment,
            "ports": [{"name": "http", "containerPort": PORT}],
            "livenessProbe": health("/livez", 10),
            "readinessProbe": health("/readyz", 2),
            "resources": self.resources,
            // What Pod Security's `restricted` asks of a container, and a root file system that nobody writes.
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "config", "mountPath": "/etc/chaos", "readOnly": true}],
        })
    }
}

/// A probe of the kubelet, this many seconds apart.
fn health(path: &str, period: u32) -> Value {
    json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": period})
}
