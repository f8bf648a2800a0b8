//! Reads a journal, whole or torn. Keeps every event before the first damaged byte and says what was lost behind it; it
//! must never repair a file.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use chaos_core::record::Event;

use super::format::{self, Frame, Frames, MAGIC};
use super::{JournalError, VERSION};

/// Frames that are worth a thread of their own.
const WORTH_A_THREAD: usize = 2_000;

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
    let whole: Vec<Frame<'_>> = frames.by_ref().collect();
    let total = whole.len();
    let events = events(&whole, version).map_err(|BadEvent { offset, message }| JournalError::BadEvent {
        path: path.to_owned(),
        offset,
        message,
    })?;
    let skipped = (total - events.len()) as u64;
    Ok(Journal { version, events, skipped, torn: torn(frames.offset, bytes.len()) })
}

/// Whether the run of the journal at `path` wrote its last event. False for a run that still goes on and for an orphan,
/// whose process is gone. Cheaper than [`read`]: only the last event is parsed.
pub fn is_finished(path: &Path) -> Result<bool, JournalError> {
    let bytes = load(path)?;
    if version(path, &bytes)?.is_none() {
        return Ok(false);
    }
    let last = Frames::new(&bytes).filter(|frame| frame.kind == format::EVENT).last();
    Ok(last.is_some_and(|frame| matches!(Event::from_json(frame.payload), Ok(Event::Finished { .. }))))
}

/// Whether the journal at `path` has no end and nobody writes it any more: whoever drove that run died.
pub fn is_orphaned(path: &Path) -> Result<bool, JournalError> {
    Ok(!is_written(path)? && !is_finished(path)?)
}

/// Whether somebody still writes the journal at `path`: its run goes on. An error where its file system knows no locks.
pub fn is_written(path: &Path) -> Result<bool, JournalError> {
    let file = open(path)?;
    // Its writer holds it locked for as long as its process lives.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(std::fs::TryLockError::WouldBlock) => Ok(true),
        Err(std::fs::TryLockError::Error(source)) => Err(JournalError::Read { path: path.to_owned(), source }),
    }
}

/// A whole frame of a known version that does not hold what it should.
struct BadEvent {
    offset: u64,
    message: String,
}

/// The events of these frames, in their order, parsed by as many threads as there are processors and work for them.
fn events(frames: &[Frame<'_>], version: (u16, u16)) -> Result<Vec<Event>, BadEvent> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(frames.len().div_ceil(WORTH_A_THREAD)).max(1);
    let (first, others) = frames.split_at(frames.len().div_ceil(threads));
    std::thread::scope(|scope| {
        let parsing: Vec<_> =
            others.chunks(first.len().max(1)).map(|part| scope.spawn(move || parsed(part, version))).collect();
        let mut events = parsed(first, version)?;
        for thread in parsing {
            match thread.join() {
                Ok(part) => events.append(&mut part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(events)
    })
}

fn parsed(frames: &[Frame<'_>], version: (u16, u16)) -> Result<Vec<Event>, BadEvent> {
    let mut events = Vec::with_capacity(frames.len());
    for frame in frames.iter().filter(|frame| frame.kind == format::EVENT) {
        match Event::from_json(frame.payload) {
            Ok(event) => events.push(event),
            Err(error) if version <= VERSION => {
                return Err(BadEvent { offset: frame.offset as u64, message: error.to_string() });
            }
            // Of a newer version, which may have events that this one does not know.
            Err(_) => {}
        }
    }
    Ok(events)
}

/// Whether the file at `path` starts like a journal.
pub fn is_journal(path: &Path) -> Result<bool, JournalError> {
    Ok(start(path, &mut open(path)?)?.starts_with(MAGIC))
}

/// Opens a file. Anything else is refused: a pipe or a device may have no end, or nobody who writes it.
fn open(path: &Path) -> Result<File, JournalError> {
    let failed = |source| JournalError::Read { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe waits for somebody who writes it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(JournalError::NoFile { path: path.to_owned() });
    }
    File::open(path).map_err(failed)
}

/// The bytes of the header, as far as they are there.
fn start(path: &Path, file: &mut File) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    let read = file.take(format::HEADER as u64).read_to_end(&mut bytes);
    read.map_err(|source| JournalError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
}

/// The bytes of a journal. What does not start like one is not read on, however large it is.
fn load(path: &Path) -> Result<Vec<u8>, JournalError> {
    let mut file = open(path)?;
    let mut bytes = start(path, &mut file)?;
    version(path, &bytes)?;
    file.read_to_end(&mut bytes).map_err(|source| JournalError::Read { path: path.to_owned(), source })?;
    Ok(bytes)
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
