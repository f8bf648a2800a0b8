//! The run at a glance, folded from its events: what a terminal redraws. Shown, never judged.

use std::collections::{BTreeMap, VecDeque};

use chaos_core::api::Outcome;
use chaos_core::record::{Answer, BadClass, Bin, Event, Phase, RunTime, StopCause};

/// Seconds that rates and quantiles look back.
const WINDOW: usize = 5;
/// Kills that are kept by name: several may be learned of at once.
const LAST_KILLS: usize = 100;

/// The run so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// The phase and when it began.
    pub phase: Option<(Phase, RunTime)>,
    /// Pods that were killed (or would have been, in a dry run).
    pub kills: u64,
    /// The last of them, oldest first: when, number of the strike, and `namespace/name`.
    pub last_kills: VecDeque<(RunTime, u64, String)>,
    /// Strikes that did not happen.
    pub skipped: u64,
    /// Since when and why the cluster is out of sight.
    pub blind: Option<(RunTime, String)>,
    /// What ended the run early.
    pub stop: Option<StopCause>,
    /// Each http probe, by name.
    pub probes: BTreeMap<String, LiveProbe>,
    /// The last answer of each other probe, by name.
    pub answers: BTreeMap<String, LiveAnswer>,
    /// The last note.
    pub note: Option<String>,
}

/// An http probe at a glance. All of its counts are of the same slots: those of the seconds that are through.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveProbe {
    /// Slots that are through.
    pub slots: u64,
    /// Slots answered well (slow ones included).
    pub good: u64,
    /// Slots that the system failed.
    pub failed: u64,
    /// Good answers that were slower than the bound.
    pub slow: u64,
    /// Slots that say nothing: late, unsent, or without a known outcome.
    pub unknown: u64,
    /// Slots in a second, over the last seconds.
    pub rate: f64,
    /// Median latency of the last seconds, in microseconds.
    pub p50: Option<u64>,
    /// 99th percentile of the last seconds, in microseconds.
    pub p99: Option<u64>,
    /// The last failure: when it was due, and its text.
    pub last_failure: Option<(RunTime, String)>,
    recent: VecDeque<Bin>,
    /// The first slot behind the seconds that are through.
    through: u64,
    /// Bad slots behind it: they count once their second does.
    ahead: Vec<(u64, BadClass)>,
}

/// The last answer of a probe that is not http load.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveAnswer {
    /// When it was asked.
    pub at: RunTime,
    /// The value, or why there is none.
    pub text: String,
    /// Whether that was expected; `None` where there was no answer.
    pub met: Option<bool>,
}

impl Live {
    /// Takes an event in; tells whether anything changed.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Phase { at, phase } => self.phase = Some((*phase, *at)),
            Event::Bin(bin) => self.probes.entry(bin.probe.clone()).or_default().bin(bin),
            Event::Bad(bad) => {
                let probe = self.probes.entry(bad.probe.clone()).or_default();
                if bad.class.is_failure() {
                    probe.last_failure = Some((bad.due, format!("{}: {}", bad.class.as_str(), bad.detail)));
                }
                if bad.slot < probe.through {
                    probe.count(bad.class);
                } else {
                    probe.ahead.push((bad.slot, bad.class));
                }
            }
            Event::Sample(sample) => {
                let text = match &sample.answer {
                    Answer::Value(value) => value.to_string(),
                    Answer::Error { reason, message } => format!("{reason}: {message}"),
                };
                self.answers.insert(sample.probe.clone(), LiveAnswer { at: sample.at, text, met: sample.met });
            }
            Event::Invariants { probe, at, checked, violations, total } => {
                let text = format!("{checked} checked, {} broken", total.unwrap_or(violations.len() as u64));
                let met = Some(violations.is_empty());
                self.answers.insert(probe.clone(), LiveAnswer { at: *at, text, met });
            }
            Event::Kill(kill) if matches!(kill.outcome, Outcome::Killed | Outcome::WouldKill | Outcome::Unknown) => {
                self.kills += 1;
                let pod = format!("{}/{}", kill.victim.namespace, kill.victim.pod);
                self.last_kills.push_back((kill.at, kill.strike, pod));
                if self.last_kills.len() > LAST_KILLS {
                    self.last_kills.pop_front();
                }
            }
            Event::Skipped { .. } => self.skipped += 1,
            Event::Blind { at, cause } => self.blind = Some((*at, cause.clone())),
            Event::Sight { .. } => self.blind = None,
            Event::Stop { cause, .. } => self.stop = Some(cause.clone()),
            Event::Note { text, .. } => self.note = Some(text.clone()),
            _ => return false,
        }
        true
    }
}

impl LiveProbe {
    fn bin(&mut self, bin: &Bin) {
        self.slots += bin.slots;
        self.good += bin.good;
        self.through = self.through.max(bin.first_slot.saturating_add(bin.slots));
        for (slot, class) in std::mem::take(&mut self.ahead) {
            if slot < self.through {
                self.count(class);
            } else {
                self.ahead.push((slot, class));
            }
        }
        self.recent.push_back(bin.clone());
        while self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        let slots: u64 = self.recent.iter().map(|bin| bin.slots).sum();
        self.rate = slots as f64 / self.recent.len() as f64;
        let mut merged = BTreeMap::new();
        for (edge, count) in self.recent.iter().flat_map(|bin| &bin.latency) {
            *merged.entry(*edge).or_insert(0) += count;
        }
        self.p50 = quantile(&merged, 0.50);
        self.p99 = quantile(&merged, 0.99);
    }

    fn count(&mut self, class: BadClass) {
        match class {
            BadClass::Slow => self.slow += 1,
            class if class.is_unknown() => self.unknown += 1,
            _ => self.failed += 1,
        }
    }
}

/// The smallest edge with at least the share `q` of all counts at or below it.
fn quantile(counts: &BTreeMap<u64, u64>, q: f64) -> Option<u64> {
    let total: u64 = counts.values().sum();
    let mut seen = 0;
    counts.iter().find_map(|(edge, count)| {
        seen += count;
        (seen as f64 >= q * total as f64).then_some(*edge)
    })
}
