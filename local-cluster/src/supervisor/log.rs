//! Container logs on disk: the line format of the container runtime interface, bounded by one rotation.
//!
//! `2026-01-31T12:00:00.000000001Z stdout F the line`: time, stream, `F`ull or `P`artial line, text.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A log file longer than this is renamed to [`rotated`] and begun anew: a container keeps at most twice as much.
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// Longer lines are written in parts.
const MAX_LINE: usize = 16 * 1024;

/// The older half of a log.
pub(crate) fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// One log, shared by the two streams of a container.
#[derive(Debug, Clone)]
pub(super) struct ContainerLog {
    inner: Arc<Mutex<LogFile>>,
}

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
}

impl ContainerLog {
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let file = open(path)?;
        let written = file.metadata()?.len();
        Ok(Self { inner: Arc::new(Mutex::new(LogFile { path: path.to_owned(), file, written })) })
    }

    /// Copies one stream into the log until it ends. A log that cannot be written (disk full) is drained and lost, so that
    /// the container does not block on it.
    pub(super) async fn pump(self, stream: &'static str, mut source: impl AsyncRead + Unpin) {
        let mut pending = Vec::new();
        let mut chunk = vec![0_u8; MAX_LINE];
        loop {
            let count = source.read(&mut chunk).await.unwrap_or(0);
            pending.extend_from_slice(&chunk[..count]);
            let ended = count == 0;
            let text = format_lines(Timestamp::now(), stream, &mut pending, ended);
            if !text.is_empty() {
                self.inner.lock().unwrap_or_else(PoisonError::into_inner).append(&text);
            }
            if ended {
                return;
            }
        }
    }
}

impl LogFile {
    fn append(&mut self, text: &[u8]) {
        if self.written > MAX_BYTES
            && std::fs::rename(&self.path, rotated(&self.path)).is_ok()
            && let Ok(file) = open(&self.path)
        {
            self.file = file;
            self.written = 0;
        }
        if self.file.write_all(text).is_ok() {
            self.written += text.len() as u64;
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Takes the complete lines (all that is there, when the stream has `ended`) out of `pending` and formats them.
fn format_lines(now: Timestamp, stream: &str, pending: &mut Vec<u8>, ended: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = pending.as_slice();
    loop {
        let newline = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
        let (line, tag, next) = match newline {
            Some(at) => (&rest[..at], 'F', &rest[at + 1..]),
            None if rest.len() >= MAX_LINE => (&rest[..MAX_LINE], 'P', &rest[MAX_LINE..]),
            None if ended && !rest.is_empty() => (rest, 'P', &rest[rest.len()..]),
            None => break,
        };
        text.extend_from_slice(format!("{now:.9} {stream} {tag} ").as_bytes());
        text.extend_from_slice(line);
        text.push(b'\n');
        rest = next;
    }
    let taken = pending.len() - rest.len();
    pending.drain(..taken);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(input: &[u8], ended: bool) -> (String, usize) {
        let mut pending = input.to_vec();
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let text = format_lines(now, "stdout", &mut pending, ended);
        (String::from_utf8(text).unwrap(), pending.len())
    }

    #[test]
    fn lines_are_stamped_and_an_unfinished_one_waits_for_its_end() {
        let stamp = "2026-01-31T12:00:00.000000000Z stdout";
        assert_eq!(format(b"one\ntwo\nthr", false), (format!("{stamp} F one\n{stamp} F two\n"), 3));
        assert_eq!(format(b"thr", true), (format!("{stamp} P thr\n"), 0));
    }

    #[test]
    fn an_endless_line_is_cut_instead_of_kept_in_memory() {
        let (text, left) = format(&vec![b'x'; MAX_LINE + 5], false);
        assert_eq!(left, 5);
        assert_eq!(text.matches(" P ").count(), 1);
    }

    #[test]
    fn a_log_never_grows_beyond_two_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let log = ContainerLog::open(&path).unwrap();
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..40 {
            log.inner.lock().unwrap().append(&line);
        }
        let total = [path.clone(), rotated(&path)].iter().map(|file| file.metadata().unwrap().len()).sum::<u64>();
        assert!(total <= 2 * MAX_BYTES + 2 * line.len() as u64, "{total}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
