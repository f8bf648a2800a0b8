//! One promise of one http probe, judged: from what was counted to the rule's decision, the rows of the table of claims and
//! what speaks against a pass.

mod findings;
mod sentence;

use super::rule::{
    Certificate, Missing, PhaseLimit, PhaseRuling, PhaseTerms, RecoveryRuling, Refuted, Ruling, Slice, Terms, Window,
    alpha_of_kills, alpha_of_recovery, phase, recovery, rule,
};
use super::words::{counted, figure};
use super::{Level, spec};
use crate::evidence::{Exposure, Load, TrialLoad};
use crate::model::{ClaimSpec, Evidence, Slo};
use crate::result::{Claim, Counts, Holds};

/// A promise with everything that was decided about it.
#[derive(Debug)]
pub(super) struct Promise<'a> {
    pub(super) probe: &'a str,
    pub(super) slo: &'a Slo,
    pub(super) claim: ClaimSpec,
    tests: usize,
    load: &'a Load<'a>,
    ruling: Ruling,
}

/// A slow answer is bad for a promise of latency only.
fn bad_for_sure(claim: ClaimSpec, counts: &Counts) -> u64 {
    match claim {
        ClaimSpec::Availability { .. } => counts.failed,
        ClaimSpec::Latency { .. } => counts.failed + counts.slow,
    }
}

/// A trial as this promise sees it.
pub(super) fn window(claim: ClaimSpec, trial: &TrialLoad) -> Window {
    let bad_for_sure = bad_for_sure(claim, &trial.counts);
    Window {
        requests: trial.counts.slots,
        kills: trial.kills,
        bad_for_sure,
        bad_at_worst: bad_for_sure + trial.counts.unknown,
        // A window in which nothing was asked lost nothing: that is no evidence that the kill was harmless.
        exposed: trial.exposure == Exposure::Yes && trial.counts.slots > 0,
    }
}

impl<'a> Promise<'a> {
    pub(super) fn judge(load: &'a Load<'a>, slo: &'a Slo, claim: ClaimSpec, tests: usize) -> Self {
        let windows: Vec<Window> = load.trials.iter().map(|trial| window(claim, trial)).collect();
        let terms = Terms {
            budget: claim.share().complement(),
            alpha: slo.confidence.complement(),
            tests,
            evidence: slo.evidence.clone(),
        };
        let probe = load.schedule.probe.as_str();
        Self { probe, slo, claim, tests, load, ruling: rule(&terms, &windows) }
    }

    fn budget(&self) -> f64 {
        self.claim.share().complement()
    }

    fn alpha(&self) -> f64 {
        self.slo.confidence.complement()
    }

    /// α of a test over kill windows that can fail the run.
    fn alpha_to_fail(&self) -> f64 {
        alpha_of_kills(self.alpha(), self.tests)
    }

    fn alpha_of_recovery(&self) -> f64 {
        alpha_of_recovery(self.alpha(), self.tests)
    }

    /// `request-ride: 99.9% answered well`.
    fn title(&self) -> String {
        format!("{}: {} {}", self.probe, self.claim.share(), spec::promise(self.claim))
    }

    /// Before the fault, doubt is enough to kill nothing: the run is invalid then, which is no failure.
    fn baseline(&self) -> PhaseRuling {
        let counts = &self.load.baseline;
        phase(&self.phase_terms(), counts.slots, bad_for_sure(self.claim, counts))
    }

    /// After the kills, doubt fails nothing and passes nothing.
    fn recovery(&self) -> RecoveryRuling {
        let slice = |(number, counts): (&u64, &Counts)| Slice {
            number: *number,
            requests: counts.slots,
            bad: bad_for_sure(self.claim, counts),
        };
        recovery(&self.phase_terms(), &self.load.recovery_seconds.iter().map(slice).collect::<Vec<_>>())
    }

    fn phase_terms(&self) -> PhaseTerms {
        PhaseTerms { budget: self.budget(), alpha: self.alpha(), alpha_to_fail: self.alpha_of_recovery() }
    }

    /// Whether it passes with the evidence asked for.
    pub(super) fn holds(&self) -> bool {
        self.ruling.holds() && !self.baseline().doubtful && !self.recovery().doubtful
    }

    /// Rows of the table of claims.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let mut claims = vec![self.baseline_claim(), self.observed_claim(), self.recovery_claim()];
        claims.extend(self.ruling.certificate.as_ref().map(|certificate| self.certified_claim(certificate)));
        claims
    }

    fn baseline_claim(&self) -> Claim {
        let ruling = self.baseline();
        Claim {
            claim: format!("{} before the fault (can only be refuted)", self.title()),
            probe: self.probe.to_owned(),
            level: Level::Baseline,
            method: "Clopper-Pearson lower bound of the share of bad requests, each on its own".into(),
            alpha: Some(self.alpha()),
            assumption: None,
            n: self.load.baseline.slots,
            trials: 0,
            exposed: 0,
            value: ruling.lower,
            bound: self.budget(),
            holds: if ruling.doubtful { Holds::No } else { Holds::NotRefuted },
        }
    }

    fn recovery_claim(&self) -> Claim {
        let ruling = self.recovery();
        let by_share = match ruling.share.follows_from {
            PhaseLimit::Markov => "Markov bound of the share of bad requests",
            PhaseLimit::Outage => "share of bad requests that is an outage",
        };
        let bets =
            format!("bets on its seconds (e-value {} of {})", figure(ruling.e_value), figure(ruling.e_threshold));
        // What is compared is what refutes it, if only one of them does.
        let by_bets = ruling.refuted && !ruling.share.refuted;
        let (method, value, bound) = if by_bets {
            (bets, ruling.e_value, ruling.e_threshold)
        } else {
            (format!("{by_share}; {bets}"), ruling.share.share, ruling.share.limit)
        };
        Claim {
            claim: format!("{} after the kills (can only be refuted)", self.title()),
            probe: self.probe.to_owned(),
            level: Level::Recovery,
            method,
            alpha: Some(self.alpha_of_recovery()),
            assumption: by_bets.then(|| "no burst of bad requests is longer than a second".into()),
            n: self.load.recovery.slots,
            trials: 0,
            exposed: 0,
            value,
            bound,
            holds: match (ruling.refuted, ruling.doubtful) {
                (true, _) => Holds::No,
                (_, true) => Holds::Undecided,
                _ => Holds::NotRefuted,
            },
        }
    }

    fn observed_claim(&self) -> Claim {
        let totals = &self.ruling.totals;
        let open = |m: &Missing| matches!(m, Missing::Budget { .. } | Missing::Lag { .. } | Missing::Requests { .. });
        let within = !self.ruling.missing.iter().any(open);
        let value = if totals.requests == 0 { 0.0 } else { totals.bad_at_worst as f64 / totals.requests as f64 };
        Claim {
            claim: format!("{} in fault and recovery, as observed", self.title()),
            probe: self.probe.to_owned(),
            level: Level::Observed,
            method: format!(
                "share of bad requests; refuted by betting (e-value {} of {})",
                figure(self.ruling.e_value),
                figure(self.ruling.e_threshold)
            ),
            alpha: Some(self.alpha_to_fail()),
            assumption: None,
            n: totals.requests,
            trials: totals.windows,
            exposed: totals.exposed,
            value,
            bound: self.budget(),
            holds: match within && totals.requests > 0 {
                _ if self.ruling.refuted.contains(&Refuted::Betting) => Holds::No,
                true => Holds::Yes,
                false => Holds::Undecided,
            },
        }
    }

    fn certified_claim(&self, certificate: &Certificate) -> Claim {
        let totals = &self.ruling.totals;
        let (claim, level, method, value, bound) = match certificate {
            Certificate::HarmlessKills { upper, limit, .. } => (
                format!("{}: {}", self.probe, self.harmless_words()),
                Level::HarmlessKills,
                "Clopper-Pearson upper bound of the share of bad kills".to_owned(),
                *upper,
                *limit,
            ),
            Certificate::Availability { requests, budget_per_kill, p, alpha } => (
                format!("{} under kills at this rate", self.title()),
                Level::Availability,
                // `n` is all requests, and the certificate rests on those of exposed windows: both must stand in the table.
                format!(
                    "Hoeffding-Bentkus p-value for losses in [0, M]; {} of exposed windows allow each of {} a mean loss of {}",
                    counted(*requests, "request"),
                    counted(totals.exposed, "exposed kill"),
                    figure(*budget_per_kill)
                ),
                *p,
                *alpha,
            ),
        };
        let open = self.ruling.missing.iter().any(|m| !matches!(m, Missing::Budget { .. }));
        Claim {
            claim,
            probe: self.probe.to_owned(),
            level,
            method,
            alpha: Some(self.alpha()),
            assumption: self.assumption(),
            n: totals.requests,
            trials: totals.windows,
            exposed: totals.exposed,
            value,
            bound,
            holds: match open {
                _ if self.ruling.refuted.iter().any(|refuted| *refuted != Refuted::Betting) => Holds::No,
                true => Holds::Undecided,
                false => Holds::Yes,
            },
        }
    }

    fn assumption(&self) -> Option<String> {
        match &self.slo.evidence {
            Evidence::Observed => None,
            Evidence::HarmlessKills { .. } => Some("later kills are like these".into()),
            Evidence::Availability { worst_loss_per_kill, source } => Some(format!(
                "no kill costs more than {} (declared: {source})",
                counted(*worst_loss_per_kill, "request")
            )),
        }
    }

    fn harmless_words(&self) -> String {
        let Evidence::HarmlessKills { share, max_loss } = &self.slo.evidence else {
            return String::new();
        };
        format!("at least {share} of such kills {}", self.cost_words(*max_loss))
    }

    /// `cost no request`, or `cost at most 3 requests (failed or too slow)`.
    fn cost_words(&self, max_loss: u64) -> String {
        let cost = match max_loss {
            0 => "no request".to_owned(),
            max_loss => format!("at most {}", counted(max_loss, "request")),
        };
        let slow = matches!(self.claim, ClaimSpec::Latency { .. });
        format!("cost {cost}{}", if slow { " (failed or too slow)" } else { "" })
    }
}
