//! What a pass says about a promise, in one sentence: what was seen, what it certifies, and what that rests on.

use super::Promise;
use crate::model::Evidence;
use crate::verdict::rule::Certificate;
use crate::verdict::spec;
use crate::verdict::words::{counted, share_of_good, thousands};

impl Promise<'_> {
    /// What was seen, what is certified by it, and under which assumption.
    pub(in crate::verdict) fn sentence(&self) -> String {
        let (probe, observed, confidence) = (self.probe, self.observed(), self.slo.confidence);
        match (&self.slo.evidence, &self.ruling.certificate) {
            (Evidence::Availability { .. }, _) => format!(
                "{} under kills at this rate, certified{} at {confidence} confidence if {}; {observed}",
                self.title(),
                self.by_exposed(),
                self.assumption().unwrap_or_default()
            ),
            (
                Evidence::HarmlessKills { share, max_loss },
                Some(Certificate::HarmlessKills { bad, unknown, elsewhere, .. }),
            ) => {
                let counted_too: Vec<_> =
                    [unknown_words(*unknown), elsewhere_words(*elsewhere)].into_iter().flatten().collect();
                let unknown =
                    if counted_too.is_empty() { String::new() } else { format!(" ({})", counted_too.join("; ")) };
                let kills = self.harmless_kills(*bad);
                let cost = self.cost_words(*max_loss);
                let likewise = if *max_loss == 0 { "do not" } else { "do" };
                format!(
                    "{probe}: {kills} {cost}{unknown}, so at least {share} of such kills {likewise} \
                     ({confidence} confidence); {observed}"
                )
            }
            _ => format!("{probe}: {observed}; observed only, nothing is certified"),
        }
    }

    /// ` by 40 exposed kills`, where others were not: those prove nothing.
    fn by_exposed(&self) -> String {
        let totals = &self.ruling.totals;
        if totals.exposed == totals.windows {
            String::new()
        } else {
            format!(" by {}", counted(totals.exposed, "exposed kill"))
        }
    }

    /// `61 of 61 kills`, or `7 of 7 exposed kills` where others were not.
    fn harmless_kills(&self, bad: u64) -> String {
        let totals = &self.ruling.totals;
        let kill = if totals.exposed == totals.windows { "kill" } else { "exposed kill" };
        format!("{} of {}", thousands(totals.exposed - bad), counted(totals.exposed, kill))
    }

    /// `99.95% of 6,312 requests answered well (promised 99.9%, 3 unknown count as bad) over 61 kill windows`.
    fn observed(&self) -> String {
        let totals = &self.ruling.totals;
        let unknown = unknown_words(totals.bad_at_worst - totals.bad_for_sure);
        format!(
            "{} of {} {} (promised {}{}) over {}",
            share_of_good(totals.bad_at_worst, totals.requests),
            counted(totals.requests, "request"),
            spec::promise(self.claim),
            self.claim.share(),
            unknown.map(|words| format!(", {words}")).unwrap_or_default(),
            counted(totals.windows, "kill window")
        )
    }
}

/// Why less is said to be good than what is known to be bad leaves.
fn unknown_words(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 unknown counts as bad".to_owned()),
        count => Some(format!("{} unknown count as bad", thousands(count))),
    }
}

/// What counts against harmless kills although its kill was not exposed.
fn elsewhere_words(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 unexposed kill that cost more counts as bad".to_owned()),
        count => Some(format!("{} unexposed kills that cost more count as bad", thousands(count))),
    }
}
