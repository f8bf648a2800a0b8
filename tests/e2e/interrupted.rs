//! Whatever ends the program early: nothing is left behind, and what was learned is told.

use std::time::Duration;

use chaos_tests::wait;
use nix::sys::signal::Signal;

use crate::{SHORT, beside, chaos, lenient, manifest};

const DEMO: Duration = Duration::from_secs(240);

#[test]
fn an_interrupt_winds_down_and_reports() {
    let _machine = beside();
    let chaos = chaos();
    let mut running = chaos.start(["demo", "--rides", "10", "--experiment", &manifest(&chaos, &lenient())]);
    running.expect_output("kill 2/", DEMO);
    // As `timeout` does, which tells the process and its group.
    running.signal(Signal::SIGINT);
    running.signal(Signal::SIGINT);
    assert_eq!(running.expect_end(DEMO), Some(5), "{}", running.output());
    assert!(running.output().contains("report.html"), "{}", running.output());
    chaos.expect_nothing_left(Duration::from_secs(5));
}

#[test]
fn a_second_interrupt_leaves_at_once_and_still_leaves_nothing() {
    let _machine = beside();
    let chaos = chaos();
    let mut running = chaos.start(["demo", "--rides", "10", "--experiment", &manifest(&chaos, SHORT)]);
    running.expect_output("kill 1/", DEMO);
    running.signal(Signal::SIGTERM);
    running.expect_output("winding down", Duration::from_secs(5));
    // One that comes at once is of the same wish.
    let left = wait(Duration::from_secs(5), || {
        running.end().is_some() || {
            running.signal(Signal::SIGTERM);
            false
        }
    });
    assert!(left, "{}", running.output());
    assert_eq!(running.expect_end(Duration::ZERO), Some(143), "{}", running.output());
    chaos.expect_nothing_left(Duration::from_secs(5));
}

#[test]
fn a_killed_tool_leaves_no_process_and_no_folder() {
    let _machine = beside();
    // Early in the start, while the stack comes up, and in the fault phase.
    for moment in ["embedded cluster: up", "pods ready", "kill 1/"] {
        let chaos = chaos();
        let mut running = chaos.start(["demo", "--rides", "10", "--experiment", &manifest(&chaos, SHORT)]);
        running.expect_output(moment, DEMO);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.expect_end(Duration::from_secs(5)), None);
        chaos.expect_nothing_left(Duration::from_secs(5));
    }
}
