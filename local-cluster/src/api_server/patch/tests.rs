//! The patches as functions: documents in, documents out.

use serde_json::{Value, json};

use super::fields::FieldSet;
use super::shape::Shape;
use super::{json as json_patch, merge, strategic};
use crate::api_server::registry::{Registry, ResourceType};

fn deployment_type() -> ResourceType {
    (*Registry::new([]).find("apps", "v1", "deployments").unwrap()).clone()
}

fn pod_type() -> ResourceType {
    (*Registry::new([]).find("", "v1", "pods").unwrap()).clone()
}

#[test]
fn json_patch_takes_the_liberties_of_the_real_server() {
    let document = json!({"metadata": {"name": "m"}, "data": {"a": "1"}});
    let absent = json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["x"]},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "y"},
        {"op": "replace", "path": "/data/b", "value": "2"},
        {"op": "remove", "path": "/data/a"},
    ]);
    let patched = json_patch::apply(&document, &absent).unwrap();
    assert_eq!(patched, json!({"metadata": {"name": "m", "finalizers": ["x", "y"]}, "data": {"b": "2"}}));
    for broken in [
        json!([{"op": "test", "path": "/metadata/name", "value": null}]),
        json!([{"op": "remove", "path": "/data/b"}]),
        json!([{"op": "move", "from": "/nothing", "path": "/data/c"}]),
    ] {
        assert_eq!(json_patch::apply(&document, &broken).unwrap_err().code(), 422, "{broken}");
    }
    assert_eq!(json_patch::apply(&document, &json!({"op": "add"})).unwrap_err().code(), 400);
}

#[test]
fn a_merge_patch_removes_by_null_and_replaces_lists() {
    let document = json!({"a": {"b": 1, "c": [1, 2]}});
    assert_eq!(merge::apply(&document, &json!({"a": {"b": null, "c": [3]}})).unwrap(), json!({"a": {"c": [3]}}));
    assert_eq!(merge::apply(&document, &json!([])).unwrap_err().code(), 400);
}

#[test]
fn a_strategic_patch_merges_lists_by_their_keys() {
    let ty = deployment_type();
    let containers = |list: Value| json!({"spec": {"template": {"spec": {"containers": list}}}});
    let document = containers(json!([
        {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}], "args": ["old"]},
        {"name": "b", "image": "b:1"},
    ]));
    let patch = containers(json!([
        {"name": "a", "image": "a:2", "env": [{"name": "Y", "value": "2"}, {"name": "X", "$patch": "delete"}], "args": ["new"]},
        {"name": "b", "$patch": "delete"},
        {"name": "c", "image": "c:1"},
    ]));
    let expected = containers(json!([
        {"name": "a", "image": "a:2", "env": [{"name": "Y", "value": "2"}], "args": ["new"]},
        {"name": "c", "image": "c:1"},
    ]));
    assert_eq!(strategic::apply(&ty, &document, &patch).unwrap(), expected);
    let keyless = containers(json!([{"image": "x"}]));
    assert_eq!(strategic::apply(&ty, &document, &keyless).unwrap_err().code(), 400);
}

#[test]
fn strategic_directives_order_retain_replace_and_delete() {
    let ty = deployment_type();
    let document = json!({"metadata": {"finalizers": ["a", "b"], "labels": {"x": "1"}},
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"],
            "finalizers": ["c"],
            "labels": {"$patch": "replace", "y": "2"},
        },
        "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
    });
    let patched = strategic::apply(&ty, &document, &patch).unwrap();
    assert_eq!(patched["metadata"], json!({"finalizers": ["c", "b"], "labels": {"y": "2"}}));
    assert_eq!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
    let deleted = strategic::apply(&ty, &document, &json!({"spec": {"strategy": {"$patch": "delete"}}})).unwrap();
    assert_eq!(deleted["spec"], json!({}));
}

#[test]
fn conditions_of_a_status_merge_by_type_and_tolerations_do_not() {
    let ty = pod_type();
    let document = json!({"spec": {"tolerations": [{"key": "a"}]}, "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let patch = json!({"spec": {"tolerations": [{"key": "b"}]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "True"}]}});
    let patched = strategic::apply(&ty, &document, &patch).unwrap();
    assert_eq!(patched["spec"]["tolerations"], json!([{"key": "b"}]));
    assert_eq!(patched["status"]["conditions"].as_array().unwrap().len(), 2);
    assert_eq!(patched["status"]["conditions"][0]["status"], "True");
}

#[test]
fn field_sets_survive_their_written_form() {
    let ty = pod_type();
    let pod = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"nodeSelector": {"a": "b"},
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}], "args": ["1"]}]}});
    let set = FieldSet::of(Shape::of(&ty), &pod);
    let written = set.to_fields_v1();
    assert_eq!(FieldSet::from_fields_v1(&written), set);
    let container = &written["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"];
    assert!(container["."].is_object() && container["f:args"].is_object());
    assert!(container["f:ports"]["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"].is_object(), "{written}");
    assert_eq!(written["f:spec"]["f:nodeSelector"], json!({}), "replaced as one value");
}

#[test]
fn differences_name_what_changed_and_what_went() {
    let ty = pod_type();
    let old =
        json!({"metadata": {"labels": {"a": "1", "b": "1"}}, "spec": {"containers": [{"name": "x", "image": "1"}]}});
    let new = json!({"metadata": {"labels": {"a": "2"}}, "spec": {"containers": [{"name": "x", "image": "1"}, {"name": "y"}]}});
    let difference = FieldSet::difference_of(Shape::of(&ty), &old, &new);
    assert_eq!(
        difference.changed.paths(),
        [".metadata.labels.a", ".spec.containers[name=\"y\"]", ".spec.containers[name=\"y\"].name"]
    );
    assert_eq!(difference.removed.paths(), [".metadata.labels.b"]);
}
