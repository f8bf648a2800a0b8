//! The composite action under `ci/`: its script, run as a runner would, passes the exit code on and tells where the reports are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use chaos_tests::Chaos;
use serde_json::Value;

use crate::{SHORT, alone, chaos, manifest, passed_or_starved};

/// What a step of the action left behind.
struct Step {
    code: Option<i32>,
    log: String,
    outputs: String,
    summary: String,
}

/// Runs the action with these inputs, the others as they are by default.
fn run(chaos: &Chaos, inputs: &[(&str, &str)]) -> Step {
    let action: Value = serde_yaml::from_str(include_str!("../../ci/action.yml")).unwrap();
    let own: BTreeMap<&str, &str> = inputs.iter().copied().collect();
    let input = |name: &str| {
        let default = &action["inputs"][name];
        assert!(default.is_object(), "no input {name}");
        own.get(name).copied().or(default["default"].as_str()).unwrap_or_default()
    };
    let step = &action["runs"]["steps"][0];
    let script = step["run"].as_str().unwrap();
    assert!(!script.contains("${{"), "an input in the script would be read as a script");
    let (outputs, summary) = (chaos.path("outputs"), chaos.path("summary"));
    let program =
        own.get("program").map_or_else(|| chaos.command(["run"]).get_program().to_owned(), |own| OsString::from(*own));
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(script)
        .env_clear()
        .envs(chaos.command(["run"]).get_envs().filter_map(|(k, v)| Some((k, v?))));
    for (name, value) in step["env"].as_object().unwrap() {
        let name_of_input = value.as_str().unwrap().trim_start_matches("${{ inputs.").trim_end_matches(" }}");
        command.env(name, input(name_of_input));
    }
    command.env("PROGRAM", program).env("GITHUB_OUTPUT", &outputs).env("GITHUB_STEP_SUMMARY", &summary);
    command.env("GITHUB_RUN_ATTEMPT", "3");
    let ended = command.current_dir(chaos.path("")).output().unwrap();
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let log = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    Step { code: ended.status.code(), log, outputs: read(outputs), summary: read(summary) }
}

#[test]
fn the_exit_code_decides_and_the_reports_are_named() {
    let chaos = chaos();
    let (file, nowhere) = (manifest(&chaos, SHORT), chaos.path("nowhere.yaml"));
    let reachable = "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], \
        users: [], contexts: [{name: c, context: {cluster: c, user: ''}}]}";
    std::fs::write(&nowhere, reachable).unwrap();
    let nowhere = nowhere.to_string_lossy();
    let step = run(&chaos, &[("files", &file), ("context", "c"), ("kubeconfig", &nowhere)]);
    assert_eq!(step.code, Some(3), "{}", step.log);
    assert!(step.outputs.contains("exit-code=3\n"), "{}", step.outputs);
    assert!(step.log.contains("::error"), "annotated: {}", step.log);
    assert!(step.summary.contains("OutOfReach"), "{}", step.summary);
    let junit = std::fs::read_to_string(chaos.path("chaos-out/junit.xml")).unwrap();
    assert!(junit.contains("<error") && !junit.contains("<skipped"), "{junit}");
    assert!(junit.contains(r#"name="attempt" value="3""#), "a job that was run again says so: {junit}");
    chaos.expect_nothing_left(Duration::ZERO);
}

#[test]
fn what_an_earlier_step_left_is_not_told_as_what_came_of_this_one() {
    let chaos = chaos();
    let reports = ["result.json", "junit.xml", "summary.md"].map(|name| chaos.path("chaos-out").join(name));
    std::fs::create_dir(chaos.path("chaos-out")).unwrap();
    for report in &reports {
        std::fs::write(report, "PASS of an earlier step").unwrap();
    }
    let step = run(&chaos, &[("files", " "), ("context", "c")]);
    assert_eq!((step.code, step.summary.as_str()), (Some(2), ""), "{}", step.log);
    assert!(!reports.iter().any(|report| report.exists()), "{}", step.log);
}

#[test]
fn a_cluster_that_does_not_get_ready_is_taken_down_and_one_that_was_there_is_not() {
    for (code, calls) in [(3, "cluster up\ncluster down\n"), (4, "cluster up\n")] {
        let chaos = chaos();
        let (program, called) = (chaos.path("failing"), chaos.path("called"));
        let script = format!("#!/bin/sh\necho \"$1 $2\" >>'{}'\n[ \"$2\" != up ] || exit {code}\n", called.display());
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let step = run(&chaos, &[("files", "x.yaml"), ("cluster", "local"), ("program", program.to_str().unwrap())]);
        assert_eq!(step.code, Some(3), "{}", step.log);
        assert!(step.outputs.contains("exit-code=3\n"), "{}", step.outputs);
        assert_eq!(std::fs::read_to_string(called).unwrap(), calls);
    }
}

/// The program with as few rides on its embedded cluster as a debug build can bear.
fn gentle(chaos: &Chaos) -> String {
    let program = chaos.command(["run"]).get_program().to_string_lossy().into_owned();
    let path = chaos.path("gentle");
    let fewer = "[ \"$1 $2\" != 'cluster up' ] || set -- \"$@\" --rides 10";
    std::fs::write(&path, format!("#!/bin/sh\n{fewer}\nexec '{program}' \"$@\"\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn an_embedded_cluster_lives_for_the_step_and_the_summary_says_what_came_of_it() {
    let _machine = alone();
    let chaos = chaos();
    let (file, program) = (manifest(&chaos, SHORT), gentle(&chaos));
    let step = run(&chaos, &[("files", &file), ("cluster", "local"), ("program", &program)]);
    chaos.expect_nothing_left(Duration::from_secs(10));
    let result = std::fs::read_to_string(chaos.path("chaos-out/result.json")).unwrap_or_default();
    let result: Value = serde_json::from_str(&result).unwrap_or_default();
    assert!(passed_or_starved(step.code, &result), "{:?}: {}", step.code, step.log);
    let (code, word) = if step.code == Some(0) { (0, "PASS") } else { (7, "INCONCLUSIVE") };
    assert!(step.outputs.contains(&format!("exit-code={code}\n")), "{}", step.outputs);
    assert!(step.summary.contains(word), "{}", step.summary);
    assert!(chaos.path("chaos-out/junit.xml").is_file(), "{}", step.log);
}

#[test]
fn what_is_missing_or_hostile_breaks_nothing() {
    let chaos = chaos();
    let file = manifest(&chaos, SHORT);
    let told = |step: &Step| step.outputs.lines().last().unwrap_or_default().to_owned();
    let unnamed = run(&chaos, &[("files", &file)]);
    assert_eq!((unnamed.code, unnamed.log.contains("::error::context is missing")), (Some(2), true), "{}", unnamed.log);
    assert_eq!(unnamed.outputs, "exit-code=2\n", "whatever ends the step, its exit code is an output");
    let elsewhere = run(&chaos, &[("files", &file), ("cluster", "moon")]);
    assert_eq!((elsewhere.code, told(&elsewhere).as_str()), (Some(2), "exit-code=2"), "{}", elsewhere.log);
    let unwritable = run(&chaos, &[("files", &file), ("out", &format!("{file}/below"))]);
    assert_eq!((unwritable.code, told(&unwritable).as_str()), (Some(3), "exit-code=3"), "{}", unwritable.log);
    let hostile = run(&chaos, &[("files", "$(touch pwned) `touch pwned` ;touch pwned"), ("context", "$(touch pwned)")]);
    assert_eq!((hostile.code, told(&hostile).as_str()), (Some(2), "exit-code=2"), "{}", hostile.log);
    assert!(!chaos.path("pwned").exists());
}
