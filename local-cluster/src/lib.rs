//! A small Kubernetes on one machine: an API server, the controllers that matter to a stateless or stateful service, a
//! scheduler, and a kubelet whose containers are child processes with their own loopback addresses.
//!
//! kube-rs, kubectl and operators talk to it unchanged. It knows nothing of what is run on it, and must not: whatever
//! a user of this crate wants to do to a cluster goes through the API, as on a real one. What is served, and where it
//! differs from Kubernetes, is written down in `SURFACE.md`.

pub mod api_server;
mod cache;
mod cluster;
mod controllers;
mod kubelet;
pub mod network;
mod objects;
mod profile;
pub mod store;
pub mod supervisor;

pub use cluster::{Cluster, ClusterConfig, ClusterError, NodeSpec};
pub use kubelet::Image;
pub use profile::Profile;
