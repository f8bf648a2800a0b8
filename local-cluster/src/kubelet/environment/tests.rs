//! What processes are started with.

use serde_json::{Value, json};

use super::*;

#[derive(Debug)]
struct Objects {
    maps: Vec<Arc<ConfigMap>>,
    secrets: Vec<Arc<Secret>>,
}

impl Sources for Objects {
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        self.maps.iter().find(|map| map.name_any() == name).cloned()
    }

    fn secret(&self, name: &str) -> Option<Arc<Secret>> {
        self.secrets.iter().find(|secret| secret.name_any() == name).cloned()
    }
}

fn from<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// The plan of a container over the standard one.
fn planned(container: &Value) -> Result<ProcessPlan, Obstacle> {
    let mut merged = json!({"name": "main", "image": "test/pod:dev"});
    json_patch::merge(&mut merged, container);
    let container: Container = from(merged);
    let pod: Pod = from(json!({
        "metadata": {"name": "trips-1", "namespace": "dispatch", "uid": "u", "labels": {"app": "trips", "tier": "a \"b\""}},
        "spec": {"containers": [container]},
    }));
    let objects = Objects {
        maps: vec![Arc::new(from(json!({"metadata": {"name": "settings"}, "data": {"RATE": "7"}})))],
        secrets: vec![Arc::new(from(json!({"metadata": {"name": "key"}, "data": {"token": "czNjcmV0"}})))],
    };
    let services: Vec<Arc<Service>> = vec![
        Arc::new(from(
            json!({"metadata": {"name": "eta-v2"}, "spec": {"clusterIP": "127.9.1.7", "ports": [{"name": "http", "port": 8080}, {"name": "admin-ui", "port": 81}]}}),
        )),
        Arc::new(from(json!({"metadata": {"name": "peers"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}))),
    ];
    let images = [Image { name: "test/pod:dev".into(), argv: vec!["/bin/sh".into(), "stack".into()] }];
    let volumes = BTreeMap::from([
        ("data".to_owned(), PathBuf::from("/run/v/data")),
        ("etc".to_owned(), PathBuf::from("/run/v/etc")),
    ]);
    let context = PodContext {
        pod: &pod,
        node: "node-a",
        host_ip: Ipv4Addr::new(127, 9, 0, 1),
        pod_ip: Ipv4Addr::new(127, 9, 16, 1),
        services: &services,
        sources: &objects,
        images: &images,
        volumes: &volumes,
        kubeconfig: Some(Path::new("/run/kubeconfig")),
        folder: Path::new("/tmp"),
    };
    plan(&context, &container)
}

/// The value of one variable.
fn variable(entry: &Value) -> Option<String> {
    let name = entry["name"].as_str().unwrap().to_owned();
    let plan = planned(&json!({"env": [entry]})).unwrap();
    plan.env.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn text(value: &str) -> Option<String> {
    variable(&json!({"name": "X", "value": value}))
}

#[test]
fn the_image_gives_the_program_unless_the_container_names_its_own() {
    assert_eq!(
        planned(&json!({"args": ["trips", "$(HOSTNAME)"]})).unwrap().argv,
        ["/bin/sh", "stack", "trips", "trips-1"]
    );
    assert_eq!(planned(&json!({"command": ["env"], "args": ["-i"]})).unwrap().argv, ["env", "-i"]);
    let missing = planned(&json!({"command": ["/no/such/program"]})).unwrap_err();
    assert_eq!(missing.reason, "RunContainerError");
    let unknown = planned(&json!({"image": "nginx"})).unwrap_err();
    assert_eq!((unknown.reason, unknown.message.contains("test/pod:dev")), ("ErrImagePull", true));
}

#[test]
fn services_are_variables_as_kubernetes_makes_them() {
    let expected = [
        ("ETA_V2_SERVICE_HOST", "127.9.1.7"),
        ("ETA_V2_SERVICE_PORT", "8080"),
        ("ETA_V2_SERVICE_PORT_HTTP", "8080"),
        ("ETA_V2_SERVICE_PORT_ADMIN_UI", "81"),
        ("ETA_V2_PORT", "tcp://127.9.1.7:8080"),
        ("ETA_V2_PORT_81_TCP_ADDR", "127.9.1.7"),
    ];
    let env = planned(&json!({})).unwrap().env;
    for (name, value) in expected {
        assert!(env.contains(&(name.to_owned(), value.to_owned())), "{name}");
    }
    assert!(!env.iter().any(|(name, _)| name.starts_with("PEERS_")), "headless services have none");
}

#[test]
fn the_downward_api_tells_the_pod_about_itself() {
    let field = |path: &str| variable(&json!({"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}})).unwrap();
    assert_eq!(field("status.podIP"), "127.9.16.1");
    assert_eq!(field("status.hostIP"), "127.9.0.1");
    assert_eq!(field("spec.nodeName"), "node-a");
    assert_eq!(field("metadata.labels['app']"), "trips");
    assert_eq!(field("metadata.labels"), "app=\"trips\"\ntier=\"a \\\"b\\\"\"");
    assert_eq!(field("spec.serviceAccountName"), "default");
    let unknown = planned(&json!({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "spec.color"}}}]}));
    assert_eq!(unknown.unwrap_err().reason, "CreateContainerConfigError");
}

#[test]
fn references_expand_in_order_and_unknown_ones_stay() {
    let env = json!({"env": [
        {"name": "HOST", "value": "$(ETA_V2_SERVICE_HOST)"},
        {"name": "URL", "value": "http://$(HOST):$(ETA_V2_SERVICE_PORT)/$(LATER)$$(HOST)"},
        {"name": "LATER", "value": "x"},
    ]});
    let env = planned(&env).unwrap().env;
    let url = env.iter().find(|(name, _)| name == "URL").unwrap();
    assert_eq!(url.1, "http://127.9.1.7:8080/$(LATER)$(HOST)");
    assert_eq!(text("a$b$"), Some("a$b$".into()));
}

#[test]
fn config_maps_and_secrets_are_read_and_missed() {
    let key = |kind: &str, name: &str, key: &str, optional: bool| {
        planned(&json!({"env": [{"name": "X", "valueFrom": {kind: {"name": name, "key": key, "optional": optional}}}]}))
            .map(|plan| plan.env.into_iter().find(|(name, _)| name == "X").map(|(_, value)| value))
    };
    assert_eq!(key("configMapKeyRef", "settings", "RATE", false), Ok(Some("7".into())));
    assert_eq!(key("secretKeyRef", "key", "token", false), Ok(Some("s3cret".into())));
    assert_eq!(key("secretKeyRef", "key", "other", true), Ok(None));
    assert_eq!(key("configMapKeyRef", "nope", "RATE", false).unwrap_err().message, "configmap \"nope\" not found");
    let all = planned(&json!({"envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}]})).unwrap();
    assert!(all.env.contains(&("S_RATE".into(), "7".into())));
    assert!(planned(&json!({"envFrom": [{"secretRef": {"name": "nope"}}]})).is_err());
}

#[test]
fn mount_paths_become_folders_wherever_they_stand_alone() {
    let mounts = json!([
        {"name": "data", "mountPath": "/data"},
        {"name": "etc", "mountPath": "/data/conf/", "subPath": "inner"},
    ]);
    let rewritten = |value: &str| {
        let plan = planned(&json!({"volumeMounts": mounts, "args": [value]})).unwrap();
        plan.argv.last().unwrap().clone()
    };
    assert_eq!(rewritten("/data"), "/run/v/data");
    assert_eq!(rewritten("--dir=/data/x"), "--dir=/run/v/data/x");
    assert_eq!(rewritten("sqlite:///data/db?x=/data"), "sqlite:///run/v/data/db?x=/run/v/data");
    assert_eq!(rewritten("/data/conf/a.yaml"), "/run/v/etc/inner/a.yaml");
    assert_eq!(rewritten("/database"), "/database");
    assert_eq!(rewritten("http://host/data"), "http://host/data");
    let escape = json!({"volumeMounts": [{"name": "data", "mountPath": "/d", "subPath": "../x"}]});
    assert_eq!(planned(&escape).unwrap_err().reason, "CreateContainerConfigError");
}
