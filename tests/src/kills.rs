//! What the four records of kills tell: the status of monkeys, Events, the journal of a run (its `result.json`), and the audit
//! log of the API server, real or embedded. They must tell the same pods, and none of them twice. A kill whose answer was lost may be
//! in doubt: the operator's own records must tell the same doubts, and the server may or may not have killed what they tell. Pure.

use std::collections::BTreeMap;

use chaos_core::killer::{ANSWER_LOST, UNDATED};
use serde_json::Value;

/// The kills that one record tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kills {
    /// UID of each pod that was killed, and its `namespace/name`.
    pub pods: BTreeMap<String, String>,
    /// What is told more than once although it is another kill.
    pub twice: Vec<String>,
    /// Pods of which the record says that they may have been killed, by their UID.
    pub in_doubt: BTreeMap<String, String>,
    /// Those of `pods` that the killer knows by what became of them, as it heard no answer.
    unanswered: BTreeMap<String, String>,
    /// It is the server's own record, which knows of no doubts of others.
    is_of_server: bool,
}

impl Kills {
    fn add(&mut self, uid: &str, pod: String) {
        if let Some(before) = self.pods.insert(uid.to_owned(), pod) {
            self.twice.push(format!("{before} ({uid})"));
        }
    }

    fn doubt(&mut self, uid: &str, pod: String) {
        self.in_doubt.insert(uid.to_owned(), pod);
    }

    /// Adds what a status or a journal says of a kill.
    fn add_outcome(&mut self, kill: &Value) {
        let (uid, name) = (text(&kill["victim"]["uid"]), pod(&kill["victim"], "pod"));
        match text(&kill["outcome"]) {
            "Killed" => {
                if [ANSWER_LOST, UNDATED].contains(&text(&kill["message"])) {
                    self.unanswered.insert(uid.to_owned(), name.clone());
                }
                self.add(uid, name);
            }
            "Unknown" => self.doubt(uid, name),
            _ => {}
        }
    }

    /// From the kills of a status or of several: each is told by its nonce, and may stand in every version of a status.
    pub fn of_histories<'a>(histories: impl IntoIterator<Item = &'a Value>) -> Self {
        let told = histories.into_iter().flat_map(|history| history.as_array().into_iter().flatten());
        let by_nonce: BTreeMap<_, _> = told.map(|kill| (text(&kill["nonce"]), kill)).collect();
        let mut kills = Self::default();
        by_nonce.into_values().for_each(|kill| kills.add_outcome(kill));
        kills
    }

    /// From a list of `events.k8s.io/v1` Events.
    pub fn of_events(list: &Value) -> Self {
        let mut kills = Self::default();
        let events = list["items"].as_array().into_iter().flatten();
        for event in events.filter(|event| event["action"] == "Kill") {
            let (uid, name) = (text(&event["regarding"]["uid"]), pod(&event["regarding"], "name"));
            match text(&event["reason"]) {
                "Killed" => kills.add(uid, name),
                "KillUnknown" => kills.doubt(uid, name),
                _ => {}
            }
        }
        kills
    }

    /// From the `result.json` of a run.
    pub fn of_result(result: &Value) -> Self {
        let mut kills = Self::default();
        result["killRows"].as_array().into_iter().flatten().for_each(|row| kills.add_outcome(row));
        kills
    }

    /// From the lines of an audit log: what the API server accepted from these users, and what it may have carried out although it
    /// failed. A kill without a UID counts under its name.
    pub fn of_audit<'a>(lines: impl IntoIterator<Item = &'a Value>, users: &[&str]) -> Self {
        let mut kills = Self { is_of_server: true, ..Self::default() };
        for line in lines.into_iter().filter(|line| asks_for_kill(line, users)) {
            let (reference, body) = (&line["objectRef"], &line["requestObject"]);
            let name = pod(reference, "name");
            let uid =
                [&reference["uid"], &body["deleteOptions"]["preconditions"]["uid"], &body["preconditions"]["uid"]]
                    .into_iter()
                    .find_map(Value::as_str);
            match line["responseStatus"]["code"].as_u64() {
                Some(200..300) => kills.add(uid.unwrap_or(&name), name.clone()),
                Some(500..600) => kills.doubt(uid.unwrap_or(&name), name.clone()),
                _ => {}
            }
        }
        kills
    }

    /// The log of a server that was killed: of a request that it was at work on it may say nothing.
    #[must_use]
    pub fn torn(mut self, told: &[(&str, &Self)]) -> Self {
        self.in_doubt.extend(told.iter().flat_map(|(_, kills)| kills.unanswered.clone()));
        self
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
    for (record, kills) in told {
        found.extend(kills.twice.iter().map(|kill| format!("{record} tells {kill} twice")));
        let others = || told.iter().map(|(_, other)| *other);
        let killed: BTreeMap<_, _> = others().flat_map(|other| missing(kills, other)).collect();
        found.extend(killed.iter().map(|(uid, pod)| format!("{record} does not tell {pod} ({uid})")));
        let doubts: BTreeMap<_, _> = others().flat_map(|other| undoubted(kills, other)).collect();
        found.extend(doubts.iter().map(|(uid, pod)| format!("{record} does not tell that {pod} ({uid}) is in doubt")));
    }
    found
}

/// The kills that another record tells and this one does not. What the one knows and the other cannot know may be in doubt.
fn missing<'k>(kills: &'k Kills, other: &'k Kills) -> impl Iterator<Item = (&'k String, &'k String)> {
    let may_doubt = kills.is_of_server != other.is_of_server;
    let is_told = move |uid: &str| kills.pods.contains_key(uid) || may_doubt && kills.in_doubt.contains_key(uid);
    other.pods.iter().filter(move |(uid, _)| !is_told(uid))
}

/// The doubts that another record of the operator tells and this one does not.
fn undoubted<'k>(kills: &'k Kills, other: &'k Kills) -> impl Iterator<Item = (&'k String, &'k String)> {
    let are_alike = !kills.is_of_server && !other.is_of_server;
    other.in_doubt.iter().filter(move |(uid, _)| are_alike && !kills.in_doubt.contains_key(*uid))
}

/// Whether a line is the end of a request of one of these users to kill a pod. The API server's own retry of an eviction is one line.
fn asks_for_kill(line: &Value, users: &[&str]) -> bool {
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
    asked && by_us && !is_dry && ["ResponseComplete", "Panic"].contains(&text(&line["stage"]))
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
    fn a_kill_in_doubt_may_have_happened_and_every_record_of_the_operator_says_so() {
        let unknown = Kills::of_histories([&history("n", "u1", "Unknown")]);
        let killed = Kills::of_histories([&history("n", "u1", "Killed")]);
        let regarding = json!({"namespace": "ns", "name": "a", "uid": "u1"});
        let event = |reason: &str| json!({"items": [{"action": "Kill", "reason": reason, "regarding": regarding}]});
        let (doubted, told) = (Kills::of_events(&event("KillUnknown")), Kills::of_events(&event("Killed")));
        let (logged, silent) = (Kills::of_audit([&line("u1", 201)], &[US]), Kills::of_audit([], &[US]));
        let found = |status: &Kills, events: &Kills, audit: &Kills| {
            disagreements(&[("status", status), ("Events", events), ("audit", audit)])
        };
        assert!(found(&unknown, &doubted, &logged).is_empty() && found(&unknown, &doubted, &silent).is_empty());
        assert_eq!(found(&unknown, &Kills::default(), &silent), ["Events does not tell that ns/a (u1) is in doubt"]);
        assert_eq!(
            found(&unknown, &told, &logged),
            ["status does not tell ns/a (u1)", "Events does not tell that ns/a (u1) is in doubt"]
        );
        assert_eq!(found(&killed, &told, &silent), ["audit does not tell ns/a (u1)"]);
    }

    #[test]
    fn a_server_that_fails_may_have_killed_and_one_that_is_killed_may_not_log_what_it_never_answered() {
        let kill = |message: &str| {
            let mut history = history("n", "u1", "Killed");
            history[0]["message"] = json!(message);
            Kills::of_histories([&history])
        };
        let (status, failed) = (kill(ANSWER_LOST), Kills::of_audit([&line("u1", 504)], &[US]));
        assert!(disagreements(&[("status", &status), ("audit", &failed)]).is_empty());
        let silent = Kills::of_audit([], &[US]);
        let missing = ["audit does not tell ns/a (u1)"];
        assert_eq!(disagreements(&[("status", &status), ("audit", &silent)]), missing);
        assert!(
            disagreements(&[("status", &status), ("audit", &silent.clone().torn(&[("status", &status)]))]).is_empty()
        );
        let answered = kill("");
        assert_eq!(disagreements(&[("status", &answered), ("audit", &silent.torn(&[("status", &answered)]))]), missing);
    }

    #[test]
    fn the_log_of_the_embedded_server_names_the_uid_beside_the_object() {
        let mut embedded = line("", 201);
        embedded["requestObject"] = Value::Null;
        embedded["objectRef"]["uid"] = json!("u7");
        assert!(Kills::of_audit([&embedded], &[US]).pods.contains_key("u7"));
    }
}
