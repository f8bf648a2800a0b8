//! The conditions of a `ChaosMonkey`, from what is known about it. Pure.

use chaos_core::api::{ChaosMonkeySpec, ChaosMonkeyStatus};
use chaos_core::condition::{Say, set};
use chaos_core::killer::EndReason;
use chaos_core::population::SwitchState;
use jiff::Timestamp;

use crate::permitted::Permissions;
use crate::shared::SchemaState;

/// What conditions are made of.
pub(crate) struct Facts<'a> {
    pub spec: &'a ChaosMonkeySpec,
    pub generation: Option<i64>,
    /// Why the spec is not valid, if it is not.
    pub invalid: Option<&'a str>,
    pub schema: &'a SchemaState,
    pub switch: SwitchState,
    pub permissions: &'a Permissions,
    /// Why the cluster could not be seen last time, if it could not.
    pub blind: Option<&'a str>,
    /// The schedule allows kills now.
    pub is_in_schedule: bool,
    pub now: Timestamp,
}

/// Status, reason and message of one condition.
type Finding = (bool, &'static str, String);

/// Brings the conditions of a status up to date.
pub(crate) fn update(status: &mut ChaosMonkeyStatus, facts: &Facts<'_>) {
    let found = [
        ("Ready", ready(facts)),
        ("Active", active(status, facts)),
        ("Permitted", permitted(facts)),
        ("Complete", complete(status)),
    ];
    for (kind, (is_true, reason, message)) in found {
        set(&mut status.conditions, kind, Say::of(is_true, reason, message), facts.generation, facts.now);
    }
}

/// Why kills of a monkey are held although its spec is in order, in words.
pub(crate) fn hold(
    schema: &SchemaState,
    switch: SwitchState,
    permissions: &Permissions,
    spec: &ChaosMonkeySpec,
) -> Option<String> {
    hold_all(schema, switch).or_else(|| permissions.hold(spec).map(|(_, why)| why))
}

/// Why all kills are held, in words.
pub(crate) fn hold_all(schema: &SchemaState, switch: SwitchState) -> Option<String> {
    match schema {
        SchemaState::Unknown(why) => return Some(format!("the served schema is not known: {why}")),
        SchemaState::Other(why) => return Some(format!("the served schema is not ours: {why}")),
        SchemaState::Same => {}
    }
    let why = match switch {
        SwitchState::Running => return None,
        SwitchState::Stopped => "the stop switch of the cluster is on",
        SwitchState::Missing => "the stop switch of the cluster is missing, which counts as stopped",
        SwitchState::Unreadable => "the stop switch of the cluster cannot be read, which counts as stopped",
    };
    Some(why.to_owned())
}

fn ready(facts: &Facts<'_>) -> Finding {
    if let Some(why) = facts.invalid {
        return (false, "Invalid", why.to_owned());
    }
    match facts.schema {
        SchemaState::Unknown(why) => return (false, "SchemaUnknown", why.clone()),
        SchemaState::Other(why) => return (false, "SchemaMismatch", why.clone()),
        SchemaState::Same => {}
    }
    if let Some((reason, why)) = facts.permissions.hold(facts.spec) {
        return (false, reason, why);
    }
    match facts.blind {
        Some(why) => (false, "ClusterUnseen", why.to_owned()),
        None => (true, "Ready", "it can act".to_owned()),
    }
}

fn active(status: &ChaosMonkeyStatus, facts: &Facts<'_>) -> Finding {
    if let Some(end) = &status.ended {
        return (false, "Ended", end.message.clone());
    }
    if facts.spec.suspend {
        return (false, "Suspended", "spec.suspend is true".to_owned());
    }
    if facts.invalid.is_some() {
        return (false, "Invalid", "the spec is not valid".to_owned());
    }
    if let Some(why) = hold(facts.schema, facts.switch, facts.permissions, facts.spec) {
        return (false, "Stopped", why);
    }
    if !facts.is_in_schedule {
        return (false, "OutsideSchedule", "the schedule allows no kill at this time".to_owned());
    }
    (true, "Active", "it may kill".to_owned())
}

fn permitted(facts: &Facts<'_>) -> Finding {
    match facts.permissions.lacks(facts.spec) {
        Some((reason, why)) => (false, reason, why),
        None => (true, "Permitted", "the operator may do what this monkey takes".to_owned()),
    }
}

fn complete(status: &ChaosMonkeyStatus) -> Finding {
    let end = status.ended.as_ref().and_then(|end| Some((EndReason::parse(&end.reason)?, end)));
    match end {
        Some((reason, end)) => (true, reason.as_str(), end.message.clone()),
        None => (false, "Working", "it has not ended".to_owned()),
    }
}
