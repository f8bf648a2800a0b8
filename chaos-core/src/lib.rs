//! Decides what a chaos run may do and what it may claim. Pure: no runtime, no client, no clock, no randomness of its own,
//! no file, no print. Time, randomness and the world are arguments; whoever acts (`chaos-engine`) calls in.
//!
//! Reading order: [`api`] (manifests as written) → [`validate`] (every error at once) → [`model`] (manifests as meant) →
//! [`population`] (facts about the cluster) → [`eligible`] and [`limits`] (who may be killed, and when) → [`victims`]
//! (who is) → [`killer`] (the strike state machine) → [`run`] (the phases of an experiment) → [`operated`] and [`prober`] (the
//! same, driven by the operator and measured by a prober) → [`gameday`] (such runs on a calendar) → [`record`] (the evidence)
//! → [`verdict`] (what it proves) → [`result`](mod@result) (what is told); [`replay`] plans a recorded run again. Load without
//! faults goes from [`record`] to [`load`]; [`draft`] writes a first experiment.

pub mod api;
pub mod check;
pub mod compare;
pub mod condition;
pub mod digest;
pub mod draft;
pub mod eligible;
pub mod evidence;
pub mod gameday;
pub mod instant;
pub mod killer;
pub mod limits;
pub mod load;
pub mod machine;
pub mod model;
pub mod operated;
pub mod placeholder;
pub mod plan;
pub mod population;
pub mod prober;
pub mod promql;
pub mod record;
pub mod replay;
pub mod result;
pub mod run;
pub mod schema;
mod short;
pub mod slots;
pub mod stats;
pub mod units;
pub mod validate;
pub mod verdict;
pub mod victims;
