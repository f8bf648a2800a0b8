//! What is installed is what API servers take and what the Rust types mean.

use super::*;

fn walk(schema: &Value, visit: &mut impl FnMut(&serde_json::Map<String, Value>)) {
    match schema {
        Value::Object(fields) => {
            visit(fields);
            fields.values().for_each(|value| walk(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

#[test]
fn crds_are_in_the_words_of_api_servers() {
    for crd in crds() {
        let mut rules = 0;
        walk(&structural(&crd), &mut |schema| {
            assert!(schema.get("nullable").is_none_or(Value::is_object), "{schema:?}");
            if let Some(Value::String(format)) = schema.get("format") {
                assert!(["date-time", "double", "int32", "int64"].contains(&format.as_str()), "{format}");
            }
            rules += schema.get("x-kubernetes-validations").and_then(Value::as_array).map_or(0, Vec::len);
        });
        assert!(rules >= 10, "{}: {rules} CEL rules", crd.spec.names.kind);
        assert_eq!(crd.spec.names.categories.as_deref(), Some(&["chaos".to_owned()][..]));
    }
}

#[test]
fn what_keeps_pods_alive_is_required() {
    let schema = structural(&crds()[0]);
    let required = |pointer: &str| -> Vec<String> {
        serde_json::from_value(schema.pointer(pointer).cloned().unwrap_or_default()).unwrap_or_default()
    };
    let spec = required("/properties/spec/required");
    for field in ["mode", "schedule", "guards", "limits", "target"] {
        assert!(spec.iter().any(|name| name == field), "{field} is not required");
    }
    assert_eq!(required("/properties/spec/properties/limits/required").len(), 7);
}

#[test]
fn the_hash_tells_schemas_apart_and_survives_a_server() {
    let ours = ChaosMonkey::crd();
    let mut served = crds().remove(0);
    assert_eq!(schema_hash(&served), schema_hash(&crds()[0]));
    assert_ne!(schema_hash(&ours), schema_hash(&crds()[1]));
    let schema = served.spec.versions[0].schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()).unwrap();
    schema.description = Some("reworded".into());
    assert_eq!(schema_hash(&served), schema_hash(&crds()[0]), "descriptions decide nothing");
    let schema = served.spec.versions[0].schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()).unwrap();
    schema.properties.as_mut().unwrap().remove("spec");
    assert_ne!(schema_hash(&served), schema_hash(&crds()[0]));
}

#[test]
fn editors_are_told_what_a_file_may_hold() {
    let schema = editor_schema::<Experiment>();
    assert_eq!(schema["properties"]["kind"]["const"], "Experiment");
    assert_eq!(schema["properties"]["spec"]["additionalProperties"], false);
    walk(&schema, &mut |schema| assert!(!schema.keys().any(|key| key.starts_with("x-kubernetes-"))));
}

#[test]
fn every_kind_has_its_files_under_its_name() {
    let crd_names: Vec<String> = crd_files().into_iter().map(|(name, _)| name).collect();
    let wanted: Vec<String> = crds().iter().map(|crd| format!("crds/{}.yaml", crd.spec.names.plural)).collect();
    assert_eq!(crd_names, wanted);
    let schemas: Vec<String> = schema_files().into_iter().map(|(name, _)| name).collect();
    for kind in ["experiment.json", "chaosmonkey.json", "loadtest.json"] {
        assert!(schemas.iter().any(|name| name == kind), "{kind} is missing of {schemas:?}");
    }
}
