//! Who is let in and how: a server that refuses, that is not there yet, that is not durable, that is encrypted; and no secret told.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dispatch_stack::store::postgres::{PostgresOptions, PostgresStore};
use dispatch_stack::store::{Op, RideStore};

use super::server::{PASSWORD, PostgresServer, schema_of};
use super::store_at;
use crate::databases::ready;
use crate::promises::{new_ride, write};

/// Waits until a store says that it is not ready for such a reason. On a busy machine it may first say that it was not connected in time.
async fn refusal(store: &PostgresStore, part: &str) -> String {
    let begun = Instant::now();
    loop {
        let reason = store.check().await.expect_err("the store is ready").to_string();
        if reason.contains(part) {
            return reason;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "expected {part:?}, it says: {reason}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_wrong_password_is_told_without_the_password() {
    let server = PostgresServer::start();
    let url = server.url("postgres?sslmode=disable").replacen("s3cret", "hidden", 1);
    let store = store_at(&url);
    let reason = refusal(&store, "password authentication failed").await;
    assert!(reason.contains("hint:"), "{reason}");
    let answered = store.write(vec![Op::Create(new_ride("a", "1"))]).await.unwrap_err();
    for told in [reason, format!("{store:?}"), answered.to_string(), format!("{answered:?}")] {
        assert!(!told.contains("hidden") && !told.contains(&PASSWORD[6..]), "{told}");
    }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let mut server = PostgresServer::made(&[]);
    let store = store_at(&server.url("postgres?sslmode=disable"));
    let reason = refusal(&store, "refused").await;
    assert!(reason.contains(&format!("127.0.0.1:{}/postgres", server.port())), "{reason}");
    let begun = Instant::now();
    assert!(store.write(vec![Op::Create(new_ride("a", "1"))]).await.is_err());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    server.start_again();
    ready(&store).await;
    write(&store, vec![Op::Create(new_ride("a", "1"))]).await;
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn a_server_that_would_answer_before_the_disk_is_told_to_wait_or_refused() {
    let server = PostgresServer::start_with(&["synchronous_commit=off"]);
    let url = server.new_database().await;
    let store = store_at(&url);
    ready(&store).await;
    let admin = server.admin(schema_of(&url)).await;
    let spy = "CREATE TABLE seen (value text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN new; END $$;
        CREATE TRIGGER see AFTER INSERT ON rides FOR EACH ROW EXECUTE FUNCTION see()";
    admin.batch_execute(spy).await.unwrap();
    write(&store, vec![Op::Create(new_ride("a", "1"))]).await;
    let seen: String = admin.query_one("SELECT value FROM seen", &[]).await.unwrap().get(0);
    assert_eq!(seen, "on");

    let server = PostgresServer::start_with(&["fsync=off"]);
    refusal(&store_at(&server.url("postgres?sslmode=disable")), "fsync is off").await;
}

/// A store that trusts nobody but this certificate.
fn trusting(url: &str, ca: PathBuf) -> PostgresStore {
    PostgresStore::start(url, &PostgresOptions { unique_driver_index: true, ca_file: Some(ca) }).unwrap()
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn an_encrypted_connection_is_encrypted_to_the_right_server_or_there_is_none() {
    let of_host = |host: &str| rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let (own, other) = (of_host("127.0.0.1"), of_host("127.0.0.1"));
    let mut server = PostgresServer::made(&[]);
    let certificate = server.file("server.crt", &own.cert.pem());
    let key = server.file("server.key", &own.signing_key.serialize_pem());
    let stranger = server.file("other.crt", &other.cert.pem());

    // Plain text is all that this server speaks so far.
    server.start_again();
    let url = server.url("postgres?sslmode=require");
    refusal(&trusting(&url, certificate.clone()), "does not support TLS").await;

    let settings = [format!("ssl_cert_file={}", certificate.display()), format!("ssl_key_file={}", key.display())];
    server.set(&["ssl=on", &settings[0], &settings[1]]);
    server.kill();
    server.start_again();
    refusal(&trusting(&url, stranger), "certificate").await;
    let misnamed = url.replace("127.0.0.1", "localhost");
    refusal(&trusting(&misnamed, certificate.clone()), "certificate").await;

    let store = trusting(&url, certificate);
    ready(&store).await;
    write(&store, vec![Op::Create(new_ride("a", "1"))]).await;
    let admin = server.admin("public").await;
    let rows = admin
        .query(
            "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'dispatch-store'",
            &[],
        )
        .await
        .unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row.get(0)), "{rows:?}");
}
