//! Repository rules as tests: what a reviewer would otherwise have to look for. Needs no cluster and no network.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod bars;
mod generated;
mod lateness;
mod measured;
mod scripts;
mod shell;
mod sources;
mod stack;
mod structure;
mod tree;
