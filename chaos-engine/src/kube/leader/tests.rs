//! Candidates against a Lease in memory, with a clock that only moves when all of them wait.

use std::sync::{Arc, Mutex};

use kube::core::Status;

use super::*;

/// A Lease in memory that can be cut off.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Lease>,
    version: u64,
    is_down: bool,
}

impl Memory {
    fn set_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    fn holder(&self) -> Option<String> {
        self.0.lock().unwrap().lease.as_ref().and_then(|lease| holder(lease).map(str::to_owned))
    }

    fn write(&self, lease: &Lease, check: impl FnOnce(&State) -> bool) -> Result<Lease, CallError> {
        let mut state = self.0.lock().unwrap();
        if state.is_down {
            return Err(down());
        }
        if !check(&state) {
            let status = Status::failure("changed", "Conflict").with_code(409);
            return Err(CallError::Refused { what: "write".into(), status: Box::new(status) });
        }
        state.version += 1;
        let mut lease = lease.clone();
        lease.metadata.resource_version = Some(state.version.to_string());
        state.lease = Some(lease.clone());
        Ok(lease)
    }
}

impl LeaseStore for Memory {
    async fn get(&self) -> Result<Option<Lease>, CallError> {
        let state = self.0.lock().unwrap();
        if state.is_down { Err(down()) } else { Ok(state.lease.clone()) }
    }

    async fn create(&self, lease: &Lease) -> Result<Lease, CallError> {
        self.write(lease, |state| state.lease.is_none())
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, CallError> {
        self.write(lease, |state| lease.metadata.resource_version == Some(state.version.to_string()))
    }
}

fn down() -> CallError {
    CallError::Lost { what: "reach the server".into(), message: "down".into() }
}

/// A candidate that runs on its own.
struct Candidate {
    leading: watch::Receiver<bool>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Candidate {
    fn start(store: &Memory, identity: &str) -> Self {
        let config = ElectionConfig::new("chaos-system", "chaos-operator", identity);
        let (sender, leading) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(Election::new(config, store.clone()).run(sender, shutdown.clone()));
        Self { leading, shutdown, task }
    }

    async fn leads(&mut self, wanted: bool) -> Duration {
        let since = Instant::now();
        self.leading.wait_for(|leading| *leading == wanted).await.unwrap();
        since.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_candidate_waits_until_the_first_gives_the_lease_back() {
    let store = Memory::default();
    let mut first = Candidate::start(&store, "a");
    first.leads(true).await;
    let mut second = Candidate::start(&store, "b");
    sleep(Duration::from_secs(600)).await;
    assert!(*first.leading.borrow() && !*second.leading.borrow());
    first.shutdown.cancel();
    first.task.await.unwrap();
    assert!(second.leads(true).await <= Duration::from_secs(4), "a Lease that was given back is free at once");
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_leader_is_free_after_its_duration() {
    let store = Memory::default();
    let mut first = Candidate::start(&store, "a");
    first.leads(true).await;
    let mut second = Candidate::start(&store, "b");
    sleep(Duration::from_secs(5)).await;
    first.task.abort();
    let waited = second.leads(true).await;
    assert!(waited >= Duration::from_secs(12) && waited <= Duration::from_secs(20), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_identity_takes_over_at_once() {
    let store = Memory::default();
    let mut first = Candidate::start(&store, "a");
    first.leads(true).await;
    first.task.abort();
    let mut again = Candidate::start(&store, "a");
    assert!(again.leads(true).await < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_steps_down_before_its_lease_is_free() {
    let store = Memory::default();
    let mut first = Candidate::start(&store, "a");
    first.leads(true).await;
    store.set_down(true);
    let waited = first.leads(false).await;
    assert!(waited <= Duration::from_secs(13), "{waited:?}");
    store.set_down(false);
    first.leads(true).await;
    first.shutdown.cancel();
    first.task.await.unwrap();
    assert_eq!(store.holder(), None);
}
