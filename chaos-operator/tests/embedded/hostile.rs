//! Specs that are too large, too deep or made to be costly: each is refused, by the API server or with a condition, and the operator
//! works on for everybody else.

use chaos_core::api::{ExperimentRun, GameDay};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::runs::{says, verdict};
use super::schemas::Changed;
use super::*;

/// A monkey like that one, with another name and another target.
async fn like(fixture: &Fixture, monkey: &ChaosMonkey, name: &str, target: Value) -> kube::Result<DynamicObject> {
    let mut spec = serde_json::to_value(&monkey.spec).unwrap();
    spec["target"] = target;
    let object = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey",
        "metadata": {"name": name, "namespace": NS}, "spec": spec});
    let resource = ApiResource::erase::<ChaosMonkey>(&());
    let monkeys: Api<DynamicObject> = Api::namespaced_with(fixture.admin.clone(), NS, &resource);
    monkeys.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

/// A target of so many values of a label, each of 63 letters.
fn of_values(count: usize) -> Value {
    let values: Vec<String> = (0..count).map(|i| format!("{i:063}")).collect();
    json!({"selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": values}]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_is_too_large_or_made_to_be_costly_is_refused_and_others_are_worked_on() {
    let fixture = Fixture::start().await;
    let operator = fixture.operator("a");
    let honest = fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(10_000)).await;
    let refused = like(&fixture, &honest, "of-ten-megabytes", of_values(160_000)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 413), "{refused}");
    let workloads = json!([{"kind": "Deployment", "name": "trips"}]);
    let of_pattern = |pattern: &str| json!({"workloads": workloads, "podNames": {"include": pattern}});
    let nested = format!("{}a{}", "(".repeat(120), ")".repeat(120));
    // Near to what an API server keeps of one object.
    let refused = like(&fixture, &honest, "of-a-megabyte", of_values(20_000)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 422), "{refused}");
    let cases = [
        ("of-a-costly-pattern", of_pattern("(a{1000}){1000}"), "podNames.include"),
        ("of-a-nested-pattern", of_pattern(&nested), "podNames.include"),
    ];
    for (name, target, words) in cases {
        like(&fixture, &honest, name, target).await.unwrap();
        eventually(&format!("a condition of the monkey {name}"), || async {
            let monkey = fixture.monkeys().get(name).await.unwrap();
            let conditions = monkey.status.map(|status| status.conditions).unwrap_or_default();
            if conditions.iter().any(|it| is_invalid(it, words)) { Ok(()) } else { Err(format!("{conditions:?}")) }
        })
        .await;
    }
    let before = kills(&fixture.monkeys().get("m").await.unwrap());
    fixture.until("two more kills for the honest one", |monkey| kills(monkey) >= before + 2).await;
    operator.end().await;
}

/// Whether a condition says in these words that the spec is not valid.
fn is_invalid(condition: &Condition, words: &str) -> bool {
    let is_it = condition.type_ == "Ready" && condition.status == "False" && condition.reason == "Invalid";
    is_it && condition.message.contains(words)
}

/// Takes out all that a schema says of how many there may be and what they look like, and its rules: to ask them of ten thousand
/// would take a server of a debug build minutes.
fn loosen(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, _| !matches!(name.as_str(), "maxItems" | "pattern" | "x-kubernetes-validations"));
            fields.values_mut().for_each(loosen);
        }
        Value::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_steps_that_an_older_schema_lets_through_are_refused_by_the_operator() {
    let fixture = Fixture::start().await;
    let changed = Changed::of(&fixture, "gamedays.chaos.dispatch.dev", loosen).await;
    let operator = fixture.operator("a");
    let steps: Vec<Value> = (0..10_000).map(|i| json!({"name": format!("s{i}"), "wait": "1s"})).collect();
    let spec =
        json!({"schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "DryRun", "steps": steps});
    let day = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
        "metadata": {"name": "d", "namespace": NS}, "spec": spec});
    create(&fixture.admin, day).await;
    let days: Api<GameDay> = Api::namespaced(fixture.admin.clone(), NS);
    eventually("a condition that counts the steps", || async {
        let conditions = days.get("d").await.unwrap().status.map(|status| status.conditions).unwrap_or_default();
        if conditions.iter().any(|it| is_invalid(it, "10000 steps")) { Ok(()) } else { Err(format!("{conditions:?}")) }
    })
    .await;
    fixture.monkey(|_| ()).await;
    fixture.until("held", |monkey| condition(monkey, "Ready") == ("False", "SchemaMismatch")).await;
    changed.undo().await;
    fixture.until("two kills once the schema is ours", |monkey| kills(monkey) >= 2).await;
    operator.end().await;
}

/// Levels of the value in the spec of a run: with the list that the API server puts around all runs, one more than our parser takes.
const LEVELS: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_nested_too_deep_says_so_and_others_are_worked_on() {
    let fixture = Fixture::start().await;
    let deep = (0..LEVELS).fold(json!(1), |inner, _| json!([inner]));
    let probe = json!({"name": "k", "expect": {"equals": deep},
        "kubernetes": {"resource": "v1/Pod", "name": "x", "jsonPath": "$.status.phase"}});
    let put = |spec: &mut Value| spec["experiment"]["probes"].as_array_mut().unwrap().push(probe);
    fixture.try_run_as("deep", put).await.unwrap();
    let operator = fixture.operator("a");
    let told = |run: &ExperimentRun| says(run, "Ready") == ("False", "Unreadable");
    fixture.until_run_of("deep", "told that it cannot be read", told).await;
    fixture.run(|spec| spec["mode"] = json!("DryRun")).await;
    let run = fixture.completed().await;
    assert_eq!(verdict(&run), ("planned", "DryRun"));
    operator.end().await;
}
