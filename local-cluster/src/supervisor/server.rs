//! The supervisor's own loop: orders in, reports out, and the end when the orders end.
//!
//! One thread only: the parent-death signal of the containers is bound to the thread that forked them.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::process;
use super::protocol::{Exit, Order, Report, SpawnRequest};
use crate::network::AddressRange;

/// Runs until stdin ends.
pub(super) fn run() -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve() -> std::io::Result<()> {
    // Signals for the terminal's foreground group are the tool's business: the end of the pipe is the only order to stop.
    let _interrupt = signal(SignalKind::interrupt())?;
    let _terminate = signal(SignalKind::terminate())?;
    let _hangup = signal(SignalKind::hangup())?;
    // Orphans of containers become children of this process instead of init's, so that none is lost sight of.
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut orders =
        BufReader::new(pipe::Receiver::from_owned_fd(std::io::stdin().as_fd().try_clone_to_owned()?)?).lines();
    let mut reports = pipe::Sender::from_owned_fd(std::io::stdout().as_fd().try_clone_to_owned()?)?;

    let Some(Order::Begin { folder, keep_folder }) = next_order(&mut orders).await else {
        return Ok(());
    };
    let claim = match Claim::new(&folder) {
        Ok(claim) => claim,
        Err(error) => {
            let report = Report::Failed { message: error.to_string() };
            return write_report(&mut reports, &report).await;
        }
    };
    let mut session = Session::default();
    if write_report(&mut reports, &Report::Ready { range: claim.range }).await.is_ok() {
        session.run(&mut orders, &mut reports).await;
    }
    process::kill_all(&session.containers);
    if !keep_folder {
        remove_folder(&claim.folder);
    }
    Ok(())
}

/// What a cluster owns on this machine: a folder and an address range. Held by the supervisor, because it is the last to go.
struct Claim {
    range: AddressRange,
    folder: PathBuf,
    _lock: UdpSocket,
}

impl Claim {
    fn new(folder: &Path) -> std::io::Result<Self> {
        let (range, lock) = claim_range()?;
        DirBuilder::new().mode(0o700).create(folder)?;
        Ok(Self { range, folder: folder.to_owned(), _lock: lock })
    }
}

/// Takes the first free range. A bound socket is a lock that no crash can leave behind.
fn claim_range() -> std::io::Result<(AddressRange, UdpSocket)> {
    AddressRange::all()
        .find_map(|range| {
            let lock = UdpSocket::bind((range.lock_address(), AddressRange::LOCK_PORT)).ok()?;
            Some((range, lock))
        })
        .ok_or_else(|| {
            std::io::Error::other("failed to claim a loopback address range: all of 127.2/16 to 127.254/16 are in use")
        })
}

/// Containers may still have been writing when they died a moment ago; nothing does any more, so this ends.
fn remove_folder(folder: &Path) {
    for _ in 0..3 {
        if std::fs::remove_dir_all(folder).is_ok() || !folder.exists() {
            return;
        }
    }
}

#[derive(Default)]
struct Session {
    /// First process of each container that runs, by container id.
    containers: BTreeMap<u64, u32>,
}

impl Session {
    async fn run(&mut self, orders: &mut Lines<BufReader<pipe::Receiver>>, reports: &mut pipe::Sender) {
        let (exits, mut exited) = mpsc::unbounded_channel::<(u64, Exit)>();
        loop {
            let report = tokio::select! {
                order = next_order(orders) => match order {
                    Some(Order::Spawn(request)) => Some(self.spawn(&request, &exits)),
                    Some(Order::Signal { id, signal }) => {
                        self.signal(id, signal);
                        None
                    }
                    Some(Order::Begin { .. } | Order::End) | None => return,
                },
                Some((id, exit)) = exited.recv() => {
                    self.containers.remove(&id);
                    process::reap_strays(&self.containers);
                    Some(Report::Exited { id, exit })
                }
            };
            if let Some(report) = report
                && write_report(reports, &report).await.is_err()
            {
                return;
            }
        }
    }

    fn spawn(&mut self, request: &SpawnRequest, exits: &mpsc::UnboundedSender<(u64, Exit)>) -> Report {
        let id = request.id;
        match process::spawn(request) {
            Ok(running) => {
                let pid = running.pid;
                self.containers.insert(id, pid);
                let exits = exits.clone();
                tokio::spawn(async move {
                    let exit = running.exited().await;
                    // The session only ends together with the process.
                    let _ = exits.send((id, exit));
                });
                Report::Started { id, pid }
            }
            Err(error) => Report::NotStarted { id, error: error.to_string() },
        }
    }

    fn signal(&self, id: u64, number: i32) {
        if let (Some(pid), Ok(signal)) = (self.containers.get(&id), Signal::try_from(number)) {
            process::signal_group(*pid, signal);
        }
    }
}

/// The next order; `None` when the tool is gone or speaks another language.
async fn next_order(orders: &mut Lines<BufReader<pipe::Receiver>>) -> Option<Order> {
    let line = orders.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

async fn write_report(reports: &mut pipe::Sender, report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    reports.write_all(&line).await
}
