//! Server-side apply: ownership, conflicts, force, and what goes when it is no longer applied.

use serde_json::json;

use super::*;

const PATH: &str = "/apis/apps/v1/namespaces/a/deployments/d";

fn config(replicas: Option<i64>, image: &str, env: &[&str]) -> Value {
    let env: Vec<Value> = env.iter().map(|name| json!({"name": name, "value": "1"})).collect();
    let mut config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image, "env": env}]}},
    }});
    if let Some(replicas) = replicas {
        config["spec"]["replicas"] = replicas.into();
    }
    config
}

async fn apply(server: &ApiServer, manager: &str, force: bool, config: &Value) -> (u16, Value) {
    let path = format!("{PATH}?fieldManager={manager}&force={force}");
    patch(server, &path, "apply-patch+yaml", config).await
}

#[tokio::test]
async fn apply_creates_owns_and_takes_back() {
    let server = server().await;
    let (code, created) = apply(&server, "one", false, &config(Some(2), "i:1", &["A", "B"])).await;
    assert_eq!(code, 201, "{created}");
    let entry = &created["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("one"), &json!("Apply")));
    assert!(
        entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:image"]
            .is_object()
    );
    assert!(entry["fieldsV1"]["f:spec"].get("f:strategy").is_none(), "defaults belong to nobody");
    let (code, same) = apply(&server, "one", false, &config(Some(2), "i:1", &["A", "B"])).await;
    assert_eq!((code, &same["metadata"]["resourceVersion"]), (200, &created["metadata"]["resourceVersion"]));
    let (_, dropped) = apply(&server, "one", false, &config(None, "i:1", &["B"])).await;
    let container = &dropped["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"], json!([{"name": "B", "value": "1"}]));
    assert_eq!(dropped["spec"]["replicas"], 1, "no longer owned, so the default again");
}

#[tokio::test]
async fn what_another_manager_owns_is_not_changed_without_force() {
    let server = server().await;
    apply(&server, "one", false, &config(Some(2), "i:1", &[])).await;
    let (code, status) = apply(&server, "two", false, &config(Some(3), "i:2", &[])).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let fields: Vec<&str> =
        status["details"]["causes"].as_array().unwrap().iter().filter_map(|c| c["field"].as_str()).collect();
    assert_eq!(fields, [".spec.replicas", ".spec.template.spec.containers[name=\"c\"].image"]);
    assert!(status["message"].as_str().unwrap().contains("conflicts with \"one\""), "{status}");
    let (code, forced) = apply(&server, "two", true, &config(Some(3), "i:2", &[])).await;
    assert_eq!((code, &forced["spec"]["replicas"]), (200, &json!(3)));
    let (code, _) = apply(&server, "one", false, &config(None, "i:2", &[])).await;
    assert_eq!(code, 200, "what is equal does not conflict");
    let scale = json!({"spec": {"replicas": 7}});
    patch(&server, &format!("{PATH}/scale"), "merge-patch+json", &scale).await;
    let (code, status) = apply(&server, "two", false, &config(Some(3), "i:2", &[])).await;
    assert_eq!((code, &status["details"]["causes"][0]["field"]), (409, &json!(".spec.replicas")), "{status}");
}

#[tokio::test]
async fn shared_list_items_stay_until_their_last_owner_leaves() {
    let server = server().await;
    apply(&server, "one", false, &config(None, "i:1", &["A"])).await;
    let sidecar = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}}});
    let (code, both) = apply(&server, "two", false, &sidecar).await;
    assert_eq!((code, both["spec"]["template"]["spec"]["containers"].as_array().unwrap().len()), (200, 2), "{both}");
    let (code, status) = patch(&server, PATH, "apply-patch+yaml", &sidecar).await;
    assert_eq!(code, 422, "apply needs a manager: {status}");
    let nothing = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
    let (_, rest) = apply(&server, "two", false, &nothing).await;
    let containers = rest["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1);
    assert_eq!(containers[0]["name"], "c");
}
