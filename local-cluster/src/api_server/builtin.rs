//! The one table of built-in kinds: what is served under which name and path. What a kind *does* is elsewhere.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, batch::v1 as batch, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, events::v1 as events, policy::v1 as policy, rbac::v1 as rbac,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope, Resource};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How requests for a kind are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Objects are stored; every verb works.
    Stored,
    /// `POST` asks a question and gets the answer; nothing is stored.
    Review,
}

/// One row of the table.
#[derive(Clone)]
pub(crate) struct Builtin {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short_names: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) subresources: &'static [&'static str],
    pub(crate) service: Service,
    /// Whether `metadata.generation` counts the changes of the specification.
    pub(crate) counts_generations: bool,
    /// Whether deleting answers with the object rather than with a Status.
    pub(crate) delete_returns_object: bool,
    /// Reads a value as the Go type would be read, and writes it back: what is unknown is gone, what is ill-typed fails.
    pub(crate) normalise: fn(&Value) -> Result<Value, serde_json::Error>,
    /// The OpenAPI schema.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} {}", self.group, self.version, self.kind)
    }
}

fn normalise<T: Serialize + DeserializeOwned>(value: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde::Deserialize::deserialize(value).map(|typed: T| typed)?)
}

fn row<T>(namespaced: bool) -> Builtin
where
    T: Resource + JsonSchema + Serialize + DeserializeOwned,
{
    Builtin {
        group: T::GROUP,
        version: T::VERSION,
        kind: T::KIND,
        plural: T::URL_PATH_SEGMENT,
        namespaced,
        short_names: &[],
        categories: &[],
        subresources: &[],
        service: Service::Stored,
        counts_generations: false,
        delete_returns_object: false,
        normalise: normalise::<T>,
        schema: |generator| generator.subschema_for::<T>(),
    }
}

fn in_namespace<T>() -> Builtin
where
    T: Resource<Scope = NamespaceResourceScope> + JsonSchema + Serialize + DeserializeOwned,
{
    row::<T>(true)
}

fn in_cluster<T>() -> Builtin
where
    T: Resource<Scope = ClusterResourceScope> + JsonSchema + Serialize + DeserializeOwned,
{
    row::<T>(false)
}

impl Builtin {
    fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    fn all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    fn sub(mut self, subresources: &'static [&'static str]) -> Self {
        self.subresources = subresources;
        self
    }

    fn generations(mut self) -> Self {
        self.counts_generations = true;
        self
    }

    fn returned(mut self) -> Self {
        self.delete_returns_object = true;
        self
    }

    fn review(mut self) -> Self {
        self.service = Service::Review;
        self
    }

    /// Whether the object has a part of its own for `subresource`.
    pub(crate) fn has(&self, subresource: &str) -> bool {
        self.subresources.contains(&subresource)
    }
}

/// Every built-in kind, in the order in which discovery lists groups.
pub(crate) fn table() -> Vec<Builtin> {
    [core_kinds(), workload_kinds(), policy_kinds(), access_kinds(), extension_kinds()].concat()
}

fn core_kinds() -> Vec<Builtin> {
    vec![
        in_namespace::<core::ConfigMap>().short(&["cm"]),
        in_namespace::<core::Endpoints>().short(&["ep"]),
        in_namespace::<core::Event>().short(&["ev"]),
        in_cluster::<core::Namespace>().short(&["ns"]).sub(&["status", "finalize"]).returned(),
        in_cluster::<core::Node>().short(&["no"]).sub(&["status"]),
        in_cluster::<core::PersistentVolume>().short(&["pv"]).sub(&["status"]).returned(),
        in_namespace::<core::PersistentVolumeClaim>().short(&["pvc"]).sub(&["status"]).returned(),
        in_namespace::<core::Pod>()
            .short(&["po"])
            .all()
            .sub(&[
                "status",
                "binding",
                "eviction",
                "log",
                "exec",
                "attach",
                "portforward",
                "ephemeralcontainers",
                "resize",
            ])
            .generations()
            .returned(),
        in_namespace::<core::ReplicationController>().short(&["rc"]).all().sub(&["status"]).generations(),
        in_namespace::<core::ResourceQuota>().short(&["quota"]).sub(&["status"]).returned(),
        in_namespace::<core::LimitRange>().short(&["limits"]),
        in_namespace::<core::Secret>(),
        in_namespace::<core::ServiceAccount>().short(&["sa"]).sub(&["token"]).returned(),
        in_namespace::<core::Service>().short(&["svc"]).all().sub(&["status"]).returned(),
    ]
}

fn workload_kinds() -> Vec<Builtin> {
    vec![
        in_namespace::<events::Event>().short(&["ev"]),
        in_namespace::<apps::ControllerRevision>(),
        in_namespace::<apps::DaemonSet>().short(&["ds"]).all().sub(&["status"]).generations(),
        in_namespace::<apps::Deployment>().short(&["deploy"]).all().sub(&["status", "scale"]).generations(),
        in_namespace::<apps::ReplicaSet>().short(&["rs"]).all().sub(&["status", "scale"]).generations(),
        in_namespace::<apps::StatefulSet>().short(&["sts"]).all().sub(&["status", "scale"]).generations(),
        in_namespace::<batch::CronJob>().short(&["cj"]).all().sub(&["status"]).generations(),
        in_namespace::<batch::Job>().all().sub(&["status"]).generations(),
    ]
}

fn policy_kinds() -> Vec<Builtin> {
    vec![
        in_namespace::<policy::PodDisruptionBudget>().short(&["pdb"]).sub(&["status"]).generations(),
        in_namespace::<discovery::EndpointSlice>().generations(),
        in_namespace::<coordination::Lease>(),
        in_cluster::<scheduling::PriorityClass>().short(&["pc"]),
        in_cluster::<storage::StorageClass>().short(&["sc"]),
        in_cluster::<admission::ValidatingAdmissionPolicy>().sub(&["status"]).generations(),
        in_cluster::<admission::ValidatingAdmissionPolicyBinding>().generations(),
    ]
}

fn access_kinds() -> Vec<Builtin> {
    vec![
        in_cluster::<authentication::SelfSubjectReview>().review(),
        in_cluster::<authentication::TokenReview>().review(),
        in_namespace::<authorization::LocalSubjectAccessReview>().review(),
        in_cluster::<authorization::SelfSubjectAccessReview>().review(),
        in_cluster::<authorization::SelfSubjectRulesReview>().review(),
        in_cluster::<authorization::SubjectAccessReview>().review(),
        in_cluster::<rbac::ClusterRoleBinding>(),
        in_cluster::<rbac::ClusterRole>(),
        in_namespace::<rbac::RoleBinding>(),
        in_namespace::<rbac::Role>(),
    ]
}

fn extension_kinds() -> Vec<Builtin> {
    vec![in_cluster::<apiextensions::CustomResourceDefinition>().short(&["crd", "crds"]).sub(&["status"]).generations()]
}
