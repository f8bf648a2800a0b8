//! The columns of kinds that are stored and that no controller of this cluster acts on.

use jiff::Timestamp;
use serde_json::Value;

use super::age;
use super::columns::{AGE, NAME, View, at, containers, count, list, name, number, selector, text_or};

pub(super) fn of_daemon_set() -> View {
    View { headings: DAEMON_SET, cells: daemon_set }
}

pub(super) fn of_job() -> View {
    View { headings: JOB, cells: job }
}

pub(super) fn of_cron_job() -> View {
    View { headings: CRON_JOB, cells: cron_job }
}

const CONTAINERS: (&str, &str, i64) = ("Containers", "string", 1);
const IMAGES: (&str, &str, i64) = ("Images", "string", 1);
const SELECTOR: (&str, &str, i64) = ("Selector", "string", 1);

const DAEMON_SET: &[(&str, &str, i64)] = &[
    NAME,
    ("Desired", "integer", 0),
    ("Current", "integer", 0),
    ("Ready", "integer", 0),
    ("Up-to-date", "integer", 0),
    ("Available", "integer", 0),
    ("Node Selector", "string", 0),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const JOB: &[(&str, &str, i64)] = &[
    NAME,
    ("Status", "string", 0),
    ("Completions", "string", 0),
    ("Duration", "string", 0),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
const CRON_JOB: &[(&str, &str, i64)] = &[
    NAME,
    ("Schedule", "string", 0),
    ("Timezone", "string", 0),
    ("Suspend", "boolean", 0),
    ("Active", "integer", 0),
    ("Last Schedule", "string", 0),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(o);
    vec![
        name(o),
        number(o, "status.desiredNumberScheduled").into(),
        number(o, "status.currentNumberScheduled").into(),
        number(o, "status.numberReady").into(),
        number(o, "status.updatedNumberScheduled").into(),
        number(o, "status.numberAvailable").into(),
        selector(&o["spec"]["template"]["spec"]["nodeSelector"]),
        age::of(o, now),
        names,
        images,
        selector(&o["spec"]["selector"]),
    ]
}

fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let has = |kind: &str| {
        list(&o["status"]["conditions"]).any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    let is_deleting = !o["metadata"]["deletionTimestamp"].is_null();
    let status = match ["Complete", "Failed"].into_iter().find(|kind| has(kind)) {
        Some(end) => end,
        None if is_deleting => "Terminating",
        None => {
            let kinds = ["Suspended", "FailureTarget", "SuccessCriteriaMet"];
            kinds.into_iter().find(|kind| has(kind)).unwrap_or("Running")
        }
    };
    let time = |path: &str| at(o, path).as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let duration = time("status.startTime").map(|start| {
        let end = time("status.completionTime").unwrap_or(now);
        age::human_duration(end.duration_since(start).as_secs())
    });
    let succeeded = number(o, "status.succeeded");
    let completions = match (at(o, "spec.completions").as_i64(), number(o, "spec.parallelism")) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, at_once) if at_once > 1 => format!("{succeeded}/1 of {at_once}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let [names, images] = containers(o);
    vec![
        name(o),
        status.into(),
        completions.into(),
        duration.unwrap_or_default().into(),
        age::of(o, now),
        names,
        images,
        selector(&o["spec"]["selector"]),
    ]
}

fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let last = &o["status"]["lastScheduleTime"];
    let last = if last.is_string() { age::since_text(last, now) } else { "<none>".to_owned() };
    let [names, images] = containers(&o["spec"]["jobTemplate"]);
    // A word, though its column is one of booleans.
    let suspended = if o["spec"]["suspend"] == true { "True" } else { "False" };
    vec![
        name(o),
        at(o, "spec.schedule"),
        text_or(&at(o, "spec.timeZone"), "<none>"),
        suspended.into(),
        count(&o["status"]["active"]).into(),
        last.into(),
        age::of(o, now),
        names,
        images,
        selector(&o["spec"]["jobTemplate"]["spec"]["selector"]),
    ]
}
