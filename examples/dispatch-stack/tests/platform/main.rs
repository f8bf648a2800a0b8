//! What the platform promises, on every database that it can keep its rides in, and as processes whose pods are killed. What takes a
//! PostgreSQL is ignored unless asked for: it starts servers of its own, from Debian's package `postgresql`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step of a test that fails is a failed test"
)]

mod databases;
mod deeds;
mod flags;
mod kills;
mod postgres;
mod promises;
mod stack;
