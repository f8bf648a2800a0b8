//! Stands between a store and its server, and breaks connections where no kill could be timed: around a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// When the connection breaks, once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Break {
    /// Before the server hears of these bytes.
    Before(&'static [u8]),
    /// When the server has heard them and has answered with the same, and the answer is on its way.
    After(&'static [u8]),
}

/// A proxy that breaks one connection.
pub(super) struct Proxy {
    pub(super) port: u16,
    armed: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens, and hands everything on to `server` until [`Proxy::arm`] is called.
    pub(super) async fn start(server: u16, how: Break) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let armed = Arc::new(AtomicBool::new(false));
        let arm = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A server that is away refuses, and so does this.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                    tokio::spawn(hand_on(client, server, how, Arc::clone(&arm)));
                }
            }
        });
        Self { port, armed }
    }

    /// The next such bytes break their connection.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    /// Whether that has happened.
    pub(super) fn has_broken(&self) -> bool {
        !self.armed.load(Ordering::Relaxed)
    }
}

async fn hand_on(mut client: TcpStream, mut server: TcpStream, how: Break, armed: Arc<AtomicBool>) {
    let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let (Break::Before(bytes) | Break::After(bytes)) = how;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                let breaks = holds(&asked[..length], bytes) && armed.swap(false, Ordering::Relaxed);
                if breaks && matches!(how, Break::Before(_)) { return }
                if server.write_all(&asked[..length]).await.is_err() { return }
                if breaks {
                    // Its answer repeats the words when it is done; nobody else is told.
                    let mut told = Vec::new();
                    while !holds(&told, bytes) {
                        let Ok(length @ 1..) = server.read(&mut answered).await else { return };
                        told.extend_from_slice(&answered[..length]);
                    }
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
