//! Whether the schemas that the cluster serves for our kinds are the ones this operator was built with. A server prunes the
//! fields that its schema does not know, so with another schema a missing field may be one that was meant to keep pods alive, or
//! one by which a status remembers what was killed.

use chaos_core::api::{ChaosMonkey, Experiment, ExperimentRun, GROUP, GameDay, VERSION};
use chaos_core::schema::structural;
use chaos_engine::kube::{CallError, Caller};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value, json};

use crate::shared::SchemaState;

/// Reads the served schema and compares it with ours.
pub(crate) async fn check(caller: &Caller) -> SchemaState {
    let path = format!("/openapi/v3/apis/{GROUP}/{VERSION}");
    match caller.get::<Value>(&path).await {
        Ok(document) => compare(&document),
        Err(error) => unknown(&error),
    }
}

fn unknown(error: &CallError) -> SchemaState {
    let hint = if error.is_not_found() { "; hint: are the CRDs installed? `chaos install`" } else { "" };
    SchemaState::Unknown(format!("{error}{hint}"))
}

/// The first kind that differs decides.
fn compare(document: &Value) -> SchemaState {
    let kinds = [ChaosMonkey::crd(), Experiment::crd(), ExperimentRun::crd(), GameDay::crd()];
    let states = kinds.iter().map(|crd| compare_kind(document, crd));
    states.into_iter().find(|state| *state != SchemaState::Same).unwrap_or(SchemaState::Same)
}

fn compare_kind(document: &Value, crd: &CustomResourceDefinition) -> SchemaState {
    let kind = &crd.spec.names.kind;
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    let is_ours = |schema: &&Value| {
        let kinds = schema.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
        kinds.into_iter().flatten().any(|known| known["group"] == GROUP && known["kind"] == kind.as_str())
    };
    let Some(served) = schemas.and_then(|schemas| schemas.values().find(is_ours)) else {
        return SchemaState::Unknown(format!("{kind} is not served"));
    };
    let own = structural(crd);
    let differs_in = |part: &str| {
        let part_of = |schema: &Value| shape(schema.pointer(&format!("/properties/{part}")).unwrap_or(&Value::Null));
        first_difference(&format!("{kind}.{part}"), &part_of(&own), &part_of(served))
    };
    match differs_in("spec").or_else(|| differs_in("status")) {
        None => SchemaState::Same,
        Some(difference) => {
            SchemaState::Other(format!("{difference}; hint: `chaos install` installs the schema of this version"))
        }
    }
}

/// What decides which fields a server keeps and demands: the names of fields, and which are required.
fn shape(schema: &Value) -> Value {
    let mut shape = Map::new();
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let fields = properties.iter().map(|(name, field)| (name.clone(), self::shape(field))).collect();
        shape.insert("fields".to_owned(), Value::Object(fields));
    }
    if let Some(required) = schema.get("required").and_then(Value::as_array) {
        let mut names: Vec<_> = required.iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        shape.insert("required".to_owned(), json!(names));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            shape.insert(key.to_owned(), self::shape(inner));
        }
    }
    Value::Object(shape)
}

/// The first place at which two shapes differ.
fn first_difference(path: &str, own: &Value, served: &Value) -> Option<String> {
    if own == served {
        return None;
    }
    let (Some(own), Some(served)) = (own.as_object(), served.as_object()) else {
        return Some(format!("{path} is {served}, ours is {own}"));
    };
    let keys: std::collections::BTreeSet<_> = own.keys().chain(served.keys()).collect();
    keys.into_iter().find_map(|key| {
        let inner = if key == "fields" { path.to_owned() } else { format!("{path}.{key}") };
        match (own.get(key), served.get(key)) {
            (Some(own), Some(served)) => first_difference(&inner, own, served),
            (Some(_), None) => Some(format!("{inner} is ours, but is not served")),
            (None, Some(_)) => Some(format!("{inner} is served, but is not ours")),
            (None, None) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(change: impl Fn(&mut Value)) -> Value {
        let schemas = [ChaosMonkey::crd(), Experiment::crd(), ExperimentRun::crd(), GameDay::crd()].map(|crd| {
            let kind = crd.spec.names.kind.clone();
            let mut schema = structural(&crd);
            schema["x-kubernetes-group-version-kind"] = json!([{"group": GROUP, "version": VERSION, "kind": kind}]);
            if kind == "ExperimentRun" {
                change(&mut schema);
            }
            (format!("some.reversed.{kind}"), schema)
        });
        json!({"components": {"schemas": Map::from_iter(schemas)}})
    }

    #[test]
    fn our_own_schema_is_ours_whatever_its_descriptions_say() {
        assert_eq!(compare(&document(|_| ())), SchemaState::Same);
        let described = document(|schema| schema["properties"]["spec"]["description"] = json!("other words"));
        assert_eq!(compare(&described), SchemaState::Same);
    }

    #[test]
    fn a_missing_field_and_a_missing_requirement_are_told() {
        let pruned = document(|schema| {
            schema["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("control");
        });
        assert!(
            matches!(compare(&pruned), SchemaState::Other(why) if why.contains("ExperimentRun.spec.control is ours, but is not served"))
        );
        let lax = document(|schema| {
            schema["properties"]["spec"].as_object_mut().unwrap().remove("required");
        });
        assert!(matches!(compare(&lax), SchemaState::Other(why) if why.contains("ExperimentRun.spec.required")));
    }

    #[test]
    fn a_status_that_would_forget_is_told() {
        let pruned = document(|schema| {
            schema["properties"]["status"]["properties"].as_object_mut().unwrap().remove("killer");
        });
        assert!(
            matches!(compare(&pruned), SchemaState::Other(why) if why.contains("ExperimentRun.status.killer is ours, but is not served"))
        );
        let none = document(|schema| {
            schema["properties"].as_object_mut().unwrap().remove("status");
        });
        assert!(matches!(compare(&none), SchemaState::Other(why) if why.contains("ExperimentRun.status")));
    }

    #[test]
    fn another_group_is_unknown() {
        assert!(matches!(compare(&json!({})), SchemaState::Unknown(_)));
    }
}
