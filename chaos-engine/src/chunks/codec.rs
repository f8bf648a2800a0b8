//! Events as bytes and back: one JSON object a line, in a gzip member. What is read may have been written by anybody, so it is
//! bounded before it is believed. Pure; it knows no cluster.

use std::io::{Read as _, Write as _};

use chaos_core::record::Event;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Bytes that one batch may have once it is unpacked.
const UNPACKED: u64 = 64 * 1024 * 1024;

/// Bytes that are no events.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// There is no room for them.
    #[error("failed to pack events: {0}")]
    Pack(std::io::Error),
    /// Not gzip, or cut off.
    #[error("failed to unpack events: {0}")]
    Unpack(std::io::Error),
    /// More than anybody measures.
    #[error("failed to unpack events: more than {} MiB", UNPACKED >> 20)]
    TooLarge,
    /// A line that is no event.
    #[error("line {line} is no event: {source}")]
    Line {
        /// Which.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// An event that cannot be written.
    #[error("failed to encode an event: {0}")]
    Encode(#[from] serde_json::Error),
}

/// Packs events.
pub fn encode(events: &[Event]) -> Result<Vec<u8>, CodecError> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    for event in events {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        gzip.write_all(&line).map_err(CodecError::Pack)?;
    }
    gzip.finish().map_err(CodecError::Pack)
}

/// Unpacks events. Those of a newer version, which this one does not know, are left out.
pub fn decode(bytes: &[u8]) -> Result<Vec<Event>, CodecError> {
    let mut text = Vec::new();
    let read = MultiGzDecoder::new(bytes).take(UNPACKED + 1).read_to_end(&mut text).map_err(CodecError::Unpack)?;
    if read as u64 > UNPACKED {
        return Err(CodecError::TooLarge);
    }
    let mut events = Vec::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(event) => events.push(event),
            Err(source) if is_unknown(line) => tracing::debug!(%source, "an event of a newer version is left out"),
            Err(source) => return Err(CodecError::Line { line: index + 1, source }),
        }
    }
    Ok(events)
}

/// An object with one field whose name is no event's: of a newer version.
fn is_unknown(line: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(line) else { return false };
    let mut names = fields.keys();
    match (names.next(), names.next()) {
        (Some(name), None) => !Event::NAMES.contains(&name.as_str()),
        _ => false,
    }
}
