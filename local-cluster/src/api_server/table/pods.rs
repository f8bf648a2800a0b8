//! The columns of pods, whose status is a story told from many fields.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age;
use super::columns::{View, text_or};

const HEADINGS: &[(&str, &str, i64)] = &[
    ("Name", "string", 0),
    ("Ready", "string", 0),
    ("Status", "string", 0),
    ("Restarts", "string", 0),
    ("Age", "string", 0),
    ("IP", "string", 1),
    ("Node", "string", 1),
    ("Nominated Node", "string", 1),
    ("Readiness Gates", "string", 1),
];

pub(super) fn view() -> View {
    View { headings: HEADINGS, cells }
}

fn list<'a>(value: &'a Value, field: &str) -> impl DoubleEndedIterator<Item = &'a Value> + use<'a> {
    value[field].as_array().map_or(&[][..], Vec::as_slice).iter()
}

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let total = list(&pod["spec"], "containers").count();
    let ready = list(&pod["status"], "containerStatuses").filter(|status| status["ready"] == true).count();
    vec![
        pod["metadata"]["name"].clone(),
        format!("{ready}/{total}").into(),
        status(pod).into(),
        restarts(pod, now).into(),
        age::of(pod, now),
        text_or(&pod["status"]["podIP"], "<none>"),
        text_or(&pod["spec"]["nodeName"], "<none>"),
        text_or(&pod["status"]["nominatedNodeName"], "<none>"),
        readiness_gates(pod),
    ]
}

/// The one word that says how a pod is.
pub(super) fn status(pod: &Value) -> String {
    let own = pod["status"]["reason"].as_str().or_else(|| pod["status"]["phase"].as_str());
    let mut word = own.unwrap_or("Unknown").to_owned();
    let mut is_initializing = false;
    let init_total = list(&pod["spec"], "initContainers").count();
    for (index, container) in list(&pod["status"], "initContainerStatuses").enumerate() {
        let state = &container["state"];
        if state["terminated"]["exitCode"] == 0 {
            continue;
        }
        word = if state["terminated"].is_object() {
            format!("Init:{}", ended(&state["terminated"]))
        } else {
            match state["waiting"]["reason"].as_str().filter(|reason| !reason.is_empty()) {
                Some(reason) if reason != "PodInitializing" => format!("Init:{reason}"),
                _ => format!("Init:{index}/{init_total}"),
            }
        };
        is_initializing = true;
        break;
    }
    if !is_initializing {
        let mut has_running = false;
        for container in list(&pod["status"], "containerStatuses").rev() {
            let state = &container["state"];
            if let Some(reason) = state["waiting"]["reason"].as_str().filter(|reason| !reason.is_empty()) {
                reason.clone_into(&mut word);
            } else if state["terminated"].is_object() {
                word = ended(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                has_running = true;
            }
        }
        if word == "Completed" && has_running {
            let is_ready = list(&pod["status"], "conditions").any(|c| c["type"] == "Ready" && c["status"] == "True");
            word = if is_ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        let is_over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if pod["status"]["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut word);
        } else if !is_over {
            "Terminating".clone_into(&mut word);
        }
    }
    word
}

fn ended(terminated: &Value) -> String {
    if let Some(reason) = terminated["reason"].as_str().filter(|reason| !reason.is_empty()) {
        return reason.to_owned();
    }
    match terminated["signal"].as_i64().filter(|signal| *signal != 0) {
        Some(signal) => format!("Signal:{signal}"),
        None => format!("ExitCode:{}", terminated["exitCode"]),
    }
}

fn restarts(pod: &Value, now: Timestamp) -> String {
    let statuses: Vec<&Value> = list(&pod["status"], "containerStatuses").collect();
    let count: i64 = statuses.iter().map(|status| status["restartCount"].as_i64().unwrap_or(0)).sum();
    let last = statuses
        .iter()
        .filter_map(|status| status["lastState"]["terminated"]["finishedAt"].as_str())
        .filter_map(|text| text.parse::<Timestamp>().ok())
        .max();
    match last {
        Some(last) if count > 0 => {
            format!("{count} ({} ago)", age::human_duration(now.duration_since(last).as_secs()))
        }
        _ => count.to_string(),
    }
}

fn readiness_gates(pod: &Value) -> Value {
    let gates: Vec<&Value> = list(&pod["spec"], "readinessGates").collect();
    if gates.is_empty() {
        return json!("<none>");
    }
    let met = gates
        .iter()
        .filter(|gate| {
            list(&pod["status"], "conditions").any(|c| c["type"] == gate["conditionType"] && c["status"] == "True")
        })
        .count();
    format!("{met}/{}", gates.len()).into()
}
