//! A server that answers as badly as a test wants. It speaks just enough HTTP to find the end of a request without a body.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{RwLock, watch};

/// What a request gets.
#[derive(Clone)]
pub(super) struct Reply {
    bytes: String,
    close: bool,
    delay: Duration,
}

impl Reply {
    pub(super) fn raw(bytes: &str) -> Self {
        Self { bytes: bytes.to_owned(), close: false, delay: Duration::ZERO }
    }

    pub(super) fn ok() -> Self {
        Self::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    }

    pub(super) fn then_close(self) -> Self {
        Self { close: true, ..self }
    }

    pub(super) fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

#[derive(Default)]
struct Seen {
    paths: Vec<String>,
    connections: u64,
    closed: u64,
}

struct Shared {
    reply: Box<dyn Fn(&str) -> Reply + Send + Sync>,
    seen: watch::Sender<Seen>,
    /// Held for writing: nobody is answered.
    frozen: RwLock<()>,
    /// Every request is cut.
    failing: AtomicBool,
}

pub(super) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: tokio_util::task::AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            reply: Box::new(reply),
            seen: watch::Sender::new(Seen::default()),
            frozen: RwLock::new(()),
            failing: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.seen.send_modify(|seen| seen.connections += 1);
                let serving = Arc::clone(&serving);
                tokio::spawn(async move {
                    serve(stream, Arc::clone(&serving)).await;
                    serving.seen.send_modify(|seen| seen.closed += 1);
                });
            }
        });
        Self { address, shared, _accepting: tokio_util::task::AbortOnDropHandle::new(accepting) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.seen.borrow().paths.clone()
    }

    pub(super) fn connections(&self) -> u64 {
        self.shared.seen.borrow().connections
    }

    /// Waits until no more than so many connections are open.
    pub(super) async fn until_open_at_most(&self, most: u64) {
        self.shared.seen.subscribe().wait_for(|seen| seen.connections - seen.closed <= most).await.unwrap();
    }

    pub(super) async fn until_asked(&self, times: usize) {
        self.shared.seen.subscribe().wait_for(|seen| seen.paths.len() >= times).await.unwrap();
    }

    /// Answers nobody for a while; tells when exactly.
    pub(super) async fn freeze_for(&self, span: Duration) -> (Instant, Instant) {
        let _frozen = self.shared.frozen.write().await;
        let from = Instant::now();
        tokio::time::sleep(span).await;
        (from, Instant::now())
    }

    pub(super) fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        while !buffer.windows(4).any(|window| window == b"\r\n\r\n") {
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                // Not HTTP (a TLS hello): answered like a request.
                Ok(read) if chunk[0] == 0x16 => {
                    let _ = read;
                    buffer.extend_from_slice(b"\r\n\r\n");
                }
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            }
        }
        let path = String::from_utf8_lossy(&buffer).split(' ').nth(1).unwrap_or_default().to_owned();
        buffer.clear();
        if shared.failing.load(Ordering::SeqCst) {
            return;
        }
        let reply = (shared.reply)(&path);
        shared.seen.send_modify(|seen| seen.paths.push(path));
        drop(shared.frozen.read().await);
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        if stream.write_all(reply.bytes.as_bytes()).await.is_err() || reply.close {
            return;
        }
    }
}
