//! Reads a file whose path a person or a manifest gave. It may be anything that a system calls a file: what has no end, or is never
//! written, is an error and neither eats the memory nor waits for ever. It must not say what the content means.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long a pipe or a device may take to give all that it has.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a text that a person wrote, at most.
pub const LARGEST_TEXT: u64 = 16 << 20;

/// The bytes of the file at `path`, if it has no more than `most` of them.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_within(path, most, PATIENCE)
}

/// The text of the file at `path`, if a person can have written as much.
pub fn text(path: &Path) -> io::Result<String> {
    read(path, LARGEST_TEXT).and_then(utf8)
}

/// What a reader gives as text, if a person can have written as much. For as long as it takes: a person may be typing.
pub fn text_of(reader: impl Read) -> io::Result<String> {
    bounded(reader, LARGEST_TEXT).and_then(utf8)
}

fn read_within(path: &Path, most: u64, patience: Duration) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe waits for somebody who writes it.
    let kind = std::fs::metadata(path)?;
    if kind.is_file() || kind.is_dir() {
        return bounded(File::open(path)?, most);
    }
    let (told, answer) = channel();
    let owned = path.to_owned();
    // Left alone where it takes too long: nothing ends a read from outside, and it ends with the process.
    std::thread::Builder::new().name("given".into()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = told.send(File::open(owned).and_then(|file| bounded(file, most)));
    })?;
    match answer.recv_timeout(patience) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout) => {
            let waited = format!("it is no file, and nobody wrote it to an end in {} s", patience.as_secs_f64());
            Err(io::Error::new(ErrorKind::TimedOut, waited))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its reader died")),
    }
}

fn bounded(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let larger = format!("it is larger than {} MiB, and no such file is", most >> 20);
        return Err(io::Error::new(ErrorKind::FileTooLarge, larger));
    }
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is no text (UTF-8)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = 1 << 20;

    fn kind(read: io::Result<Vec<u8>>) -> Result<usize, ErrorKind> {
        read.map(|bytes| bytes.len()).map_err(|error| error.kind())
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (size, expected) in [(0, Ok(0)), (1 << 20, Ok(1 << 20)), ((1 << 20) + 1, Err(ErrorKind::FileTooLarge))] {
            std::fs::write(&path, vec![b'x'; size]).unwrap();
            assert_eq!(kind(read(&path, MOST)), expected, "{size} bytes");
        }
        assert_eq!(kind(read(&folder.path().join("none"), MOST)), Err(ErrorKind::NotFound));
        assert!(read(folder.path(), MOST).is_err());
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(text(&path).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn what_has_no_end_is_refused() {
        assert_eq!(kind(read(Path::new("/dev/zero"), MOST)), Err(ErrorKind::FileTooLarge));
        assert_eq!(text_of(io::repeat(b'x')).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(kind(read(Path::new("/dev/null"), MOST)), Ok(0));
    }

    #[test]
    fn a_pipe_is_read_and_one_that_nobody_writes_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        // Each its own: the reader that is left alone would take what is written for the other.
        let [silent, told] = ["silent", "told"].map(|name| folder.path().join(name));
        for pipe in [&silent, &told] {
            assert!(std::process::Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        assert_eq!(kind(read_within(&silent, MOST, Duration::from_millis(50))), Err(ErrorKind::TimedOut));
        let writer = told.clone();
        let writing = std::thread::spawn(move || std::fs::write(writer, "told"));
        assert_eq!(read(&told, MOST).unwrap(), b"told");
        writing.join().unwrap().unwrap();
    }
}
