//! What a pod's machine is told, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use crate::controllers::events::NoticeKind;
use crate::supervisor::Exit;

/// Which container: init containers come first.
pub(in crate::kubelet) type Index = usize;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::kubelet) enum Input {
    /// The object changed.
    Updated(Arc<Pod>),
    /// The object is gone without our confirmation: a forced deletion.
    Gone,
    /// Folders, volumes and the address are there.
    Prepared,
    /// They are not; it is tried again, unless the pod asks for what cannot be had.
    NotPrepared {
        reason: &'static str,
        message: String,
        hopeless: bool,
    },
    /// The container's process exists. `run` says which of its runs is meant.
    Started {
        index: Index,
        run: u32,
    },
    /// It could not be made.
    NotStarted {
        index: Index,
        run: u32,
        reason: &'static str,
        message: String,
    },
    Exited {
        index: Index,
        run: u32,
        exit: Exit,
    },
    /// A probe crossed its threshold.
    Probed {
        index: Index,
        run: u32,
        probe: ProbeKind,
        healthy: bool,
        message: String,
    },
    /// The preStop hook is over, however it went.
    HookDone {
        index: Index,
        run: u32,
    },
    /// A timer that was asked for.
    Timer(Timer),
}

/// What can be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::kubelet) enum ProbeKind {
    Startup,
    Readiness,
    Liveness,
}

/// Timers. Those of an earlier run are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kubelet) enum Timer {
    PrepareAgain,
    /// Nothing is to be done but to look at the status again.
    Refresh,
    /// The back-off is over.
    Restart {
        index: Index,
        run: u32,
    },
    /// The grace period is over.
    GraceOver {
        index: Index,
        run: u32,
    },
    /// So is what was added to it.
    Kill {
        index: Index,
        run: u32,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::kubelet) enum Effect {
    Prepare,
    Start {
        index: Index,
        run: u32,
    },
    StartProbe {
        index: Index,
        run: u32,
        probe: ProbeKind,
    },
    /// All probes of the container.
    StopProbes {
        index: Index,
    },
    RunPreStop {
        index: Index,
        run: u32,
    },
    Terminate {
        index: Index,
    },
    Kill {
        index: Index,
    },
    After {
        pause: Duration,
        timer: Timer,
    },
    Notice {
        kind: NoticeKind,
        reason: &'static str,
        message: String,
        container: Option<Index>,
    },
    /// Everything has ended: release what the pod had, and confirm the deletion if one was asked for.
    Finish {
        confirm: bool,
    },
}

/// Where the pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kubelet) enum Stage {
    /// Folders, volumes, address.
    Preparing,
    /// The init container at this index.
    Initializing(Index),
    /// The main containers.
    Running,
    /// Asked to go; containers are ending.
    Terminating,
    /// All containers ended for good.
    Ended,
}
