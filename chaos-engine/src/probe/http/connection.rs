//! Connections of one http probe: opened when needed, kept where the probe says so. The one promise about reuse: a request
//! that was handed to a kept connection of which nothing can have been written is sent on a new one (that is no retry, as
//! the server has seen nothing); a request of which anything may have been written is never sent again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaos_core::record::BadClass;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::exchange::Failure;
use super::plan::Origin;
use crate::probe::tls;

/// A kept connection that was idle for longer is closed instead of used: common servers close after 5 s, and a request that
/// crosses such a close would be lost through nobody's fault.
const LONGEST_IDLE: Duration = Duration::from_secs(4);

/// An open connection; closed when dropped, also in the middle of an answer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: SendRequest<Full<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

/// Where connections come from.
#[derive(Debug)]
pub(super) struct Connections {
    origin: Origin,
    tls: Option<Tls>,
    /// The one used last is on top, so that the others can grow old.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(origin: &Origin) -> Result<Self, rustls::Error> {
        let tls = origin.tls.then(|| Tls::new(&origin.host)).transpose()?;
        Ok(Self { origin: origin.clone(), tls, idle: Mutex::default() })
    }

    /// A kept connection that is ready for a request, if there is one.
    pub(super) fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((connection, since)) = idle.pop() {
            if since.elapsed() > LONGEST_IDLE {
                // Those below were used even longer ago.
                idle.clear();
            } else if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer was read to the end.
    pub(super) fn keep(&self, connection: Connection) {
        if !connection.sender.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push((connection, Instant::now()));
        }
    }

    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let connected = match self.origin.host.parse() {
            Ok(address) => TcpStream::connect(std::net::SocketAddr::new(address, self.origin.port)).await,
            Err(_) => TcpStream::connect((self.origin.host.as_str(), self.origin.port)).await,
        };
        let stream = connected.map_err(|error| Failure::of_io("connect", &error))?;
        stream.set_nodelay(true).map_err(|error| Failure::of_io("connect", &error))?;
        match &self.tls {
            None => handshake(stream).await,
            Some(tls) => {
                let stream = tls.connector.connect(tls.name.clone(), stream).await;
                handshake(stream.map_err(|error| of_tls(&error))?).await
            }
        }
    }
}

async fn handshake<S>(stream: S) -> Result<Connection, Failure>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| Failure::of_hyper("connect", &error))?;
    // Its error is also given to whoever waits for the answer.
    let task = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection { sender, _task: AbortOnDropHandle::new(task) })
}

impl Tls {
    fn new(host: &str) -> Result<Self, rustls::Error> {
        let config = tls::client_config()?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

/// A handshake that the network cut is the network's failure; anything else is TLS'.
fn of_tls(error: &io::Error) -> Failure {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>) {
        return Failure::new(BadClass::Tls, error.to_string());
    }
    Failure::of_io("tls handshake", error)
}
