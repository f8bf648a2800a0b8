//! Connections of one http probe: opened when needed, kept where the probe says so. The one promise about reuse: a request
//! that was handed to a kept connection of which nothing can have been written is sent on a new one (that is no retry, as
//! the server has seen nothing); a request of which anything may have been written is never sent again.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chaos_core::model::HttpVersion;
use chaos_core::record::BadClass;
use futures::FutureExt as _;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::ext::on_informational;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::exchange::Failure;
use super::plan::Origin;
use super::wire::{Seen, Watched, Wrong};
use crate::probe::{Trust, address};

/// A kept connection that was idle for longer is closed instead of used: common servers close after 5 s, and a request that
/// crosses such a close would be lost through nobody's fault.
const LONGEST_IDLE: Duration = Duration::from_secs(4);
/// Requests at a time on one HTTP/2 connection, where the server allows as many: what common servers allow.
const MOST_STREAMS: usize = 100;

type Body = Full<Bytes>;

/// An open connection. HTTP/1.1: closed when dropped, also in the middle of an answer. HTTP/2: a place on a connection that
/// others use too.
#[derive(Debug)]
pub(in crate::probe) enum Connection {
    Http1 { sender: http1::SendRequest<Body>, seen: Arc<Seen>, task: AbortOnDropHandle<()> },
    Http2(Place),
}

/// A connection that carries many requests at a time; closed when the last of its users drops it.
#[derive(Debug)]
pub(super) struct Multiplexed {
    sender: http2::SendRequest<Body>,
    seen: Arc<Seen>,
    in_flight: AtomicUsize,
    /// Requests at a time that the server allows.
    allowed: Arc<AtomicUsize>,
    last_used: Mutex<Instant>,
    _task: AbortOnDropHandle<()>,
}

/// The right to have one request on a connection.
#[derive(Debug)]
pub(in crate::probe) struct Place(Arc<Multiplexed>);

/// Where connections come from.
#[derive(Debug)]
pub(in crate::probe) struct Connections {
    origin: Origin,
    version: HttpVersion,
    keep_alive: bool,
    tls: Option<Tls>,
    /// Idle ones, the one used last on top, so that the others grow old: what a moment of many requests opened is closed after it.
    idle: Mutex<Vec<(Connection, Instant)>>,
    /// Those that carry many requests, the oldest first, so that the others can grow old.
    multiplexed: Mutex<Vec<Arc<Multiplexed>>>,
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
    /// `verified` is the name that a certificate must bear, where TLS is spoken.
    pub(in crate::probe) fn new(
        origin: &Origin,
        verified: &str,
        version: HttpVersion,
        keep_alive: bool,
        trust: &Trust,
    ) -> Result<Self, rustls::Error> {
        let tls = origin.tls.then(|| Tls::new(verified, version, trust)).transpose()?;
        let (idle, multiplexed) = (Mutex::default(), Mutex::default());
        Ok(Self { origin: origin.clone(), version, keep_alive, tls, idle, multiplexed })
    }

    /// A kept connection that is ready for a request, if there is one.
    pub(super) fn kept(&self) -> Option<Connection> {
        if self.version == HttpVersion::Http2 {
            return self.place();
        }
        let mut idle = lock(&self.idle);
        retire(&mut idle);
        while let Some((connection, _)) = idle.pop() {
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn place(&self) -> Option<Connection> {
        let mut multiplexed = lock(&self.multiplexed);
        multiplexed.retain(|connection| connection.is_usable());
        multiplexed.iter().find_map(Multiplexed::place).map(Connection::Http2)
    }

    /// Keeps a connection whose answer was read to the end.
    pub(super) fn keep(&self, connection: Connection) {
        if let Connection::Http1 { sender, .. } = &connection
            && self.keep_alive
            && !sender.is_closed()
        {
            lock(&self.idle).push((connection, Instant::now()));
        }
    }

    /// Opens a connection.
    pub(super) async fn open(&self) -> Result<Connection, Failure> {
        let stream = self.reach().await.map_err(|error| Failure::of_io("connect", &error))?;
        self.begin(stream).await
    }

    /// Reaches whoever listens there.
    pub(in crate::probe) async fn reach(&self) -> io::Result<TcpStream> {
        address::connect(&self.origin.host, self.origin.port).await
    }

    /// Begins to speak with whoever was reached.
    pub(in crate::probe) async fn begin(&self, stream: TcpStream) -> Result<Connection, Failure> {
        stream.set_nodelay(true).map_err(|error| Failure::of_io("connect", &error))?;
        match &self.tls {
            None => self.handshake(stream).await,
            Some(tls) => {
                let stream = tls.connector.connect(tls.name.clone(), stream).await;
                let stream = stream.map_err(|error| of_tls(&error))?;
                let agreed = stream.get_ref().1.alpn_protocol();
                if self.version == HttpVersion::Http2 && agreed != Some(H2) {
                    return Err(Failure::new(BadClass::Other, "connect: the server does not offer HTTP/2 (ALPN)"));
                }
                self.handshake(stream).await
            }
        }
    }

    async fn handshake<S>(&self, stream: S) -> Result<Connection, Failure>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let seen = Arc::<Seen>::default();
        let failed = |error: hyper::Error| match seen.wrong() {
            Some(wrong) => Failure::of_server("connect", wrong),
            None => Failure::of_hyper("connect", &error),
        };
        // A connection's own error is also given to whoever waits for an answer on it.
        if self.version == HttpVersion::Http1 {
            let stream = TokioIo::new(Watched::http1(stream, Arc::clone(&seen)));
            let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
            let task = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
            return Ok(Connection::Http1 { sender, seen, task });
        }
        let stream = TokioIo::new(Watched::http2(stream, Arc::clone(&seen)));
        // Until the server has said how many streams it allows there is one: it would refuse what is above, and that failure
        // would be ours.
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let (sender, mut connection) = http2.initial_max_send_streams(1).handshake(stream).await.map_err(failed)?;
        let allowed = Arc::new(AtomicUsize::new(1));
        let told = Arc::clone(&allowed);
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = std::future::poll_fn(|context| {
                told.store(connection.current_max_send_streams(), Ordering::Relaxed);
                connection.poll_unpin(context)
            })
            .await;
        }));
        let connection = Arc::new(Multiplexed {
            sender,
            seen,
            in_flight: AtomicUsize::new(1),
            allowed,
            last_used: Mutex::new(Instant::now()),
            _task: task,
        });
        if self.keep_alive {
            lock(&self.multiplexed).push(Arc::clone(&connection));
        }
        Ok(Connection::Http2(Place(connection)))
    }
}

/// Closes connections that were idle for too long: those at the bottom.
fn retire(idle: &mut Vec<(Connection, Instant)>) {
    let old = idle.partition_point(|(_, since)| since.elapsed() > LONGEST_IDLE);
    idle.drain(..old);
}

const H2: &[u8] = b"h2";

/// What became of a request that was handed to a connection.
pub(in crate::probe) enum Sent {
    /// It is answered; the body is still to be read, and the connection must live until then.
    Answered(Response<Incoming>, Connection),
    /// Nothing of it was written: the connection was closed already.
    Unwritten(Request<Body>),
    /// It may have been seen.
    Failed(Failure),
}

impl Failure {
    /// What a server does that nothing good can follow, told as that and not as the error that a library makes of it.
    fn of_server(stage: &str, wrong: Wrong) -> Self {
        Self::new(BadClass::Other, format!("{stage}: {wrong}"))
    }
}

impl Connection {
    fn is_ready(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_ready(),
            Self::Http2(place) => place.0.is_usable(),
        }
    }

    fn seen(&self) -> Arc<Seen> {
        match self {
            Self::Http1 { seen, .. } => Arc::clone(seen),
            Self::Http2(place) => Arc::clone(&place.0.seen),
        }
    }

    /// Sends a request and waits for the head of the answer.
    pub(in crate::probe) async fn send(self, mut request: Request<Body>) -> Sent {
        let seen = self.seen();
        seen.begin();
        let (answer, connection) = match self {
            Self::Http1 { mut sender, seen, task } => {
                let telling = Arc::clone(&seen);
                on_informational(&mut request, move |head| telling.informational(head.headers()));
                let answer = sender.try_send_request(request).await;
                (answer, Self::Http1 { sender, seen, task })
            }
            Self::Http2(place) => {
                let answer = place.0.sender.clone().try_send_request(request).await;
                (answer, Self::Http2(place))
            }
        };
        match (answer, seen.wrong()) {
            (Ok(response), None) => Sent::Answered(response, connection),
            (_, Some(wrong)) => Sent::Failed(Failure::of_server("answer", wrong)),
            (Err(mut error), None) => match error.take_message() {
                Some(unwritten) => Sent::Unwritten(unwritten),
                None => Sent::Failed(Failure::of_hyper("answer", &error.into_error())),
            },
        }
    }
}

impl Multiplexed {
    /// Open, and not idle for so long that the server may be about to close it.
    fn is_usable(&self) -> bool {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0 && lock(&self.last_used).elapsed() > LONGEST_IDLE;
        !idle && !self.sender.is_closed()
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        let most = self.allowed.load(Ordering::Relaxed).min(MOST_STREAMS);
        // Connections are used by one thread: nobody takes a place between the look and the addition.
        if self.in_flight.load(Ordering::Relaxed) >= most {
            return None;
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::clone(self)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *lock(&self.0.last_used) = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tls {
    fn new(host: &str, version: HttpVersion, trust: &Trust) -> Result<Self, rustls::Error> {
        let protocols: &[&[u8]] = match version {
            HttpVersion::Http1 => &[],
            HttpVersion::Http2 => &[H2],
        };
        let config = trust.client_config(protocols)?;
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

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
