//! The one driver of every state machine: observe, step, save, act or wait. It decides nothing, so the operator, the CLI and
//! the simulator run the same code; what differs is the [`World`] they hand in.

use std::future::Future;

use chaos_core::machine::{Machine, Next};
use jiff::Timestamp;

/// What a machine sees of the world, and how it acts on it.
pub trait World<M: Machine>: Send {
    /// Why the state could not be saved.
    type Error;

    /// The time, by the one clock that the machine is driven with.
    fn now(&self) -> Timestamp;

    /// What is known without asking anybody; cheap, called before every step.
    fn view(&mut self) -> impl Future<Output = M::View> + Send;

    /// Makes the durable state survive a crash. An error means that it may not: the driver then performs nothing and ends.
    fn save(&mut self, durable: &M::Durable) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Performs an action once. What goes wrong is a response, not an error: the machine decides what follows from it.
    fn perform(&mut self, action: M::Action) -> impl Future<Output = M::Response> + Send;

    /// Waits for the instant or for any change of the view, whichever comes first. `None`: for a change.
    fn wait(&mut self, until: Option<Timestamp>) -> impl Future<Output = ()> + Send;
}

/// Runs `machine` on `world` from what was last saved until it is done, and returns its final state.
///
/// Dropping the future at any await point is a crash, from which another call with the last saved state goes on.
///
/// # Errors
/// The state could not be saved. What was last saved is the truth; start again from that.
pub async fn drive<M, W>(machine: &M, world: &mut W, saved: M::Durable) -> Result<M::State, W::Error>
where
    M: Machine + Sync,
    M::State: Send + Sync,
    M::Durable: Send + Sync,
    M::View: Send + Sync,
    M::Action: Send,
    M::Response: Send,
    W: World<M>,
{
    let mut state = machine.resume(saved);
    // Most of its time a machine waits. What takes room only while it acts is not kept beside that: there may be a thousand of them.
    while let Rest::Until(until) = Box::pin(act(machine, world, &mut state)).await? {
        world.wait(until).await;
    }
    Ok(state)
}

/// Why nothing is to be done at present.
enum Rest {
    /// It is waited for the instant or a change of the view.
    Until(Option<Timestamp>),
    /// It is done.
    Done,
}

/// Takes steps for as long as there is something to act on.
async fn act<M: Machine, W: World<M>>(machine: &M, world: &mut W, state: &mut M::State) -> Result<Rest, W::Error> {
    let mut response = None;
    loop {
        let view = world.view().await;
        let step = machine.step(state, &view, response.take(), world.now());
        if machine.durable(&step.state) != machine.durable(state) {
            world.save(machine.durable(&step.state)).await?;
        }
        *state = step.state;
        match step.next {
            Next::Act(action) => response = Some(world.perform(action).await),
            Next::Wait(until) => return Ok(Rest::Until(until)),
            Next::Done => return Ok(Rest::Done),
        }
    }
}
