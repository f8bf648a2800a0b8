//! Runs one command to its end: exec probes and exec hooks.

use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::environment::ProcessPlan;
use crate::supervisor::{Exit, ProcessEvent, SpawnRequest, Supervisor};

/// Success is exit code 0. Dropping the future kills the command.
pub(super) async fn run(supervisor: Supervisor, plan: Option<ProcessPlan>) -> Result<(), String> {
    let plan = plan.ok_or("the command cannot be run in this container")?;
    let id = supervisor.next_id();
    let (sender, receiver) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let request = SpawnRequest { id, argv: plan.argv, env: plan.env, directory: plan.directory, log: None };
    supervisor.spawn(request, move |event| {
        let outcome = match event {
            ProcessEvent::Started { .. } => return,
            ProcessEvent::NotStarted { error } => Err(error),
            ProcessEvent::Exited(Exit::Code(0)) => Ok(()),
            ProcessEvent::Exited(exit) => Err(format!("command terminated with exit code {}", exit.code())),
        };
        let sender = sender.lock().ok().and_then(|mut sender| sender.take());
        // Whoever asked may have given up.
        let _ = sender.map(|sender| sender.send(outcome));
    });
    let mut guard = KillOnDrop { supervisor, id, armed: true };
    let outcome = receiver.await.unwrap_or_else(|_| Err("the supervisor has ended".to_owned()));
    guard.armed = false;
    outcome
}

struct KillOnDrop {
    supervisor: Supervisor,
    id: u64,
    armed: bool,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.supervisor.signal(self.id, Signal::SIGKILL);
        }
    }
}
