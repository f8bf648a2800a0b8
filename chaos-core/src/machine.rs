//! The shape of every state machine here: a pure function from what is known to what to do next. One driver
//! (`chaos_engine::drive`) runs them all: in the operator, in the CLI and in the simulator. Nothing here acts or waits.

use jiff::Timestamp;

/// A state machine whose step is a pure function: the same arguments give the same step.
///
/// The driver's contract, which a machine may rely on:
/// - the durable part of a step's state is saved *before* the step's action is performed, and if it cannot be saved the
///   action is not performed;
/// - every action is performed at most once and its response is given to the very next step;
/// - after a crash the machine starts again from the durable part alone ([`Machine::resume`]), so an action whose response
///   was lost may or may not have happened.
pub trait Machine {
    /// All that it remembers between two steps.
    type State: Clone;
    /// The part of the state that survives a crash.
    type Durable: PartialEq;
    /// What the driver can say of the world at every step without asking anybody.
    type View;
    /// What it can ask the driver to do.
    type Action;
    /// What came of an action.
    type Response;

    /// The state after a start or a crash.
    fn resume(&self, durable: Self::Durable) -> Self::State;

    /// The part of `state` that must survive a crash.
    fn durable<'a>(&self, state: &'a Self::State) -> &'a Self::Durable;

    /// One step. `response` answers the action of the step before, if that had one.
    fn step(
        &self,
        state: &Self::State,
        view: &Self::View,
        response: Option<Self::Response>,
        now: Timestamp,
    ) -> Step<Self::State, Self::Action>;
}

/// What a step leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<S, A> {
    /// The state from now on.
    pub state: S,
    /// What to do, once that state is saved.
    pub next: Next<A>,
}

/// What to do after a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Next<A> {
    /// Perform this and step again with its response.
    Act(A),
    /// Step again at this instant, or earlier if something changed. `None`: only when something changes.
    Wait(Option<Timestamp>),
    /// It is over; the state is final.
    Done,
}
