//! Which resources are served now: the built-in table and every established CustomResourceDefinition.

use std::collections::HashMap;
use std::sync::Arc;

use super::builtin::{self, Builtin, Service};
use super::crd::CustomType;
use super::error::{ApiError, ApiResult};
use crate::store::GroupResource;

/// Where the meaning of a resource comes from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    Builtin(Builtin),
    Custom(Arc<CustomType>),
}

/// One resource in one version.
#[derive(Debug, Clone)]
pub(crate) struct ResourceType {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) storage: GroupResource,
    pub(crate) origin: Origin,
}

impl ResourceType {
    fn builtin(row: Builtin) -> Self {
        // Events are one collection with two faces.
        let storage_group = if row.group == "events.k8s.io" { "" } else { row.group };
        Self {
            group: row.group.to_owned(),
            version: row.version.to_owned(),
            kind: row.kind.to_owned(),
            list_kind: format!("{}List", row.kind),
            plural: row.plural.to_owned(),
            singular: row.kind.to_lowercase(),
            short_names: row.short_names.iter().map(|s| (*s).to_owned()).collect(),
            categories: row.categories.iter().map(|s| (*s).to_owned()).collect(),
            namespaced: row.namespaced,
            storage: GroupResource::new(storage_group, row.plural),
            origin: Origin::Builtin(row),
        }
    }

    /// `GROUP/VERSION`, or `v1` for the core group.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Group and plural name, as error messages show them.
    pub(crate) fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.plural)
    }

    /// Whether this is the built-in kind of that group.
    pub(crate) fn is(&self, group: &str, kind: &str) -> bool {
        matches!(self.origin, Origin::Builtin(_)) && self.group == group && self.kind == kind
    }

    /// Whether a subresource is served.
    pub(crate) fn has_subresource(&self, subresource: &str) -> bool {
        match &self.origin {
            Origin::Builtin(row) => row.has(subresource),
            Origin::Custom(custom) => custom.has_subresource(&self.version, subresource),
        }
    }

    /// The subresources served, in order.
    pub(crate) fn subresources(&self) -> Vec<&'static str> {
        match &self.origin {
            Origin::Builtin(row) => row.subresources.to_vec(),
            Origin::Custom(_) => {
                ["status", "scale"].into_iter().filter(|subresource| self.has_subresource(subresource)).collect()
            }
        }
    }

    /// Whether objects are stored, as opposed to questions answered.
    pub(crate) fn is_stored(&self) -> bool {
        match &self.origin {
            Origin::Builtin(row) => row.service == Service::Stored,
            Origin::Custom(_) => true,
        }
    }

    /// Whether `metadata.generation` counts changes of the specification.
    pub(crate) fn counts_generations(&self) -> bool {
        match &self.origin {
            Origin::Builtin(row) => row.counts_generations,
            Origin::Custom(_) => true,
        }
    }

    /// The verbs that discovery announces.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        if self.is_stored() {
            &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
        } else {
            &["create"]
        }
    }
}

/// Every served resource.
#[derive(Debug, Default, Clone)]
pub(crate) struct Registry {
    types: Vec<Arc<ResourceType>>,
    by_path: HashMap<(String, String, String), Arc<ResourceType>>,
}

impl Registry {
    /// The built-in resources and those that `custom` definitions add.
    pub(crate) fn new(custom: impl IntoIterator<Item = Arc<CustomType>>) -> Self {
        let mut registry = Self::default();
        for row in builtin::table() {
            registry.add(ResourceType::builtin(row));
        }
        registry.with_custom(custom)
    }

    /// The same built-in resources with other custom ones.
    pub(crate) fn with_custom(&self, custom: impl IntoIterator<Item = Arc<CustomType>>) -> Self {
        let mut registry = Self::default();
        for kept in self.types.iter().filter(|t| matches!(t.origin, Origin::Builtin(_))) {
            registry.insert(Arc::clone(kept));
        }
        for definition in custom {
            for served in definition.resource_types() {
                registry.add(served);
            }
        }
        registry
    }

    fn add(&mut self, added: ResourceType) {
        self.insert(Arc::new(added));
    }

    fn insert(&mut self, added: Arc<ResourceType>) {
        let path = (added.group.clone(), added.version.clone(), added.plural.clone());
        self.by_path.insert(path, Arc::clone(&added));
        self.types.push(added);
    }

    /// Every resource in table order.
    pub(crate) fn types(&self) -> impl Iterator<Item = &Arc<ResourceType>> {
        self.types.iter()
    }

    /// The resource served at a path.
    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> ApiResult<Arc<ResourceType>> {
        let path = (group.to_owned(), version.to_owned(), resource.to_owned());
        let has_version = || self.types.iter().any(|ty| ty.group == group && ty.version == version);
        self.by_path
            .get(&path)
            .cloned()
            .ok_or_else(|| if has_version() { ApiError::no_such_resource() } else { ApiError::no_such_path() })
    }

    /// The built-in resource of a kind that this crate knows to exist.
    pub(crate) fn builtin(&self, group: &str, plural: &str) -> ApiResult<Arc<ResourceType>> {
        self.types
            .iter()
            .find(|t| t.group == group && t.plural == plural)
            .cloned()
            .ok_or_else(|| ApiError::internal(format!("no built-in resource {plural} in group {group:?}")))
    }
}
