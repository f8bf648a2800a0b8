//! Defaults of pods and pod templates.

use serde_json::{Value, json};

use super::{field, items, set};

/// A pod: its specification, and the status that it starts with.
pub(super) fn pod(pod: &mut Value) {
    pod_spec(field(pod, "spec"));
    let spec = &mut pod["spec"];
    set(spec, "enableServiceLinks", true);
    for group in ["initContainers", "containers"] {
        items(spec, group).for_each(request_what_is_limited);
    }
    let class = quality_of_service(&pod["spec"]);
    let status = field(pod, "status");
    set(status, "phase", "Pending");
    set(status, "qosClass", class);
}

/// The specification of a pod or of a template.
pub(super) fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", "Always");
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "terminationGracePeriodSeconds", 30);
    set(spec, "securityContext", json!({}));
    if let Some(account) = spec["serviceAccountName"].as_str().map(str::to_owned) {
        set(spec, "serviceAccount", account);
    }
    for group in ["initContainers", "containers"] {
        items(spec, group).for_each(container);
    }
    items(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let policy = if image.contains('@') || tag.is_some_and(|tag| tag != "latest") { "IfNotPresent" } else { "Always" };
    set(container, "imagePullPolicy", policy);
    set(container, "resources", json!({}));
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    for port in items(container, "ports") {
        set(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if variable["valueFrom"]["fieldRef"].is_object() {
            set(&mut variable["valueFrom"]["fieldRef"], "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container[probe].is_object() {
            self::probe(&mut container[probe]);
        }
    }
    for hook in ["postStart", "preStop"] {
        if container["lifecycle"][hook]["httpGet"].is_object() {
            http_get(&mut container["lifecycle"][hook]["httpGet"]);
        }
    }
}

fn probe(probe: &mut Value) {
    set(probe, "timeoutSeconds", 1);
    set(probe, "periodSeconds", 10);
    set(probe, "successThreshold", 1);
    set(probe, "failureThreshold", 3);
    if probe["httpGet"].is_object() {
        http_get(&mut probe["httpGet"]);
    }
    if probe["grpc"].is_object() {
        set(&mut probe["grpc"], "service", "");
    }
}

fn http_get(action: &mut Value) {
    set(action, "path", "/");
    set(action, "scheme", "HTTP");
}

fn volume(volume: &mut Value) {
    for (source, mode) in [
        ("secret", "defaultMode"),
        ("configMap", "defaultMode"),
        ("downwardAPI", "defaultMode"),
        ("projected", "defaultMode"),
    ] {
        if volume[source].is_object() {
            set(&mut volume[source], mode, 0o644);
        }
    }
    for item in items(&mut volume["downwardAPI"], "items") {
        if item["fieldRef"].is_object() {
            set(&mut item["fieldRef"], "apiVersion", "v1");
        }
    }
    for source in items(&mut volume["projected"], "sources") {
        if source["serviceAccountToken"].is_object() {
            set(&mut source["serviceAccountToken"], "expirationSeconds", 3600);
        }
        for item in items(&mut source["downwardAPI"], "items") {
            if item["fieldRef"].is_object() {
                set(&mut item["fieldRef"], "apiVersion", "v1");
            }
        }
    }
}

/// A limit without a request is a request too.
fn request_what_is_limited(container: &mut Value) {
    let Some(limits) = container["resources"]["limits"].as_object().cloned() else { return };
    let requests = field(&mut container["resources"], "requests");
    for (resource, quantity) in limits {
        set(requests, &resource, quantity);
    }
}

/// `Guaranteed` if everything is limited and requested alike, `BestEffort` if nothing is, else `Burstable`.
fn quality_of_service(spec: &Value) -> &'static str {
    let groups = [&spec["initContainers"], &spec["containers"]];
    let containers: Vec<&Value> = groups.iter().filter_map(|group| group.as_array()).flatten().collect();
    let amount = |container: &Value, part: &str, resource: &str| container["resources"][part][resource].clone();
    let is_set = |container: &&Value| {
        ["cpu", "memory"].iter().any(|resource| {
            !amount(container, "requests", resource).is_null() || !amount(container, "limits", resource).is_null()
        })
    };
    let is_guaranteed = |container: &&Value| {
        ["cpu", "memory"].iter().all(|resource| {
            let limit = amount(container, "limits", resource);
            !limit.is_null() && limit == amount(container, "requests", resource)
        })
    };
    if !containers.iter().any(is_set) {
        "BestEffort"
    } else if containers.iter().all(is_guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_pod_gets_what_a_kubelet_needs() {
        let mut object = json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "c", "image": "registry:5000/app", "readinessProbe": {"httpGet": {"port": 80}},
             "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
        ]}});
        pod(&mut object);
        let container = &object["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(container["readinessProbe"]["periodSeconds"], 10);
        assert_eq!(container["readinessProbe"]["httpGet"], json!({"port": 80, "path": "/", "scheme": "HTTP"}));
        assert_eq!(container["resources"]["requests"], json!({"cpu": "1", "memory": "1Gi"}));
        assert_eq!(object["spec"]["terminationGracePeriodSeconds"], 30);
        assert_eq!(object["status"], json!({"phase": "Pending", "qosClass": "Guaranteed"}));
    }

    #[test]
    fn a_tagged_image_is_not_pulled_again() {
        let mut object = json!({"spec": {"containers": [{"name": "c", "image": "app:1"}]}});
        pod(&mut object);
        assert_eq!(object["spec"]["containers"][0]["imagePullPolicy"], "IfNotPresent");
        assert_eq!(object["status"]["qosClass"], "BestEffort");
    }
}
