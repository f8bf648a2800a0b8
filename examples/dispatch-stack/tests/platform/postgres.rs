//! What only a PostgreSQL can do to the store: die and come back, be away, lose an answer, be shared, be reached by others.

mod access;
mod answers;
mod deaths;
mod proxy;
mod role;
pub(crate) mod server;
mod shared;

use dispatch_stack::store::postgres::{PostgresOptions, PostgresStore};

/// A store at a URL, which need not be ready.
fn store_at(url: &str) -> PostgresStore {
    PostgresStore::start(url, &PostgresOptions { unique_driver_index: true, ca_file: None }).unwrap()
}
