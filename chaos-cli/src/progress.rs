//! Shows a run while it goes on: one block that is redrawn in a terminal, plain lines elsewhere. It only reads what the run
//! tells; closing it changes nothing.

use std::time::Duration;

use chaos_core::model::Experiment;
use chaos_core::record::{Phase, RunTime};
use chaos_core::run::RunState;
use chaos_engine::clock::RunClock;
use chaos_engine::recorder::{Live, LiveProbe, Recorder};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::output;

/// Time between two redraws of a terminal.
const REDRAW: Duration = Duration::from_millis(250);
/// Time between two lines where nobody redraws.
const LINE: Duration = Duration::from_secs(5);

/// Redraws a block of lines in the terminal until told to stop.
pub(crate) async fn redraw(mut block: impl FnMut() -> String, stop: CancellationToken) {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    loop {
        bar.set_message(block());
        bar.tick();
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(REDRAW) => (),
        }
    }
    bar.finish_and_clear();
}

/// What is shown.
pub(crate) struct Shown {
    pub(crate) clock: RunClock,
    pub(crate) live: watch::Receiver<Live>,
    pub(crate) state: watch::Receiver<RunState>,
    /// Kills planned.
    pub(crate) planned: u32,
    /// Length of the fault phase at most, for the time that is left.
    pub(crate) fault: Duration,
    /// Shares of failed requests that each http probe allows.
    pub(crate) budgets: Vec<(String, f64)>,
}

impl Shown {
    pub(crate) fn new(
        experiment: &Experiment,
        clock: RunClock,
        recorder: &Recorder,
        state: watch::Receiver<RunState>,
    ) -> Self {
        let strikes = experiment.fault.strikes();
        // The phase ends with the last kill, which is due long before the ceiling as a rule.
        let expected = experiment.fault.every().mean.std().saturating_mul(strikes.target);
        Self {
            clock,
            live: recorder.live(),
            state,
            planned: strikes.target,
            fault: expected.min(experiment.phases.fault.std()),
            budgets: budgets(experiment),
        }
    }

    /// Shows until told to stop.
    pub(crate) async fn until(mut self, stop: CancellationToken) {
        if output::is_watched() { redraw(|| self.block(), stop).await } else { self.lines(stop).await }
    }

    async fn lines(mut self, stop: CancellationToken) {
        let (mut kills, mut phase) = (0, None);
        let mut last_line = tokio::time::Instant::now();
        loop {
            let live = self.live.borrow_and_update().clone();
            let now_in = live.phase.map(|(phase, _)| phase);
            if now_in != phase {
                phase = now_in;
                self.line(&format!("phase {}", phase.map_or("before", name_of)));
            }
            let news = usize::try_from(live.kills - kills).unwrap_or(usize::MAX).min(live.last_kills.len());
            let newest = live.last_kills.iter().rev().take(news).rev();
            for ((_, strike, pod), number) in newest.zip(live.kills - news as u64 + 1..) {
                // The number of the strike is the one by which Events, status and reports know the kill.
                self.line(&format!("kill {number}/{} (strike {strike}) {pod}", self.planned));
            }
            kills = live.kills;
            if last_line.elapsed() >= LINE {
                last_line = tokio::time::Instant::now();
                for line in self.probe_lines(&live) {
                    self.line(&line);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = self.live.changed() => (),
                () = tokio::time::sleep(LINE) => (),
            }
        }
    }

    fn line(&self, text: &str) {
        output::say(&format!("[{:>6.1} s] {text}", seconds(self.clock.now())));
    }

    fn block(&mut self) -> String {
        let live = self.live.borrow_and_update().clone();
        let now = self.clock.now();
        let phase = live.phase.map_or("before", |(phase, _)| name_of(phase));
        let mut lines = vec![format!("{:>6.1} s  {phase}{}", seconds(now), self.left(&live, now))];
        let last = live.last_kills.back().map_or_else(String::new, |(at, strike, pod)| {
            format!("  last {pod} (strike {strike}) {:.1} s ago", seconds(now) - seconds(*at))
        });
        let skipped = if live.skipped > 0 { format!("  skipped {}", live.skipped) } else { String::new() };
        lines.push(format!("          kills {}/{}{last}{skipped}", live.kills, self.planned));
        lines.extend(self.probe_lines(&live).into_iter().map(|line| format!("          {line}")));
        if let Some((since, cause)) = &live.blind {
            lines.push(format!("          cluster out of sight for {:.0} s: {cause}", seconds(now) - seconds(*since)));
        }
        lines.join("\n")
    }

    fn left(&self, live: &Live, now: RunTime) -> String {
        let Some((phase, since)) = live.phase else { return String::new() };
        let until = match (&*self.state.borrow(), phase) {
            (RunState::Baseline { until } | RunState::Recovery { until }, _) => {
                seconds(self.clock.from_timestamp(*until))
            }
            (_, Phase::Fault) => seconds(since) + self.fault.as_secs_f64(),
            _ => return String::new(),
        };
        format!(", about {:.0} s left", (until - seconds(now)).max(0.0))
    }

    fn probe_lines(&self, live: &Live) -> Vec<String> {
        live.probes.iter().map(|(name, probe)| self.probe_line(name, probe)).collect()
    }

    fn probe_line(&self, name: &str, probe: &LiveProbe) -> String {
        let known = probe.slots.saturating_sub(probe.unknown) as f64;
        let success =
            if known > 0.0 { format!("{:.3}", 100.0 * (1.0 - probe.failed as f64 / known)) } else { "-".to_owned() };
        let millis =
            |micros: Option<u64>| micros.map_or("-".to_owned(), |micros| format!("{:.1}", micros as f64 / 1e3));
        let allowed = self.budgets.iter().find(|(probe, _)| probe == name).map(|(_, share)| share * known);
        let budget = allowed.map_or_else(String::new, |allowed| {
            format!("  budget spent {:.0} %", 100.0 * probe.failed as f64 / allowed.max(f64::MIN_POSITIVE))
        });
        format!(
            "{name}: {} requests, {success} % good, {:.0}/s, p50 {} p99 {} ms{budget}",
            probe.slots,
            probe.rate,
            millis(probe.p50),
            millis(probe.p99)
        )
    }
}

fn budgets(experiment: &Experiment) -> Vec<(String, f64)> {
    use chaos_core::model::{ClaimSpec, ProbeKind};
    let share = |probe: &chaos_core::model::Probe| match &probe.kind {
        ProbeKind::Http(http) => http.slo.claims.iter().find_map(|claim| match claim {
            ClaimSpec::Availability { share } => Some(share.complement()),
            ClaimSpec::Latency { .. } => None,
        }),
        _ => None,
    };
    experiment.probes.iter().filter_map(|probe| Some((probe.name.clone(), share(probe)?))).collect()
}

fn name_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Baseline => "baseline",
        Phase::Fault => "fault: killing pods",
        Phase::Recovery => "recovery",
        Phase::WindDown => "winding down, asking the checkers",
    }
}

fn seconds(at: RunTime) -> f64 {
    at.0 as f64 / 1e9
}
