//! The makers: each test that names no database runs on all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dispatch_stack::store::RideStore;
use dispatch_stack::store::postgres::{PostgresOptions, PostgresStore};
use dispatch_stack::store::sqlite::{SqliteOptions, SqliteStore};

use crate::postgres::server::PostgresServer;

/// Longest wait for a store to be ready.
const LIMIT: Duration = Duration::from_secs(30);

/// Where databases are made.
pub(crate) enum Databases {
    Sqlite,
    Postgres(PostgresServer),
}

/// A store on a database that a test has for itself.
pub(crate) struct Home {
    pub(crate) store: Arc<dyn RideStore>,
    _folder: Option<tempfile::TempDir>,
}

impl Databases {
    /// An empty database that holds all promises.
    pub(crate) async fn fresh(&self) -> Home {
        self.fresh_with(true).await
    }

    /// An empty database, with or without "one ride a driver".
    pub(crate) async fn fresh_with(&self, unique_driver_index: bool) -> Home {
        match self {
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let store = SqliteStore::open(folder.path(), SqliteOptions { unique_driver_index }).unwrap();
                Home { store: Arc::new(store), _folder: Some(folder) }
            }
            Self::Postgres(server) => {
                let url = server.new_database().await;
                let options = PostgresOptions { unique_driver_index, ca_file: None };
                let store = PostgresStore::start(&url, &options).unwrap();
                ready(&store).await;
                Home { store: Arc::new(store), _folder: None }
            }
        }
    }
}

/// Waits until a store answers.
pub(crate) async fn ready(store: &dyn RideStore) {
    let begun = Instant::now();
    while let Err(error) = store.check().await {
        assert!(begun.elapsed() < LIMIT, "not ready after {LIMIT:?}: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Each function is a test of its own on SQLite, and all of them together are one on one PostgreSQL server.
macro_rules! on_every_database {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            use crate::databases::Databases;

            $(
                #[tokio::test]
                async fn $test() {
                    super::$test(&Databases::Sqlite).await;
                }
            )+
        }

        #[tokio::test]
        #[ignore = "starts a PostgreSQL"]
        async fn all_on_postgresql() {
            let databases = Databases::Postgres(crate::postgres::server::PostgresServer::start());
            $(
                // Of those that run one after the other the last name is the one that failed.
                eprintln!("{}", stringify!($test));
                $test(&databases).await;
            )+
        }
    };
}
pub(crate) use on_every_database;
