//! The refusals that users meet, by field and reason.

use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::registry::Registry;
use super::super::{decode, defaults, write};
use super::{check_new, check_update};

/// Which fields of a new object are refused, after decoding and defaulting as the server does.
fn refused(group: &str, plural: &str, object: Value) -> Vec<String> {
    let ty = Registry::new([]).builtin(group, plural).unwrap();
    let mut object = decode::decode_object(&ty, object, write::FieldValidation::Strict).unwrap().value;
    defaults::apply(&ty, &mut object);
    fields(&ApiError::invalid(group, &ty.kind, "", &check_new(&ty, &object)))
}

fn refused_change(group: &str, plural: &str, old: &Value, new: &Value) -> Vec<String> {
    let ty = Registry::new([]).builtin(group, plural).unwrap();
    let read = |object: &Value| {
        let mut object = decode::decode_object(&ty, object.clone(), write::FieldValidation::Strict).unwrap().value;
        defaults::apply(&ty, &mut object);
        object
    };
    fields(&ApiError::invalid(group, &ty.kind, "", &check_update(&ty, &read(old), &read(new))))
}

fn fields(error: &ApiError) -> Vec<String> {
    let causes = error.status()["details"]["causes"].as_array().cloned().unwrap_or_default();
    causes.iter().map(|cause| cause["field"].as_str().unwrap_or_default().to_owned()).collect()
}

fn workload(selector: Value, labels: Value) -> Value {
    json!({"metadata": {"name": "w"}, "spec": {"selector": selector,
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[test]
fn a_sound_object_is_not_refused() {
    let selector = json!({"matchLabels": {"app": "x"}});
    assert_eq!(refused("apps", "deployments", workload(selector, json!({"app": "x"}))), [""; 0]);
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(refused("", "pods", pod), [""; 0]);
}

#[test]
fn a_selector_must_be_there_and_match_the_template() {
    let labels = json!({"app": "x"});
    assert_eq!(
        refused("apps", "deployments", workload(json!({"matchLabels": {"app": "y"}}), labels.clone())),
        ["spec.template.metadata.labels"]
    );
    assert_eq!(refused("apps", "statefulsets", workload(json!({}), labels)), ["spec.selector"]);
}

#[test]
fn pods_need_names_images_and_real_policies() {
    let pod = json!({"metadata": {"name": "p"}, "spec": {"restartPolicy": "Sometimes", "containers": [
        {"name": "C", "image": "i", "ports": [{"containerPort": 70000}]},
        {"name": "d", "image": "", "volumeMounts": [{"name": "none", "mountPath": "/x"}], "readinessProbe": {}},
    ]}});
    assert_eq!(
        refused("", "pods", pod),
        [
            "spec.containers[0].name",
            "spec.containers[0].ports[0].containerPort",
            "spec.containers[1].image",
            "spec.containers[1].volumeMounts[0].name",
            "spec.containers[1].readinessProbe",
            "spec.restartPolicy",
        ]
    );
}

#[test]
fn a_running_pod_may_change_its_image_and_little_else() {
    let pod = |image: &str, node: &str| json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": image}], "restartPolicy": "Always"}});
    assert_eq!(refused_change("", "pods", &pod("i:1", "a"), &pod("i:2", "a")), [""; 0]);
    assert_eq!(refused_change("", "pods", &pod("i:1", "a"), &pod("i:1", "b")), ["spec"]);
}

#[test]
fn budgets_bindings_and_names_follow_their_rules() {
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "maxUnavailable": "150%"}});
    assert_eq!(refused("policy", "poddisruptionbudgets", budget), ["spec", "spec.maxUnavailable"]);
    let binding = json!({"metadata": {"name": "system:a"}, "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s"}]});
    assert_eq!(refused("rbac.authorization.k8s.io", "rolebindings", binding), ["subjects[0].namespace"]);
    let map = json!({"metadata": {"name": "Upper", "labels": {"a b": "c"}, "finalizers": ["plain"]}, "data": {"bad key": ""}});
    assert_eq!(
        refused("", "configmaps", map),
        ["metadata.name", "metadata.finalizers", "metadata.labels", "data[bad key]"]
    );
    let service = json!({"metadata": {"name": "1s"}, "spec": {"ports": [{"port": 0}, {"port": 1, "name": "b"}]}});
    assert_eq!(refused("", "services", service), ["metadata.name", "spec.ports[0].name", "spec.ports[0].port"]);
}

#[test]
fn immutable_fields_stay() {
    let selector = |app: &str| json!({"matchLabels": {"app": app}});
    let old = workload(selector("x"), json!({"app": "x"}));
    let new = workload(selector("y"), json!({"app": "y"}));
    assert_eq!(refused_change("apps", "deployments", &old, &new), ["spec.selector"]);
    assert_eq!(refused_change("apps", "statefulsets", &old, &new), ["spec"]);
}

fn job(spec: &Value) -> Value {
    let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"metadata": {"labels": {"app": "j"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        job["spec"][field.as_str()] = value.clone();
    }
    job
}

#[test]
fn jobs_get_their_selector_from_the_server_or_say_that_they_have_one() {
    let own = json!({"matchLabels": {"app": "j"}});
    assert_eq!(refused("batch", "jobs", job(&json!({}))), [""; 0]);
    assert_eq!(refused("batch", "jobs", job(&json!({"selector": own}))), ["spec.selector"]);
    assert_eq!(refused("batch", "jobs", job(&json!({"selector": own, "manualSelector": true}))), [""; 0]);
    let other = json!({"selector": {"matchLabels": {"app": "k"}}, "manualSelector": true});
    assert_eq!(refused("batch", "jobs", job(&other)), ["spec.template.metadata.labels"]);
    assert_eq!(
        refused("batch", "jobs", job(&json!({"manualSelector": true}))),
        ["spec.selector", "spec.template.metadata.labels"]
    );
}

#[test]
fn jobs_end_and_count_nothing_negative() {
    let mut endless = job(&json!({"parallelism": -1, "backoffLimit": -1}));
    endless["spec"]["template"]["spec"]["restartPolicy"] = "Always".into();
    let fields = ["spec.parallelism", "spec.backoffLimit", "spec.template.spec.restartPolicy"];
    assert_eq!(refused("batch", "jobs", endless), fields);
    let indexed = job(&json!({"completionMode": "Indexed", "parallelism": 1}));
    assert_eq!(refused("batch", "jobs", indexed), ["spec.completions"]);
}

#[test]
fn most_of_a_job_stays() {
    let old = job(&json!({"selector": {"matchLabels": {"app": "j"}}, "manualSelector": true, "completions": 1}));
    let with = |path: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(path).unwrap() = value;
        refused_change("batch", "jobs", &old, &new)
    };
    assert_eq!(with("/spec/completions", json!(2)), ["spec.completions"]);
    assert_eq!(with("/spec/template/spec/containers/0/image", json!("k")), ["spec.template"]);
    assert_eq!(with("/spec/manualSelector", json!(true)), [""; 0]);
    let indexed = |count: u32| job(&json!({"completionMode": "Indexed", "completions": count, "parallelism": count}));
    assert_eq!(refused_change("batch", "jobs", &indexed(1), &indexed(2)), [""; 0]);
}

#[test]
fn cron_jobs_have_a_schedule_a_zone_and_a_template_without_a_selector() {
    let cron_job = |name: &str, spec: Value| {
        let mut object = json!({"metadata": {"name": name}, "spec": {"schedule": "@daily", "jobTemplate": {"spec": job(&json!({}))["spec"]}}});
        for (field, value) in spec.as_object().into_iter().flatten() {
            object["spec"][field.as_str()] = value.clone();
        }
        refused("batch", "cronjobs", object)
    };
    let name = "n".repeat(52);
    assert_eq!(cron_job(&name, json!({"timeZone": "Europe/Berlin"})), [""; 0]);
    assert_eq!(cron_job(&format!("{name}n"), json!({})), ["metadata.name"]);
    assert_eq!(cron_job("c", json!({"schedule": "* * *"})), ["spec.schedule"]);
    assert_eq!(cron_job("c", json!({"schedule": ""})), ["spec.schedule"]);
    assert_eq!(cron_job("c", json!({"schedule": "TZ=UTC 0 5 * * *"})), ["spec.schedule"]);
    assert_eq!(cron_job("c", json!({"timeZone": "Nowhere/Land"})), ["spec.timeZone"]);
    assert_eq!(cron_job("c", json!({"concurrencyPolicy": "Perhaps"})), ["spec.concurrencyPolicy"]);
    let chosen = job(&json!({"selector": {"matchLabels": {"app": "j"}}}))["spec"].clone();
    assert_eq!(cron_job("c", json!({"jobTemplate": {"spec": chosen}})), ["spec.jobTemplate.spec.selector"]);
}

#[test]
fn daemon_sets_and_stateful_sets_replace_pods_in_ways_that_exist() {
    let labels = json!({"app": "x"});
    let with = |plural: &str, field: &str, value: Value| {
        let mut object = workload(json!({"matchLabels": {"app": "x"}}), labels.clone());
        object["spec"][field] = value;
        refused("apps", plural, object)
    };
    let strategy = "updateStrategy";
    let rolling =
        |unavailable: u32, surge: u32| json!({"rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}});
    assert_eq!(with("daemonsets", strategy, json!({"type": "OnDelete"})), [""; 0]);
    assert_eq!(with("daemonsets", strategy, json!({"type": "Recreate"})), ["spec.updateStrategy"]);
    assert_eq!(with("daemonsets", strategy, rolling(0, 1)), [""; 0]);
    assert_eq!(with("daemonsets", strategy, rolling(1, 1)), ["spec.updateStrategy.rollingUpdate.maxSurge"]);
    assert_eq!(with("daemonsets", strategy, rolling(0, 0)), ["spec.updateStrategy.rollingUpdate.maxUnavailable"]);
    assert_eq!(with("statefulsets", strategy, json!({"type": "Recreate"})), ["spec.updateStrategy"]);
    let partition = |kind: &str, partition: i32| json!({"type": kind, "rollingUpdate": {"partition": partition}});
    assert_eq!(with("statefulsets", strategy, partition("RollingUpdate", 1)), [""; 0]);
    assert_eq!(
        with("statefulsets", strategy, partition("RollingUpdate", -1)),
        ["spec.updateStrategy.rollingUpdate.partition"]
    );
    assert_eq!(with("statefulsets", strategy, partition("OnDelete", 1)), ["spec.updateStrategy.rollingUpdate"]);
    assert_eq!(with("statefulsets", "podManagementPolicy", json!("Sideways")), ["spec.podManagementPolicy"]);
    assert_eq!(refused("apps", "daemonsets", workload(json!({}), labels)), ["spec.template.metadata.labels"]);
}

#[test]
fn claims_and_volumes_say_how_much_and_where_and_keep_to_it() {
    let claims = |spec: Value| refused("", "persistentvolumeclaims", json!({"metadata": {"name": "c"}, "spec": spec}));
    assert_eq!(claims(json!({})), ["spec.accessModes", "spec.resources[storage]"]);
    let claim = |mode: &str, size: &str, volume: &str| {
        json!({"metadata": {"name": "c"}, "status": {"phase": "Bound"}, "spec": {"accessModes": [mode],
            "resources": {"requests": {"storage": size}}, "volumeName": volume}})
    };
    let changed = |old: &Value, new: &Value| refused_change("", "persistentvolumeclaims", old, new);
    let bound = claim("ReadWriteOnce", "1Gi", "v");
    assert_eq!(changed(&bound, &claim("ReadWriteOnce", "2Gi", "v")), [""; 0]);
    assert_eq!(changed(&bound, &claim("ReadOnlyMany", "1Gi", "v")), ["spec"]);
    assert_eq!(changed(&bound, &claim("ReadWriteOnce", "1Gi", "w")), ["spec"]);
    let unbound = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(changed(&unbound, &bound), [""; 0], "it gets its volume");
    let volumes = |spec: Value| refused("", "persistentvolumes", json!({"metadata": {"name": "v"}, "spec": spec}));
    assert_eq!(volumes(json!({})), ["spec.accessModes", "spec.capacity", "spec.capacity", "spec"]);
    let volume = |path: &str, policy: &str| {
        json!({"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
            "hostPath": {"path": path}, "persistentVolumeReclaimPolicy": policy}})
    };
    let changed = |old: &Value, new: &Value| refused_change("", "persistentvolumes", old, new);
    assert_eq!(changed(&volume("/a", "Retain"), &volume("/a", "Delete")), [""; 0]);
    assert_eq!(changed(&volume("/a", "Retain"), &volume("/b", "Retain")), ["spec.persistentvolumesource"]);
    let class = |provisioner: &str, a: &str| json!({"metadata": {"name": "s"}, "provisioner": provisioner, "parameters": {"a": a}});
    let changed = |new: &Value| refused_change("storage.k8s.io", "storageclasses", &class("p", "1"), new);
    assert_eq!(changed(&class("q", "2")), ["parameters", "provisioner"]);
    assert_eq!(changed(&class("p", "1")), [""; 0]);
}
