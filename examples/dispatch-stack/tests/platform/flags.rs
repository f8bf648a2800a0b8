//! Each fragile flag breaks the promise that it is said to break, and without the flag the same story breaks nothing. In
//! process and without chance: what races in production is put in order here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::post;
use axum::{Json, Router};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use dispatch_stack::api::{ActionRequest, ActionResult, CreateRide, Proposal, ProposalResult, Ride, RideCreated};
use dispatch_stack::fragile::{Flag, Fragile};
use dispatch_stack::gateway::{self, GatewayConfig};
use dispatch_stack::metrics::Metrics;
use dispatch_stack::net::IDEMPOTENCY_KEY;
use dispatch_stack::net::client::{Call, Peer, Reply};
use dispatch_stack::net::server::{Pod, Service, Shutdown, serve};
use dispatch_stack::ride::{DriverAction, DriverId, Phase, Place};
use dispatch_stack::sim::checker::{Evidence, Invariant, check};
use dispatch_stack::sim::history::{CallOutcome, DriverAck, RideCall, Snapshot};
use dispatch_stack::store::{Answer, MoveRide, Op, Outcome, Patience, Query, RideStore, Served, StoreError, ZONES};
use dispatch_stack::trips::{self, HastyWriter, Trips};

use crate::databases::{Databases, Home, on_every_database};

on_every_database!(
    ack_before_commit_loses_what_a_killed_pod_had_acknowledged,
    no_unique_index_sends_a_driver_to_two_riders,
    read_then_write_assign_gives_a_ride_to_a_second_driver,
    no_version_check_lets_a_late_yes_take_the_ride_from_its_driver,
    no_idempotency_makes_a_retry_a_second_ride,
    matcher_in_memory_leaves_rides_stuck_when_the_matcher_dies,
    retry_new_key_makes_two_rides_of_one_request,
);

const LIMIT: Duration = Duration::from_secs(10);

/// A store and what clients remember.
struct Scene {
    home: Home,
    history: Snapshot,
}

impl Scene {
    async fn new(databases: &Databases, flags: &[Flag]) -> Self {
        let home = databases.fresh_with(!flags.contains(&Flag::NoUniqueIndex)).await;
        Self { home, history: Snapshot::default() }
    }

    fn trips(&self, flags: &[Flag]) -> Trips {
        Trips::new(Arc::clone(&self.home.store), "trips-1", fragile(flags))
    }

    /// A driver is told that the ride is theirs.
    fn told(&mut self, ride: &Ride, driver: &str) {
        let (ride, driver) = (ride.id.clone(), DriverId(driver.into()));
        let action = DriverAction::Accept;
        self.history.acks.push(DriverAck { ride, driver, action, at_ms: 0, served_by: "gateway-1".into() });
    }

    /// A rider is told what `outcome` says.
    fn asked(&mut self, rider: &str, key: &str, outcome: CallOutcome) {
        let (rider, key) = (rider.into(), key.into());
        self.history.calls.push(RideCall { rider, key, invoked_ms: 0, returned_ms: 0, attempts: 1, outcome });
    }

    async fn broken(&self) -> BTreeSet<Invariant> {
        self.broken_after(Duration::ZERO, Duration::from_secs(3600)).await
    }

    /// What is broken when everything stays as it is for `later`.
    async fn broken_after(&self, later: Duration, stuck_after: Duration) -> BTreeSet<Invariant> {
        let served = self.home.store.read(Query::Audit { after: 0, limit: 1000 }).await.unwrap();
        let Answer::Audit { rides: ledger, now_ms } = served.value else { panic!("no ledger") };
        let evidence = Evidence {
            history: &self.history,
            ledger: &ledger,
            now_ms: now_ms + u64::try_from(later.as_millis()).unwrap(),
            stuck_after_ms: u64::try_from(stuck_after.as_millis()).unwrap(),
        };
        check(&evidence).into_iter().map(|violation| violation.invariant).collect()
    }
}

fn fragile(flags: &[Flag]) -> Fragile {
    flags.iter().copied().collect()
}

fn request(rider: &str) -> CreateRide {
    let place = Place { lat: 48.85, lng: 2.35 };
    CreateRide { rider: rider.into(), from: place, to: place }
}

async fn new_ride(trips: &Trips, name: &str) -> Ride {
    trips.create(name, request(name)).await.unwrap().value.ride
}

async fn offer(trips: &Trips, ride: &Ride, driver: &str) -> ProposalResult {
    let proposal = Proposal { ride: ride.id.clone(), driver: DriverId(driver.into()) };
    trips.offer(vec![proposal]).await.unwrap().value[0]
}

async fn accept(trips: &Trips, ride: &Ride, driver: &str) -> ActionResult {
    let (ride, driver) = (ride.id.clone(), DriverId(driver.into()));
    trips.act(vec![ActionRequest { ride, driver, action: DriverAction::Accept }]).await.unwrap().value.remove(0)
}

/// A pod that can be killed: nothing that it had begun goes on.
struct VictimPod {
    peer: Peer,
    runtime: Option<tokio::runtime::Runtime>,
}

impl VictimPod {
    async fn start(name: &'static str, make: impl FnOnce() -> Service + Send + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let probe = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listen = probe.local_addr().unwrap();
        drop(probe);
        runtime.spawn(async move {
            let pod = Pod { name: name.into(), listen, shutdown: Shutdown::Instant };
            serve(pod, make(), CancellationToken::new()).await.unwrap();
        });
        let peer = Peer::new(name, &format!("http://{listen}")).unwrap();
        while peer.call(&Call::get("/livez"), LIMIT).await.is_err() {
            tokio::task::yield_now().await;
        }
        Self { peer, runtime: Some(runtime) }
    }

    async fn ask_for_ride(&self, path: &str, rider: &str) -> Reply {
        let call = Call::post(path, &request(rider)).header(IDEMPOTENCY_KEY, rider);
        self.peer.call(&call, LIMIT).await.unwrap()
    }

    fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for VictimPod {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn ack_before_commit_loses_what_a_killed_pod_had_acknowledged(databases: &Databases) {
    for (flags, expected) in [(&[Flag::AckBeforeCommit][..], vec![Invariant::I1]), (&[][..], vec![])] {
        let mut scene = Scene::new(databases, flags).await;
        let trips = scene.trips(flags);
        let hasty = flags.contains(&Flag::AckBeforeCommit);
        let mut pod = VictimPod::start("trips", move || {
            let writer = hasty.then(|| HastyWriter::start(Arc::clone(trips.store())));
            trips::service(trips, writer, Arc::new(Metrics::new("trips")))
        })
        .await;
        let reply = pod.ask_for_ride("/rides", "ann").await;
        pod.kill();
        assert_eq!(reply.status, StatusCode::CREATED);
        let ride = reply.json::<Ride>().unwrap().id;
        scene.asked("ann", "ann", CallOutcome::Acknowledged { ride, served_by: reply.served_by().into() });
        assert_eq!(scene.broken().await, expected.into_iter().collect(), "flags {flags:?}");
    }
}

async fn no_unique_index_sends_a_driver_to_two_riders(databases: &Databases) {
    for (flags, expected) in [(&[Flag::NoUniqueIndex][..], vec![Invariant::I2]), (&[][..], vec![])] {
        let scene = Scene::new(databases, flags).await;
        let trips = scene.trips(flags);
        let (first, second) = (new_ride(&trips, "one").await, new_ride(&trips, "two").await);
        // The second matcher has not heard yet that the driver is taken.
        assert_eq!(offer(&trips, &first, "dan").await, ProposalResult::Offered);
        let second = offer(&trips, &second, "dan").await;
        assert_eq!(second == ProposalResult::DriverBusy, flags.is_empty());
        assert_eq!(scene.broken().await, expected.into_iter().collect(), "flags {flags:?}");
    }
}

/// A store in which other pods are quick: their writes come between one caller's read and its write.
struct Busy {
    store: Arc<dyn RideStore>,
    quicker: Mutex<Vec<Op>>,
}

impl RideStore for Busy {
    fn write(&self, ops: Vec<Op>) -> BoxFuture<'_, Result<Served<Vec<Outcome>>, StoreError>> {
        let quicker = std::mem::take(&mut *self.quicker.lock().unwrap());
        async move {
            if !quicker.is_empty() {
                let outcomes = self.store.write(quicker).await?.value;
                assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Moved { .. })), "{outcomes:?}");
            }
            self.store.write(ops).await
        }
        .boxed()
    }

    fn read(&self, query: Query) -> BoxFuture<'_, Result<Served<Answer>, StoreError>> {
        self.store.read(query)
    }
}

fn move_to(ride: &Ride, expect: u64, to: Phase) -> Op {
    Op::Move(MoveRide { id: ride.id.clone(), expect: Some(expect), to, charge_cents: None, by: "trips-2".into() })
}

async fn read_then_write_assign_gives_a_ride_to_a_second_driver(databases: &Databases) {
    let bob = || DriverId("bob".into());
    for flags in [&[Flag::ReadThenWriteAssign][..], &[][..]] {
        let mut scene = Scene::new(databases, flags).await;
        let ride = new_ride(&scene.trips(flags), "one").await;
        // While this pod thinks, another matcher offers the ride to Bob, who takes it.
        let quicker = vec![
            move_to(&ride, 1, Phase::Offered { driver: bob() }),
            move_to(&ride, 2, Phase::Assigned { driver: bob() }),
        ];
        let busy = Busy { store: Arc::clone(&scene.home.store), quicker: Mutex::new(quicker) };
        let trips = Trips::new(Arc::new(busy), "trips-1", fragile(flags));
        let result = offer(&trips, &ride, "ann").await;
        scene.told(&ride, "bob");
        if flags.is_empty() {
            assert_eq!(result, ProposalResult::RideGone);
            assert_eq!(scene.broken().await, BTreeSet::new());
        } else {
            assert_eq!(result, ProposalResult::Offered);
            assert!(matches!(accept(&trips, &ride, "ann").await, ActionResult::Done { .. }));
            scene.told(&ride, "ann");
            let broken = scene.broken().await;
            assert!(broken.contains(&Invariant::I3), "{broken:?}");
        }
    }
}

async fn no_version_check_lets_a_late_yes_take_the_ride_from_its_driver(databases: &Databases) {
    let bob = || DriverId("bob".into());
    for flags in [&[Flag::NoVersionCheck][..], &[][..]] {
        let mut scene = Scene::new(databases, flags).await;
        let plain = scene.trips(flags);
        let ride = new_ride(&plain, "one").await;
        assert_eq!(offer(&plain, &ride, "ann").await, ProposalResult::Offered);
        // While Ann's yes is on its way, her offer lapses and Bob takes the ride.
        let quicker = vec![
            move_to(&ride, 2, Phase::Requested),
            move_to(&ride, 3, Phase::Offered { driver: bob() }),
            move_to(&ride, 4, Phase::Assigned { driver: bob() }),
        ];
        let busy = Busy { store: Arc::clone(&scene.home.store), quicker: Mutex::new(quicker) };
        let trips = Trips::new(Arc::new(busy), "trips-1", fragile(flags));
        let result = accept(&trips, &ride, "ann").await;
        scene.told(&ride, "bob");
        if flags.is_empty() {
            assert!(matches!(result, ActionResult::Conflict { .. }), "{result:?}");
            assert_eq!(scene.broken().await, BTreeSet::new());
        } else {
            assert!(matches!(result, ActionResult::Done { .. }), "{result:?}");
            scene.told(&ride, "ann");
            let broken = scene.broken().await;
            assert!(broken.contains(&Invariant::I3), "{broken:?}");
        }
    }
}

async fn no_idempotency_makes_a_retry_a_second_ride(databases: &Databases) {
    for (flags, expected) in [(&[Flag::NoIdempotency][..], vec![Invariant::I4]), (&[][..], vec![])] {
        let scene = Scene::new(databases, flags).await;
        let trips = scene.trips(flags);
        for _ in 0..2 {
            trips.create("the-key", request("ann")).await.unwrap();
        }
        assert_eq!(scene.broken().await, expected.into_iter().collect(), "flags {flags:?}");
    }
}

async fn matcher_in_memory_leaves_rides_stuck_when_the_matcher_dies(databases: &Databases) {
    let at_once = Patience { requested_ms: 0, offered_ms: 0, driven_ms: 0 };
    let zones: Vec<u32> = (0..ZONES).collect();
    for in_memory in [true, false] {
        let scene = Scene::new(databases, &[]).await;
        let trips = scene.trips(&[]);
        new_ride(&trips, "one").await;
        let pull = |pod: &str| trips.requested(zones.clone(), 10, in_memory.then(|| pod.to_owned()));
        assert_eq!(pull("matcher-1").await.unwrap().value.len(), 1);
        // matcher-1 dies with the ride; matcher-2 looks, and the sweep does as well.
        let seen_by_next = pull("matcher-2").await.unwrap().value.len();
        let swept = trips.sweep(at_once).await.unwrap();
        let broken = scene.broken_after(Duration::from_secs(60), Duration::from_secs(20)).await;
        if in_memory {
            assert_eq!((seen_by_next, swept, broken), (0, 0, BTreeSet::from([Invariant::I6])));
        } else {
            assert_eq!((seen_by_next, swept, broken), (1, 1, BTreeSet::new()));
        }
    }
}

async fn retry_new_key_makes_two_rides_of_one_request(databases: &Databases) {
    for retry_new_key in [true, false] {
        let mut scene = Scene::new(databases, &[]).await;
        let trips = scene.trips(&[]);
        let answer_lost = Arc::new(Mutex::new(true));
        // Commits the ride, but the first answer never leaves the pod.
        let create = move |headers: HeaderMap, Json(request): Json<CreateRide>| async move {
            let key = headers[IDEMPOTENCY_KEY].to_str().unwrap().to_owned();
            let ride = trips.create(&key, request).await.unwrap().value.ride;
            let lost = std::mem::take(&mut *answer_lost.lock().unwrap());
            if lost { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok((StatusCode::CREATED, Json(ride))) }
        };
        let backend = VictimPod::start("trips", move || {
            Service::new(Router::new().route("/rides", post(create)), Arc::new(Metrics::new("trips")))
        })
        .await;
        let backend_peer = backend.peer.clone();
        let gateway = VictimPod::start("gateway", move || {
            let [trips, location, eta] = [backend_peer.clone(), backend_peer.clone(), backend_peer];
            let config = GatewayConfig { trips, location, eta, deadline: LIMIT, retry_new_key };
            gateway::service(config, Arc::new(Metrics::new("gateway")))
        })
        .await;
        let reply = gateway.ask_for_ride("/v1/rides", "ann").await;
        assert_eq!(reply.status, StatusCode::CREATED);
        let ride = reply.json::<RideCreated>().unwrap().ride.id;
        scene.asked("ann", "ann", CallOutcome::Acknowledged { ride, served_by: String::new() });
        let expected = if retry_new_key { BTreeSet::from([Invariant::I10]) } else { BTreeSet::new() };
        assert_eq!(scene.broken().await, expected, "retry_new_key {retry_new_key}");
    }
}
