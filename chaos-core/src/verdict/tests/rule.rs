//! The rule on plain numbers: borders, readings of unknown slots, exposure, and what it would take.

use crate::model::Evidence;
use crate::verdict::rule::{Certificate, Missing, Refuted, Ruling, Terms, Window, rule};

fn window(requests: u64, bad: u64) -> Window {
    Window { requests, kills: 1, bad_for_sure: bad, bad_at_worst: bad, exposed: true }
}

/// `good` windows of 200 requests without loss, then these.
fn windows(good: usize, then: &[Window]) -> Vec<Window> {
    let mut windows = vec![window(200, 0); good];
    windows.extend_from_slice(then);
    windows
}

fn terms(evidence: Evidence) -> Terms {
    Terms { budget: 0.001, alpha: 0.05, tests: 1, evidence }
}

fn harmless(share: &str, max_loss: u64) -> Terms {
    terms(Evidence::HarmlessKills { share: share.parse().unwrap(), max_loss })
}

fn availability(worst_loss_per_kill: u64) -> Terms {
    terms(Evidence::Availability { worst_loss_per_kill, source: "drained by the gateway".into() })
}

fn passes(terms: &Terms, windows: &[Window]) -> bool {
    rule(terms, windows).holds()
}

#[test]
fn observed_passes_up_to_the_budget_and_not_above() {
    let terms = terms(Evidence::Observed);
    // 50 windows of 200: a budget of exactly 10, spent evenly.
    let spread = |bad: usize| {
        let mut all = windows(50, &[]);
        for i in 0..bad {
            (all[i * 50 / bad].bad_for_sure, all[i * 50 / bad].bad_at_worst) = (1, 1);
        }
        all
    };
    assert!(passes(&terms, &spread(10)));
    let over = rule(&terms, &spread(11));
    assert_eq!(over.missing, [Missing::Budget { bad: 11, allowed: 10.0 }]);
    assert_eq!(over.refuted, []);
}

#[test]
fn fewer_requests_than_could_bear_a_bad_one_show_nothing() {
    let terms = terms(Evidence::Observed);
    let of = |requests: u64| rule(&terms, &[window(requests, 0)]).missing;
    assert_eq!(of(999), [Missing::Requests { requests: 999, more: 1 }]);
    assert_eq!(of(1), [Missing::Requests { requests: 1, more: 999 }]);
    assert_eq!(of(1_000), []);
    let all_certified = Terms { budget: 0.001, ..harmless("90%", 0) };
    let short = vec![window(10, 0); 60];
    assert_eq!(rule(&all_certified, &short).missing, [Missing::Requests { requests: 600, more: 400 }]);
}

#[test]
fn unknown_slots_are_bad_for_a_pass_and_good_for_a_fail() {
    let unknown = Window { requests: 200, kills: 1, bad_for_sure: 0, bad_at_worst: 200, exposed: true };
    for terms in [terms(Evidence::Observed), harmless("90%", 0), availability(4)] {
        let ruling = rule(&terms, &windows(60, &[unknown; 60]));
        assert_eq!(ruling.refuted, [], "{terms:?}");
        assert!(ruling.missing.contains(&Missing::Lag { unknown: 12_000 }), "{ruling:?}");
        assert!(!ruling.holds());
    }
    let one_late = Window { bad_at_worst: 1, ..window(200, 0) };
    let ruling = rule(&harmless("90%", 0), &windows(28, &[one_late]));
    assert_eq!(ruling.missing, [Missing::Lag { unknown: 1 }], "one late slot is a bad trial");
    assert!(passes(&harmless("90%", 0), &windows(45, &[one_late])), "which 46 trials can bear");
}

#[test]
fn harmless_kills_pass_at_the_numbers_of_the_rule() {
    for (share, bad, kills) in
        [("95%", 0, 59), ("95%", 1, 93), ("90%", 0, 29), ("90%", 1, 46), ("90%", 2, 61), ("99%", 0, 299)]
    {
        let terms = Terms { budget: 0.5, ..harmless(share, 0) };
        let bad_ones = vec![window(200, 1); bad];
        assert!(passes(&terms, &windows(kills - bad, &bad_ones)), "{share} {bad} of {kills}");
        let short = rule(&terms, &windows(kills - bad - 1, &bad_ones));
        let exposed = kills as u64 - 1;
        assert_eq!(short.missing, [Missing::Kills { exposed, more: Some(1) }], "{share} {bad} of {exposed}");
    }
}

#[test]
fn a_kill_may_cost_max_loss_and_no_more() {
    let terms = |max_loss| Terms { budget: 0.5, ..harmless("90%", max_loss) };
    let bad = |terms: &Terms| match rule(terms, &windows(29, &[window(200, 3)])).certificate {
        Some(Certificate::HarmlessKills { bad, .. }) => bad,
        other => panic!("{other:?}"),
    };
    assert_eq!((bad(&terms(2)), bad(&terms(3)), bad(&terms(4))), (1, 0, 0));
}

#[test]
fn a_pass_of_a_higher_level_includes_observed() {
    let every_fourth: Vec<Window> = (0..52).map(|i| window(200, u64::from(i % 4 == 3))).collect();
    let ruling = rule(&harmless("90%", 10), &every_fourth);
    assert!(matches!(ruling.certificate, Some(Certificate::HarmlessKills { bad: 0, upper, .. }) if upper < 0.1));
    assert_eq!(ruling.refuted, []);
    assert_eq!(ruling.missing, [Missing::Budget { bad: 13, allowed: 10.4 }]);
}

#[test]
fn harmless_kills_fail_beyond_chance() {
    // 14 of 59 bad where 5 % may be: the lower bound is far above. Each costs one of a budget of 11.8.
    let terms = Terms { budget: 0.01, ..harmless("95%", 0) };
    let ruling = rule(&terms, &windows(45, &[window(200, 1); 14]));
    assert!(
        matches!(ruling.refuted[..], [Refuted::HarmlessKills { bad: 14, lower, .. }] if lower > 0.14),
        "{ruling:?}"
    );
    let ruling = rule(&terms, &windows(53, &[window(200, 1); 6]));
    assert_eq!(ruling.refuted, [], "6 of 59 are not beyond chance");
}

#[test]
fn bonferroni_divides_alpha_for_failing_only() {
    let one = Terms { budget: 0.01, ..harmless("95%", 0) };
    let three = Terms { tests: 3, ..one.clone() };
    let border = (1..20).find(|bad| !rule(&one, &windows(59 - bad, &vec![window(200, 1); *bad])).refuted.is_empty());
    let border = border.unwrap();
    let at_border = windows(59 - border, &vec![window(200, 1); border]);
    assert_eq!(rule(&three, &at_border).refuted, []);
    assert!((rule(&three, &[]).e_threshold - 75.0).abs() < 1e-9);
    assert!((rule(&one, &[]).e_threshold - 25.0).abs() < 1e-9);
    for terms in [one, three] {
        assert!(passes(&terms, &windows(59, &[])), "a pass needs every claim at the whole α");
    }
}

#[test]
fn availability_passes_at_the_numbers_of_the_rule() {
    for (max, kills) in [(1, 14), (2, 29), (4, 59), (10, 149), (24, 358)] {
        assert!(passes(&availability(max), &windows(kills, &[])), "M {max}");
        let short = rule(&availability(max), &windows(kills - 1, &[]));
        assert_eq!(short.missing, [Missing::Kills { exposed: kills as u64 - 1, more: Some(1) }], "M {max}");
        let two = Window { kills: 2, ..window(200, 0) };
        assert!(
            !passes(&availability(max), &windows(kills - 1, &[two])),
            "M {max}: a window of two may cost twice as much"
        );
    }
}

#[test]
fn a_loss_above_the_declared_worst_one_fails() {
    let ruling = rule(&availability(4), &windows(100, &[window(200, 5)]));
    assert_eq!(ruling.refuted, [Refuted::WorstLoss { window: 100, lost: 5, declared: 4 }]);
    assert_eq!(rule(&availability(5), &windows(100, &[window(200, 5)])).refuted, []);
    let two_kills = Window { kills: 2, ..window(200, 8) };
    assert_eq!(rule(&availability(4), &windows(100, &[two_kills])).refuted, [], "the declaration is of one kill");
    let more = Window { kills: 2, ..window(200, 9) };
    let ruling = rule(&availability(4), &windows(100, &[more]));
    assert_eq!(ruling.refuted, [Refuted::WorstLoss { window: 100, lost: 9, declared: 8 }]);
    let unknown = Window { bad_at_worst: 5, ..window(200, 0) };
    let ruling = rule(&availability(4), &windows(100, &[unknown]));
    assert_eq!(ruling.refuted, [], "what is unknown refutes nothing");
    assert!(!ruling.holds(), "and proves nothing");
}

#[test]
fn the_declared_worst_loss_must_not_be_the_proof() {
    // 2,000 requests for each kill: a budget of 2. That only one in ten is exposed changes nothing.
    let mut windows = vec![window(2_000, 0); 100];
    for (i, window) in windows.iter_mut().enumerate() {
        window.exposed = i % 10 == 0;
    }
    let ruling = rule(&availability(2), &windows);
    let missing = Missing::DeclarationIsProof { declared: 2, budget_per_kill: 2.0 };
    assert_eq!(ruling.missing, [missing]);
}

#[test]
fn unexposed_kills_certify_nothing_but_their_losses_count() {
    let unexposed = Window { exposed: false, ..window(200, 0) };
    let ruling = rule(&harmless("90%", 0), &windows(20, &[unexposed; 30]));
    assert_eq!(ruling.missing, [Missing::Exposure { exposed: 20, windows: 50, more: Some(9) }]);
    let ruling = rule(&harmless("90%", 0), &[unexposed; 100]);
    assert_eq!(ruling.missing, [Missing::Exposure { exposed: 0, windows: 100, more: Some(29) }]);
    let lossy = Window { exposed: false, ..window(200, 20) };
    let ruling = rule(&terms(Evidence::Observed), &windows(50, &[lossy]));
    assert_eq!(ruling.totals.bad_for_sure, 20);
    assert!(!ruling.holds());
}

#[test]
fn what_is_lost_around_an_unexposed_kill_speaks_against_harmless_ones_too() {
    // What an exposed kill began may go on in the window of the unexposed one after it.
    let lossy = Window { exposed: false, ..window(200, 1) };
    let terms = Terms { budget: 0.5, ..harmless("95%", 0) };
    assert!(passes(&terms, &windows(59, &[Window { exposed: false, ..window(200, 0) }])));
    let ruling = rule(&terms, &windows(59, &[lossy; 59]));
    assert!(matches!(
        ruling.certificate,
        Some(Certificate::HarmlessKills { bad: 0, elsewhere: 59, upper, .. }) if upper >= 1.0
    ));
    assert!(!ruling.holds());
    assert_eq!(ruling.refuted, [], "whose doing it is nobody knows");
    // One more bad one takes 93 kills, as everywhere.
    assert!(!passes(&terms, &windows(92, &[lossy])) && passes(&terms, &windows(93, &[lossy])));
    let unknown = Window { exposed: false, bad_at_worst: 1, ..window(200, 0) };
    assert_eq!(rule(&terms, &windows(59, &[unknown])).missing, [Missing::Lag { unknown: 1 }]);
}

#[test]
fn requests_around_unexposed_kills_are_no_budget_of_the_exposed_ones() {
    let unexposed = Window { exposed: false, ..window(200, 0) };
    let of = |exposed: usize, others: usize| {
        let windows = windows(exposed, &vec![unexposed; others]);
        rule(&availability(1), &windows).missing
    };
    // Any of these nine windows loses a request with probability 0.2 at a truth of 99.9 %: none does in 13 % of the runs.
    assert_eq!(of(2, 7), [Missing::Kills { exposed: 2, more: Some(12) }]);
    assert_eq!(of(2, 12), [Missing::Exposure { exposed: 2, windows: 14, more: Some(12) }]);
    assert_eq!(of(14, 30), []);
    // Whoever meets fewer kills has proved no more.
    for exposed in 1..14 {
        assert!(!of(exposed, 14 - exposed).is_empty(), "{exposed} exposed kills");
    }
    let lossy = Window { exposed: false, ..window(200, 1) };
    assert!(!passes(&availability(1), &windows(14, &[lossy])), "a loss counts wherever it is");
}

#[test]
fn betting_refutes_what_is_far_from_the_promise_and_remembers_it() {
    let mut burning = vec![window(200, 20); 10];
    let ruling = rule(&terms(Evidence::Observed), &burning);
    assert_eq!(ruling.refuted, [Refuted::Betting]);
    burning.extend(windows(5_000, &[]));
    let healed = rule(&terms(Evidence::Observed), &burning);
    assert!(200.0 <= healed.totals.requests as f64 * 0.001, "over all windows the promise is kept");
    assert_eq!(healed.refuted, [Refuted::Betting], "but it was refuted at a look that was allowed");
}

#[test]
fn nothing_is_proved_by_nothing() {
    for evidence in [harmless("90%", 0), availability(4)] {
        let Ruling { refuted, missing, .. } = rule(&evidence, &[]);
        assert_eq!(refuted, []);
        assert!(!missing.is_empty());
    }
}

#[test]
fn missing_kills_take_the_losses_that_were_seen_into_account() {
    let ruling = rule(&availability(4), &windows(58, &[window(200, 1)]));
    let [Missing::Kills { exposed: 59, more: Some(more) }] = ruling.missing[..] else {
        panic!("{ruling:?}");
    };
    let enough = windows(58 + usize::try_from(more).unwrap(), &[window(200, 1)]);
    assert!(passes(&availability(4), &enough), "{more} more are enough");
    assert!(more < 60, "{more} are not far too many");
}
