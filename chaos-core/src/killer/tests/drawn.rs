//! What a stored plan is drawn from: a form that no upgrade may change, and that says what moves a strike, nothing else.

use super::*;
use crate::killer::drawn::form;

/// A monkey that says all that moves a strike.
fn detailed(spec: &mut Value) {
    spec["minTimeBetweenKills"] = json!("1.5s");
    spec["fault"]["podKill"]["group"] = json!("shard");
    spec["schedule"] = json!({
        "timeZone": "Europe/Paris", "weekdays": ["Mon", "Fri"], "hours": [{"from": "09:00", "to": "17:30"}],
        "blackout": [
            {"date": "2026-12-24", "reason": "nobody is there"},
            {"from": "2026-12-30T00:00:00Z", "to": "2027-01-02T00:00:00Z"},
        ],
    });
    spec["target"] = json!({
        "environment": "staging", "workloads": [{"kind": "Deployment", "name": "trips"}],
        "selector": {
            "matchLabels": {"tier": "web"}, "matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}],
        },
        "namespaces": {"names": [NS]}, "podNames": {"include": "trips-.*"}, "ownerKinds": {"exclude": ["DaemonSet"]},
        "nodes": {"selector": {"matchLabels": {"pool": "spot"}}}, "zones": ["b", "a"], "minAge": "30s",
    });
}

fn killer_spec(change: impl FnOnce(&mut Value)) -> KillerSpec {
    Play::new(change).killer.spec().clone()
}

#[test]
fn no_upgrade_draws_stored_plans_anew() {
    let spec = killer_spec(detailed);
    let expected = [
        r#"{"mean":"1h","min":"1.5s","distribution":"Exponential","streams":"perGroup","#,
        r#""schedule":{"zone":"Europe/Paris","weekdays":[0,4],"windows":[[540,1050]],"#,
        r#""blackout":["2026-12-24",["2026-12-30T00:00:00Z","2027-01-02T00:00:00Z"]]},"#,
        r#""until":null,"seed":7,"group":"shard","#,
        r#""target":{"environment":"staging","workloads":[{"kind":"Deployment","name":"trips"}],"#,
        r#""selector":"tier=web,!canary","namespaces":{"names":["dispatch"]},"#,
        r#""podNames":{"include":"trips-.*","exclude":null},"#,
        r#""ownerKinds":{"include":[],"exclude":["DaemonSet"]},"nodes":"pool=spot","zones":["a","b"],"minAge":"30s"}}"#,
    ];
    // Monkeys have plans with this digest in their status: with another one their strikes are drawn anew.
    assert_eq!(form(&spec), expected.concat());
    assert_eq!(spec.plan_digest(), "1b2dc2fadb1cab40");
}

#[test]
fn what_moves_a_strike_is_another_plan_and_nothing_else_is() {
    let digest = |pointer: &str, value: Value| {
        let changed = |spec: &mut Value| {
            detailed(spec);
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[field] = value;
        };
        killer_spec(changed).plan_digest()
    };
    let before = killer_spec(detailed).plan_digest();
    let moving = [
        ("/meanTimeBetweenKills", json!("2h")),
        ("/minTimeBetweenKills", json!("2s")),
        ("/seed", json!(8)),
        ("/fault/podKill/group", json!("Workload")),
        ("/schedule/timeZone", json!("Europe/Berlin")),
        ("/schedule/weekdays", json!([])),
        ("/schedule/hours", json!([])),
        ("/schedule/blackout", json!([])),
        ("/target/environment", json!("production")),
        ("/target/workloads", json!([])),
        ("/target/selector", json!({"matchLabels": {"tier": "db"}})),
        ("/target/namespaces", json!({"selector": {"matchLabels": {"team": "rides"}}})),
        ("/target/podNames", json!({"exclude": "trips-.*"})),
        ("/target/ownerKinds", json!({"include": ["DaemonSet"]})),
        ("/target/nodes", Value::Null),
        ("/target/zones", json!(["a"])),
        ("/target/minAge", json!("31s")),
    ];
    for (pointer, value) in moving {
        assert_ne!(digest(pointer, value), before, "{pointer}");
    }
    let still = [
        ("/mode", json!("DryRun")),
        ("/guards", json!([{"alert": {"source": "platform", "matchers": ["alertname=\"RidesLost\""]}}])),
        ("/limits/maxKills", json!(99)),
        ("/fault/podKill/mode", json!("Delete")),
        ("/fault/podKill/gracePeriod", json!("5s")),
        ("/schedule/blackout/0/reason", json!("a holiday")),
        ("/target/zones", json!(["a", "b"])),
    ];
    for (pointer, value) in still {
        assert_eq!(digest(pointer, value), before, "{pointer}");
    }
}

#[test]
fn a_run_plans_until_its_end() {
    let until = |until: &str| {
        let changed = |spec: &mut Value| {
            of_run(spec);
            spec["until"] = json!(until);
        };
        killer_spec(changed)
    };
    let (sooner, later) = (until("2026-11-23T12:05:00Z"), until("2026-11-23T12:06:00Z"));
    assert!(form(&sooner).contains(r#""until":"2026-11-23T12:05:00Z""#), "{}", form(&sooner));
    assert_ne!(sooner.plan_digest(), later.plan_digest());
}
