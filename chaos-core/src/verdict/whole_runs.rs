//! Whole runs with known truth: the record of a run on a made-up platform, event by event, judged by
//! [`judge`](super::judge()) itself. What [`simulation`](super::simulation) leaves out happens here: an outage has a place
//! in time, and windows, exposure and recoveries are found in the record. Deterministic: the seed is an argument.
//!
//! Truth is known by construction. All kills are one window apart, the first at the beginning of the fault phase, and the
//! recovery is as long as what is left of the last window, so that every kill has the same number of requests. A kill costs
//! `(1 − availability) · requests` on average, and nothing else costs anything: over many runs that share of the requests
//! of fault and recovery is bad.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::error_rates::Counted;
use super::tell::unknown_run;
use super::{JudgeSpec, JudgedBy, Outcome, ProbeSpec, judge};
use crate::api::{Outcome as KillOutcome, VictimRef};
use crate::model::{ClaimSpec, Evidence, Slo};
use crate::record::{BadClass, BadSlot, Bin, Event, Kill, Phase, PodChange, PodSighting, ProbeSchedule, RunTime};
use crate::result::RunResult;
use crate::units::Percent;

/// What is promised in every cell. A promise ten times weaker than that of the other cells takes a tenth of the requests.
pub const PROMISE: Percent = Percent::of_millionths(990_000);
/// Kills of a run.
pub const KILLS: u64 = 61;
/// Requests from one kill to the next.
const REQUESTS: u64 = 20;
/// From one kill to the next.
const WINDOW: u64 = 1_000 * MILLI;
/// From one request to the next. The first is due after half of it: no request falls on a border.
const GAP: u64 = WINDOW / REQUESTS;
/// Length of the baseline, in windows.
const BASELINE: u64 = 2;
const MILLI: u64 = 1_000_000;
/// Where slow starts are, the replacement is Ready so long after the kill.
const SLOW_READY: u64 = 600 * MILLI;
const PROBE: &str = "ride";
const NAMESPACE: &str = "dispatch";

/// What a bad kill does to the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two requests fail from the kill on: long before the next kill all is well.
    HealsInItsWindow,
    /// Three requests fail from the end of the window on, two of them in the next kill's: all is well when the run ends. The
    /// last kill costs nothing, for its outage would outlast the run.
    HealsInTheRun,
    /// Every fourth replacement is Ready only after the next kill: both kills are one window. Each may cost one request.
    Overlapping,
    /// One to three requests fail once the replacement is Ready.
    SlowStarts,
    /// The traffic meets half of the victims, and only those may cost a request.
    HalfUnexposed,
}

/// One cell: what a bad kill does, and how much is good in truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WholeCell {
    /// What a bad kill does.
    pub kind: Kind,
    /// Share of requests that are answered well.
    pub availability: f64,
}

/// What came out of the runs of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WholeCounted {
    /// Passed and failed.
    pub counted: Counted,
    /// Too little evidence for either.
    pub inconclusive: u64,
    /// Judged requests of all runs.
    pub requests: u64,
    /// Those of them that were bad.
    pub bad: u64,
}

/// What befell one run.
#[derive(Debug, Default)]
struct Fate {
    /// Bad slots, ascending.
    bad: Vec<u64>,
    /// Kills whose victims the traffic met.
    met: Vec<u64>,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::HealsInItsWindow, Self::HealsInTheRun, Self::Overlapping, Self::SlowStarts, Self::HalfUnexposed];

    /// The most that one kill really can cost, which is declared.
    pub const fn worst_loss(self) -> u64 {
        match self {
            Self::HalfUnexposed | Self::Overlapping => 1,
            Self::HealsInItsWindow => 2,
            Self::HealsInTheRun | Self::SlowStarts => 3,
        }
    }

    /// What a bad kill costs on average.
    const fn mean_loss(self) -> f64 {
        match self {
            Self::Overlapping | Self::HalfUnexposed => 1.0,
            Self::HealsInItsWindow | Self::SlowStarts => 2.0,
            Self::HealsInTheRun => 3.0,
        }
    }

    /// Share of kills that can cost anything.
    fn share_at_risk(self) -> f64 {
        match self {
            Self::HealsInItsWindow | Self::Overlapping | Self::SlowStarts => 1.0,
            Self::HealsInTheRun => (KILLS - 1) as f64 / KILLS as f64,
            Self::HalfUnexposed => 0.5,
        }
    }

    /// The first request of its window that a bad kill costs, and how many fail one after the other.
    fn outage(self, rng: &mut ChaCha8Rng) -> (u64, u64) {
        match self {
            Self::HealsInItsWindow => (0, 2),
            Self::HealsInTheRun => (REQUESTS - 1, 3),
            Self::Overlapping | Self::HalfUnexposed => (0, 1),
            Self::SlowStarts => (SLOW_READY / GAP, rng.random_range(1..=3)),
        }
    }

    /// From a kill to the readiness of its replacement.
    const fn ready(self, kill: u64) -> u64 {
        match self {
            Self::SlowStarts => SLOW_READY,
            Self::Overlapping if kill % 4 == 1 => WINDOW + 200 * MILLI,
            _ => 300 * MILLI,
        }
    }

    fn spec(self) -> JudgeSpec {
        let evidence =
            Evidence::Availability { worst_loss_per_kill: self.worst_loss(), source: "known truth".to_owned() };
        let slo = Slo {
            claims: vec![ClaimSpec::Availability { share: PROMISE }],
            confidence: Percent::of_millionths(950_000),
            evidence,
            requests_per_30d: None,
            declared: None,
        };
        JudgeSpec {
            name: "riders".to_owned(),
            namespace: NAMESPACE.to_owned(),
            hypothesis: "Riders can request rides while trips pods die at random.".to_owned(),
            strikes_target: KILLS,
            strikes_min: KILLS,
            probes: vec![ProbeSpec { name: PROBE.to_owned(), judged_by: JudgedBy::Slo(slo) }],
        }
    }
}

impl WholeCell {
    /// Runs it that often. The same seed gives the same counts.
    pub fn count(self, runs: u64, seed: u64) -> WholeCounted {
        let mut all = WholeCounted { counted: Counted { runs, ..Counted::default() }, ..WholeCounted::default() };
        self.judged(runs, seed, |result| {
            match result.verdict.outcome {
                Outcome::Pass => all.counted.passed += 1,
                Outcome::Fail => all.counted.failed += 1,
                Outcome::Inconclusive => all.inconclusive += 1,
                Outcome::Aborted | Outcome::Invalid => {}
            }
            for probe in &result.probes {
                all.requests += probe.judged.slots;
                all.bad += probe.judged.failed;
            }
        });
        all
    }

    /// Gives the result of every run to `look`.
    pub fn judged(self, runs: u64, seed: u64, mut look: impl FnMut(&RunResult)) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spec = self.kind.spec();
        let mut events = skeleton(self.kind);
        let same = events.len();
        for _ in 0..runs {
            events.truncate(same);
            let fate = self.fate(&mut rng);
            events.extend(fate.met.iter().map(|kill| served(*kill)));
            events.extend(fate.bad.iter().map(|slot| bad(*slot)));
            events.extend((0..BASELINE + KILLS).map(|second| bin(second, &fate.bad)));
            look(&judge(&spec, &events));
        }
    }

    /// One answer has no bar: a failure at exactly the promise where outages reach into the next window. The test by betting
    /// takes each window's loss to be within the promise whatever came before it, and there it is not.
    pub fn may_fail_without_a_bar(self) -> bool {
        let (above, below) = (self.availability > PROMISE.ratio(), self.availability < PROMISE.ratio());
        self.kind == Kind::HealsInTheRun && !above && !below
    }

    /// Whether one of the two answers came too often where it is wrong, or a run ended otherwise. At the promise itself each
    /// may come at most α of the time.
    pub fn breaks_its_bar(self, counted: &WholeCounted) -> bool {
        let Counted { runs, passed, failed } = counted.counted;
        let barless = self.may_fail_without_a_bar();
        let missed = self.availability <= PROMISE.ratio() && counted.counted.breaks_the_bar(passed);
        let accused = self.availability >= PROMISE.ratio() && !barless && counted.counted.breaks_the_bar(failed);
        missed || accused || passed + failed + counted.inconclusive != runs
    }

    fn fate(self, rng: &mut ChaCha8Rng) -> Fate {
        let mean = (1.0 - self.availability) * REQUESTS as f64;
        let bad_share = mean / self.kind.mean_loss() / self.kind.share_at_risk();
        let mut fate = Fate::default();
        for kill in 0..KILLS {
            let met = self.kind != Kind::HalfUnexposed || rng.random_bool(self.kind.share_at_risk());
            if met {
                fate.met.push(kill);
            }
            let heals = self.kind != Kind::HealsInTheRun || kill + 1 < KILLS;
            if met && heals && rng.random_bool(bad_share) {
                let (first, requests) = self.kind.outage(rng);
                let first = (BASELINE + kill) * REQUESTS + first;
                fate.bad.extend(first..first + requests);
            }
        }
        fate
    }
}

const fn due(slot: u64) -> RunTime {
    RunTime(GAP / 2 + slot * GAP)
}

const fn kill_at(kill: u64) -> u64 {
    (BASELINE + kill) * WINDOW
}

/// What is the same in every run: the run, its phases, its kills and what came of them.
fn skeleton(kind: Kind) -> Vec<Event> {
    let mut events = vec![Event::Started(Box::new(unknown_run("riders")))];
    // The recovery begins before the first request after the last kill.
    for (at, phase) in [
        (0, Phase::Baseline),
        (kill_at(0), Phase::Fault),
        (kill_at(KILLS - 1) + MILLI, Phase::Recovery),
        (kill_at(KILLS), Phase::WindDown),
    ] {
        events.push(Event::Phase { at: RunTime(at), phase });
    }
    events.push(Event::Schedule(ProbeSchedule {
        probe: PROBE.to_owned(),
        first_due: due(0),
        rate: REQUESTS as f64,
        stages: Vec::new(),
        poisson_seed: None,
        max_lag: 50 * MILLI,
        latency_bound: None,
        exposure_known: true,
    }));
    for kill in 0..KILLS {
        let (at, new) = (kill_at(kill), format!("new-{kill}"));
        events.push(kill_call(kill));
        events.push(sighting(at + 10 * MILLI, PodChange::Created, new.clone()));
        events.push(sighting(at + 50 * MILLI, PodChange::Deleted, victim(kill)));
        events.push(sighting(at + kind.ready(kill), PodChange::Ready, new));
    }
    events.push(Event::WoundDown { at: RunTime(kill_at(KILLS)), left: Vec::new() });
    events
}

fn victim(kill: u64) -> String {
    format!("trips-{kill}")
}

fn kill_call(kill: u64) -> Event {
    let victim = VictimRef {
        namespace: NAMESPACE.to_owned(),
        pod: victim(kill),
        uid: victim(kill),
        workload: "Deployment/trips".to_owned(),
        workload_uid: "deployment".to_owned(),
        owner_uid: "replicaset".to_owned(),
        node: None,
    };
    Event::Kill(Kill {
        at: RunTime(kill_at(kill)),
        uncertainty: 0,
        strike: kill,
        nonce: format!("nonce-{kill}"),
        victim,
        outcome: KillOutcome::Killed,
        message: None,
    })
}

/// Of a pod whose UID is its name.
fn sighting(at: u64, what: PodChange, pod: String) -> Event {
    Event::Pod(PodSighting {
        at: RunTime(at),
        what,
        namespace: NAMESPACE.to_owned(),
        uid: pod.clone(),
        pod,
        owner_uid: Some("replicaset".to_owned()),
        node: None,
    })
}

/// The last request before a kill reached its victim.
fn served(kill: u64) -> Event {
    Event::Served { probe: PROBE.to_owned(), pod: victim(kill), at: RunTime(kill_at(kill) - GAP / 2) }
}

fn bad(slot: u64) -> Event {
    Event::Bad(BadSlot {
        probe: PROBE.to_owned(),
        slot,
        due: due(slot),
        lag: Some(MILLI / 10),
        latency: None,
        failed_after: None,
        class: BadClass::Refused,
        detail: "refused".to_owned(),
    })
}

/// One second, which is one window.
fn bin(second: u64, bad: &[u64]) -> Event {
    let first_slot = second * REQUESTS;
    let lost = bad.iter().filter(|slot| (first_slot..first_slot + REQUESTS).contains(*slot)).count() as u64;
    let good = REQUESTS - lost;
    Event::Bin(Bin {
        probe: PROBE.to_owned(),
        first_slot,
        slots: REQUESTS,
        at: due(first_slot),
        good,
        latency: vec![(2_000, good)],
        lag: vec![(100, REQUESTS)],
    })
}
