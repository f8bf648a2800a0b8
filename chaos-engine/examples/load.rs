//! `cargo run --release -p chaos-engine --example load -- URL RATE SECONDS`: the open-loop load engine by itself, with a
//! summary in the style of k6 and the processor time that it took. For measuring the engine; `chaos load` is for users.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use chaos_core::record::Event;
use chaos_engine::clock::RunClock;
use chaos_engine::journal::Redactor;
use chaos_engine::probe::http::{HttpPlan, Load, LoadContext, Success};
use chaos_engine::recorder::Recorder;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, rate, seconds] = arguments.as_slice() else { bail!("usage: load URL RATE SECONDS") };
    let rate: f64 = rate.parse().context("RATE is requests in a second")?;
    let seconds: f64 = seconds.parse().context("SECONDS is a number")?;
    let context =
        LoadContext { recorder: Recorder::in_memory(Redactor::default()), clock: RunClock::start(), seed: 0, run: 0 };
    let (cpu, started) = (cpu_seconds(), Instant::now());
    let load = Load::start(vec![plan(url, rate)?], &context)?;
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    load.stop().await?;
    let share = (cpu_seconds() - cpu) / started.elapsed().as_secs_f64();
    summary(&context.recorder.events(), share);
    Ok(())
}

fn plan(url: &str, rate: f64) -> Result<HttpPlan> {
    let (origin, path) = match url.splitn(4, '/').collect::<Vec<_>>().as_slice() {
        [scheme, empty, host, path] => (format!("{scheme}/{empty}/{host}"), format!("/{path}")),
        _ => (url.to_owned(), "/".to_owned()),
    };
    Ok(HttpPlan {
        name: "load".into(),
        origin: origin.parse()?,
        method: http::Method::GET,
        path: path.parse()?,
        headers: Vec::new(),
        body: None,
        rate,
        poisson: false,
        timeout: Duration::from_secs(5),
        max_lag: Duration::from_millis(50),
        latency_bound: None,
        keep_alive: true,
        success: Success::default(),
        exposure: None,
    })
}

#[expect(clippy::print_stdout, reason = "the output of an example")]
fn summary(events: &[Event], cpu: f64) {
    let (mut slots, mut good) = (0, 0);
    let (mut latency, mut lag, mut classes) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for event in events {
        match event {
            Event::Bin(bin) => {
                slots += bin.slots;
                good += bin.good;
                bin.latency.iter().for_each(|(edge, count)| *latency.entry(*edge).or_insert(0) += count);
                bin.lag.iter().for_each(|(edge, count)| *lag.entry(*edge).or_insert(0) += count);
            }
            Event::Bad(bad) => *classes.entry(bad.class).or_insert(0) += 1,
            _ => {}
        }
    }
    println!("requests .......: {slots}  good {good}");
    for (class, count) in classes {
        println!("  {class:?}: {count}");
    }
    println!("latency (due) ..: {}", quantiles(&latency));
    println!("lag (due → sent): {}", quantiles(&lag));
    println!("processor ......: {:.1} % of a core", cpu * 100.0);
}

fn quantiles(counts: &BTreeMap<u64, u64>) -> String {
    let total: u64 = counts.values().sum();
    let at = |q: f64| {
        let mut seen = 0;
        let edge = counts.iter().find(|(_, count)| {
            seen += **count;
            seen as f64 >= q * total as f64
        });
        edge.map_or_else(|| "-".to_owned(), |(edge, _)| format!("{:.3} ms", *edge as f64 / 1e3))
    };
    format!("p50 {}  p90 {}  p99 {}  p99.9 {}  max {}", at(0.5), at(0.9), at(0.99), at(0.999), at(1.0))
}

/// Processor time of this process so far (Linux; elsewhere zero).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
