//! The conditions of a `ChaosMonkey`, from what is known about it. Pure.

use chaos_core::api::{ChaosMonkeySpec, ChaosMonkeyStatus};
use chaos_core::killer::EndReason;
use chaos_core::population::SwitchState;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

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
        set(status, kind, is_true, reason, message, facts);
    }
}

/// Why kills are held although the spec is in order, in words.
pub(crate) fn hold(
    schema: &SchemaState,
    switch: SwitchState,
    permissions: &Permissions,
    spec: &ChaosMonkeySpec,
) -> Option<String> {
    match schema {
        SchemaState::Unknown(why) => return Some(format!("the served schema is not known: {why}")),
        SchemaState::Other(why) => return Some(format!("the served schema is not ours: {why}")),
        SchemaState::Same => {}
    }
    match switch {
        SwitchState::Running => permissions.hold(spec).map(|(_, why)| why),
        SwitchState::Stopped => Some("the stop switch of the cluster is on".to_owned()),
        SwitchState::Missing => Some("the stop switch of the cluster is missing, which counts as stopped".to_owned()),
        SwitchState::Unreadable => {
            Some("the stop switch of the cluster cannot be read, which counts as stopped".to_owned())
        }
    }
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

fn set(status: &mut ChaosMonkeyStatus, kind: &str, is_true: bool, reason: &str, message: String, facts: &Facts<'_>) {
    let value = if is_true { "True" } else { "False" };
    let now = Timestamp::from_second(facts.now.as_second()).unwrap_or(facts.now);
    let known = status.conditions.iter().position(|condition| condition.type_ == kind);
    let since = known.map(|index| &status.conditions[index]).filter(|condition| condition.status == value);
    let condition = Condition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        // The API bounds messages at 32 KiB; nobody reads that much.
        message: message.chars().take(1000).collect(),
        last_transition_time: since.map_or(Time(now), |condition| condition.last_transition_time.clone()),
        observed_generation: facts.generation,
    };
    match known {
        Some(index) => status.conditions[index] = condition,
        None => status.conditions.push(condition),
    }
}
