//! What the class of a bad slot says: of the system under test, of the load generator, or of neither. It must not look at runs.

use super::BadClass;

impl BadClass {
    /// As records have it, and as it is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "Refused",
            Self::Reset => "Reset",
            Self::Timeout => "Timeout",
            Self::Tls => "Tls",
            Self::Status => "Status",
            Self::Body => "Body",
            Self::Header => "Header",
            Self::TooSlow => "TooSlow",
            Self::Other => "Other",
            Self::Slow => "Slow",
            Self::Late => "Late",
            Self::Unsent => "Unsent",
            Self::UnknownOutcome => "UnknownOutcome",
        }
    }

    /// Whether the system under test failed (as opposed to the load generator).
    pub const fn is_failure(self) -> bool {
        matches!(
            self,
            Self::Refused
                | Self::Reset
                | Self::Timeout
                | Self::Tls
                | Self::Status
                | Self::Body
                | Self::Header
                | Self::TooSlow
                | Self::Other
        )
    }

    /// Whether a slot of this class has a latency: its answer was read to the end, or its time ran out.
    pub const fn has_latency(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::Status | Self::Body | Self::Header | Self::TooSlow | Self::Slow | Self::Late
        )
    }

    /// Whether the slot says nothing about the system: bad when we try to pass, good when we try to fail.
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::Late | Self::Unsent | Self::UnknownOutcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_told_as_they_are_written() {
        for class in [
            BadClass::Refused,
            BadClass::Reset,
            BadClass::Timeout,
            BadClass::Tls,
            BadClass::Status,
            BadClass::Body,
            BadClass::Header,
            BadClass::TooSlow,
            BadClass::Other,
            BadClass::Slow,
            BadClass::Late,
            BadClass::Unsent,
            BadClass::UnknownOutcome,
        ] {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
    }
}
