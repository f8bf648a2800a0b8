//! TLS of the API server: a certificate of its own for each cluster, and a listener whose handshakes do not wait for each
//! other. kubectl sends no token without TLS, so a cluster that asks for tokens has to speak it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that takes longer for its handshake is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that are ready and not taken yet.
const QUEUE: usize = 64;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It could not be made.
    #[error("failed to make the API server's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// It could not be used.
    #[error("failed to set up TLS of the API server: {0}")]
    Setup(#[from] rustls::Error),
}

/// The certificate of one cluster, signed by an authority that exists for nothing else and whose key is gone already.
#[derive(Clone)]
pub struct ServingCertificate {
    ca_pem: Arc<str>,
    acceptor: TlsAcceptor,
}

impl ServingCertificate {
    /// A certificate for a server at this address, `localhost` and `kubernetes`.
    pub fn for_address(address: IpAddr) -> Result<Self, TlsError> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "local-cluster authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);
        let names = vec!["localhost".to_owned(), "kubernetes".to_owned(), address.to_string()];
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name.push(DnType::CommonName, "local-cluster API server");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private_key(&key))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { ca_pem: authority_certificate.pem().into(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// The authority's certificate, which clients are to trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServingCertificate").finish_non_exhaustive()
    }
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

/// A listener of TLS connections whose handshake is done. Each handshake is a task of its own: a client that is slow (or
/// hostile) holds nobody up.
pub(super) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl TlsListener {
    pub(super) fn new(mut listener: TcpListener, certificate: &ServingCertificate) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let acceptor = certificate.acceptor.clone();
        let (tell, ready) = mpsc::channel(QUEUE);
        let accepting = tokio::spawn(async move {
            loop {
                // axum's own accept: it waits out errors such as a lack of file descriptors.
                let (stream, from) = Listener::accept(&mut listener).await;
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // Nobody takes connections any more when the server has stopped.
                        let _ = tell.send((stream, from)).await;
                    }
                });
            }
        });
        Ok(Self { ready, address, accepting })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task never ends by itself: there is nothing more to come.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
