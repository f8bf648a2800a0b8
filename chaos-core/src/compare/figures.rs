//! Figures that are compared kill by kill. Each is one of which less is better.

use super::{Figure, Standing, Unit};
use crate::result::{Distribution, KillRow, LossOf, RunResult, Second, Series};
use crate::stats::{fisher, permutation};

pub(super) const FISHER: &str = "Fisher's exact test over kill windows";
const PERMUTATION: &str = "permutation test over kill windows";

/// A duration of a kill, in microseconds.
type Span = fn(&KillRow) -> Option<u64>;

pub(super) fn figures(old: &RunResult, new: &RunResult) -> Vec<Figure> {
    let mut figures = Vec::new();
    for probe in new.probes.iter().filter(|probe| old.probes.iter().any(|other| other.probe == probe.probe)) {
        figures.extend(of_probe(&probe.probe, old, new));
    }
    let durations: [(&str, Span); 3] = [
        ("kill to endpoint out of service", |row| row.endpoint_out_us),
        ("kill to replacement Ready", |row| row.replacement_ready_us),
        ("kill to the last failed request", |row| row.last_failure_us),
    ];
    for (what, when) in durations {
        figures.extend(duration(what, when, old, new));
    }
    figures
}

/// Rows that begin a kill window, with what it cost this probe.
fn losses<'r>(result: &'r RunResult, probe: &'r str) -> impl Iterator<Item = (&'r KillRow, &'r LossOf)> {
    result.kill_rows.iter().filter_map(move |row| Some((row, row.losses.iter().find(|loss| loss.probe == probe)?)))
}

/// Those of which anything is known: a window without a request, or whose requests all have no known outcome, cost nothing that
/// anybody saw, and is no good one.
fn told<'r>(result: &'r RunResult, probe: &'r str) -> impl Iterator<Item = &'r LossOf> {
    losses(result, probe).map(|(_, loss)| loss).filter(|loss| known(loss) > 0)
}

fn known(loss: &LossOf) -> u64 {
    loss.requests.saturating_sub(loss.unknown)
}

fn of_probe(probe: &str, old: &RunResult, new: &RunResult) -> Vec<Figure> {
    let shares = |result: &RunResult| -> Vec<f64> {
        told(result, probe).map(|loss| loss.failed as f64 / known(loss) as f64).collect()
    };
    let bad = |result: &RunResult| told(result, probe).filter(|loss| loss.failed > 0 || loss.slow > 0).count() as u64;
    let windows = |result: &RunResult| told(result, probe).count() as u64;
    let (hits, n) = ([bad(old), bad(new)], [windows(old), windows(new)]);
    let mut figures = vec![
        Figure {
            method: FISHER,
            p: fisher(hits, n),
            ..blank(format!("{probe}, kills that cost a request"), Unit::Share)
        },
        means(format!("{probe}, failed requests in a kill window"), Unit::Share, &shares(old), &shares(new)),
    ];
    let share = |hits: u64, n: u64| if n == 0 { 0.0 } else { hits as f64 / n as f64 };
    (figures[0].old, figures[0].new, figures[0].kills) = (share(hits[0], n[0]), share(hits[1], n[1]), n);
    let (slowest_old, slowest_new) = (slowest(old, probe), slowest(new, probe));
    if !slowest_old.is_empty() && !slowest_new.is_empty() {
        let what = format!("{probe}, slowest second (p99) of a kill window");
        figures.push(means(what, Unit::Micros, &slowest_old, &slowest_new));
    }
    figures
}

/// For each kill window in which a whole second lies: the largest p99 of its seconds.
fn slowest(result: &RunResult, probe: &str) -> Vec<f64> {
    let Some(series) = result.series.iter().find(|series| series.probe == probe) else { return Vec::new() };
    let starts: Vec<u64> = losses(result, probe).map(|(row, _)| row.at_us).collect();
    let end = |i: usize| starts.get(i + 1).copied().unwrap_or(u64::MAX);
    let of_window = |(i, start): (usize, &u64)| within(series, *start, end(i)).map(|second| second.p99_us).max();
    starts.iter().enumerate().filter_map(of_window).filter(|p99| *p99 > 0).map(|p99| p99 as f64).collect()
}

fn within(series: &Series, start: u64, end: u64) -> impl Iterator<Item = &Second> {
    series.seconds.iter().filter(move |second| start <= second.at_us && second.at_us < end)
}

fn duration(what: &str, when: fn(&KillRow) -> Option<u64>, old: &RunResult, new: &RunResult) -> Option<Figure> {
    let of = |result: &RunResult| -> Vec<u64> {
        let done = result.kill_rows.iter().filter(|row| row.trial.is_some());
        done.filter_map(|row| Some(when(row)?.saturating_sub(row.at_us))).collect()
    };
    let (old, new) = (of(old), of(new));
    if old.is_empty() || new.is_empty() {
        return None;
    }
    let floats = |durations: &[u64]| durations.iter().map(|us| *us as f64).collect::<Vec<f64>>();
    let (p50, p95) = (
        [&old, &new].map(|d| Distribution::of(d.clone()).p50_us),
        [&old, &new].map(|d| Distribution::of(d.clone()).p95_us),
    );
    let millis = |us: u64| us as f64 / 1e3;
    let what = format!(
        "{what} (p50 {:.1} to {:.1} ms, p95 {:.1} to {:.1} ms)",
        millis(p50[0]),
        millis(p50[1]),
        millis(p95[0]),
        millis(p95[1])
    );
    Some(means(what, Unit::Micros, &floats(&old), &floats(&new)))
}

fn means(what: String, unit: Unit, old: &[f64], new: &[f64]) -> Figure {
    let mean = |values: &[f64]| if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 };
    Figure {
        old: mean(old),
        new: mean(new),
        kills: [old.len() as u64, new.len() as u64],
        method: PERMUTATION,
        p: permutation(old, new),
        ..blank(what, unit)
    }
}

/// To be filled.
fn blank(what: String, unit: Unit) -> Figure {
    Figure {
        what,
        old: 0.0,
        new: 0.0,
        unit,
        kills: [0, 0],
        method: "",
        p: 1.0,
        p_corrected: 1.0,
        standing: Standing::NoDifference,
        would_be_seen: None,
    }
}
