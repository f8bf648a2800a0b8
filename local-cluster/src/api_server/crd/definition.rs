//! The life of a CustomResourceDefinition: checked, completed, established, and taken away with all its objects.

use std::sync::Arc;

use kube_cel::CompiledSchema;
use serde_json::{Value, json};

use super::super::error::{ApiResult, FieldError};
use super::super::registry::{Origin, ResourceType};
use super::super::write::{DeleteOptions, Transaction, delete, timestamp};
use super::{established, instances, rules, text};
use crate::store::{GroupResource, Object, ObjectKey};

pub(super) const GROUP: &str = "apiextensions.k8s.io";
pub(super) const KIND: &str = "CustomResourceDefinition";
/// Holds a definition back until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether objects of the kind are served.
pub(super) fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// What is wrong with a definition.
pub(super) fn check(old: Option<&Value>, definition: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &definition["spec"];
    let (group, plural) = (text(&spec["group"]), text(&spec["names"]["plural"]));
    if text(&definition["metadata"]["name"]) != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &definition["metadata"]["name"], detail));
    }
    for (field, value) in [
        ("spec.group", &spec["group"]),
        ("spec.names.plural", &spec["names"]["plural"]),
        ("spec.names.kind", &spec["names"]["kind"]),
    ] {
        if text(value).is_empty() {
            errors.push(FieldError::required(field, ""));
        }
    }
    if !matches!(spec["scope"].as_str(), Some("Namespaced" | "Cluster")) {
        errors.push(FieldError::not_supported("spec.scope", &spec["scope"], &["Cluster", "Namespaced"]));
    }
    let versions: Vec<&Value> = spec["versions"].as_array().into_iter().flatten().collect();
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &spec["versions"], detail));
    }
    for (index, version) in versions.iter().enumerate() {
        check_version(version, &format!("spec.versions[{index}]"), &mut errors);
    }
    if let Some(old) = old {
        for field in ["group", "scope"] {
            if old["spec"][field] != spec[field] {
                errors.push(FieldError::invalid(format!("spec.{field}"), &spec[field], "field is immutable"));
            }
        }
        for field in ["plural", "kind"] {
            if old["spec"]["names"][field] != spec["names"][field] {
                let path = format!("spec.names.{field}");
                errors.push(FieldError::invalid(path, &spec["names"][field], "field is immutable"));
            }
        }
    }
    errors
}

fn check_version(version: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let schema = &version["schema"]["openAPIV3Schema"];
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    if !schema.is_object() {
        errors.push(FieldError::required(schema_path, "schemas are required"));
        return;
    }
    if schema["type"] != "object" {
        errors.push(FieldError::invalid(format!("{schema_path}.type"), &schema["type"], "must be object at the root"));
    }
    check_structure(schema, &schema_path, errors);
    if let Some(rules) = rules::compiled(schema) {
        check_compiled(&rules, &schema_path, errors);
    }
}

/// The rules of structural schemas that matter to pruning and defaulting: every value has a type.
fn check_structure(schema: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let has_type = schema["type"].is_string()
        || schema["x-kubernetes-int-or-string"] == true
        || schema["x-kubernetes-preserve-unknown-fields"] == true;
    if !has_type {
        errors.push(FieldError::required(format!("{path}.type"), "must not be empty for specified object fields"));
    }
    if schema["type"] == "array" && !schema["items"].is_object() {
        errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
    }
    if schema["x-kubernetes-list-type"] == "map" && super::texts(&schema["x-kubernetes-list-map-keys"]).is_empty() {
        errors.push(FieldError::required(
            format!("{path}.x-kubernetes-list-map-keys"),
            "must not be empty if x-kubernetes-list-type is map",
        ));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        check_structure(property, &format!("{path}.properties[{name}]"), errors);
    }
    for child in ["items", "additionalProperties"] {
        if schema[child].is_object() {
            check_structure(&schema[child], &format!("{path}.{child}"), errors);
        }
    }
}

fn check_compiled(schema: &CompiledSchema, path: &str, errors: &mut Vec<FieldError>) {
    for (index, rule) in schema.validations.iter().enumerate() {
        if let Err(error) = rule {
            let path = format!("{path}.x-kubernetes-validations[{index}].rule");
            let detail = format!("compilation failed: {error}");
            errors.push(FieldError::invalid(path, &Value::Null, &detail));
        }
    }
    for (name, property) in &schema.properties {
        check_compiled(property, &format!("{path}.properties[{name}]"), errors);
    }
    let children = [("items", &schema.items), ("additionalProperties", &schema.additional_properties)];
    for (name, child) in children {
        if let Some(child) = child {
            check_compiled(child, &format!("{path}.{name}"), errors);
        }
    }
}

/// Fills in what the real server's controllers fill in: names, the cleanup finalizer, and the accepting conditions.
pub(crate) fn complete_definition(transaction: &Transaction<'_>, ty: &ResourceType, definition: &mut Value) {
    if !ty.is(GROUP, KIND) {
        return;
    }
    let kind = text(&definition["spec"]["names"]["kind"]);
    let names = &mut definition["spec"]["names"];
    if names["singular"].as_str().is_none_or(str::is_empty) {
        names["singular"] = kind.to_lowercase().into();
    }
    if names["listKind"].as_str().is_none_or(str::is_empty) {
        names["listKind"] = format!("{kind}List").into();
    }
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
    let is_new = !is_established(definition);
    let is_going = !definition["metadata"]["deletionTimestamp"].is_null();
    if is_new && !is_going {
        definition["metadata"]["finalizers"] = json!([CLEANUP]);
        let now = timestamp(transaction.now);
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now});
        definition["status"]["conditions"] = json!([
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ]);
    }
    definition["status"]["acceptedNames"] = definition["spec"]["names"].clone();
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let stored: Vec<Value> =
        versions.filter(|version| version["storage"] == true).map(|version| version["name"].clone()).collect();
    let mut all = definition["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    all.extend(stored.into_iter().filter(|version| !all.contains(version)).collect::<Vec<_>>());
    definition["status"]["storedVersions"] = all.into();
}

/// Serves what the stored definitions say, if it was a definition that changed.
pub(crate) fn definition_changed(transaction: &mut Transaction<'_>, ty: &ResourceType) -> ApiResult<()> {
    if ty.is(GROUP, KIND) {
        let custom = established(transaction, ty);
        let served: Vec<GroupResource> = custom.iter().map(|custom| custom.collection()).collect();
        served.iter().for_each(|collection| transaction.store.open(collection));
        for gone in transaction.registry.types().filter(|t| matches!(t.origin, Origin::Custom(_))) {
            if !served.contains(&gone.storage) {
                transaction.store.close(&gone.storage);
            }
        }
        transaction.new_registry = Some(transaction.registry.with_custom(custom));
    }
    Ok(())
}

/// Deletes the objects of a definition that is being deleted, and then it.
pub(crate) fn definition_deleted(
    transaction: &mut Transaction<'_>,
    ty: &ResourceType,
    definition: &Arc<Object>,
) -> ApiResult<()> {
    if !ty.is(GROUP, KIND) || transaction.dry_run {
        return Ok(());
    }
    let collection = instances(definition.value());
    let registry = Arc::clone(&transaction.registry);
    let Some(instance_type) = registry.types().find(|t| t.storage == collection) else {
        return finish(transaction, ty, definition.key());
    };
    let keys: Vec<ObjectKey> =
        transaction.store.list(&collection, None).map(|instance| instance.key().clone()).collect();
    for key in keys {
        delete(transaction, instance_type, &key, &DeleteOptions::default())?;
    }
    finish(transaction, ty, definition.key())
}

/// Lets a definition go whose last object has gone.
pub(crate) fn instance_removed(transaction: &mut Transaction<'_>, ty: &ResourceType) -> ApiResult<()> {
    if !matches!(ty.origin, Origin::Custom(_)) {
        return Ok(());
    }
    let definitions = transaction.registry.builtin(GROUP, "customresourcedefinitions")?;
    let key = ObjectKey::new("", &ty.storage.to_string());
    match transaction.store.get(&definitions.storage, &key) {
        Some(definition) if !definition.value()["metadata"]["deletionTimestamp"].is_null() => {
            finish(transaction, &definitions, &key)
        }
        _ => Ok(()),
    }
}

fn finish(transaction: &mut Transaction<'_>, ty: &ResourceType, key: &ObjectKey) -> ApiResult<()> {
    let Some(definition) = transaction.store.get(&ty.storage, key).cloned() else { return Ok(()) };
    if transaction.store.list(&instances(definition.value()), None).next().is_some() {
        return Ok(());
    }
    let mut rest = definition.value().clone();
    let mut finalizers = super::texts(&rest["metadata"]["finalizers"]);
    finalizers.retain(|finalizer| finalizer != CLEANUP);
    if finalizers.is_empty() {
        transaction.remove(ty, &definition)?;
        return Ok(());
    }
    rest["metadata"]["finalizers"] = json!(finalizers);
    transaction.put(ty, key.clone(), rest)?;
    Ok(())
}
