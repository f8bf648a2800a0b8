//! Runs the platform's roles as child processes, each on a loopback address of its own, behind one small proxy a Service.
//! A stand-in for a cluster that knows just enough: who is ready, and whom to send the next connection to.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};

use dispatch_stack::fragile::Fragile;
use dispatch_stack::net::IDEMPOTENCY_KEY;
use dispatch_stack::net::client::{Call, Peer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard};

/// Longest wait for anything to happen.
const LIMIT: Duration = Duration::from_secs(30);
const ROLES: [&str; 7] = ["store", "trips", "location", "eta", "matcher", "gateway", "sim"];

/// How a pod is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// SIGKILL; others find out by being refused.
    Abrupt,
    /// Out of the Service first, then SIGTERM.
    Evicted,
}

/// How many pods of each role, how they behave, and where rides are kept: in a folder, unless there is a server.
#[derive(Debug)]
pub(crate) struct Plan {
    replicas: [usize; 7],
    fragile: String,
    database_url: Option<String>,
}

impl Plan {
    /// As in the resilient overlay.
    pub(crate) fn resilient() -> Self {
        Self { replicas: [1, 2, 2, 2, 2, 2, 1], fragile: String::new(), database_url: None }
    }

    /// As in the fragile overlay.
    pub(crate) fn fragile(flags: &Fragile) -> Self {
        Self { fragile: flags.to_string(), ..Self::resilient() }
    }

    /// As in the overlay with PostgreSQL, where the store has as many pods as the others.
    pub(crate) fn postgres(database_url: String) -> Self {
        Self { replicas: [2, 2, 2, 2, 2, 2, 1], database_url: Some(database_url), ..Self::resilient() }
    }
}

/// A Service: hands each connection to the next ready pod.
#[derive(Clone, Default)]
struct Endpoints {
    ready: Arc<SyncMutex<Vec<SocketAddr>>>,
    turn: Arc<AtomicUsize>,
}

impl Endpoints {
    fn add(&self, pod: SocketAddr) {
        self.ready.lock().unwrap().push(pod);
    }

    fn remove(&self, pod: SocketAddr) {
        self.ready.lock().unwrap().retain(|ready| *ready != pod);
    }

    fn next(&self) -> Option<SocketAddr> {
        let ready = self.ready.lock().unwrap();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        (!ready.is_empty()).then(|| ready[turn % ready.len()])
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((mut client, _)) = listener.accept().await {
            let endpoints = self.clone();
            tokio::spawn(async move {
                let Some(pod) = endpoints.next() else { return };
                // A refused or broken connection is the client's to notice, as with a real Service.
                if let Ok(mut server) = TcpStream::connect(pod).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    }
}

struct Pod {
    role: &'static str,
    address: SocketAddr,
    process: Child,
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One platform at a time: two would slow each other down.
static TURN: Mutex<()> = Mutex::const_new(());

/// A running platform; everything ends when it is dropped.
pub(crate) struct Stack {
    _turn: MutexGuard<'static, ()>,
    plan: Plan,
    data: tempfile::TempDir,
    services: HashMap<&'static str, (Endpoints, String)>,
    pods: Vec<Pod>,
    created: usize,
}

impl Stack {
    /// Starts all roles and waits until rides are being driven.
    pub(crate) async fn start(plan: Plan) -> Self {
        let turn = TURN.lock().await;
        let mut services = HashMap::new();
        for role in ROLES {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let endpoints = Endpoints::default();
            tokio::spawn(endpoints.clone().serve(listener));
            services.insert(role, (endpoints, url));
        }
        let data = tempfile::tempdir().unwrap();
        let mut stack = Self { _turn: turn, plan, data, services, pods: Vec::new(), created: 0 };
        for (index, role) in ROLES.into_iter().enumerate() {
            for _ in 0..stack.plan.replicas[index] {
                stack.start_pod(role).await;
            }
        }
        let sim = stack.peer("sim");
        await_ok(&sim, "/readyz").await;
        stack
    }

    /// Ends the oldest pod of `role` and starts another at once; a store's disk is handed over only when it is free.
    pub(crate) async fn kill_and_replace(&mut self, role: &'static str, how: Kill) {
        let index = self.pods.iter().position(|pod| pod.role == role).unwrap();
        let mut victim = self.pods.remove(index);
        let endpoints = self.services[role].0.clone();
        if how == Kill::Evicted {
            endpoints.remove(victim.address);
        }
        let signal = if how == Kill::Abrupt { Signal::SIGKILL } else { Signal::SIGTERM };
        send(&victim, signal);
        if role == "store" && self.plan.database_url.is_none() {
            victim.process.wait().unwrap();
        }
        self.start_pod(role).await;
        endpoints.remove(victim.address);
        if how == Kill::Evicted {
            await_exit(&mut victim, Duration::from_secs(10)).await;
        }
    }

    /// The simulator's report.
    pub(crate) async fn audit(&self, query: &str) -> Value {
        let call = Call::get(format!("/v1/invariants?{query}"));
        self.peer("sim").call(&call, Duration::from_secs(60)).await.unwrap().json().unwrap()
    }

    /// Asks for a ride as an outside client; returns the body and the pods that served it.
    pub(crate) async fn create_ride(&self, key: &str) -> (Value, String) {
        let place = serde_json::json!({"lat": 48.85, "lng": 2.35});
        let body = serde_json::json!({"rider": "outside", "from": place, "to": place});
        let call = Call::post("/v1/rides", &body).header(IDEMPOTENCY_KEY, key);
        let reply = self.peer("gateway").call(&call, LIMIT).await.unwrap();
        assert_eq!(reply.status.as_u16(), 201);
        (reply.json().unwrap(), reply.served_by().to_owned())
    }

    /// SIGTERM to all; every pod must be gone within `limit`.
    pub(crate) async fn stop_politely(mut self, limit: Duration) {
        self.pods.iter().for_each(|pod| send(pod, Signal::SIGTERM));
        for pod in &mut self.pods {
            await_exit(pod, limit).await;
        }
    }

    fn peer(&self, role: &'static str) -> Peer {
        Peer::new(role, &self.services[role].1).unwrap()
    }

    async fn start_pod(&mut self, role: &'static str) {
        self.created += 1;
        let address = free_address().await;
        // The simulator is the referee: it is never fragile.
        let fragile = if role == "sim" { "" } else { &self.plan.fragile };
        let mut command = Command::new(env!("CARGO_BIN_EXE_dispatch"));
        command.arg(role).stdin(Stdio::null());
        command.env("POD_IP", address.ip().to_string()).env("PORT", address.port().to_string());
        command.env("POD_NAME", format!("{role}-{}", self.created)).env("FRAGILE", fragile);
        command.env("RUST_LOG", "error");
        match &self.plan.database_url {
            Some(url) => command.env("DATABASE_URL", url),
            None => command.env("DATA_DIR", self.data.path()),
        };
        // Patient: a machine that also compiles must not make the platform look broken.
        command.env("RIDES_PER_SECOND", "25").env("DRIVERS", "150").env("REQUEST_DEADLINE", "5s");
        for (name, (_, url)) in &self.services {
            command.env(format!("{}_URL", name.to_uppercase()), url);
        }
        let process = command.spawn().unwrap();
        self.pods.push(Pod { role, address, process });
        let pod = Peer::new(role, &format!("http://{address}")).unwrap();
        // The simulator is ready only when rides are driven; it takes part before.
        await_ok(&pod, if role == "sim" { "/livez" } else { "/readyz" }).await;
        self.services[role].0.add(address);
    }
}

fn send(pod: &Pod, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pod.process.id()).unwrap()), signal).unwrap();
}

async fn await_ok(peer: &Peer, path: &str) {
    let begun = Instant::now();
    while !peer.call(&Call::get(path), Duration::from_secs(2)).await.is_ok_and(|reply| reply.status.is_success()) {
        assert!(begun.elapsed() < LIMIT, "{path} of {peer:?} is not ok after {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn await_exit(pod: &mut Pod, limit: Duration) {
    let begun = Instant::now();
    loop {
        if let Some(status) = pod.process.try_wait().unwrap() {
            assert!(status.success(), "{} ended with {status}", pod.role);
            return;
        }
        assert!(begun.elapsed() < limit, "{} still runs {limit:?} after SIGTERM", pod.role);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An address that no other test of this machine is likely to have, and a port that is free on it.
async fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let block = u8::try_from(std::process::id() % 100).unwrap() + 64;
    let probe = TcpListener::bind((Ipv4Addr::new(127, block, high, low.max(1)), 0)).await.unwrap();
    probe.local_addr().unwrap()
}
