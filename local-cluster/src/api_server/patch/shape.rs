//! How lists and maps merge: by key, as a set, or as one value. For built-in kinds this is a table kept by hand from
//! the markers in Kubernetes' types; for custom ones it is in their schema.

use serde_json::Value;

use super::super::registry::{Origin, ResourceType};

/// How a list merges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// As one value.
    Atomic,
    /// A set of scalars.
    Set,
    /// Items are identified by these fields.
    Map(Vec<String>),
}

/// A place in an object, as far as merging is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape<'a> {
    /// In a built-in kind, under these two field names.
    Builtin { parent: &'a str, name: &'a str },
    /// In a custom kind, at this schema.
    Schema(&'a Value),
    /// Nothing is known: lists are atomic, maps merge.
    Untyped,
}

impl<'a> Shape<'a> {
    /// The root of an object of `ty`.
    pub(crate) fn of(ty: &'a ResourceType) -> Self {
        match &ty.origin {
            Origin::Builtin(_) => Self::Builtin { parent: "", name: "" },
            Origin::Custom(custom) => custom.schema(&ty.version).map_or(Self::Untyped, Self::Schema),
        }
    }

    /// A field of it.
    pub(crate) fn field(self, field: &'a str) -> Self {
        match self {
            Self::Builtin { name, .. } => Self::Builtin { parent: name, name: field },
            // The metadata of custom objects is that of every object.
            Self::Schema(_) if field == "metadata" => Self::Builtin { parent: "", name: "metadata" },
            Self::Schema(schema) => schema["properties"]
                .get(field)
                .or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
                .map_or(Self::Untyped, Self::Schema),
            Self::Untyped => Self::Untyped,
        }
    }

    /// The items of it.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::Schema(schema) => schema.get("items").map_or(Self::Untyped, Self::Schema),
            other => other,
        }
    }

    /// How it merges, if it is a list.
    pub(crate) fn list(self) -> ListKind {
        match self {
            Self::Builtin { parent, name } => builtin_list(parent, name),
            Self::Schema(schema) => match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListKind::Set,
                Some("map") => {
                    let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
                    ListKind::Map(keys.filter_map(Value::as_str).map(str::to_owned).collect())
                }
                _ => ListKind::Atomic,
            },
            Self::Untyped => ListKind::Atomic,
        }
    }

    /// Whether it is replaced as one value, if it is a map.
    pub(crate) fn is_atomic_map(self) -> bool {
        match self {
            Self::Builtin { name, .. } => matches!(
                name,
                "selector"
                    | "nodeSelector"
                    | "labelSelector"
                    | "namespaceSelector"
                    | "podSelector"
                    | "objectSelector"
                    | "fieldRef"
                    | "resourceFieldRef"
                    | "secretKeyRef"
                    | "configMapKeyRef"
                    | "involvedObject"
                    | "targetRef"
                    | "claimRef"
                    | "roleRef"
                    | "scopeSelector"
                    | "requiredDuringSchedulingIgnoredDuringExecution"
            ),
            Self::Schema(schema) => schema["x-kubernetes-map-type"] == "atomic",
            Self::Untyped => false,
        }
    }

    /// The default of a key field that an item leaves out: ports are TCP.
    pub(crate) fn key_default(self, key: &str) -> Option<Value> {
        match self {
            Self::Builtin { .. } if key == "protocol" => Some("TCP".into()),
            Self::Schema(schema) => schema["properties"][key].get("default").cloned(),
            _ => None,
        }
    }
}

fn builtin_list(parent: &str, name: &str) -> ListKind {
    let keys: &[&str] = match name {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "schedulingGates"
        | "resourceClaims"
        | "imagePullSecrets"
        | "secrets"
        | "claims"
        | "variables"
        | "matchConditions" => &["name"],
        "ports" if matches!(parent, "containers" | "initContainers" | "ephemeralContainers") => {
            &["containerPort", "protocol"]
        }
        "ports" if parent == "spec" => &["port", "protocol"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" | "podIPs" | "hostIPs" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "conditions" if parent == "status" => &["type"],
        "addresses" if parent == "status" => &["type"],
        "ownerReferences" => &["uid"],
        "finalizers" if parent == "metadata" => return ListKind::Set,
        _ => return ListKind::Atomic,
    };
    ListKind::Map(keys.iter().map(|key| (*key).to_owned()).collect())
}

/// The values of an item's key fields, or `None` if one is missing and has no default.
pub(crate) fn item_key(shape: Shape<'_>, keys: &[String], item: &Value) -> Option<Vec<(String, Value)>> {
    keys.iter()
        .map(|key| {
            let value = item.get(key).filter(|value| !value.is_null()).cloned();
            value.or_else(|| shape.key_default(key)).map(|value| (key.clone(), value))
        })
        .collect()
}
