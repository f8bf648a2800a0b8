//! The few instructions between fork and container: tie the process to the life of the supervisor, then become the
//! container. It starts no thread and opens nothing.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

/// Carries the [`ShimOrder`]. An environment variable, so that the binary's argument parser need not know of it.
pub(super) const ORDER_VARIABLE: &str = "LOCAL_CLUSTER_SHIM_ORDER";

/// Exit code of a container whose program could not be executed, as shells and container runtimes give it.
const NOT_EXECUTABLE: u8 = 127;

/// What to become, and whose death to die with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ShimOrder {
    pub(super) parent: i32,
    pub(super) argv: Vec<String>,
}

/// The order, when this process is a shim.
pub(super) fn order() -> Option<ShimOrder> {
    serde_json::from_str(&std::env::var(ORDER_VARIABLE).ok()?).ok()
}

/// Becomes the container. Returns only when that failed.
pub(super) fn run(order: &ShimOrder) -> ExitCode {
    let tied = prctl::set_pdeathsig(Signal::SIGKILL).is_ok();
    // The parent may have died before the kernel was asked: then no signal will ever come.
    if !tied || getppid().as_raw() != order.parent {
        return ExitCode::FAILURE;
    }
    let Some((program, arguments)) = order.argv.split_first() else {
        return ExitCode::from(NOT_EXECUTABLE);
    };
    let error = Command::new(program).args(arguments).env_remove(ORDER_VARIABLE).exec();
    complain(&format!("failed to execute {program:?}: {error}\n"));
    ExitCode::from(NOT_EXECUTABLE)
}

/// Standard error is the container's log: the place where a user looks.
fn complain(message: &str) {
    use std::io::Write;
    // Nothing can be done about a log that cannot be written; the exit code still says what happened.
    let _ = std::io::stderr().write_all(message.as_bytes());
}
