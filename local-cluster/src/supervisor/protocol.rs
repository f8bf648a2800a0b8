//! What tool and supervisor say to each other: one JSON object a line, orders on stdin, reports on stdout.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::network::AddressRange;

/// Tool to supervisor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// Always first: create the run folder, claim an address range.
    Begin { folder: PathBuf, keep_folder: bool },
    /// Start a container.
    Spawn(SpawnRequest),
    /// Signal the process group of a container. One that is gone already is ignored.
    Signal { id: u64, signal: i32 },
    /// Kill everything and exit, as when the pipe ends.
    End,
}

/// Supervisor to tool.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The answer to [`Order::Begin`].
    Ready { range: AddressRange },
    /// The supervisor could not do what it must; it exits.
    Failed { message: String },
    /// A container's first process exists.
    Started { id: u64, pid: u32 },
    /// A container could not be started.
    NotStarted { id: u64, error: String },
    /// A container's first process ended, and the rest of its group was killed.
    Exited { id: u64, exit: Exit },
}

/// One process to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpawnRequest {
    /// Chosen by the tool, never used twice.
    pub(crate) id: u64,
    /// Program and arguments. Never a shell.
    pub(crate) argv: Vec<String>,
    /// The whole environment; nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
    /// Working directory.
    pub(crate) directory: PathBuf,
    /// Where stdout and stderr go, in the format of the container runtime interface. `None`: nowhere.
    pub(crate) log: Option<PathBuf>,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// The exit code as container runtimes give it: a signal is 128 plus its number.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Whether the container did what it was asked to.
    pub(crate) const fn is_success(self) -> bool {
        matches!(self, Self::Code(0))
    }
}
