//! Questions that are posted and answered without being stored: who am I, may I, whose token is this; and new tokens.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::auth::Identity;
use super::error::{ApiError, ApiResult, FieldError};
use super::rbac::{Ask, Index, Rule};
use super::registry::ResourceType;
use super::state::State;
use super::write::timestamp;
use crate::store::Object;

const DEFAULT_TOKEN_SECONDS: i64 = 3600;
const SHORTEST_TOKEN_SECONDS: i64 = 600;

/// Answers a review by filling in its status.
pub(crate) fn answer(state: &State, identity: &Identity, ty: &ResourceType, body: Value) -> ApiResult<Value> {
    if !body.is_object() {
        return Err(ApiError::bad_request(format!("the body is not a {}", ty.kind)));
    }
    let mut review = body;
    let store = state.read();
    let index = state.rbac.index(&store);
    review["apiVersion"] = ty.api_version().into();
    review["kind"] = ty.kind.clone().into();
    let spec = review["spec"].clone();
    review["status"] = match ty.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": user_info(identity)}),
        "SelfSubjectAccessReview" => access(&index, identity, &spec),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => access(&index, &subject(&spec)?, &spec),
        "SelfSubjectRulesReview" => rules(&index, identity, spec["namespace"].as_str().unwrap_or_default()),
        "TokenReview" => {
            let found = state.tokens.identify(&store, spec["token"].as_str().unwrap_or_default());
            found.map_or_else(
                || json!({"user": {}, "error": "invalid bearer token"}),
                |user| json!({"authenticated": true, "user": user_info(&user)}),
            )
        }
        other => return Err(ApiError::not_implemented(format!("reviews of kind {other} are not served"))),
    };
    Ok(review)
}

fn user_info(identity: &Identity) -> Value {
    let mut info = json!({"username": identity.user, "groups": identity.groups});
    if !identity.uid.is_empty() {
        info["uid"] = identity.uid.clone().into();
    }
    info
}

fn subject(spec: &Value) -> ApiResult<Identity> {
    let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let user = spec["user"].as_str().unwrap_or_default().to_owned();
    let identity = Identity { user, groups, uid: String::new() };
    if identity.user.is_empty() && identity.groups.is_empty() {
        let missing = FieldError::invalid("spec.user", &"".into(), "at least one of user or group must be specified");
        return Err(ApiError::invalid("authorization.k8s.io", "SubjectAccessReview", "", &[missing]));
    }
    Ok(identity)
}

fn access(index: &Index, identity: &Identity, spec: &Value) -> Value {
    let text = |part: &Value, field: &str| part[field].as_str().unwrap_or_default().to_owned();
    let resource = &spec["resourceAttributes"];
    let path = &spec["nonResourceAttributes"];
    let reason = if resource.is_object() {
        let ask = Ask {
            verb: text(resource, "verb"),
            group: text(resource, "group"),
            resource: text(resource, "resource"),
            subresource: text(resource, "subresource"),
            name: text(resource, "name"),
            namespace: text(resource, "namespace"),
        };
        index.why_allowed(identity, &ask)
    } else {
        index.allows_path(identity, &text(path, "verb"), &text(path, "path")).then(String::new)
    };
    match reason {
        Some(reason) if reason.is_empty() => json!({"allowed": true}),
        Some(reason) => json!({"allowed": true, "reason": reason}),
        None => json!({"allowed": false}),
    }
}

fn rules(index: &Index, identity: &Identity, namespace: &str) -> Value {
    let everything = Rule {
        verbs: vec!["*".to_owned()],
        groups: vec!["*".to_owned()],
        resources: vec!["*".to_owned()],
        urls: vec!["*".to_owned()],
        names: Vec::new(),
    };
    let held: Vec<Rule> =
        if identity.is_master() { vec![everything] } else { index.rules_for(identity, namespace).cloned().collect() };
    let resources: Vec<Value> = held
        .iter()
        .filter(|rule| !rule.resources.is_empty())
        .map(|rule| {
            let mut shown = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                shown["resourceNames"] = json!(rule.names);
            }
            shown
        })
        .collect();
    let paths: Vec<Value> = held
        .iter()
        .filter(|rule| !rule.urls.is_empty())
        .map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}))
        .collect();
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

/// Answers a `TokenRequest` for a service account.
pub(crate) fn issue_token(state: &State, account: &Object, body: Value) -> ApiResult<Value> {
    let mut request = if body.is_object() { body } else { json!({}) };
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_TOKEN_SECONDS);
    if seconds < SHORTEST_TOKEN_SECONDS {
        let short = FieldError::invalid(
            "spec.expirationSeconds",
            &seconds.into(),
            "may not specify a duration less than 10 minutes",
        );
        return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", &[short]));
    }
    let lifetime = SignedDuration::from_secs(seconds.min(1 << 32));
    let token = state.tokens.issue(&state.read(), account.key().clone(), Some(lifetime));
    request["kind"] = "TokenRequest".into();
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["metadata"] = json!({"name": account.key().name, "namespace": account.key().namespace});
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({"token": token, "expirationTimestamp": timestamp(Timestamp::now() + lifetime)});
    Ok(request)
}
