//! Volumes on disk.

use std::os::unix::fs::PermissionsExt;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::{Value, json};

use super::*;

#[derive(Debug)]
struct OneMap;

impl Sources for OneMap {
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        let map = json!({"metadata": {"name": "m"}, "data": {"a.yaml": "a: 1", "b.yaml": "b: 2"}});
        (name == "m").then(|| Arc::new(serde_json::from_value(map).unwrap()))
    }

    fn secret(&self, _: &str) -> Option<Arc<Secret>> {
        None
    }
}

fn made(folder: &Path, volumes: &Value) -> Result<BTreeMap<String, PathBuf>, String> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "web"}},
        "spec": {"containers": [], "serviceAccountName": "robot", "volumes": volumes},
    }))
    .unwrap();
    let claim = |name: &str| {
        let phase = if name == "bound" { "Bound" } else { "Pending" };
        let claim = json!({"spec": {"volumeName": "pv-1"}, "status": {"phase": phase}});
        (name != "absent").then(|| Arc::new(serde_json::from_value(claim).unwrap()))
    };
    make(&VolumeContext {
        pod: &pod,
        folder,
        sources: &OneMap,
        claim: &claim,
        volume_folder: &|volume| folder.join("kept").join(volume),
        token: &|account| format!("token of {account}"),
    })
}

#[test]
fn config_maps_become_files_that_only_this_user_reads() {
    let folder = tempfile::tempdir().unwrap();
    let volumes = json!([
        {"name": "all", "configMap": {"name": "m"}},
        {"name": "one", "configMap": {"name": "m", "items": [{"key": "b.yaml", "path": "deep/c.yaml"}]}},
        {"name": "none", "configMap": {"name": "absent", "optional": true}},
    ]);
    let made = made(folder.path(), &volumes).unwrap();
    assert_eq!(std::fs::read_to_string(made["all"].join("a.yaml")).unwrap(), "a: 1");
    let deep = made["one"].join("deep/c.yaml");
    assert_eq!(std::fs::read_to_string(&deep).unwrap(), "b: 2");
    assert_eq!(deep.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(&made["one"]).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(&made["none"]).unwrap().count(), 0);
}

#[test]
fn projected_volumes_join_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let volumes = json!([{"name": "all", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "m", "items": [{"key": "a.yaml", "path": "a.yaml"}]}},
        {"downwardAPI": {"items": [{"path": "app", "fieldRef": {"fieldPath": "metadata.labels['app']"}}]}},
    ]}}]);
    let made = made(folder.path(), &volumes).unwrap();
    let read = |file: &str| std::fs::read_to_string(made["all"].join(file)).unwrap();
    assert_eq!((read("token"), read("a.yaml"), read("app")), ("token of robot".into(), "a: 1".into(), "web".into()));
}

#[test]
fn claims_are_folders_outside_the_pod_and_must_be_bound() {
    let folder = tempfile::tempdir().unwrap();
    let claim = |name: &str| made(folder.path(), &json!([{"name": "v", "persistentVolumeClaim": {"claimName": name}}]));
    assert_eq!(claim("bound").unwrap()["v"], folder.path().join("kept/pv-1"));
    assert!(claim("pending").unwrap_err().contains("is not bound"));
    assert!(claim("absent").unwrap_err().contains("not found"));
}

#[test]
fn no_file_leaves_its_volume() {
    let folder = tempfile::tempdir().unwrap();
    let escape = json!([{"name": "v", "configMap": {"name": "m", "items": [{"key": "a.yaml", "path": "../../x"}]}}]);
    assert!(made(folder.path(), &escape).unwrap_err().contains("must stay inside"));
    assert!(
        made(folder.path(), &json!([{"name": "v", "secret": {"secretName": "s"}}]))
            .unwrap_err()
            .contains("secret \"s\" not found")
    );
}
