//! Monkeys and what they plan, as people and as machines read them.

use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus, Mode};
use jiff::Timestamp;
use kube::ResourceExt as _;
use serde::Serialize;

use crate::output;

/// A monkey in a line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct MonkeyLine {
    namespace: String,
    name: String,
    mode: Mode,
    /// What it does, and the reason where that is nothing.
    state: String,
    kills: u64,
    kills_today: u64,
    skips: u64,
    next_at: Option<Timestamp>,
}

/// A strike that is planned.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StrikeLine {
    namespace: String,
    monkey: String,
    id: String,
    at: Timestamp,
    group: String,
    waits_for: Option<String>,
    postponed_from: Option<Timestamp>,
}

impl MonkeyLine {
    pub(in super::super) fn of(monkey: &ChaosMonkey) -> Self {
        let status = monkey.status.clone().unwrap_or_default();
        Self {
            namespace: monkey.namespace().unwrap_or_default(),
            name: monkey.name_any(),
            mode: monkey.spec.mode,
            state: state(monkey, &status),
            kills: status.kills,
            kills_today: status.kills_today,
            skips: status.skips,
            next_at: status.next_at.map(|next| next.0),
        }
    }
}

/// All monkeys of a namespace, or of the cluster, as a table.
pub(in super::super) fn table(monkeys: &[MonkeyLine], namespace: Option<&str>) -> String {
    if monkeys.is_empty() {
        return output::none("monkeys", namespace);
    }
    let mut rows = output::columns(&["MONKEY", "MODE", "STATE", "KILLS", "TODAY", "SKIPS", "NEXT"]);
    for monkey in monkeys {
        rows.add_row([
            format!("{}/{}", monkey.namespace, monkey.name),
            monkey.mode.as_str().to_owned(),
            monkey.state.clone(),
            monkey.kills.to_string(),
            monkey.kills_today.to_string(),
            monkey.skips.to_string(),
            monkey.next_at.map(|next| next.to_string()).unwrap_or_default(),
        ]);
    }
    format!("{}\n", rows.trim_fmt())
}

/// In a word what a monkey does, and the reason where that is nothing.
fn state(monkey: &ChaosMonkey, status: &ChaosMonkeyStatus) -> String {
    if let Some(end) = &status.ended {
        return format!("ended: {}", end.reason);
    }
    if monkey.spec.suspend {
        return "suspended".to_owned();
    }
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    match (condition("Ready"), condition("Active")) {
        (None, _) => "not taken up by an operator".to_owned(),
        (Some(ready), _) if ready.status != "True" => ready.reason.clone(),
        (_, Some(active)) if active.status != "True" => active.reason.clone(),
        _ => "active".to_owned(),
    }
}

/// What these monkeys plan.
pub(super) fn strikes(monkeys: &[ChaosMonkey]) -> Vec<StrikeLine> {
    let of = |monkey: &ChaosMonkey| {
        let (namespace, name) = (monkey.namespace().unwrap_or_default(), monkey.name_any());
        let planned = monkey.status.iter().flat_map(|status| &status.upcoming);
        let lines = planned.map(|strike| StrikeLine {
            namespace: namespace.clone(),
            monkey: name.clone(),
            id: strike.id.clone(),
            at: strike.at.0,
            group: strike.group.clone(),
            waits_for: strike.waiting_for.clone(),
            postponed_from: strike.postponed_from.as_ref().map(|at| at.0),
        });
        lines.collect::<Vec<_>>()
    };
    monkeys.iter().flat_map(of).collect()
}

/// The strikes of these monkeys as a table, with which of them plan nothing because they are suspended.
pub(super) fn upcoming(strikes: &[StrikeLine], monkeys: &[ChaosMonkey]) -> String {
    let mut rows = output::columns(&["MONKEY", "ID", "AT", "GROUP", "WAITS FOR", "POSTPONED FROM"]);
    for strike in strikes {
        let from = strike.postponed_from.map(|at| at.to_string()).unwrap_or_default();
        let name = format!("{}/{}", strike.namespace, strike.monkey);
        let waits = strike.waits_for.clone().unwrap_or_default();
        rows.add_row([name, strike.id.clone(), strike.at.to_string(), strike.group.clone(), waits, from]);
    }
    let held = monkeys.iter().filter(|monkey| monkey.spec.suspend);
    let held: String = held.map(|monkey| format!("{} is suspended until it is resumed\n", full_name(monkey))).collect();
    let planned = if strikes.is_empty() { "nothing is planned\n".to_owned() } else { format!("{}\n", rows.trim_fmt()) };
    planned + &held
}

fn full_name(monkey: &ChaosMonkey) -> String {
    format!("{}/{}", monkey.namespace().unwrap_or_default(), monkey.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn monkey(suspend: bool, status: Value) -> ChaosMonkey {
        let monkey = json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "ChaosMonkey",
            "metadata": {"name": "m", "namespace": "n"},
            "spec": {
                "target": {"workloads": [{"kind": "Deployment", "name": "eta"}]},
                "fault": {"podKill": {"mode": "Evict", "group": "Workload"}}, "mode": "Live", "meanTimeBetweenKills": "2h",
                "minTimeBetweenKills": "1h", "schedule": {}, "guards": [], "suspend": suspend,
                "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 5, "minInterval": "1s", "recoverWithin": "2m",
                    "maxBlind": "5m", "allowForce": false},
            },
            "status": status,
        });
        serde_json::from_value(monkey).unwrap()
    }

    fn at_work() -> ChaosMonkey {
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "reason": kind, "message": "",
                "lastTransitionTime": "2026-11-28T09:00:00Z"})
        };
        let strike = json!({"id": "s7", "strike": 7, "at": "2026-11-28T11:00:00.000000Z", "group": "n/Deployment/eta",
            "waitingFor": "its schedule"});
        monkey(
            false,
            json!({
                "kills": 6, "killsToday": 2, "skips": 1, "nextAt": "2026-11-28T11:00:00Z", "upcoming": [strike],
                "conditions": [condition("Ready"), condition("Active")],
            }),
        )
    }

    #[test]
    fn machines_read_the_same_keys_whatever_there_is_to_say() {
        let line = |monkey: &ChaosMonkey| serde_json::to_value(MonkeyLine::of(monkey)).unwrap();
        let busy = json!({
            "namespace": "n", "name": "m", "mode": "Live", "state": "active", "kills": 6, "killsToday": 2, "skips": 1,
            "nextAt": "2026-11-28T11:00:00Z",
        });
        assert_eq!(line(&at_work()), busy);
        let new = json!({
            "namespace": "n", "name": "m", "mode": "Live", "state": "not taken up by an operator", "kills": 0,
            "killsToday": 0, "skips": 0, "nextAt": null,
        });
        assert_eq!(line(&monkey(false, json!({}))), new);
        assert_eq!(line(&monkey(true, json!({})))["state"], "suspended");
        let planned = json!([{
            "namespace": "n", "monkey": "m", "id": "s7", "at": "2026-11-28T11:00:00Z", "group": "n/Deployment/eta",
            "waitsFor": "its schedule", "postponedFrom": null,
        }]);
        assert_eq!(serde_json::to_value(strikes(&[at_work()])).unwrap(), planned);
    }

    #[test]
    fn people_read_a_line_each() {
        let listed = table(&[MonkeyLine::of(&at_work())], None);
        let words: Vec<&str> = listed.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(words, ["n/m", "Live", "active", "6", "2", "1", "2026-11-28T11:00:00Z"]);
        let planned = |monkeys: &[ChaosMonkey]| upcoming(&strikes(monkeys), monkeys);
        assert!(planned(&[at_work()]).contains("its schedule"));
        let held = planned(&[monkey(true, json!({}))]);
        assert_eq!(held, "nothing is planned\nn/m is suspended until it is resumed\n");
    }
}
