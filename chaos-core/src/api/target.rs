//! `spec.target`: which pods are meant. All filters are ANDed; an empty target is refused by `validate`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::units::Duration;

/// Which pods may be hit. Filters are ANDed; at least one of `workloads`, `selector` is needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.workloads) && size(self.workloads) > 0) || has(self.selector)").message("an empty target would be every pod: give workloads or selector"))]
pub struct Target {
    /// Must equal the environment label of the cluster (or of the CLI's context), if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::LABEL_VALUE))]
    pub environment: Option<String>,
    /// The top controllers whose pods are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub workloads: Vec<WorkloadRef>,
    /// Labels of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selector_if_given")]
    pub selector: Option<LabelSelector>,
    /// Namespaces of the pods; absent: the manifest's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceFilter>,
    /// Names of the pods, by anchored regular expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_names: Option<NameFilter>,
    /// Kinds of the top controller (the Deployment, not its ReplicaSet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_kinds: Option<OwnerKindFilter>,
    /// Nodes the pods run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeFilter>,
    /// Zones the pods run in (`topology.kubernetes.io/zone` of the node).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 63), regex(pattern = rules::LABEL_VALUE)))]
    pub zones: Vec<String>,
    /// Younger pods are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_age: Option<Duration>,
}

/// A workload by kind and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadRef {
    /// Kind of the top controller, such as Deployment or StatefulSet.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::KIND))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = rules::SUBDOMAIN))]
    pub name: String,
}

/// Namespaces by name or by label; exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.names) && size(self.names) > 0) != has(self.selector)").message("give exactly one of names, selector"))]
#[x_kube(validation = rules::no_denied_namespace())]
pub struct NamespaceFilter {
    /// Names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 63), regex(pattern = rules::LABEL)))]
    pub names: Vec<String>,
    /// Labels of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::selector_if_given")]
    pub selector: Option<LabelSelector>,
}

/// Pod names by anchored regular expressions (the whole name must match).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.include) || has(self.exclude)").message("give include, exclude, or both"))]
pub struct NameFilter {
    /// Only matching pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub include: Option<String>,
    /// No matching pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub exclude: Option<String>,
}

/// Kinds of top controllers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(has(self.include) && size(self.include) > 0) || (has(self.exclude) && size(self.exclude) > 0)").message("give include, exclude, or both"))]
#[x_kube(validation = Rule::new("!has(self.include) || !has(self.exclude) || !self.exclude.exists(kind, kind in self.include)").message("a kind is included and excluded"))]
pub struct OwnerKindFilter {
    /// Only these kinds. Job pods are hit only when named here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63), regex(pattern = rules::KIND)))]
    pub include: Vec<String>,
    /// None of these kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 63), regex(pattern = rules::KIND)))]
    pub exclude: Vec<String>,
}

/// Nodes by label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeFilter {
    /// Labels of the node.
    #[schemars(schema_with = "rules::selector")]
    pub selector: LabelSelector,
}
