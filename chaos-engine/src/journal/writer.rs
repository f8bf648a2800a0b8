//! Writes a journal from a thread of its own, so that nobody who measures waits for a disk. Every event reaches the kernel
//! as soon as the thread runs; those that other decisions stand on are forced to the disk. An error is kept and told to
//! everyone: it must never be swallowed, because a run without evidence has to end.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use chaos_core::record::Event;
use tokio::sync::{oneshot, watch};

use super::{JournalError, format};

/// Events that may wait for the disk: a minute of 1,000 failing requests a second. More means that the disk hangs.
const QUEUE: usize = 60_000;
/// Bytes that are written at once at most.
const BATCH: usize = 1 << 20;

/// The open journal of a run. Dropping it writes what was queued and closes the file.
#[derive(Debug)]
pub struct JournalWriter {
    path: PathBuf,
    queue: Option<SyncSender<Job>>,
    failure: watch::Sender<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

/// Resolves once an event is on the disk.
pub(crate) type Stored = oneshot::Receiver<Result<(), String>>;

#[derive(Debug)]
struct Job {
    bytes: Vec<u8>,
    sync: bool,
    stored: Option<oneshot::Sender<Result<(), String>>>,
}

impl JournalWriter {
    /// Creates the journal at `path`, which must not exist.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Create { path: path.to_owned(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
        // Held until this process ends, however it does: that is how others tell a run that goes on from an orphan. A file
        // system without locks costs that and nothing else.
        if let Err(error) = file.try_lock() {
            tracing::debug!(%error, path = %path.display(), "the journal cannot be locked");
        }
        file.write_all(&format::header()).and_then(|()| file.sync_all()).map_err(failed)?;
        Self::on_file(path, file)
    }

    /// Writes frames to an open file; `path` is how errors call it.
    pub(crate) fn on_file(path: &Path, file: File) -> Result<Self, JournalError> {
        let (queue, jobs) = sync_channel(QUEUE);
        let failure = watch::Sender::new(None);
        let told = failure.clone();
        let write = move || write_all(file, &jobs, &told);
        let thread = std::thread::Builder::new().name("journal".into()).spawn(write);
        let thread = thread.map_err(|source| JournalError::Create { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), queue: Some(queue), failure, thread: Some(thread) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the first error is told.
    pub(crate) fn failure(&self) -> watch::Sender<Option<String>> {
        self.failure.clone()
    }

    /// Queues an event without waiting.
    pub(crate) fn write(&self, event: &Event) {
        self.queue(event, None);
    }

    /// Queues an event and forces it to the disk.
    pub(crate) fn write_durably(&self, event: &Event) -> Stored {
        let (tell, stored) = oneshot::channel();
        self.queue(event, Some(tell));
        stored
    }

    /// Writes what was queued, forces it to the disk and closes the file. Blocks for as long as the disk takes.
    pub(crate) fn close(&mut self) -> Result<(), JournalError> {
        drop(self.queue.take());
        let panicked = self.thread.take().is_some_and(|thread| thread.join().is_err());
        if panicked {
            self.fail("the writing thread panicked");
        }
        match self.failure.borrow().clone() {
            Some(message) => Err(JournalError::Write { path: self.path.clone(), message }),
            None => Ok(()),
        }
    }

    fn queue(&self, event: &Event, stored: Option<oneshot::Sender<Result<(), String>>>) {
        let sync = stored.is_some() || is_load_bearing(event);
        let result = match serde_json::to_vec(event).map(|json| format::frame(format::EVENT, &json)) {
            Ok(Some(bytes)) => self.send(Job { bytes, sync, stored }),
            Ok(None) => Err("an event is larger than 4 GiB".into()),
            Err(error) => Err(format!("an event cannot be encoded: {error}")),
        };
        if let Err(message) = result {
            self.fail(&message);
        }
    }

    fn send(&self, job: Job) -> Result<(), String> {
        let queue = self.queue.as_ref().ok_or_else(|| "it is closed".to_owned())?;
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => format!("the disk does not keep up: {QUEUE} events are waiting"),
            TrySendError::Disconnected(_) => "the writing thread is gone".to_owned(),
        })
    }

    fn fail(&self, message: &str) {
        keep_first(&self.failure, message);
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        // Whoever did not call `close` has been told of errors through `failure`.
        let _ = self.close();
    }
}

/// Events that must not be lost even when the machine dies: what was done to the system, and the end.
fn is_load_bearing(event: &Event) -> bool {
    matches!(
        event,
        Event::Started(_)
            | Event::Intent { .. }
            | Event::Kill(_)
            | Event::Phase { .. }
            | Event::WoundDown { .. }
            | Event::Told { .. }
            | Event::Finished { .. }
    )
}

fn write_all(mut file: File, jobs: &Receiver<Job>, failure: &watch::Sender<Option<String>>) {
    while let Ok(first) = jobs.recv() {
        let mut sync = first.sync;
        let mut stored: Vec<_> = first.stored.into_iter().collect();
        let mut bytes = first.bytes;
        while bytes.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            bytes.extend_from_slice(&job.bytes);
            sync |= job.sync;
            stored.extend(job.stored);
        }
        let result = write_batch(&mut file, &bytes, sync, failure);
        for tell in stored {
            // Nobody may be waiting any more; the failure is kept besides.
            let _ = tell.send(result.clone());
        }
    }
    if let Err(error) = file.sync_all() {
        keep_first(failure, &error.to_string());
    }
}

/// After the first error nothing is written any more: a journal with a hole would be worse than one that ends early.
fn write_batch(
    file: &mut File,
    bytes: &[u8],
    sync: bool,
    failure: &watch::Sender<Option<String>>,
) -> Result<(), String> {
    if let Some(message) = failure.borrow().clone() {
        return Err(message);
    }
    let result = file.write_all(bytes).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
    result.map_err(|error| {
        let message = error.to_string();
        keep_first(failure, &message);
        message
    })
}

fn keep_first(failure: &watch::Sender<Option<String>>, message: &str) {
    failure.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert_with(|| message.to_owned());
        is_first
    });
}
