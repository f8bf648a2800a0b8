//! The program as a user meets it: real processes, a real embedded cluster, real kills.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod action;
mod evil;
mod input;
mod interrupted;
mod load;
mod standing;
mod verdicts;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chaos_tests::Chaos;
use serde_json::Value;

/// Who uses the machine. Clusters of a debug build that run side by side starve each other of the CPU time that evidence takes.
static MACHINE: RwLock<()> = RwLock::new(());
/// Why evidence is not enough on a machine that is too busy; nothing of it says anything of the platform.
const BUSY: [&str; 2] = ["ClockUncertain", "TooMuchLag"];

/// For a test whose verdict is looked at: nothing else runs meanwhile.
fn alone() -> RwLockWriteGuard<'static, ()> {
    // A test that failed leaves nothing behind that another would read.
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For a test that may run beside others.
fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a run passed, or would have on a machine that others had left to it.
fn passed_or_starved(code: Option<i32>, result: &Value) -> bool {
    code == Some(0) || code == Some(7) && BUSY.iter().any(|reason| result["verdict"]["reasonCode"] == *reason)
}

/// The program with a home of its own.
fn chaos() -> Chaos {
    Chaos::new(env!("CARGO_BIN_EXE_chaos-under-test"))
}

/// The experiment of these tests: as the shipped one, short and gentle enough for a debug build.
const SHORT: &str = include_str!("short.yaml");

/// The same for tests that are about kills and ends: on a machine that others starve the stack does fail, and a promise that it
/// refutes would count for more than what these tests ask for.
fn lenient() -> String {
    let lenient = SHORT.replace("availability: 95%", "availability: 10%");
    assert_ne!(lenient, SHORT);
    lenient
}

/// Writes a manifest into the home; gives its path.
fn manifest(chaos: &Chaos, text: &str) -> String {
    let path = chaos.path("experiment.yaml");
    std::fs::write(&path, text).expect("the manifest is written");
    path.to_string_lossy().into_owned()
}
