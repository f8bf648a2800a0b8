//! The rule itself, for one promise: from the kill windows to refuted, certified or neither, with the figures. Pure
//! numbers; it knows nothing of probes, pods or sentences. The simulation of error rates runs exactly this.

mod quiet;

pub use quiet::{PhaseLimit, PhaseRuling, PhaseTerms, RecoveryRuling, Slice, phase, recovery};

use crate::model::Evidence;
use crate::stats::{
    AvailabilityTerms, Betting, HarmlessTerms, clopper_pearson_lower, clopper_pearson_upper, hoeffding_bentkus,
    kills_for_availability, kills_for_harmless,
};

/// Shares are given in millionths, so products of them may miss the border by some units in the last place.
const ROUNDING: f64 = 1e-9;
/// The part of α that is set aside for the recovery: it must notice an outage and not a share, so little is enough.
const RECOVERY: f64 = 0.2;

/// What one promise is held to.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// `q`: share of requests that may be bad.
    pub budget: f64,
    /// `α`: probability of a false certificate.
    pub alpha: f64,
    /// `m`: tests over kill windows that can fail the run by chance, of all its promises. Divides α for failing only.
    pub tests: usize,
    /// What a pass must prove.
    pub evidence: Evidence,
}

/// One kill window (trial) as one promise sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// `w`: requests due in it.
    pub requests: u64,
    /// Kills in it: more than one where they came before the replacement of the one before was Ready.
    pub kills: u64,
    /// Bad requests that are certainly the system's doing: the reading when we try to fail.
    pub bad_for_sure: u64,
    /// With every request of unknown outcome counted as bad: the reading when we try to pass.
    pub bad_at_worst: u64,
    /// Whether the promise's traffic is known to have met a victim of this window.
    pub exposed: bool,
}

/// Sums over the windows of one promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// `n`.
    pub requests: u64,
    /// `Σx` when we try to fail.
    pub bad_for_sure: u64,
    /// `Σx` when we try to pass.
    pub bad_at_worst: u64,
    /// Windows.
    pub windows: u64,
    /// `K`: exposed windows.
    pub exposed: u64,
}

/// What the rule says of one promise.
#[derive(Debug, Clone, PartialEq)]
pub struct Ruling {
    /// The sums.
    pub totals: Totals,
    /// The largest betting wealth at any window's end, and what refutes.
    pub e_value: f64,
    /// One over the part of α that the test has.
    pub e_threshold: f64,
    /// The figure of the certified claim: an upper bound of the share of bad kills, or a p-value. `None` for `observed`.
    pub certificate: Option<Certificate>,
    /// Why the promise is refuted, in the order of the rule; empty: it is not.
    pub refuted: Vec<Refuted>,
    /// Why it may not pass although it is not refuted; empty: it passes.
    pub missing: Vec<Missing>,
}

/// The figure that certifies a claim, and what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Certificate {
    /// Clopper-Pearson upper bound of the share of exposed kills that cost more than `maxLoss`.
    HarmlessKills {
        /// Exposed kills that cost more, unknown requests counted as bad.
        bad: u64,
        /// Those of them that cost more only because unknown requests are counted as bad.
        unknown: u64,
        /// Unexposed kills that cost more: each counts as one more bad one.
        elsewhere: u64,
        /// The upper bound.
        upper: f64,
        /// What it must not exceed.
        limit: f64,
    },
    /// Hoeffding-Bentkus p-value of "the mean loss of an exposed kill is not below the budget". Losses of unexposed ones count.
    Availability {
        /// Requests of the windows of exposed kills: the budget is a share of these, not of all.
        requests: u64,
        /// `b`: the budget of one exposed kill, by the requests of their windows alone.
        budget_per_kill: f64,
        /// The p-value.
        p: f64,
        /// What it must not exceed.
        alpha: f64,
    },
}

/// Why a promise is refuted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refuted {
    /// A window lost more than the declared worst loss, which was part of the hypothesis.
    WorstLoss {
        /// Number of the window, from 0.
        window: usize,
        /// Its bad requests.
        lost: u64,
        /// What was declared, for all of its kills.
        declared: u64,
    },
    /// The test by betting.
    Betting,
    /// More exposed kills were bad than chance explains.
    HarmlessKills {
        /// Exposed kills that cost more than `maxLoss`.
        bad: u64,
        /// Clopper-Pearson lower bound of their share, at α/m.
        lower: f64,
        /// What it exceeds.
        limit: f64,
    },
}

/// What is missing for a pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Missing {
    /// More bad requests than the promise allows, though not beyond chance.
    Budget {
        /// Bad requests, unknown ones not counted.
        bad: u64,
        /// How many were allowed.
        allowed: f64,
    },
    /// Requests: not even one bad one would be within the budget, so none shows nothing.
    Requests {
        /// Requests there were.
        requests: u64,
        /// More needed.
        more: u64,
    },
    /// Counting requests of unknown outcome as bad decides the claim.
    Lag {
        /// Requests of unknown outcome.
        unknown: u64,
    },
    /// Exposed kills: so many more, if they cost nothing.
    Exposure {
        /// Exposed kills.
        exposed: u64,
        /// Kill windows in all.
        windows: u64,
        /// More exposed kills needed; `None`: no number is enough.
        more: Option<u64>,
    },
    /// Kills: so many more, if they cost nothing.
    Kills {
        /// Exposed kills.
        exposed: u64,
        /// More needed; `None`: no number is enough.
        more: Option<u64>,
    },
    /// The budget of one kill is not below the declared worst loss: the declaration would be the proof.
    DeclarationIsProof {
        /// `M`.
        declared: u64,
        /// `b`.
        budget_per_kill: f64,
    },
}

/// Tests over kill windows that can fail one promise by chance: by betting, and of harmless kills where they are claimed. A
/// declared worst loss that is exceeded is no chance. The test by betting counts once however often it is asked.
pub const fn chances_to_fail(evidence: &Evidence) -> usize {
    match evidence {
        Evidence::Observed | Evidence::Availability { .. } => 1,
        Evidence::HarmlessKills { .. } => 2,
    }
}

/// The part of α of one of so many tests over kill windows.
pub fn alpha_of_kills(alpha: f64, tests: usize) -> f64 {
    (1.0 - RECOVERY) * alpha / tests.max(1) as f64
}

/// The betting wealth that refutes, beside so many tests over kill windows, of which it is one.
pub fn betting_threshold(alpha: f64, tests: usize) -> f64 {
    1.0 / alpha_of_kills(alpha, tests)
}

/// The part of α of the recovery of one promise, beside so many tests over kill windows: there is at least one for each. Its own two
/// tests share it.
pub fn alpha_of_recovery(alpha: f64, tests: usize) -> f64 {
    RECOVERY * alpha / tests.max(1) as f64
}

/// Decides one promise. The number of kills, the phases and the record itself are judged elsewhere.
pub fn rule(terms: &Terms, windows: &[Window]) -> Ruling {
    let totals = Totals::of(windows);
    let betting = bet(terms.budget, windows);
    let certified = certify(terms, windows, &totals);
    let mut missing = observed(terms.budget, &totals);
    let lag_said = matches!(missing[..], [Missing::Lag { .. }]);
    missing.extend(certified.missing.filter(|more| !(lag_said && matches!(more, Missing::Lag { .. }))));
    let e_threshold = betting_threshold(terms.alpha, terms.tests);
    let betting_refutes = (betting.highest() >= e_threshold).then_some(Refuted::Betting);
    let refuted = [worst_loss(terms, windows), betting_refutes, certified.refuted].into_iter().flatten().collect();
    Ruling { totals, e_value: betting.highest(), e_threshold, certificate: certified.figure, refuted, missing }
}

/// The betting test alone, after the windows that are over so far: what may stop a run as failed.
pub fn bet(budget: f64, windows: &[Window]) -> Betting {
    let mut betting = Betting::against(budget);
    for window in windows {
        betting.observe(window.requests, window.bad_for_sure);
    }
    betting
}

struct Certified {
    figure: Option<Certificate>,
    refuted: Option<Refuted>,
    missing: Option<Missing>,
}

fn observed(budget: f64, totals: &Totals) -> Vec<Missing> {
    let allowed = budget * totals.requests as f64;
    let within = |bad: u64| bad as f64 <= allowed + ROUNDING;
    if within(totals.bad_at_worst) {
        let more = requests_for(budget).saturating_sub(totals.requests);
        // Without a kill window there are no requests to count: what is missing then is kills.
        if more > 0 && totals.windows > 0 {
            vec![Missing::Requests { requests: totals.requests, more }]
        } else {
            Vec::new()
        }
    } else if within(totals.bad_for_sure) {
        vec![Missing::Lag { unknown: totals.bad_at_worst - totals.bad_for_sure }]
    } else {
        vec![Missing::Budget { bad: totals.bad_for_sure, allowed }]
    }
}

/// The least number of requests that can show a promise: one of them may be bad.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
pub fn requests_for(budget: f64) -> u64 {
    (1.0 / budget - ROUNDING).ceil() as u64
}

fn worst_loss(terms: &Terms, windows: &[Window]) -> Option<Refuted> {
    let Evidence::Availability { worst_loss_per_kill, .. } = terms.evidence else {
        return None;
    };
    let bound = |window: &Window| worst_loss_per_kill.saturating_mul(window.kills);
    let (window, lost) = windows.iter().enumerate().find(|(_, window)| window.bad_for_sure > bound(window))?;
    Some(Refuted::WorstLoss { window, lost: lost.bad_for_sure, declared: bound(lost) })
}

fn certify(terms: &Terms, windows: &[Window], totals: &Totals) -> Certified {
    match &terms.evidence {
        Evidence::Observed => Certified { figure: None, refuted: None, missing: None },
        Evidence::HarmlessKills { share, max_loss } => certify_harmless(terms, share.complement(), *max_loss, windows),
        Evidence::Availability { worst_loss_per_kill, .. } => {
            certify_availability(terms, *worst_loss_per_kill, windows, totals)
        }
    }
}

fn certify_harmless(terms: &Terms, limit: f64, max_loss: u64, windows: &[Window]) -> Certified {
    let kills = windows.iter().filter(|window| window.exposed).count() as u64;
    let count = |exposed: bool, loss: fn(&Window) -> u64| {
        windows.iter().filter(|window| window.exposed == exposed && loss(window) > max_loss).count() as u64
    };
    let (at_worst, for_sure) = (count(true, |w| w.bad_at_worst), count(true, |w| w.bad_for_sure));
    // What a window lost may be the doing of the kill before. Nobody else would count it here.
    let elsewhere = count(false, |w| w.bad_at_worst);
    let upper_of = |bad: u64| clopper_pearson_upper(bad, kills, terms.alpha);
    let upper = upper_of(at_worst + elsewhere);
    let lower = clopper_pearson_lower(for_sure, kills, alpha_of_kills(terms.alpha, terms.tests));
    let certified = |upper: f64| kills > 0 && upper <= limit + ROUNDING;
    let sure = for_sure + count(false, |w| w.bad_for_sure);
    let missing = if certified(upper) {
        None
    } else if certified(upper_of(sure)) {
        Some(Missing::Lag { unknown: windows.iter().map(|w| w.bad_at_worst - w.bad_for_sure).sum() })
    } else {
        let needed = kills_for_harmless(HarmlessTerms { bad_share: limit, alpha: terms.alpha }, sure);
        Some(too_few(kills, windows.len() as u64, needed))
    };
    Certified {
        figure: Some(Certificate::HarmlessKills {
            bad: at_worst,
            unknown: at_worst - for_sure,
            elsewhere,
            upper,
            limit,
        }),
        refuted: (lower > limit + ROUNDING).then_some(Refuted::HarmlessKills { bad: for_sure, lower, limit }),
        missing,
    }
}

fn certify_availability(terms: &Terms, per_kill: u64, windows: &[Window], totals: &Totals) -> Certified {
    let kills = totals.exposed;
    // One bound for all windows, so that of the one with the most kills.
    let declared = per_kill.saturating_mul(windows.iter().map(|window| window.kills).max().unwrap_or(1));
    // Requests of the other windows would be a budget that exposed kills had no chance to spend: the fewer of them, the less
    // it would take.
    let requests: u64 = windows.iter().filter(|window| window.exposed).map(|window| window.requests).sum();
    let budget_per_kill = if kills == 0 { 0.0 } else { terms.budget * requests as f64 / kills as f64 };
    let p_of = |loss: fn(&Window) -> u64| {
        let bounded = windows.iter().all(|window| loss(window) <= declared);
        let total = windows.iter().map(loss).sum();
        if bounded { hoeffding_bentkus(total, declared, kills, budget_per_kill) } else { 1.0 }
    };
    let p = p_of(|w| w.bad_at_worst);
    let missing = if p <= terms.alpha {
        None
    } else if kills > 0 && declared as f64 <= budget_per_kill {
        Some(Missing::DeclarationIsProof { declared, budget_per_kill })
    } else if p_of(|w| w.bad_for_sure) <= terms.alpha {
        Some(Missing::Lag { unknown: totals.bad_at_worst - totals.bad_for_sure })
    } else {
        let sought = AvailabilityTerms { max: declared, budget: budget_per_kill, alpha: terms.alpha };
        Some(too_few(kills, totals.windows, kills_for_availability(sought, totals.bad_for_sure)))
    };
    let figure = Certificate::Availability { requests, budget_per_kill, p, alpha: terms.alpha };
    Certified { figure: Some(figure), refuted: None, missing }
}

/// Whether more kills or more exposure is what is missing: if all windows had been exposed, would there have been enough?
fn too_few(exposed: u64, windows: u64, needed: Option<u64>) -> Missing {
    let more = needed.map(|needed| needed.saturating_sub(exposed).max(1));
    if exposed == 0 || (exposed < windows && needed.is_some_and(|needed| needed <= windows)) {
        Missing::Exposure { exposed, windows, more }
    } else {
        Missing::Kills { exposed, more }
    }
}

impl Totals {
    /// Of these windows.
    pub fn of(windows: &[Window]) -> Self {
        let mut totals = Self { windows: windows.len() as u64, ..Self::default() };
        for window in windows {
            totals.requests += window.requests;
            totals.bad_for_sure += window.bad_for_sure;
            totals.bad_at_worst += window.bad_at_worst;
            totals.exposed += u64::from(window.exposed);
        }
        totals
    }
}

impl Ruling {
    /// Whether everything asked for is shown.
    pub const fn holds(&self) -> bool {
        self.refuted.is_empty() && self.missing.is_empty()
    }
}
