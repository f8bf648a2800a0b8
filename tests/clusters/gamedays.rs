//! Game days from the command line: listed, started, approved, and refused where nothing waits.

use chaos_tests::Ended;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::given;
use crate::runs;
use crate::workload::Workload;

/// An Experiment, and a game day of dry runs over it that asks before it ends.
pub(crate) fn manifests(namespace: &str) -> String {
    let steps = json!([
        {"name": "first", "experiment": {"name": "eta"}},
        {"name": "look", "dependsOn": ["first"], "approval": {"prompt": "Is it green?", "within": "1h"}},
    ]);
    let experiment = json!({
        "hypothesis": "Somebody answers while eta pods die.",
        "target": {"environment": "test", "workloads": [{"kind": "Deployment", "name": "eta"}]},
        "fault": {"podKill": {"strikes": {"target": 4, "min": 2}, "every": {"mean": "1s", "distribution": "Fixed"}}},
        "phases": {"baseline": "1s", "fault": "40s", "recovery": "1s"},
        "probes": [{"name": "ask", "http": {"service": "eta", "rate": "50/s", "timeout": "1s", "maxLag": "5s"},
            "slo": {"availability": "90%", "confidence": "95%", "evidence": {"observed": {}}}}],
        "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 10, "minInterval": "0s", "recoverWithin": "30s",
            "maxBlind": "30s", "allowForce": false},
        "abort": [],
    });
    manifests_of(namespace, "DryRun", &experiment, &steps)
}

/// That experiment, and a game day of other steps.
fn manifests_of(namespace: &str, mode: &str, experiment: &Value, steps: &Value) -> String {
    let experiment = json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "Experiment",
        "metadata": {"name": "eta", "namespace": namespace}, "spec": experiment,
    });
    let day = json!({
        "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
        "metadata": {"name": "weekly", "namespace": namespace},
        "spec": {
            "schedule": "Manual", "blackout": [], "startingDeadline": "1m", "mode": mode, "steps": steps,
        },
    });
    format!("{experiment}\n---\n{day}\n")
}

/// That game day in a namespace of its own.
fn planned(cluster: &Cluster) -> Workload<'_> {
    let workload = Workload::deploy(cluster);
    cluster.apply(&manifests(&workload.namespace));
    workload
}

fn gameday(workload: &Workload<'_>, args: &[&str]) -> Ended {
    workload.cluster.run(&[&["gameday"], args, &["-n", &workload.namespace]].concat())
}

/// Waits until the game day asks its question.
fn asks(workload: &Workload<'_>) {
    workload.cluster.eventually("it asks", || async {
        let day = shown_step(&gameday(workload, &["show", "weekly"]).stdout);
        if day.contains("Running") { Ok(()) } else { Err(day) }
    });
}

#[test]
fn a_game_day_is_started_and_approved_from_the_command_line() {
    let cluster = Cluster::installed();
    let workload = planned(&cluster);
    let chaos = |args: &[&str]| gameday(&workload, args);
    let shown = || chaos(&["show", "weekly", "-o", "json"]).document();
    let report = |name: &str| cluster.run(&["report", name, "-n", &workload.namespace]);

    let early = report("gameday/weekly");
    assert_eq!(early.code, Some(3), "{}", early.stderr);
    assert!(early.stderr.contains("no execution"), "{}", early.stderr);
    let none = chaos(&["approve", "weekly"]);
    assert_eq!(none.code, Some(4), "{}", none.stderr);
    assert!(none.stderr.contains("waits for no approval"), "{}", none.stderr);
    assert_eq!(shown()["spec"]["control"], Value::Null, "nothing was written");
    let unknown = chaos(&["start", "monthly"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("chaos gameday list"), "{}", unknown.stderr);
    let unknown = report("gameday/monthly");
    assert_eq!(unknown.code, Some(2), "{}", unknown.stderr);

    let started = chaos(&["start", "weekly", "--id", "release"]);
    assert_eq!(started.code, Some(0), "{}", started.stderr);
    let execution = started.stdout.trim();
    assert!(execution.starts_with("release-"), "{execution}");
    let list = chaos(&["list"]);
    assert!(list.stdout.contains("weekly") && list.stdout.contains(execution), "{}", list.stdout);
    let again = chaos(&["start", "weekly", "--id", "release"]);
    assert_eq!(again.code, Some(4), "an id starts once: {}", again.stderr);
    let beside = chaos(&["start", "weekly"]);
    assert_eq!(beside.code, Some(4), "{}", beside.stderr);
    assert!(beside.stderr.contains("StillRunning"), "{}", beside.stderr);

    asks(&workload);
    let other = chaos(&["approve", "weekly", "first"]);
    assert_eq!(other.code, Some(4), "a step that is no question: {}", other.stderr);
    let approved = chaos(&["approve", "weekly"]);
    assert_eq!(approved.code, Some(0), "{}", approved.stderr);
    assert!(approved.stderr.contains("Is it green?"), "{}", approved.stderr);
    cluster.eventually("an end", || async {
        let last = shown()["status"]["last"]["outcome"].clone();
        if last == "planned" { Ok(()) } else { Err(last.to_string()) }
    });
    assert_eq!(shown()["status"]["started"], 1);
    assert_eq!(chaos(&["approve", "weekly"]).code, Some(4), "it waits for nothing any more");
    let told = report("cgd/weekly");
    assert_eq!(told.code, Some(0), "nothing was touched, and all is as planned: {}", told.stderr);
    let page = std::fs::read_to_string(page(&cluster, execution)).expect("a summary");
    for (step, outcome) in [("first", "planned"), ("look", "pass")] {
        assert!(told.stdout.lines().any(|line| line.contains(step) && line.contains(outcome)), "{}", told.stdout);
        assert!(page.contains(&format!("| {step} | Passed | {outcome} |")), "{page}");
    }
}

/// Where an execution of the game day is told.
fn page(cluster: &Cluster, execution: &str) -> std::path::PathBuf {
    cluster.path("out").join(format!("weekly-{execution}")).join("summary.md")
}

#[test]
fn a_game_day_that_is_over_is_told_on_one_page_with_the_reports_of_its_runs() {
    let cluster = Cluster::installed();
    let workload = Workload::deploy(&cluster);
    let steps = json!([
        {"name": "first", "experiment": {"name": "eta"}},
        {"name": "second", "dependsOn": ["first"], "experiment": {"name": "not-there"}},
    ]);
    cluster.apply(&runs::service(&workload.namespace).to_string());
    // From elsewhere no address of a cluster is reached.
    if given::machines().is_some() {
        workload.until_reached();
    }
    cluster.apply(&manifests_of(&workload.namespace, "Live", &runs::experiment(), &steps));
    let started = gameday(&workload, &["start", "weekly"]);
    assert_eq!(started.code, Some(0), "{}", started.stderr);
    let last = cluster.eventually("an end", || async {
        let last = gameday(&workload, &["show", "weekly", "-o", "json"]).document()["status"]["last"].clone();
        if last["outcome"].is_string() { Ok(last) } else { Err(last.to_string()) }
    });
    // A machine that is too busy costs evidence, and then the second step is not started.
    let (first, second) = (last["steps"][0]["outcome"].clone(), last["steps"][1]["outcome"].clone());
    let exit_code = match (first.as_str(), second.as_str()) {
        (Some("pass"), Some("invalid")) => 2,
        (Some("inconclusive"), _) => 7,
        _ => panic!("{last:#}"),
    };
    let told = cluster.run(&["report", "gameday/weekly", "-n", &workload.namespace]);
    let text = std::fs::read_to_string(page(&cluster, started.stdout.trim())).expect("a summary");
    let link = text.split("[report](").nth(1).and_then(|rest| rest.split(')').next()).expect("a link to the report");
    let report = page(&cluster, started.stdout.trim()).with_file_name(link);
    for name in ["report.html", "run.journal", "result.json", "junit.xml", "summary.md"] {
        assert!(report.with_file_name(name).is_file(), "{name} beside {}", report.display());
    }
    assert!(text.contains("Somebody answers while eta pods die"), "the page of the run: {text}");
    assert!(told.stdout.contains(link), "{}", told.stdout);
    let reason = if exit_code == 2 { "there is no Experiment" } else { "first" };
    assert!(text.contains(reason) && told.stdout.contains(reason), "{text}");
    // Of the fetched evidence this machine may think worse, never better.
    assert!(
        told.code == Some(exit_code) || told.stderr.contains("the evidence says"),
        "{:?} {}",
        told.code,
        told.stderr
    );
}

#[test]
fn a_game_day_is_rejected_aborted_and_suspended_from_the_command_line() {
    let cluster = Cluster::installed();
    let workload = planned(&cluster);
    let chaos = |args: &[&str]| gameday(&workload, args);
    let ends = |what: &str| {
        cluster.eventually(what, || async {
            let shown: Value =
                serde_json::from_str(&chaos(&["show", "weekly", "-o", "json"]).stdout).unwrap_or_default();
            let outcome = shown["status"]["last"]["outcome"].clone();
            let is_over = shown["status"]["active"].is_null();
            if is_over && outcome == "aborted" { Ok(()) } else { Err(shown["status"].to_string()) }
        });
    };

    let nothing = chaos(&["abort", "weekly"]);
    assert_eq!(nothing.code, Some(4), "{}", nothing.stderr);
    assert_eq!(chaos(&["reject", "weekly"]).code, Some(4));
    assert_eq!(chaos(&["start", "weekly", "--id", "one"]).code, Some(0));
    asks(&workload);
    let rejected = chaos(&["reject", "weekly", "look"]);
    assert_eq!(rejected.code, Some(0), "{}", rejected.stderr);
    assert!(rejected.stderr.contains("Is it green?") && rejected.stderr.contains("is rejected"), "{}", rejected.stderr);
    ends("the end of what was rejected");

    let second = chaos(&["start", "weekly", "--id", "two"]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let other = chaos(&["abort", "weekly", "--execution", "one-1"]);
    assert_eq!(other.code, Some(4), "one that is not under way: {}", other.stderr);
    let aborted = chaos(&["abort", "weekly", "--execution", second.stdout.trim()]);
    assert_eq!(aborted.code, Some(0), "{}", aborted.stderr);
    ends("the end of what was aborted");

    let suspended = chaos(&["suspend", "weekly"]);
    assert_eq!(suspended.code, Some(0), "{}", suspended.stderr);
    let refused = chaos(&["start", "weekly"]);
    assert_eq!(refused.code, Some(4), "{}", refused.stderr);
    assert!(refused.stderr.contains("Suspended"), "{}", refused.stderr);
    assert_eq!(chaos(&["resume", "weekly"]).code, Some(0));
    assert_eq!(chaos(&["suspend", "monthly"]).code, Some(2));
    let everywhere = cluster.run(&["gameday", "list", "-A"]);
    assert!(everywhere.stdout.contains(&format!("{}/weekly", workload.namespace)), "{}", everywhere.stdout);
}

/// The line of the question.
fn shown_step(table: &str) -> String {
    table.lines().find(|line| line.trim_start().starts_with("look")).unwrap_or_default().to_owned()
}
