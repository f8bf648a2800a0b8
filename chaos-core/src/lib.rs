//! Decides what a chaos run may do and what it may claim. Pure: no runtime, no client, no clock, no randomness of its own,
//! no file, no print. Time, randomness and the world are arguments; whoever acts (`chaos-engine`) calls in.
//!
//! In the order in which a run passes through them:
//!
//! | what | modules |
//! |---|---|
//! | a manifest as written, checked, and as meant | [`api`], [`validate`], [`model`], [`schema`] |
//! | who may be killed, whether now, and who is | [`population`], [`eligible`], [`limits`], [`victims`], [`check`] |
//! | what a run would do, before it does anything | [`plan`]; [`draft`] writes a first experiment |
//! | the state machines, all of the shape of [`machine`] | [`killer`] (strikes), [`run`] (phases of an experiment), [`operated`] and [`prober`] (the same by the operator, measured by a prober), [`gameday`] (such runs on a calendar) |
//! | what was recorded, and what it proves | [`record`], [`evidence`], [`verdict`], [`stats`] |
//! | what is told | [`result`](mod@result), [`compare`] (two results), [`replay`] (a recorded run planned again), [`load`] (load without faults), [`condition`] |
//! | values and small tools | [`units`], [`instant`], [`slots`], [`placeholder`], [`promql`], [`digest`], [`forbidden`] |

pub mod api;
pub mod check;
pub mod compare;
pub mod condition;
pub mod digest;
pub mod draft;
pub mod eligible;
pub mod evidence;
pub mod forbidden;
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
