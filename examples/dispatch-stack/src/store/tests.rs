//! The store's promises: nothing acknowledged is lost, a key makes one ride, a driver has one.

use super::sqlite::{SqliteOptions, SqliteStore};
use super::*;

const STRICT: SqliteOptions = SqliteOptions { unique_driver_index: true };

fn new_ride(id: &str, key: &str) -> NewRide {
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

fn to(id: &str, expect: u64, phase: Phase) -> Op {
    Op::Move(MoveRide {
        id: RideId(id.into()),
        expect: Some(expect),
        to: phase,
        charge_cents: None,
        by: "trips-1".into(),
    })
}

fn offered(driver: &str) -> Phase {
    Phase::Offered { driver: DriverId(driver.into()) }
}

async fn write(store: &SqliteStore, ops: Vec<Op>) -> Vec<Outcome> {
    store.write(ops).await.unwrap().value
}

async fn ledger(store: &SqliteStore) -> Vec<LedgerRide> {
    match store.read(Query::Audit { after: 0, limit: 1000 }).await.unwrap().value {
        Answer::Audit { rides, .. } => rides,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_key_makes_one_ride_and_answers_with_it_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    let outcomes = write(&store, vec![Op::Create(new_ride("a", "k")), Op::Create(new_ride("b", "k"))]).await;
    let [Outcome::Created { ride: first }, Outcome::Existing { ride: again }] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(first, again);
    assert_eq!(ledger(&store).await.len(), 1);
}

#[tokio::test]
async fn a_write_repeated_because_its_answer_was_lost_is_done_once_even_without_dedupe() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    let ride = NewRide { dedupe: false, ..new_ride("a", "k") };
    let outcomes = write(&store, vec![Op::Create(ride.clone()), Op::Create(ride)]).await;
    assert!(matches!(outcomes[..], [Outcome::Created { .. }, Outcome::Existing { .. }]), "{outcomes:?}");
    assert_eq!(ledger(&store).await.len(), 1);
}

#[tokio::test]
async fn a_call_that_fails_does_not_take_down_those_that_shared_its_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    // SQLite's integers are signed: now plus this cannot be written.
    let bad = Op::Lease { holder: "m".into(), ttl_ms: i64::MAX.unsigned_abs() };
    let calls = (0..50).map(|n| {
        let (store, bad) = (store.clone(), bad.clone());
        async move {
            let good = vec![Op::Create(new_ride(&format!("r{n}"), &format!("k{n}")))];
            store.write(if n % 10 == 9 { vec![bad] } else { good }).await.is_ok()
        }
    });
    let written = futures::future::join_all(calls).await.into_iter().filter(|ok| *ok).count();
    assert_eq!((written, ledger(&store).await.len()), (45, 45));
}

#[tokio::test]
async fn a_stale_version_and_a_busy_driver_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    let outcomes = write(
        &store,
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
    let steps: Vec<_> = ledger(&store).await.iter().map(|ride| ride.steps.len()).collect();
    assert_eq!(steps, [2, 2]);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
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
    let reopened = SqliteStore::open(after_kill.path(), STRICT).unwrap();
    assert_eq!(ledger(&reopened).await.len(), 200);
}

#[tokio::test]
async fn a_taken_ride_is_nobody_elses_until_it_is_declined() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    let take = |holder: &str| Op::Take { holder: holder.into(), zones: vec![0], limit: 10 };
    let offer_and_decline = [to("a", 1, offered("ann")), to("a", 2, Phase::Requested)];
    let mut ops = vec![Op::Create(new_ride("a", "1")), take("m1"), take("m2")];
    ops.extend(offer_and_decline);
    ops.push(take("m2"));
    let outcomes = write(&store, ops).await;
    let taken = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Taken { rides } => Some(rides.len()),
        _ => None,
    });
    assert_eq!(taken.collect::<Vec<_>>(), [1, 0, 1]);
}

#[tokio::test]
async fn matchers_share_the_zones_and_a_returned_lease_is_taken_over_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    let lease = |holder: &str, ttl_ms| Op::Lease { holder: holder.into(), ttl_ms };
    let zones = |zones: &[u32]| Outcome::Leased { zones: zones.to_vec() };
    let all = write(&store, vec![lease("m1", 60_000)]).await;
    assert_eq!(all, [zones(&[0, 1, 2, 3])]);
    let outcomes = write(&store, vec![lease("m2", 60_000), lease("m1", 60_000), lease("m2", 60_000)]).await;
    assert_eq!(outcomes, [zones(&[]), zones(&[0, 1]), zones(&[2, 3])]);
    let outcomes = write(&store, vec![lease("m1", 0), lease("m2", 60_000)]).await;
    assert_eq!(outcomes, [zones(&[]), zones(&[0, 1, 2, 3])]);
}

#[tokio::test]
async fn overdue_rides_are_found_by_phase_and_the_ledger_counts_charges() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), STRICT).unwrap();
    let driver = DriverId("ann".into());
    let pay = Op::Move(MoveRide {
        id: RideId("b".into()),
        expect: None,
        to: Phase::Completed { driver },
        charge_cents: Some(900),
        by: "trips-1".into(),
    });
    write(&store, vec![Op::Create(new_ride("a", "1")), Op::Create(new_ride("b", "2")), pay]).await;
    let overdue = |requested_ms| Query::Overdue(Patience { requested_ms, offered_ms: 0, driven_ms: 0 });
    let found = |answer| match answer {
        Answer::Rides { rides } => rides.into_iter().map(|ride: Ride| ride.id.0).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(store.read(overdue(0)).await.unwrap().value), ["a"]);
    assert_eq!(found(store.read(overdue(60_000)).await.unwrap().value), Vec::<String>::new());
    let charges: Vec<_> = ledger(&store).await.iter().map(|ride| ride.charges).collect();
    assert_eq!(charges, [0, 1]);
    let Answer::Stats(stats) = store.read(Query::Stats).await.unwrap().value else { panic!("no stats") };
    assert_eq!(stats.open, 1);
}
