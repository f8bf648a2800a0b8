//! Files that cannot be, and several of them.

use super::super::draft::Draft;
use super::Row;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::refused("a manifest with a misspelt field", 2, "hypotesis")
            .files(|draft| vec![draft.yaml().replacen("hypothesis:", "hypotesis:", 1)]),
        Row::refused("more kills than the window holds", 2, "the fault phase ends after").files(|draft| {
            vec![draft.with(|draft| draft.phases = "{baseline: 1s, fault: 500ms, recovery: 1s}").yaml()]
        }),
        Row::refused("fewer kills planned than the claim needs", 2, "59 kills")
            .files(|draft| vec![draft.with(|draft| draft.evidence = "harmlessKills: {share: 95%, maxLoss: 0}").yaml()]),
        Row::refused("a declaration that would be the proof", 2, "that would be the proof itself").files(|draft| {
            let declares = |draft: &mut Draft| {
                draft.evidence = "availability: {worstLossPerKill: 1, source: \"a guess\"}";
                draft.promise = "availability: 50%";
            };
            vec![draft.with(declares).yaml()]
        }),
        Row::refused(
            "fewer requests than the promise takes, however long the run lasts",
            2,
            "requests can be due at most",
        )
        .files(|draft| vec![draft.with(|draft| (draft.rate, draft.promise) = ("10/m", "availability: 99%")).yaml()]),
        Row::refused("a promise that a killed pod breaks by design", 2, "fail by design").files(|draft| {
            let by_design = |draft: &mut Draft| {
                draft.promise = "availability: 99%, declared: {detection: 500ms, rescued: 0%}";
            };
            vec![draft.with(by_design).yaml()]
        }),
        Row {
            flags: &["--out", "HOME/chaos"],
            ..Row::refused("a folder for results that is a file", 3, "failed to make")
        },
        Row::refused("three files: one holds, one is inconclusive, one fails", 1, "exit code 7 (TooLittleExposure)")
            .files(|draft| {
                let second = draft.clone().with(|draft| draft.evidence = "harmlessKills: {share: 20%, maxLoss: 0}");
                let third = draft.clone().probe(
                    "{name: own-check, command: {argv: [\"false\"], timeout: 10s}, when: After, expect: {exitCode: 0}}",
                );
                let unexposed = second.yaml().replacen("header: x-served-by", "header: x-nobody", 1);
                vec![draft.yaml(), unexposed, third.yaml()]
            })
            .after(|play| {
                let summary = play.output();
                for end in ["exit code 0 (HypothesisHeld)", "exit code 1 (ExpectationBroken)"] {
                    assert!(summary.contains(end), "{end}: {summary}");
                }
            }),
    ]
}
