//! One table for each kind: what the API server refuses by the rules of the definition, the operator refuses as well, and what one
//! takes the other takes. What CEL cannot say (a circle of steps, a zone that is not there) is no part of it.

use chaos_core::api::{
    ChaosMonkeySpec, Experiment, ExperimentRun, ExperimentRunSpec, ExperimentSpec, GameDay, GameDaySpec,
};
use chaos_core::validate::{self, Meta};
use kube::Resource;
use serde::de::DeserializeOwned;

use super::*;

/// A change of a spec (a merge patch: null takes a field away), and whether it may stand then.
pub(super) type Case = (Value, bool);

/// A JSON merge patch.
fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let fields = into.as_object_mut().unwrap();
    for (name, value) in patch {
        match value {
            Value::Null => _ = fields.remove(name),
            other => merge(fields.entry(name.clone()).or_insert(Value::Null), other),
        }
    }
}

/// Asks both of each case.
async fn ask<K: Resource<DynamicType = ()>, S: DeserializeOwned>(
    fixture: &Fixture,
    base: &Value,
    cases: Vec<Case>,
    ours: impl Fn(&S) -> Result<(), String>,
) {
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(fixture.admin.clone(), NS, &resource);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let kind = K::kind(&());
    for (patch, is_valid) in cases {
        let mut spec = base.clone();
        merge(&mut spec, &patch);
        let object = json!({"apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": kind,
            "metadata": {"name": "m", "namespace": NS}, "spec": spec});
        let server = api.create(&dry_run, &serde_json::from_value(object).unwrap()).await;
        let read = serde_json::from_value::<S>(spec).map_err(|error| error.to_string());
        let rules = read.and_then(|spec| ours(&spec));
        assert_eq!(server.is_ok(), is_valid, "the server, of {kind} {patch}: {server:?}");
        assert_eq!(rules.is_ok(), is_valid, "the rules, of {kind} {patch}: {:?}", rules.err());
    }
}

fn meta() -> Meta {
    Meta { name: "m".into(), namespace: NS.into(), uid: "u".into() }
}

fn told<T>(meant: Result<T, Vec<impl std::fmt::Debug>>) -> Result<(), String> {
    meant.map(|_| ()).map_err(|problems| format!("{problems:?}"))
}

/// Targets and limits, which several kinds have.
fn of_any_kill() -> Vec<Case> {
    vec![
        (json!({}), true),
        (json!({"target": null}), false),
        (json!({"target": {"workloads": []}}), false),
        (json!({"target": {"workloads": null}}), false),
        (json!({"target": {"workloads": null, "selector": {}}}), false),
        (json!({"target": {"workloads": null, "selector": {"matchLabels": {"app": "a"}}}}), true),
        (json!({"target": {"namespaces": {}}}), false),
        (json!({"target": {"podNames": {}}}), false),
        (json!({"target": {"ownerKinds": {}}}), false),
        (json!({"limits": null}), false),
        (json!({"limits": {"minReady": null}}), false),
        (json!({"limits": {"allowForce": null}}), false),
        (json!({"limits": {"maxUnavailable": 0}}), false),
        (json!({"limits": {"recoverWithin": "0s"}}), false),
        (json!({"limits": {"maxBlind": "0s"}}), false),
        (json!({"limits": {"maxBlind": "1d"}}), false),
        (json!({"fault": {"podKill": {"gracePeriod": "0s"}}}), false),
        (json!({"fault": {"podKill": {"gracePeriod": "0s"}}, "limits": {"allowForce": true}}), true),
    ]
}

/// Asks both of each change of a standing monkey.
pub(super) async fn ask_of_monkeys(fixture: &Fixture, cases: Vec<Case>) {
    let base = json!({
        "target": {"workloads": [{"kind": "Deployment", "name": "trips"}]}, "fault": {"podKill": {"mode": "Evict"}},
        "mode": "Live", "meanTimeBetweenKills": "2h", "minTimeBetweenKills": "1h", "schedule": {}, "guards": [],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 8, "minInterval": "0s", "recoverWithin": "30s",
            "maxBlind": "30s", "allowForce": false},
    });
    ask::<ChaosMonkey, _>(fixture, &base, cases, |spec: &ChaosMonkeySpec| told(validate::monkey(spec, &meta()))).await;
}

fn monkeys() -> Vec<Case> {
    let owned = |most: u32, interval: &str| {
        let lease = json!({"name": "b", "interval": interval});
        json!({"until": "2099-01-01T00:00:00Z", "maxKills": most, "heartbeatLease": lease})
    };
    let mut cases = of_any_kill();
    cases.extend([
        (json!({"mode": null}), false),
        (json!({"mode": "Dry"}), false),
        (json!({"schedule": null}), false),
        (json!({"guards": null}), false),
        (json!({"minTimeBetweenKills": "2h"}), false),
        (json!({"minTimeBetweenKills": "119m"}), true),
        (json!({"limits": {"minInterval": "61m"}}), false),
        (json!({"limits": {"minInterval": "1h"}}), true),
        (json!({"until": "2099-01-01T00:00:00Z"}), false),
        (json!({"maxKills": 5}), false),
        (json!({"heartbeatLease": {"name": "b", "interval": "2s"}}), false),
        (owned(5, "2s"), true),
        (owned(9, "2s"), false),
        (owned(5, "99ms"), false),
        (owned(5, "61s"), false),
        (json!({"schedule": {"timeZone": "Europe/Paris", "hours": [{"from": "09:00", "to": "17:00"}]}}), true),
        (json!({"schedule": {"timeZone": "Europe/Paris", "hours": [{"from": "17:00", "to": "09:00"}]}}), false),
        (json!({"schedule": {"timeZone": "Europe/Paris", "blackout": [{"date": "2026-12-24"}]}}), true),
        (json!({"schedule": {"timeZone": "Europe/Paris", "blackout": [{}]}}), false),
        (json!({"schedule": {"timeZone": "Europe/Paris", "blackout": [{"from": "2026-12-24T00:00:00Z"}]}}), false),
    ]);
    cases
}

fn experiments() -> (Value, Vec<Case>) {
    let base = super::runs::experiment();
    let twice = json!([base["probes"][0], base["probes"][0]]);
    let mut cases = of_any_kill();
    cases.extend([
        (json!({"probes": twice}), false),
        (json!({"fault": {"podKill": null}}), false),
        (json!({"fault": {"podKill": {"strikes": {"target": 2, "min": 3}}}}), false),
        (json!({"fault": {"podKill": {"strikes": {"target": 5000, "min": 1}}}, "limits": {"maxKills": 4999}}), false),
        (json!({"fault": {"podKill": {"every": {"mean": "0s", "min": "0s"}}}}), false),
        (json!({"fault": {"podKill": {"every": {"mean": "1s", "min": "2s"}}}}), false),
        (json!({"abort": null}), false),
        (json!({"abort": [{}]}), false),
    ]);
    (base, cases)
}

fn game_days() -> (Value, Vec<Case>) {
    let first = json!({"name": "a", "experiment": {"name": "e"}});
    let base =
        json!({"schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": "DryRun", "steps": [first]});
    let steps = |second: Value| json!({"steps": [first, second]});
    let many = |most: u32| {
        let waits = (1..most).map(|number| json!({"name": format!("w{number}"), "wait": "1s"}));
        json!({"steps": std::iter::once(first.clone()).chain(waits).collect::<Vec<_>>()})
    };
    let cases = vec![
        (json!({}), true),
        (json!({"mode": null}), false),
        (json!({"blackout": null}), false),
        (json!({"schedule": "@daily"}), true),
        (json!({"schedule": "0 9 * * MON-FRI"}), true),
        (json!({"schedule": "every day"}), false),
        (json!({"schedule": "0 9 * *"}), false),
        (json!({"startingDeadline": "24h"}), true),
        (json!({"startingDeadline": "0s"}), false),
        (json!({"startingDeadline": "25h"}), false),
        (json!({"steps": []}), false),
        (json!({"steps": [{"name": "a", "wait": "1s"}]}), false),
        (json!({"steps": [{"name": "a"}]}), false),
        (json!({"steps": [{"name": "a", "experiment": {"name": "e"}, "wait": "1s"}]}), false),
        (json!({"steps": [{"name": "a", "experiment": {"name": "e"}, "dependsOn": ["a"]}]}), false),
        (json!({"steps": [{"name": "a", "experiment": {"name": "e"}, "dependsOn": ["c"]}]}), false),
        (many(20), true),
        (many(21), false),
        (steps(json!({"name": "a", "wait": "1s"})), false),
        (steps(json!({"name": "b", "wait": "1s", "dependsOn": ["a"]})), true),
        (steps(json!({"name": "b", "wait": "1s", "dependsOn": ["a", "a"]})), false),
        (steps(json!({"name": "b", "wait": "500ms"})), false),
        (steps(json!({"name": "b", "wait": "25h"})), false),
        (steps(json!({"name": "b", "approval": {"prompt": "Is it green?", "within": "168h"}})), true),
        (steps(json!({"name": "b", "approval": {"prompt": "Is it green?", "within": "169h"}})), false),
        (steps(json!({"name": "b", "approval": {"prompt": "Is it green?", "within": "0s"}})), false),
    ];
    (base, cases)
}

/// A run of the experiment after that change.
fn inline(change: impl FnOnce(&mut Value)) -> Value {
    let mut experiment = super::runs::experiment();
    change(&mut experiment);
    json!({"experimentRef": null, "experiment": experiment})
}

fn runs() -> (Value, Vec<Case>) {
    let base = json!({"experimentRef": {"name": "e"}, "mode": "DryRun"});
    let asked = |more: Value| {
        inline(|experiment| {
            let http = &mut experiment["probes"][0]["http"];
            http.as_object_mut().unwrap().remove("service");
            merge(http, &more);
        })
    };
    let with = |probe: Value| inline(|experiment| experiment["probes"].as_array_mut().unwrap().push(probe));
    let alert = json!([{"alert": {"source": "platform", "matchers": ["alertname=\"RidesLost\""]}}]);
    let tcp = json!({"name": "t", "tcp": {"address": "169.254.169.254:80"}});
    let command = json!({"name": "c", "command": {"argv": ["/bin/true"], "timeout": "1s"}, "expect": {"exitCode": 0}});
    let cases = vec![
        (json!({}), true),
        (json!({"mode": null}), false),
        (json!({"experimentRef": null}), false),
        (json!({"experiment": super::runs::experiment()}), false),
        (inline(|_| ()), true),
        (asked(json!({"url": "http://169.254.169.254/latest/meta-data"})), false),
        (asked(json!({"service": "gateway", "caFile": "/etc/passwd"})), false),
        (with(tcp), false),
        (with(command), false),
        (inline(|experiment| experiment["abort"] = alert), false),
        (json!({"approval": {"within": "1h"}}), true),
        (json!({"approval": {"within": "0s"}}), false),
        (json!({"approval": {"within": "169h"}}), false),
    ];
    (base, cases)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_server_and_the_operator_refuse_the_same_specs() {
    let fixture = Fixture::start().await;
    ask_of_monkeys(&fixture, monkeys()).await;
    let (base, cases) = experiments();
    ask::<Experiment, _>(&fixture, &base, cases, |spec: &ExperimentSpec| told(validate::experiment(spec, &meta())))
        .await;
    let (base, cases) = game_days();
    ask::<GameDay, _>(&fixture, &base, cases, |spec: &GameDaySpec| told(validate::gameday(spec, &meta()))).await;
    let named: ExperimentSpec = serde_json::from_value(super::runs::experiment()).unwrap();
    let (base, cases) = runs();
    let run = |spec: &ExperimentRunSpec| {
        let named = spec.experiment_ref.as_ref().map(|_| &named);
        let mut object = ExperimentRun::new("m", spec.clone());
        object.metadata.namespace = Some(NS.into());
        told(validate::run(&object, named))
    };
    ask::<ExperimentRun, _>(&fixture, &base, cases, run).await;
}
