//! By whose rights a spec is run. It widens or narrows who is eligible; what the spec itself says is in `Target`.

/// By whose rights a spec is run, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who acts.
    pub actor: Actor,
    /// The namespace the spec lives in (for a file: the one it names).
    pub spec_namespace: String,
    /// The operator's namespace, never a target.
    pub operator_namespace: String,
}

/// Who acts on a spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The operator, with its own rights: a spec reaches its own namespace only, unless the other one allows it, and a
    /// stop switch that cannot be read counts as stopped.
    Operator,
    /// A person's own credentials: RBAC has already said what they may reach, and a cluster without a switch is fine.
    Cli,
}

impl Policy {
    /// The operator runs a spec of that namespace.
    pub fn operator(spec_namespace: impl Into<String>, operator_namespace: impl Into<String>) -> Self {
        Self {
            actor: Actor::Operator,
            spec_namespace: spec_namespace.into(),
            operator_namespace: operator_namespace.into(),
        }
    }

    /// A person runs a spec from a terminal or a pipeline.
    pub fn cli(spec_namespace: impl Into<String>) -> Self {
        Self {
            actor: Actor::Cli,
            spec_namespace: spec_namespace.into(),
            operator_namespace: crate::api::switch::NAMESPACE.to_owned(),
        }
    }
}
