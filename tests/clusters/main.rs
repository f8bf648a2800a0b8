//! The toolkit as it is installed and run on a cluster: on the one that `CHAOS_TEST_KUBECONFIG` names, else on an embedded one.
//! Tests that change what there is once in a cluster run one at a time. The others share an installation and run beside each
//! other, as many as `--test-threads` allows.
//!
//! - `CHAOS_TEST_KUBECONFIG`: the cluster; its nodes must have the images of `chaos image`
//! - `CHAOS_TEST_PROGRAM`: the `chaos` binary that these images were made of
//! - `CHAOS_TEST_IMAGE`, `CHAOS_TEST_STACK_IMAGE`: what they are called there, if not as `chaos image` calls them
//! - `CHAOS_TEST_AUDIT`: its audit log; without one status and Events are compared with each other alone
//! - `CHAOS_TEST_MACHINES`: the folder that `tests/real-kubernetes/up` was given, for tests that break the machines of the
//!   cluster; these are ignored unless asked for
//!
//! A test that lacks one of these says in a line on stderr that it is not run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

mod admission;
mod beside;
mod cluster;
mod drafts;
mod earlier;
mod gamedays;
mod given;
mod in_cluster;
mod install;
mod leader;
mod machines;
mod names;
mod operate;
mod outside;
mod rights;
mod rules;
mod runs;
mod stack;
mod together;
mod turn;
mod used;
mod workload;
mod zones;
