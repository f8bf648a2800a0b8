//! The store's promises, held by every database: nothing acknowledged is lost, a key makes one ride, a driver has one.

use dispatch_stack::api::Ride;
use dispatch_stack::ride::{DriverId, Phase, Place, RideId};
use dispatch_stack::store::sqlite::{SqliteOptions, SqliteStore};
use dispatch_stack::store::{Answer, LedgerRide, MoveRide, NewRide, Op, Outcome, Patience, Query, RideStore};

use crate::databases::{Databases, on_every_database};

pub(crate) fn new_ride(id: &str, key: &str) -> NewRide {
    let place = Place { lat: 48.85, lng: 2.35 };
    NewRide {
        id: RideId(id.into()),
        key: key.into(),
        dedupe: true,
        rider: format!("rider-of-{key}"),
        from: place,
        to: place,
        zone: 0,
        by: "trips-1".into(),
    }
}

pub(crate) fn to(id: &str, expect: u64, phase: Phase) -> Op {
    Op::Move(MoveRide {
        id: RideId(id.into()),
        expect: Some(expect),
        to: phase,
        charge_cents: None,
        by: "trips-1".into(),
    })
}

pub(crate) fn offered(driver: &str) -> Phase {
    Phase::Offered { driver: DriverId(driver.into()) }
}

pub(crate) async fn write(store: &dyn RideStore, ops: Vec<Op>) -> Vec<Outcome> {
    store.write(ops).await.unwrap().value
}

pub(crate) async fn ledger(store: &dyn RideStore) -> Vec<LedgerRide> {
    match store.read(Query::Audit { after: 0, limit: 1000 }).await.unwrap().value {
        Answer::Audit { rides, .. } => rides,
        other => panic!("{other:?}"),
    }
}

on_every_database!(
    a_key_makes_one_ride_and_answers_with_it_again,
    a_write_repeated_because_its_answer_was_lost_is_done_once_even_without_dedupe,
    a_call_that_fails_does_not_take_down_those_that_shared_its_transaction,
    a_stale_version_and_a_busy_driver_write_nothing,
    a_taken_ride_is_nobody_elses_until_it_is_declined,
    matchers_share_the_zones_and_a_returned_lease_is_taken_over_at_once,
    overdue_rides_are_found_by_phase_and_the_ledger_counts_charges,
    what_is_read_has_the_order_and_the_limits_that_were_asked_for,
    the_ledger_is_read_in_pages_in_the_order_of_its_commits,
    one_call_may_do_much_with_one_ride,
);

async fn a_key_makes_one_ride_and_answers_with_it_again(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let outcomes = write(store, vec![Op::Create(new_ride("a", "k")), Op::Create(new_ride("b", "k"))]).await;
    let [Outcome::Created { ride: first }, Outcome::Existing { ride: again }] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(first, again);
    assert_eq!(ledger(store).await.len(), 1);
}

async fn a_write_repeated_because_its_answer_was_lost_is_done_once_even_without_dedupe(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let ride = NewRide { dedupe: false, ..new_ride("a", "k") };
    let outcomes = write(store, vec![Op::Create(ride.clone()), Op::Create(ride)]).await;
    assert!(matches!(outcomes[..], [Outcome::Created { .. }, Outcome::Existing { .. }]), "{outcomes:?}");
    assert_eq!(ledger(store).await.len(), 1);
}

async fn a_call_that_fails_does_not_take_down_those_that_shared_its_transaction(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    // SQLite's integers are signed: now plus this cannot be written.
    let bad = Op::Lease { holder: "m".into(), ttl_ms: i64::MAX.unsigned_abs() };
    let calls = (0..50).map(|n| {
        let bad = bad.clone();
        async move {
            let good = vec![Op::Create(new_ride(&format!("r{n}"), &format!("k{n}")))];
            store.write(if n % 10 == 9 { vec![bad] } else { good }).await.is_ok()
        }
    });
    let written = futures::future::join_all(calls).await.into_iter().filter(|ok| *ok).count();
    assert_eq!((written, ledger(store).await.len()), (45, 45));
}

async fn a_stale_version_and_a_busy_driver_write_nothing(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let outcomes = write(
        store,
        vec![
            Op::Create(new_ride("a", "1")),
            Op::Create(new_ride("b", "2")),
            to("a", 1, offered("ann")),
            to("a", 1, offered("bob")),
            to("b", 1, offered("ann")),
            to("b", 1, offered("bob")),
        ],
    )
    .await;
    assert!(matches!(&outcomes[3], Outcome::Stale { ride } if ride.version == 2), "{outcomes:?}");
    assert_eq!(outcomes[4], Outcome::DriverBusy);
    assert!(matches!(&outcomes[5], Outcome::Moved { ride } if ride.phase == offered("bob")), "{outcomes:?}");
    let steps: Vec<_> = ledger(store).await.iter().map(|ride| ride.steps.len()).collect();
    assert_eq!(steps, [2, 2]);
}

async fn a_taken_ride_is_nobody_elses_until_it_is_declined(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let take = |holder: &str| Op::Take { holder: holder.into(), zones: vec![0], limit: 10 };
    let offer_and_decline = [to("a", 1, offered("ann")), to("a", 2, Phase::Requested)];
    let mut ops = vec![Op::Create(new_ride("a", "1")), take("m1"), take("m2")];
    ops.extend(offer_and_decline);
    ops.push(take("m2"));
    let outcomes = write(store, ops).await;
    let taken = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Taken { rides } => Some(rides.len()),
        _ => None,
    });
    assert_eq!(taken.collect::<Vec<_>>(), [1, 0, 1]);
}

async fn matchers_share_the_zones_and_a_returned_lease_is_taken_over_at_once(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let lease = |holder: &str, ttl_ms| Op::Lease { holder: holder.into(), ttl_ms };
    let zones = |zones: &[u32]| Outcome::Leased { zones: zones.to_vec() };
    let all = write(store, vec![lease("m1", 60_000)]).await;
    assert_eq!(all, [zones(&[0, 1, 2, 3])]);
    let outcomes = write(store, vec![lease("m2", 60_000), lease("m1", 60_000), lease("m2", 60_000)]).await;
    assert_eq!(outcomes, [zones(&[]), zones(&[0, 1]), zones(&[2, 3])]);
    let outcomes = write(store, vec![lease("m1", 0), lease("m2", 60_000)]).await;
    assert_eq!(outcomes, [zones(&[]), zones(&[0, 1, 2, 3])]);
}

async fn overdue_rides_are_found_by_phase_and_the_ledger_counts_charges(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let driver = DriverId("ann".into());
    let pay = Op::Move(MoveRide {
        id: RideId("b".into()),
        expect: None,
        to: Phase::Completed { driver },
        charge_cents: Some(900),
        by: "trips-1".into(),
    });
    write(store, vec![Op::Create(new_ride("a", "1")), Op::Create(new_ride("b", "2")), pay]).await;
    let overdue = |requested_ms| Query::Overdue(Patience { requested_ms, offered_ms: 0, driven_ms: 0 });
    let found = |answer| match answer {
        Answer::Rides { rides } => rides.into_iter().map(|ride: Ride| ride.id.0).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(store.read(overdue(0)).await.unwrap().value), ["a"]);
    assert_eq!(found(store.read(overdue(60_000)).await.unwrap().value), Vec::<String>::new());
    let charges: Vec<_> = ledger(store).await.iter().map(|ride| ride.charges).collect();
    assert_eq!(charges, [0, 1]);
    let Answer::Stats(stats) = store.read(Query::Stats).await.unwrap().value else { panic!("no stats") };
    assert_eq!(stats.open, 1);
}

async fn what_is_read_has_the_order_and_the_limits_that_were_asked_for(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let in_zone = |id: &str, zone| Op::Create(NewRide { zone, ..new_ride(id, id) });
    write(store, vec![in_zone("a", 2), in_zone("b", 1), in_zone("c", 2), in_zone("d", 3)]).await;
    write(store, vec![to("b", 1, offered("ann")), to("d", 1, offered("bob"))]).await;
    let ids = |query| async move {
        match store.read(query).await.unwrap().value {
            Answer::Rides { rides } => rides.into_iter().map(|ride| ride.id.0).collect::<Vec<_>>().join(" "),
            other => panic!("{other:?}"),
        }
    };
    let wanted = ["d", "nobody", "a", "d"].map(|id| RideId(id.into())).to_vec();
    assert_eq!(ids(Query::Rides { ids: wanted }).await, "d a d");
    assert_eq!(ids(Query::Requested { zones: vec![1, 2, 3], limit: 10 }).await, "a c");
    assert_eq!(ids(Query::Requested { zones: vec![2], limit: 1 }).await, "a");
    assert_eq!(ids(Query::Offered).await, "b d");
    let drivers = ["bob", "carl", "ann"].map(|id| DriverId(id.into())).to_vec();
    assert_eq!(ids(Query::OfDrivers { drivers }).await, "d b");
}

async fn the_ledger_is_read_in_pages_in_the_order_of_its_commits(databases: &Databases) {
    let home = databases.fresh().await;
    let store = home.store.as_ref();
    let ops = (0..5).map(|n| Op::Create(new_ride(&format!("r{n}"), &format!("k{n}"))));
    write(store, ops.collect()).await;
    write(store, vec![to("r3", 1, offered("ann")), to("r3", 2, Phase::Assigned { driver: DriverId("ann".into()) })])
        .await;
    let mut read = Vec::new();
    loop {
        let after = read.last().map_or(0, |ride: &LedgerRide| ride.seq);
        match store.read(Query::Audit { after, limit: 2 }).await.unwrap().value {
            Answer::Audit { rides, .. } if rides.is_empty() => break,
            Answer::Audit { rides, now_ms } => {
                assert!(rides.len() <= 2 && rides.iter().all(|ride| ride.ride.requested_at_ms <= now_ms), "{rides:?}");
                read.extend(rides);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read.iter().map(|ride| ride.key.as_str()).collect::<Vec<_>>(), ["k0", "k1", "k2", "k3", "k4"]);
    let steps: Vec<_> = read[3].steps.iter().map(|step| (step.version, step.phase.name(), step.by.as_str())).collect();
    assert_eq!(steps, [(1, "requested", "trips-1"), (2, "offered", "trips-1"), (3, "assigned", "trips-1")]);
    let mut order: Vec<_> = read.iter().flat_map(|ride| &ride.steps).map(|step| step.seq).collect();
    order.sort_unstable();
    assert_eq!(order.len(), 7);
    assert!(
        read[3].steps.windows(2).all(|pair| pair[0].seq < pair[1].seq) && read[4].steps[0].seq < read[3].steps[1].seq
    );
}

async fn one_call_may_do_much_with_one_ride(databases: &Databases) {
    let home = databases.fresh().await;
    let ann = || DriverId("ann".into());
    let lease = Op::Lease { holder: "m1".into(), ttl_ms: 60_000 };
    let outcomes = write(
        home.store.as_ref(),
        vec![
            Op::Create(new_ride("a", "1")),
            Op::Create(new_ride("b", "2")),
            to("a", 1, offered("ann")),
            // Refused, and none of those around it with it.
            to("b", 1, offered("ann")),
            to("a", 2, Phase::Assigned { driver: ann() }),
            lease,
            to("a", 3, Phase::Cancelled),
            to("b", 1, offered("ann")),
            to("b", 2, offered("ann")),
            to("nobody", 1, Phase::Cancelled),
        ],
    )
    .await;
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Created { ride } => format!("created {}", ride.version),
            Outcome::Moved { ride } => format!("{} {}", ride.phase.name(), ride.version),
            Outcome::Leased { zones } => format!("leased {}", zones.len()),
            other => format!("{other:?}"),
        })
        .collect();
    let expected = [
        "created 1",
        "created 1",
        "offered 2",
        "DriverBusy",
        "assigned 3",
        "leased 4",
        "cancelled 4",
        "offered 2",
        "offered 3",
        "NotFound",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let strict = SqliteOptions { unique_driver_index: true };
    let store = SqliteStore::open(folder.path(), strict).unwrap();
    let calls = (0..200).map(|n| {
        let store = store.clone();
        async move { write(&store, vec![Op::Create(new_ride(&format!("r{n}"), &format!("k{n}")))]).await }
    });
    futures::future::join_all(calls).await;
    // A copy taken while the first handle is still open is what a killed process leaves behind: the log is not folded in.
    let after_kill = tempfile::tempdir().unwrap();
    for name in ["rides.db", "rides.db-wal"] {
        std::fs::copy(folder.path().join(name), after_kill.path().join(name)).unwrap();
    }
    let reopened = SqliteStore::open(after_kill.path(), strict).unwrap();
    assert_eq!(ledger(&reopened).await.len(), 200);
}
