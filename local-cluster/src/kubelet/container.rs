//! One container of a pod: which of its runs this is, and how the last one ended. Data only.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use crate::supervisor::Exit;

/// Why a container is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopCause {
    PodDeleted,
    Unhealthy,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) since: Timestamp,
    pub(super) at: Timestamp,
}

/// Where a container is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum RunState {
    /// Not started, or between two runs.
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    /// The process is being made.
    Starting,
    Running {
        since: Timestamp,
    },
    Terminated(Ended),
}

/// A container and its current run.
#[derive(Debug)]
pub(super) struct ContainerRun {
    pub(super) spec: Container,
    pub(super) state: RunState,
    /// The run before this one.
    pub(super) last: Option<Ended>,
    /// Runs so far; 0 before the first. Answers about earlier runs are recognised by it.
    pub(super) run: u32,
    /// Runs that had a process.
    pub(super) processes: u32,
    /// Ends in a row, for the back-off.
    pub(super) crashes: u32,
    pub(super) startup_passed: bool,
    pub(super) ready: bool,
    pub(super) stopping: Option<StopCause>,
    pub(super) in_hook: bool,
}

impl ContainerRun {
    pub(super) const fn new(spec: Container) -> Self {
        Self {
            spec,
            state: RunState::Waiting { reason: "ContainerCreating", message: None },
            last: None,
            run: 0,
            processes: 0,
            crashes: 0,
            startup_passed: false,
            ready: false,
            stopping: None,
            in_hook: false,
        }
    }

    pub(super) fn next_run(&mut self) -> u32 {
        if let RunState::Terminated(ended) = self.state {
            self.last = Some(ended);
        }
        self.run += 1;
        self.state = RunState::Starting;
        self.startup_passed = false;
        self.ready = false;
        self.stopping = None;
        self.in_hook = false;
        self.run
    }

    pub(super) fn ended(&mut self, ended: Ended) {
        self.processes += 1;
        self.state = RunState::Terminated(ended);
        self.last = Some(ended);
        self.ready = false;
        self.stopping = None;
        self.in_hook = false;
    }

    /// It will not run any more: what it last was is what it stays.
    pub(super) fn never_again(&mut self) {
        if let Some(last) = self.last {
            self.state = RunState::Terminated(last);
        }
        self.run += 1;
    }

    pub(super) const fn running_since(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Running { since } => Some(since),
            _ => None,
        }
    }

    /// A process exists, or is being made.
    pub(super) const fn is_alive(&self) -> bool {
        matches!(self.state, RunState::Running { .. } | RunState::Starting)
    }

    /// It runs, or will run again.
    pub(super) const fn will_run(&self) -> bool {
        !matches!(self.state, RunState::Terminated(_))
    }

    /// Restarts so far, as `kubectl get pods` shows them.
    pub(super) fn restart_count(&self) -> i32 {
        let ended = i32::try_from(self.processes).unwrap_or(i32::MAX);
        if self.running_since().is_some() { ended } else { (ended - 1).max(0) }
    }
}
