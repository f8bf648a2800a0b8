//! The one TLS setting of all probes: ring, safe defaults, the machine's own certificates or those of a file. There is no way
//! to switch the verification off.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::given;

/// Whose certificates are trusted.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
}

/// Why a file of certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It cannot be read, or is no PEM.
    #[error("failed to read certificates from {path}: {message}; hint: it must be PEM, with CERTIFICATE blocks")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// It holds none that is valid.
    #[error("{path} holds no certificate; hint: it must be PEM, with CERTIFICATE blocks")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Default for Trust {
    /// The machine's own.
    fn default() -> Self {
        static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        });
        Self { roots: Arc::clone(&ROOTS) }
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Trust({} roots)", self.roots.len())
    }
}

impl Trust {
    /// The certificates of a PEM file, and no others.
    pub fn of_file(path: &Path) -> Result<Self, TrustError> {
        let unreadable = |message: String| TrustError::Unreadable { path: path.to_owned(), message };
        let pem = given::read(path, given::LARGEST_TEXT).map_err(|error| unreadable(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty { path: path.to_owned() });
        }
        Ok(Self { roots: Arc::new(roots) })
    }

    /// A client's configuration that offers these protocols (ALPN); none: does not speak of them.
    pub(super) fn client_config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        for (text, part) in [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\n!\n", "failed to read")] {
            std::fs::write(&path, text).unwrap();
            let error = Trust::of_file(&path).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("hint: "), "{error}");
        }
        assert!(Trust::of_file(&folder.path().join("none.pem")).is_err());
        assert!(Trust::of_file(Path::new("/dev/zero")).is_err(), "it has no end");
    }
}
