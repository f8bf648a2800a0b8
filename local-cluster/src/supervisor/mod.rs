//! The process between the tool and the pods: parent of every container, and the reason that nothing outlives the tool.
//!
//! The tool starts one supervisor (its own binary, a hidden subcommand) and holds a pipe to its stdin. When that pipe
//! ends, for whatever reason, SIGKILL of the tool included, the supervisor kills every container, removes the run folder and
//! exits. A parent-death signal set in the tool could not do this: it follows the *thread* that forked, it is set only after
//! the fork (a window in which the tool may already be dead), and nobody would be left to remove the folder.
//!
//! The other direction, a supervisor that dies first, is where the parent-death signal is right: the supervisor forks from
//! its only thread, so each container starts through a [`shim`] that asks the kernel for SIGKILL at its parent's death,
//! checks that the parent is still there, and becomes the container by `exec`. No `unsafe` is needed for any of it.
//!
//! Containers are process groups. Processes that leave their group end up as children of the supervisor, which is a
//! subreaper, and are killed with the rest.
//!
//! This module knows processes only: no pods, no API.

mod client;
mod log;
mod process;
mod protocol;
mod server;
mod shim;

pub use client::SupervisorError;
pub(crate) use client::{ProcessEvent, Supervisor};
pub(crate) use log::rotated;
pub(crate) use protocol::{Exit, SpawnRequest};

use std::process::ExitCode;

/// The hidden subcommand. Call it from `main` before anything else (no runtime, no threads, no argument parser needed): it
/// reads its orders from stdin, and its environment says whether it is the supervisor or the shim of one container.
pub fn run() -> ExitCode {
    match shim::order() {
        Some(order) => shim::run(&order),
        None => server::run(),
    }
}
