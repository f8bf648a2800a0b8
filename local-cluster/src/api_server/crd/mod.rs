//! Custom resources: what a CustomResourceDefinition says, ready for use, and what it means for objects of its kind.

mod default;
mod definition;
mod prune;
mod rules;
mod validate;

use std::sync::Arc;

use kube_cel::CompiledSchema;
use serde_json::Value;

use super::error::FieldError;
use super::registry::{Origin, ResourceType};
use super::request::Part;
use super::write::Transaction;
use crate::store::GroupResource;

pub(crate) use default::apply_defaults;
pub(crate) use definition::{complete_definition, definition_changed, definition_deleted, instance_removed};

/// A column of `kubectl get`.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) json_path: String,
    pub(crate) priority: i64,
}

/// One version of a custom kind.
pub(crate) struct CustomVersion {
    name: String,
    is_served: bool,
    schema: Value,
    /// Compiled CEL rules, if the schema has any.
    rules: Option<Arc<CompiledSchema>>,
    has_status: bool,
    scale: Option<Value>,
    columns: Vec<Column>,
    selectable: Vec<String>,
}

impl std::fmt::Debug for CustomVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomVersion").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A custom kind.
#[derive(Debug)]
pub(crate) struct CustomType {
    group: String,
    plural: String,
    singular: String,
    kind: String,
    list_kind: String,
    short_names: Vec<String>,
    categories: Vec<String>,
    namespaced: bool,
    versions: Vec<CustomVersion>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

impl CustomType {
    /// Reads a (completed) definition.
    pub(crate) fn read(definition: &Value) -> Self {
        let spec = &definition["spec"];
        let names = &spec["names"];
        let versions = spec["versions"].as_array().into_iter().flatten();
        Self {
            group: text(&spec["group"]),
            plural: text(&names["plural"]),
            singular: text(&names["singular"]),
            kind: text(&names["kind"]),
            list_kind: text(&names["listKind"]),
            short_names: texts(&names["shortNames"]),
            categories: texts(&names["categories"]),
            namespaced: spec["scope"] == "Namespaced",
            versions: versions.map(CustomVersion::read).collect(),
        }
    }

    fn version(&self, name: &str) -> Option<&CustomVersion> {
        self.versions.iter().find(|version| version.name == name)
    }

    /// One resource per served version.
    pub(crate) fn resource_types(self: &Arc<Self>) -> Vec<ResourceType> {
        self.versions
            .iter()
            .filter(|version| version.is_served)
            .map(|version| ResourceType {
                group: self.group.clone(),
                version: version.name.clone(),
                kind: self.kind.clone(),
                list_kind: self.list_kind.clone(),
                plural: self.plural.clone(),
                singular: self.singular.clone(),
                short_names: self.short_names.clone(),
                categories: self.categories.clone(),
                namespaced: self.namespaced,
                storage: self.collection(),
                origin: Origin::Custom(Arc::clone(self)),
            })
            .collect()
    }

    /// Where its objects are.
    fn collection(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }

    pub(crate) fn has_subresource(&self, version: &str, subresource: &str) -> bool {
        self.version(version).is_some_and(|version| match subresource {
            "status" => version.has_status,
            "scale" => version.scale.is_some(),
            _ => false,
        })
    }

    /// The OpenAPI schema of a version.
    pub(crate) fn schema(&self, version: &str) -> Option<&Value> {
        self.version(version).map(|version| &version.schema)
    }

    /// The `scale` part of a version.
    pub(crate) fn scale(&self, version: &str) -> Option<&Value> {
        self.version(version)?.scale.as_ref()
    }

    pub(crate) fn columns(&self, version: &str) -> &[Column] {
        self.version(version).map_or(&[], |version| &version.columns)
    }

    pub(crate) fn is_selectable(&self, version: &str, field: &str) -> bool {
        self.version(version).is_some_and(|version| version.selectable.iter().any(|selectable| selectable == field))
    }
}

impl CustomVersion {
    fn read(version: &Value) -> Self {
        let schema = version["schema"].get("openAPIV3Schema").cloned().unwrap_or(Value::Null);
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        let fields = version["selectableFields"].as_array().into_iter().flatten();
        Self {
            name: text(&version["name"]),
            is_served: version["served"] == true,
            rules: rules::compiled(&schema),
            schema,
            has_status: version["subresources"]["status"].is_object(),
            scale: version["subresources"].get("scale").filter(|scale| scale.is_object()).cloned(),
            columns: columns.map(Column::read).collect(),
            selectable: fields.map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned()).collect(),
        }
    }
}

impl Column {
    fn read(column: &Value) -> Self {
        Self {
            name: text(&column["name"]),
            kind: text(&column["type"]),
            description: text(&column["description"]),
            json_path: text(&column["jsonPath"]),
            priority: column["priority"].as_i64().unwrap_or(0),
        }
    }
}

/// Removes what the schema does not know; gives the paths of it.
pub(crate) fn prune(custom: &CustomType, version: &str, object: &mut Value) -> Vec<String> {
    custom.schema(version).map(|schema| prune::prune(schema, object)).unwrap_or_default()
}

/// What is wrong with a new object: of a custom kind, or a definition of one.
pub(crate) fn check_new(ty: &ResourceType, object: &Value) -> Vec<FieldError> {
    if ty.is(definition::GROUP, definition::KIND) {
        return definition::check(None, object);
    }
    check(ty, None, object)
}

/// What is wrong with a changed object.
pub(crate) fn check_update(ty: &ResourceType, old: &Value, new: &Value, part: Part) -> Vec<FieldError> {
    if ty.is(definition::GROUP, definition::KIND) && part == Part::Whole {
        return definition::check(Some(old), new);
    }
    check(ty, Some(old), new)
}

fn check(ty: &ResourceType, old: Option<&Value>, new: &Value) -> Vec<FieldError> {
    let Origin::Custom(custom) = &ty.origin else { return Vec::new() };
    let Some(version) = custom.version(&ty.version) else { return Vec::new() };
    let mut errors = validate::check_schema(&version.schema, new);
    // As on the real server, rules are only asked about objects that are otherwise sound.
    if let (true, Some(rules)) = (errors.is_empty(), &version.rules) {
        errors = validate::check_rules(ty, rules, new, old);
    }
    errors
}

/// The definitions in a store, as kinds.
fn established(transaction: &Transaction<'_>, definitions: &ResourceType) -> Vec<Arc<CustomType>> {
    transaction
        .store
        .list(&definitions.storage, None)
        .filter(|definition| definition::is_established(definition.value()))
        .map(|definition| Arc::new(CustomType::read(definition.value())))
        .collect()
}

/// The collection that a definition's objects are in.
fn instances(definition: &Value) -> GroupResource {
    GroupResource::new(&text(&definition["spec"]["group"]), &text(&definition["spec"]["names"]["plural"]))
}
