//! Roles and bindings in the form in which questions are answered quickly.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::auth::Identity;
use super::GROUP;
use crate::store::selector::LabelSelector;
use crate::store::{GroupResource, ObjectKey, Store};

/// One question about a resource. Empty fields mean: no subresource, no name, no namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

/// A `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    /// Reads the `rules` of a role.
    pub(crate) fn list(rules: &Value) -> Vec<Self> {
        let read = |rule: &Value| Self {
            verbs: texts(&rule["verbs"]),
            groups: texts(&rule["apiGroups"]),
            resources: texts(&rule["resources"]),
            names: texts(&rule["resourceNames"]),
            urls: texts(&rule["nonResourceURLs"]),
        };
        rules.as_array().into_iter().flatten().map(read).collect()
    }

    fn allows(&self, ask: &Ask) -> bool {
        has(&self.verbs, &ask.verb)
            && has(&self.groups, &ask.group)
            && self.names_resource(&ask.resource, &ask.subresource)
            && (self.names.is_empty() || (!ask.name.is_empty() && self.names.contains(&ask.name)))
    }

    fn names_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|rule| {
            if rule == "*" {
                return true;
            }
            match (rule.split_once('/'), subresource) {
                (None, "") => rule == resource,
                (Some((base, sub)), wanted) if !wanted.is_empty() => (base == "*" || base == resource) && sub == wanted,
                _ => false,
            }
        })
    }

    fn allows_path(&self, verb: &str, path: &str) -> bool {
        has(&self.verbs, verb)
            && self.urls.iter().any(|url| match url.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix),
                None => url == path,
            })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
}

impl Subject {
    fn read(subject: &Value, binding_namespace: &str) -> Option<Self> {
        let name = subject["name"].as_str()?;
        match subject["kind"].as_str()? {
            "User" => Some(Self::User(name.to_owned())),
            "Group" => Some(Self::Group(name.to_owned())),
            "ServiceAccount" => {
                let namespace = subject["namespace"].as_str().unwrap_or(binding_namespace);
                Some(Self::User(Identity::service_account(namespace, name).user))
            }
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Group(name) => format!("Group {name:?}"),
            Self::User(name) => match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
            {
                Some((namespace, name)) => format!("ServiceAccount \"{name}/{namespace}\""),
                None => format!("User {name:?}"),
            },
        }
    }

    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::User(name) => *name == identity.user,
            Self::Group(name) => identity.groups.contains(name),
        }
    }
}

/// The role that a binding refers to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RoleRef<'a> {
    /// A ClusterRole.
    Cluster { name: &'a str },
    /// A Role of the binding's own namespace.
    Namespaced { namespace: &'a str, name: &'a str },
}

impl<'a> RoleRef<'a> {
    /// What a binding in that namespace refers to.
    pub(crate) fn of(binding: &'a Value, namespace: &'a str) -> Self {
        let role = &binding["roleRef"];
        let name = role["name"].as_str().unwrap_or_default();
        if role["kind"] == "ClusterRole" { Self::Cluster { name } } else { Self::Namespaced { namespace, name } }
    }

    pub(crate) const fn name(self) -> &'a str {
        match self {
            Self::Cluster { name } | Self::Namespaced { name, .. } => name,
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Cluster { .. } => "ClusterRole",
            Self::Namespaced { .. } => "Role",
        }
    }

    /// The resource that such roles are.
    pub(crate) const fn resource(self) -> &'static str {
        match self {
            Self::Cluster { .. } => "clusterroles",
            Self::Namespaced { .. } => "roles",
        }
    }
}

#[derive(Debug)]
struct Grant {
    /// The binding and its role, for people.
    source: String,
    subjects: Vec<Subject>,
    rules: Arc<Vec<Rule>>,
}

/// Every grant, by namespace.
#[derive(Debug, Default)]
pub(crate) struct Index {
    cluster_roles: HashMap<String, Arc<Vec<Rule>>>,
    roles: HashMap<ObjectKey, Arc<Vec<Rule>>>,
    cluster_grants: Vec<Grant>,
    namespace_grants: HashMap<String, Vec<Grant>>,
}

impl Index {
    /// Compiles the roles and bindings of a store.
    pub(crate) fn compile(store: &Store) -> Self {
        let collection = |resource| GroupResource::new(GROUP, resource);
        let mut index = Self::default();
        let cluster_roles = collection("clusterroles");
        for role in store.list(&cluster_roles, None) {
            let mut rules = Rule::list(&role.value()["rules"]);
            rules.extend(aggregated(store, &cluster_roles, role.value()));
            index.cluster_roles.insert(role.key().name.clone(), Arc::new(rules));
        }
        for role in store.list(&collection("roles"), None) {
            index.roles.insert(role.key().clone(), Arc::new(Rule::list(&role.value()["rules"])));
        }
        for binding in store.list(&collection("clusterrolebindings"), None) {
            let grant = index.grant(binding.value(), "");
            index.cluster_grants.push(grant);
        }
        for binding in store.list(&collection("rolebindings"), None) {
            let namespace = &binding.key().namespace;
            let grant = index.grant(binding.value(), namespace);
            index.namespace_grants.entry(namespace.clone()).or_default().push(grant);
        }
        index
    }

    fn grant(&self, binding: &Value, namespace: &str) -> Grant {
        let role = RoleRef::of(binding, namespace);
        let subjects = binding["subjects"].as_array().into_iter().flatten();
        let name = binding["metadata"]["name"].as_str().unwrap_or_default();
        let of = format!("{} {:?}", role.kind(), role.name());
        let source = if namespace.is_empty() {
            format!("ClusterRoleBinding {name:?} of {of}")
        } else {
            format!("RoleBinding \"{name}/{namespace}\" of {of}")
        };
        Grant {
            source,
            subjects: subjects.filter_map(|subject| Subject::read(subject, namespace)).collect(),
            rules: self.role(role),
        }
    }

    fn role(&self, role: RoleRef<'_>) -> Arc<Vec<Rule>> {
        let found = match role {
            RoleRef::Cluster { name } => self.cluster_roles.get(name),
            RoleRef::Namespaced { namespace, name } => self.roles.get(&ObjectKey::new(namespace, name)),
        };
        found.cloned().unwrap_or_default()
    }

    /// The rules of a role, none if there is no such role.
    pub(crate) fn rules_of(&self, role: RoleRef<'_>) -> Vec<Rule> {
        self.role(role).to_vec()
    }

    /// Every rule that holds for a user in a namespace (empty: cluster-wide).
    pub(crate) fn rules_for<'a>(
        &'a self,
        identity: &'a Identity,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Rule> + use<'a> {
        let local = self.namespace_grants.get(namespace).into_iter().flatten();
        self.cluster_grants
            .iter()
            .chain(local)
            .filter(|grant| grant.subjects.iter().any(|subject| subject.is(identity)))
            .flat_map(|grant| grant.rules.iter())
    }

    /// Whether a user may do something to a resource.
    pub(crate) fn allows(&self, identity: &Identity, ask: &Ask) -> bool {
        identity.is_master() || self.rules_for(identity, &ask.namespace).any(|rule| rule.allows(ask))
    }

    /// Which binding lets a user do something, if any; empty for those whom nothing holds back.
    pub(crate) fn why_allowed(&self, identity: &Identity, ask: &Ask) -> Option<String> {
        if identity.is_master() {
            return Some(String::new());
        }
        let local = self.namespace_grants.get(&ask.namespace).into_iter().flatten();
        self.cluster_grants.iter().chain(local).find_map(|grant| {
            let subject = grant.subjects.iter().find(|subject| subject.is(identity))?;
            let is_allowed = grant.rules.iter().any(|rule| rule.allows(ask));
            is_allowed.then(|| format!("RBAC: allowed by {} to {}", grant.source, subject.shown()))
        })
    }

    /// Whether a user may use a path that is no resource.
    pub(crate) fn allows_path(&self, identity: &Identity, verb: &str, path: &str) -> bool {
        identity.is_master() || self.rules_for(identity, "").any(|rule| rule.allows_path(verb, path))
    }

    /// Whether a user has everything that a rule grants.
    pub(crate) fn covers(&self, identity: &Identity, namespace: &str, rule: &Rule) -> bool {
        let names = if rule.names.is_empty() { vec![String::new()] } else { rule.names.clone() };
        let has_resources = rule.verbs.iter().all(|verb| {
            rule.groups.iter().all(|group| {
                rule.resources.iter().all(|resource| {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                    names.iter().all(|name| {
                        let ask = Ask {
                            verb: verb.clone(),
                            group: group.clone(),
                            resource: resource.to_owned(),
                            subresource: subresource.to_owned(),
                            name: name.clone(),
                            namespace: namespace.to_owned(),
                        };
                        self.allows(identity, &ask)
                    })
                })
            })
        });
        let has_paths = rule.urls.iter().all(|url| rule.verbs.iter().all(|verb| self.allows_path(identity, verb, url)));
        has_resources && has_paths
    }
}

/// The rules that a role with an `aggregationRule` takes from others.
fn aggregated(store: &Store, cluster_roles: &GroupResource, role: &Value) -> Vec<Rule> {
    let selectors: Vec<LabelSelector> = role["aggregationRule"]["clusterRoleSelectors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|selector| LabelSelector::from_object(selector).ok().flatten())
        .collect();
    if selectors.is_empty() {
        return Vec::new();
    }
    store
        .list(cluster_roles, None)
        .filter(|other| selectors.iter().any(|selector| selector.matches(&other.value()["metadata"]["labels"])))
        .flat_map(|other| Rule::list(&other.value()["rules"]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn index(objects: &[(&str, Value)]) -> Index {
        let mut store = Store::new(10);
        for (resource, object) in objects {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let key = ObjectKey::new(namespace, object["metadata"]["name"].as_str().unwrap());
            store.put(&GroupResource::new(GROUP, resource), key, object.clone());
        }
        Index::compile(&store)
    }

    fn ask(verb: &str, resource: &str, name: &str, namespace: &str) -> Ask {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Ask {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..Ask::default()
        }
    }

    #[test]
    fn a_role_binding_grants_in_its_namespace_only() {
        let role = json!({"metadata": {"name": "r", "namespace": "a"}, "rules": [
            {"apiGroups": [""], "resources": ["pods", "pods/eviction"], "verbs": ["get", "create"]},
            {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["switch"], "verbs": ["get"]},
        ]});
        let binding = json!({"metadata": {"name": "b", "namespace": "a"}, "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "other"}]});
        let index = index(&[("roles", role), ("rolebindings", binding)]);
        let account = Identity::service_account("other", "sa");
        for (ask, expected) in [
            (ask("get", "pods", "p", "a"), true),
            (ask("get", "pods", "p", "b"), false),
            (ask("create", "pods/eviction", "p", "a"), true),
            (ask("create", "pods/log", "p", "a"), false),
            (ask("delete", "pods", "p", "a"), false),
            (ask("get", "configmaps", "switch", "a"), true),
            (ask("get", "configmaps", "other", "a"), false),
        ] {
            assert_eq!(index.allows(&account, &ask), expected, "{ask:?}");
        }
        assert!(!index.allows(&Identity::service_account("a", "sa"), &ask("get", "pods", "p", "a")));
    }

    #[test]
    fn cluster_roles_aggregate_by_label_and_paths_match_by_prefix() {
        let part = json!({"metadata": {"name": "part", "labels": {"to": "view"}},
            "rules": [{"apiGroups": ["x"], "resources": ["*"], "verbs": ["get"]}]});
        let whole = json!({"metadata": {"name": "whole"},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]},
            "rules": [{"nonResourceURLs": ["/openapi/*"], "verbs": ["get"]}]});
        let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "whole"},
            "subjects": [{"kind": "Group", "name": "system:authenticated"}]});
        let index = index(&[("clusterroles", part), ("clusterroles", whole), ("clusterrolebindings", binding)]);
        let user = Identity::user("u", &[]);
        assert!(index.allows(&user, &Ask { group: "x".to_owned(), ..ask("get", "things/status", "", "") }));
        assert!(index.allows_path(&user, "get", "/openapi/v3"));
        assert!(!index.allows_path(&user, "get", "/metrics"));
        assert!(!index.allows_path(&Identity::anonymous(), "get", "/openapi/v3"));
    }
}
