//! How the promise is measured while things die. A probe observes and tells; it must not judge the run, and a probe that
//! cannot answer says so with a cause: never 0, never skipped, never a pass.
//!
//! [`preflight`] turns validated probes into plans (Services found, sources looked up), [`set`] runs them, [`http`] is the
//! open-loop load, and the other modules are one kind of look each.

mod address;
mod client;
mod command;
mod expect;
mod grpc;
pub mod http;
mod invariants;
mod kubernetes;
mod look;
pub mod preflight;
mod prometheus;
pub mod set;
mod tcp;
mod tls;

pub use command::{CommandLook, JsonField, kill_commands};
pub use expect::{Expected, meets};
pub use grpc::GrpcLook;
pub use invariants::InvariantsPlan;
pub use kubernetes::KubernetesLook;
pub use look::{Look, LookPlan, NoAnswer};
pub use prometheus::{Access, AlertLook, PrometheusLook};
pub use set::{ProbeContext, ProbePlan, ProbeSet};
pub use tcp::TcpLook;
pub use tls::{Trust, TrustError};
