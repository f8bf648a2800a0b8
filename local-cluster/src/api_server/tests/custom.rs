//! CustomResourceDefinitions: served at once, pruned, defaulted, validated, and gone with their objects.

use kube::api::{DynamicObject, ListParams};
use serde_json::json;

use super::*;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/example.com/v1/namespaces/a/things";

fn definition() -> Value {
    json!({"metadata": {"name": "things.example.com"}, "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing", "shortNames": ["th"], "categories": ["all"]},
        "versions": [{
            "name": "v1", "served": true, "storage": true,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.count", "statusReplicasPath": ".status.count"}},
            "additionalPrinterColumns": [{"name": "Mode", "type": "string", "jsonPath": ".spec.mode"}],
            "schema": {"openAPIV3Schema": schema()},
        }],
    }})
}

fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": spec_schema(),
            "status": {"type": "object", "properties": {"count": {"type": "integer"}, "phase": {"type": "string"}}},
        },
    })
}

fn spec_schema() -> Value {
    json!({
        "type": "object",
        "required": ["mode"],
        "x-kubernetes-validations": [
            {"rule": "self.count <= 10 || self.mode == 'Live'", "message": "dry runs are small"},
            {"rule": "!has(oldSelf.mode) || self.mode == oldSelf.mode", "message": "mode is immutable"},
        ],
        "properties": {
            "mode": {"type": "string", "enum": ["DryRun", "Live"]},
            "count": {"type": "integer", "minimum": 0, "default": 1},
            "port": {"x-kubernetes-int-or-string": true},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "steps": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string", "pattern": "^[a-z]+$"}, "weight": {"type": "integer", "default": 5}}}},
        },
    })
}

fn thing(spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec})
}

#[tokio::test]
async fn a_definition_is_established_and_discovered_at_once() {
    let server = server().await;
    assert_eq!(get(&server, THINGS).await.0, 404);
    let (code, created) = post(&server, DEFINITIONS, &definition()).await;
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["status"]["conditions"][1]["type"], "Established");
    assert_eq!(created["spec"]["names"]["listKind"], "ThingList");
    let things = dynamic(&server, "example.com", "v1", "Thing", "things");
    assert!(things.list(&ListParams::default()).await.unwrap().items.is_empty());
    let (_, resources) = get(&server, "/apis/example.com/v1").await;
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["things", "things/status", "things/scale"]);
    let (_, openapi) = get(&server, "/openapi/v3/apis/example.com/v1").await;
    assert!(openapi["components"]["schemas"]["com.example.v1.Thing"]["properties"]["spec"].is_object());
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let server = server().await;
    post(&server, DEFINITIONS, &definition()).await;
    let spec = json!({"mode": "DryRun", "dryrun": true, "free": {"any": 1}, "port": "http", "steps": [{"name": "a"}]});
    let (code, created) = post(&server, THINGS, &thing(spec.clone())).await;
    assert_eq!(code, 201, "{created}");
    let expected = json!({"mode": "DryRun", "count": 1, "free": {"any": 1}, "port": "http", "steps": [{"name": "a", "weight": 5}]});
    assert_eq!(created["spec"], expected);
    let (code, status) = post(&server, &format!("{THINGS}?fieldValidation=Strict"), &thing(spec)).await;
    assert_eq!(code, 400);
    assert!(status["message"].as_str().unwrap().contains("unknown field \"spec.dryrun\""), "{status}");
    for (spec, field, reason) in [
        (json!({}), "spec.mode", "FieldValueRequired"),
        (json!({"mode": "Other"}), "spec.mode", "FieldValueNotSupported"),
        (json!({"mode": "Live", "count": "many"}), "spec.count", "FieldValueTypeInvalid"),
        (json!({"mode": "Live", "count": -1}), "spec.count", "FieldValueInvalid"),
        (json!({"mode": "Live", "steps": [{"name": "A"}]}), "spec.steps[0].name", "FieldValueInvalid"),
        (json!({"mode": "Live", "steps": [{"name": "a"}, {"name": "a"}]}), "spec.steps[1]", "FieldValueDuplicate"),
        (json!({"mode": "DryRun", "count": 11}), "spec", "FieldValueInvalid"),
    ] {
        let mut object = thing(spec);
        object["metadata"]["name"] = "other".into();
        let (code, status) = post(&server, THINGS, &object).await;
        let cause = &status["details"]["causes"][0];
        assert_eq!(
            (code, cause["field"].as_str(), cause["reason"].as_str()),
            (422, Some(field), Some(reason)),
            "{status}"
        );
    }
}

#[tokio::test]
async fn transition_rules_see_the_old_object_and_status_stands_apart() {
    let server = server().await;
    post(&server, DEFINITIONS, &definition()).await;
    post(&server, THINGS, &thing(json!({"mode": "DryRun"}))).await;
    let path = format!("{THINGS}/t");
    let (code, status) = patch(&server, &path, "merge-patch+json", &json!({"spec": {"mode": "Live"}})).await;
    assert_eq!(code, 422);
    assert!(status["message"].as_str().unwrap().contains("mode is immutable"), "{status}");
    let both = json!({"spec": {"count": 9}, "status": {"phase": "Done", "unknown": 1}});
    let (_, reported) = patch(&server, &format!("{path}/status"), "merge-patch+json", &both).await;
    assert_eq!((&reported["status"], &reported["spec"]["count"]), (&json!({"phase": "Done"}), &json!(1)));
    assert_eq!(reported["metadata"]["generation"], 1);
    let (_, scale) =
        patch(&server, &format!("{path}/scale"), "merge-patch+json", &json!({"spec": {"replicas": 4}})).await;
    assert_eq!(scale["spec"]["replicas"], 4);
    let (_, changed) = get(&server, &path).await;
    assert_eq!((&changed["spec"]["count"], &changed["metadata"]["generation"]), (&json!(4), &json!(2)));
    let (code, status) = patch(&server, &path, "strategic-merge-patch+json", &json!({})).await;
    assert_eq!((code, &status["reason"]), (415, &json!("UnsupportedMediaType")));
    let (code, status) = send(&server, "PUT", &path, "application/vnd.kubernetes.protobuf", &json!({})).await;
    assert_eq!((code, &status["reason"]), (415, &json!("UnsupportedMediaType")));
    let things = dynamic(&server, "example.com", "v1", "Thing", "things");
    let typed: DynamicObject = things.get("t").await.unwrap();
    assert_eq!(typed.data["status"]["phase"], "Done");
}

#[tokio::test]
async fn deleting_a_definition_takes_its_objects_with_it() {
    let server = server().await;
    post(&server, DEFINITIONS, &definition()).await;
    let mut held = thing(json!({"mode": "Live"}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&server, THINGS, &held).await;
    let path = format!("{DEFINITIONS}/things.example.com");
    delete(&server, &path, &Value::Null).await;
    assert_eq!(get(&server, &path).await.0, 200, "an object holds it");
    let (code, _) =
        patch(&server, &format!("{THINGS}/t"), "merge-patch+json", &json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(code, 200);
    assert_eq!(get(&server, &path).await.0, 404);
    assert_eq!(get(&server, THINGS).await.0, 404);
}

#[tokio::test]
async fn broken_definitions_are_refused() {
    let server = server().await;
    let mut broken = definition();
    broken["metadata"]["name"] = "other.example.com".into();
    broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"][0]["rule"] =
        "self.".into();
    let (code, status) = post(&server, DEFINITIONS, &broken).await;
    assert_eq!(code, 422);
    let fields: Vec<&str> =
        status["details"]["causes"].as_array().unwrap().iter().filter_map(|c| c["field"].as_str()).collect();
    assert_eq!(fields[0], "metadata.name");
    assert!(fields[1].ends_with("properties[spec].x-kubernetes-validations[0].rule"), "{fields:?}");
}
