//! Several stores on one database: they start at once, and together they keep what one would keep.

use std::collections::HashMap;
use std::sync::Arc;

use dispatch_stack::api::{ActionRequest, CreateRide, Proposal, ProposalResult};
use dispatch_stack::fragile::Fragile;
use dispatch_stack::ride::{DriverAction, DriverId, Place, RideId};
use dispatch_stack::sim::checker::{Evidence, check};
use dispatch_stack::sim::history::Snapshot;
use dispatch_stack::store::postgres::PostgresStore;
use dispatch_stack::store::{Answer, Op, Outcome, Query, RideStore};
use dispatch_stack::trips::Trips;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::server::{PostgresServer, schema_of};
use super::store_at;
use crate::databases::ready;
use crate::promises::{new_ride, offered, to, write};

const STORES: usize = 4;

/// All begin at the same instant with an empty database.
async fn several(server: &PostgresServer) -> (String, Vec<PostgresStore>) {
    let url = server.new_database().await;
    let stores: Vec<_> = (0..STORES).map(|_| store_at(&url)).collect();
    for store in &stores {
        ready(store).await;
    }
    (url, stores)
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn stores_that_start_at_once_make_one_schema() {
    let server = PostgresServer::start();
    let (url, stores) = several(&server).await;
    for (n, store) in stores.iter().enumerate() {
        write(store, vec![Op::Create(new_ride(&format!("r{n}"), &format!("k{n}")))]).await;
    }
    let admin = server.admin(schema_of(&url)).await;
    let made: i64 = admin.query_one("SELECT count(*) FROM dispatch_schema", &[]).await.unwrap().get(0);
    assert_eq!(made, 1, "each migration is made once");
    assert!(!server.log().contains("ERROR"), "they were in each other's way:\n{}", server.log());
    admin.batch_execute("INSERT INTO dispatch_schema (version) VALUES (1000)").await.unwrap();
    let newer = store_at(&url);
    let reason = loop {
        match newer.check().await.unwrap_err().to_string() {
            reason if reason.contains("not connected yet") => tokio::task::yield_now().await,
            reason => break reason,
        }
    };
    assert!(reason.contains("1000"), "{reason}");
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_key_and_a_driver_are_one_for_all_stores() {
    let server = PostgresServer::start();
    let (_, stores) = several(&server).await;
    for round in 0..25 {
        let asked = stores
            .iter()
            .enumerate()
            .map(|(n, store)| store.write(vec![Op::Create(new_ride(&format!("r{round}-{n}"), &format!("k{round}")))]));
        let outcomes: Vec<_> = futures::future::join_all(asked).await.into_iter().map(|o| o.unwrap().value).collect();
        let made = outcomes.iter().filter(|outcome| matches!(outcome[..], [Outcome::Created { .. }])).count();
        assert_eq!(made, 1, "{outcomes:?}");
        let others = (0..STORES).map(|n| Op::Create(new_ride(&format!("o{round}-{n}"), &format!("o{round}-{n}"))));
        write(&stores[0], others.collect()).await;
        let driver = offered(&format!("driver-{round}"));
        let offers = stores.iter().enumerate().map(|(n, store)| {
            let offer = to(&format!("o{round}-{n}"), 1, driver.clone());
            async move { store.write(vec![offer]).await.unwrap().value.remove(0) }
        });
        let outcomes = futures::future::join_all(offers).await;
        let moved = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Moved { .. })).count();
        let busy = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::DriverBusy)).count();
        assert_eq!((moved, busy), (1, STORES - 1), "{outcomes:?}");
    }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn stores_that_work_at_once_keep_every_invariant() {
    let server = PostgresServer::start();
    let (_, stores) = several(&server).await;
    let work = stores.iter().enumerate().map(|(n, store)| {
        let trips = Trips::new(Arc::new(store.clone()), format!("trips-{n}"), Fragile::default());
        async move { drive(&trips, StdRng::seed_from_u64(n as u64)).await }
    });
    let accepted: usize = futures::future::join_all(work).await.into_iter().sum();
    assert!(accepted > 0, "no driver was ever given a ride");
    let served = stores[0].read(Query::Audit { after: 0, limit: 10_000 }).await.unwrap();
    let Answer::Audit { rides: ledger, now_ms } = served.value else { panic!("no ledger") };
    let mut keys = HashMap::new();
    ledger.iter().for_each(|ride| *keys.entry(&ride.key).or_insert(0) += 1);
    assert!(keys.values().all(|count| *count == 1), "{keys:?}");
    let mut order: Vec<_> = ledger.iter().flat_map(|ride| &ride.steps).map(|step| (step.seq, step.at_ms)).collect();
    order.sort_unstable();
    assert!(order.windows(2).all(|pair| pair[0].1 <= pair[1].1), "stamps are in the order of the steps");
    let history = Snapshot::default();
    let violations = check(&Evidence { history: &history, ledger: &ledger, now_ms, stuck_after_ms: 3_600_000 });
    assert_eq!(violations, vec![]);
}

/// One pod of trips, which all others are in the way of: the same keys, the same rides, the same drivers.
async fn drive(trips: &Trips, mut random: StdRng) -> usize {
    let place = Place { lat: 48.85, lng: 2.35 };
    let mut known: Vec<RideId> = Vec::new();
    let mut accepted = 0;
    for _ in 0..150 {
        let driver = DriverId(format!("driver-{}", random.random_range(0..3)));
        if known.len() < 2 || random.random_bool(0.2) {
            let key = format!("key-{}", random.random_range(0..40));
            let request = CreateRide { rider: format!("rider-of-{key}"), from: place, to: place };
            known.push(trips.create(&key, request).await.unwrap().value.ride.id);
            continue;
        }
        let ride = known.choose(&mut random).unwrap().clone();
        if random.random_bool(0.5) {
            let results =
                trips.offer(vec![Proposal { ride: ride.clone(), driver: driver.clone() }]).await.unwrap().value;
            accepted += usize::from(results == [ProposalResult::Offered]);
        }
        let action = *DriverAction::ALL.choose(&mut random).unwrap();
        trips.act(vec![ActionRequest { ride, driver, action }]).await.unwrap();
    }
    accepted
}
