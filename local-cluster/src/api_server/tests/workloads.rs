//! What the server keeps of workloads besides their specification: generations of templates, selectors of its own, scales.

use serde_json::{Value, json};

use super::*;

const APPS: &str = "/apis/apps/v1/namespaces/a";

fn workload(extra: &Value) -> Value {
    let mut workload = json!({"metadata": {"name": "w"}, "spec": {
        "selector": {"matchLabels": {"app": "w"}},
        "template": {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
    }});
    json_patch::merge(&mut workload, extra);
    workload
}

#[tokio::test]
async fn a_daemon_set_counts_its_templates_whatever_it_is_told() {
    const COUNT: &str = "/metadata/annotations/deprecated.daemonset.template.generation";
    let server = server().await;
    let (code, created) = post(&server, &format!("{APPS}/daemonsets"), &workload(&json!({}))).await;
    assert_eq!((code, created.pointer(COUNT)), (201, Some(&json!("1"))), "{created}");
    assert_eq!(created["status"]["desiredNumberScheduled"], 0);
    let path = format!("{APPS}/daemonsets/w");
    for (change, count, generation) in [
        (json!({"spec": {"template": {"metadata": {"annotations": {"restart": "1"}}}}}), "2", 2),
        (json!({"spec": {"minReadySeconds": 5}}), "2", 3),
        (json!({"metadata": {"annotations": {"deprecated.daemonset.template.generation": "9"}}}), "2", 3),
        (json!({"metadata": {"annotations": null}}), "2", 3),
    ] {
        let (code, changed) = patch(&server, &path, "merge-patch+json", &change).await;
        assert_eq!((code, changed.pointer(COUNT)), (200, Some(&json!(count))), "{change}");
        assert_eq!(changed["metadata"]["generation"], generation, "{change}");
    }
}

#[tokio::test]
async fn a_job_selects_its_own_pods_and_carries_their_labels() {
    let server = server().await;
    let template = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}});
    let job = json!({"metadata": {"name": "j"}, "spec": {"template": template}});
    let jobs = "/apis/batch/v1/namespaces/a/jobs";
    let (code, created) = post(&server, jobs, &job).await;
    assert_eq!(code, 201, "{created}");
    let uid = &created["metadata"]["uid"];
    let labels = json!({"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": "j", "controller-uid": uid, "job-name": "j"});
    assert_eq!(created["spec"]["template"]["metadata"]["labels"], labels);
    assert_eq!(created["metadata"]["labels"], labels);
    assert_eq!(created["spec"]["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}));
    // It is made once: who replaces the Job has to send it.
    let (code, refused) = put(&server, &format!("{jobs}/j"), &job).await;
    assert_eq!((code, &refused["reason"]), (422, &json!("Invalid")), "{refused}");
    let (code, same) = put(&server, &format!("{jobs}/j"), &created).await;
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &created["metadata"]["resourceVersion"]));
}

#[tokio::test]
async fn a_scale_is_for_the_object_that_it_names_and_is_booked_as_one() {
    let server = server().await;
    let (code, created) = post(&server, &format!("{APPS}/statefulsets"), &workload(&json!({}))).await;
    assert_eq!(code, 201, "{created}");
    let path = format!("{APPS}/statefulsets/w/scale");
    let scale = |uid: &Value| json!({"metadata": {"name": "w", "namespace": "a", "uid": uid}, "spec": {"replicas": 3}});
    let (code, refused) = put(&server, &path, &scale(&json!("another"))).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .starts_with("Operation cannot be fulfilled on statefulsets/scale.apps \"w\": Precondition failed: UID"),
        "{refused}"
    );
    let (code, scaled) = put(&server, &path, &scale(&created["metadata"]["uid"])).await;
    assert_eq!((code, &scaled["spec"]["replicas"]), (200, &json!(3)), "{scaled}");
    let (_, set) = get(&server, &format!("{APPS}/statefulsets/w")).await;
    let books = set["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let booked: Vec<_> = books.iter().filter(|entry| entry["subresource"] == "scale").collect();
    assert_eq!(booked.len(), 1, "{books:?}");
    assert_eq!(booked[0]["fieldsV1"]["f:spec"], json!({"f:replicas": {}}));
}
