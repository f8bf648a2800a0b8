//! Prints the error rates of the verdict rule as Markdown: `cargo run --release -p chaos-core --example error-rates
//! [RUNS] > docs/error-rates.md`. Every cell runs the rule that judges real runs; the truth is known. The exit code says
//! whether every bar held.

#![expect(clippy::print_stdout, reason = "a program whose product is its output")]
#![expect(clippy::disallowed_methods, reason = "a program around the crate, not a part of it")]

use std::process::ExitCode;

use chaos_core::model::Evidence;
use chaos_core::units::Percent;
use chaos_core::verdict::error_rates::{BackgroundCell, Cell, Counted, recoveries_refuted};
use chaos_core::verdict::simulation::{Background, Bursts, Gaps, Platform};
use chaos_core::verdict::whole_runs::{KILLS as KILLS_OF_A_RUN, Kind, PROMISE, WholeCell};

const KILLS: [usize; 4] = [30, 59, 120, 300];
const SEED: u64 = 20_261_123;
const GRID: [(Bursts, &str, f64); 8] = [
    (Bursts::Fixed, "fixed", 0.01),
    (Bursts::Fixed, "fixed", 0.05),
    (Bursts::Fixed, "fixed", 0.30),
    (Bursts::Fixed, "fixed", 1.0),
    (Bursts::Exponential, "exponential", 0.01),
    (Bursts::Exponential, "exponential", 0.05),
    (Bursts::Exponential, "exponential", 0.30),
    (Bursts::Exponential, "exponential", 1.0),
];

fn main() -> ExitCode {
    let runs = std::env::args().nth(1).and_then(|runs| runs.parse().ok()).unwrap_or(10_000);
    println!("# Error rates of the verdict rule\n");
    println!(
        "{runs} simulated runs a cell: 200 requests and one kill a second, 99.9 % promised, α = 5 %, seed {SEED}. Every \
         cell runs `chaos_core::verdict::rule`, the code that judges real runs, or all of `judge` where the table says \
         so. All figures are percent of runs.\n\n\
         Regenerate: `cargo run --release -p chaos-core --example error-rates > docs/error-rates.md`.\n"
    );
    // Errors that no bar holds, each named with its figure and the reason.
    let mut without = Vec::new();
    let mut broken: usize = [
        grid(runs),
        truth_at_the_promise(runs),
        hard_platforms(runs),
        uneven_gaps(runs, &mut without),
        weak_load_generator(runs),
        background_bursts(runs),
        whole_runs(runs, &mut without),
    ]
    .iter()
    .sum();
    wrong_declaration(runs);
    observed(runs);
    broken += harmless(runs) + power(runs);
    println!(
        "\n**Bars**: a cell breaks its bar when the 99.9 % lower bound of its share of errors exceeds α, or \
         when it finds too few of what it must find (see the bars there). A wrong declaration is not covered, and `observed` \
         certifies nothing, so their tables have none. Broken: {broken}; without a bar: {} ({}).",
        without.len(),
        without.join("; ")
    );
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn own(platform: Platform, kills: usize) -> Cell {
    Cell::availability(platform, platform.worst_loss(), kills)
}

fn heading(title: &str, head: &str) {
    println!("\n## {title}\n\n{head}");
    println!("|{}", "---|".repeat(head.matches('|').count() - 1));
}

fn percent(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A platform whose true worst loss is declared, with each number of kills.
fn of_each_length(platform: Platform, runs: u64) -> [Counted; KILLS.len()] {
    KILLS.map(|kills| own(platform, kills).count(runs, SEED))
}

fn worst(cells: &[Counted], percent_of: fn(&Counted) -> f64) -> String {
    percent(cells.iter().map(percent_of).fold(0.0, f64::max))
}

/// In how many of these cells such runs are more than the bar allows.
fn broken(cells: &[Counted], runs_of: fn(&Counted) -> u64) -> usize {
    cells.iter().filter(|cell| cell.breaks_the_bar(runs_of(cell))).count()
}

/// The table of the rule: truth 99.88 % must not pass, truth 99.95 % must not fail.
fn grid(runs: u64) -> usize {
    heading(
        "Certified availability: truth below and above the promise",
        "| bursts, P(bad kill), M at 99.88 % / 99.95 % | false pass, worst K | pass at K = 30 / 59 / 120 / 300, truth 99.95 % | false fail, worst K |",
    );
    let mut found = 0;
    for (bursts, name, bad_share) in GRID {
        let (below, above) = (Platform::of(0.9988, bursts, bad_share), Platform::of(0.9995, bursts, bad_share));
        let missed = of_each_length(below, runs);
        let kept = of_each_length(above, runs);
        found += broken(&missed, |cell| cell.passed) + broken(&kept, |cell| cell.failed);
        let passes: Vec<String> = kept.iter().map(|cell| percent(cell.passed_percent())).collect();
        println!(
            "| {name}, {} %, {}/{} | {} | {} | {} |",
            bad_share * 100.0,
            below.worst_loss(),
            above.worst_loss(),
            worst(&missed, Counted::passed_percent),
            passes.join(" / "),
            worst(&kept, Counted::failed_percent),
        );
    }
    found
}

fn truth_at_the_promise(runs: u64) -> usize {
    heading(
        "Truth exactly 99.90 %: the border, where each answer may come at most α of the time",
        "| bursts, P(bad kill), M | pass, worst K | fail, worst K |",
    );
    let mut found = 0;
    for (bursts, name, bad_share) in GRID {
        let platform = Platform::of(0.999, bursts, bad_share);
        let cells = of_each_length(platform, runs);
        found += broken(&cells, |cell| cell.passed) + broken(&cells, |cell| cell.failed);
        println!(
            "| {name}, {} %, {} | {} | {} |",
            bad_share * 100.0,
            platform.worst_loss(),
            worst(&cells, Counted::passed_percent),
            worst(&cells, Counted::failed_percent),
        );
    }
    found
}

/// What broke simpler rules: many small and rare large bursts; kills that the traffic does not meet.
fn hard_platforms(runs: u64) -> usize {
    heading("Many small and rare large bursts; half of the kills unexposed (M true)", &hard_head("platform"));
    let mixed = |truth, bad_share| Platform::of(truth, Bursts::Mixed, bad_share);
    let half = |truth, bad_share| Platform { exposed_share: 0.5, ..Platform::of(truth, Bursts::Fixed, bad_share) };
    hard_row(runs, "mixed bursts, 5 % of kills bad", |truth| mixed(truth, 0.05))
        + hard_row(runs, "mixed bursts, 30 % of kills bad", |truth| mixed(truth, 0.30))
        + hard_row(runs, "half unexposed, 5 % of kills bad", |truth| half(truth, 0.05))
        + hard_row(runs, "half unexposed, 30 % of kills bad", |truth| half(truth, 0.30))
}

/// Windows of any length: what a kill costs has nothing to do with when the next one comes.
fn uneven_gaps(runs: u64, without: &mut Vec<String>) -> usize {
    heading(
        "Uneven gaps between kills: exponential beyond the least one (fixed bursts, 30 % of kills bad, M true)",
        &hard_head("gaps: least, mean"),
    );
    let uneven = |truth, least, mean| Platform::uneven(truth, Bursts::Fixed, 0.3, Gaps::Exponential { least, mean });
    // The gaps of the demonstration; wilder ones; and those that the page of the rule names as its limit.
    hard_row(runs, "0.4 s, 0.8 s", |truth| uneven(truth, 80, 160))
        + hard_row(runs, "0.1 s, 1 s", |truth| uneven(truth, 20, 200))
        + hard_row(runs, "0.1 s, 30 s", |truth| uneven(truth, 20, 6_000))
        + uneven_gaps_at_the_limit(runs, without)
}

fn hard_head(first: &str) -> String {
    format!(
        "| {first} | false pass at 99.88 %, worst K | pass at 99.90 %, worst K | fail at 99.90 %, worst K | false fail at \
         99.95 %, worst K | pass at K = 30 / 59 / 120 / 300, truth 99.95 % |"
    )
}

/// One platform below, at and above the promise.
fn hard_row(runs: u64, name: &str, platform: impl Fn(f64) -> Platform) -> usize {
    let cells = |truth: f64| of_each_length(platform(truth), runs);
    let (below, at, above) = (cells(0.9988), cells(0.999), cells(0.9995));
    let passes: Vec<String> = above.iter().map(|cell| percent(cell.passed_percent())).collect();
    println!(
        "| {name} | {} | {} | {} | {} | {} |",
        worst(&below, Counted::passed_percent),
        worst(&at, Counted::passed_percent),
        worst(&at, Counted::failed_percent),
        worst(&above, Counted::failed_percent),
        passes.join(" / ")
    );
    broken(&below, |cell| cell.passed)
        + broken(&at, |cell| cell.passed)
        + broken(&at, |cell| cell.failed)
        + broken(&above, |cell| cell.failed)
}

/// The limit of the test by betting that `docs/verdict-rule.md` names: at the promise itself it has no bar, above it has.
fn uneven_gaps_at_the_limit(runs: u64, without: &mut Vec<String>) -> usize {
    let gaps = Gaps::Exponential { least: 20, mean: 6_000 };
    let cell = |truth| {
        Cell { platform: Platform::uneven(truth, Bursts::Fixed, 1.0, gaps), evidence: Evidence::Observed, kills: 300 }
            .count(runs, SEED)
    };
    let (at, above) = (cell(0.999), cell(0.9995));
    println!(
        "\nWhere every kill costs the same (0.03 s of requests at 99.90 %), short windows that come before any long one \
         weigh too much: at gaps of 0.1 s and 30 s, 300 kills, {} fail at exactly 99.90 % (which has no bar), and {} at \
         99.95 %.",
        percent(at.failed_percent()),
        percent(above.failed_percent())
    );
    without.push(format!(
        "fail at exactly 99.90 % where every kill costs the same at gaps of 0.1 s and 30 s, {} %, because what short windows \
         lose is measured by them until there was a long one",
        percent(at.failed_percent())
    ));
    usize::from(above.breaks_the_bar(above.failed))
}

/// A load generator that does not send in time must neither pass a bad platform nor fail a good one.
fn weak_load_generator(runs: u64) -> usize {
    heading(
        "A load generator that starves (fixed bursts, 30 % of kills bad, K = 120)",
        "| unsent | pass, truth 99.88 % | fail, truth 99.95 % | inconclusive, truth 99.95 % |",
    );
    let mut broken = 0;
    for unsent_share in [0.0001, 0.001, 0.01, 0.1] {
        let cell = |truth| {
            let platform = Platform { unsent_share, ..Platform::of(truth, Bursts::Fixed, 0.3) };
            own(platform, 120).count(runs, SEED)
        };
        let (bad, good) = (cell(0.9988), cell(0.9995));
        broken += usize::from(bad.breaks_the_bar(bad.passed)) + usize::from(good.breaks_the_bar(good.failed));
        println!(
            "| {} % | {} | {} | {} |",
            unsent_share * 100.0,
            percent(bad.passed_percent()),
            percent(good.failed_percent()),
            percent(100.0 - good.passed_percent() - good.failed_percent())
        );
    }
    broken
}

/// Bursts that no kill causes must not fail a run on a platform that keeps its promise, and the bets on its recovery must not refute
/// more of them than their own part of α. That one is not begun costs no pod, only a second try, and has no bar.
fn background_bursts(runs: u64) -> usize {
    heading(
        "Bursts in the background: 59 kills that cost nothing, `observed`; baseline 10 s, recovery 10 s, 100 requests a second",
        "| truth, requests of a burst | false fail | of these by bets on the recovery (bar: 0.5) | not begun (`NotSteady`) | pass | recovery inconclusive, where a binomial bound would fail |",
    );
    let mut broken = 0;
    for truth in [0.9995, 0.999] {
        for burst in [1, 5, 20, 100] {
            let cell = BackgroundCell { background: Background::of(truth, burst), kills: 59 }.count(runs, SEED);
            broken += usize::from(cell.counted.breaks_the_bar(cell.counted.failed));
            broken += usize::from(cell.bets_break_their_bar());
            println!(
                "| {:.2} %, {burst} | {} | {} | {} | {} | {} |",
                truth * 100.0,
                percent(cell.counted.failed_percent()),
                percent(cell.counted.percent(cell.by_bets)),
                percent(cell.counted.percent(cell.not_steady)),
                percent(cell.counted.passed_percent()),
                percent(cell.counted.percent(cell.withheld))
            );
        }
    }
    broken
}

/// Not windows but records, which all of `judge` reads: where in time an outage is, and what the windows make of it.
fn whole_runs(runs: u64, without: &mut Vec<String>) -> usize {
    heading(
        "Whole runs, judged from their records",
        "| platform, truth | false pass | false fail | pass | inconclusive |",
    );
    let mut broken = 0;
    for kind in Kind::ALL {
        let name = match kind {
            Kind::HealsInItsWindow => "heals before the window ends",
            Kind::HealsInTheRun => "heals before the run ends, in the next window",
            Kind::Overlapping => "overlapping recoveries",
            Kind::SlowStarts => "slow starts",
            Kind::HalfUnexposed => "half of the victims unexposed",
        };
        for availability in [0.988, 0.99, 0.998] {
            let cell = WholeCell { kind, availability };
            let all = cell.count(runs, SEED);
            broken += usize::from(cell.breaks_its_bar(&all));
            let (passed, failed) = (percent(all.counted.passed_percent()), percent(all.counted.failed_percent()));
            if cell.may_fail_without_a_bar() {
                without.push(format!(
                    "false fail at {:.1} % where an outage {name}, {failed} %, because betting takes each window's loss to be \
                     within the promise whatever came before it",
                    availability * 100.0
                ));
            }
            println!(
                "| {name}, {:.1} % | {} | {} | {passed} | {} |",
                availability * 100.0,
                if availability < PROMISE.ratio() { passed.as_str() } else { "–" },
                if availability < PROMISE.ratio() { "–" } else { failed.as_str() },
                percent(all.counted.percent(all.inconclusive)),
            );
        }
    }
    println!(
        "\n{KILLS_OF_A_RUN} kills, 20 requests and one kill a second, 99 % promised, M true for each kill. Events go in, \
         the result of `judge` comes out. At the promise itself a pass has the bar of an error, too."
    );
    broken
}

fn wrong_declaration(runs: u64) {
    heading(
        "A wrong declaration is not covered: declared M = 4, true 24 (truth 99.88 %, 1 % of kills bad)",
        "| K | certified although untrue | failed |",
    );
    for kills in KILLS {
        let counted = Cell::availability(Platform::of(0.9988, Bursts::Fixed, 0.01), 4, kills).count(runs, SEED);
        println!("| {kills} | {} | {} |", percent(counted.passed_percent()), percent(counted.failed_percent()));
    }
}

fn observed(runs: u64) {
    heading(
        "`observed` certifies nothing: how often it passes",
        "| bursts, P(bad kill) | truth 99.88 % at K = 30 / 59 / 120 / 300 | truth 99.95 % at K = 30 / 59 / 120 / 300 |",
    );
    for (bursts, name, bad_share) in GRID {
        let passes = |truth| {
            let cell =
                |kills| Cell { platform: Platform::of(truth, bursts, bad_share), evidence: Evidence::Observed, kills };
            KILLS.map(|kills| percent(cell(kills).count(runs, SEED).passed_percent())).join(" / ")
        };
        println!("| {name}, {} % | {} | {} |", bad_share * 100.0, passes(0.9988), passes(0.9995));
    }
}

/// A certified claim as well: where more kills are bad than it says, it must not pass, and elsewhere it must not fail.
fn harmless(runs: u64) -> usize {
    let Ok(share) = "95%".parse::<Percent>() else { return 1 };
    heading(
        "`harmlessKills: {share: 95%, maxLoss: 0}` by the true share of bad kills (each costs one request)",
        "| bad kills | pass at K = 59 / 93 / 124 / 300 | fail at K = 59 / 93 / 124 / 300 |",
    );
    let mut found = 0;
    for bad_share in [0.0, 0.002, 0.01, 0.05, 0.10, 0.20] {
        let cell = |kills| {
            let mean_loss: f64 = bad_share;
            let platform = Platform { mean_loss, bad_share, ..Platform::of(0.9995, Bursts::Fixed, 1.0) };
            Cell { platform, evidence: Evidence::HarmlessKills { share, max_loss: 0 }, kills }.count(runs, SEED)
        };
        let cells = [59, 93, 124, 300].map(cell);
        let is_untrue = bad_share > share.complement();
        found += if is_untrue { broken(&cells, |cell| cell.passed) } else { broken(&cells, |cell| cell.failed) };
        println!(
            "| {} % | {} | {} |",
            bad_share * 100.0,
            cells.map(|cell| percent(cell.passed_percent())).join(" / "),
            cells.map(|cell| percent(cell.failed_percent())).join(" / ")
        );
    }
    found
}

fn power(runs: u64) -> usize {
    heading("Power at K = 59", "| platform | outcome wanted | percent of runs |");
    let tenth = Cell::availability(Platform::of(0.9999, Bursts::Fixed, 1.0), 1, 59).count(runs, SEED);
    let mut broken = usize::from(tenth.passed_percent() < 90.0);
    println!("| losses Bernoulli with mean b/10, M = 1 | pass (bar: 90) | {} |", percent(tenth.passed_percent()));
    for bad_share in [1.0, 0.30, 0.05] {
        let platform = Platform::of(0.99, Bursts::Fixed, bad_share);
        let counted = Cell { platform, evidence: Evidence::Observed, kills: 59 }.count(runs, SEED);
        let bar = if bad_share >= 1.0 { " (bar: 95)" } else { "" };
        broken += usize::from(bad_share >= 1.0 && counted.failed_percent() < 95.0);
        println!(
            "| truth 99.0 %, {} % of kills bad | fail{bar} | {} |",
            bad_share * 100.0,
            percent(counted.failed_percent())
        );
    }
    for (lost, bar) in [(0.05, " (bar: 95)"), (0.01, "")] {
        let refuted = recoveries_refuted(Background::of(1.0 - lost, 1), runs, SEED);
        let found = refuted as f64 * 100.0 / runs as f64;
        broken += usize::from(!bar.is_empty() && found < 95.0);
        println!(
            "| when the kills are over, {:.0} % of requests lost on, each on its own, for 10 s | fail{bar} | {} |",
            lost * 100.0,
            percent(found)
        );
    }
    broken
}
