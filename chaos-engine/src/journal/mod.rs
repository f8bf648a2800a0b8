//! The journal: the evidence of a run in one append-only file that is readable after the process was killed at any moment.
//!
//! A file is 8 bytes of magic, two little-endian `u16` (major and minor version) and then frames of
//! `{length: u32, type: u8, CRC-32: u32, payload}`, where length counts the payload and the CRC covers type and payload.
//! Type 1 holds one [`Event`](chaos_core::record::Event) as JSON. Readers skip types and events that they do not know, so a
//! newer minor version only adds; a newer major one is refused. Nothing is ever rewritten, and no secret is ever written:
//! [`Redactor`] runs before the writer.

mod format;
mod reader;
mod redact;
mod writer;

use std::io;
use std::path::PathBuf;

pub use reader::{Journal, Torn, is_finished, is_journal, is_orphaned, is_written, read};
pub use redact::{Redactor, Unrecordable};
pub(crate) use redact::{is_of_credential, selects_credential};
pub use writer::JournalWriter;

/// Version that this build writes.
pub const VERSION: (u16, u16) = (1, 1);

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be made.
    #[error(
        "failed to create journal {path}: {source}; hint: an existing journal is never overwritten, and its folder must be writable"
    )]
    Create {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An event could not be stored. The run must end: what follows would be without evidence.
    #[error("failed to write journal {path}: {message}")]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The file could not be read.
    #[error("failed to read journal {path}: {source}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pipe, a device or a folder.
    #[error("{path} is no file; hint: a journal is read from a disk, from which it can be read again")]
    NoFile {
        /// Where.
        path: PathBuf,
    },
    /// The file does not start like a journal.
    #[error(
        "{path} is not a journal; hint: it is run.journal in the folder of a run, and starts with the bytes CHAOSJNL"
    )]
    NotAJournal {
        /// Where.
        path: PathBuf,
    },
    /// The file was written by a tool that changed the format.
    #[error(
        "journal {path} has format {}.{}, this build reads up to {}.x; hint: use the version of the tool that wrote it, or a newer one",
        found.0, found.1, VERSION.0
    )]
    NewerMajor {
        /// Where.
        path: PathBuf,
        /// Its version.
        found: (u16, u16),
    },
    /// A whole frame of a known version does not hold what it should.
    #[error("journal {path} has an event at byte {offset} that cannot be understood: {message}")]
    BadEvent {
        /// Where.
        path: PathBuf,
        /// Start of its frame.
        offset: u64,
        /// Why.
        message: String,
    },
}

#[cfg(test)]
mod tests;
