//! What the four records of kills tell: the status of monkeys, Events, the journal of a run (its `result.json`), and the audit
//! log of the API server, real or embedded. They must tell the same pods, and none of them twice. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// The kills that one record tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kills {
    /// UID of each pod that was killed, and its `namespace/name`.
    pub pods: BTreeMap<String, String>,
    /// What is told more than once although it is another kill.
    pub twice: Vec<String>,
}

impl Kills {
    fn add(&mut self, uid: &str, pod: String) {
        if let Some(before) = self.pods.insert(uid.to_owned(), pod) {
            self.twice.push(format!("{before} ({uid})"));
        }
    }

    /// From the kills of a status or of several: each is told by its nonce, and may stand in every version of a status.
    pub fn of_histories<'a>(histories: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut killed = BTreeMap::new();
        for kill in histories.into_iter().flat_map(|history| history.as_array().into_iter().flatten()) {
            if kill["outcome"] == "Killed" {
                killed.insert(text(&kill["nonce"]), &kill["victim"]);
            }
        }
        let mut kills = Self::default();
        killed.into_values().for_each(|victim| kills.add(text(&victim["uid"]), pod(victim, "pod")));
        kills
    }

    /// From a list of `events.k8s.io/v1` Events.
    pub fn of_events(list: &Value) -> Self {
        let mut kills = Self::default();
        let events = list["items"].as_array().into_iter().flatten();
        for event in events.filter(|event| event["reason"] == "Killed" && event["action"] == "Kill") {
            kills.add(text(&event["regarding"]["uid"]), pod(&event["regarding"], "name"));
        }
        kills
    }

    /// From the `result.json` of a run.
    pub fn of_result(result: &Value) -> Self {
        let mut kills = Self::default();
        let rows = result["killRows"].as_array().into_iter().flatten();
        for row in rows.filter(|row| row["outcome"] == "Killed") {
            kills.add(text(&row["victim"]["uid"]), pod(&row["victim"], "pod"));
        }
        kills
    }

    /// From the lines of an audit log: what the API server accepted from these users. A kill without a UID counts under its name.
    pub fn of_audit<'a>(lines: impl IntoIterator<Item = &'a Value>, users: &[&str]) -> Self {
        let mut kills = Self::default();
        for line in lines.into_iter().filter(|line| is_kill(line, users)) {
            let (reference, body) = (&line["objectRef"], &line["requestObject"]);
            let name = pod(reference, "name");
            let uid =
                [&reference["uid"], &body["deleteOptions"]["preconditions"]["uid"], &body["preconditions"]["uid"]]
                    .into_iter()
                    .find_map(Value::as_str);
            kills.add(uid.unwrap_or(&name), name.clone());
        }
        kills
    }
}

/// The histories of all versions of monkeys that an audit log with bodies holds: also of those that are gone.
pub fn histories_in_audit(lines: &[Value]) -> Vec<&Value> {
    let is_status = |line: &&Value| {
        let reference = &line["objectRef"];
        reference["resource"] == "chaosmonkeys"
            && reference["subresource"] == "status"
            && line["responseStatus"]["code"] == 200
    };
    lines.iter().filter(is_status).map(|line| &line["requestObject"]["status"]["history"]).collect()
}

/// Where the records differ, and what one of them tells twice; empty if they agree.
pub fn disagreements(told: &[(&str, &Kills)]) -> Vec<String> {
    let mut found = Vec::new();
    let all: BTreeMap<_, _> = told.iter().flat_map(|(_, kills)| &kills.pods).collect();
    for (record, kills) in told {
        found.extend(kills.twice.iter().map(|kill| format!("{record} tells {kill} twice")));
        let missing = all.iter().filter(|(uid, _)| !kills.pods.contains_key(**uid));
        found.extend(missing.map(|(uid, pod)| format!("{record} does not tell {pod} ({uid})")));
    }
    found
}

/// Whether a line is about a pod that the API server agreed to kill. The API server's own retry of an eviction is one line.
fn is_kill(line: &Value, users: &[&str]) -> bool {
    let (reference, verb) = (&line["objectRef"], text(&line["verb"]));
    let asked = match (text(&reference["resource"]), text(&reference["subresource"])) {
        ("pods", "eviction") => verb == "create",
        ("pods", "") => verb == "delete",
        _ => false,
    };
    let is_dry =
        text(&line["requestURI"]).contains("dryRun") || line["requestObject"]["deleteOptions"]["dryRun"].is_array();
    let by_us = users.contains(&text(&line["user"]["username"]))
        || users.contains(&text(&line["impersonatedUser"]["username"]));
    let accepted = line["responseStatus"]["code"].as_u64().is_some_and(|code| (200..300).contains(&code));
    asked && by_us && accepted && !is_dry && line["stage"] == "ResponseComplete"
}

fn pod(reference: &Value, name: &str) -> String {
    format!("{}/{}", text(&reference["namespace"]), text(&reference[name]))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const US: &str = "system:serviceaccount:chaos-system:chaos-operator";

    fn line(uid: &str, code: u16) -> Value {
        json!({
            "stage": "ResponseComplete", "verb": "create", "requestURI": "/…/eviction", "user": {"username": US},
            "objectRef": {"resource": "pods", "subresource": "eviction", "namespace": "ns", "name": "a"},
            "requestObject": {"deleteOptions": {"preconditions": {"uid": uid}}}, "responseStatus": {"code": code},
        })
    }

    fn history(nonce: &str, uid: &str, outcome: &str) -> Value {
        json!([{"nonce": nonce, "outcome": outcome, "victim": {"namespace": "ns", "pod": "a", "uid": uid}}])
    }

    #[test]
    fn a_kill_that_one_record_alone_tells_is_a_disagreement() {
        let status = Kills::of_histories([&history("n", "u1", "Killed")]);
        let audit = Kills::of_audit([&line("u1", 201), &line("u2", 201)], &[US]);
        let found = disagreements(&[("status", &status), ("audit", &audit)]);
        assert_eq!(found, ["status does not tell ns/a (u2)"]);
    }

    #[test]
    fn a_pod_that_was_killed_twice_is_told() {
        let audit = Kills::of_audit([&line("u1", 201), &line("u1", 201)], &[US]);
        assert_eq!(disagreements(&[("audit", &audit)]), ["audit tells ns/a (u1) twice"]);
        let status = Kills::of_histories([&history("n", "u1", "Killed"), &history("m", "u1", "Killed")]);
        assert_eq!(status.twice.len(), 1, "two kills of one pod");
        let versions = Kills::of_histories([&history("n", "u1", "Killed"), &history("n", "u1", "Killed")]);
        assert!(versions.twice.is_empty(), "one kill in two versions of a status");
    }

    #[test]
    fn refusals_dry_runs_and_others_are_no_kills() {
        let mut dry = line("u1", 201);
        dry["requestURI"] = json!("/…/eviction?dryRun=All");
        let mut other = line("u1", 201);
        other["user"]["username"] = json!("system:node:node1");
        assert!(Kills::of_audit([&dry, &other, &line("u1", 429), &line("u1", 409)], &[US]).pods.is_empty());
        assert!(Kills::of_histories([&history("n", "u1", "WouldKill")]).pods.is_empty());
    }

    #[test]
    fn the_log_of_the_embedded_server_names_the_uid_beside_the_object() {
        let mut embedded = line("", 201);
        embedded["requestObject"] = Value::Null;
        embedded["objectRef"]["uid"] = json!("u7");
        assert!(Kills::of_audit([&embedded], &[US]).pods.contains_key("u7"));
    }
}
