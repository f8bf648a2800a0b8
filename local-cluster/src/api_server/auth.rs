//! Who asks: bearer tokens, service accounts, anonymous. What they may do is `rbac`'s business.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};

use super::error::{ApiError, ApiResult};
use crate::store::{GroupResource, ObjectKey, Store};

pub(crate) const SYSTEM_MASTERS: &str = "system:masters";
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// A user as authorization sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User name, such as `system:serviceaccount:default:web`.
    pub user: String,
    /// Groups, such as `system:authenticated`.
    pub groups: Vec<String>,
    /// UID, empty if the user has none.
    pub uid: String,
}

impl Identity {
    /// The administrator: in `system:masters`, which no rule can hold back.
    pub fn admin() -> Self {
        Self::user("kubernetes-admin", &[SYSTEM_MASTERS])
    }

    /// A user in the given groups and in `system:authenticated`.
    pub fn user(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self { user: name.to_owned(), groups, uid: String::new() }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let own_group = format!("system:serviceaccounts:{namespace}");
        Self::user(&format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"), &["system:serviceaccounts", &own_group])
    }

    /// Whoever sends no credentials.
    pub fn anonymous() -> Self {
        Self { user: "system:anonymous".to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], uid: String::new() }
    }

    /// Whether every request is allowed.
    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == SYSTEM_MASTERS)
    }
}

#[derive(Debug, Clone)]
struct AccountToken {
    account: ObjectKey,
    /// The account's UID when the token was issued: a token does not outlive its account, even by a namesake.
    uid: Option<String>,
    expires: Option<Timestamp>,
}

/// Every token that is accepted.
pub(crate) struct Tokens {
    admin: String,
    accounts: Mutex<HashMap<String, AccountToken>>,
}

impl Tokens {
    pub(crate) fn new(admin: String) -> Self {
        Self { admin, accounts: Mutex::default() }
    }

    /// A new token for a service account, valid for `lifetime` or for good.
    pub(crate) fn issue(&self, store: &Store, account: ObjectKey, lifetime: Option<SignedDuration>) -> String {
        let now = Timestamp::now();
        let token = format!("sa-{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let issued = AccountToken {
            uid: account_uid(store, &account),
            account,
            expires: lifetime.and_then(|lifetime| now.checked_add(lifetime).ok()),
        };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, token| token.expires.is_none_or(|expires| expires > now));
        accounts.insert(token.clone(), issued);
        token
    }

    /// Whose token this is, if it is valid.
    pub(crate) fn identify(&self, store: &Store, token: &str) -> Option<Identity> {
        if token == self.admin {
            return Some(Identity::admin());
        }
        let found = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()?;
        if found.expires.is_some_and(|expires| expires <= Timestamp::now()) {
            return None;
        }
        let uid = account_uid(store, &found.account)?;
        if found.uid.is_some_and(|issued_for| issued_for != uid) {
            return None;
        }
        let identity = Identity::service_account(&found.account.namespace, &found.account.name);
        Some(Identity { uid, ..identity })
    }

    /// The user behind a request.
    pub(crate) fn authenticate(&self, store: &Store, headers: &HeaderMap) -> ApiResult<Identity> {
        let Some(header) = headers.get(AUTHORIZATION) else { return Ok(Identity::anonymous()) };
        let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        self.identify(store, token.trim()).ok_or_else(ApiError::unauthorized)
    }
}

fn account_uid(store: &Store, account: &ObjectKey) -> Option<String> {
    let accounts = GroupResource::new("", "serviceaccounts");
    let uid = store.get(&accounts, account)?.value()["metadata"]["uid"].as_str()?;
    Some(uid.to_owned())
}

/// Whom the request wants to be taken for, by the `Impersonate-*` headers.
pub(crate) fn impersonated(headers: &HeaderMap) -> Option<Identity> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
    let user = headers.get("impersonate-user").and_then(text)?;
    let mut groups: Vec<String> = headers.get_all("impersonate-group").iter().filter_map(text).collect();
    if let Some((namespace, name)) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'))
        && groups.is_empty()
    {
        groups = Identity::service_account(namespace, name).groups;
    }
    let is_anonymous = user == "system:anonymous";
    let default_group = if is_anonymous { UNAUTHENTICATED } else { AUTHENTICATED };
    if !groups.iter().any(|group| group == default_group) {
        groups.push(default_group.to_owned());
    }
    Some(Identity { user, groups, uid: headers.get("impersonate-uid").and_then(text).unwrap_or_default() })
}
