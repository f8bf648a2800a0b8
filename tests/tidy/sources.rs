//! Rules for every Rust file: it says what it is for, stays small, and is part of a crate.

use std::collections::BTreeSet;

use crate::tree::{Source, files, read, root, rust_sources};

const FILE_LINES_MAX: usize = 400;
/// Files that are longer: plain data and tables, which read best in one piece. They may shrink and not grow.
const LONGER: [(&str, usize); 1] = [("local-cluster/src/api_server/table/columns.rs", 415)];
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> = rust_sources().into_iter().filter(|s| !s.text.starts_with("//!")).map(|s| s.path).collect();
    assert!(silent.is_empty(), "these files do not open with `//!`: {silent:#?}");
}

#[test]
fn files_stay_small() {
    let long: Vec<_> = rust_sources()
        .iter()
        .filter(|source| !is_test(source))
        .map(|source| (without_tests(&source.text), source.path.clone()))
        .filter(|(lines, path)| *lines > longest(path))
        .collect();
    assert!(long.is_empty(), "these files have more than {FILE_LINES_MAX} lines without tests: {long:#?}");
}

fn longest(path: &str) -> usize {
    LONGER.iter().find(|(longer, _)| *longer == path).map_or(FILE_LINES_MAX, |(_, max)| *max)
}

#[test]
fn functions_stay_small() {
    let long: Vec<_> = rust_sources().iter().filter(|s| !is_test(s)).flat_map(long_functions).collect();
    assert!(long.is_empty(), "these functions have more than {FUNCTION_LINES_MAX} lines: {long:#?}");
}

/// No crate runs tests of its documentation, so what stands there must not look as if it were one.
#[test]
fn examples_in_documentation_name_a_language_that_is_not_run() {
    let is_doc = |line: &&str| line.starts_with("///") || line.starts_with("//!");
    let fences = |source: &Source| {
        let lines = source.text.lines().map(str::trim_start).filter(is_doc);
        let marks: Vec<String> =
            lines.filter_map(|line| line[3..].trim().strip_prefix("```")).map(str::to_owned).collect();
        marks.into_iter().step_by(2).collect::<Vec<_>>()
    };
    let is_test_like = |source: &Source| {
        fences(source).iter().any(|language| !["text", "yaml", "json", "sh"].contains(&language.as_str()))
    };
    let found: Vec<_> = rust_sources().into_iter().filter(is_test_like).map(|source| source.path).collect();
    assert!(found.is_empty(), "examples that look as if they were tested: {found:#?}");
    let is_run = |path: &String| !read(path.clone()).text.contains("doctest = false");
    // The one at the top is of no crate.
    let run: Vec<_> = manifests().into_iter().filter(|path| path != "Cargo.toml").filter(is_run).collect();
    assert!(run.is_empty(), "crates of which cargo would run the documentation: {run:#?}");
}

#[test]
fn nothing_is_left_unfinished() {
    // Spelt in halves, so that this file does not find itself.
    let marks = [["to", "do!("], ["unimple", "mented!("], ["FIX", "ME"], ["XX", "X"], ["for n", "ow,"]];
    let found: Vec<_> = rust_sources()
        .iter()
        .flat_map(|source| {
            let lines = source.text.lines().enumerate();
            lines
                .filter(|(_, line)| marks.iter().any(|halves| line.contains(&halves.concat())))
                .map(|(number, line)| format!("{}:{}: {}", source.path, number + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(found.is_empty(), "unfinished: {found:#?}");
}

/// Tests that take what not every machine has are ignored unless a stage of CI asks for all of them.
#[test]
fn tests_that_are_not_always_run_have_a_stage_of_their_own() {
    let mark = ["#[ign", "ore"].concat();
    let stages = [
        ("tests/clusters/", ".ci/real-kubernetes", "--test clusters -- --include-ignored"),
        ("chaos-engine/tests/prometheus.rs", ".ci/prometheus", "--test prometheus --test e2e -- --ignored"),
        ("tests/e2e/evil/real_prometheus.rs", ".ci/prometheus", "--test prometheus --test e2e -- --ignored"),
        ("examples/dispatch-stack/tests/platform/", ".ci/postgres", "--test platform -- --ignored"),
    ];
    let left_out: Vec<_> = rust_sources().into_iter().filter(|s| s.text.contains(&mark)).map(|s| s.path).collect();
    let has_stage = |path: &String| stages.iter().any(|(tests, ..)| path.starts_with(tests));
    let others: Vec<_> = left_out.iter().filter(|path| !has_stage(path)).collect();
    assert!(others.is_empty(), "these files have tests that nobody runs: {others:#?}");
    for (tests, script, words) in stages {
        let ci = std::fs::read_to_string(root().join(script)).unwrap();
        assert!(ci.contains(words), "{script} does not run all of {tests}");
    }
    // Without one of these a test on a cluster says that it is not run, and passes.
    let ci = std::fs::read_to_string(root().join(".ci/real-kubernetes")).unwrap();
    for variable in ["CHAOS_TEST_KUBECONFIG", "CHAOS_TEST_AUDIT", "CHAOS_TEST_MACHINES"] {
        assert!(ci.contains(&format!("{variable}=")), ".ci/real-kubernetes does not name {variable}");
    }
    assert!(!ci.contains("CHAOS_TEST_WITHOUT"), "CI leaves no case out");
}

#[test]
fn no_file_is_orphaned() {
    let sources = rust_sources();
    let reachable: BTreeSet<String> =
        crate_roots(&sources).into_iter().flat_map(|path| modules_from(&path, &sources)).collect();
    let orphans: Vec<_> = sources.iter().map(|s| &s.path).filter(|path| !reachable.contains(*path)).collect();
    assert!(orphans.is_empty(), "no crate contains these files, cargo does not see them: {orphans:#?}");
}

fn manifests() -> Vec<String> {
    files().into_iter().filter(|path| path.ends_with("Cargo.toml")).collect()
}

/// Files that cargo builds by themselves: libraries, binaries, test and bench targets, examples.
fn crate_roots(sources: &[Source]) -> Vec<String> {
    let mut roots: Vec<String> = Vec::new();
    for manifest in manifests() {
        let folder = manifest.trim_end_matches("Cargo.toml").to_owned();
        let text = std::fs::read_to_string(root().join(&manifest)).unwrap();
        let named =
            text.lines().filter_map(|line| line.strip_prefix("path = \"")).filter_map(|rest| rest.split('"').next());
        roots.extend(named.filter(|path| path.ends_with(".rs")).map(|path| format!("{folder}{path}")));
        roots.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(|path| format!("{folder}{path}")));
        for kind in ["src/bin/", "tests/", "benches/", "examples/"] {
            let prefix = format!("{folder}{kind}");
            let direct = |path: &&String| {
                path.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs"))
            };
            roots.extend(sources.iter().map(|source| &source.path).filter(direct).cloned());
        }
    }
    roots.retain(|path| sources.iter().any(|source| source.path == *path));
    roots
}

/// The files that a crate root reaches by `mod name;`.
fn modules_from(path: &str, sources: &[Source]) -> Vec<String> {
    let Some(source) = sources.iter().find(|source| source.path == path) else { return Vec::new() };
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let is_root = matches!(stem, "mod" | "lib" | "main") || crate_roots_hint(path);
    let base = if is_root { folder.to_owned() } else { format!("{folder}/{stem}") };
    let mut reached = vec![path.to_owned()];
    for name in source.text.lines().filter_map(declared_module) {
        for candidate in [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")] {
            if sources.iter().any(|source| source.path == candidate) {
                reached.extend(modules_from(&candidate, sources));
            }
        }
    }
    reached
}

/// Examples, benches and binaries in a folder of targets declare their modules beside themselves.
fn crate_roots_hint(path: &str) -> bool {
    let parent = path.rsplit('/').nth(1).unwrap_or_default();
    matches!(parent, "examples" | "benches" | "bin" | "tests")
}

fn declared_module(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| rest.trim_start_matches(|c: char| c != ' ').trim_start());
    line.strip_prefix("mod ")?.strip_suffix(';')
}

fn is_test(source: &Source) -> bool {
    let path = &source.path;
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs") || path.contains("/benches/")
}

/// Lines of a file without its inline test module, which stands last by convention.
fn without_tests(text: &str) -> usize {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

/// Functions that are too long. Relies on rustfmt: a function ends at the first `}` of its own indentation.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_function = line.trim_start().split("fn ").next().is_some_and(|before| {
            line.contains("fn ")
                && before
                    .split_whitespace()
                    .all(|word| word.starts_with("pub") || matches!(word, "async" | "const" | "unsafe"))
        });
        // Of a function that a trait only asks for there is no body.
        let opens = lines[start..].iter().find(|line| line.ends_with(['{', ';']));
        if !is_function || opens.is_some_and(|line| line.ends_with(';')) {
            continue;
        }
        let end = lines[start..].iter().position(|end| *end == format!("{}}}", " ".repeat(indent)));
        let length = end.map_or(0, |end| end + 1);
        if length > FUNCTION_LINES_MAX {
            long.push(format!("{}:{}: {length} lines", source.path, start + 1));
        }
    }
    long
}

#[test]
fn a_long_function_is_found() {
    let body = "    call();\n".repeat(FUNCTION_LINES_MAX);
    let source = |text: String| Source { path: "x.rs".into(), text };
    assert_eq!(long_functions(&source(format!("pub(crate) async fn long() {{\n{body}}}\n"))).len(), 1);
    assert_eq!(long_functions(&source("fn short() {\n    call();\n}\n".into())).len(), 0);
    assert_eq!(long_functions(&source(format!("fn asked_for();\nfn short() {{}}\n{body}}}\n"))).len(), 0);
}
