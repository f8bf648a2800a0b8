//! What asks a run to end before its time. Data: who decides that looks elsewhere.

use serde::{Deserialize, Serialize};

/// What asked a run to end early.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StopCause {
    /// The betting test refuted a promise: the run ends as a failure.
    SloRefuted {
        /// The probe.
        probe: String,
    },
    /// A guard of `abort`.
    Guard {
        /// Which, with its figures.
        message: String,
    },
    /// A stop switch, of the cluster or of a namespace.
    Switch {
        /// Which.
        message: String,
    },
    /// SIGINT, SIGTERM or SIGHUP.
    Signal {
        /// Its name.
        name: String,
    },
    /// No replacement was Ready within `limits.recoverWithin`.
    NotRecovered {
        /// Which.
        message: String,
    },
    /// The cluster was out of sight for longer than `limits.maxBlind`.
    Blind {
        /// Since when and why.
        message: String,
    },
    /// The journal could not be written.
    Journal {
        /// Why.
        message: String,
    },
    /// The killer gave up (its monkey vanished, was refused, or reported an error).
    Killer {
        /// Why.
        message: String,
    },
    /// The probes could not be started, so nothing was killed.
    NoProbes {
        /// Why.
        message: String,
    },
    /// Whoever measures for this run fell silent: what follows would be without evidence.
    Probes {
        /// Since when.
        message: String,
    },
}
