//! Changing objects: create, update (of which a patch is one kind) and delete, each inside one [`Transaction`].
//!
//! The order of steps is the real server's: decode, admit, default, validate, store. Who may ask is decided before.

mod admission;
mod create;
mod delete;
mod metadata;
mod namespace;
mod update;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::auth::Identity;
use super::error::{ApiError, ApiResult, FieldError};
use super::policy;
use super::registry::{Registry, ResourceType};
use super::request::{Part, Query};
use crate::network::ServiceIpAllocator;
use crate::store::{Object, ObjectKey, Store};

pub(crate) use create::create;
pub(crate) use delete::{DeleteOptions, Deleted, Preconditions, delete};
pub(crate) use metadata::timestamp;
pub(crate) use namespace::finalize_namespace;
pub(crate) use update::{Change, update};

/// One write under the store's lock.
pub(crate) struct Transaction<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) registry: Arc<Registry>,
    pub(crate) now: Timestamp,
    pub(crate) dry_run: bool,
    /// Who asks, for admission policies; `None` for what the server does on its own account.
    pub(crate) requester: Option<&'a Identity>,
    pub(crate) service_ips: Option<&'a dyn ServiceIpAllocator>,
    /// Set when a CustomResourceDefinition changed what is served.
    pub(crate) new_registry: Option<Registry>,
}

impl Transaction<'_> {
    /// The newest version of an object, or "not found".
    pub(crate) fn get(&self, ty: &ResourceType, key: &ObjectKey) -> ApiResult<Arc<Object>> {
        self.store.get(&ty.storage, key).cloned().ok_or_else(|| ApiError::not_found(&ty.group_resource(), &key.name))
    }

    /// Asks the admission policies.
    pub(crate) fn admit(&self, write: &Admission<'_>) -> ApiResult<()> {
        let Some(identity) = self.requester else { return Ok(()) };
        let attempt = policy::Attempt { write, identity, dry_run: self.dry_run };
        policy::check(self.store, &attempt)
    }

    /// Stores a version, or shows what it would be.
    pub(crate) fn put(&mut self, ty: &ResourceType, key: ObjectKey, value: Value) -> ApiResult<Arc<Object>> {
        let value = if ty.is("events.k8s.io", "Event") { super::events::to_stored(&value) } else { value };
        if self.dry_run {
            return Ok(Arc::new(Object::preview(key, value)));
        }
        let object = self.store.put(&ty.storage, key, value);
        super::crd::definition_changed(self, ty)?;
        Ok(object)
    }

    /// Removes an object for good, or shows what would be removed.
    pub(crate) fn remove(&mut self, ty: &ResourceType, object: &Arc<Object>) -> ApiResult<Arc<Object>> {
        if self.dry_run {
            return Ok(Arc::clone(object));
        }
        let removed = self.store.remove(&ty.storage, object.key()).unwrap_or_else(|| Arc::clone(object));
        if ty.is("", "Service") {
            admission::release_service_addresses(self, removed.value());
        }
        super::crd::definition_changed(self, ty)?;
        super::crd::instance_removed(self, ty)?;
        Ok(removed)
    }
}

/// A write as admission policies see it. `object`, `old` and `options` are `null` where there is none.
#[derive(Debug)]
pub(crate) struct Admission<'a> {
    pub(crate) operation: &'static str,
    pub(crate) ty: &'a ResourceType,
    pub(crate) subresource: &'static str,
    pub(crate) key: &'a ObjectKey,
    pub(crate) object: &'a Value,
    pub(crate) old: &'a Value,
    pub(crate) options: &'a Value,
}

/// What the server does about fields that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Strict,
    Warn,
    Ignore,
}

/// The options common to create, update and patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) field_validation: FieldValidation,
    pub(crate) field_manager: String,
    pub(crate) force: bool,
    /// Server-side apply keeps the books of field ownership itself.
    pub(crate) is_apply: bool,
}

impl WriteOptions {
    /// Reads the query; the manager is by default the first word of the user agent.
    pub(crate) fn from_query(query: &Query, user_agent: &str) -> ApiResult<Self> {
        let field_validation = match query.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Strict") => FieldValidation::Strict,
            Some("Ignore") => FieldValidation::Ignore,
            Some(other) => {
                let choices = ["Ignore", "Strict", "Warn"];
                let error = FieldError::not_supported("fieldValidation", &other.into(), &choices);
                return Err(ApiError::invalid_options("CreateOptions", error));
            }
        };
        let manager = query.get("fieldManager").or_else(|| user_agent.split('/').next().filter(|m| !m.is_empty()));
        let field_manager: String = manager.unwrap_or("unknown").chars().take(128).collect();
        Ok(Self {
            dry_run: dry_run(query.get("dryRun"))?,
            field_validation,
            field_manager,
            force: query.flag("force"),
            is_apply: false,
        })
    }
}

/// Reads `dryRun`: only `All` exists.
pub(crate) fn dry_run(value: Option<&str>) -> ApiResult<bool> {
    match value {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => {
            let error = FieldError::not_supported("dryRun", &other.into(), &["All"]);
            Err(ApiError::invalid_options("CreateOptions", error))
        }
    }
}

/// Where a request points: a resource, one object of it, one part of that.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) ty: Arc<ResourceType>,
    pub(crate) key: ObjectKey,
    pub(crate) part: Part,
}

/// What a successful create, update or patch gives back.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) object: Arc<Object>,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}
