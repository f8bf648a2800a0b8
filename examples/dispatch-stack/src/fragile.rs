//! The weaknesses that can be switched on, one by one, with `FRAGILE=a,b`. Each is a mistake seen in real platforms; each
//! breaks a promise that the simulator's auditor checks. Nothing is on unless named.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// trips answers 201 from memory and commits in the background every 300 ms.
    AckBeforeCommit,
    /// trips checks that ride and driver are free in a read and writes the offer later without comparing.
    ReadThenWriteAssign,
    /// The database does not hold "one active ride a driver".
    NoUniqueIndex,
    /// A repeated Idempotency-Key makes another ride.
    NoIdempotency,
    /// The matcher takes rides off the durable queue and keeps them in memory.
    MatcherInMemory,
    /// Rides are written without comparing their version.
    NoVersionCheck,
    /// The gateway retries with a fresh Idempotency-Key.
    RetryNewKey,
    /// SIGTERM ends the process at once, whatever is in flight.
    InstantExit,
}

impl Flag {
    /// Every flag, in the order of the README.
    pub const ALL: [Self; 8] = [
        Self::AckBeforeCommit,
        Self::ReadThenWriteAssign,
        Self::NoUniqueIndex,
        Self::NoIdempotency,
        Self::MatcherInMemory,
        Self::NoVersionCheck,
        Self::RetryNewKey,
        Self::InstantExit,
    ];

    /// The name used in `FRAGILE`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AckBeforeCommit => "ack-before-commit",
            Self::ReadThenWriteAssign => "read-then-write-assign",
            Self::NoUniqueIndex => "no-unique-index",
            Self::NoIdempotency => "no-idempotency",
            Self::MatcherInMemory => "matcher-in-memory",
            Self::NoVersionCheck => "no-version-check",
            Self::RetryNewKey => "retry-new-key",
            Self::InstantExit => "instant-exit",
        }
    }
}

/// The set of flags that are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragile(BTreeSet<Flag>);

impl Fragile {
    /// Whether `flag` is on.
    pub fn has(&self, flag: Flag) -> bool {
        self.0.contains(&flag)
    }
}

impl FromIterator<Flag> for Fragile {
    fn from_iter<T: IntoIterator<Item = Flag>>(flags: T) -> Self {
        Self(flags.into_iter().collect())
    }
}

/// A name in `FRAGILE` that is no flag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown fragile flag '{name}'\nhint: the flags are {}", Flag::ALL.map(Flag::name).join(", "))]
pub struct UnknownFlag {
    name: String,
}

impl FromStr for Fragile {
    type Err = UnknownFlag;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(|name| {
                Flag::ALL.into_iter().find(|flag| flag.name() == name).ok_or_else(|| UnknownFlag { name: name.into() })
            })
            .collect()
    }
}

impl fmt::Display for Fragile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|flag| flag.name()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_flags_round_trip_and_typos_are_named() {
        let all: Fragile = Flag::ALL.into_iter().collect();
        assert_eq!(all.to_string().parse::<Fragile>().unwrap(), all);
        assert_eq!(" ".parse::<Fragile>().unwrap(), Fragile::default());
        let error = "instant-exit,no-idempotence".parse::<Fragile>().unwrap_err().to_string();
        assert!(error.contains("'no-idempotence'") && error.contains("no-idempotency"), "{error}");
    }
}
