//! The program as a user meets it: real processes, a real embedded cluster, real kills.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod evil;
mod input;
mod interrupted;
mod load;
mod standing;
mod verdicts;

use chaos_tests::Chaos;

/// The program with a home of its own.
fn chaos() -> Chaos {
    Chaos::new(env!("CARGO_BIN_EXE_chaos-under-test"))
}

/// The experiment of these tests: as the shipped one, short and gentle enough for a debug build.
const SHORT: &str = include_str!("short.yaml");

/// Writes a manifest into the home; gives its path.
fn manifest(chaos: &Chaos, text: &str) -> String {
    let path = chaos.path("experiment.yaml");
    std::fs::write(&path, text).expect("the manifest is written");
    path.to_string_lossy().into_owned()
}
