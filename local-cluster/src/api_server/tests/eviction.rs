//! Evictions: the budget decides, atomically, and says why not.

use serde_json::json;

use super::*;

const BUDGETS: &str = "/apis/policy/v1/namespaces/a/poddisruptionbudgets";

async fn budget(server: &ApiServer, name: &str, allowed: i64) {
    let spec =
        json!({"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    assert_eq!(post(server, BUDGETS, &spec).await.0, 201);
    let status = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2,
        "desiredHealthy": 1, "expectedPods": 2}});
    let (code, _) = patch(server, &format!("{BUDGETS}/{name}/status"), "merge-patch+json", &status).await;
    assert_eq!(code, 200);
}

async fn evict(server: &ApiServer, pod: &str, options: Value) -> (u16, Value) {
    let eviction = json!({"metadata": {"name": pod, "namespace": "a"}, "deleteOptions": options});
    post(server, &format!("{PODS}/{pod}/eviction"), &eviction).await
}

#[tokio::test]
async fn the_last_allowed_disruption_is_given_once() {
    let server = server().await;
    running_pod(&server, "one").await;
    running_pod(&server, "two").await;
    budget(&server, "pdb", 1).await;
    let (code, status) = evict(&server, "one", json!({"gracePeriodSeconds": 5})).await;
    assert_eq!((code, &status["status"]), (201, &json!("Success")), "{status}");
    let (_, pod) = get(&server, &format!("{PODS}/one")).await;
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 5);
    let condition =
        pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(condition["reason"], "EvictionByEvictionAPI");
    let (_, pdb) = get(&server, &format!("{BUDGETS}/pdb")).await;
    assert_eq!(pdb["status"]["disruptionsAllowed"], 0);
    assert!(pdb["status"]["disruptedPods"]["one"].is_string());
    let (code, refused) = evict(&server, "two", json!({})).await;
    assert_eq!((code, &refused["reason"]), (429, &json!("TooManyRequests")));
    let cause = &refused["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    assert_eq!(cause["message"], "The disruption budget pdb needs 1 healthy pods and has 2 currently");
}

#[tokio::test]
async fn an_eviction_of_another_pod_of_that_name_charges_nothing() {
    let server = server().await;
    running_pod(&server, "one").await;
    budget(&server, "pdb", 1).await;
    let (code, refused) = evict(&server, "one", json!({"preconditions": {"uid": "someone-else"}})).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    let (code, _) = evict(&server, "one", json!({"dryRun": ["All"]})).await;
    assert_eq!(code, 201);
    let (_, pdb) = get(&server, &format!("{BUDGETS}/pdb")).await;
    assert_eq!(pdb["status"]["disruptionsAllowed"], 1);
    assert!(get(&server, &format!("{PODS}/one")).await.1["metadata"]["deletionTimestamp"].is_null());
}

#[tokio::test]
async fn two_budgets_are_an_error_and_an_unprocessed_one_a_wait() {
    let server = server().await;
    running_pod(&server, "one").await;
    let spec = json!({"metadata": {"name": "fresh"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    post(&server, BUDGETS, &spec).await;
    let (code, waiting) = evict(&server, "one", json!({})).await;
    assert_eq!((code, &waiting["details"]["retryAfterSeconds"]), (429, &json!(10)));
    budget(&server, "second", 1).await;
    let (code, error) = evict(&server, "one", json!({})).await;
    assert_eq!(code, 500, "{error}");
}

#[tokio::test]
async fn pods_that_count_for_nobody_are_evicted_without_a_budget() {
    let server = server().await;
    budget(&server, "pdb", 0).await;
    post(&server, PODS, &pod("pending")).await;
    assert_eq!(evict(&server, "pending", json!({})).await.0, 201);
    assert_eq!(get(&server, &format!("{PODS}/pending")).await.0, 404);
    running_pod(&server, "unready").await;
    let unready = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    patch(&server, &format!("{PODS}/unready/status"), "merge-patch+json", &unready).await;
    let (code, status) = evict(&server, "unready", json!({})).await;
    assert_eq!(code, 201, "healthy budgets let broken pods go: {status}");
}
