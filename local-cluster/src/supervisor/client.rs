//! The tool's end of the pipe: starts the supervisor, sends orders, hands each container's reports to whoever started it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::protocol::{Exit, Order, Report, SpawnRequest};
use crate::network::AddressRange;

/// How long a new supervisor may take to answer: it is this very binary.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no supervisor.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The configuration names no program.
    #[error("failed to start the supervisor: no command is configured")]
    NoCommand,
    /// The program could not be started.
    #[error("failed to start the supervisor {program:?}")]
    Spawn {
        /// The program.
        program: OsString,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// It started, but did not answer as a supervisor.
    #[error(
        "failed to start the supervisor {program:?}: it ended or did not answer\nhint: the program must call local_cluster::supervisor::run()"
    )]
    Silent {
        /// The program.
        program: OsString,
    },
    /// It could not claim what a cluster needs.
    #[error("failed to set up the cluster's folder or addresses: {message}")]
    Refused {
        /// The supervisor's reason.
        message: String,
    },
}

/// What becomes of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProcessEvent {
    Started { pid: u32 },
    NotStarted { error: String },
    Exited(Exit),
}

type Listener = Box<dyn Fn(ProcessEvent) + Send>;
type Listeners = Arc<Mutex<HashMap<u64, Listener>>>;

/// A running supervisor. Dropping the last clone ends it and everything it started.
#[derive(Clone)]
pub(crate) struct Supervisor {
    orders: mpsc::UnboundedSender<Order>,
    listeners: Listeners,
    next_id: Arc<AtomicU64>,
    ended: CancellationToken,
}

impl Supervisor {
    /// Starts it and waits for its claim. It creates `folder`, and removes it at the end unless `keep_folder`.
    pub(crate) async fn start(
        command: &[OsString],
        folder: &Path,
        keep_folder: bool,
    ) -> Result<(Self, AddressRange), SupervisorError> {
        let (program, arguments) = command.split_first().ok_or(SupervisorError::NoCommand)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| SupervisorError::Spawn { program: program.clone(), source })?;
        let silent = || SupervisorError::Silent { program: program.clone() };
        let mut stdin = child.stdin.take().ok_or_else(silent)?;
        let mut reports = BufReader::new(child.stdout.take().ok_or_else(silent)?).lines();
        let begin = Order::Begin { folder: folder.to_owned(), keep_folder };
        let answer = tokio::time::timeout(START_TIMEOUT, async {
            write_order(&mut stdin, &begin).await.ok()?;
            next_report(&mut reports).await
        });
        match answer.await.ok().flatten() {
            Some(Report::Ready { range }) => Ok((Self::connected(child, stdin, reports), range)),
            Some(Report::Failed { message }) => Err(SupervisorError::Refused { message }),
            _ => Err(silent()),
        }
    }

    fn connected(child: Child, stdin: ChildStdin, reports: Lines<BufReader<ChildStdout>>) -> Self {
        let (orders, pending) = mpsc::unbounded_channel();
        let listeners = Listeners::default();
        let ended = CancellationToken::new();
        tokio::spawn(send_orders(stdin, pending));
        tokio::spawn(dispatch_reports(child, reports, Arc::clone(&listeners), ended.clone()));
        Self { orders, listeners, next_id: Arc::default(), ended }
    }

    /// An id for the next container.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts a container; `listener` hears what becomes of it, in order.
    pub(crate) fn spawn(&self, request: SpawnRequest, listener: impl Fn(ProcessEvent) + Send + 'static) {
        let id = request.id;
        self.lock_listeners().insert(id, Box::new(listener));
        if self.orders.send(Order::Spawn(request)).is_err()
            && let Some(listener) = self.lock_listeners().remove(&id)
        {
            listener(ProcessEvent::NotStarted { error: "the supervisor has ended".to_owned() });
        }
    }

    /// Signals a container's process group.
    pub(crate) fn signal(&self, id: u64, signal: Signal) {
        // A supervisor that is gone has taken the container along.
        let _ = self.orders.send(Order::Signal { id, signal: signal as i32 });
    }

    /// Resolves when the supervisor is gone, and with it every container and the folder.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends it; returns when everything is gone. Its clones become useless.
    pub(crate) async fn stop(&self) {
        let _ = self.orders.send(Order::End);
        self.ended().await;
    }

    fn lock_listeners(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn send_orders(mut stdin: ChildStdin, mut pending: mpsc::UnboundedReceiver<Order>) {
    while let Some(order) = pending.recv().await {
        if write_order(&mut stdin, &order).await.is_err() {
            return;
        }
    }
}

async fn dispatch_reports(
    mut child: Child,
    mut reports: Lines<BufReader<ChildStdout>>,
    listeners: Listeners,
    ended: CancellationToken,
) {
    while let Some(report) = next_report(&mut reports).await {
        let (id, event, last) = match report {
            Report::Started { id, pid } => (id, ProcessEvent::Started { pid }, false),
            Report::NotStarted { id, error } => (id, ProcessEvent::NotStarted { error }, true),
            Report::Exited { id, exit } => (id, ProcessEvent::Exited(exit), true),
            Report::Ready { .. } | Report::Failed { .. } => continue,
        };
        let mut listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listeners.get(&id) {
            listener(event);
        }
        if last {
            listeners.remove(&id);
        }
    }
    // The pipe ends a moment before the process does; callers want the process gone.
    let _ = child.wait().await;
    ended.cancel();
}

async fn write_order(stdin: &mut ChildStdin, order: &Order) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    stdin.write_all(&line).await
}

async fn next_report(reports: &mut Lines<BufReader<ChildStdout>>) -> Option<Report> {
    let line = reports.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}
