//! Compares what the probe of a run measured with what another load generator measured beside it, and says where they differ.
//! Exit code 0: they agree; 1: they do not; 2: a record could not be read, or does not cover the run.
//!
//! Two clients x and y of one service agree when |Σ(x − y)| ≤ 3·√Σ(x − y)² over the windows from one kill to the next, and when
//! their fault-free p50 and p99 are within 5 % or 1 ms.
//!
//! usage: clients-agree --result result.json --probe NAME --vegeta FILE
//!   --vegeta  `vegeta encode --to json` of an attack at the probe's rate, begun before the run and ended after it

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a small program for scripts")]

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;

/// Latencies that are this near are alike: their share and, in milliseconds, their difference.
const ALIKE: (f64, f64) = (0.05, 1.0);

/// A request of the other client.
struct Request {
    sent: Timestamp,
    millis: f64,
    good: bool,
}

/// What the probe says of a window that begins with a kill.
struct Window {
    from: Timestamp,
    failed: u64,
}

/// A run, as far as it is compared.
struct Run {
    started: Timestamp,
    first_kill: Timestamp,
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
    let run = read_run(&result, &probe)?;
    let requests = read_requests(&vegeta)?;
    let (first, last) = (requests.first(), requests.last());
    let covered = first.is_some_and(|first| first.sent <= run.started)
        && last.is_some_and(|last| run.windows.last().is_some_and(|window| last.sent > window.from));
    ensure!(covered, "the requests of {vegeta} do not cover the run; hint: begin before it and end after it");
    let losses = agree_on_losses(&run, &requests);
    let latency = agree_on_latency(&run, &requests);
    Ok(losses && latency)
}

/// Bad requests, kill by kill.
fn agree_on_losses(run: &Run, requests: &[Request]) -> bool {
    let ends = run.windows.iter().skip(1).map(|window| window.from).chain([Timestamp::MAX]);
    let (mut sum, mut squares, mut bad) = (0.0, 0.0, [0, 0]);
    for (window, end) in run.windows.iter().zip(ends) {
        let ours = window.failed;
        let theirs = requests.iter().filter(|r| !r.good && r.sent >= window.from && r.sent < end).count() as u64;
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

/// p50 and p99 of good requests before the first kill.
fn agree_on_latency(run: &Run, requests: &[Request]) -> bool {
    let quiet = requests.iter().filter(|r| r.good && r.sent >= run.started && r.sent < run.first_kill);
    let mut millis: Vec<f64> = quiet.map(|request| request.millis).collect();
    millis.sort_by(f64::total_cmp);
    let mut all = true;
    for (name, percent, ours) in [("p50", 50, run.quiet[0]), ("p99", 99, run.quiet[1])] {
        let Some(theirs) = quantile(&millis, percent) else {
            println!("no good request of the other before the first kill");
            return false;
        };
        let agree = (ours - theirs).abs() <= (ALIKE.0 * ours.max(theirs)).max(ALIKE.1);
        println!("{name} before the first kill: probe {ours:.2} ms, other {theirs:.2} ms: {}", told(agree));
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

fn read_run(path: &str, probe: &str) -> anyhow::Result<Run> {
    let result = chaos_tests::json(path)?;
    let started: Timestamp = result["run"]["startedAt"].as_str().context("no run.startedAt")?.parse()?;
    let probes = result["probes"].as_array().into_iter().flatten();
    let measured =
        probes.into_iter().find(|found| found["probe"] == probe).with_context(|| format!("no probe {probe}"))?;
    let quiet = ["p50Us", "p99Us"].map(|name| measured["baselineLatency"][name].as_f64().unwrap_or(f64::NAN) / 1_000.0);
    let mut windows = Vec::new();
    for row in result["killRows"].as_array().into_iter().flatten() {
        let mut losses = row["losses"].as_array().into_iter().flatten();
        let Some(loss) = losses.find(|loss| loss["probe"] == probe) else { continue };
        let after = jiff::SignedDuration::from_micros(row["atUs"].as_i64().context("a kill without atUs")?);
        windows
            .push(Window { from: started + after, failed: loss["failed"].as_u64().context("a loss without failed")? });
    }
    let first_kill = windows.first().context("the run has no kill")?.from;
    Ok(Run { started, first_kill, windows, quiet })
}

/// In the order of sending.
fn read_requests(path: &str) -> anyhow::Result<Vec<Request>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {path}"))?;
    let mut requests = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).with_context(|| format!("failed to parse a line of {path}"))?;
        let sent: Timestamp = line["timestamp"].as_str().context("a request without timestamp")?.parse()?;
        let millis = line["latency"].as_f64().context("a request without latency")? / 1e6;
        requests.push(Request {
            sent,
            millis,
            good: line["code"].as_u64().is_some_and(|code| (200..300).contains(&code)),
        });
    }
    requests.sort_by_key(|request| request.sent);
    Ok(requests)
}
