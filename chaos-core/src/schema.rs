//! The schemas of our kinds: the CRDs as they are installed, with the schema that an operator compares with the one a cluster
//! serves, and the JSON Schemas for editors and of results. Pure: whoever calls writes files.

mod result;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::api::{API_VERSION, ChaosMonkey, Experiment, ExperimentRun, GameDay, LoadTest};
pub use result::{reason_table, result_json_schema};

/// All kinds that are installed, by name.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let all = [ChaosMonkey::crd(), Experiment::crd(), ExperimentRun::crd(), GameDay::crd()];
    all.into_iter().map(installable).collect()
}

/// A CRD in the words of API servers: formats that they do not know become bounds or go (each would be a warning at every
/// `kubectl apply`), and no field is nullable: servers drop nulls then, so that CEL's `has()` means that something is there.
fn installable(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let versions = crd.spec.versions.iter_mut();
    for schema in versions.filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut()) {
        simplify(schema);
    }
    crd
}

fn simplify(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    let most = match schema.format.as_deref() {
        Some("uint16") => Some(f64::from(u16::MAX)),
        Some("uint32") => Some(f64::from(u32::MAX)),
        // The largest whole number that JSON readers agree on.
        Some("uint64") => Some(9_007_199_254_740_991.0),
        _ => None,
    };
    if let Some(most) = most {
        schema.maximum = Some(schema.maximum.map_or(most, |max| max.min(most)));
    }
    schema.format.take_if(|format| !matches!(format.as_str(), "date" | "date-time" | "double" | "int32" | "int64"));
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(simplify);
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => simplify(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(simplify),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(others)) = &mut schema.additional_properties {
        simplify(others);
    }
}

/// The structural schema of a kind, as its CRD has it.
pub fn structural(crd: &CustomResourceDefinition) -> Value {
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
    // The types of the CRD always serialise; an empty schema would refuse every field.
    serde_json::to_value(schema).unwrap_or_default()
}

/// The structural schema of `spec`.
pub(crate) fn spec_of<K: CustomResourceExt>() -> Value {
    structural(&K::crd()).pointer_mut("/properties/spec").map(Value::take).unwrap_or_default()
}

/// JSON Schema (draft-07) of a manifest of that kind, for editors: unknown fields are errors there too.
pub fn editor_schema<K: CustomResourceExt + kube::Resource<DynamicType = ()>>() -> Value {
    let mut schema = structural(&K::crd());
    close(&mut schema);
    let root = schema.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut properties = root.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.remove("status");
    properties.insert("apiVersion".into(), json!({"const": API_VERSION}));
    properties.insert("kind".into(), json!({"const": K::kind(&())}));
    properties.insert(
        "metadata".into(),
        json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}}}),
    );
    let mut out = Map::new();
    out.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
    out.insert("title".into(), json!(K::kind(&())));
    out.insert("type".into(), json!("object"));
    out.insert("required".into(), json!(["apiVersion", "kind", "metadata", "spec"]));
    out.insert("properties".into(), Value::Object(properties));
    out.insert("additionalProperties".into(), json!(false));
    Value::Object(out)
}

/// Turns a structural schema into one of draft-07: closed objects, no Kubernetes extensions, null where it may stand.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.remove("x-kubernetes-int-or-string").is_some() {
                fields.insert("type".into(), json!(["integer", "string"]));
            }
            fields.retain(|key, _| !key.starts_with("x-kubernetes-"));
            if fields.contains_key("properties") && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), json!(false));
            }
            if fields.remove("nullable").is_some_and(|value| value == json!(true))
                && let Some(of @ Value::String(_)) = fields.get_mut("type")
            {
                *of = json!([of.take(), "null"]);
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// The CRDs as files: name from the folder of an installation, and content.
pub fn crd_files() -> Vec<(String, String)> {
    let file = |crd: CustomResourceDefinition| {
        let name = format!("crds/{}.yaml", crd.spec.names.plural);
        (name, format!("# Generated by `chaos crds`; do not edit.\n{}", yaml(&crd)))
    };
    crds().into_iter().map(file).collect()
}

/// All CRDs as one stream of YAML documents.
pub fn crds_yaml() -> String {
    crds().iter().map(yaml).collect::<Vec<_>>().join("---\n")
}

/// The JSON Schema of Experiment files, for editors.
pub fn experiment_json_schema() -> String {
    format!("{:#}\n", editor_schema::<Experiment>())
}

/// The JSON Schemas as files under `schemas/` (for editors, and of results): name from there, and content.
pub fn schema_files() -> Vec<(String, String)> {
    vec![
        ("experiment.json".to_owned(), experiment_json_schema()),
        ("chaosmonkey.json".to_owned(), format!("{:#}\n", editor_schema::<ChaosMonkey>())),
        ("experimentrun.json".to_owned(), format!("{:#}\n", editor_schema::<ExperimentRun>())),
        ("gameday.json".to_owned(), format!("{:#}\n", editor_schema::<GameDay>())),
        ("loadtest.json".to_owned(), format!("{:#}\n", editor_schema::<LoadTest>())),
        ("result.json".to_owned(), result_json_schema()),
    ]
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    // JSON is YAML: what the one writer could not say, the other can.
    serde_yaml::to_string(crd).unwrap_or_else(|_| serde_json::json!(crd).to_string())
}

#[cfg(test)]
mod tests;
