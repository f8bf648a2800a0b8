//! `chaos gameday`: lists and shows game days, and writes what their reconciler waits for: orders to start and to end, approvals,
//! suspensions. It starts and ends nothing itself: the operator does, by its own rules.

mod shown;

use std::time::{Duration, Instant};

use chaos_core::api::{
    ExecutionRecord, GameDay, GameDayControl, GameDayStatus, Mode, StartOrder, StepApproval, StepPhase, StepRecord,
};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};

use super::followed::{NOTICE_WITHIN, unnoticed};
use crate::cli::{Format, GameDayArgs, GameDayCommand, Global, ListArgs, StepArgs};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::output;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(300);
/// How often a write that somebody else's came before is tried again.
const TRIES: u32 = 5;

pub(super) async fn gameday(global: &Global, args: &GameDayArgs) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let namespace = target.namespace(global);
    let desk = Desk { days: Api::namespaced(target.client.clone(), &namespace), target, namespace };
    match &args.command {
        GameDayCommand::List(args) => desk.list(global, args).await?,
        GameDayCommand::Show { name, format } => desk.show(name, *format).await?,
        GameDayCommand::Start { name, id } => desk.start(global, name, id.clone()).await?,
        GameDayCommand::Approve(args) => desk.approve(global, args).await?,
        GameDayCommand::Reject(args) => desk.reject(args).await?,
        GameDayCommand::Abort { name, execution } => desk.abort(name, execution.as_deref()).await?,
        GameDayCommand::Suspend { name } => desk.suspend(name, true).await?,
        GameDayCommand::Resume { name } => {
            desk.target.confirm(global, &format!("let game day {}/{name} start again", desk.namespace))?;
            desk.suspend(name, false).await?;
        }
    }
    Ok(Exit::OK)
}

/// The game days of one namespace.
struct Desk {
    days: Api<GameDay>,
    target: Target,
    namespace: String,
}

impl Desk {
    async fn list(&self, global: &Global, args: &ListArgs) -> Result<(), Failure> {
        let all = args.all_namespaces;
        let found: Vec<GameDay> = self.target.list(global, all, "game days").await?;
        let table = || shown::listed(&found, (!all).then_some(self.namespace.as_str()));
        output::data(&output::rendered(&found, args.format, table)?);
        Ok(())
    }

    async fn show(&self, name: &str, format: Format) -> Result<(), Failure> {
        let day = self.get(name).await?;
        output::data(&output::rendered(&day, format, || shown::shown(&day))?);
        Ok(())
    }

    async fn start(&self, global: &Global, name: &str, id: Option<String>) -> Result<(), Failure> {
        let id = id.unwrap_or_else(|| format!("cli-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]));
        let day = self.get(name).await?;
        if status(&day).last_start.as_ref() == Some(&id) {
            let error = anyhow::anyhow!("start {id} of {name} was dealt with before; hint: give another --id, or none");
            return Err(Failure::refused(error));
        }
        if day.spec.mode == Mode::Live {
            self.target.confirm(global, &format!("start game day {}/{name}", self.namespace))?;
        }
        let skips = status(&day).skips;
        let uid = day.uid().unwrap_or_default();
        let order = StartOrder { game_day_uid: uid.clone(), id: id.clone() };
        self.write(name, &uid, |control, _| control.start = Some(order.clone())).await?;
        let taken = |day: &GameDay| status(day).last_start.as_ref() == Some(&id);
        let Some(day) = self.until(name, &uid, taken).await? else { return Err(self.withdraw(name, &uid, &id).await) };
        let prefix = format!("{id}-");
        let status = status(&day);
        if let Some(execution) = status.active.iter().chain(&status.last).rfind(|known| known.id.starts_with(&prefix)) {
            output::say(&format!("game day {}/{name} was started", self.namespace));
            output::data(&format!("{}\n", execution.id));
            return Ok(());
        }
        let why = status.skipped.last().filter(|_| status.skips > skips);
        let why =
            why.map_or_else(|| "it is over already".to_owned(), |skip| format!("{}: {}", skip.reason, skip.message));
        Err(Failure::refused(anyhow::anyhow!("game day {name} was not started: {why}")))
    }

    /// An order that nobody has taken must not begin when nobody expects it any more.
    async fn withdraw(&self, name: &str, uid: &str, id: &str) -> Failure {
        let is_ours = |order: &StartOrder| order.id == id;
        let withdrawn =
            self.write(name, uid, |control, _| control.start = control.start.take().filter(|o| !is_ours(o)));
        let left = match withdrawn.await {
            Ok(()) => "the order was withdrawn".to_owned(),
            Err(error) => format!("take spec.control.start out by hand: {}", error.message()),
        };
        let held = self.get(name).await.ok().and_then(|day| not_ready(&day));
        let within = NOTICE_WITHIN.as_secs();
        match held {
            Some(why) => {
                Failure::refused(anyhow::anyhow!("game day {name} was not started within {within} s ({left}): {why}"))
            }
            None => Failure::could_not_run(anyhow::anyhow!(
                "no operator took the order within {within} s ({left}); hint: does it run? kubectl get pods -n chaos-system"
            )),
        }
    }

    async fn approve(&self, global: &Global, args: &StepArgs) -> Result<(), Failure> {
        let StepArgs { name, step, execution } = args;
        let day = self.get(name).await?;
        let (of, record) = one_waiting(&day, step.as_deref(), execution.as_deref())?;
        let uid = day.uid().unwrap_or_default();
        let approval = StepApproval { game_day_uid: uid.clone(), execution: of.id.clone(), step: record.name.clone() };
        output::say(&format!("step {} of {}: {}", record.name, of.id, record.message.as_deref().unwrap_or_default()));
        if day.spec.mode == Mode::Live {
            self.target
                .confirm(global, &format!("approve step {} of game day {}/{name}", record.name, self.namespace))?;
        }
        self.write(name, &uid, |control, status| {
            // What is over needs no approval any more: the list stays short.
            control
                .approve
                .retain(|known| status.active.iter().any(|of| of.id == known.execution) && *known != approval);
            control.approve.push(approval.clone());
        })
        .await?;
        let is_taken = |day: &GameDay| step_of(day, &approval).is_none_or(|step| step.phase != StepPhase::Running);
        let Some(day) = self.until(name, &uid, is_taken).await? else {
            return Err(unnoticed("the approval"));
        };
        match step_of(&day, &approval) {
            Some(step) if step.phase != StepPhase::Passed => {
                let why = step.message.as_deref().unwrap_or_default();
                Err(Failure::refused(anyhow::anyhow!("step {} ended before it was approved: {why}", approval.step)))
            }
            _ => {
                output::say(&format!("step {} of {} is approved", approval.step, approval.execution));
                Ok(())
            }
        }
    }

    /// Says no to a step that waits: what follows from that is the end of its execution, as if nobody had approved in time.
    async fn reject(&self, args: &StepArgs) -> Result<(), Failure> {
        let StepArgs { name, step, execution } = args;
        let day = self.get(name).await?;
        let (of, record) = one_waiting(&day, step.as_deref(), execution.as_deref())?;
        output::say(&format!("step {} of {}: {}", record.name, of.id, record.message.as_deref().unwrap_or_default()));
        self.end(name, &day, &of.id).await?;
        output::say(&format!("step {} of {} is rejected: the execution is ended", record.name, of.id));
        Ok(())
    }

    async fn abort(&self, name: &str, execution: Option<&str>) -> Result<(), Failure> {
        let day = self.get(name).await?;
        let of = one_active(&day, execution)?;
        self.end(name, &day, &of.id).await?;
        output::say(&format!("execution {} of {}/{name} is ended: its runs wind down", of.id, self.namespace));
        Ok(())
    }

    /// Asks for the end of one execution, and waits until the operator has begun with it. Less chaos needs no confirmation.
    async fn end(&self, name: &str, day: &GameDay, id: &str) -> Result<(), Failure> {
        let uid = day.uid().unwrap_or_default();
        self.write(name, &uid, |control, status| {
            // What is over needs no end any more: the list stays short.
            control.abort.retain(|known| known != id && status.active.iter().any(|of| of.id == *known));
            control.abort.push(id.to_owned());
        })
        .await?;
        let is_taken =
            |day: &GameDay| status(day).active.iter().find(|of| of.id == id).is_none_or(|of| of.ending.is_some());
        self.until(name, &uid, is_taken).await?.map(drop).ok_or_else(|| unnoticed("the abort"))
    }

    /// Nothing starts while it is suspended; what is under way goes on.
    async fn suspend(&self, name: &str, suspended: bool) -> Result<(), Failure> {
        let day = self.get(name).await?;
        let uid = day.uid().unwrap_or_default();
        self.patch(name, &uid, |_| serde_json::json!({"suspend": suspended})).await?;
        let is_seen = |day: &GameDay| status(day).observed_generation >= day.metadata.generation;
        if self.until(name, &uid, is_seen).await?.is_none() {
            return Err(unnoticed("the change"));
        }
        let what = if suspended { "suspended" } else { "back in its calendar" };
        output::say(&format!("game day {}/{name} is {what}", self.namespace));
        if suspended && !status(&day).active.is_empty() {
            output::say(&format!("what is under way goes on; hint: `chaos gameday abort {}`", named(&day)));
        }
        Ok(())
    }

    /// Changes what people want of one very game day.
    async fn write(
        &self,
        name: &str,
        uid: &str,
        change: impl Fn(&mut GameDayControl, &GameDayStatus),
    ) -> Result<(), Failure> {
        self.patch(name, uid, |day| {
            let mut control = day.spec.control.clone().unwrap_or_default();
            change(&mut control, status(day));
            let GameDayControl { start, approve, abort } = control;
            // All three are written, so that what was taken out is gone.
            serde_json::json!({"control": {"start": start, "approve": approve, "abort": abort}})
        })
        .await
    }

    /// Changes the spec of one very game day, and nothing that somebody else wrote meanwhile.
    async fn patch(&self, name: &str, uid: &str, spec: impl Fn(&GameDay) -> serde_json::Value) -> Result<(), Failure> {
        for _ in 0..TRIES {
            let day = self.get(name).await?;
            if day.uid().as_deref() != Some(uid) {
                return Err(replaced(name));
            }
            let patch = serde_json::json!({
                "metadata": {"uid": uid, "resourceVersion": day.resource_version()}, "spec": spec(&day),
            });
            match self.days.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(self.failed(error, name)),
            }
        }
        Err(Failure::could_not_run(anyhow::anyhow!("game day {name} is written to all the time: nothing was changed")))
    }

    /// Looks until it holds; `None`: it did not come to hold.
    async fn until(&self, name: &str, uid: &str, holds: impl Fn(&GameDay) -> bool) -> Result<Option<GameDay>, Failure> {
        let began = Instant::now();
        while began.elapsed() < NOTICE_WITHIN {
            let day = self.get(name).await?;
            if day.uid().as_deref() != Some(uid) {
                return Err(replaced(name));
            }
            if holds(&day) {
                return Ok(Some(day));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }

    async fn get(&self, name: &str) -> Result<GameDay, Failure> {
        self.days.get(name).await.map_err(|error| self.failed(error, name))
    }

    fn failed(&self, error: kube::Error, name: &str) -> Failure {
        unread(error, &self.namespace, name)
    }
}

/// A game day could not be asked for.
pub(super) fn unread(error: kube::Error, namespace: &str, name: &str) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 && status.message.contains(name) => {
            Failure::invalid(anyhow::anyhow!(
                "there is no game day {namespace}/{name}; hint: `chaos gameday list -n {namespace}`, or another --namespace"
            ))
        }
        error => Failure::of_api(error, format!("failed to ask for game day {name}")),
    }
}

fn replaced(name: &str) -> Failure {
    Failure::refused(anyhow::anyhow!(
        "game day {name} was deleted and made anew meanwhile: it is not the one that was meant"
    ))
}

fn status(day: &GameDay) -> &GameDayStatus {
    static NOTHING: std::sync::LazyLock<GameDayStatus> = std::sync::LazyLock::new(GameDayStatus::default);
    day.status.as_ref().unwrap_or(&NOTHING)
}

fn step_of<'a>(day: &'a GameDay, approval: &StepApproval) -> Option<&'a StepRecord> {
    let all = status(day).active.iter().chain(&status(day).last);
    let execution = all.into_iter().find(|known| known.id == approval.execution)?;
    execution.steps.iter().find(|step| step.name == approval.step)
}

/// A game day as a command that is hinted at names it, from wherever it is typed.
fn named(day: &GameDay) -> String {
    format!("{} -n {}", day.name_any(), day.namespace().unwrap_or_default())
}

/// Why it cannot be started, if it says so.
fn not_ready(day: &GameDay) -> Option<String> {
    let ready = status(day).conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status == "False").then(|| format!("{}: {}", ready.reason, ready.message))
}

/// The execution that is under way, as far as it is named.
fn one_active<'a>(day: &'a GameDay, execution: Option<&str>) -> Result<&'a ExecutionRecord, Failure> {
    let active: Vec<&ExecutionRecord> =
        status(day).active.iter().filter(|of| execution.is_none_or(|wanted| of.id == wanted)).collect();
    match active.as_slice() {
        [one] => Ok(*one),
        [] => {
            let what = execution.map_or_else(|| "nothing".to_owned(), |id| format!("no execution {id}"));
            let (name, named) = (day.name_any(), named(day));
            let error = anyhow::anyhow!("{what} of game day {name} is under way; hint: `chaos gameday show {named}`");
            Err(Failure::refused(error))
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|of| of.id.as_str()).collect();
            let error = anyhow::anyhow!("several are under way; hint: name one: --execution {}", ids.join(" or "));
            Err(Failure::invalid(error))
        }
    }
}

/// The step that waits for an approval, as far as step and execution are named.
fn one_waiting<'a>(
    day: &'a GameDay,
    step: Option<&str>,
    execution: Option<&str>,
) -> Result<(&'a ExecutionRecord, &'a StepRecord), Failure> {
    match waiting(day, step, execution).as_slice() {
        [one] => Ok(*one),
        [] => {
            let (name, named) = (day.name_any(), named(day));
            let what = step.map_or_else(String::new, |step| format!(" at step {step}"));
            let error = anyhow::anyhow!(
                "game day {name} waits for no approval{what}: nothing was written; hint: `chaos gameday show {named}`"
            );
            Err(Failure::refused(error))
        }
        several => {
            let told: Vec<_> =
                several.iter().map(|(of, step)| format!("{} --execution {}", step.name, of.id)).collect();
            let error = anyhow::anyhow!("several steps wait; hint: name one: {}", told.join(", or "));
            Err(Failure::invalid(error))
        }
    }
}

/// Steps that wait for an approval, as far as step and execution are named.
fn waiting<'a>(
    day: &'a GameDay,
    step: Option<&str>,
    execution: Option<&str>,
) -> Vec<(&'a ExecutionRecord, &'a StepRecord)> {
    let is_approval = |name: &str| day.spec.steps.iter().any(|known| known.name == name && known.approval.is_some());
    let executions = status(day).active.iter().filter(|of| execution.is_none_or(|wanted| of.id == wanted));
    let all = executions.flat_map(|of| of.steps.iter().map(move |step| (of, step)));
    all.filter(|(_, record)| {
        record.phase == StepPhase::Running
            && is_approval(&record.name)
            && step.is_none_or(|wanted| record.name == wanted)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_hold_wherever_they_are_typed() {
        let day: GameDay = serde_json::from_value(serde_json::json!({
            "apiVersion": "chaos.dispatch.dev/v1alpha1", "kind": "GameDay",
            "metadata": {"name": "weekly", "namespace": "shop"},
            "spec": {"schedule": "@daily", "blackout": [], "startingDeadline": "10m", "mode": "DryRun",
                "steps": [{"name": "settle", "wait": "5m"}]},
        }))
        .unwrap();
        let hint = "hint: `chaos gameday show weekly -n shop`";
        let nothing = one_active(&day, None).unwrap_err().message();
        assert!(nothing.ends_with(hint), "{nothing}");
        let none_waits = one_waiting(&day, None, None).unwrap_err().message();
        assert!(none_waits.ends_with(hint), "{none_waits}");
    }
}
