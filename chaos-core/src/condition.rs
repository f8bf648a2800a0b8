//! Status conditions in the standard form: one of each kind, whose transition time moves only when its status does.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::instant::time;

/// The API bounds messages at 32 KiB; nobody reads that much.
const MESSAGE: usize = 1_000;

/// What a condition says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say {
    /// `True`, `False` or `Unknown`.
    pub status: Truth,
    /// Stable reason.
    pub reason: String,
    /// The facts, for people.
    pub message: String,
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can say.
    Unknown,
}

impl Say {
    /// A condition that holds or does not.
    pub fn of(is_true: bool, reason: impl Into<String>, message: impl Into<String>) -> Self {
        let status = if is_true { Truth::True } else { Truth::False };
        Self { status, reason: reason.into(), message: message.into() }
    }

    /// A condition of which nobody can say whether it holds.
    pub fn unknown(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: Truth::Unknown, reason: reason.into(), message: message.into() }
    }
}

impl Truth {
    /// As the API has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Sets the condition of that kind. `generation` is the one of the spec that it speaks of.
pub fn set(conditions: &mut Vec<Condition>, kind: &str, say: Say, generation: Option<i64>, now: Timestamp) {
    let status = say.status.as_str();
    let known = conditions.iter().position(|condition| condition.type_ == kind);
    let since = known.map(|index| &conditions[index]).filter(|condition| condition.status == status);
    let condition = Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: say.reason,
        message: say.message.chars().take(MESSAGE).collect(),
        last_transition_time: since.map_or_else(|| time(now), |condition| condition.last_transition_time.clone()),
        observed_generation: generation,
    };
    match known {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
}

/// Whether the condition of that kind is `True`.
pub fn is_true(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", Say::of(false, "Blind", "a"), Some(1), at(10));
        set(&mut conditions, "Ready", Say::of(false, "Stopped", "b"), Some(2), at(20));
        assert_eq!((conditions.len(), conditions[0].last_transition_time.0), (1, at(10)));
        assert_eq!((conditions[0].reason.as_str(), conditions[0].observed_generation), ("Stopped", Some(2)));
        set(&mut conditions, "Ready", Say::unknown("Running", "x".repeat(5_000)), Some(2), at(30));
        assert_eq!((conditions[0].status.as_str(), conditions[0].last_transition_time.0), ("Unknown", at(30)));
        assert_eq!(conditions[0].message.len(), MESSAGE);
        assert!(!is_true(&conditions, "Ready") && !is_true(&conditions, "Other"));
    }
}
