//! The machines of the operator under everything that can happen to them: the real machines and the real driver, in simulated
//! processes that crash, stand still and lose answers, on a cluster and by a clock that are simulated too. Whatever the
//! schedule, the invariants hold. A failing schedule tells its seed and its history.
//!
//! ```text
//! seats ── the scheduler: whose turn it is, and what befalls whom
//! faults ── what can go wrong with a call, and what is heard of it
//! watch ── what a process hears of changes, and when
//! history ── what happened in a schedule that fails
//! strikes ── the strike machine: two or three operators of a monkey, and a run that kills by itself
//! desk ── the status of an object, and who may write it
//! days ── the game day's machine: operators that take turns at one GameDay
//! runs ── the machine of an ExperimentRun, its killer and its prober: operators that take turns at one run
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod days;
mod desk;
mod faults;
mod history;
mod runs;
mod schedules;
mod seats;
mod strikes;
mod watch;
