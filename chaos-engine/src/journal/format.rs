//! The bytes of a journal: header and frames. Pure; it knows no file and no clock.

use super::VERSION;

pub(super) const MAGIC: &[u8; 8] = b"CHAOSJNL";
pub(super) const HEADER: usize = MAGIC.len() + 4;
/// Frame type of an event as JSON.
pub(super) const EVENT: u8 = 1;

const PREFIX: usize = 9;

pub(super) fn header() -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.0.to_le_bytes());
    bytes[10..].copy_from_slice(&VERSION.1.to_le_bytes());
    bytes
}

/// The version in a header; `None` where it is not one.
pub(super) fn version(bytes: &[u8]) -> Option<(u16, u16)> {
    match bytes.strip_prefix(MAGIC)? {
        [a, b, c, d, ..] => Some((u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))),
        _ => None,
    }
}

/// One frame; `None` where the payload is longer than a frame can say (4 GiB).
pub(super) fn frame(kind: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(payload.len()).ok()?;
    let mut bytes = Vec::with_capacity(PREFIX + payload.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(&checksum(kind, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    Some(bytes)
}

/// A whole frame and where it starts.
pub(super) struct Frame<'a> {
    pub(super) offset: usize,
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
}

/// Walks whole frames and stops before the first that is not: `offset` then says how far the file is good.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    pub(super) offset: usize,
}

impl<'a> Frames<'a> {
    /// Frames of a file's bytes, from behind the header on.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: HEADER.min(bytes.len()) }
    }

    fn parse(&self) -> Option<Frame<'a>> {
        let rest = self.bytes.get(self.offset..)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (&kind, rest) = rest.split_first()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let payload = rest.get(..usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        (checksum(kind, payload) == u32::from_le_bytes(*crc)).then_some(Frame { offset: self.offset, kind, payload })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let frame = self.parse()?;
        self.offset += PREFIX + frame.payload.len();
        Some(frame)
    }
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(payload);
    hasher.finalize()
}
