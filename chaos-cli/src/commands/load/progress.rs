//! Shows load while it goes on: redrawn in a terminal, a line now and then elsewhere. It only reads.

use std::time::{Duration, Instant};

use chaos_engine::recorder::{Live, LiveProbe};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::output;
use crate::progress::redraw;

/// Time between two lines where nobody redraws.
const LINE: Duration = Duration::from_secs(5);

/// Shows until told to stop.
pub(super) async fn show(live: watch::Receiver<Live>, span: Duration, stop: CancellationToken) {
    let began = Instant::now();
    if output::is_watched() {
        redraw(|| block(&live, span, began).join("\n  "), stop).await;
    } else {
        lines(live, span, began, stop).await;
    }
}

async fn lines(live: watch::Receiver<Live>, span: Duration, began: Instant, stop: CancellationToken) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + LINE, LINE);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        block(&live, span, began).iter().for_each(|line| output::say(line));
    }
}

fn block(live: &watch::Receiver<Live>, span: Duration, began: Instant) -> Vec<String> {
    let live = live.borrow();
    let time = format!("{:>5.1} s of {:.0} s", began.elapsed().min(span).as_secs_f64(), span.as_secs_f64());
    std::iter::once(time).chain(live.probes.iter().map(|(name, probe)| line(name, probe))).collect()
}

fn line(name: &str, probe: &LiveProbe) -> String {
    let millis = |micros: Option<u64>| micros.map_or("-".to_owned(), |micros| format!("{:.1}", micros as f64 / 1e3));
    let unknown = if probe.unknown > 0 { format!(", {} late or unknown", probe.unknown) } else { String::new() };
    format!(
        "{name}: {} requests, {:.0}/s, {} failed{unknown}, p50 {} p99 {} ms",
        probe.slots,
        probe.rate,
        probe.failed,
        millis(probe.p50),
        millis(probe.p99)
    )
}
