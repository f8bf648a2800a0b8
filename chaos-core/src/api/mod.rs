//! The manifests exactly as written and stored: group `chaos.dispatch.dev/v1alpha1`. Wire types only: what they mean is
//! decided in `validate`, and nothing but `validate` and the code that writes a status may look at them. Beside
//! them stands what else people write on a cluster: labels, and the stop switches.

#![expect(unreachable_pub, reason = "what kube's KubeSchema derives is as public as what it stands on")]

mod experiment;
mod fault;
mod gameday;
mod gameday_guard;
mod gameday_status;
mod http;
mod load;
mod mode;
mod monkey;
mod monkey_control;
mod monkey_counts;
mod monkey_guard;
mod probe;
mod rules;
mod run;
mod run_status;
mod slo;
pub mod switch;
mod target;

pub use experiment::{AlertGuard, BurnRate, Experiment, ExperimentSpec, Guard, Phases};
pub use fault::{
    Distribution, Every, Fault, GroupBy, KillMode, Limits, MonkeyFault, PodKill, StandingFault, StandingPodKill,
    Strikes,
};
pub use gameday::{
    ApprovalStep, ConcurrencyPolicy, ExperimentStep, GameDay, GameDayControl, GameDaySpec, GameDayStep, HistoryLimits,
    OnFailure, StartOrder, StepApproval,
};
pub use gameday_guard::{CheckStep, ErrorBudgetGuard, GameDayGuard};
pub use gameday_status::{
    EndingRecord, ExecutionRecord, ExecutionResult, GameDayStatus, RunReference, SlotSkip, StepPhase, StepRecord,
};
pub use http::{
    Arrival, BodyCheck, Exposure, Extract, HeaderCheck, HttpProbe, HttpStep, HttpSuccess, HttpVersion, Latency, Stage,
};
pub use load::{LoadFlow, LoadTest, LoadTestSpec};
pub use mode::Mode;
pub use monkey::{
    Blackout, ChaosMonkey, ChaosMonkeySpec, ChaosMonkeyStatus, ClockReading, EndRecord, HeartbeatRef, Hours,
    IntentRecord, KillRecord, Outcome, PlannedStrike, RecoveringRecord, Schedule, SkipRecord, VictimRef, Weekday,
};
pub use monkey_control::{MonkeyControl, Postponement};
pub use monkey_counts::{GroupRecord, LiveCounts};
pub use monkey_guard::{MonkeyAlert, MonkeyErrorBudget, MonkeyGuard, MonkeyProbe};
pub use probe::{
    CommandProbe, Condition, ConditionStatus, Expect, GrpcProbe, InvariantsProbe, KubernetesProbe, Probe,
    PrometheusProbe, QueryRange, TcpProbe, When,
};
pub use run::{Approval, ApprovalPolicy, ExperimentRef, ExperimentRun, ExperimentRunSpec, RunControl, RunOverrides};
pub use run_status::{
    EvidenceRecord, ExclusionCount, ExperimentRunStatus, ProberStage, ProbingOrder, ResolvedRun, RunClaim, RunKill,
    RunKiller, RunPhase, RunProbe, RunProgress, RunVerdict, StopRecord, StrikePreview, UnfinishedStrike,
};
pub use slo::{CertifiedAvailability, DeclaredOutage, Evidence, HarmlessKills, Observed, Slo};
pub use target::{NameFilter, NamespaceFilter, NodeFilter, OwnerKindFilter, Target, WorkloadRef};

/// The API group of every kind here.
pub const GROUP: &str = "chaos.dispatch.dev";
/// The one version that is served and stored.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every manifest here.
pub const API_VERSION: &str = "chaos.dispatch.dev/v1alpha1";

/// Labels and annotations that clusters carry for us.
pub mod labels {
    /// On a namespace and on a pod (template), value `"true"`: chaos may happen here. Both are needed.
    pub const ENABLED: &str = "chaos.dispatch.dev/enabled";
    /// On a pod (template) or namespace, value `"true"`: never, whatever else is said.
    pub const EXCLUDE: &str = "chaos.dispatch.dev/exclude";
    /// On a target namespace: the namespace whose specs the operator may run here.
    pub const ALLOW_FROM: &str = "chaos.dispatch.dev/allow-from";
    /// On the operator's namespace: which environment this cluster is.
    pub const ENVIRONMENT: &str = "chaos.dispatch.dev/environment";
    /// On objects that a run made (budget leases, run-owned monkeys): the run's id.
    pub const RUN: &str = "chaos.dispatch.dev/run";
    /// On ConfigMaps with the evidence of a run: who wrote it, `operator` or `prober`.
    pub const EVIDENCE: &str = "chaos.dispatch.dev/evidence";
    /// On runs that a game day made: the id of the execution.
    pub const EXECUTION: &str = "chaos.dispatch.dev/execution";
    /// On runs that a game day made: its name.
    pub const GAME_DAY: &str = "chaos.dispatch.dev/game-day";
    /// On runs: the name of the experiment that they are of. One that stands in the run itself has no other.
    pub const EXPERIMENT: &str = "chaos.dispatch.dev/experiment";
    /// Annotation on runs that were submitted to be followed: which attempt at the same manifest each is; absent: the first.
    pub const ATTEMPT: &str = "chaos.dispatch.dev/attempt";
    /// Annotation on a namespace, any value but `"false"`: chaos stops in this namespace.
    pub const STOP: &str = "chaos.dispatch.dev/stop";
}
