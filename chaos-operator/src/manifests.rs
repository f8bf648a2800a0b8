//! What `chaos install` puts on a cluster, besides the CRDs: namespace, permissions, stop switch, operator. The files under
//! `deploy/` are written from here, and a test holds them equal. Pure: whoever calls writes files or applies.

mod helm;
mod overlays;
mod prober;
mod process;

use chaos_core::api::{labels, switch};
use serde_json::{Value, json};

use crate::admission;
use crate::grants::{self, Role};
use process::Process;

pub use prober::NAME as PROBER;

/// The image of the operator.
pub const IMAGE: &str = "chaos.dispatch.dev/chaos:dev";
/// Name of the operator's Deployment, `ServiceAccount` and roles.
pub const NAME: &str = "chaos-operator";
/// Name of the role, and of its binding, that grants the right to delete pods.
pub const DELETE: &str = "chaos-operator-delete";

const PORT: u16 = 8080;
/// Name of the ConfigMap with the sources that the operator may ask for guards and checks. Like the prober's it is its owner's
/// to make, and part of no manifest: nothing that is applied again can overwrite it.
const CONFIG: &str = "chaos-operator-config";
/// Not part of the base: whoever applies the base again must not turn a stopped switch back on.
const SWITCH_FILE: &str = "switch/switch.yaml";
const RBAC_FILE: &str = "rbac.yaml";

/// The operator's name as a user of the API.
pub fn user() -> String {
    user_of(NAME)
}

/// The user that an account of ours is to the API server.
pub fn user_of(account: &str) -> String {
    format!("system:serviceaccount:{}:{account}", switch::NAMESPACE)
}

/// A file below `deploy/`: its name and its objects.
type File = (String, Vec<Value>);

/// The objects of an installation as YAML documents, by file name below `deploy/`, in the order in which
/// they have to be applied. The environment label is the cluster owner's to set.
pub fn all() -> Vec<(String, String)> {
    render(base(&Installation::default()))
}

/// The same for a cluster that is that environment.
pub fn for_environment(environment: &str) -> Vec<(String, String)> {
    render(base(&Installation { environment: Some(environment), ..Installation::default() }))
}

/// The same with rights in one namespace, and in the operator's own.
pub fn for_namespace(environment: &str, namespace: &str) -> Vec<(String, String)> {
    let (environment, namespace) = (Some(environment), Some(namespace));
    render(base(&Installation { environment, namespace, ..Installation::default() }))
}

/// The roles and bindings of one namespace, or those of the cluster, that an installation may have put there.
pub fn roles(namespace: Option<&str>) -> Vec<(String, String)> {
    let objects = accounts(namespace).into_iter().chain(delete_role(namespace));
    let is_there = |object: &Value| object["metadata"]["namespace"].as_str() == namespace;
    render(vec![("rbac.yaml".to_owned(), objects.filter(is_there).collect())])
}

/// The same for a cluster of several machines: what `overlays/real` makes of the base.
pub fn for_cluster(installation: &Installation<'_>) -> Vec<(String, String)> {
    let mut files = base(installation);
    files.push(("network-policy.yaml".to_owned(), vec![network_policy(), prober::network_policy()]));
    render(files)
}

/// What an installation is given besides, for the operator to kill by `mode: Delete`: what `overlays/delete-mode` holds.
pub fn delete_mode(namespace: Option<&str>) -> Vec<(String, String)> {
    render(vec![("delete-mode.yaml".to_owned(), delete_role(namespace))])
}

/// What an installation is made to measure by.
#[derive(Debug, Clone, Copy)]
pub struct Installation<'a> {
    /// The environment that the cluster is; absent: the cluster's owner labels the namespace.
    pub environment: Option<&'a str>,
    /// The image of the operator.
    pub image: &'a str,
    /// Operators, one of which works.
    pub replicas: u32,
    /// The only namespace that is worked on, with rights in no other but the operator's own; absent: all.
    pub namespace: Option<&'a str>,
}

impl Default for Installation<'_> {
    fn default() -> Self {
        Self { environment: None, image: IMAGE, replicas: 1, namespace: None }
    }
}

/// Operators on a cluster of several machines.
pub const REPLICAS: u32 = 2;

/// The Helm chart, as files below `deploy/`: name and content.
pub fn chart() -> Vec<(String, String)> {
    helm::files().into_iter().map(|(name, text)| (format!("helm/{name}"), text)).collect()
}

/// All generated files below `deploy/` but for the Helm chart, the overlays included: name and content. An overlay must not stand below what it
/// builds on (kustomize refuses such a cycle), so the base has a folder of its own.
pub fn files() -> Vec<(String, String)> {
    let in_base =
        |(name, text): (String, String)| (if name == SWITCH_FILE { name } else { format!("base/{name}") }, text);
    let crds = chaos_core::schema::crd_files();
    let base = base(&Installation::default()).into_iter().map(|(name, _)| name).filter(|name| name != SWITCH_FILE);
    let resources: Vec<_> = crds.iter().map(|(name, _)| name.clone()).chain(base).collect();
    let mut files: Vec<_> = all().into_iter().chain(crds).map(in_base).collect();
    files.extend(render(vec![
        ("kustomization.yaml".to_owned(), vec![kustomization(json!({"resources": ["base"]}))]),
        ("base/kustomization.yaml".to_owned(), vec![kustomization(json!({"resources": resources}))]),
        ("switch/kustomization.yaml".to_owned(), vec![kustomization(json!({"resources": ["switch.yaml"]}))]),
    ]));
    files.extend(render(overlays::files()));
    files
}

fn base(installation: &Installation<'_>) -> Vec<File> {
    let only = installation.namespace;
    vec![
        ("namespace.yaml".to_owned(), vec![namespace(installation.environment)]),
        (RBAC_FILE.to_owned(), accounts(only)),
        ("admission.yaml".to_owned(), admission::policies().into_iter().chain(prober::admission()).collect()),
        (SWITCH_FILE.to_owned(), vec![stop_switch()]),
        ("operator.yaml".to_owned(), vec![deployment(installation), disruption_budget()]),
        ("prober.yaml".to_owned(), vec![prober::deployment(installation.image, only)]),
    ]
}

fn render(files: Vec<File>) -> Vec<(String, String)> {
    let render = |(name, objects): File| {
        let documents: Vec<_> = objects.iter().map(yaml).collect();
        let text = format!("# Generated by chaos-operator/src/manifests.rs; do not edit.\n{}", documents.join("---\n"));
        (name, text)
    };
    files.into_iter().map(render).collect()
}

/// An object of ours always has a YAML form: all keys are strings.
fn yaml(object: &Value) -> String {
    serde_yaml::to_string(object).unwrap_or_default()
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": switch::NAMESPACE, "labels": {"app.kubernetes.io/name": NAME}})
}

fn namespace(environment: Option<&str>) -> Value {
    let mut namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": switch::NAMESPACE, "labels": {
            "app.kubernetes.io/name": NAME,
            "pod-security.kubernetes.io/enforce": "restricted",
        }},
    });
    if let Some(environment) = environment {
        namespace["metadata"]["labels"][labels::ENVIRONMENT] = json!(environment);
    }
    namespace
}

/// The accounts of operator and prober with their roles: of the whole cluster, or of one namespace.
fn accounts(namespace: Option<&str>) -> Vec<Value> {
    rbac(namespace).into_iter().chain(prober::rbac(namespace)).collect()
}

/// The roles, from the one table of what the operator uses: of the whole cluster, or of one namespace.
fn rbac(namespace: Option<&str>) -> Vec<Value> {
    let mut objects = vec![json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(NAME)})];
    objects.extend(granted("", Role::Cluster, namespace));
    // Nodes are in no namespace.
    if namespace.is_none() {
        objects.extend(granted("-nodes", Role::Nodes, None));
    }
    objects.extend(granted("-runs", Role::Runs, namespace));
    objects.extend(granted("-gamedays", Role::GameDays, namespace));
    objects.extend(granted("", Role::Own, Some(switch::NAMESPACE)));
    objects
}

/// Only for `killMode: Delete`: eviction, which honours disruption budgets, needs no right to delete.
fn delete_role(namespace: Option<&str>) -> Vec<Value> {
    bound(NAME, DELETE, namespace, &grants::rules(Role::Delete)).into()
}

fn granted(suffix: &str, role: Role, namespace: Option<&str>) -> [Value; 2] {
    bound(NAME, &format!("{NAME}{suffix}"), namespace, &grants::rules(role))
}

/// A role of this namespace, or of the cluster, and the binding that gives it to an account of ours.
fn bound(account: &str, name: &str, namespace: Option<&str>, rules: &[Value]) -> [Value; 2] {
    let labels = json!({"app.kubernetes.io/name": account});
    let (kind, meta) = match namespace {
        Some(namespace) => ("Role", json!({"name": name, "namespace": namespace, "labels": labels})),
        None => ("ClusterRole", json!({"name": name})),
    };
    let version = "rbac.authorization.k8s.io/v1";
    let role = json!({"apiVersion": version, "kind": kind, "metadata": meta, "rules": rules});
    let binding = json!({
        "apiVersion": version, "kind": format!("{kind}Binding"), "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": switch::NAMESPACE}],
    });
    [role, binding]
}

fn stop_switch() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(switch::NAME),
        "data": {switch::KEY: switch::RUNNING},
    })
}

/// Operators go to nodes and zones of their own where there are some, so that no failure of one takes the leader and its stand-in.
/// Where there are none, both run all the same.
fn apart(key: &str) -> Value {
    json!({
        "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
    })
}

/// What the allocator of the program is told, which is glibc's: to give back what a look at a large target took as soon as that
/// is over. By itself it keeps what was used once, for each thread apart: some 20 MiB at 10,000 pods.
const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "262144"), ("MALLOC_TRIM_THRESHOLD_", "1048576")];

fn deployment(installation: &Installation<'_>) -> Value {
    let process = Process {
        name: NAME,
        command: "operator",
        image: installation.image,
        namespace: installation.namespace,
        replicas: installation.replicas,
        environment: &[
            ("POD_IP", "status.podIP"),
            ("POD_NAME", "metadata.name"),
            ("POD_NAMESPACE", "metadata.namespace"),
        ],
        settings: &ALLOCATOR,
        resources: json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}),
        grace_seconds: 30,
        configuration: CONFIG,
    };
    let spread = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].map(apart);
    let mut deployment = process.deployment();
    deployment["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!(spread);
    deployment
}

fn disruption_budget() -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(NAME),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}}},
    })
}

fn kustomization(body: Value) -> Value {
    let mut kustomization = json!({"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"});
    if let (Some(all), Value::Object(body)) = (kustomization.as_object_mut(), body) {
        all.extend(body);
    }
    kustomization
}

/// Nothing but health and metrics may come in; the operator talks to the API server and to DNS. Whoever names a metrics source
/// for guards and checks adds a way to it.
fn network_policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata(NAME),
        "spec": {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": PORT}]}],
            "egress": [
                {"ports": [{"protocol": "TCP", "port": 443}, {"protocol": "TCP", "port": 6443}]},
                {"ports": [{"protocol": "TCP", "port": 53}, {"protocol": "UDP", "port": 53}]},
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_yaml_and_none_is_empty() {
        for (name, text) in files() {
            let documents: Vec<Value> = serde_yaml::from_multiple(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(!documents.is_empty() && documents.iter().all(|d| d["kind"].is_string()), "{name}");
        }
    }

    #[test]
    fn configurations_are_their_owners_and_pods_start_without_them() {
        let mut volumes = 0;
        for (name, text) in files().into_iter().chain(chart()) {
            assert!(!text.contains("kind: ConfigMap\n") || name.ends_with("switch.yaml"), "{name} would overwrite one");
            let count = |part: &str| text.matches(part).count();
            assert_eq!(count("configMap:\n"), count("optional: true\n"), "{name}");
            volumes += count("configMap:\n");
        }
        assert_eq!(volumes, 4, "of operator and prober, for kustomize and for Helm");
    }

    #[test]
    fn an_installation_for_one_namespace_has_no_right_elsewhere() {
        let mut places = std::collections::BTreeSet::new();
        for (_, text) in for_namespace("demo", "shop") {
            for object in serde_yaml::from_multiple::<Value>(&text).unwrap() {
                let kind = object["kind"].as_str().unwrap();
                assert!(!kind.starts_with("ClusterRole"), "{object}");
                if kind.ends_with("Binding") && kind.starts_with("Role") {
                    places.insert(object["metadata"]["namespace"].as_str().unwrap().to_owned());
                }
                if kind == "Deployment" {
                    let args = &object["spec"]["template"]["spec"]["containers"][0]["args"];
                    assert!(args.as_array().unwrap().contains(&json!("--watch-namespace=shop")), "{args}");
                }
            }
        }
        assert_eq!(places.into_iter().collect::<Vec<_>>(), ["chaos-system", "shop"]);
        assert!(all().iter().all(|(_, text)| !text.contains("--watch-namespace")));
        let of_cluster: Vec<Value> =
            roles(None).iter().flat_map(|(_, text)| serde_yaml::from_multiple::<Value>(text).unwrap()).collect();
        // Of operator, nodes, runs, game days, deletes and prober.
        assert_eq!(of_cluster.len(), 12);
        assert!(of_cluster.iter().all(|object| object["kind"].as_str().unwrap().starts_with("ClusterRole")));
    }

    #[test]
    fn the_environment_is_set_only_where_it_is_known() {
        assert!(all().iter().all(|(_, text)| !text.contains(labels::ENVIRONMENT)));
        assert!(for_environment("demo")[0].1.contains("chaos.dispatch.dev/environment: demo"));
    }
}
