//! The cluster as a whole, through its API only: what a user of kubectl would do and see.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]
// Helpers of tests are tests: what they cannot do fails the test. Clippy sees only functions marked as such.
#![expect(clippy::unwrap_used, clippy::panic, reason = "every function here is part of a test")]

mod end;
mod harness;
mod lifecycle;
mod services;
mod workloads;
