//! What a schedule of a game day is made of: how often it comes round, how its runs go, what people want of it meanwhile.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chaos_core::api::{GameDaySpec, HistoryLimits};
use chaos_core::model::{ConcurrencyPolicy, GameDay, OnFailure};
use chaos_core::validate::{self, Meta};
use jiff::Timestamp;
use serde_json::json;

use super::bugs::Bug;
use crate::seats::{Hazards, millis};

/// One in so many schedules is a month.
const MONTH_EVERY: u64 = 50;
/// UID of the game day.
pub(crate) const UID: &str = "u";
/// Experiments of one execution.
pub(crate) const EXPERIMENTS: u64 = 3;

/// 2026-06-01T00:00:00Z, a Monday.
const fn midnight() -> Timestamp {
    Timestamp::constant(1_780_272_000, 0)
}

/// When the object was created: a moment after a slot.
pub(crate) fn start() -> Timestamp {
    midnight() + millis(10_000)
}

/// How long a schedule is. Spans are in milliseconds.
#[derive(Debug)]
pub(crate) struct Size {
    /// Between two slots.
    pub(crate) every: i64,
    /// For how long things go wrong. Afterwards the game day is suspended, and everything has to come to its end.
    pub(crate) troubled: i64,
    pub(crate) quiet: i64,
    /// How long runs last: short, and longer than what is between two slots.
    lasts: [(i64, i64); 2],
    faults: [u32; 3],
    hazards: [u32; 3],
    /// Crashes and pauses last so long at most.
    longest: i64,
    /// A process that does not drive the game day any more tries to again after so long.
    pub(crate) standby: (i64, i64),
    /// Between two changes of what people want.
    pub(crate) wishes: (i64, i64),
}

/// A slot a minute.
static HOUR_OF_MINUTES: Size = Size {
    every: 60_000,
    troubled: 12 * 60_000,
    quiet: 20 * 60_000,
    lasts: [(2_000, 12_000), (20_000, 150_000)],
    faults: [0, 60, 250],
    hazards: [0, 8, 30],
    longest: 90_000,
    standby: (20_000, 240_000),
    wishes: (20_000, 300_000),
};

/// A slot every six hours, for thirty days.
static MONTH: Size = Size {
    every: 6 * 3_600_000,
    troubled: 30 * 86_400_000,
    quiet: 16 * 3_600_000,
    // Each is looked at every two seconds: what takes long is left to the short schedules.
    lasts: [(10_000, 40_000), (10_000, 40_000)],
    faults: [0, 20, 60],
    hazards: [0, 1, 4],
    longest: 10 * 3_600_000,
    standby: (600_000, 40 * 3_600_000),
    wishes: (4 * 3_600_000, 100 * 3_600_000),
};

/// What a schedule is made of.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) size: &'static Size,
    pub(crate) faults: u32,
    pub(crate) crashes: u32,
    pub(crate) pauses: u32,
    pub(crate) jumps: u32,
    pub(crate) crash_at: Option<u64>,
    /// The machine of the first operator stands still at exactly this turn: the other one takes over meanwhile.
    pub(crate) stands_at: Option<u64>,
    pub(crate) concurrency: ConcurrencyPolicy,
    pub(crate) on_failure: OnFailure,
    pub(crate) history: HistoryLimits,
    /// How long a run lasts, in milliseconds.
    pub(crate) lasts: (i64, i64),
    /// Chance in a thousand that a run does not pass.
    pub(crate) fails: u32,
    /// People suspend it, start it, and abort what is under way.
    pub(crate) has_wishes: bool,
    /// What watches bring is behind for long, and not only for two seconds.
    pub(crate) is_behind: bool,
    /// The operator is held back now and then.
    pub(crate) has_holds: bool,
    /// An error budget guards it.
    pub(crate) is_guarded: bool,
}

impl Scenario {
    /// The schedule of that seed: every kind in turn.
    pub(crate) fn of(seed: u64) -> Self {
        let is_month = seed.is_multiple_of(MONTH_EVERY);
        let (size, kind) = if is_month { (&MONTH, seed / MONTH_EVERY) } else { (&HOUR_OF_MINUTES, seed) };
        let pick = |n: u64, of: u64| usize::try_from((kind / n) % of).unwrap();
        let policies = [ConcurrencyPolicy::Forbid, ConcurrencyPolicy::Replace, ConcurrencyPolicy::Allow];
        let (passed, failed) = [(3, 10), (0, 0), (1, 1)][pick(2, 3)];
        Self {
            seed,
            bug: None,
            size,
            faults: size.faults[pick(1, 3)],
            crashes: size.hazards[pick(3, 3)],
            pauses: size.hazards[pick(9, 3)],
            jumps: if !is_month && kind % 11 == 4 { 20 } else { 0 },
            crash_at: None,
            stands_at: None,
            concurrency: policies[pick(27, 3)],
            on_failure: [OnFailure::Stop, OnFailure::Continue][pick(5, 2)],
            history: HistoryLimits { passed, failed },
            lasts: size.lasts[usize::from(pick(7, 3) == 0)],
            fails: [0, 300][pick(4, 2)],
            has_wishes: pick(81, 2) == 0,
            is_behind: pick(19, 3) == 0,
            // What is held is looked at every two seconds, for as long as it may start.
            has_holds: !is_month && pick(13, 4) == 0,
            is_guarded: pick(17, 4) == 0,
        }
    }

    /// A short one in which nothing goes wrong.
    pub(crate) fn calm(seed: u64) -> Self {
        let (faults, crashes, pauses, jumps) = (0, 0, 0, 0);
        let (has_wishes, has_holds, is_guarded, is_behind) = (false, false, false, false);
        let short = Self::of(seed * MONTH_EVERY + 1);
        let lasts = short.size.lasts[0];
        Self { faults, crashes, pauses, jumps, lasts, has_wishes, is_behind, has_holds, is_guarded, ..short }
    }

    /// The same, with nothing that goes wrong.
    pub(crate) const fn without_trouble(self) -> Self {
        Self { faults: 0, crashes: 0, pauses: 0, jumps: 0, crash_at: None, stands_at: None, is_behind: false, ..self }
    }

    /// Whether each execution is over before the next slot comes, if nothing goes wrong.
    pub(crate) const fn fits(&self) -> bool {
        self.lasts.1 * 4 < self.size.every
    }

    pub(crate) fn troubled_until(&self) -> Timestamp {
        start() + millis(self.size.troubled)
    }

    pub(crate) fn end(&self) -> Timestamp {
        self.troubled_until() + millis(self.size.quiet)
    }

    pub(crate) fn hazards(&self) -> Hazards {
        Hazards {
            crashes: self.crashes,
            pauses: (self.pauses, self.size.longest),
            jumps: self.jumps,
            step: None,
            crash_at: self.crash_at,
            stands_at: self.stands_at,
            until: self.troubled_until(),
            end: Timestamp::MAX,
        }
    }
}

/// Slots after the one instant, up to the other.
pub(crate) fn slots(size: &Size, after: Timestamp, until: Timestamp) -> u64 {
    let number = |at: Timestamp| at.duration_since(midnight()).as_millis() / i128::from(size.every);
    u64::try_from(number(until) - number(after)).unwrap_or_default()
}

/// Whether an instant is a slot.
pub(crate) fn is_slot(size: &Size, at: Timestamp) -> bool {
    at.duration_since(midnight()).as_millis() % i128::from(size.every) == 0
}

fn parsed(schedule: &str, deadline: &str, within: &str, wait: &str) -> GameDay {
    let step =
        |name: &str| json!({"name": name, "experiment": {"name": name, "within": within, "shrunk": {"seed": 1}}});
    let with = |mut step: serde_json::Value, on: &[&str]| {
        step["dependsOn"] = json!(on);
        step
    };
    let spec = json!({
        "schedule": schedule, "blackout": [], "startingDeadline": deadline, "mode": "Live",
        "guards": [{"errorBudget":
            {"source": "platform", "query": "slo:left", "keep": "25%", "shrinkBelow": "50%"}}],
        "steps": [
            step("a"), step("b"),
            with(json!({"name": "pause", "wait": wait}), &["a"]),
            with(step("c"), &["pause", "b"]),
        ],
    });
    let spec: GameDaySpec = serde_json::from_value(spec).unwrap();
    let meta = Meta { name: "day".into(), namespace: "n".into(), uid: UID.into() };
    validate::gameday(&spec, &meta).unwrap_or_else(|problems| panic!("{problems:?}"))
}

static EVERY_MINUTE: LazyLock<GameDay> = LazyLock::new(|| parsed("* * * * *", "25s", "2m", "3s"));
static FOUR_A_DAY: LazyLock<GameDay> = LazyLock::new(|| parsed("0 */6 * * *", "15m", "3h", "1m"));

/// What people want of the game day besides its plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) suspend: bool,
    pub(crate) start: Option<String>,
    pub(crate) abort: BTreeSet<String>,
}

/// The game day as its spec says it at present.
pub(crate) fn day(scenario: &Scenario, wishes: &Wishes) -> GameDay {
    let is_month = std::ptr::eq(scenario.size, &raw const MONTH);
    let mut day = if is_month { FOUR_A_DAY.clone() } else { EVERY_MINUTE.clone() };
    day.concurrency = scenario.concurrency;
    day.on_failure = scenario.on_failure;
    day.history = scenario.history;
    day.suspend = wishes.suspend;
    day.start = wishes.start.clone();
    day.abort = wishes.abort.clone();
    if !scenario.is_guarded {
        day.guards.clear();
    }
    day
}
