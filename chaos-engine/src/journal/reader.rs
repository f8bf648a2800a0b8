//! Reads a journal, whole or torn. Keeps every event before the first damaged byte and says what was lost behind it; it
//! must never repair a file.

use std::path::Path;

use chaos_core::record::Event;

use super::format::{self, Frames, MAGIC};
use super::{JournalError, VERSION};

/// What a journal holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Journal {
    /// Version of its format.
    pub version: (u16, u16),
    /// Its events, in the order in which they were recorded.
    pub events: Vec<Event>,
    /// Whole frames that only a newer tool understands.
    pub skipped: u64,
    /// The end that is missing, where the file was cut or damaged.
    pub torn: Option<Torn>,
}

impl Journal {
    /// Whether the run wrote its last event; otherwise its process died before.
    pub fn is_finished(&self) -> bool {
        matches!(self.events.last(), Some(Event::Finished { .. }))
    }
}

/// Where a journal stops being readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Bytes that are good.
    pub offset: u64,
    /// Bytes behind them that are not.
    pub dropped: u64,
}

/// Reads the journal at `path`.
pub fn read(path: &Path) -> Result<Journal, JournalError> {
    let bytes = load(path)?;
    let Some(version) = version(path, &bytes)? else {
        return Ok(Journal { version: VERSION, events: Vec::new(), skipped: 0, torn: torn(0, bytes.len()) });
    };
    let mut frames = Frames::new(&bytes);
    let mut journal = Journal { version, events: Vec::new(), skipped: 0, torn: None };
    for frame in frames.by_ref() {
        match (frame.kind, serde_json::from_slice(frame.payload)) {
            (format::EVENT, Ok(event)) => journal.events.push(event),
            (format::EVENT, Err(error)) if version <= VERSION => {
                let (path, offset) = (path.to_owned(), frame.offset as u64);
                return Err(JournalError::BadEvent { path, offset, message: error.to_string() });
            }
            _ => journal.skipped += 1,
        }
    }
    journal.torn = torn(frames.offset, bytes.len());
    Ok(journal)
}

/// Whether the run of the journal at `path` wrote its last event. False for a run that still goes on and for an orphan,
/// whose process is gone. Cheaper than [`read`]: only the last event is parsed.
pub fn is_finished(path: &Path) -> Result<bool, JournalError> {
    let bytes = load(path)?;
    if version(path, &bytes)?.is_none() {
        return Ok(false);
    }
    let last = Frames::new(&bytes).filter(|frame| frame.kind == format::EVENT).last();
    Ok(last.is_some_and(|frame| matches!(serde_json::from_slice(frame.payload), Ok(Event::Finished { .. }))))
}

/// Whether the journal at `path` has no end and nobody writes it any more: whoever drove that run died.
pub fn is_orphaned(path: &Path) -> Result<bool, JournalError> {
    let failed = |source| JournalError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    // Its writer holds it locked for as long as its process lives.
    match file.try_lock_shared() {
        Ok(()) => Ok(!is_finished(path)?),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

fn load(path: &Path) -> Result<Vec<u8>, JournalError> {
    std::fs::read(path).map_err(|source| JournalError::Read { path: path.to_owned(), source })
}

/// The version of a file; `None` for one that was torn within its header.
fn version(path: &Path, bytes: &[u8]) -> Result<Option<(u16, u16)>, JournalError> {
    match format::version(bytes) {
        Some(found) if found.0 > VERSION.0 => Err(JournalError::NewerMajor { path: path.to_owned(), found }),
        Some(found) => Ok(Some(found)),
        None if bytes.len() < format::HEADER && (MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC)) => Ok(None),
        None => Err(JournalError::NotAJournal { path: path.to_owned() }),
    }
}

fn torn(good: usize, total: usize) -> Option<Torn> {
    (good < total).then(|| Torn { offset: good as u64, dropped: (total - good) as u64 })
}
