//! The objects that a cluster has before anyone asks for them: namespaces, priority classes, default roles.

use serde_json::{Value, json};

use super::super::error::ApiResult;
use super::super::state::State;
use super::super::write::{FieldValidation, Transaction, WriteOptions, create};
use super::GROUP;

/// Creates them.
pub(crate) fn bootstrap(state: &State) -> ApiResult<()> {
    state.write(None, false, |transaction| {
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            add(transaction, "", "namespaces", json!({"metadata": {"name": name}}))?;
        }
        for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
            let class = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "PreemptLowerPriority"});
            add(transaction, "scheduling.k8s.io", "priorityclasses", class)?;
        }
        for role in cluster_roles() {
            add(transaction, GROUP, "clusterroles", role)?;
        }
        for (name, groups) in bindings() {
            let subjects: Vec<Value> =
                groups.iter().map(|group| json!({"kind": "Group", "apiGroup": GROUP, "name": group})).collect();
            let binding = json!({
                "metadata": metadata(name),
                "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
                "subjects": subjects,
            });
            add(transaction, GROUP, "clusterrolebindings", binding)?;
        }
        Ok(())
    })
}

fn add(transaction: &mut Transaction<'_>, group: &str, plural: &str, object: Value) -> ApiResult<()> {
    let options = WriteOptions {
        dry_run: false,
        field_validation: FieldValidation::Strict,
        field_manager: "kube-apiserver".to_owned(),
        force: false,
        is_apply: false,
    };
    let ty = transaction.registry.builtin(group, plural)?;
    create(transaction, &ty, "", object, &options).map(drop)
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    })
}

fn bindings() -> [(&'static str, &'static [&'static str]); 4] {
    [
        ("cluster-admin", &["system:masters"]),
        ("system:discovery", &["system:authenticated"]),
        ("system:basic-user", &["system:authenticated"]),
        ("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
    ]
}

const READ: [&str; 3] = ["get", "list", "watch"];
const CHANGE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

fn cluster_roles() -> Vec<Value> {
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let public = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let reviews = [
        json!({"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"]}),
        json!({"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]}),
    ];
    let everything = [CHANGE.as_slice(), &READ].concat();
    let mut admin = edit_rules();
    admin.push(json!({"apiGroups": [GROUP], "resources": ["rolebindings", "roles"], "verbs": everything}));
    admin.push(
        json!({"apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"], "verbs": ["create"]}),
    );
    vec![
        json!({"metadata": metadata("cluster-admin"), "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]}),
        json!({"metadata": metadata("system:discovery"), "rules": [{"nonResourceURLs": discovery, "verbs": ["get"]}]}),
        json!({"metadata": metadata("system:public-info-viewer"), "rules": [{"nonResourceURLs": public, "verbs": ["get"]}]}),
        json!({"metadata": metadata("system:basic-user"), "rules": reviews}),
        aggregating("admin", admin),
        aggregating("edit", edit_rules()),
        aggregating("view", view_rules()),
    ]
}

/// A role for people, to which the labels of other roles add.
fn aggregating(name: &str, rules: Vec<Value>) -> Value {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    json!({
        "metadata": metadata(name),
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]},
        "rules": rules,
    })
}

fn view_rules() -> Vec<Value> {
    vec![
        json!({"apiGroups": [""], "verbs": READ, "resources": [
            "configmaps", "endpoints", "events", "limitranges", "namespaces", "persistentvolumeclaims",
            "persistentvolumeclaims/status", "pods", "pods/log", "pods/status", "resourcequotas",
            "resourcequotas/status", "serviceaccounts", "services", "services/status",
        ]}),
        json!({"apiGroups": ["apps"], "verbs": READ, "resources": [
            "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale",
            "deployments/status", "replicasets", "replicasets/scale", "replicasets/status", "statefulsets",
            "statefulsets/scale", "statefulsets/status",
        ]}),
        json!({"apiGroups": ["batch"], "verbs": READ, "resources": ["cronjobs", "cronjobs/status", "jobs", "jobs/status"]}),
        json!({"apiGroups": ["policy"], "verbs": READ, "resources": ["poddisruptionbudgets", "poddisruptionbudgets/status"]}),
        json!({"apiGroups": ["discovery.k8s.io"], "verbs": READ, "resources": ["endpointslices"]}),
    ]
}

fn edit_rules() -> Vec<Value> {
    let everything = [CHANGE.as_slice(), &READ].concat();
    let mut rules = view_rules();
    rules.extend([
        json!({"apiGroups": [""], "verbs": CHANGE, "resources": [
            "configmaps", "events", "persistentvolumeclaims", "pods", "pods/attach", "pods/exec", "pods/portforward",
            "secrets", "serviceaccounts", "services",
        ]}),
        json!({"apiGroups": [""], "verbs": READ, "resources": ["pods/attach", "pods/exec", "pods/portforward", "secrets"]}),
        json!({"apiGroups": [""], "verbs": ["create"], "resources": ["pods/eviction", "serviceaccounts/token"]}),
        json!({"apiGroups": ["apps"], "verbs": CHANGE, "resources": [
            "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets",
            "replicasets/scale", "statefulsets", "statefulsets/scale",
        ]}),
        json!({"apiGroups": ["batch"], "verbs": CHANGE, "resources": ["cronjobs", "jobs"]}),
        json!({"apiGroups": ["policy"], "verbs": CHANGE, "resources": ["poddisruptionbudgets"]}),
        json!({"apiGroups": ["coordination.k8s.io"], "verbs": everything, "resources": ["leases"]}),
    ]);
    rules
}
