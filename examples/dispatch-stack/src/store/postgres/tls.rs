//! TLS to the server by the platform's one stack, rustls with ring. The chain and the host's name are always verified.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::store::StoreError;

/// The name by which a client of PostgreSQL says what it is about to speak (ALPN).
const PROTOCOL: &[u8] = b"postgresql";

/// Whom connections trust.
#[derive(Clone)]
pub(super) struct Encryption(Arc<ClientConfig>);

impl Encryption {
    /// Trusts the authorities of a PEM file, or else the system's; nobody where nothing will be encrypted.
    ///
    /// # Errors
    /// [`StoreError::Config`] when there is nobody to trust.
    pub(super) fn trusting(ca_file: Option<&Path>, encrypted: bool) -> Result<Self, StoreError> {
        let roots = match ca_file {
            Some(path) => of_file(path)
                .map_err(|reason| format!("failed to read certificates from {}: {reason}", path.display()))
                .map_err(StoreError::Config)?,
            None if encrypted => of_system()?,
            None => RootCertStore::empty(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| StoreError::Config(format!("failed to set up TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

fn of_file(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds none\nhint: DATABASE_CA_FILE is PEM".into()) } else { Ok(roots) }
}

fn of_system() -> Result<RootCertStore, StoreError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let none = "failed to find whom to trust: this system has no certificates\nhint: DATABASE_CA_FILE names a PEM file of the server's authority, or the URL says sslmode=disable";
        return Err(StoreError::Config(none.into()));
    }
    Ok(roots)
}

impl MakeTlsConnect<Socket> for Encryption {
    type Stream = Encrypted;
    type TlsConnect = ToHost;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<ToHost, Infallible> {
        Ok(ToHost { config: Arc::clone(&self.0), host: host.to_owned() })
    }
}

/// One connection to be made.
pub(super) struct ToHost {
    config: Arc<ClientConfig>,
    host: String,
}

impl TlsConnect<Socket> for ToHost {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Encrypted>>;

    fn connect(self, stream: Socket) -> Self::Future {
        async move {
            let name =
                ServerName::try_from(self.host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            TlsConnector::from(self.config).connect(name, stream).await.map(Encrypted)
        }
        .boxed()
    }
}

/// An encrypted connection.
pub(super) struct Encrypted(TlsStream<Socket>);

impl tokio_postgres::tls::TlsStream for Encrypted {
    /// The certificate is verified by its chain: binding the password to it besides is left out.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
