//! The words that people read most.

use jiff::Timestamp;
use serde_json::json;

use super::age::human_duration;
use super::{idle, path, pods};

#[test]
fn ages_are_worded_as_kubectl_words_them() {
    for (seconds, text) in [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (600, "10m"),
        (10_800, "3h"),
        (12_000, "3h20m"),
        (86_400, "24h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (864_000, "10d"),
        (63_072_000, "2y"),
    ] {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
}

#[test]
fn a_pods_status_tells_what_its_containers_do() {
    for (pod, word) in [
        (json!({"status": {"phase": "Pending"}}), "Pending"),
        (json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}}), "Terminating"),
        (
            json!({"status": {"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}}),
            "CrashLoopBackOff",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}}),
            "Signal:9",
        ),
        (
            json!({"spec": {"initContainers": [{}, {}]}, "status": {"phase": "Pending",
                "initContainerStatuses": [{"state": {"running": {}}}]}}),
            "Init:0/2",
        ),
    ] {
        assert_eq!(pods::status(&pod), word);
    }
}

#[test]
fn restarts_say_how_long_ago() {
    let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
    let pod = json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"containers": [{}]},
        "status": {"phase": "Running", "containerStatuses": [{"ready": true, "restartCount": 2, "state": {"running": {}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:09:00Z"}}}]}});
    let cells = (pods::view().cells)(&pod, now);
    assert_eq!(cells[..5], [json!("p"), json!("1/1"), json!("Running"), json!("2 (60s ago)"), json!("10m")]);
}

#[test]
fn printer_columns_reach_fields_list_positions_and_conditions() {
    let object = json!({
        "metadata": {"labels": {"app.kubernetes.io/name": "trips"}},
        "spec": {"n": 3}, "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    for (path, expected) in [
        (".spec.n", Some(json!(3))),
        (".spec.missing", None),
        (".status.conditions[?(@.type==\"Ready\")].status", Some(json!("True"))),
        (".status.conditions[?(@.type=='Other')].status", None),
        (".status.conditions[0].type", Some(json!("Ready"))),
        (".status.conditions[*].type", Some(json!("Ready"))),
        (".status.missing[*].type", None),
        (".metadata.labels['app.kubernetes.io/name']", Some(json!("trips"))),
        (".metadata.labels.app\\.kubernetes\\.io/name", Some(json!("trips"))),
    ] {
        assert_eq!(path::json_path(&object, path), expected, "{path}");
    }
}

#[test]
fn a_job_says_how_far_it_is_and_a_cron_job_whether_it_is_suspended() {
    let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
    let cells = |status: serde_json::Value, spec: serde_json::Value| {
        let job = json!({"metadata": {"name": "j"}, "spec": spec, "status": status});
        (idle::of_job().cells)(&job, now)[1..4].to_vec()
    };
    let ended = json!({"succeeded": 2, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:30Z",
        "conditions": [{"type": "Complete", "status": "True"}]});
    assert_eq!(cells(ended, json!({"completions": 2})), [json!("Complete"), json!("2/2"), json!("30s")]);
    let suspended = json!({"conditions": [{"type": "Suspended", "status": "True"}]});
    assert_eq!(cells(suspended, json!({"parallelism": 3})), [json!("Suspended"), json!("0/1 of 3"), json!("")]);
    assert_eq!(cells(json!({}), json!({"parallelism": 1})), [json!("Running"), json!("0/1"), json!("")]);
    for (suspended, word) in [(true, "True"), (false, "False")] {
        let cron_job = json!({"metadata": {"name": "c"}, "spec": {"suspend": suspended, "jobTemplate": {}}});
        assert_eq!((idle::of_cron_job().cells)(&cron_job, now)[3], json!(word));
    }
}
