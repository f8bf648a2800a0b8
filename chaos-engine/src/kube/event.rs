//! Events: what happened to a pod, or to an object of ours, for `kubectl describe` and for the record. Their names follow from
//! what they tell, so that telling it again (after a restart) changes nothing.

use chaos_core::api::{ExperimentRunStatus, KillRecord, Outcome, RunPhase, SkipRecord};
use chaos_core::digest::sha256_hex;
use chaos_core::population::SwitchState;
use chaos_core::verdict::Conclusion;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::call::{CallError, Caller};
use super::status::UNREADABLE;

/// The controller that Events name as their reporter.
const CONTROLLER: &str = "chaos.dispatch.dev/operator";
/// The API takes notes of up to 1 kB.
const NOTE_BYTES: usize = 1_000;

/// Writes Events.
#[derive(Clone)]
pub struct EventSink {
    write: Caller,
    instance: String,
}

/// Something to tell about an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// Name of the Event: the same happening has the same.
    pub name: String,
    /// The object.
    pub regarding: ObjectReference,
    /// Another object that had a part in it.
    pub related: Option<ObjectReference>,
    /// Stable reason.
    pub reason: String,
    /// What was done.
    pub action: &'static str,
    /// The facts, for people. Only as much of them is told as the API takes.
    pub note: String,
    /// Whether people should look at it.
    pub is_warning: bool,
    /// When.
    pub at: Timestamp,
}

impl Happening {
    /// A kill call, told of the pod.
    pub fn of_kill(kill: &KillRecord, by: &ObjectReference) -> Self {
        let (reason, is_warning, what) = match kill.outcome {
            Outcome::Killed => ("Killed", false, "killed"),
            Outcome::WouldKill => ("WouldKill", false, "would have been killed (dry run)"),
            Outcome::Blocked => ("KillBlocked", false, "was not evicted: a disruption budget forbids it"),
            Outcome::Gone => ("VictimGone", false, "was gone before it could be killed"),
            Outcome::Failed => ("KillFailed", true, "could not be killed"),
            Outcome::Unknown => ("KillUnknown", true, "may have been killed: the answer was lost"),
        };
        let owner = format!("{} {}", by.kind.as_deref().unwrap_or("run"), by.name.as_deref().unwrap_or_default());
        let message = kill.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        Self {
            name: format!("chaos-{}", kill.nonce),
            regarding: ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                namespace: Some(kill.victim.namespace.clone()),
                name: Some(kill.victim.pod.clone()),
                uid: Some(kill.victim.uid.clone()),
                ..ObjectReference::default()
            },
            related: Some(by.clone()),
            reason: reason.to_owned(),
            action: "Kill",
            note: format!("{what} by {owner}, strike {}{message}", kill.strike),
            is_warning,
            at: kill.at.0,
        }
    }

    /// A strike that did not happen, told of the monkey.
    pub fn of_skip(skip: &SkipRecord, monkey: &ObjectReference) -> Self {
        let uid = monkey.uid.as_deref().unwrap_or_default();
        Self {
            name: format!("chaos-skip-{}-{}-{:x}", short(uid), skip.strike, skip.at.0.as_microsecond()),
            regarding: monkey.clone(),
            related: None,
            reason: skip.reason.clone(),
            action: "Skip",
            note: format!("strike {} on {} skipped: {}", skip.strike, skip.group, skip.message),
            is_warning: false,
            at: skip.at.0,
        }
    }

    /// What became of a run from one of its statuses to a later one, told of the run: that it is measured (`Started`), that it
    /// ends early (`Stopping`), and how it ended, by the reason of its verdict.
    pub fn of_run(
        run: &ObjectReference,
        before: &ExperimentRunStatus,
        after: &ExperimentRunStatus,
        now: Timestamp,
    ) -> Vec<Self> {
        let uid = run.uid.as_deref().unwrap_or_default();
        let tell = |what: &str, reason: &str, note: String, is_warning: bool, at: Timestamp| Self {
            name: format!("chaos-run-{uid}-{what}"),
            regarding: run.clone(),
            related: None,
            reason: reason.to_owned(),
            action: "Run",
            note,
            is_warning,
            at,
        };
        let mut told = Vec::new();
        if let (None, Some(at)) = (&before.started_at, &after.started_at) {
            let plan = after.resolved.as_ref().map(|plan| {
                format!(": {} strikes are planned on {} pods, seed {}", plan.strikes, plan.candidates, plan.seed)
            });
            let note = format!("it is measured from now on{}", plan.unwrap_or_default());
            told.push(tell("started", "Started", note, false, at.0));
        }
        if let (None, Some(stop)) = (before.stop(), after.stop()) {
            told.push(tell("stopping", "Stopping", format!("{}: {}", stop.cause, stop.message), true, now));
        }
        let is_over = |status: &ExperimentRunStatus| status.phase == Some(RunPhase::Completed);
        if let Some(verdict) = after.verdict.as_ref().filter(|_| is_over(after) && !is_over(before)) {
            let note = format!("{}, exit code {}: {}", verdict.outcome, verdict.exit_code, verdict.reason_text);
            let at = after.finished_at.as_ref().map_or(now, |at| at.0);
            let has_passed = Conclusion::read(&verdict.outcome).has_passed();
            told.push(tell("over", &verdict.reason_code, note, !has_passed, at));
        }
        told
    }

    /// The stop switch lets chaos happen, or does not any more, by its state now; told of the switch, once for each version of it,
    /// whoever sees it. Of one that is gone the last version is named.
    pub fn of_switch(switch: &ObjectReference, state: SwitchState, now: Timestamp) -> Self {
        let (reason, note) = match state {
            SwitchState::Running => ("Resumed", "chaos may happen again: the stop switch says Running"),
            SwitchState::Stopped => ("Stopped", "nothing is killed any more: the stop switch says stop"),
            SwitchState::Missing => ("Stopped", "nothing is killed any more: the stop switch is gone"),
            SwitchState::Unreadable => ("Stopped", "nothing is killed any more: the stop switch cannot be read"),
        };
        let uid = switch.uid.as_deref().unwrap_or_default();
        let version = switch.resource_version.as_deref().unwrap_or_default();
        Self {
            name: format!("chaos-switch-{}-{version}-{}", short(uid), reason.to_lowercase()),
            regarding: switch.clone(),
            related: None,
            reason: reason.to_owned(),
            action: "Switch",
            note: note.to_owned(),
            is_warning: state != SwitchState::Running,
            at: now,
        }
    }

    /// The server refuses what the work on an object takes; told of the object, once for each thing refused.
    pub fn of_refusal(object: &ObjectReference, error: &CallError) -> Self {
        Self::of_trouble(object, "refused", "PermissionMissing", error.to_string())
    }

    /// An object cannot be read, so nothing is done for it; told of the object, once for each cause.
    pub fn of_unreadable(object: &ObjectReference, why: &str) -> Self {
        Self::of_trouble(object, "unreadable", UNREADABLE, why.to_owned())
    }

    /// What the work on an object comes to nothing for, by names that are the same for the same cause.
    fn of_trouble(object: &ObjectReference, what: &str, reason: &str, note: String) -> Self {
        let uid = object.uid.as_deref().unwrap_or_default();
        let digest = sha256_hex(note.as_bytes());
        Self {
            name: format!("chaos-{what}-{}-{}", short(uid), &digest[..8]),
            regarding: object.clone(),
            related: None,
            reason: reason.to_owned(),
            action: "Reconcile",
            note,
            is_warning: true,
            at: Timestamp::now(),
        }
    }
}

impl EventSink {
    /// Events signed by this instance.
    pub fn new(write: Caller, instance: impl Into<String>) -> Self {
        Self { write, instance: instance.into() }
    }

    /// Tells it, once: an Event of that name that exists already is this one.
    pub async fn tell(&self, happening: &Happening) -> Result<(), CallError> {
        let namespace = happening.regarding.namespace.as_deref().unwrap_or("default");
        let event = Event {
            metadata: ObjectMeta {
                name: Some(happening.name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            regarding: Some(happening.regarding.clone()),
            related: happening.related.clone(),
            reason: Some(happening.reason.clone()),
            action: Some(happening.action.to_owned()),
            note: Some(shorten(&happening.note).to_owned()),
            type_: Some(if happening.is_warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(happening.at)),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        match self.write.create::<serde_json::Value>(&path, &event).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }
}

/// As much of a note as the API takes.
fn shorten(note: &str) -> &str {
    let ends = note.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|end| *end <= NOTE_BYTES).last().unwrap_or_default();
    &note[..end]
}

/// As much of a UID as names of others hold of it.
pub fn short(uid: &str) -> &str {
    uid.get(..8).unwrap_or(uid)
}

#[cfg(test)]
mod tests {
    use chaos_core::api::{ResolvedRun, RunProgress, RunVerdict, StopRecord};
    use chaos_core::instant::time;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);

    fn run() -> ObjectReference {
        ObjectReference { uid: Some("u-1".to_owned()), ..ObjectReference::default() }
    }

    fn reasons(before: &ExperimentRunStatus, after: &ExperimentRunStatus) -> Vec<String> {
        Happening::of_run(&run(), before, after, NOW).into_iter().map(|told| told.reason).collect()
    }

    fn measured() -> ExperimentRunStatus {
        let resolved = ResolvedRun { strikes: 4, candidates: 3, seed: 7, ..ResolvedRun::default() };
        ExperimentRunStatus {
            phase: Some(RunPhase::Asking),
            resolved: Some(resolved),
            started_at: Some(time(NOW)),
            ..ExperimentRunStatus::default()
        }
    }

    fn stopping() -> ExperimentRunStatus {
        let stop = StopRecord { cause: "Signal".to_owned(), message: "spec.control.abort".to_owned() };
        ExperimentRunStatus {
            phase: Some(RunPhase::WindingDown),
            progress: Some(RunProgress { stop: Some(stop), ..RunProgress::default() }),
            ..measured()
        }
    }

    fn over(outcome: &str, exit_code: u8, reason_code: &str) -> ExperimentRunStatus {
        let verdict = RunVerdict {
            outcome: outcome.to_owned(),
            exit_code,
            reason_code: reason_code.to_owned(),
            reason_text: "in words".to_owned(),
        };
        let phase = Some(RunPhase::Completed);
        ExperimentRunStatus { phase, verdict: Some(verdict), finished_at: Some(time(NOW)), ..measured() }
    }

    #[test]
    fn a_run_tells_its_story_once() {
        let new = ExperimentRunStatus::default();
        assert_eq!(reasons(&new, &measured()), ["Started"]);
        assert!(reasons(&measured(), &measured()).is_empty());
        assert_eq!(reasons(&measured(), &stopping()), ["Stopping"]);
        assert!(reasons(&stopping(), &stopping()).is_empty());
        let aborted = over("aborted", 5, "Interrupted");
        assert_eq!(reasons(&stopping(), &aborted), ["Interrupted"]);
        assert!(reasons(&aborted, &aborted).is_empty());
        // Who tells all of it again gives it the same names.
        let names = |told: Vec<Happening>| told.into_iter().map(|told| told.name).collect::<Vec<_>>();
        let again = names(Happening::of_run(&run(), &new, &aborted, NOW));
        assert_eq!(again, ["chaos-run-u-1-started", "chaos-run-u-1-over"]);
        let first = names(Happening::of_run(&run(), &new, &measured(), NOW));
        assert_eq!(first, again[..1]);
    }

    #[test]
    fn the_end_of_a_run_is_told_with_its_verdict_and_warns_unless_it_passed() {
        for (status, is_warning) in [
            (over("pass", 0, "HypothesisHeld"), false),
            (over("planned", 0, "DryRun"), false),
            (over("fail", 1, "SloRefuted"), true),
            (over("inconclusive", 7, "TooFewKills"), true),
        ] {
            let told = Happening::of_run(&run(), &measured(), &status, NOW);
            let verdict = status.verdict.as_ref().unwrap();
            assert_eq!((told.len(), told[0].is_warning), (1, is_warning), "{told:?}");
            assert_eq!(told[0].reason, verdict.reason_code);
            assert_eq!(told[0].note, format!("{}, exit code {}: in words", verdict.outcome, verdict.exit_code));
        }
        let started = Happening::of_run(&run(), &ExperimentRunStatus::default(), &measured(), NOW);
        assert!(started[0].note.ends_with("4 strikes are planned on 3 pods, seed 7"), "{started:?}");
    }

    #[test]
    fn a_note_is_as_long_as_the_api_takes_it() {
        assert_eq!(shorten("short"), "short");
        assert_eq!(shorten(&"x".repeat(2_000)).len(), NOTE_BYTES);
        assert_eq!(shorten(&"€".repeat(2_000)).len(), 999, "no character is cut");
    }
}
