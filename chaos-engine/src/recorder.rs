//! Where everything that happens in a run is told: the same event, without secrets, goes to the journal, to the memory that
//! the verdict reads and to the live summary that a terminal shows. Never blocks on a disk; it must not decide anything.

mod live;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chaos_core::record::Event;
use tokio::sync::{oneshot, watch};

pub use live::{Live, LiveAnswer, LiveProbe};

use crate::journal::{JournalError, JournalWriter, Redactor};

/// A disk that takes longer hangs: whoever waits for it decides nothing meanwhile, and ends nothing.
const DISK_WITHIN: Duration = Duration::from_secs(10);

/// What was queued may be much more.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

/// A cheap handle to the record of one run; all clones write to the same one.
#[derive(Debug, Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    redactor: Redactor,
    log: Mutex<Log>,
    live: watch::Sender<Live>,
    failure: watch::Sender<Option<String>>,
}

/// Under one lock, so that memory and journal have the same order.
#[derive(Debug)]
struct Log {
    events: Vec<Event>,
    journal: Option<JournalWriter>,
    fold: Option<Fold>,
}

/// What takes the place of the memory where the events themselves are not needed.
struct Fold(Box<dyn FnMut(&Event) + Send>);

impl std::fmt::Debug for Fold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fold")
    }
}

impl Recorder {
    /// A record that is also written to a journal.
    pub fn with_journal(journal: JournalWriter, redactor: Redactor) -> Self {
        let failure = journal.failure();
        Self::new(Some(journal), failure, redactor)
    }

    /// A record in memory only: where the evidence is kept elsewhere, or none is asked for.
    pub fn in_memory(redactor: Redactor) -> Self {
        Self::new(None, watch::Sender::new(None), redactor)
    }

    /// A record that keeps nothing but what `fold` makes of each event: for load without evidence, however long it lasts.
    pub fn folding(redactor: Redactor, fold: impl FnMut(&Event) + Send + 'static) -> Self {
        let recorder = Self::in_memory(redactor);
        recorder.log().fold = Some(Fold(Box::new(fold)));
        recorder
    }

    fn new(journal: Option<JournalWriter>, failure: watch::Sender<Option<String>>, redactor: Redactor) -> Self {
        let log = Mutex::new(Log { events: Vec::new(), journal, fold: None });
        Self { shared: Arc::new(Shared { redactor, log, live: watch::Sender::new(Live::default()), failure }) }
    }

    /// Records an event. Errors show in [`Self::journal_failure`].
    pub fn record(&self, event: Event) {
        let event = self.shared.redactor.event(event);
        self.shared.live.send_if_modified(|live| live.take(&event));
        let mut log = self.log();
        if let Some(journal) = &log.journal {
            journal.write(&event);
        }
        log.keep(event);
    }

    /// Records an event and resolves once it is on the disk: for what must be known before something is done. A disk that hangs is one
    /// that cannot be written; once that is known nobody waits for it.
    pub async fn record_durably(&self, event: Event) -> Result<(), JournalError> {
        let event = self.shared.redactor.event(event);
        self.shared.live.send_if_modified(|live| live.take(&event));
        let stored = {
            let mut log = self.log();
            let stored = log.journal.as_ref().map(|journal| journal.write_durably(&event));
            log.keep(event);
            stored
        };
        let Some(stored) = stored else { return Ok(()) };
        let mut failure = self.journal_failure();
        let failed = async { failure.wait_for(Option::is_some).await.ok().and_then(|failed| failed.clone()) };
        let result = tokio::select! {
            // What was written was, whatever became of the journal right after that.
            biased;
            stored = stored => stored.unwrap_or_else(|_| Err("it was closed".into())),
            failed = failed => Err(failed.unwrap_or_default()),
            () = tokio::time::sleep(DISK_WITHIN) => Err(self.disk_hangs()),
        };
        result.map_err(|message| JournalError::Write { path: self.journal_path().unwrap_or_default(), message })
    }

    /// The events from number `index` on: a reader that keeps its own copy holds everybody up only for what is new.
    pub fn since(&self, index: usize) -> Vec<Event> {
        self.log().events.get(index..).unwrap_or_default().to_vec()
    }

    /// How many events there are.
    pub fn count(&self) -> usize {
        self.log().events.len()
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.since(0)
    }

    /// The summary for a terminal, changed with every event that matters to it.
    pub fn live(&self) -> watch::Receiver<Live> {
        self.shared.live.subscribe()
    }

    /// The first error of the journal, when there is one: the run has to stop.
    pub fn journal_failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.failure.subscribe()
    }

    /// Where the journal is.
    pub fn journal_path(&self) -> Option<PathBuf> {
        self.log().journal.as_ref().map(|journal| journal.path().to_owned())
    }

    /// Writes what is queued and closes the journal; later events stay in memory only. A disk that hangs is not waited for without an
    /// end: there is a verdict to be told.
    pub async fn close(&self) -> Result<(), JournalError> {
        let Some(mut journal) = self.log().journal.take() else { return Ok(()) };
        let path = journal.path().to_owned();
        let failed = |message: String| JournalError::Write { path: path.clone(), message };
        let (tell, closed) = oneshot::channel();
        // In a thread of its own, and of no pool: whoever gave up waiting for it must be able to leave.
        let close = move || {
            // Nobody may be waiting any more.
            let _ = tell.send(journal.close());
        };
        let closing = std::thread::Builder::new().name("journal-end".into()).spawn(close);
        closing.map_err(|error| failed(error.to_string()))?;
        match tokio::time::timeout(CLOSED_WITHIN, closed).await {
            Ok(closed) => closed.unwrap_or_else(|_| Err(failed("it was not closed".to_owned()))),
            Err(_) => Err(failed(format!("the disk has not taken the rest of it for {} s", CLOSED_WITHIN.as_secs()))),
        }
    }

    /// Tells everyone that the disk hangs, as an error of the journal.
    fn disk_hangs(&self) -> String {
        let message = format!("the disk has not taken an event for {} s", DISK_WITHIN.as_secs());
        self.shared.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| message.clone());
            is_first
        });
        message
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A panic of another writer cannot leave the log half changed: pushing is its last step.
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn keep(&mut self, event: Event) {
        match &mut self.fold {
            Some(Fold(fold)) => fold(&event),
            None => self.events.push(event),
        }
    }
}

#[cfg(test)]
mod tests;
