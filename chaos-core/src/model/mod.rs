//! Manifests as they are meant: regular expressions compiled, selectors parsed, one-of structs turned into enums. Built by
//! `validate` alone (`#[non_exhaustive]`: no other crate can), so whoever holds one of these holds a valid manifest.
//! Nothing here may read the wire types again or know a clock.

mod experiment;
mod gameday;
mod http;
mod load;
mod monkey;
mod policy;
mod probe;
mod run;
mod selector;
mod target;

pub use crate::api::{
    Arrival, ConcurrencyPolicy, Distribution, GroupBy, HistoryLimits, HttpVersion, KillMode, Limits, Mode, OnFailure,
    Phases, QueryRange, RunOverrides, Strikes, WorkloadRef,
};
pub use experiment::{
    AlertGuard, BurnRate, ClaimSpec, DeclaredOutage, Every, Evidence, Experiment, Fault, Guard, MonkeyPlan, PodKill,
    Slo,
};
pub use gameday::{BudgetGuard, Check, Cron, CronError, GameDay, MetricQuestion, Step, StepKind};
pub use http::{BodyCheck, Endpoint, Extract, HeaderCheck, HttpLoad, HttpProbe, HttpStep, Source, Success};
pub use load::{Flow, LoadTest};
pub use monkey::{
    AlertQuestion, Blackout, DayOfWeek, Heartbeat, Kill, Minute, Monkey, MonkeyGuard, Schedule, Tenure, Window,
};
pub use policy::{Actor, Policy};
pub use probe::{
    BETWEEN_ATTEMPTS, CommandProbe, Condition, Expectation, GrpcProbe, InvariantsProbe, KUBERNETES_TIMEOUT,
    KubernetesProbe, Moment, Patience, Probe, ProbeKind, PrometheusProbe, PrometheusSource, Question, TcpProbe,
};
pub use run::Run;
pub use selector::{Operator, Requirement, Selector};
pub use target::{Kinds, NamePattern, Names, NamespaceScope, Target};
