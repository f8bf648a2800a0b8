//! Prints values of the exact functions behind verdicts, one JSON array a line: name, arguments, value. `tests/scipy/check`
//! computes them again with SciPy and compares. Decides nothing itself.

#![allow(clippy::print_stdout, reason = "a program whose product is its output")]

use chaos_core::stats::{
    AvailabilityTerms, Betting, HarmlessTerms, at_least, at_most, bad_kills_allowed, clopper_pearson_lower,
    clopper_pearson_upper, fisher, hoeffding_bentkus, kills_for_availability, kills_for_harmless, kl, ln_probability,
};
use serde_json::{Value, json};

const TRIALS: [u64; 9] = [1, 2, 10, 29, 61, 300, 3_000, 100_000, 10_000_000];
const SHARES: [f64; 7] = [1e-6, 0.001, 0.01, 0.05, 0.3, 0.5, 0.97];
const ALPHAS: [f64; 4] = [0.05, 0.01, 0.001, 1e-6];

fn main() {
    let parts = [tails(), bounds(), means(), plans(), bets(), tables()];
    for line in parts.into_iter().flatten() {
        println!("{line}");
    }
}

/// Counts from none to all, around what is expected.
fn counts(n: u64, p: f64) -> Vec<u64> {
    let mean = n as f64 * p;
    let spread = (mean * (1.0 - p)).sqrt();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; `as` saturates")]
    let near = [-3.0, -1.0, 0.0, 1.0, 3.0].map(|times| (mean + times * spread).round() as u64);
    let mut counts: Vec<u64> = [0, 1, n].into_iter().chain(near).filter(|count| *count <= n).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn each_count() -> impl Iterator<Item = (u64, f64, u64)> {
    TRIALS
        .into_iter()
        .flat_map(|n| SHARES.into_iter().flat_map(move |p| counts(n, p).into_iter().map(move |hits| (n, p, hits))))
}

fn tails() -> Vec<Value> {
    let lines = each_count().flat_map(|(n, p, hits)| {
        [
            json!(["ln_probability", [n, p, hits], ln_probability(n, p, hits)]),
            json!(["at_most", [n, p, hits], at_most(n, p, hits)]),
            json!(["at_least", [n, p, hits], at_least(n, p, hits)]),
        ]
    });
    lines.collect()
}

fn bounds() -> Vec<Value> {
    let lines = each_count().flat_map(|(n, _, hits)| {
        ALPHAS.into_iter().flat_map(move |alpha| {
            [
                json!(["clopper_pearson_upper", [hits, n, alpha], clopper_pearson_upper(hits, n, alpha)]),
                json!(["clopper_pearson_lower", [hits, n, alpha], clopper_pearson_lower(hits, n, alpha)]),
            ]
        })
    });
    lines.collect()
}

fn means() -> Vec<Value> {
    let mut lines = Vec::new();
    for p in SHARES {
        lines.extend(SHARES.map(|q| json!(["kl", [p, q], kl(p, q)])));
    }
    for (max, trials, budget) in terms() {
        for total in [0, 1, 2, 3, 5, 11, 40] {
            lines.push(json!([
                "hoeffding_bentkus",
                [total, max, trials, budget],
                hoeffding_bentkus(total, max, trials, budget)
            ]));
        }
    }
    lines
}

/// Worst loss of a kill, kills, budget of a kill.
fn terms() -> impl Iterator<Item = (u64, u64, f64)> {
    [1, 2, 4, 10, 24, 67].into_iter().flat_map(|max| {
        [14, 30, 59, 120, 300, 2_995]
            .into_iter()
            .flat_map(move |kills| [0.05, 0.2, 0.9].into_iter().map(move |budget| (max, kills, budget)))
    })
}

fn plans() -> Vec<Value> {
    let mut lines = Vec::new();
    for alpha in ALPHAS {
        for bad_share in [0.2, 0.1, 0.05, 0.01] {
            let harmless = HarmlessTerms { bad_share, alpha };
            lines.extend(
                [0, 1, 2, 7].map(|bad| {
                    json!(["kills_for_harmless", [bad_share, alpha, bad], kills_for_harmless(harmless, bad)])
                }),
            );
            lines.extend([10, 29, 61, 124, 300].map(|kills| {
                json!(["bad_kills_allowed", [bad_share, alpha, kills], bad_kills_allowed(harmless, kills)])
            }));
        }
        for (max, _, budget) in terms().filter(|(_, kills, _)| *kills == 30) {
            let available = AvailabilityTerms { max, budget, alpha };
            lines.extend([0, 3].map(|total| {
                json!(["kills_for_availability", [max, budget, alpha, total], kills_for_availability(available, total)])
            }));
        }
    }
    lines
}

/// Requests of the windows from one kill to the next: a bet is measured by the longest so far, so some are longer than all before
/// them and others are not.
const LENGTHS: [fn(u64) -> u64; 3] = [
    |kill| 180 + kill,
    |kill| 420 - 10 * kill,
    // Down and up like gaps by chance, from none at all on.
    |kill| kill * 137 % 401,
];

fn bets() -> Vec<Value> {
    let terms = LENGTHS.into_iter().flat_map(|length| {
        [0.001, 0.01, 0.1].into_iter().flat_map(move |budget| [0, 1, 2, 9, 60].map(move |bad| (length, budget, bad)))
    });
    let lines = terms.map(|(length, budget, bad)| {
        let mut betting = Betting::against(budget);
        let windows: Vec<[u64; 2]> = (0..40)
            .map(|kill| (length(kill), if kill % 7 == 3 { bad } else { 0 }))
            .map(|(requests, bad)| [requests, bad.min(requests)])
            .collect();
        windows.iter().for_each(|[requests, bad]| betting.observe(*requests, *bad));
        json!(["betting", [budget, windows], [betting.e_value(), betting.highest()]])
    });
    lines.collect()
}

fn tables() -> Vec<Value> {
    let pairs = [[0, 59], [1, 59], [3, 61], [7, 61], [12, 30], [30, 30], [5, 300], [150, 300]];
    let lines = pairs.into_iter().flat_map(|[a, n]| {
        pairs.into_iter().map(move |[b, m]| json!(["fisher", [a, n, b, m], fisher([a, b], [n, m])]))
    });
    lines.collect()
}
