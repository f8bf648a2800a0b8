//! A served schema that is not the operator's: nothing is killed, though kills are due, and it is said why, until it is again.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::*;

/// A definition of ours that was changed.
pub(super) struct Changed {
    crds: Api<DynamicObject>,
    name: &'static str,
    /// The spec as it was.
    before: Value,
}

impl Changed {
    /// Changes the schema of the kind with that plural.
    pub(super) async fn of(fixture: &Fixture, name: &'static str, change: impl FnOnce(&mut Value)) -> Self {
        let crds: Api<DynamicObject> =
            Api::all_with(fixture.admin.clone(), &ApiResource::erase::<CustomResourceDefinition>(&()));
        let mut crd = crds.get(name).await.unwrap();
        let before = crd.data["spec"].clone();
        change(&mut crd.data["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]);
        assert_ne!(crd.data["spec"], before);
        crds.replace(name, &PostParams::default(), &crd).await.unwrap();
        Self { crds, name, before }
    }

    pub(super) async fn undo(self) {
        let mut crd = self.crds.get(self.name).await.unwrap();
        crd.data["spec"] = self.before;
        self.crds.replace(self.name, &PostParams::default(), &crd).await.unwrap();
    }
}

/// Strikes that did not happen as the schema is another one, as far as the status remembers.
fn held(monkey: &ChaosMonkey) -> Vec<u64> {
    let skipped = monkey.status.iter().flat_map(|status| &status.skipped);
    let held = skipped.filter(|skip| skip.reason == "Held" && skip.message.contains("the served schema is not ours"));
    held.map(|skip| skip.strike).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_killed_while_the_served_schema_is_not_ours() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 4] = [
        ("a field less", |schema| _ = schema["spec"]["properties"].as_object_mut().unwrap().remove("control")),
        ("another type", |schema| schema["status"]["properties"]["unplannedGroups"]["type"] = json!("string")),
        ("another default", |schema| {
            let kill = &mut schema["spec"]["properties"]["fault"]["properties"]["podKill"]["properties"];
            kill["mode"]["default"] = json!("Delete");
        }),
        ("no rules", |schema| _ = schema["spec"].as_object_mut().unwrap().remove("x-kubernetes-validations")),
    ];
    let fixture = Fixture::start().await;
    let mut before = 0;
    for (what, change) in changes {
        let changed = Changed::of(&fixture, "chaosmonkeys.chaos.dispatch.dev", change).await;
        let operator = fixture.operator("a");
        if before == 0 {
            fixture.monkey(|spec| spec["limits"]["maxKills"] = json!(10_000)).await;
        }
        let known = held(&fixture.monkeys().get("m").await.unwrap());
        let is_held = |monkey: &ChaosMonkey| {
            let conditions = (condition(monkey, "Ready"), condition(monkey, "Active"));
            let due = held(monkey).into_iter().filter(|strike| !known.contains(strike)).count();
            conditions == (("False", "SchemaMismatch"), ("False", "Stopped")) && due >= 3
        };
        let monkey = fixture.until(&format!("held strikes, for {what}"), is_held).await;
        assert_eq!(kills(&monkey), before, "{what}");
        changed.undo().await;
        let kills_again =
            |monkey: &ChaosMonkey| kills(monkey) > before && condition(monkey, "Ready") == ("True", "Ready");
        fixture.until(&format!("a kill after {what}"), kills_again).await;
        operator.end().await;
        before = kills(&fixture.monkeys().get("m").await.unwrap());
    }
}
