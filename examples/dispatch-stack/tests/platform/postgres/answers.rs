//! The connection breaks around a commit: what is told is what is known, and the same write sent again is recognised.

use dispatch_stack::store::{Op, Outcome, RideStore, StoreError};

use super::proxy::{Break, Proxy};
use super::server::PostgresServer;
use super::store_at;
use crate::databases::ready;
use crate::promises::{ledger, new_ride, offered, to, write};

/// What a simple query of these words ends with on the wire.
const COMMIT: &[u8] = b"COMMIT\0";
const LOCK: &[u8] = b"pg_advisory_xact_lock(7";

struct Scene {
    _server: PostgresServer,
    proxy: Proxy,
    store: dispatch_stack::store::postgres::PostgresStore,
}

async fn scene(how: Break) -> Scene {
    let server = PostgresServer::start();
    let direct = server.new_database().await;
    let proxy = Proxy::start(server.port(), how).await;
    let store = store_at(&direct.replace(&format!(":{}/", server.port()), &format!(":{}/", proxy.port)));
    ready(&store).await;
    Scene { _server: server, proxy, store }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_commit_whose_answer_is_lost_is_unknown_and_the_same_write_finds_it_done() {
    let Scene { _server, proxy, store } = scene(Break::After(COMMIT)).await;
    write(&store, vec![Op::Create(new_ride("b", "2"))]).await;
    proxy.arm();
    let ops = vec![Op::Create(new_ride("a", "1")), to("b", 1, offered("ann"))];
    let answer = store.write(ops.clone()).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))) && proxy.has_broken(), "{answer:?}");
    let again = write(&store, ops).await;
    let [Outcome::Existing { ride: made }, Outcome::Stale { ride: moved }] = &again[..] else { panic!("{again:?}") };
    assert_eq!((made.version, moved.version, &moved.phase), (1, 2, &offered("ann")));
    assert_eq!(ledger(&store).await.len(), 2);
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_commit_that_never_arrived_is_unknown_as_well_and_the_same_write_does_it() {
    let Scene { _server, proxy, store } = scene(Break::Before(COMMIT)).await;
    proxy.arm();
    let answer = store.write(vec![Op::Create(new_ride("a", "1"))]).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))) && proxy.has_broken(), "{answer:?}");
    let again = write(&store, vec![Op::Create(new_ride("a", "1"))]).await;
    assert!(matches!(&again[..], [Outcome::Created { .. }]), "{again:?}");
    assert_eq!(ledger(&store).await.len(), 1);
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn what_breaks_before_the_commit_is_written_again_without_a_word() {
    let Scene { _server, proxy, store } = scene(Break::Before(LOCK)).await;
    proxy.arm();
    let outcomes = write(&store, vec![Op::Create(new_ride("a", "1"))]).await;
    assert!(matches!(&outcomes[..], [Outcome::Created { .. }]) && proxy.has_broken(), "{outcomes:?}");
    assert_eq!(ledger(&store).await.len(), 1);
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_commit_that_the_server_refuses_is_no_success_and_takes_nobody_with_it() {
    let server = PostgresServer::start();
    let url = server.new_database().await;
    let store = store_at(&url);
    ready(&store).await;
    let admin = server.admin(super::server::schema_of(&url)).await;
    // A rule that is checked at the commit, when all statements have been answered with success.
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF new.rider = 'rider-of-bad' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN new; END $$;
        CREATE CONSTRAINT TRIGGER last AFTER INSERT ON rides DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION refuse()";
    admin.batch_execute(refuse).await.unwrap();
    let keys = ["good-1", "bad", "good-2"];
    let calls = keys.map(|key| store.write(vec![Op::Create(new_ride(key, key))]));
    let [first, bad, second] = futures::future::join_all(calls).await.try_into().unwrap();
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    let error = bad.unwrap_err();
    assert!(matches!(&error, StoreError::Database(reason) if reason.contains("not this one")), "{error}");
    assert_eq!(ledger(&store).await.iter().map(|ride| ride.key.as_str()).collect::<Vec<_>>(), ["good-1", "good-2"]);
}
