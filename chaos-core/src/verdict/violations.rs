//! Broken rules of the business, counted over the answers of one checker: each once, however often it was told. It judges
//! nothing.

use std::collections::BTreeSet;

use super::words::counted;
use crate::evidence::Check;
use crate::record::Violation;

/// Violations of several answers.
#[derive(Debug, Default)]
pub(super) struct Violations<'a> {
    /// With their stories.
    pub(super) told: Vec<&'a Violation>,
    /// Those that answers only counted: a record keeps the stories of the first thousand.
    untold: u64,
}

impl<'a> Violations<'a> {
    /// Those of these answers that are not among the ones `already` known. A checker that tells everything it ever saw tells
    /// again in an answer what it told in the one before.
    pub(super) fn of<'c>(checks: impl IntoIterator<Item = &'c Check<'a>>, already: &Self) -> Self
    where
        'a: 'c,
    {
        let mut known: BTreeSet<(&str, &str)> = already.told.iter().map(|violation| key(violation)).collect();
        let mut found = Self::default();
        for check in checks {
            let fresh: Vec<_> = check.violations.iter().filter(|violation| !known.contains(&key(violation))).collect();
            known.extend(fresh.iter().map(|violation| key(violation)));
            found.told.extend(fresh);
            found.untold = found.untold.max(check.untold);
        }
        // What is not told cannot be compared: as many as were there before are taken for the same.
        found.untold = found.untold.saturating_sub(already.untold);
        found
    }

    /// How many.
    pub(super) fn count(&self) -> u64 {
        (self.told.len() as u64).saturating_add(self.untold)
    }

    /// `3 violations of business rules; the first: I1: ride 17 is gone`; nothing where there is none.
    pub(super) fn words(&self, when: &str) -> Option<String> {
        let first = self.told.first().map(|first| format!("; the first: {}: {}", first.invariant, first.story));
        let untold = || "; their stories are not kept, as there are too many".to_owned();
        let how_many = counted(self.count(), "violation");
        (self.count() > 0).then(|| format!("{how_many} of business rules{when}{}", first.unwrap_or_else(untold)))
    }
}

fn key(violation: &Violation) -> (&str, &str) {
    (&violation.invariant, &violation.story)
}
