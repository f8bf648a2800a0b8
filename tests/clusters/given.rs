//! What the variables of this suite name, and what is said where a test needs one that is not there. It starts nothing.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

/// What `chaos image` calls the image of the dispatch stack.
const STACK_IMAGE: &str = "dispatch.local/stack:dev";

/// The cluster; absent: an embedded one for each test.
pub(crate) fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("CHAOS_TEST_KUBECONFIG").map(PathBuf::from)
}

/// The audit log of the named cluster.
pub(crate) fn audit() -> Option<PathBuf> {
    std::env::var_os("CHAOS_TEST_AUDIT").map(PathBuf::from)
}

/// The folder of the machines of the named cluster.
pub(crate) fn machines() -> Option<PathBuf> {
    std::env::var_os("CHAOS_TEST_MACHINES").map(PathBuf::from)
}

/// The image of operator and prober, where it is not called what `chaos image` calls it.
pub(crate) fn image() -> Option<String> {
    on_named("CHAOS_TEST_IMAGE")
}

/// The image of the dispatch stack.
pub(crate) fn stack_image() -> String {
    on_named("CHAOS_TEST_STACK_IMAGE").unwrap_or_else(|| STACK_IMAGE.to_owned())
}

/// An embedded cluster has the images that its program carries, and no other.
fn on_named(variable: &str) -> Option<String> {
    kubeconfig()?;
    std::env::var_os(variable).map(|name: OsString| name.into_string().expect("the name of an image"))
}

/// Says a line at once: the harness keeps back what a test that passes has printed.
pub(crate) fn say(text: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {text}\n", thread.name().unwrap_or("clusters"));
    // There is nobody to tell when stderr itself is gone.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Whether a test cannot be run for want of something, which is said then; where nothing may be wanting, the test fails.
pub(crate) fn lacks(is_missing: bool, why: &str) -> bool {
    if is_missing {
        assert!(
            std::env::var_os("CHAOS_TEST_COMPLETE").is_none(),
            "cannot be run, and CHAOS_TEST_COMPLETE is set: {why}"
        );
        say(&format!("not run: {why}"));
    }
    is_missing
}

/// Of what takes minutes, the share of today: as many a day as `CHAOS_TEST_A_DAY` says, one after the other; without it, all.
pub(crate) fn of_today<T>(all: Vec<T>) -> Vec<T> {
    let Ok(a_day) = std::env::var("CHAOS_TEST_A_DAY") else { return all };
    let a_day: usize = a_day.parse().ok().filter(|a_day| *a_day > 0).expect("CHAOS_TEST_A_DAY is a number from 1 on");
    let day = jiff::Timestamp::now().as_second() / (24 * 60 * 60);
    let days = all.len().div_ceil(a_day).max(1);
    let first = usize::try_from(day).expect("a day after 1970") % days * a_day;
    all.into_iter().skip(first).take(a_day).collect()
}

/// Whether there are no machines to break.
pub(crate) fn lacks_machines() -> bool {
    lacks(machines().is_none(), "CHAOS_TEST_MACHINES names no machines of tests/real-kubernetes/up")
}

/// Whether what the API server was asked for cannot be read.
pub(crate) fn lacks_audit() -> bool {
    lacks(kubeconfig().is_some() && audit().is_none(), "CHAOS_TEST_AUDIT names no audit log")
}
