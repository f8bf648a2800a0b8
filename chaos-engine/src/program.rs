//! The program of this process, by the digest of its file: records name what made them. It must not look at any other file.

use std::fs::File;
use std::io::{self, Read};
use std::sync::OnceLock;

use chaos_core::digest::hex;
use sha2::{Digest as _, Sha256};

const BUFFER: usize = 64 * 1024;

/// SHA-256 of this program's file, in hex. The file is read once, which takes up to a second. Absent where it cannot be read,
/// and for a build without optimisation, which is large, hashes slowly, and is nobody's release.
pub fn digest() -> Option<String> {
    static DIGEST: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        if cfg!(debug_assertions) {
            return None;
        }
        // The file that runs, even where another has its name by now.
        let file = File::open("/proc/self/exe").or_else(|_| File::open(std::env::current_exe()?));
        digest_of(file.ok()?).ok()
    };
    DIGEST.get_or_init(read).clone()
}

/// In pieces: a process that may use little memory has no room for the whole program once more.
fn digest_of(mut file: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use chaos_core::digest::sha256_hex;

    use super::*;

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    #[test]
    fn a_file_of_many_pieces_has_the_digest_of_its_bytes() {
        for length in [0, 3, BUFFER, BUFFER + 1, 3 * BUFFER - 1] {
            let bytes: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            assert_eq!(digest_of(bytes.as_slice()).unwrap(), sha256_hex(&bytes), "{length}");
        }
        assert!(digest_of(Broken).is_err(), "half a digest is none");
    }

    #[test]
    fn only_an_optimised_build_has_one() {
        let own = || sha256_hex(&std::fs::read(std::env::current_exe().unwrap()).unwrap());
        assert_eq!(digest(), (!cfg!(debug_assertions)).then(own));
    }
}
