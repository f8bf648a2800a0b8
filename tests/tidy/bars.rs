//! By which bars `tests/real-kubernetes/scale` judges what it has measured, and what makes it fail. Measures nothing.

use std::process::Command;

use crate::tree::{read, root};

/// What these commands print after `bars.sh` is read, and whether they end well.
fn run(commands: &str) -> (String, bool) {
    let bash = format!("set -euo pipefail; source \"$0\"; {commands}");
    let script = root().join("tests/real-kubernetes/bars.sh");
    let output = Command::new("bash").arg("-c").arg(bash).arg(script).output().expect("bash is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("bars.sh: line"), "{commands}: {said}");
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
}

#[test]
fn the_bars_are_those_of_the_page() {
    let page = read("docs/performance.md".to_owned()).text.replace('\n', " ");
    for words in [
        "40 MiB at 1,000 watched pods and 64 MiB at 10,000",
        "1 % of a core when idle",
        "(bar: 4 KB)",
        "(bar: 5 s)",
        "The bar is 100 ms at p99",
    ] {
        assert!(page.contains(words), "docs/performance.md does not say {words:?}: is it still a bar?");
    }
    let limits = "for pods in 0 1000 1001 10000 10001; do echo \"at $pods: $(memory_limit \"$pods\")\"; done";
    assert_eq!(run(limits).0, "at 0: 40\nat 1000: 40\nat 1001: 64\nat 10000: 64\nat 10001: \n");
    let others = "echo \"$IDLE_CPU_PERCENT $TAKEN_UP_MS $BYTES_EACH_POD $LATE_SECONDS\"";
    assert_eq!(run(others).0, "1 5000 4096 0.1\n");
}

#[test]
fn a_figure_above_its_bar_misses_it_and_so_does_one_that_is_none() {
    for (figure, verdict) in
        [("40", "held"), ("39.4", "held"), ("0", "held"), ("40.1", "missed"), ("", "missed"), ("+Inf", "missed")]
    {
        let (said, _) = run(&format!("bar memory '{figure}' 40 MiB; judged no no"));
        let found = said.lines().nth(1).unwrap_or_default();
        assert!(found.starts_with(verdict) && found.ends_with("MiB (bar: 40)"), "{figure:?}: {found}");
    }
    let (without_a_bar, _) = run("bar memory 500 '' MiB; judged no no");
    assert!(without_a_bar.contains("0 missed"), "{without_a_bar}");
}

#[test]
fn what_each_more_pod_takes_is_a_number_of_bytes() {
    assert_eq!(run("each_pod 39.4 59.4 9000").0, "2330\n");
    assert_eq!(run("each_pod 40 39.9 9000").0, "0\n", "a run of fewer pods may have taken more");
}

#[test]
fn one_late_kill_of_a_hundred_is_borne() {
    for (kills, later, verdict) in [
        ("100", "1", "held"),
        ("410", "4", "held"),
        ("60", "0", "held"),
        ("410", "44", "missed"),
        ("99", "1", "missed"),
    ] {
        let (said, _) = run(&format!("late_bar quiet {kills} {later}; judged no no"));
        assert!(said.lines().nth(1).unwrap_or_default().starts_with(verdict), "{later} of {kills}: {said}");
    }
    for nothing in ["0 0", "'' ''", "60 ''"] {
        let (said, _) = run(&format!("late_bar quiet {nothing}; judged no no"));
        assert!(said.contains("missed  quiet"), "what was not measured is not held: {said}");
    }
}

#[test]
fn only_what_is_asked_for_makes_it_fail() {
    let (held, missed) = ("bar memory 1 2 MiB; late_bar quiet 100 1", "bar memory 3 2 MiB");
    let late = "late_bar quiet 100 2";
    for (figures, bars, lateness, succeeds) in [
        (held, "yes", "yes", true),
        (missed, "no", "yes", true),
        (missed, "yes", "no", false),
        (late, "yes", "no", true),
        (late, "no", "yes", false),
    ] {
        let (said, success) = run(&format!("{figures}; judged {bars} {lateness}"));
        assert_eq!(success, succeeds, "{figures}, bars {bars}, lateness {lateness}: {said}");
    }
}

#[test]
fn everything_that_is_measured_is_judged() {
    let script = read("tests/real-kubernetes/scale".to_owned()).text;
    let calls = |start: &str| script.lines().filter(|line| line.starts_with(start)).count();
    assert!(calls("measure \"") >= 6, "the phases are no longer found");
    assert_eq!(calls("bar \"memory, "), calls("measure \""), "a phase without a bar of memory");
    let kills = script.lines().filter(|line| line.starts_with("measure \"") && line.contains(" kill ")).count();
    assert_eq!(calls("late_bar \""), kills, "a phase with kills whose lateness is not told");
    assert_eq!(calls("bar \"processor, "), 2, "idle is what has no monkey, and what has monkeys that wait");
    assert!(script.trim_end().ends_with("judged \"$bars\" \"$lateness\""), "it ends with its verdict");
}
