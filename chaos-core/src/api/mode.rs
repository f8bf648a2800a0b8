//! Whether a spec kills, or does everything but: the same two words in every kind that has a mode.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Live kills; DryRun does everything but.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Plan, check and report, touch nothing.
    DryRun,
    /// Kill.
    Live,
}

impl Mode {
    /// As manifests have it, and as it is told.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DryRun => "DryRun",
            Self::Live => "Live",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_told_as_they_are_written() {
        for mode in [Mode::DryRun, Mode::Live] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
    }
}
