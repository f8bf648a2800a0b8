//! Manifests as they are meant: regular expressions compiled, selectors parsed, one-of structs turned into enums. Built by
//! `validate` alone (`#[non_exhaustive]`: no other crate can), so whoever holds one of these holds a valid manifest.
//! Nothing here may read the wire types again or know a clock.

mod experiment;
mod monkey;
mod policy;
mod probe;
mod selector;
mod target;

pub use crate::api::{Arrival, Distribution, GroupBy, KillMode, Limits, Mode, Phases, Strikes, WorkloadRef};
pub use experiment::{BurnRate, ClaimSpec, Every, Evidence, Experiment, Fault, MonkeyPlan, PodKill, Slo};
pub use monkey::{Blackout, DayOfWeek, Heartbeat, Kill, Minute, Monkey, Schedule, Tenure, Window};
pub use policy::{Actor, Policy};
pub use probe::{
    BodyCheck, CommandProbe, Endpoint, Expectation, HttpProbe, InvariantsProbe, KubernetesProbe, Moment, Probe,
    ProbeKind, PrometheusProbe, PrometheusSource, TcpProbe,
};
pub use selector::{Operator, Requirement, Selector};
pub use target::{Kinds, NamePattern, Names, NamespaceScope, Target};
