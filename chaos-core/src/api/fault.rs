//! `spec.fault` and `spec.limits`: what is done to the pods, and how much of it at most.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;
use crate::units::{CountOrPercent, Duration};

/// What an experiment does to its target: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.podKill) != has(self.monkey)").message("give exactly one of podKill, monkey"))]
pub struct Fault {
    /// The run itself kills pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_kill: Option<PodKill>,
    /// The run creates its own ChaosMonkey: the operator kills, the run judges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monkey: Option<MonkeyFault>,
}

/// Kills of an experiment that kills by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::grace_period())]
#[x_kube(validation = rules::some_victim())]
#[x_kube(validation = Rule::new("!self.atLeastOne || string(self.victims).endsWith('%')").message("atLeastOne says what happens where a percentage gives none, and victims is a count"))]
pub struct PodKill {
    /// Evict honours disruption budgets, Delete does not.
    #[serde(default)]
    pub mode: KillMode,
    /// Absent: the pod's own. `0s` needs `limits.allowForce: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Duration>,
    /// Victims of one strike: a count, or a share of the workload rounded down.
    #[serde(default = "one")]
    pub victims: CountOrPercent,
    /// One victim where the percentage gives none.
    #[serde(default)]
    pub at_least_one: bool,
    /// How many strikes are planned, and how many are the least that may be judged.
    pub strikes: Strikes,
    /// Time between two strikes.
    pub every: Every,
    /// Strikes are spread evenly over these groups, then at random within one.
    #[serde(default)]
    pub group: GroupBy,
}

/// Kills that a run-owned ChaosMonkey does for the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::gaps())]
#[x_kube(validation = rules::grace_period())]
pub struct MonkeyFault {
    /// Mean time between two kills of a group.
    pub mean_time_between_kills: Duration,
    /// The least time between two kills of a group.
    pub min_time_between_kills: Duration,
    /// How many kills are planned, and how many are the least that may be judged.
    pub strikes: Strikes,
    /// Evict honours disruption budgets, Delete does not.
    #[serde(default)]
    pub kill_mode: KillMode,
    /// Absent: the pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Duration>,
    /// One stream of kills per group. `Namespace` makes the means those of the whole target.
    #[serde(default)]
    pub group: GroupBy,
}

/// Planned and least numbers of strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.min <= self.target").message("min must not be above target"))]
pub struct Strikes {
    /// Strikes planned.
    #[schemars(range(min = 1, max = 10_000))]
    pub target: u32,
    /// Fewer than this and the run is inconclusive.
    #[schemars(range(min = 1, max = 10_000))]
    pub min: u32,
}

/// Time between strikes: `min + Exp(mean − min)`, counted from the actual kill, or fixed at `mean`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::above_zero_to("mean", "2160h"))]
#[x_kube(validation = Rule::new("self.distribution == 'Fixed' ? duration(self.min) <= duration(self.mean) : duration(self.min) < duration(self.mean)").message("min must be below mean"))]
pub struct Every {
    /// The mean gap.
    pub mean: Duration,
    /// The least gap; below the mean.
    #[serde(default)]
    pub min: Duration,
    /// How gaps are drawn.
    #[serde(default)]
    pub distribution: Distribution,
}

/// How gaps between strikes are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Distribution {
    /// `min + Exp(mean − min)`: memoryless above the minimum.
    #[default]
    Exponential,
    /// Always the mean.
    Fixed,
}

/// How a pod is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KillMode {
    /// Through the eviction subresource: disruption budgets are honoured.
    #[default]
    Evict,
    /// A delete with a UID precondition: disruption budgets are not asked.
    Delete,
}

/// What makes two pods belong to one group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum GroupBy {
    /// The same top controller.
    #[default]
    Workload,
    /// The same namespace.
    Namespace,
    /// The same zone.
    Zone,
    /// The same node.
    Node,
    /// The same value of this pod label.
    Label(String),
}

/// Upper bounds of everything. All are required, so that a misspelt one can never be a missing one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::above_zero_to("recoverWithin", "24h"))]
#[x_kube(validation = rules::above_zero_to("maxBlind", "24h"))]
#[x_kube(validation = rules::some("maxUnavailable"))]
pub struct Limits {
    /// Pods of one workload that may be unavailable at once, over all chaos on it.
    pub max_unavailable: CountOrPercent,
    /// Ready pods of a workload that must be left after a kill. 0 allows to kill the last one.
    #[schemars(range(max = 10_000))]
    pub min_ready: u32,
    /// Kills in all: of the run, or of one day for a standing monkey.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_kills: u32,
    /// Least time between any two kills of the same workload, over all chaos on it.
    pub min_interval: Duration,
    /// A replacement that is not Ready after this stops the run.
    pub recover_within: Duration,
    /// Without a fresh view of the cluster for this long the run aborts.
    pub max_blind: Duration,
    /// Whether a grace period of zero is allowed.
    pub allow_force: bool,
}

/// What a standing ChaosMonkey does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StandingFault {
    /// Kill pods.
    pub pod_kill: StandingPodKill,
}

/// How a ChaosMonkey kills; when is said by its means and its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = rules::grace_period())]
pub struct StandingPodKill {
    /// Evict honours disruption budgets, Delete does not.
    #[serde(default)]
    pub mode: KillMode,
    /// Absent: the pod's own. `0s` needs `limits.allowForce: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period: Option<Duration>,
    /// One stream of kills per group.
    #[serde(default)]
    pub group: GroupBy,
}

impl From<String> for GroupBy {
    fn from(text: String) -> Self {
        match text.as_str() {
            "Workload" => Self::Workload,
            "Namespace" => Self::Namespace,
            "Zone" => Self::Zone,
            "Node" => Self::Node,
            _ => Self::Label(text),
        }
    }
}

impl From<GroupBy> for String {
    fn from(group: GroupBy) -> Self {
        match group {
            GroupBy::Workload => "Workload".into(),
            GroupBy::Namespace => "Namespace".into(),
            GroupBy::Zone => "Zone".into(),
            GroupBy::Node => "Node".into(),
            GroupBy::Label(key) => key,
        }
    }
}

impl JsonSchema for GroupBy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "GroupBy".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "maxLength": 317, "minLength": 1, "pattern": rules::LABEL_KEY,
            "description": "Workload, Namespace, Zone, Node, or the key of a pod label.",
            "x-kubernetes-validations": [{
                "rule": "self in ['Workload', 'Namespace', 'Zone', 'Node'] || !(self.lowerAscii() in ['workload', 'namespace', 'zone', 'node'])",
                "message": "Workload, Namespace, Zone and Node begin with a capital letter; all else is the key of a label"
            }]
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

fn one() -> CountOrPercent {
    CountOrPercent::Count(1)
}
