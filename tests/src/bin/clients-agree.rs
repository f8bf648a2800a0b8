//! Compares what the probe of a run measured with what another load generator measured beside it, and says where they differ.
//! Exit code 0: they agree; 1: they do not; 2: a record could not be read, or does not cover the run.
//!
//! Two clients x and y of one service agree when |Σ(x − y)| ≤ 3·√Σ(x − y)² over kill windows (from one kill to the next, the first
//! from the start of the fault phase, the last to the end of recovery), and when their p50 and p99 before the fault are within 5 % or
//! 1 ms.
//!
//! usage: clients-agree --result result.json --probe NAME --vegeta FILE
//!   --vegeta  `vegeta encode --to json` of an attack at the probe's rate, begun before the run and ended after it

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a small program for scripts")]

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Latencies that are this near are alike: their share and, in milliseconds, their difference.
const ALIKE: (f64, f64) = (0.05, 1.0);

/// A request of the other client.
struct Request {
    sent: Timestamp,
    /// The instant by whose window it counts: when it failed, unless it ran out of time, as the rule has it.
    counts_at: Timestamp,
    millis: f64,
    good: bool,
}

/// What the probe says of a kill window.
struct Window {
    from: Timestamp,
    /// Not part of it.
    to: Timestamp,
    failed: u64,
}

/// A run, as far as it is compared.
struct Run {
    started: Timestamp,
    /// Never empty; without gaps from the start of the fault phase to the end of recovery.
    windows: Vec<Window>,
    /// Good requests of the baseline in milliseconds: p50, p99.
    quiet: [f64; 2],
}

fn main() -> ExitCode {
    match compare(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn compare(mut args: impl Iterator<Item = String>) -> anyhow::Result<bool> {
    let [mut result, mut probe, mut vegeta] = [None, None, None];
    while let Some(flag) = args.next() {
        let value = Some(args.next().with_context(|| format!("{flag} wants a value"))?);
        match flag.as_str() {
            "--result" => result = value,
            "--probe" => probe = value,
            "--vegeta" => vegeta = value,
            _ => bail!("unknown argument {flag}; hint: see the head of this program's file"),
        }
    }
    let (Some(result), Some(probe), Some(vegeta)) = (result, probe, vegeta) else {
        bail!("--result, --probe and --vegeta are needed");
    };
    let run = run_of(&chaos_tests::json(&result)?, &probe)?;
    let requests = read_requests(&vegeta)?;
    let (first, last) = (requests.first(), requests.last());
    let covered = first.is_some_and(|first| first.sent <= run.started)
        && last.is_some_and(|last| run.windows.last().is_some_and(|window| last.sent >= window.to));
    ensure!(covered, "the requests of {vegeta} do not cover the run; hint: begin before it and end after it");
    let losses = agree_on_losses(&run, &requests);
    let latency = agree_on_latency(&run, &requests);
    Ok(losses && latency)
}

/// Bad requests of both, window by window.
fn losses(run: &Run, requests: &[Request]) -> Vec<[u64; 2]> {
    let theirs = |window: &Window| {
        requests.iter().filter(|r| !r.good && (window.from..window.to).contains(&r.counts_at)).count() as u64
    };
    run.windows.iter().map(|window| [window.failed, theirs(window)]).collect()
}

fn agree_on_losses(run: &Run, requests: &[Request]) -> bool {
    let (mut sum, mut squares, mut bad) = (0.0, 0.0, [0, 0]);
    for [ours, theirs] in losses(run, requests) {
        let apart = ours as f64 - theirs as f64;
        sum += apart;
        squares += apart * apart;
        bad = [bad[0] + ours, bad[1] + theirs];
    }
    let most = 3.0 * f64::sqrt(squares);
    let agree = sum.abs() <= most;
    println!(
        "{} windows: {} bad of the probe, {} of the other; |sum of differences| {:.0}, at most {most:.1}: {}",
        run.windows.len(),
        bad[0],
        bad[1],
        sum.abs(),
        told(agree)
    );
    agree
}

/// p50 and p99 of good requests before the fault.
fn agree_on_latency(run: &Run, requests: &[Request]) -> bool {
    let fault = run.windows[0].from;
    let quiet = requests.iter().filter(|r| r.good && (run.started..fault).contains(&r.sent));
    let mut millis: Vec<f64> = quiet.map(|request| request.millis).collect();
    millis.sort_by(f64::total_cmp);
    let mut all = true;
    for (name, percent, ours) in [("p50", 50, run.quiet[0]), ("p99", 99, run.quiet[1])] {
        let Some(theirs) = quantile(&millis, percent) else {
            println!("no good request of the other before the fault");
            return false;
        };
        let agree = (ours - theirs).abs() <= (ALIKE.0 * ours.max(theirs)).max(ALIKE.1);
        println!("{name} before the fault: probe {ours:.2} ms, other {theirs:.2} ms: {}", told(agree));
        all &= agree;
    }
    all
}

/// Nearest rank, of sorted values.
fn quantile(sorted: &[f64], percent: usize) -> Option<f64> {
    sorted.get((sorted.len() * percent).div_ceil(100).checked_sub(1)?).copied()
}

const fn told(agree: bool) -> &'static str {
    if agree { "they agree" } else { "THEY DIFFER" }
}

fn run_of(result: &Value, probe: &str) -> anyhow::Result<Run> {
    let started: Timestamp = result["run"]["startedAt"].as_str().context("no run.startedAt")?.parse()?;
    let at = |of: &Value, name: &str| {
        let micros = of[name].as_i64().with_context(|| format!("no {name} in {of}"))?;
        anyhow::Ok(started + SignedDuration::from_micros(micros))
    };
    let probes = result["probes"].as_array().into_iter().flatten();
    let measured =
        probes.into_iter().find(|found| found["probe"] == probe).with_context(|| format!("no probe {probe}"))?;
    let quiet = ["p50Us", "p99Us"].map(|name| measured["baselineLatency"][name].as_f64().unwrap_or(f64::NAN) / 1_000.0);
    let phase = |name: &str| result["phases"].as_array().into_iter().flatten().find(|phase| phase["phase"] == name);
    let fault = phase("Fault").context("the run has no fault phase")?;
    let end = at(phase("Recovery").unwrap_or(fault), "endUs")?;
    let mut windows: Vec<Window> = Vec::new();
    for row in result["killRows"].as_array().into_iter().flatten() {
        let mut losses = row["losses"].as_array().into_iter().flatten();
        let Some(loss) = losses.find(|loss| loss["probe"] == probe) else { continue };
        // The first one reaches back to the start of the fault phase.
        let from = if windows.is_empty() { at(fault, "startUs")? } else { at(row, "atUs")? };
        if let Some(before) = windows.last_mut() {
            before.to = from;
        }
        windows.push(Window { from, to: end, failed: loss["failed"].as_u64().context("a loss without failed")? });
    }
    ensure!(!windows.is_empty(), "the run has no kill");
    Ok(Run { started, windows, quiet })
}

/// In the order of sending.
fn read_requests(path: &str) -> anyhow::Result<Vec<Request>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    let mut requests = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("failed to parse a line of {path}"))?;
        let sent: Timestamp = line["timestamp"].as_str().context("a request without timestamp")?.parse()?;
        let millis = line["latency"].as_f64().context("a request without latency")? / 1e6;
        let good = line["code"].as_u64().is_some_and(|code| (200..300).contains(&code));
        let out_of_time = line["error"].as_str().is_some_and(|error| error.contains("Client.Timeout exceeded"));
        let over = sent + SignedDuration::from_secs_f64(millis / 1e3);
        requests.push(Request { sent, counts_at: if good || out_of_time { sent } else { over }, millis, good });
    }
    requests.sort_by_key(|request| request.sent);
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn windows_reach_from_the_start_of_the_fault_to_the_end_of_recovery() {
        let second = |at: i64| at * 1_000_000;
        let kill = |at: i64, failed: u64| json!({"atUs": second(at), "losses": [{"probe": "ride", "failed": failed}]});
        let result = json!({
            "run": {"startedAt": "2026-11-23T12:00:00Z"},
            "probes": [{"probe": "ride", "baselineLatency": {"p50Us": 2_000, "p99Us": 8_000}}],
            "phases": [
                {"phase": "Baseline", "startUs": 0, "endUs": second(10)},
                {"phase": "Fault", "startUs": second(10), "endUs": second(17)},
                {"phase": "Recovery", "startUs": second(17), "endUs": second(25)},
                {"phase": "WindDown", "startUs": second(25), "endUs": second(26)},
            ],
            // A second victim of a trial has no losses of its own.
            "killRows": [kill(12, 3), {"atUs": second(13), "losses": []}, kill(15, 5)],
        });
        let run = run_of(&result, "ride").unwrap();
        let instant = |at: f64| run.started + SignedDuration::from_secs_f64(at);
        let bad = |at: f64| Request { sent: instant(at - 0.5), counts_at: instant(at), millis: 500.0, good: false };
        // Before the fault and after the recovery nothing counts.
        let theirs: Vec<Request> = [9.9, 10.0, 11.0, 14.9, 15.0, 24.9, 25.0, 30.0].map(bad).into();
        assert_eq!(losses(&run, &theirs), [[3, 3], [5, 2]]);
    }
}
