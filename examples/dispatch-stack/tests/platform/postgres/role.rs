//! `dispatch store` as a process: which database it takes, how its readiness follows that, and that it never says how it gets in.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dispatch_stack::net::client::{Call, Peer};

use super::server::PostgresServer;

/// Longest wait for anything to happen.
const LIMIT: Duration = Duration::from_secs(30);

fn store() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatch"));
    command
        .arg("store")
        .env_remove("DATA_DIR")
        .env_remove("DATABASE_URL")
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null());
    command
}

/// Runs a store that must end by itself; returns what it said.
fn refused(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(!status.success());
    String::from_utf8([stdout, stderr].concat()).unwrap()
}

#[test]
fn exactly_one_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let neither = refused(&mut store());
    assert!(
        neither.contains("neither is set") && neither.contains("DATA_DIR") && neither.contains("DATABASE_URL"),
        "{neither}"
    );
    let both = refused(store().env("DATA_DIR", folder.path()).env("DATABASE_URL", "postgres://u:hidden@db/rides"));
    assert!(both.contains("both are set") && !both.contains("hidden"), "{both}");
    assert_eq!(folder.path().read_dir().unwrap().count(), 0, "nothing is made before that is clear");
}

#[test]
fn a_url_that_cannot_be_read_ends_the_store_and_is_not_repeated() {
    let said = refused(store().env("DATABASE_URL", "postgres://u:hidden@db/rides?sslmode=prefer"));
    assert!(said.contains("failed to read DATABASE_URL") && !said.contains("hidden"), "{said}");
    let help = store().arg("--help").env("DATABASE_URL", "postgres://u:hidden@db/rides").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("DATABASE_URL") && !help.contains("hidden"), "{help}");
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "starts a PostgreSQL"]
async fn readiness_follows_the_database_and_no_secret_is_said() {
    let mut server = PostgresServer::start();
    let url = server.new_database().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = store();
    command.env("DATABASE_URL", &url).env("POD_IP", "127.0.0.1").env("PORT", port.to_string());
    let _running = Running(command.stdout(Stdio::null()).stderr(log.reopen().unwrap()).spawn().unwrap());
    let peer = Peer::new("store", &format!("http://127.0.0.1:{port}")).unwrap();
    let mut told = vec![becomes(&peer, 200).await];
    server.kill();
    told.push(becomes(&peer, 503).await);
    let alive = peer.call(&Call::get("/livez"), LIMIT).await.unwrap();
    assert_eq!(alive.status, 200, "no new process would help");
    // Of a client that asks for it by itself every connection is closed.
    let keeps = peer.clone().reusing_connections();
    let refused = keeps.call(&Call::post("/read", &serde_json::json!({"query": "stats"})), LIMIT).await.unwrap();
    assert_eq!((refused.status.as_u16(), &refused.headers["connection"]), (503, &"close".parse().unwrap()));
    told.push(String::from_utf8(refused.body.to_vec()).unwrap());
    server.start_again();
    told.push(becomes(&peer, 200).await);
    let metrics = peer.call(&Call::get("/metrics"), LIMIT).await.unwrap();
    told.push(String::from_utf8(metrics.body.to_vec()).unwrap());
    told.push(std::fs::read_to_string(log.path()).unwrap());
    let told = told.join("\n");
    assert!(
        told.contains("dispatch_rides_open") && told.contains(&format!("127.0.0.1:{}/postgres", server.port())),
        "{told}"
    );
    for secret in ["s3cret", "postgres://"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
}

/// Waits until a store's readiness has this status; returns its words.
async fn becomes(peer: &Peer, status: u16) -> String {
    let begun = Instant::now();
    loop {
        let answer = peer.call(&Call::get("/readyz"), LIMIT).await;
        if let Ok(answer) = &answer
            && answer.status == status
        {
            return String::from_utf8(answer.body.to_vec()).unwrap();
        }
        assert!(begun.elapsed() < LIMIT, "not {status} after {LIMIT:?}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
