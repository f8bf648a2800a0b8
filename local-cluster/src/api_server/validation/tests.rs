//! The refusals that users meet, by field and reason.

use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::registry::Registry;
use super::super::{decode, defaults, write};
use super::{check_new, check_update};

/// Which fields of a new object are refused, after decoding and defaulting as the server does.
fn refused(group: &str, plural: &str, object: Value) -> Vec<String> {
    let ty = Registry::new([]).builtin(group, plural).unwrap();
    let mut object = decode::decode_object(&ty, object, write::FieldValidation::Strict).unwrap().value;
    defaults::apply(&ty, &mut object);
    fields(&ApiError::invalid(group, &ty.kind, "", &check_new(&ty, &object)))
}

fn refused_change(group: &str, plural: &str, old: &Value, new: &Value) -> Vec<String> {
    let ty = Registry::new([]).builtin(group, plural).unwrap();
    let read = |object: &Value| {
        let mut object = decode::decode_object(&ty, object.clone(), write::FieldValidation::Strict).unwrap().value;
        defaults::apply(&ty, &mut object);
        object
    };
    fields(&ApiError::invalid(group, &ty.kind, "", &check_update(&ty, &read(old), &read(new))))
}

fn fields(error: &ApiError) -> Vec<String> {
    let causes = error.status()["details"]["causes"].as_array().cloned().unwrap_or_default();
    causes.iter().map(|cause| cause["field"].as_str().unwrap_or_default().to_owned()).collect()
}

fn workload(selector: Value, labels: Value) -> Value {
    json!({"metadata": {"name": "w"}, "spec": {"selector": selector,
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[test]
fn a_sound_object_is_not_refused() {
    let selector = json!({"matchLabels": {"app": "x"}});
    assert_eq!(refused("apps", "deployments", workload(selector, json!({"app": "x"}))), [""; 0]);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(refused("", "pods", pod), [""; 0]);
}

#[test]
fn a_selector_must_be_there_and_match_the_template() {
    let labels = json!({"app": "x"});
    assert_eq!(
        refused("apps", "deployments", workload(json!({"matchLabels": {"app": "y"}}), labels.clone())),
        ["spec.template.metadata.labels"]
    );
    assert_eq!(refused("apps", "statefulsets", workload(json!({}), labels)), ["spec.selector"]);
}

#[test]
fn pods_need_names_images_and_real_policies() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"restartPolicy": "Sometimes", "containers": [
        {"name": "C", "image": "i", "ports": [{"containerPort": 70000}]},
        {"name": "d", "image": "", "volumeMounts": [{"name": "none", "mountPath": "/x"}], "readinessProbe": {}},
    ]}});
    assert_eq!(
        refused("", "pods", pod),
        [
            "spec.containers[0].name",
            "spec.containers[0].ports[0].containerPort",
            "spec.containers[1].image",
            "spec.containers[1].volumeMounts[0].name",
            "spec.containers[1].readinessProbe",
            "spec.restartPolicy",
        ]
    );
}

#[test]
fn a_running_pod_may_change_its_image_and_little_else() {
    let pod = |image: &str, node: &str| json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": image}], "restartPolicy": "Always"}});
    assert_eq!(refused_change("", "pods", &pod("i:1", "a"), &pod("i:2", "a")), [""; 0]);
    assert_eq!(refused_change("", "pods", &pod("i:1", "a"), &pod("i:1", "b")), ["spec"]);
}

#[test]
fn budgets_bindings_and_names_follow_their_rules() {
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "maxUnavailable": "150%"}});
    assert_eq!(refused("policy", "poddisruptionbudgets", budget), ["spec", "spec.maxUnavailable"]);
    let binding = json!({"metadata": {"name": "system:a"}, "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
    assert_eq!(refused("rbac.authorization.k8s.io", "rolebindings", binding), ["subjects[0].namespace"]);
    let map = json!({"metadata": {"name": "Upper", "labels": {"a b": "c"}, "finalizers": ["plain"]}, "data": {"bad key": ""}});
    assert_eq!(
        refused("", "configmaps", map),
        ["metadata.name", "metadata.finalizers", "metadata.labels", "data[bad key]"]
    );
    let service = json!({"metadata": {"name": "1s"}, "spec": {"ports": [{"port": 0}, {"port": 1, "name": "b"}]}});
    assert_eq!(refused("", "services", service), ["metadata.name", "spec.ports[0].name", "spec.ports[0].port"]);
}

#[test]
fn immutable_fields_stay() {
    let selector = |app: &str| json!({"matchLabels": {"app": app}});
    let old = workload(selector("x"), json!({"app": "x"}));
    let new = workload(selector("y"), json!({"app": "y"}));
    assert_eq!(refused_change("apps", "deployments", &old, &new), ["spec.selector"]);
    assert_eq!(refused_change("apps", "statefulsets", &old, &new), ["spec"]);
}
