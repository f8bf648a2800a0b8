//! Game days as files: every mistake with its line and a hint.

use super::problems;

const GOOD: &str = include_str!("../../../../experiments/gameday-weekly.yaml");

#[test]
fn mistakes_of_game_days_are_told_with_line_and_hint() {
    assert_eq!(problems(GOOD), Vec::<String>::new());
    for (from, to, expected) in [
        ("schedule: \"0 10 * * TUE\"", "schedule: \"0 25 * * TUE\"", &["is no cron expression of five fields"][..]),
        ("schedule: \"0 10 * * TUE\"", "schedule: \"0 0 10 * * TUE\"", &["five fields"]),
        ("schedule: \"0 10 * * TUE\"", "schedule: \"0 10 30 2 *\"", &["is never: there is no such day"]),
        ("schedule: \"0 10 * * TUE\"", "schedule: manual", &["write Manual"]),
        ("Europe/Paris", "Europe/Pariss", &["did you mean Europe/Paris?"]),
        ("2026-12-24", "2026-13-24", &["is no day (write it as 2026-12-24)"]),
        ("startingDeadline: 10m", "startingDeadline: 48h", &["is not between 1s and 24h"]),
        ("  startingDeadline: 10m\n", "", &["the field startingDeadline is missing"]),
        ("dependsOn: [settle]", "dependsOn: [setle]", &["there is no step \"setle\" (did you mean settle?)"]),
        ("dependsOn: [settle]", "dependsOn: [look]", &["step look depends on itself"]),
        ("dependsOn: [settle]", "dependsOn: [settle, settle]", &["settle is named twice"]),
        ("dependsOn: [riders]", "dependsOn: [look]", &["look → settle → look (take one dependsOn out)"]),
        ("- name: eta", "- name: riders", &["steps 1 and 4 are both named riders"]),
        (
            "wait: 5m",
            "wait: 5m\n      approval: {prompt: x, within: 1h}",
            &["exactly one of experiment, wait, approval, check"],
        ),
        ("wait: 5m", "check: {source: p, query: up, within: 5m}", &["nothing is asked of the value"]),
        ("wait: 5m", "check: {source: p, query: up, min: 2, max: 1, within: 5m}", &["2 is above the max of 1"]),
        ("wait: 5m", "check: {source: p, query: up(, min: 1, within: 5m}", &["this is no PromQL"]),
        ("wait: 5m", "wait: 48h", &["48h is not between 1s and 24h"]),
        ("within: 1h", "within: 200h", &["is not between 1s and 168h"]),
        ("concurrencyPolicy: Forbid", "concurrencyPolicy: forbid", &["did you mean Forbid?"]),
        ("onFailure: Stop", "gards: []", &["there is no field \"gards\" here (did you mean guards?)"]),
    ] {
        assert!(GOOD.contains(from), "the base has no {from:?}");
        let found = problems(&GOOD.replacen(from, to, 1));
        let told = |part: &&str| found.iter().any(|found| found.contains(part));
        assert!(found.len() == expected.len() && expected.iter().all(told), "{from:?} -> {to:?}: {found:#?}");
    }
    let text = GOOD.replace("wait: 5m", "wait: 48h");
    let line = text.lines().position(|line| line.contains("wait: 48h")).unwrap() + 1;
    assert!(problems(&text)[0].starts_with(&format!("{line}:")), "{:?}", problems(&text));
}

#[test]
fn too_many_steps_and_a_day_without_an_experiment_are_refused() {
    let head = &GOOD[..GOOD.find("  steps:").unwrap()];
    let steps: String = (0..21).map(|i| format!("    - {{name: s{i}, experiment: {{name: e}}}}\n")).collect();
    assert!(problems(&format!("{head}  steps:\n{steps}"))[0].contains("at most 20"));
    assert!(
        problems(&format!("{head}  steps:\n    - {{name: a, wait: 1s}}\n"))[0].contains("no step is an experiment")
    );
    // A chain of all twenty is none too many, and no circle.
    let chain: String =
        (1..20).map(|i| format!("    - {{name: s{i}, dependsOn: [s{}], experiment: {{name: e}}}}\n", i - 1)).collect();
    let whole = format!("{head}  steps:\n    - {{name: s0, experiment: {{name: e}}}}\n{chain}");
    assert_eq!(problems(&whole), Vec::<String>::new());
}

#[test]
fn mistakes_of_guards_are_told() {
    let guarded = GOOD
        .replace(
            "  onFailure: Stop\n",
            "  onFailure: Stop\n  guards:\n    - errorBudget: {source: platform, query: \"slo:left\", keep: 25%, \
             shrinkBelow: 50%}\n",
        )
        .replace("pods-die}", "pods-die, shrunk: {strikes: {target: 30, min: 29}}}")
        .replace("eta-dies}", "eta-dies, shrunk: {strikes: {target: 30, min: 29}}}");
    assert_eq!(problems(&guarded), Vec::<String>::new());
    for (from, to, expected) in [
        ("shrinkBelow: 50%", "shrinkBelow: 25%", "25% is not above keep (25%)"),
        ("keep: 25%", "keep: 0.25", "write 25%"),
        ("query: \"slo:left\"", "query: \"slo left\"", "this is no PromQL"),
        ("query: \"slo:left\"", "query: \"slo[5m]\"", "needs one value"),
        ("source: platform, ", "url: \"http://10.0.0.1\", ", "there is no field \"url\""),
        ("source: platform", "source: Plat form", "source"),
        (", shrinkBelow: 50%", "", "no guard shrinks experiments"),
        ("eta-dies, shrunk: {strikes: {target: 30, min: 29}}", "eta-dies", "it is not said what this one is then"),
        ("target: 30, min: 29", "target: 28, min: 29", "min is 29, above the target of 28"),
    ] {
        assert!(guarded.contains(from), "the base has no {from:?}");
        let found = problems(&guarded.replacen(from, to, 1));
        assert!(found.iter().any(|found| found.contains(expected)), "{from:?} -> {to:?}: {found:#?}");
    }
}
