//! Role-based access control: may this user do that? Decided by the stored roles and bindings alone.

mod bootstrap;
mod index;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::auth::Identity;
use super::error::{ApiError, ApiResult};
use super::registry::ResourceType;
use super::request::{ResourceRequest, Target};
use super::state::State;
use crate::store::{GroupResource, Store};

pub(crate) use bootstrap::bootstrap;
pub(crate) use index::{Ask, Index, RoleRef, Rule};

pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";

/// The rules as they were compiled last.
#[derive(Debug, Default)]
pub(crate) struct RbacCache {
    compiled: Mutex<Option<(u64, Arc<Index>)>>,
}

impl RbacCache {
    /// The rules of this store, compiled anew only if a role or binding changed.
    pub(crate) fn index(&self, store: &Store) -> Arc<Index> {
        let kinds = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
        let changed_at = kinds.iter().map(|kind| store.changed_at(&GroupResource::new(GROUP, kind))).max().unwrap_or(0);
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        match &*compiled {
            Some((at, index)) if *at == changed_at => Arc::clone(index),
            _ => {
                let index = Arc::new(Index::compile(store));
                *compiled = Some((changed_at, Arc::clone(&index)));
                index
            }
        }
    }
}

/// Refuses what the user may not do.
pub(crate) fn authorize(state: &State, identity: &Identity, target: &Target, path: &str) -> ApiResult<()> {
    if identity.is_master() {
        return Ok(());
    }
    let index = state.rbac.index(&state.read());
    match target {
        Target::Path { verb } => {
            if index.allows_path(identity, verb, path) {
                return Ok(());
            }
            let user = &identity.user;
            Err(ApiError::forbidden_path(format!("forbidden: User {user:?} cannot {verb} path {path:?}")))
        }
        Target::Resource(request) => {
            let ask = ask_of(request);
            if index.allows(identity, &ask) { Ok(()) } else { Err(forbidden(identity, &ask)) }
        }
    }
}

fn ask_of(request: &ResourceRequest) -> Ask {
    // A namespace is in itself: a role in it may let its members read it.
    let namespace = if request.group.is_empty() && request.resource == "namespaces" && !request.name.is_empty() {
        request.name.clone()
    } else {
        request.namespace.clone()
    };
    Ask {
        verb: request.verb.as_str().to_owned(),
        group: request.group.clone(),
        resource: request.resource.clone(),
        subresource: request.subresource.clone(),
        name: request.name.clone(),
        namespace,
    }
}

fn forbidden(identity: &Identity, ask: &Ask) -> ApiError {
    let slash = if ask.subresource.is_empty() { "" } else { "/" };
    let place = if ask.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", ask.namespace)
    };
    let why = format!(
        "User {:?} cannot {} resource \"{}{slash}{}\" in API group {:?} {place}",
        identity.user, ask.verb, ask.resource, ask.subresource, ask.group
    );
    ApiError::forbidden(&GroupResource::new(&ask.group, &ask.resource), &ask.name, &why)
}

/// Refuses to let a user act as another one without the permission to.
pub(crate) fn authorize_impersonation(state: &State, identity: &Identity, wanted: &Identity) -> ApiResult<()> {
    if identity.is_master() {
        return Ok(());
    }
    let index = state.rbac.index(&state.read());
    let mut asks = vec![("users", wanted.user.clone())];
    asks.extend(wanted.groups.iter().map(|group| ("groups", group.clone())));
    for (resource, name) in asks {
        let ask = Ask { verb: "impersonate".to_owned(), resource: resource.to_owned(), name, ..Ask::default() };
        if !index.allows(identity, &ask) {
            return Err(forbidden(identity, &ask));
        }
    }
    Ok(())
}

/// Refuses to let a user grant what the user does not have.
pub(crate) fn check_escalation(state: &State, identity: &Identity, ty: &ResourceType, object: &Value) -> ApiResult<()> {
    if ty.group != GROUP || identity.is_master() {
        return Ok(());
    }
    let store = state.read();
    let index = state.rbac.index(&store);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
    let (verb, resource, role, rules) = if ty.kind.ends_with("Binding") {
        let role = RoleRef::of(object, namespace);
        ("bind", role.resource(), role.name(), index.rules_of(role))
    } else {
        ("escalate", ty.plural.as_str(), name, Rule::list(&object["rules"]))
    };
    let special = Ask {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        resource: resource.to_owned(),
        name: role.to_owned(),
        namespace: namespace.to_owned(),
        ..Ask::default()
    };
    let is_covered = rules.iter().all(|rule| index.covers(identity, namespace, rule));
    if is_covered || index.allows(identity, &special) {
        return Ok(());
    }
    let why = format!(
        "user {:?} (groups={:?}) is attempting to grant RBAC permissions not currently held",
        identity.user, identity.groups
    );
    Err(ApiError::forbidden(&ty.group_resource(), name, &why))
}
