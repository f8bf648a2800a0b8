//! The conditions of a `ChaosMonkey`, from what is known about it. Pure.

use chaos_core::api::{ChaosMonkeySpec, ChaosMonkeyStatus};
use chaos_core::condition::{Say, set};
use chaos_core::killer::{EndReason, MAX_GROUPS};
use chaos_core::limits::lets_kill;
use chaos_core::model::Actor;
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
    /// Why nothing more may be killed at present, because of what was killed already.
    pub capped: Option<&'a str>,
    /// Why the cluster could not be seen last time, if it could not.
    pub blind: Option<&'a str>,
    /// The schedule allows kills now.
    pub is_in_schedule: bool,
    pub now: Timestamp,
}

/// Brings the conditions of a status up to date.
pub(crate) fn update(status: &mut ChaosMonkeyStatus, facts: &Facts<'_>) {
    let found = [
        ("Ready", ready(facts)),
        ("Active", active(status, facts)),
        ("Permitted", permitted(facts)),
        ("Complete", complete(status)),
    ];
    for (kind, say) in found {
        set(&mut status.conditions, kind, say, facts.generation, facts.now);
    }
}

/// Why kills of a monkey are held although its spec is in order, in words.
pub(crate) fn hold(
    schema: &SchemaState,
    switch: SwitchState,
    permissions: &Permissions,
    spec: &ChaosMonkeySpec,
) -> Option<String> {
    hold_all(schema, switch).or_else(|| permissions.hold(spec).map(|lack| lack.message))
}

/// Why all kills are held, in words.
pub(crate) fn hold_all(schema: &SchemaState, switch: SwitchState) -> Option<String> {
    match schema {
        SchemaState::Unknown(why) => return Some(format!("the served schema is not known: {why}")),
        SchemaState::Other(why) => return Some(format!("the served schema is not ours: {why}")),
        SchemaState::Same => {}
    }
    lets_kill(switch, Actor::Operator).err().map(str::to_owned)
}

fn ready(facts: &Facts<'_>) -> Say {
    if let Some(why) = facts.invalid {
        return Say::of(false, "Invalid", why);
    }
    match facts.schema {
        SchemaState::Unknown(why) => return Say::of(false, "SchemaUnknown", why),
        SchemaState::Other(why) => return Say::of(false, "SchemaMismatch", why),
        SchemaState::Same => {}
    }
    if let Some(lack) = facts.permissions.hold(facts.spec) {
        return Say::of(false, lack.reason, lack.message);
    }
    match facts.blind {
        Some(why) => Say::of(false, "ClusterUnseen", why),
        None => Say::of(true, "Ready", "it can act"),
    }
}

fn active(status: &ChaosMonkeyStatus, facts: &Facts<'_>) -> Say {
    if let Some(end) = &status.ended {
        return Say::of(false, "Ended", &end.message);
    }
    if facts.spec.suspend {
        return Say::of(false, "Suspended", "spec.suspend is true");
    }
    if facts.invalid.is_some() {
        return Say::of(false, "Invalid", "the spec is not valid");
    }
    if let Some(why) = hold(facts.schema, facts.switch, facts.permissions, facts.spec) {
        return Say::of(false, "Stopped", why);
    }
    if let Some(why) = facts.capped {
        return Say::of(false, "Capped", why);
    }
    if !facts.is_in_schedule {
        return Say::of(false, "OutsideSchedule", "the schedule allows no kill at this time");
    }
    let message = match status.unplanned_groups {
        None => "it may kill".to_owned(),
        Some(groups) => format!(
            "it may kill; nothing is planned for {groups} of its groups, as one monkey plans for the first {MAX_GROUPS} by name; \
             hint: several monkeys, each with a target of its own"
        ),
    };
    Say::of(true, "Active", message)
}

fn permitted(facts: &Facts<'_>) -> Say {
    match facts.permissions.lacks(facts.spec) {
        Some(lack) => Say::of(false, lack.reason, lack.message),
        None => Say::of(true, "Permitted", "the operator may do what this monkey takes"),
    }
}

fn complete(status: &ChaosMonkeyStatus) -> Say {
    let end = status.ended.as_ref().and_then(|end| Some((EndReason::parse(&end.reason)?, end)));
    match end {
        Some((reason, end)) => Say::of(true, reason.as_str(), &end.message),
        None => Say::of(false, "Working", "it has not ended"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::watched::tests::monkey;

    /// Of a monkey that may kill, apart from the schema and what is permitted.
    fn facts<'a>(spec: &'a ChaosMonkeySpec, schema: &'a SchemaState, permissions: &'a Permissions) -> Facts<'a> {
        Facts {
            spec,
            generation: Some(1),
            invalid: None,
            schema,
            switch: SwitchState::Running,
            permissions,
            capped: None,
            blind: None,
            is_in_schedule: true,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn groups_that_nothing_is_planned_for_are_told() {
        let monkey = monkey("m", &json!({}));
        let permissions = Permissions::Known(Vec::new());
        let facts = facts(&monkey.spec, &SchemaState::Same, &permissions);
        for (unplanned_groups, told) in [(None, false), (Some(7), true)] {
            let mut status = ChaosMonkeyStatus { unplanned_groups, ..ChaosMonkeyStatus::default() };
            update(&mut status, &facts);
            let active = status.conditions.iter().find(|condition| condition.type_ == "Active").unwrap();
            assert_eq!((active.status.as_str(), active.reason.as_str()), ("True", "Active"));
            assert_eq!(active.message.contains("nothing is planned for 7 of its groups"), told, "{}", active.message);
        }
        let mut status = ChaosMonkeyStatus::default();
        update(&mut status, &Facts { capped: Some("enough for today"), ..facts });
        let active = status.conditions.iter().find(|condition| condition.type_ == "Active").unwrap();
        assert_eq!((active.reason.as_str(), active.message.as_str()), ("Capped", "enough for today"));
    }

    #[test]
    fn all_kills_are_held_unless_the_schema_is_ours_and_the_switch_is_on() {
        let other = || SchemaState::Other("Kind.spec.limits is ours, but is not served".to_owned());
        let unknown = || SchemaState::Unknown("out of reach".to_owned());
        let cases = [
            (SchemaState::Same, SwitchState::Running, None),
            (other(), SwitchState::Running, Some("the served schema is not ours: Kind.spec.limits")),
            (other(), SwitchState::Stopped, Some("the served schema is not ours")),
            (unknown(), SwitchState::Running, Some("the served schema is not known: out of reach")),
            (SchemaState::Same, SwitchState::Stopped, Some("stop")),
            (SchemaState::Same, SwitchState::Missing, Some("stop")),
            (SchemaState::Same, SwitchState::Unreadable, Some("stop")),
        ];
        for (schema, switch, held) in cases {
            let why = hold_all(&schema, switch);
            assert_eq!(why.is_some(), held.is_some(), "{schema:?}, {switch:?}: {why:?}");
            assert!(held.is_none_or(|held| why.as_ref().is_some_and(|why| why.contains(held))), "{why:?}");
        }
    }

    #[test]
    fn another_schema_is_told_by_its_reason_and_stops_the_monkey() {
        let monkey = monkey("m", &json!({}));
        let cases = [
            (SchemaState::Same, ("True", "Ready"), ("True", "Active")),
            (SchemaState::Other("why".to_owned()), ("False", "SchemaMismatch"), ("False", "Stopped")),
            (SchemaState::Unknown("why".to_owned()), ("False", "SchemaUnknown"), ("False", "Stopped")),
        ];
        let permissions = Permissions::Known(Vec::new());
        for (schema, ready, active) in cases {
            let mut status = ChaosMonkeyStatus::default();
            update(&mut status, &facts(&monkey.spec, &schema, &permissions));
            for (kind, said) in [("Ready", ready), ("Active", active)] {
                let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
                assert_eq!((found.status.as_str(), found.reason.as_str()), said, "{schema:?}");
            }
        }
    }
}
