//! The names of events and phases, as journals and the evidence on a cluster have them, and of what stops a run, as statuses and
//! metrics have them. By those of events a reader tells one of a newer version from one that is damaged.

use super::{Event, Phase, StopCause};

/// One table for both: the compiler asks for a row for every variant, and a test that its name is the one that is written.
macro_rules! names {
    ($of:ident: $($variant:ident => $name:literal,)+) => {
        impl $of {
            /// The names of all that this version knows.
            pub const NAMES: &'static [&'static str] = &[$($name),+];

            /// Its name, as it is written.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)+
                }
            }
        }
    };
}

names! {
    StopCause:
    SloRefuted => "SloRefuted",
    Guard => "Guard",
    Switch => "Switch",
    Signal => "Signal",
    NotRecovered => "NotRecovered",
    Blind => "Blind",
    Journal => "Journal",
    Killer => "Killer",
    NoProbes => "NoProbes",
    Probes => "Probes",
}

names! {
    Event:
    Started => "started",
    Planned => "planned",
    Phase => "phase",
    Schedule => "schedule",
    Bin => "bin",
    Bad => "bad",
    Served => "served",
    Sample => "sample",
    Invariants => "invariants",
    Intent => "intent",
    Kill => "kill",
    Skipped => "skipped",
    PutOff => "putOff",
    Pod => "pod",
    Clock => "clock",
    Blind => "blind",
    Sight => "sight",
    Stop => "stop",
    WoundDown => "woundDown",
    Note => "note",
    Told => "told",
    Finished => "finished",
}

impl Phase {
    /// Its name, as it is written and told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "Baseline",
            Self::Fault => "Fault",
            Self::Recovery => "Recovery",
            Self::WindDown => "WindDown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RunTime;

    #[test]
    fn names_are_those_that_are_written() {
        // Whoever reads a name that is none is told all that there are.
        let refused = serde_json::from_str::<Event>(r#"{"none": 0}"#).unwrap_err().to_string();
        let known: Vec<&str> = refused.split('`').skip(3).step_by(2).collect();
        assert_eq!(known, Event::NAMES, "{refused}");
        for event in [Event::Sight { at: RunTime(1) }, Event::WoundDown { at: RunTime(1), left: Vec::new() }] {
            let written = serde_json::to_value(&event).unwrap();
            assert!(written.get(event.name()).is_some(), "{written} is no {}", event.name());
        }
    }

    #[test]
    fn phases_are_told_as_they_are_written() {
        for phase in [Phase::Baseline, Phase::Fault, Phase::Recovery, Phase::WindDown] {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
        }
    }
}
