//! Rules for shell scripts that can be seen by reading them, and which ends of a run they count. Starts no cluster and installs nothing.

use std::path::Path;
use std::process::Command;

use crate::tree::{Source, files, read, root};

/// What says which ends of a run count.
const ENDS: &str = "tests/experiments/accepted.sh";

/// Every shell script of ours.
fn scripts() -> Vec<Source> {
    let ours = |path: &String| path.starts_with(".ci/") || path.starts_with("tests/");
    // Of other files there are such as are no text.
    let may_be_one = |path: &String| Path::new(path).extension().is_none_or(|extension| extension == "sh");
    let is_one = |file: &Source| file.path.ends_with(".sh") || file.text.starts_with("#!/usr/bin/env bash\n");
    files().into_iter().filter(|path| ours(path) && may_be_one(path)).map(read).filter(is_one).collect()
}

/// The commands of a script, a line each.
fn commands(script: &Source) -> Vec<String> {
    let joined = script.text.replace("\\\n", " ");
    joined.lines().map(|line| line.trim().to_owned()).filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_trap_takes_no_cluster_away_whose_folder_its_script_does_not_have_alone() {
    let mut found = Vec::new();
    for script in scripts().iter().filter(|script| script.text.contains("/down\"")) {
        let commands = commands(script);
        let at = |start: &str| commands.iter().position(|command| command.starts_with(start));
        if let Some(trap) = at("trap ") {
            let lock = at("lock \"$dir\"");
            assert!(lock.is_some_and(|lock| lock < trap), "{}: a trap, and no lock before it", script.path);
            found.push(script.path.clone());
        }
    }
    assert!(found.len() >= 2, "of those that take a cluster away this finds {found:?}");
}

#[test]
fn what_outlives_a_script_does_not_hold_its_lock() {
    let folder = scripts().into_iter().filter(|script| script.path.starts_with("tests/real-kubernetes/"));
    let started: Vec<String> =
        folder.flat_map(|script| commands(&script)).filter(|command| command.starts_with("setsid ")).collect();
    assert!(started.len() >= 2, "{started:?}");
    let holding: Vec<_> = started.iter().filter(|command| !command.contains("8>&-")).collect();
    assert!(holding.is_empty(), "these keep the descriptor of `lock`: {holding:#?}");
}

/// Flags are part of what Go keeps a compiled package under: a program that is built with others shares nothing.
#[test]
fn programs_in_go_are_built_with_the_same_flags() {
    let build = read("tests/real-kubernetes/build".to_owned());
    let flags: Vec<_> = commands(&build).into_iter().filter(|command| command.contains("GOFLAGS=")).collect();
    assert!(flags.len() >= 2, "{flags:?}");
    let others: Vec<_> = flags.iter().filter(|command| !command.contains("GOFLAGS=\"$go_flags ")).collect();
    assert!(others.is_empty(), "these have flags of their own: {others:#?}");
    assert!(commands(&build).iter().all(|command| !command.contains("go build") || !command.contains("-gcflags")));
}

/// A run of CI compiles each crate once; only the errors that are seeded into one crate are compiled again and again.
#[test]
fn only_what_is_compiled_again_is_compiled_step_by_step() {
    let says = |path: &str, start: &str, words: &str| {
        commands(&read(path.to_owned())).iter().any(|command| command.starts_with(start) && command.contains(words))
    };
    assert!(says(".ci/run", "export ", "CARGO_INCREMENTAL=0"));
    assert!(says(".ci/mutants", "CARGO_INCREMENTAL=1 ", "/examples/mutants\""));
}

#[test]
fn no_package_has_to_go_for_one_that_is_installed() {
    let scripts = scripts();
    let installs: Vec<String> = scripts
        .iter()
        .flat_map(commands)
        .filter(|command| command.contains("apt-get install") && !command.contains("--simulate"))
        .collect();
    assert!(!installs.is_empty());
    let removing: Vec<_> = installs.iter().filter(|command| !command.contains(" --no-remove ")).collect();
    assert!(removing.is_empty(), "these may remove packages: {removing:#?}");
}

#[test]
fn too_little_evidence_counts_by_one_rule_alone() {
    let counting: Vec<_> = scripts().into_iter().filter(|script| script.text.contains("0 7")).collect();
    assert!(counting.len() >= 4, "{} scripts accept too little evidence", counting.len());
    for script in &counting {
        let asks = |start: &str, word: &str| {
            commands(script).iter().any(|command| command.starts_with(start) && command.contains(word))
        };
        assert!(asks("source ", "accepted.sh") && asks("accepted ", "$code"), "{} does not ask {ENDS}", script.path);
    }
}

#[test]
fn scripts_and_suites_know_a_busy_machine_by_the_same_reasons() {
    let suites = read("tests/e2e/main.rs".to_owned()).text;
    let reasons = suites.split_once("const BUSY: ").and_then(|(_, rest)| rest.split_once("= [")?.1.split_once("];"));
    let (reasons, _) = reasons.expect("the list of the suites");
    assert!(read(ENDS.to_owned()).text.contains(&format!("IN({reasons})")), "{ENDS} does not have {reasons}");
}

/// Whether a script would count a run that ended with this code and result.
fn accepted(codes: &str, code: u8, result: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("result.json");
    std::fs::write(&file, result).unwrap();
    let bash = "set -euo pipefail; source \"$0\"; accepted 'a run' \"$1\" \"$2\" \"$3\"";
    let mut command = Command::new("bash");
    command.arg("-c").arg(bash).arg(root().join(ENDS)).arg(codes).arg(code.to_string()).arg(file);
    command.output().expect("bash is installed").status.success()
}

#[test]
fn too_little_evidence_counts_on_a_busy_machine_alone() {
    // The scripts need jq, and CI installs it; `cargo test` does not need it.
    if Command::new("jq").arg("--version").output().is_err() {
        return;
    }
    let run = |reason: &str| {
        format!(r#"{{"kind": "RunResult", "verdict": {{"reasonCode": "{reason}", "reasonText": "in words"}}}}"#)
    };
    let load = |late: u32, decision: &str| {
        format!(
            r#"{{"flows": [{{"flow": "f", "late": {late}, "unsent": 0, "unknownOutcome": 0}}], "thresholds":
               [{{"flow": "f", "threshold": "p99<1s", "decision": "{decision}", "found": "in words"}}]}}"#
        )
    };
    for (codes, code, result, counts) in [
        ("0 7", 0, run("HypothesisHeld"), true),
        ("0 7", 7, run("TooMuchLag"), true),
        ("0 7", 7, run("ClockUncertain"), true),
        ("0 7", 7, run("TooLittleEvidence"), false),
        ("0 7", 7, run("ProberLost"), false),
        ("0 7", 7, String::new(), false),
        ("0 7", 1, run("SloRefuted"), false),
        ("1", 7, run("TooMuchLag"), false),
        ("1", 1, run("InvariantBroken"), true),
        ("0 7", 0, load(3, "held"), true),
        ("0 7", 7, load(3, "undecided"), true),
        ("0 7", 7, load(0, "undecided"), false),
        ("0 7", 1, load(3, "crossed"), false),
    ] {
        assert_eq!(accepted(codes, code, &result), counts, "exit code {code}, accepted are {codes}: {result}");
    }
}
