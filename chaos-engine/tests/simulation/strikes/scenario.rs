//! What a schedule of kills is made of. A few schedules are long, most are short: a schedule is one interleaving, and what a long
//! one waits for costs turns in which nothing can go wrong.

use super::bugs::Bug;
use super::cluster::{NS, OTHER_NS, WORKLOADS};
use super::limits::Disruptions;
use super::staged::Ahead;
use super::standing::{Standing, Times};
use crate::seats::{HOUR, Hazards};

/// Kills are never sent longer after they were decided, in milliseconds.
pub(crate) const SEND_WITHIN: i64 = 5_000;
/// One in so many schedules is a long one.
pub(crate) const LONG_EVERY: u64 = 50;

/// How long a schedule is, and when what happens in it. Spans are in milliseconds, instants such spans from the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// The killers' time ends.
    pub(super) until: i64,
    /// Strikes of the monkey, and of the run that kills by itself.
    pub(crate) strikes: (u32, u32),
    pub(super) mean: u64,
    pub(super) min: u64,
    /// Pods of each workload.
    pub(crate) pods: [u32; 2],
    /// A pod takes so long at most to be gone, and its replacement to be ready.
    pub(crate) recovery: (i64, i64),
    /// Between two heartbeats of the run that the monkey belongs to.
    pub(crate) beat: i64,
    pub(crate) silent_from: i64,
    pub(crate) away_from: i64,
    /// For how long the API server is out of reach: short, and long.
    away: (i64, i64),
    pub(crate) stop_at: i64,
    /// A stop that is taken back is so after this.
    pub(crate) stop_for: i64,
    /// A watch that is behind for long has caught up after this, at most.
    pub(crate) behind_for: i64,
    pub(super) recover_within: u64,
    pub(super) max_blind: u64,
    /// Between two kills of a workload, where they have to keep their distance.
    pub(super) min_interval: i64,
    /// Chances in a thousand: of a call to go wrong, of a crash or a pause at a turn.
    faults: [u32; 3],
    hazards: [u32; 3],
    /// Crashes and pauses last so long at most.
    longest: i64,
    /// Who finds that another drives its killer waits between so long and so long.
    pub(crate) fenced: (i64, i64),
    /// Whoever has nothing to do looks around again after this.
    pub(crate) poll: i64,
    /// A kill that was not answered is carried out so much later at most.
    pub(crate) late: i64,
    /// What follows from then on is not played; absent: all is played to its end.
    cut: Option<i64>,
    /// When what happens to a standing monkey.
    pub(super) standing: Times,
}

/// Everything to its end.
const LONG_SIZE: Size = Size {
    until: 60_000,
    strikes: (6, 4),
    mean: 3_000,
    min: 500,
    pods: [3, 4],
    recovery: (2_000, 3_000),
    beat: 2_000,
    silent_from: 9_000,
    away_from: 6_000,
    away: (12_000, 150_000),
    stop_at: 20_000,
    stop_for: 12_000,
    behind_for: 60_000,
    recover_within: 100,
    max_blind: 50,
    min_interval: 9_000,
    faults: [0, 50, 200],
    hazards: [0, 5, 20],
    longest: 20_000,
    fenced: (1_000, 1_000),
    poll: 1_000,
    late: 10_000,
    cut: None,
    standing: Times {
        opens: 4_000,
        turns: 30_000,
        closes: 56_000,
        kills: [4, 8],
        suspended: (15_000, 26_000),
        looks: [9_000, 20_000, 38_000],
        goes_live: 18_000,
        deleted: 44_000,
        cap: 6,
        ends: 290_000,
    },
};

static LONG: Size = LONG_SIZE;

/// The same with time for a kill whose outcome nobody knows, which is given up after 90 s, and for all that waits for it.
static PATIENT: Size = Size { until: 240_000, ..LONG_SIZE };

/// More of everything in less time, up to where the last kill may happen. Then all that is left is to look open intents up.
const SHORT_SIZE: Size = Size {
    until: 9_000,
    strikes: (3, 2),
    mean: 1_200,
    min: 300,
    pods: [2, 3],
    recovery: (600, 900),
    beat: 1_000,
    silent_from: 2_500,
    away_from: 2_000,
    away: (4_000, 30_000),
    stop_at: 3_000,
    stop_for: 2_000,
    behind_for: 10_000,
    recover_within: 20,
    max_blind: 6,
    min_interval: 7_000,
    faults: [0, 100, 300],
    hazards: [0, 20, 60],
    longest: 8_000,
    fenced: (200, 4_000),
    poll: 5_000,
    late: 4_000,
    cut: Some(9_000 + SEND_WITHIN + 4_000),
    standing: Times {
        opens: 1_000,
        turns: 5_000,
        closes: 9_000,
        kills: [2, 4],
        suspended: (3_000, 5_500),
        looks: [1_800, 3_600, 6_500],
        goes_live: 3_500,
        deleted: 6_500,
        cap: 3,
        ends: 28_000,
    },
};

static SHORT: Size = SHORT_SIZE;

/// Pods for the killer of an operated run: how long it works and how often it strikes is said by its experiment.
static OF_RUN: Size = Size { late: 10_000, cut: None, ..SHORT_SIZE };

/// What a schedule is made of.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) size: &'static Size,
    /// Chance in a thousand that a call goes wrong.
    pub(crate) faults: u32,
    /// Chance in a thousand, at every turn, that the machine crashes.
    pub(crate) crashes: u32,
    /// Chance in a thousand, at every turn, that the machine stands still for a while.
    pub(crate) pauses: u32,
    /// Crash the first process at exactly this turn.
    pub(crate) crash_at: Option<u64>,
    /// Its machine stands still at exactly this turn: another operator takes its monkey over meanwhile.
    pub(crate) stands_at: Option<u64>,
    pub(crate) max_unavailable: u32,
    pub(crate) min_interval: i64,
    pub(crate) stop_switch: bool,
    /// Somebody takes the stop back, soon enough for whoever is behind never to hear of it.
    pub(crate) resumes: bool,
    /// What watches bring is behind for long, and not only for a second.
    pub(crate) is_behind: bool,
    /// Foreigners drain, roll out and scale too: availability is then not ours alone to keep.
    pub(crate) has_foreigners: bool,
    /// The run that the monkey belongs to falls silent.
    pub(crate) falls_silent: bool,
    /// For how long the API server is out of reach.
    pub(crate) away: i64,
    /// Chance in a thousand, at every turn, that the clock of the machine is set wrong, by up to an hour.
    pub(crate) jumps: u32,
    /// Somebody wants to know what happens to pods.
    pub(crate) is_watched: bool,
    /// Guards keep the monkey from killing while something is not well.
    pub(crate) is_guarded: bool,
    /// The second workload lies in another namespace, so that a look for a strike sees one workload only.
    pub(crate) is_spread: bool,
    /// Each workload is a group, with strikes of its own that see it only.
    pub(crate) by_workload: bool,
    /// An operator may take the monkey up as a watch has brought it, and claim it by its first write only.
    pub(crate) is_lazy: bool,
    /// The monkey belongs to no run.
    pub(super) standing: Option<Standing>,
    /// What may be unavailable of a workload is a share of its pods.
    pub(super) is_percent: bool,
    /// More than one pod of each workload has to be left ready.
    pub(super) has_to_serve: bool,
    /// Kills are evictions, and there are disruption budgets.
    pub(super) disruptions: Option<Disruptions>,
    /// So many operators drive it, each on a machine of its own.
    pub(super) operators: usize,
    /// The one clock of all is set ahead for a while.
    pub(super) ahead: Option<Ahead>,
    /// Pods that each strike of the run that kills by itself is to kill.
    pub(super) victims: u32,
}

impl Scenario {
    /// The schedule of that seed: every kind in turn.
    pub(crate) fn of(seed: u64) -> Self {
        let is_long = seed.is_multiple_of(LONG_EVERY);
        let (size, kind) = if is_long { (&LONG, seed / LONG_EVERY) } else { (&SHORT, seed) };
        let pick = |n: u64, of: u64| usize::try_from((kind / n) % of).unwrap();
        // By a clock that is wrong, what was read long ago may look fresh: only a stop that is heard of soon holds then.
        let has_jumps = kind % 11 == 4;
        let scenario = Self {
            seed,
            bug: None,
            size,
            faults: size.faults[pick(1, 3)],
            crashes: size.hazards[pick(3, 3)],
            pauses: size.hazards[pick(9, 3)],
            crash_at: None,
            stands_at: None,
            max_unavailable: [1, 2][pick(27, 2)],
            min_interval: [0, size.min_interval][pick(54, 2)],
            stop_switch: pick(108, 4) == 0,
            resumes: kind % 5 == 3,
            is_behind: pick(2, 3) == 0 && !has_jumps,
            has_foreigners: pick(432, 4) == 0,
            falls_silent: kind % 5 == 1,
            away: match kind % 7 {
                3 => size.away.0,
                5 => size.away.1,
                _ => 0,
            },
            jumps: if has_jumps { 20 } else { 0 },
            is_watched: false,
            is_guarded: kind % 13 % 4 == 2,
            is_spread: kind % 17 % 3 == 1,
            by_workload: kind % 23 % 3 == 1,
            is_lazy: kind % 19 % 3 == 1,
            standing: Standing::of(kind, &size.standing),
            is_percent: (66..86).contains(&(kind % 109)),
            has_to_serve: (68..86).contains(&(kind % 97)),
            disruptions: Disruptions::of(kind),
            operators: if (66..86).contains(&(kind % 107)) { 3 } else { 2 },
            ahead: None,
            victims: 1,
        };
        scenario.staged(kind)
    }

    /// The same, with nothing that goes wrong.
    pub(crate) const fn without_trouble(self) -> Self {
        Self {
            faults: 0,
            crashes: 0,
            pauses: 0,
            jumps: 0,
            away: 0,
            is_behind: false,
            has_foreigners: false,
            ahead: None,
            ..self
        }
    }

    /// A long one in which nothing goes wrong.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            bug: None,
            size: &PATIENT,
            faults: 0,
            crashes: 0,
            pauses: 0,
            crash_at: None,
            stands_at: None,
            max_unavailable: 1,
            min_interval: 0,
            stop_switch: false,
            resumes: false,
            is_behind: false,
            has_foreigners: false,
            falls_silent: false,
            away: 0,
            jumps: 0,
            is_watched: false,
            is_guarded: false,
            is_spread: false,
            by_workload: false,
            is_lazy: false,
            standing: None,
            is_percent: false,
            has_to_serve: false,
            disruptions: None,
            operators: 2,
            ahead: None,
            victims: 1,
        }
    }

    /// The same with a standing monkey.
    pub(super) fn calm_standing(seed: u64) -> Self {
        let calm = Self::calm(seed);
        Self { standing: Some(Standing::calm(&calm.size.standing)), ..calm }
    }

    /// The namespace of that workload.
    pub(crate) fn namespace(&self, workload: &str) -> &'static str {
        if self.is_spread && workload == WORKLOADS[1] { OTHER_NS } else { NS }
    }

    /// Pods for the killer of an operated run, of whose calls so many in a thousand go wrong.
    pub(crate) fn of_run(seed: u64, faults: u32) -> Self {
        Self { size: &OF_RUN, faults, is_watched: true, ..Self::calm(seed) }
    }

    pub(crate) fn hazards(&self) -> Hazards {
        // Afterwards open intents are resolved, which takes a clock that is an hour wrong for longer.
        let end = 400_000 + if self.jumps == 0 { 0 } else { 2 * HOUR };
        Hazards {
            crashes: self.crashes,
            pauses: (self.pauses, self.size.longest),
            jumps: self.jumps,
            step: self.clock_step(),
            crash_at: self.crash_at,
            stands_at: self.stands_at,
            until: self.instant(self.size.until),
            end: self.instant(end),
        }
    }

    /// What follows from then on is not played; absent: all is played to its end.
    pub(super) fn cut(&self) -> Option<i64> {
        // A standing monkey has no end of its own.
        if self.standing.is_some() { Some(self.size.standing.ends) } else { self.cut_of_set_clock().or(self.size.cut) }
    }

    /// So many pods is a strike of that run or monkey to kill.
    pub(super) fn victims_of(&self, run: &str) -> u64 {
        if is_monkey(run) { 1 } else { u64::from(self.victims) }
    }

    /// So many kills of that run or monkey are planned, or allowed.
    pub(super) fn most_kills(&self, run: &str) -> u64 {
        match self.standing {
            Some(standing) if is_monkey(run) => self.most_in_all(standing),
            _ if is_monkey(run) => u64::from(self.size.strikes.0),
            _ => u64::from(self.size.strikes.1) * self.victims_of(run),
        }
    }
}

/// Name of the monkey in what is written of it.
pub(crate) const MONKEY: &str = "monkey";

/// Name of another monkey of the same operator, where there is a cap on both.
pub(super) const OTHER: &str = "other";

/// Whether that is a monkey, and not the run that kills by itself.
pub(super) fn is_monkey(run: &str) -> bool {
    run == MONKEY || run == OTHER
}
