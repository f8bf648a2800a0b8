//! The second lock: what the API server refuses to the operator's identity, whatever the operator asks for. Every request is a
//! dry run: the same is refused, and nothing dies.

use chaos_core::api::labels;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};

use crate::cluster::{Cluster, LABEL};
use crate::workload::{Workload, unique};

/// What `chaos install --delete-mode` grants.
const DELETE_MODE: &str = include_str!("../../deploy/overlays/delete-mode/rbac.yaml");
const OPTED_IN: (&str, &str) = ("chaos.dispatch.dev/enabled", "true");
const EXCLUDED: (&str, &str) = ("chaos.dispatch.dev/exclude", "true");

/// What the operator asks for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// Delete the pod, with its UID or without.
    Delete { uid: bool },
    /// Evict it.
    Evict { uid: bool },
    /// Delete all pods of the namespace.
    DeleteAll,
}

/// A case: what is asked, labels of the pod, labels of its namespace, and the words of the refusal (`None`: accepted).
type Case =
    (Ask, &'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)], Option<&'static str>);

const CASES: &[Case] = &[
    (Ask::Delete { uid: true }, &[OPTED_IN], &[OPTED_IN], None),
    (Ask::Delete { uid: false }, &[OPTED_IN], &[OPTED_IN], Some("the delete names no UID")),
    (Ask::Delete { uid: true }, &[], &[OPTED_IN], Some("the pod is not opted in to chaos")),
    (Ask::Delete { uid: true }, &[(OPTED_IN.0, "yes")], &[OPTED_IN], Some("the pod is not opted in to chaos")),
    (Ask::Delete { uid: true }, &[OPTED_IN, EXCLUDED], &[OPTED_IN], Some("the pod is excluded from chaos")),
    (Ask::Delete { uid: true }, &[OPTED_IN], &[], Some("the namespace is not opted in to chaos")),
    (Ask::Delete { uid: true }, &[OPTED_IN], &[OPTED_IN, EXCLUDED], Some("the namespace is excluded from chaos")),
    (Ask::DeleteAll, &[OPTED_IN], &[OPTED_IN], Some("denied request")),
    (Ask::Evict { uid: true }, &[OPTED_IN], &[OPTED_IN], None),
    (Ask::Evict { uid: false }, &[OPTED_IN], &[OPTED_IN], Some("the eviction names no UID")),
    (Ask::Evict { uid: true }, &[OPTED_IN], &[], Some("the namespace is not opted in to chaos")),
    (Ask::Evict { uid: true }, &[OPTED_IN], &[OPTED_IN, EXCLUDED], Some("the namespace is excluded from chaos")),
    // What the lock does not cover: admission sees an Eviction, never the pod.
    (Ask::Evict { uid: true }, &[], &[OPTED_IN], None),
    (Ask::Evict { uid: true }, &[OPTED_IN, EXCLUDED], &[OPTED_IN], None),
];

const NOT_OURS: Option<&str> = Some("the Lease is not one of the operator's");
const NOT_HERE: Option<&str> = Some("no Lease of this namespace is the operator's");

/// A Lease that the operator would write: its namespace, its name, and the words of the refusal (`None`: accepted).
const LEASES: &[(&str, &str, Option<&str>)] = &[
    ("default", "chaos-0123456789abcdef", None),
    ("default", "run-01234567-89ab-cdef-0123-456789abcdef", None),
    ("chaos-system", "chaos-operator", None),
    ("default", "chaos-operator", NOT_OURS),
    ("default", "chaos-0123456789abcdef0", NOT_OURS),
    ("default", "run-of-somebody-else", NOT_OURS),
    ("chaos-system", "somebody-else", NOT_OURS),
    ("kube-system", SCHEDULER, NOT_HERE),
    ("kube-system", "chaos-0123456789abcdef", NOT_HERE),
    ("kube-node-lease", "chaos-0123456789abcdef", NOT_HERE),
];
/// The Lease that every Kubernetes has, and that stops its scheduler for whoever holds it.
const SCHEDULER: &str = "kube-scheduler";

/// Rights of the operator's account beyond what is installed. They go with this, whatever became of the test.
struct Granted<'a> {
    cluster: &'a Cluster,
    rights: String,
}

impl<'a> Granted<'a> {
    fn apply(cluster: &'a Cluster, rights: String) -> Self {
        let granted = Self { cluster, rights };
        cluster.apply(&granted.rights);
        granted
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        let taken = self.cluster.try_delete(&self.rights);
        // A test that failed must not hide why.
        assert!(taken.is_ok() || std::thread::panicking(), "{taken:?}");
    }
}

/// What lets the operator's account do that to pods, so that only the policies refuse it. Each test has one of its own, as
/// others may be under way.
fn right(verb: &str) -> String {
    let name = unique();
    let metadata = json!({"name": name, "labels": {LABEL.0: LABEL.1}});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata,
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "chaos-operator", "namespace": "chaos-system"}],
    });
    format!("{role}\n---\n{binding}\n")
}

/// A client that is the operator to the API server.
fn operator(cluster: &Cluster) -> Client {
    acting_as(cluster, chaos_operator::manifests::user())
}

/// A client that is this user to the API server.
fn acting_as(cluster: &Cluster, user: String) -> Client {
    cluster.block(async {
        let read = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        config.auth_info.impersonate = Some(user);
        config.default_retry = false;
        Client::try_from(config).unwrap()
    })
}

/// Sets the labels of ours on a namespace, and no other.
async fn label(client: &Client, namespace: &str, labels: &[(&str, &str)]) {
    let value = |name: &str| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value);
    let patch = json!({"metadata": {"labels": {OPTED_IN.0: value(OPTED_IN.0), EXCLUDED.0: value(EXCLUDED.0)}}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.patch(namespace, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// A pod that never runs: it names a node that there is not.
async fn pod(admin: &Client, namespace: &str, labels: &[(&str, &str)]) -> Pod {
    let labels: std::collections::BTreeMap<_, _> = labels.iter().copied().collect();
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "p-", "labels": labels},
        "spec": {
            "nodeName": "no-such-node",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "image": "chaos.dispatch.dev/none:1", "securityContext": restricted}],
        },
    });
    let pods: Api<Pod> = Api::namespaced(admin.clone(), namespace);
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap()
}

async fn ask(client: &Client, ask: Ask, pod: &Pod) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap());
    let preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
    let with = |uid: bool| DeleteParams {
        preconditions: preconditions.clone().filter(|_| uid),
        dry_run: true,
        ..DeleteParams::default()
    };
    match ask {
        Ask::Delete { uid } => pods.delete(&pod.name_any(), &with(uid)).await.map(drop),
        Ask::DeleteAll => pods.delete_collection(&with(false), &ListParams::default()).await.map(drop),
        Ask::Evict { uid } => {
            // `Api::evict` leaves the options of the delete out.
            let options = uid.then(|| json!({"preconditions": {"uid": pod.uid()}}));
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod.name_any()},
                "deleteOptions": options});
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            let created = pods.create_subresource("eviction", &pod.name_any(), &dry_run, &eviction).await;
            created.map(|_: Value| ())
        }
    }
}

/// Takes a Lease over, or creates one where there is none.
async fn take(client: &Client, namespace: &str, name: &str) -> Result<(), kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    if leases.get_opt(name).await?.is_some() {
        let patch = Patch::Merge(json!({"spec": {"holderIdentity": "a-thief"}}));
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        return leases.patch(name, &dry_run, &patch).await.map(drop);
    }
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    leases.create(&dry_run, &lease(name)).await.map(drop)
}

fn lease(name: &str) -> Lease {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Lease { metadata, ..Lease::default() }
}

/// Whether that is the answer that is due.
fn is_due(answer: Result<(), kube::Error>, refusal: Option<&str>) -> Result<(), String> {
    match (answer, refusal) {
        (Ok(()), None) => Ok(()),
        (Err(kube::Error::Api(status)), Some(words)) if status.code == 422 && status.message.contains(words) => Ok(()),
        (answer, _) => Err(format!("{answer:?}")),
    }
}

#[test]
fn the_operator_takes_no_lease_but_its_own() {
    let cluster = Cluster::installed();
    let client = operator(&cluster);
    if cluster.is_embedded() {
        let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), "kube-system");
        cluster.block(leases.create(&PostParams::default(), &lease(SCHEDULER))).unwrap();
    }
    for (namespace, name, refusal) in LEASES {
        cluster.eventually(&format!("Lease {namespace}/{name}: {refusal:?}"), || async {
            is_due(take(&client, namespace, name).await, *refusal)
        });
        let answer = cluster.block(take(&cluster.client, namespace, name));
        assert!(answer.is_ok(), "the policy is about the operator alone: {answer:?}");
    }
}

#[test]
fn the_api_server_refuses_what_is_not_opted_in_or_names_no_uid() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let (namespace, client) = (workload.namespace.as_str(), operator(&cluster));
    let _granted = Granted::apply(&cluster, [DELETE_MODE, &right("deletecollection")].join("---\n"));
    for (request, on_pod, on_namespace, refusal) in CASES {
        let name = format!("{request:?}, pod {on_pod:?}, namespace {on_namespace:?}");
        let pod = cluster.block(async {
            label(&cluster.client, namespace, on_namespace).await;
            pod(&cluster.client, namespace, on_pod).await
        });
        // The API server takes a moment to notice permissions, policies and labels.
        cluster.eventually(&name, || async { is_due(ask(&client, *request, &pod).await, *refusal) });
        assert!(cluster.block(ask(&cluster.client, *request, &pod)).is_ok(), "the policy is about the operator alone");
    }
}

#[test]
fn the_namespace_of_the_operator_is_never_a_target() {
    let cluster = Cluster::installed();
    let client = operator(&cluster);
    let _granted = Granted::apply(&cluster, right("delete"));
    let pod = cluster.block(async {
        label(&cluster.client, "chaos-system", &[OPTED_IN]).await;
        pod(&cluster.client, "chaos-system", &[OPTED_IN]).await
    });
    for request in [Ask::Delete { uid: true }, Ask::Evict { uid: true }] {
        cluster.eventually(&format!("{request:?} is refused"), || async {
            match ask(&client, request, &pod).await {
                Err(kube::Error::Api(status)) if status.message.contains("the namespace is never a target") => Ok(()),
                answer => Err(format!("{answer:?}")),
            }
        });
    }
    cluster.block(async {
        label(&cluster.client, "chaos-system", &[]).await;
        // A collector of pods without a node may have been here first.
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), "chaos-system");
        let _ = pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
    });
}

/// A ConfigMap that says it is evidence of that role.
fn evidence(role: Option<&str>) -> ConfigMap {
    let labels = role.map(|role| [(labels::EVIDENCE.to_owned(), role.to_owned())].into());
    let metadata = ObjectMeta { generate_name: Some("evidence-".to_owned()), labels, ..ObjectMeta::default() };
    ConfigMap { metadata, ..ConfigMap::default() }
}

#[test]
fn evidence_is_written_by_operator_and_prober_alone() {
    const OPERATORS: Option<&str> = Some("only the operator writes its evidence");
    const PROBERS: Option<&str> = Some("only the prober writes its evidence");
    const NOBODYS: Option<&str> = Some("evidence is the operator's or the prober's");
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let operator = acting_as(&cluster, chaos_operator::manifests::user());
    let prober = acting_as(&cluster, chaos_operator::manifests::user_of("chaos-prober"));
    let cases = [
        (&cluster.client, "an administrator", Some("operator"), OPERATORS),
        (&cluster.client, "an administrator", Some("prober"), PROBERS),
        (&cluster.client, "an administrator", Some("mine"), NOBODYS),
        (&cluster.client, "an administrator", None, None),
        (&operator, "the operator", Some("operator"), None),
        (&operator, "the operator", Some("prober"), PROBERS),
        (&prober, "the prober", Some("prober"), None),
        (&prober, "the prober", Some("operator"), OPERATORS),
    ];
    let maps = |client: &Client| Api::<ConfigMap>::namespaced(client.clone(), &workload.namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    for (client, who, role, refusal) in cases {
        cluster.eventually(&format!("{who} writes evidence of {role:?}: {refusal:?}"), || async {
            is_due(maps(client).create(&dry_run, &evidence(role)).await.map(drop), refusal)
        });
    }

    // What is written stays what it is, and goes with its run.
    let written = cluster.block(maps(&operator).create(&PostParams::default(), &evidence(Some("operator")))).unwrap();
    let name = written.name_any();
    for change in [json!({"data": {"made": "up"}}), json!({"metadata": {"labels": {labels::EVIDENCE: null}}})] {
        let changed =
            cluster.block(maps(&cluster.client).patch(&name, &PatchParams::default(), &Patch::Merge(&change)));
        assert!(matches!(&changed, Err(kube::Error::Api(status)) if status.code == 422), "{change}: {changed:?}");
    }
    let deleted = cluster.block(maps(&cluster.client).delete(&name, &DeleteParams::default()));
    assert!(deleted.is_ok(), "{deleted:?}");
}
