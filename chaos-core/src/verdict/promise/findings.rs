//! What speaks against a pass of a promise, in words: what refutes it, and what is missing.

use super::{Promise, bad_for_sure};
use crate::result::{Counts, Finding};
use crate::verdict::ReasonCode;
use crate::verdict::rule::{Missing, PhaseLimit, RecoveryRuling, Refuted};
use crate::verdict::words::{counted, figure, share_at_least, share_of_bad, thousands};

impl Promise<'_> {
    /// Everything that speaks against a pass.
    pub(in crate::verdict) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.ruling.refuted.iter().map(|refuted| self.refuted(refuted)));
        let recovery = self.recovery();
        if recovery.refuted {
            findings.push(self.unhealed(&recovery));
        }
        findings.extend(self.baseline().doubtful.then(|| self.unsteady()));
        if self.ruling.refuted.is_empty() {
            findings.extend(self.ruling.missing.iter().map(|missing| self.missing(missing)));
            findings.extend((recovery.doubtful && !recovery.refuted).then(|| self.doubtful()));
        }
        findings
    }

    fn unsteady(&self) -> Finding {
        let why = "more than chance, so the platform was not steady";
        self.quiet(ReasonCode::NotSteady, "before the fault", &self.load.baseline, why)
    }

    fn unhealed(&self, ruling: &RecoveryRuling) -> Finding {
        let why = match ruling.share.follows_from {
            _ if !ruling.share.refuted => {
                let (won, needed) = (figure(ruling.e_value), figure(ruling.e_threshold));
                format!("refuted, second by second (betting e-value {won}, {needed} refutes)")
            }
            PhaseLimit::Markov => "refuted beyond chance".to_owned(),
            PhaseLimit::Outage => "refuted by an outage".to_owned(),
        };
        self.quiet(ReasonCode::RecoveryRefuted, "after the kills", &self.load.recovery, &why)
    }

    /// More bad after the kills than single requests by chance, but no more than bursts may be: no failure, and no pass.
    fn doubtful(&self) -> Finding {
        let why = "a burst explains that as well as a platform that has not healed, so neither held nor refuted; it takes a \
                   longer recovery";
        self.quiet(ReasonCode::BudgetExceeded, "after the kills", &self.load.recovery, why)
    }

    /// What speaks against a phase without kills.
    fn quiet(&self, reason_code: ReasonCode, when: &str, counts: &Counts, why: &str) -> Finding {
        let (bad, all) = (thousands(bad_for_sure(self.claim, counts)), counted(counts.slots, "request"));
        Finding { reason_code, message: format!("{}, but {when} {bad} of {all} were bad: {why}", self.title()) }
    }

    fn refuted(&self, refuted: &Refuted) -> Finding {
        let totals = &self.ruling.totals;
        let (reason_code, message) = match refuted {
            Refuted::WorstLoss { window, lost, declared } => (
                ReasonCode::WorstLossExceeded,
                format!(
                    "{}: kill window {} lost {}, more than the declared worst loss of {declared}",
                    self.probe,
                    window + 1,
                    counted(*lost, "request")
                ),
            ),
            Refuted::Betting => (
                ReasonCode::SloRefuted,
                format!(
                    "{}, but {} of {} were bad ({}) over {}: refuted (betting e-value {}, {} refutes)",
                    self.title(),
                    thousands(totals.bad_for_sure),
                    counted(totals.requests, "request"),
                    share_of_bad(totals.bad_for_sure as f64 / totals.requests.max(1) as f64),
                    counted(totals.windows, "kill window"),
                    figure(self.ruling.e_value),
                    figure(self.ruling.e_threshold)
                ),
            ),
            Refuted::HarmlessKills { bad, lower, limit } => (
                ReasonCode::HarmlessKillsRefuted,
                format!(
                    "{}: {} of {} cost more than allowed; at least {} of such kills do, {} may",
                    self.probe,
                    thousands(*bad),
                    counted(totals.exposed, "exposed kill"),
                    share_at_least(*lower),
                    share_of_bad(*limit)
                ),
            ),
        };
        Finding { reason_code, message }
    }

    fn missing(&self, missing: &Missing) -> Finding {
        let probe = self.probe;
        let (reason_code, message) = match missing {
            Missing::Budget { bad, allowed } => (ReasonCode::BudgetExceeded, self.over_budget(*bad, *allowed)),
            Missing::Requests { requests, more } => (
                ReasonCode::TooLittleEvidence,
                format!(
                    "{}, and {} cannot show that: a single bad one would be too many; it takes {}",
                    self.title(),
                    counted(*requests, "request"),
                    counted(*more, "more request")
                ),
            ),
            Missing::Lag { unknown } => (
                ReasonCode::TooMuchLag,
                format!(
                    "{probe}: {} without a known outcome (not sent in time, or unanswered at the end) would decide the \
                     claim; it takes a less busy machine or a lower rate",
                    counted(*unknown, "request")
                ),
            ),
            Missing::Exposure { exposed, windows, more } => {
                (ReasonCode::TooLittleExposure, self.unexposed(*exposed, *windows, *more))
            }
            Missing::Kills { exposed, more } => (
                ReasonCode::TooLittleEvidence,
                format!("{probe}: {} certify too little; {}", counted(*exposed, "exposed kill"), takes(*more)),
            ),
            Missing::DeclarationIsProof { declared, budget_per_kill } => (
                ReasonCode::TooLittleEvidence,
                format!(
                    "{probe}: the declared worst loss of {declared} is not above the {} that one kill may cost on \
                     average, so the declaration would be the proof; it takes kills in quicker succession",
                    figure(*budget_per_kill)
                ),
            ),
        };
        Finding { reason_code, message }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
    fn over_budget(&self, bad: u64, allowed: f64) -> String {
        let good_for_all = (bad as f64 / self.budget()).ceil() as u64;
        format!(
            "{}, but {} of {} were bad, {} allowed: not beyond chance, so neither held nor refuted; it takes {} \
             without another bad one",
            self.title(),
            thousands(bad),
            counted(self.ruling.totals.requests, "request"),
            figure(allowed.floor()),
            counted(good_for_all.saturating_sub(self.ruling.totals.requests), "more request")
        )
    }

    fn unexposed(&self, exposed: u64, windows: u64, more: Option<u64>) -> String {
        let why = if self.load.schedule.exposure_known {
            "the others did not meet its traffic in the 5 s before, or their victims were still there at the end"
        } else {
            "hint: `exposure` says which pods served a request"
        };
        let known = counted(windows, "kill window");
        let verb = if exposed == 1 { "is" } else { "are" };
        format!("{}: {exposed} of {known} {verb} known to have met its traffic ({why}); {}", self.probe, takes(more))
    }
}

fn takes(more: Option<u64>) -> String {
    match more {
        Some(more) => format!("it takes {} without a loss", counted(more, "more exposed kill")),
        None => "no number of kills is enough for it".into(),
    }
}
