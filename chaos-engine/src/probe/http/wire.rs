//! What a server sends on a connection, looked at before an HTTP library makes anything of it. Libraries pass over informational
//! answers (1xx) and over frames that bring nothing for as long as they come, and all of that on the one thread of the load: here
//! it has a bound. Whether a server speaks HTTP/2 at all is seen here too, as it depends on chance which error a library tells
//! of one that does not. It must not change a byte, and must not end anything but the connection itself.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Informational answers that may come before an answer. A server that says `102 Processing` every second has half a minute.
const MOST_INFORMATIONAL: u32 = 32;
/// Bytes that they may have together.
const LARGEST_INFORMATIONAL: usize = 64 << 10;
/// Bytes of an informational answer without headers.
const STATUS_LINE: usize = 25;
/// Frames of HTTP/2 that may come one after the other and bring nothing of an answer.
const MOST_IDLE: u32 = 1_000;
/// Streams of which is remembered how many heads came: more cannot be open.
const MOST_STREAMS: usize = 1_024;

const FRAME_HEAD: usize = 9;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const SETTINGS: u8 = 0x4;
const CONTINUATION: u8 = 0x9;
const END_STREAM: u8 = 0x1;

/// What a server does that no answer is waited for behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    /// It informs without an end.
    #[error(
        "more than {} informational responses (1xx), or {} KiB of them, and no answer",
        MOST_INFORMATIONAL,
        LARGEST_INFORMATIONAL >> 10
    )]
    Informational,
    /// It keeps the connection busy with nothing.
    #[error("more than {} HTTP/2 frames in a row that bring nothing of an answer", MOST_IDLE)]
    Idle,
    /// What it said first is no HTTP/2.
    #[error("the server speaks no HTTP/2")]
    NotHttp2,
}

/// What was seen of the server of a connection, for whoever sends on it.
#[derive(Debug, Default)]
pub(in crate::probe) struct Seen {
    /// Informational answers to the last request, and their bytes. Of HTTP/1.1 alone: on HTTP/2 every stream has its own.
    informational: AtomicU32,
    bytes: AtomicUsize,
    /// Frames that brought nothing, since the last request and since the last part of an answer.
    idle: AtomicU32,
    wrong: OnceLock<Wrong>,
}

/// A stream whose bytes are looked at.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    seen: Arc<Seen>,
    /// Where HTTP/2 is spoken.
    frames: Option<Frames>,
    /// Why nothing can be written any more. Told once it is known what the server had said.
    broken: Option<io::Error>,
}

/// Finds the frames of HTTP/2 in bytes as they come.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; FRAME_HEAD],
    /// Bytes of the head that are there.
    filled: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
    /// Whether the first frame came, which is the server's preface.
    begun: bool,
    heads: BTreeMap<u32, Heads>,
}

/// Heads on a stream that did not end it: informational ones, and at last that of the answer.
#[derive(Debug, Default)]
struct Heads {
    count: u32,
    bytes: usize,
}

impl Seen {
    /// A request is about to be sent: from here on it is counted what comes before its answer.
    pub(super) fn begin(&self) {
        self.informational.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.idle.store(0, Ordering::Relaxed);
    }

    /// An informational answer came, on HTTP/1.1.
    pub(super) fn informational(&self, headers: &HeaderMap) {
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let before = self.informational.fetch_add(1, Ordering::Relaxed);
        let bytes = self.bytes.fetch_add(STATUS_LINE + bytes, Ordering::Relaxed) + STATUS_LINE + bytes;
        if before >= MOST_INFORMATIONAL || bytes > LARGEST_INFORMATIONAL {
            self.tell(Wrong::Informational);
        }
    }

    /// Why no answer is waited for on this connection.
    pub(super) fn wrong(&self) -> Option<Wrong> {
        self.wrong.get().copied()
    }

    fn tell(&self, wrong: Wrong) {
        // The first one counts.
        let _ = self.wrong.set(wrong);
    }

    fn nothing_came(&self) {
        if self.idle.fetch_add(1, Ordering::Relaxed) >= MOST_IDLE {
            self.tell(Wrong::Idle);
        }
    }

    fn something_came(&self) {
        self.idle.store(0, Ordering::Relaxed);
    }
}

impl<S> Watched<S> {
    pub(super) fn http1(stream: S, seen: Arc<Seen>) -> Self {
        Self { stream, seen, frames: None, broken: None }
    }

    pub(super) fn http2(stream: S, seen: Arc<Seen>) -> Self {
        Self { stream, seen, frames: Some(Frames::default()), broken: None }
    }

    fn refused(&self) -> io::Result<()> {
        self.seen.wrong().map_or(Ok(()), |wrong| Err(io::Error::other(wrong)))
    }
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// What came of a write. Where a server is gone before its first frame was read, what it had said comes first: a server that
    /// speaks another protocol says so and closes, and either end of that may be noticed before the other.
    fn written<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Err(error)) if self.frames.as_ref().is_some_and(|frames| !frames.begun) => {
                self.broken = Some(error);
                self.last_words(context)
            }
            written => written,
        }
    }

    /// Reads what a server that is gone had said first; then gives why it could not be written to.
    fn last_words<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut bytes = [0; FRAME_HEAD];
        let mut buffer = ReadBuf::new(&mut bytes);
        // A socket that is broken is readable: this does not wait for anybody.
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
        if let (Ok(()), Some(frames)) = (read, &mut self.frames) {
            frames.take(buffer.filled(), &self.seen);
        }
        self.refused()?;
        Poll::Ready(Err(self.broken.take().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.refused()?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        if let Some(frames) = &mut this.frames {
            frames.take(&buffer.filled()[before..], &this.seen);
        }
        Poll::Ready(this.refused())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.last_words(context);
        }
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.last_words(context);
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.broken.is_some() {
            return this.last_words(context);
        }
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.written(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Frames {
    fn take(&mut self, mut bytes: &[u8], seen: &Seen) {
        while !bytes.is_empty() && seen.wrong().is_none() {
            let passed = self.payload.min(bytes.len());
            self.payload -= passed;
            bytes = &bytes[passed..];
            let (head, rest) = bytes.split_at(bytes.len().min(FRAME_HEAD - self.filled));
            self.head[self.filled..self.filled + head.len()].copy_from_slice(head);
            self.filled += head.len();
            bytes = rest;
            if !self.begun && !may_be_settings(&self.head[..self.filled]) {
                return seen.tell(Wrong::NotHttp2);
            }
            if self.filled == FRAME_HEAD {
                (self.filled, self.begun) = (0, true);
                self.frame(seen);
            }
        }
    }

    /// The head of a frame is whole.
    fn frame(&mut self, seen: &Seen) {
        let [high, middle, low, kind, flags, stream @ ..] = self.head;
        self.payload = u32::from_be_bytes([0, high, middle, low]) as usize;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        let ends = flags & END_STREAM != 0;
        match kind {
            HEADERS | DATA if ends => {
                self.heads.remove(&stream);
                seen.something_came();
            }
            HEADERS => {
                self.head_came(stream, seen);
                seen.something_came();
            }
            DATA if self.payload > 0 => seen.something_came(),
            // Each belongs to a request, of which there are only so many.
            RST_STREAM => drop(self.heads.remove(&stream)),
            kind => {
                if let Some(heads) = self.heads.get_mut(&stream).filter(|_| kind == CONTINUATION) {
                    heads.bytes = heads.bytes.saturating_add(self.payload);
                }
                seen.nothing_came();
            }
        }
    }

    /// A head that does not end its stream. All before it on that stream were informational: what follows an answer ends it.
    fn head_came(&mut self, stream: u32, seen: &Seen) {
        let heads = self.heads.entry(stream).or_default();
        if heads.count > MOST_INFORMATIONAL || heads.bytes > LARGEST_INFORMATIONAL {
            return seen.tell(Wrong::Informational);
        }
        heads.count += 1;
        heads.bytes = heads.bytes.saturating_add(self.payload);
        if self.heads.len() > MOST_STREAMS {
            self.heads.pop_first();
        }
    }
}

/// Whether what a server says first can be the settings that HTTP/2 begins with.
fn may_be_settings(start: &[u8]) -> bool {
    start.first().is_none_or(|byte| *byte == 0) && start.get(3).is_none_or(|kind| *kind == SETTINGS)
}

#[cfg(test)]
mod tests;
