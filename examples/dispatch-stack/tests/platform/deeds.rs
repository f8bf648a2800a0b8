//! Whatever riders, drivers, matchers and the sweep do, in whatever order and however often: no promise is broken.

use std::collections::HashMap;
use std::time::Duration;

use dispatch_stack::api::{ActionRequest, CreateRide, Proposal};
use dispatch_stack::fragile::Fragile;
use dispatch_stack::ride::{DriverAction, DriverId, Place, RideId};
use dispatch_stack::sim::checker::{Evidence, check};
use dispatch_stack::sim::history::Snapshot;
use dispatch_stack::store::{Answer, Patience, Query};
use dispatch_stack::trips::Trips;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::databases::{Databases, on_every_database};

/// Orders that are tried on each database.
const CASES: usize = 24;
const RIDES: usize = 3;
const DRIVERS: usize = 2;

#[derive(Clone, Debug)]
enum Deed {
    Create(usize),
    Cancel(usize),
    Offer(usize, usize),
    Act(usize, usize, DriverAction),
    Sweep,
    Lease(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    let action = prop::sample::select(DriverAction::ALL.to_vec());
    prop_oneof![
        2 => (0..RIDES).prop_map(Deed::Create),
        1 => (0..RIDES).prop_map(Deed::Cancel),
        4 => (0..RIDES, 0..DRIVERS).prop_map(|(ride, driver)| Deed::Offer(ride, driver)),
        8 => (0..RIDES, 0..DRIVERS, action).prop_map(|(ride, driver, action)| Deed::Act(ride, driver, action)),
        1 => Just(Deed::Sweep),
        1 => (0..2_usize).prop_map(Deed::Lease),
    ]
}

async fn perform(trips: &Trips, known: &mut HashMap<usize, RideId>, deed: &Deed) {
    let place = Place { lat: 48.85, lng: 2.35 };
    let driver = |n: usize| DriverId(format!("driver-{n}"));
    let nobody = || RideId("nobody".into());
    match *deed {
        Deed::Create(n) => {
            let request = CreateRide { rider: format!("rider-{n}"), from: place, to: place };
            let made = trips.create(&format!("key-{n}"), request).await.unwrap().value;
            let before = known.insert(n, made.ride.id.clone());
            assert_eq!(before.is_some(), made.replayed, "a key makes one ride");
        }
        Deed::Cancel(n) => {
            trips.cancel(known.get(&n).cloned().unwrap_or_else(nobody)).await.unwrap();
        }
        Deed::Offer(n, m) => {
            let ride = known.get(&n).cloned().unwrap_or_else(nobody);
            trips.offer(vec![Proposal { ride, driver: driver(m) }]).await.unwrap();
        }
        Deed::Act(n, m, action) => {
            let ride = known.get(&n).cloned().unwrap_or_else(nobody);
            trips.act(vec![ActionRequest { ride, driver: driver(m), action }]).await.unwrap();
        }
        Deed::Sweep => {
            trips.sweep(Patience { requested_ms: u64::MAX, offered_ms: 0, driven_ms: 0 }).await.unwrap();
        }
        Deed::Lease(n) => {
            trips.lease(format!("matcher-{n}"), Duration::from_secs(1)).await.unwrap();
        }
    }
}

on_every_database!(no_order_of_deeds_breaks_a_promise);

async fn no_order_of_deeds_breaks_a_promise(databases: &Databases) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for _ in 0..CASES {
        let deeds = prop::collection::vec(deed(), 1..40).new_tree(&mut runner).unwrap().current();
        let home = databases.fresh().await;
        let trips = Trips::new(home.store, "trips-1", Fragile::default());
        let mut known = HashMap::new();
        for deed in &deeds {
            perform(&trips, &mut known, deed).await;
        }
        let served = trips.store().read(Query::Audit { after: 0, limit: 100 }).await.unwrap();
        let Answer::Audit { rides: ledger, now_ms } = served.value else { panic!("no ledger") };
        let history = Snapshot::default();
        let violations = check(&Evidence { history: &history, ledger: &ledger, now_ms, stuck_after_ms: 3_600_000 });
        assert_eq!(violations, vec![], "after {deeds:#?}");
    }
}
