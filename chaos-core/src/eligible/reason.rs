//! Why a pod may not be killed: stable names, for Events, metric labels and `explain`. Renaming one breaks dashboards.

/// Why a pod may not be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exclusion {
    /// The cluster is another environment than the target names, or says none.
    EnvironmentMismatch,
    /// The namespace can never be a target.
    NamespaceDenied,
    /// The namespace is not opted in.
    NamespaceNotEnabled,
    /// The namespace carries the exclude label.
    NamespaceExcluded,
    /// Chaos is stopped in the namespace.
    NamespaceStopped,
    /// The namespace is being deleted.
    NamespaceTerminating,
    /// The operator may not run a spec of another namespace here.
    NamespaceNotAllowed,
    /// The pod is not opted in.
    PodNotEnabled,
    /// The pod carries the exclude label.
    PodExcluded,
    /// Its priority class is the system's.
    SystemPriority,
    /// It is a mirror of a static pod: the kubelet's, not ours to kill.
    MirrorPod,
    /// Nothing would replace it.
    NoController,
    /// The chain of its owners could not be followed to the end.
    OwnerUnknown,
    /// Its top controller is being deleted.
    WorkloadTerminating,
    /// It belongs to a Job, and the target does not name Jobs.
    JobPod,
    /// Another namespace than the target's.
    NamespaceNotTargeted,
    /// Another workload than the target's.
    WorkloadNotTargeted,
    /// The target's selector does not select it.
    LabelsNotTargeted,
    /// Another kind of controller than the target's.
    OwnerKindNotTargeted,
    /// The target's patterns leave out its name.
    NameNotTargeted,
    /// Another node than the target's.
    NodeNotTargeted,
    /// Another zone than the target's.
    ZoneNotTargeted,
    /// The target asks for nodes or zones, and nodes may not be read.
    NodesUnreadable,
    /// Younger than the target asks for.
    TooYoung,
    /// It is being deleted already.
    Terminating,
    /// It does not run.
    NotRunning,
    /// It does not serve: killing it would prove nothing.
    NotReady,
}

impl Exclusion {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EnvironmentMismatch => "EnvironmentMismatch",
            Self::NamespaceDenied => "NamespaceDenied",
            Self::NamespaceNotEnabled => "NamespaceNotEnabled",
            Self::NamespaceExcluded => "NamespaceExcluded",
            Self::NamespaceStopped => "NamespaceStopped",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::PodNotEnabled => "PodNotEnabled",
            Self::PodExcluded => "PodExcluded",
            Self::SystemPriority => "SystemPriority",
            Self::MirrorPod => "MirrorPod",
            Self::NoController => "NoController",
            Self::OwnerUnknown => "OwnerUnknown",
            Self::WorkloadTerminating => "WorkloadTerminating",
            Self::JobPod => "JobPod",
            Self::NamespaceNotTargeted => "NamespaceNotTargeted",
            Self::WorkloadNotTargeted => "WorkloadNotTargeted",
            Self::LabelsNotTargeted => "LabelsNotTargeted",
            Self::OwnerKindNotTargeted => "OwnerKindNotTargeted",
            Self::NameNotTargeted => "NameNotTargeted",
            Self::NodeNotTargeted => "NodeNotTargeted",
            Self::ZoneNotTargeted => "ZoneNotTargeted",
            Self::NodesUnreadable => "NodesUnreadable",
            Self::TooYoung => "TooYoung",
            Self::Terminating => "Terminating",
            Self::NotRunning => "NotRunning",
            Self::NotReady => "NotReady",
        }
    }

    /// Whether the target itself leaves the pod out: nobody means to hit it.
    pub const fn is_aim(self) -> bool {
        matches!(
            self,
            Self::NamespaceNotTargeted
                | Self::WorkloadNotTargeted
                | Self::LabelsNotTargeted
                | Self::OwnerKindNotTargeted
                | Self::NameNotTargeted
                | Self::NodeNotTargeted
                | Self::ZoneNotTargeted
        )
    }

    /// Whether waiting a little may change it: a state, not a rule.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::TooYoung | Self::Terminating | Self::NotRunning | Self::NotReady | Self::OwnerUnknown)
    }
}

impl From<Exclusion> for &'static str {
    fn from(exclusion: Exclusion) -> Self {
        exclusion.as_str()
    }
}
