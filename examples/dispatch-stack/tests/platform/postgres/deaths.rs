//! The server dies in the middle of its work, hangs, or is replaced: nothing that was acknowledged is lost, nobody waits for ever, and
//! the store goes on by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dispatch_stack::ride::{DriverId, RideId};
use dispatch_stack::store::postgres::PostgresStore;
use dispatch_stack::store::{Op, Outcome, Query, RideStore, StoreError};
use nix::sys::signal::Signal;

use super::server::{PostgresServer, schema_of};
use super::store_at;
use crate::databases::ready;
use crate::promises::{ledger, new_ride, offered, to, write};

/// What a caller may wait at most, on a machine that is busy: more than the store allows itself, less than for ever.
const BOUND: Duration = Duration::from_secs(8);
/// Clients that write at a time.
const CLIENTS: usize = 16;

/// Asks for rides one after the other until told to stop; an unknown outcome is asked for again, as trips and gateway do. Returns the
/// rides that were acknowledged, by key.
async fn keep_asking(
    store: &PostgresStore,
    client: usize,
    stop: &AtomicBool,
    done: &AtomicUsize,
) -> BTreeMap<String, String> {
    let mut acknowledged = BTreeMap::new();
    for n in 0.. {
        let key = format!("key-{client}-{n}");
        for attempt in 0.. {
            if stop.load(Ordering::Relaxed) {
                return acknowledged;
            }
            // Each attempt of a client draws an identity of its own; the key is what they share.
            let asked = new_ride(&format!("ride-{client}-{n}-{attempt}"), &key);
            let begun = Instant::now();
            let answer = store.write(vec![Op::Create(asked)]).await;
            assert!(begun.elapsed() < BOUND, "an answer took {:?}", begun.elapsed());
            match answer.map(|served| served.value) {
                Ok(outcomes) => {
                    let [Outcome::Created { ride } | Outcome::Existing { ride }] = &outcomes[..] else {
                        panic!("{outcomes:?}")
                    };
                    acknowledged.insert(key, ride.id.0.clone());
                    done.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Err(StoreError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    acknowledged
}

async fn reaches(done: &AtomicUsize, count: usize) {
    let begun = Instant::now();
    while done.load(Ordering::Relaxed) < count {
        assert!(begun.elapsed() < Duration::from_secs(60), "only {} of {count} rides", done.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_server_that_is_killed_in_mid_write_loses_no_acknowledged_ride() {
    let mut server = PostgresServer::start();
    let store = store_at(&server.new_database().await);
    ready(&store).await;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clients = (0..CLIENTS).map(|client| keep_asking(&store, client, &stop, &done));
    let kills = async {
        for round in 1..=3 {
            reaches(&done, round * 200).await;
            server.kill();
            assert!(store.read(Query::Stats).await.is_err(), "nobody is there to be asked");
            server.start_again();
        }
        reaches(&done, 800).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (acknowledged, ()) = tokio::join!(futures::future::join_all(clients), kills);
    ready(&store).await;
    let acknowledged: BTreeMap<_, _> = acknowledged.into_iter().flatten().collect();
    let mut after = 0;
    let mut kept = BTreeMap::new();
    while let dispatch_stack::store::Answer::Audit { rides, .. } =
        store.read(Query::Audit { after, limit: 500 }).await.unwrap().value
    {
        let Some(last) = rides.last() else { break };
        after = last.seq;
        for ride in rides {
            let before = kept.insert(ride.key.clone(), ride.ride.id.0);
            assert_eq!(before, None, "two rides of {}", ride.key);
        }
    }
    assert!(acknowledged.len() >= 800);
    for (key, ride) in &acknowledged {
        assert_eq!(kept.get(key), Some(ride), "{key} was acknowledged");
    }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_server_that_hangs_makes_nobody_wait_for_long_and_is_gone_on_with() {
    let server = PostgresServer::start();
    let store = store_at(&server.new_database().await);
    ready(&store).await;
    server.signal(Signal::SIGSTOP);
    let begun = Instant::now();
    let writes = (0..40).map(|n| store.write(vec![Op::Create(new_ride(&format!("r{n}"), &format!("k{n}")))]));
    let reads = (0..40).map(|_| store.read(Query::Stats));
    let (writes, reads) = tokio::join!(futures::future::join_all(writes), futures::future::join_all(reads));
    assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
    assert!(writes.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))), "{writes:?}");
    assert!(reads.iter().all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))), "{reads:?}");
    assert!(store.check().await.is_err());
    assert!(store.is_alive(), "a new process would not be better off");
    server.signal(Signal::SIGCONT);
    ready(&store).await;
    let again = (0..40).map(|n| Op::Create(new_ride(&format!("r{n}"), &format!("k{n}"))));
    write(&store, again.collect()).await;
    let keys: BTreeSet<_> = ledger(&store).await.into_iter().map(|ride| ride.key).collect();
    assert_eq!((keys.len(), ledger(&store).await.len()), (40, 40));
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn many_writes_share_few_transactions() {
    let server = PostgresServer::start();
    let url = server.new_database().await;
    let store = store_at(&url);
    ready(&store).await;
    let writes = (0..300).map(|n| store.write(vec![Op::Create(new_ride(&format!("r{n}"), &format!("k{n}")))]));
    assert!(futures::future::join_all(writes).await.iter().all(Result::is_ok));
    let admin = server.admin(schema_of(&url)).await;
    let transactions: i64 = admin.query_one("SELECT count(DISTINCT xmin::text) FROM rides", &[]).await.unwrap().get(0);
    assert!((1..=10).contains(&transactions), "300 writes in {transactions} transactions");
}

/// Statements are planned while the tables are empty, and nobody gathers statistics here: they must not stay with what was best then.
#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn no_statement_reads_a_whole_table_when_it_has_grown() {
    let server = PostgresServer::start();
    let url = server.new_database().await;
    let store = store_at(&url);
    ready(&store).await;
    for n in 0..300 {
        let (ride, driver) = (format!("r{n}"), format!("driver-{n}"));
        write(&store, vec![Op::Create(new_ride(&ride, &ride)), to(&ride, 1, offered(&driver))]).await;
        store.read(Query::Rides { ids: vec![RideId(ride)] }).await.unwrap();
        store.read(Query::OfDrivers { drivers: vec![DriverId(driver)] }).await.unwrap();
        store.read(Query::Requested { zones: vec![0], limit: 10 }).await.unwrap();
        store.read(Query::Audit { after: n, limit: 1 }).await.unwrap();
    }
    let admin = server.admin(schema_of(&url)).await;
    let sql = "SELECT sum(n_tup_ins)::bigint, sum(seq_tup_read)::bigint FROM pg_stat_user_tables
        WHERE schemaname = $1 AND relname IN ('rides', 'steps', 'charges')";
    let begun = Instant::now();
    loop {
        // Of what a session does it tells others about once a second.
        write(&store, Vec::new()).await;
        let row = admin.query_one(sql, &[&schema_of(&url)]).await.unwrap();
        let (written, read): (i64, i64) = (row.get(0), row.get(1));
        if written == 900 {
            assert!(read < 900, "{read} rows were read one after the other");
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{written} rows are told");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
