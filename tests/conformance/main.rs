//! Holds a Kubernetes API server to the behaviour of the real one: each case is a sequence of requests with the answers that
//! kube-apiserver gives. It runs on the cluster that `CHAOS_TEST_KUBECONFIG` names, else on the embedded one, there both over TCP
//! and by calls in this process.
//!
//! `CHAOS_TEST_CASE` restricts a run to the cases whose name holds that text. `CHAOS_TEST_WITHOUT=nodes` leaves out those that make
//! Nodes, where these are somebody else's, and says so. Cases that name versions of Kubernetes (`since`, `before`) are asked of
//! these alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod case;
mod matcher;
mod protobuf;
mod runner;
mod target;

use std::io::Write as _;

use case::{Case, Need};
use runner::Runner;
use target::Target;

macro_rules! areas {
    ($($area:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $area() -> anyhow::Result<()> {
                check(stringify!($area)).await
            }
        )*
        const AREAS: &[&str] = &[$(stringify!($area)),*];
    };
}

areas!(
    access, apply, crds, daemonsets, discovery, evictions, jobs, lists, objects, patches, pods, protobuf, rollouts,
    volumes, watches, workloads
);

async fn check(area: &str) -> anyhow::Result<()> {
    let only = std::env::var("CHAOS_TEST_CASE").unwrap_or_default();
    let lacking = case::lacking(&std::env::var("CHAOS_TEST_WITHOUT").unwrap_or_default())?;
    let (mut cases, left_out) = divided(case::read_area(area)?, &lacking);
    for case in &left_out {
        say(&format!("{area}: not run, as CHAOS_TEST_WITHOUT says: {}", case.name));
    }
    let target = Target::start().await?;
    let minor = target.minor().await?;
    cases.retain(|case| case.is_of(minor));
    if target.is_embedded() {
        cases.iter_mut().for_each(Case::hurry);
    }
    let mut failures = Vec::new();
    for connection in target.connections() {
        let runner = Runner::new(connection)?;
        for case in cases.iter().filter(|case| case.name.contains(&only)) {
            let found = runner.run(case).await.unwrap_or_else(|error| vec![format!("{error:#}")]);
            failures.extend(verdict(case, &found, target.is_embedded()));
        }
    }
    target.stop().await?;
    anyhow::ensure!(failures.is_empty(), "{} case(s) of {area} differ:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// The cases that can be run, and those that need something that is not given.
fn divided(cases: Vec<Case>, lacking: &[Need]) -> (Vec<Case>, Vec<Case>) {
    cases.into_iter().partition(|case| case.needs.is_none_or(|need| !lacking.contains(&need)))
}

/// Says a line at once: the harness keeps back what a test that passes has printed.
fn say(text: &str) {
    // There is nobody to tell when stderr itself is gone.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// A known difference must still be one, or its note is out of date.
fn verdict(case: &Case, found: &[String], embedded: bool) -> Option<String> {
    match (&case.differs, found.is_empty()) {
        (Some(reason), true) if embedded => Some(format!("- {}\n    no longer differs ({reason})", case.name)),
        (Some(_), false) if embedded => None,
        (_, true) => None,
        (_, false) => Some(format!("- {}\n    {}", case.name, found.join("\n    "))),
    }
}

/// A cluster without Nodes of its own must not be asked to make one, and nothing else may be left out for that.
#[test]
fn what_makes_nodes_is_marked_and_alone_left_out_without_them() -> anyhow::Result<()> {
    let makes_nodes = |case: &Case| case.steps.iter().any(|step| step.request == "POST /api/v1/nodes");
    let lacking = case::lacking(" nodes, ")?;
    for area in AREAS {
        let (run, left_out) = divided(case::read_area(area)?, &lacking);
        let names = |cases: &[Case]| cases.iter().map(|case| case.name.clone()).collect::<Vec<_>>();
        assert!(!run.iter().any(makes_nodes), "{area}: one of these makes Nodes: {:?}", names(&run));
        assert!(left_out.iter().all(makes_nodes), "{area}: one of these makes no Nodes: {:?}", names(&left_out));
        assert!(divided(case::read_area(area)?, &[]).1.is_empty());
    }
    assert!(case::lacking("node").is_err(), "a word that means nothing leaves nothing out by mistake");
    Ok(())
}

/// Else it is never asked of a cluster, and nobody would know.
#[test]
fn every_case_is_of_a_supported_version() -> anyhow::Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/real-kubernetes/versions");
    let mut minors = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        minors.extend(name.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()));
    }
    assert!(minors.len() >= 2, "{folder} names the versions {minors:?}");
    for area in AREAS {
        for case in case::read_area(area)? {
            assert!(minors.iter().any(|minor| case.is_of(*minor)), "{}: of no version of 1.{minors:?}", case.name);
        }
    }
    Ok(())
}

#[test]
fn every_case_file_is_an_area() -> anyhow::Result<()> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(case::cases_dir())? {
        files.push(entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned());
    }
    files.sort();
    let mut areas = AREAS.to_vec();
    areas.sort_unstable();
    assert_eq!(files, areas);
    Ok(())
}

/// Who reads what the embedded cluster serves must find every difference that is known.
#[test]
fn every_difference_is_a_row_of_the_surface() -> anyhow::Result<()> {
    let surface = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../local-cluster/SURFACE.md"))?;
    let heads: Vec<&str> =
        surface.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).map(str::trim).collect();
    for area in AREAS {
        for case in case::read_area(area)? {
            if let Some(row) = &case.differs {
                assert!(heads.contains(&row.as_str()), "{}: local-cluster/SURFACE.md has no row {row:?}", case.name);
            }
        }
    }
    Ok(())
}

#[test]
fn case_names_are_sentences_that_occur_once() -> anyhow::Result<()> {
    let mut names = Vec::new();
    for area in AREAS {
        names.extend(case::read_area(area)?.into_iter().map(|case| case.name));
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two cases have the same name");
    Ok(())
}
