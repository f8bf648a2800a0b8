//! ValidatingAdmissionPolicies: what they see, whom they stop, and what happens when they fail.

use serde_json::json;

use super::*;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

async fn install(server: &ApiServer, spec: Value) {
    let policy = json!({"metadata": {"name": "guard"}, "spec": spec});
    let (code, created) = post(server, POLICIES, &policy).await;
    assert_eq!(code, 201, "{created}");
    let binding =
        json!({"metadata": {"name": "guard"}, "spec": {"policyName": "guard", "validationActions": ["Deny"]}});
    assert_eq!(post(server, BINDINGS, &binding).await.0, 201);
}

fn guard() -> Value {
    json!({
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]},
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"]},
        ]},
        "matchConditions": [{"name": "who", "expression": "request.userInfo.username == 'killer'"}],
        "variables": [{"name": "deletes", "expression": "request.operation == 'DELETE'"}],
        "validations": [
            {"expression": "!variables.deletes || (has(oldObject.metadata.labels) && 'chaos/enabled' in oldObject.metadata.labels)",
             "message": "the pod has not opted in"},
            {"expression": "variables.deletes || (has(object.deleteOptions) && has(object.deleteOptions.preconditions))",
             "messageExpression": "'no uid for ' + request.name"},
        ],
    })
}

async fn as_killer(server: &ApiServer, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let killer = Identity::user("killer", &["system:masters"]);
    send_as(server, killer, method, path, "application/json", body).await
}

#[tokio::test]
async fn a_policy_stops_whom_it_is_about_and_nobody_else() {
    let server = server().await;
    install(&server, guard()).await;
    running_pod(&server, "p").await;
    let path = format!("{PODS}/p");
    let (code, denied) = as_killer(&server, "DELETE", &path, &Value::Null).await;
    assert_eq!((code, &denied["reason"]), (422, &json!("Invalid")));
    let text = "ValidatingAdmissionPolicy 'guard' with binding 'guard' denied request: the pod has not opted in";
    assert!(denied["message"].as_str().unwrap().ends_with(text), "{denied}");
    let (code, denied) =
        as_killer(&server, "POST", &format!("{path}/eviction"), &json!({"metadata": {"name": "p"}})).await;
    assert_eq!(code, 422);
    assert!(denied["message"].as_str().unwrap().ends_with("no uid for p"), "{denied}");
    assert!(get(&server, &path).await.1["metadata"]["deletionTimestamp"].is_null());
    patch(&server, &path, "merge-patch+json", &json!({"metadata": {"labels": {"chaos/enabled": "true"}}})).await;
    assert_eq!(as_killer(&server, "DELETE", &path, &Value::Null).await.0, 200);
    post(&server, PODS, &pod("other")).await;
    assert_eq!(delete(&server, &format!("{PODS}/other"), &Value::Null).await.0, 200, "the administrator is not meant");
}

#[tokio::test]
async fn a_policy_that_cannot_be_evaluated_refuses_unless_told_to_ignore() {
    for (failure, expected) in [("Fail", 422), ("Ignore", 201)] {
        let server = server().await;
        install(
            &server,
            json!({
                "failurePolicy": failure,
                "matchConstraints": {"resourceRules": [
                    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
                "validations": [{"expression": "object.nothing.here == 1"}],
            }),
        )
        .await;
        let (code, answer) =
            post(&server, "/api/v1/namespaces/a/configmaps", &json!({"metadata": {"name": "m"}})).await;
        assert_eq!(code, expected, "{answer}");
    }
}
