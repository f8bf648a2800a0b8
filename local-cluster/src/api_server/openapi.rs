//! `/openapi/v3`: an index, and one document per group and version, from the schemas of the kinds.

use axum::body::Body;
use http::{Response, StatusCode};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::discovery;
use super::error::{ApiError, ApiResult};
use super::registry::{Origin, Registry, ResourceType};
use super::respond::json_response;

const COMPONENTS: &str = "/components/schemas";

/// Answers a request below `/openapi/v3`.
pub(crate) fn handle(registry: &Registry, rest: &[&str]) -> ApiResult<Response<Body>> {
    let answer = match rest {
        [] => index(registry),
        ["api", version] => document(registry, "", version)?,
        ["apis", group, version] => document(registry, group, version)?,
        _ => return Err(ApiError::no_such_resource()),
    };
    Ok(json_response(StatusCode::OK, answer.to_string()))
}

fn base_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn index(registry: &Registry) -> Value {
    let mut groups: Vec<String> = registry.types().map(|ty| ty.group.clone()).collect();
    groups.sort();
    groups.dedup();
    let mut paths = Map::new();
    for group in groups {
        for version in discovery::versions(registry, &group) {
            let base = base_path(&group, &version);
            paths.insert(base.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{base}")}));
        }
    }
    json!({"paths": paths})
}

fn document(registry: &Registry, group: &str, version: &str) -> ApiResult<Value> {
    let types: Vec<_> = registry.types().filter(|ty| ty.group == group && ty.version == version).collect();
    if types.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    let mut generator =
        SchemaSettings::openapi3().with(|settings| settings.definitions_path = COMPONENTS.into()).into_generator();
    let mut paths = Map::new();
    let mut custom = Map::new();
    for ty in &types {
        let schema_name = schema_name(&mut generator, &mut custom, ty);
        paths.extend(type_paths(ty, &schema_name));
    }
    let mut schemas: Map<String, Value> = generator.take_definitions(true).into_iter().collect();
    schemas.extend(custom);
    for ty in &types {
        let name = schema_key(ty);
        if let Some(schema) = schemas.get_mut(&name).and_then(Value::as_object_mut) {
            let kind = json!({"group": ty.group, "version": ty.version, "kind": ty.kind});
            schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([kind]));
        }
    }
    Ok(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3-embedded"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

/// The name of a kind's schema: that of the Go type, or the reversed group for custom kinds.
fn schema_key(ty: &ResourceType) -> String {
    match &ty.origin {
        Origin::Builtin(row) => {
            let schema = (row.schema)(&mut SchemaSettings::openapi3().into_generator());
            let reference = schema.get("$ref").and_then(Value::as_str).unwrap_or_default().to_owned();
            reference.rsplit('/').next().unwrap_or_default().to_owned()
        }
        Origin::Custom(_) => {
            let reversed: Vec<&str> = ty.group.rsplit('.').collect();
            format!("{}.{}.{}", reversed.join("."), ty.version, ty.kind)
        }
    }
}

fn schema_name(generator: &mut SchemaGenerator, custom: &mut Map<String, Value>, ty: &ResourceType) -> String {
    let name = schema_key(ty);
    match &ty.origin {
        Origin::Builtin(row) => {
            (row.schema)(generator);
        }
        Origin::Custom(definition) => {
            let mut schema = definition.schema(&ty.version).cloned().unwrap_or_else(|| json!({"type": "object"}));
            let text = |description: &str| json!({"type": "string", "description": description});
            schema["properties"]["apiVersion"] = text("The versioned schema of this representation of an object.");
            schema["properties"]["kind"] = text("The REST resource that this object represents.");
            let metadata = generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>();
            schema["properties"]["metadata"] = metadata.to_value();
            custom.insert(name.clone(), schema);
        }
    }
    name
}

fn type_paths(ty: &ResourceType, schema_name: &str) -> Vec<(String, Value)> {
    let base = base_path(&ty.group, &ty.version);
    let scope = if ty.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("/{base}{scope}/{}", ty.plural);
    let reference = json!({"$ref": format!("#{COMPONENTS}/{schema_name}")});
    let kind = json!({"group": ty.group, "version": ty.version, "kind": ty.kind});
    let content = json!({"application/json": {"schema": reference}});
    let operation = |action: &str, parameters: &[&str], has_body: bool| {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}}))
            .collect();
        let mut operation = json!({
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind,
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": content}},
        });
        if has_body {
            operation["requestBody"] = json!({"content": content});
        }
        operation
    };
    let write = ["dryRun", "fieldManager", "fieldValidation"];
    let create = operation("post", &write, true);
    if !ty.is_stored() {
        return vec![(collection, json!({"post": create}))];
    }
    let selectors = ["continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "watch"];
    let mut patch = operation("patch", &["dryRun", "fieldManager", "fieldValidation", "force"], true);
    // Strategic patches are left out on purpose: kubectl would compute them from this document, which has no merge
    // keys, instead of from its own types.
    patch["requestBody"] = json!({"content": {
        "application/apply-patch+yaml": {"schema": {"type": "object"}},
        "application/json-patch+json": {"schema": {"type": "object"}},
        "application/merge-patch+json": {"schema": {"type": "object"}},
    }});
    let object = json!({
        "get": operation("get", &[], false),
        "put": operation("put", &write, true),
        "patch": patch,
        "delete": operation("delete", &["dryRun", "gracePeriodSeconds", "propagationPolicy"], false),
    });
    vec![
        (collection.clone(), json!({"get": operation("list", &selectors, false), "post": create})),
        (format!("{collection}/{{name}}"), object),
    ]
}
