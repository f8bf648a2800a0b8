//! Whole runs and what they prove.

use std::time::Duration;

use chaos_tests::{Chaos, wait};
use serde_json::Value;

use crate::{SHORT, alone, beside, chaos, lenient, manifest, passed_or_starved};

/// A whole demo of a debug build on a busy machine.
const DEMO: Duration = Duration::from_secs(240);

#[test]
fn a_resilient_stack_passes_and_nothing_is_left() {
    let _machine = alone();
    let chaos = chaos();
    let end = chaos.run(["demo", "--rides", "10", "--experiment", &manifest(&chaos, SHORT)]);
    chaos.expect_nothing_left(Duration::from_secs(5));
    let result = result(&chaos);
    assert!(passed_or_starved(end.code, &result), "{}\n{}", end.stdout, end.stderr);
    let kills = result["kills"]["done"].as_u64().unwrap();
    assert!((11..=14).contains(&kills), "{}", result["kills"]);
    assert!(result["invariants"][0]["checked"].as_u64().unwrap() > 50, "{}", result["invariants"]);
    the_journal_rebuilds_every_report(&chaos, end.code);
}

/// `chaos report` makes byte-identical outputs of the journal alone.
fn the_journal_rebuilds_every_report(chaos: &Chaos, code: Option<i32>) {
    let folder = run_folder(chaos);
    let again = chaos.path("again");
    let journal = folder.join("run.journal");
    let end = chaos.run(["report", journal.to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert_eq!(end.code, code, "{}", end.stderr);
    // The operator's kills, planned again from the seed and what was seen of the pods.
    let replay = chaos.run(["replay", journal.to_str().unwrap()]);
    assert_eq!(replay.code, Some(0), "{}{}", replay.stdout, replay.stderr);
    assert!(replay.stdout.contains("no difference"), "{}", replay.stdout);
    for name in ["report.html", "result.json", "junit.xml", "summary.md"] {
        assert!(
            std::fs::read(folder.join(name)).unwrap() == std::fs::read(again.join(name)).unwrap(),
            "{name} differs"
        );
    }
}

#[test]
fn a_fragile_stack_fails_the_same_experiment_with_the_story_of_a_ride() {
    let _machine = alone();
    let chaos = chaos();
    let end = chaos.run(["demo", "--fragile", "--rides", "20", "--experiment", &manifest(&chaos, SHORT)]);
    assert_eq!(end.code, Some(1), "{}\n{}", end.stdout, end.stderr);
    let result = result(&chaos);
    assert_eq!(result["verdict"]["reasonCode"], "InvariantBroken");
    let story = result["invariants"][0]["stories"][0]["story"].as_str().unwrap();
    assert!(story.contains("ride"), "{story}");
    chaos.expect_nothing_left(Duration::from_secs(5));
}

#[test]
fn every_experiment_of_a_demo_stands_in_the_results_also_where_one_cannot_be_started() {
    let _machine = beside();
    let chaos = chaos();
    let nobody = SHORT
        .replace("name: gateway}", "name: none}")
        .replace("{kind: Deployment, name: trips}", "{kind: Deployment, name: nil}");
    let two = format!("{nobody}\n---\n{}", nobody.replace("{name: short,", "{name: short-too,"));
    let end = chaos.run(["demo", "--rides", "10", "--experiment", &manifest(&chaos, &two), "-o", "json=-"]);
    assert_eq!(end.code, Some(8), "{}", end.stderr);
    let results = end.document();
    let told = |i: usize| (&results["items"][i]["run"]["experiment"], &results["items"][i]["verdict"]["exitCode"]);
    assert_eq!([told(0), told(1)], [(&"short".into(), &8.into()), (&"short-too".into(), &8.into())], "{results}");
    chaos.expect_nothing_left(Duration::from_secs(5));
}

#[test]
fn a_killed_operator_goes_on_and_kills_nothing_twice() {
    let _machine = alone();
    let chaos = chaos();
    let mut running = chaos.start(["demo", "--rides", "10", "--experiment", &manifest(&chaos, &lenient())]);
    running.expect_output("kill 4/", DEMO);
    let operator = process(&chaos, "operator").expect("the operator runs");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(operator.cast_signed()), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    assert!(wait(DEMO, || process(&chaos, "operator").is_some_and(|pid| pid != operator)), "the operator is restarted");
    let end = running.expect_end(DEMO);
    let result = result(&chaos);
    assert!(passed_or_starved(end, &result), "{}", running.output());
    let mut victims: Vec<_> =
        result["killRows"].as_array().unwrap().iter().map(|row| row["victim"]["uid"].to_string()).collect();
    let kills = victims.len();
    victims.sort();
    victims.dedup();
    assert_eq!(victims.len(), kills, "a pod was killed twice");
    assert!(kills <= 14, "{kills} kills");
}

/// The folder of the only run.
fn run_folder(chaos: &Chaos) -> std::path::PathBuf {
    let mut folders: Vec<_> =
        std::fs::read_dir(chaos.path("out")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

pub(crate) fn result(chaos: &Chaos) -> Value {
    let text = std::fs::read_to_string(run_folder(chaos).join("result.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// A process of the program whose first argument is this.
fn process(chaos: &Chaos, argument: &str) -> Option<u32> {
    chaos.processes().into_iter().find(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(argument.as_bytes())
    })
}
