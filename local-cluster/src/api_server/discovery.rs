//! Paths that are not resources: discovery, version, health, metrics, OpenAPI.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::openapi;
use super::registry::{Registry, ResourceType};
use super::respond::json_response;
use super::router::Call;
use super::state::State;

const MAJOR: &str = "1";
const MINOR: &str = "36";
const GIT_VERSION: &str = "v1.36.3-embedded";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Answers a request for a path that is no resource.
pub(crate) fn handle(state: &Arc<State>, call: &Call) -> ApiResult<Response<Body>> {
    if call.method != Method::GET && call.method != Method::HEAD {
        return Err(ApiError::method_not_supported());
    }
    let registry = state.registry();
    let aggregated = call.accept().contains("as=APIGroupDiscoveryList");
    let words: Vec<&str> = call.path.split('/').filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => Ok(ok(&root_paths(&registry))),
        ["api"] if aggregated => Ok(aggregated_response(&group_list(&registry, str::is_empty))),
        ["apis"] if aggregated => Ok(aggregated_response(&group_list(&registry, |group| !group.is_empty()))),
        ["api"] => Ok(ok(&json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        }))),
        ["api", "v1"] => Ok(ok(&resource_list(&registry, "", "v1")?)),
        ["apis"] => {
            let groups: Vec<Value> = groups(&registry)
                .iter()
                .filter(|group| !group.is_empty())
                .map(|group| api_group(&registry, group))
                .collect();
            Ok(ok(&json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})))
        }
        ["apis", group] if groups(&registry).contains(*group) => {
            let mut answer = api_group(&registry, group);
            answer["kind"] = "APIGroup".into();
            answer["apiVersion"] = "v1".into();
            Ok(ok(&answer))
        }
        ["apis", group, version] => Ok(ok(&resource_list(&registry, group, version)?)),
        ["version"] => Ok(ok(&version())),
        ["healthz" | "livez" | "readyz", ..] => Ok(text("ok")),
        ["metrics"] => Ok(text(&state.metrics.render())),
        ["openapi", "v3", rest @ ..] => openapi::handle(&registry, rest),
        _ => Err(ApiError::no_such_path()),
    }
}

fn ok(value: &Value) -> Response<Body> {
    json_response(StatusCode::OK, value.to_string())
}

fn aggregated_response(value: &Value) -> Response<Body> {
    let mut response = ok(value);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(AGGREGATED));
    response
}

fn text(text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn version() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn groups(registry: &Registry) -> BTreeSet<String> {
    registry.types().map(|ty| ty.group.clone()).collect()
}

/// The versions of a group, the preferred one first: stable before beta before alpha, then newer before older.
pub(super) fn versions(registry: &Registry, group: &str) -> Vec<String> {
    let mut versions: Vec<String> =
        registry.types().filter(|ty| ty.group == group).map(|ty| ty.version.clone()).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    versions.dedup();
    versions
}

fn priority(version: &str) -> (u8, u32, u32) {
    let rest = version.strip_prefix('v').unwrap_or(version);
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().unwrap_or(0);
    let suffix = &rest[digits..];
    let minor = |name: &str| suffix.strip_prefix(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    if suffix.is_empty() {
        (3, major, 0)
    } else if suffix.starts_with("beta") {
        (2, major, minor("beta"))
    } else {
        (1, major, minor("alpha"))
    }
}

fn api_group(registry: &Registry, group: &str) -> Value {
    let versions: Vec<Value> = versions(registry, group)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

fn root_paths(registry: &Registry) -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for group in groups(registry).iter().filter(|group| !group.is_empty()) {
        paths.push(format!("/apis/{group}"));
        paths.extend(versions(registry, group).iter().map(|version| format!("/apis/{group}/{version}")));
    }
    paths.extend(["/healthz", "/livez", "/metrics", "/openapi/v3", "/readyz", "/version"].map(str::to_owned));
    json!({"paths": paths})
}

/// The kind that a subresource speaks, and its verbs.
fn subresource_shape(ty: &ResourceType, subresource: &str) -> (String, String, String, &'static [&'static str]) {
    let own = || (ty.group.clone(), ty.version.clone(), ty.kind.clone());
    let of = |group: &str, version: &str, kind: &str| (group.to_owned(), version.to_owned(), kind.to_owned());
    let ((group, version, kind), verbs): (_, &[&str]) = match subresource {
        "status" => (own(), &["get", "patch", "update"]),
        "scale" => (of("autoscaling", "v1", "Scale"), &["get", "patch", "update"]),
        "eviction" => (of("policy", "v1", "Eviction"), &["create"]),
        "binding" => (of("", "v1", "Binding"), &["create"]),
        "token" => (of("authentication.k8s.io", "v1", "TokenRequest"), &["create"]),
        "log" => (own(), &["get"]),
        "finalize" => (own(), &["update"]),
        "exec" => (of("", "v1", "PodExecOptions"), &["create", "get"]),
        "attach" => (of("", "v1", "PodAttachOptions"), &["create", "get"]),
        "portforward" => (of("", "v1", "PodPortForwardOptions"), &["create", "get"]),
        _ => (own(), &["get", "patch", "update"]),
    };
    (group, version, kind, verbs)
}

fn resource_list(registry: &Registry, group: &str, version: &str) -> ApiResult<Value> {
    let mut resources = Vec::new();
    for ty in registry.types().filter(|ty| ty.group == group && ty.version == version) {
        let mut resource = json!({
            "name": ty.plural,
            "singularName": ty.singular,
            "namespaced": ty.namespaced,
            "kind": ty.kind,
            "verbs": ty.verbs(),
        });
        add_names(&mut resource, ty);
        resources.push(resource);
        for subresource in ty.subresources() {
            let (sub_group, sub_version, kind, verbs) = subresource_shape(ty, subresource);
            let mut entry = json!({
                "name": format!("{}/{subresource}", ty.plural),
                "singularName": "",
                "namespaced": ty.namespaced,
                "kind": kind,
                "verbs": verbs,
            });
            if (&sub_group, &sub_version) != (&ty.group, &ty.version) {
                entry["group"] = sub_group.into();
                entry["version"] = sub_version.into();
            }
            resources.push(entry);
        }
    }
    if resources.is_empty() {
        return Err(ApiError::no_such_path());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}))
}

fn group_list(registry: &Registry, wanted: impl Fn(&str) -> bool) -> Value {
    let items: Vec<Value> = groups(registry)
        .iter()
        .filter(|group| wanted(group))
        .map(|group| {
            let versions: Vec<Value> = versions(registry, group)
                .iter()
                .map(|version| {
                    let types = registry.types().filter(|ty| ty.group == *group && ty.version == *version);
                    let resources: Vec<Value> = types.map(|ty| aggregated_resource(ty)).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let metadata =
                if group.is_empty() { json!({"creationTimestamp": Value::Null}) } else { json!({"name": group}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// The other names of a type, where it has any.
fn add_names(resource: &mut Value, ty: &ResourceType) {
    if !ty.short_names.is_empty() {
        resource["shortNames"] = json!(ty.short_names);
    }
    if !ty.categories.is_empty() {
        resource["categories"] = json!(ty.categories);
    }
}

fn aggregated_resource(ty: &ResourceType) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let subresources: Vec<Value> = ty
        .subresources()
        .into_iter()
        .map(|subresource| {
            let (group, version, name, verbs) = subresource_shape(ty, subresource);
            json!({"subresource": subresource, "responseKind": kind(&group, &version, &name), "verbs": verbs})
        })
        .collect();
    let mut resource = json!({
        "resource": ty.plural,
        "responseKind": kind(&ty.group, &ty.version, &ty.kind),
        "scope": if ty.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": ty.singular,
        "verbs": ty.verbs(),
    });
    add_names(&mut resource, ty);
    if !subresources.is_empty() {
        resource["subresources"] = subresources.into();
    }
    resource
}
