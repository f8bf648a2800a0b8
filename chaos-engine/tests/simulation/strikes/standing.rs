//! A standing monkey: its window opens and closes while a schedule is played, and its kills are counted by the day, which may end
//! meanwhile too. When that is, is told the monkey in words of the calendar, and held here by spans of time.

use std::collections::BTreeSet;

use chaos_core::killer::{KillOrder, Ledger};
use chaos_core::model::{Blackout, DayOfWeek, Minute, Schedule, Window};
use jiff::Timestamp;
use jiff::civil::Weekday;

use super::cluster::{State, start};
use super::scenario::{MONKEY, Scenario, is_monkey};
use crate::seats::{HOUR, millis};

/// In milliseconds.
const DAY: i64 = 24 * HOUR;
/// A strike that is so old at the end, in milliseconds, has been killed for or skipped.
const OVER: i64 = 6_000;
/// Whoever crashed or could not reach the API server is at work again so much later, in milliseconds.
const BACK: i64 = 10_000;

/// When what happens to a standing monkey, in milliseconds from the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Its window opens, where a blackout ends then.
    pub(super) opens: i64,
    /// An hour turns, or a day: by that the window opens or closes, or the kills of another day begin.
    pub(super) turns: i64,
    /// Its window closes, where a blackout begins then.
    pub(super) closes: i64,
    /// Kills that it may make a day: few, and more.
    pub(super) kills: [u32; 2],
    /// People suspend it, and let it go on.
    pub(super) suspended: (i64, i64),
    /// They look at what it has planned, and want something else.
    pub(super) looks: [i64; 3],
    /// A dry run goes live.
    pub(super) goes_live: i64,
    /// It is deleted.
    pub(super) deleted: i64,
    /// Kills that all monkeys together may make a day, where there are two.
    pub(super) cap: u32,
    /// What follows from then on is not played.
    pub(super) ends: i64,
}

/// By what a window opens and closes.
#[derive(Debug, Clone, Copy)]
enum Hours {
    /// By blackouts before and after it.
    Spans,
    /// It opens by the hours or the days of the week.
    Open,
    /// It closes by them.
    Close,
}

/// What a schedule of a standing monkey is made of.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct Standing {
    hours: Hours,
    /// The hour that turns is midnight (UTC).
    is_midnight: bool,
    /// Kills that it may make a day.
    pub(super) kills: u32,
    /// People suspend it for a while.
    pub(super) is_suspended: bool,
    /// They cancel and postpone strikes.
    pub(super) is_edited: bool,
    /// It is a dry run at first.
    pub(super) is_dry: bool,
    /// They delete it.
    pub(super) is_deleted: bool,
    /// Its only operator drives another one as well, and there is a cap on both together.
    pub(super) is_capped: bool,
    /// Both are due at one instant, and the cap is a single kill.
    pub(super) are_rivals: bool,
}

impl Standing {
    /// That of a schedule of this kind, if its monkey is a standing one.
    pub(super) fn of(kind: u64, times: &Times) -> Option<Self> {
        let is_standing = (69..86).contains(&(kind % 89));
        // What is gone is listed no more, and a dry run is not counted.
        let is_capped = kind % 61 % 4 == 1;
        is_standing.then(|| Self {
            hours: match kind % 47 % 3 {
                0 => Hours::Spans,
                1 => Hours::Open,
                _ => Hours::Close,
            },
            is_midnight: kind % 53 % 3 == 1,
            kills: times.kills[usize::from(kind % 59 % 2 == 1)],
            is_suspended: kind % 31 % 3 == 1,
            is_edited: kind % 37 % 3 == 1,
            is_dry: kind % 41 % 4 == 1 && !is_capped,
            is_deleted: kind % 43 % 4 == 1 && !is_capped,
            is_capped,
            are_rivals: false,
        })
    }

    /// One whose window is open for as long as it can be, and of which nobody wants anything.
    pub(super) const fn calm(times: &Times) -> Self {
        Self {
            hours: Hours::Spans,
            is_midnight: false,
            kills: times.kills[1],
            is_suspended: false,
            is_edited: false,
            is_dry: false,
            is_deleted: false,
            is_capped: false,
            are_rivals: false,
        }
    }

    /// One beside another that is due when it is, and with it may kill once.
    pub(super) const fn rivals(times: &Times) -> Self {
        Self { is_capped: true, are_rivals: true, ..Self::calm(times) }
    }

    /// The same by a clock that is set: of the day, and of what others counted on it, nobody is sure then; and whoever begins anew, as
    /// its mode is another one, knows of no clock that was set.
    pub(super) const fn by_set_clock(self) -> Self {
        Self { is_midnight: false, is_capped: false, is_dry: false, ..self }
    }

    /// All that comes before the hour or the day turns.
    fn until_turn(self) -> Schedule {
        let always = Schedule::always();
        if self.is_midnight {
            return Schedule { weekdays: BTreeSet::from([DayOfWeek::from(Weekday::Monday)]), ..always };
        }
        Schedule { windows: vec![Window { from: Minute::START, to: noon() }], ..always }
    }

    /// All that comes after it.
    fn since_turn(self) -> Schedule {
        let (always, monday) = (Schedule::always(), DayOfWeek::from(Weekday::Monday));
        if self.is_midnight {
            let weekdays = DayOfWeek::all().into_iter().filter(|day| *day != monday).collect();
            return Schedule { weekdays, ..always };
        }
        Schedule { windows: vec![Window { from: noon(), to: Minute::END }], ..always }
    }
}

fn noon() -> Minute {
    Minute::parse("12:00").unwrap()
}

impl Scenario {
    /// When it begins: so long before the hour turns, if it does.
    pub(super) fn begins(&self) -> Timestamp {
        let Some(standing) = self.standing else { return start() };
        let hour = if standing.is_midnight { start() + millis(DAY / 2) } else { start() };
        hour - millis(self.size.standing.turns)
    }

    /// So many milliseconds after it begins.
    pub(super) fn instant(&self, after: i64) -> Timestamp {
        self.begins() + millis(after)
    }

    /// When a standing monkey may act, in words of the calendar.
    pub(super) fn schedule(&self, standing: Standing) -> Schedule {
        let times = &self.size.standing;
        let blackout = |from, to| Blackout::Span { from: self.instant(from), to: self.instant(to), reason: None };
        let (before, after) = (blackout(-DAY, times.opens), blackout(self.closes(), 30 * DAY));
        match standing.hours {
            Hours::Spans => Schedule { blackout: vec![before, after], ..Schedule::always() },
            Hours::Open => Schedule { blackout: vec![after], ..standing.since_turn() },
            Hours::Close => Schedule { blackout: vec![before], ..standing.until_turn() },
        }
    }

    /// The same, as two instants.
    fn window(&self, standing: Standing) -> (Timestamp, Timestamp) {
        let times = &self.size.standing;
        let (opens, closes) = match standing.hours {
            Hours::Spans => (times.opens, self.closes()),
            Hours::Open => (times.turns, self.closes()),
            Hours::Close => (times.opens, times.turns),
        };
        (self.instant(opens), self.instant(closes))
    }

    /// Whether an instant is of the second day, where a day ends meanwhile.
    fn is_next_day(&self, standing: Standing, at: Timestamp) -> bool {
        standing.is_midnight && at >= self.instant(self.size.standing.turns)
    }

    /// Clocks that are an hour wrong do not agree on the day around midnight.
    const fn knows_day(&self, standing: Standing) -> bool {
        !standing.is_midnight || self.jumps == 0
    }

    /// Kills that a standing monkey may make on all days that are played.
    pub(super) fn most_in_all(&self, standing: Standing) -> u64 {
        let days = 1 + u64::from(standing.is_midnight);
        if self.knows_day(standing) { days * u64::from(standing.kills) } else { u64::MAX }
    }
}

impl State {
    /// What must hold when a kill of a standing monkey leaves at that instant, by the clock of who sends it.
    pub(super) fn check_standing(&self, order: &KillOrder, run: &str, at: Timestamp) {
        let Some(standing) = self.scenario.standing.filter(|_| is_monkey(run)) else { return };
        let (opens, closes) = self.scenario.window(standing);
        let is_open = (opens..closes).contains(&at);
        assert!(is_open, "a kill was sent at {at}, and the window is from {opens} to {closes}");
        let day = self.scenario.is_next_day(standing, self.decided_at(order, run));
        let is_of_day = |decided_at: Timestamp| self.scenario.is_next_day(standing, decided_at) == day;
        let count = |is_meant: &dyn Fn(&str) -> bool| {
            let sends = self.sends.iter().filter(|send| !send.was_refused && is_of_day(send.decided_at));
            sends.filter(|send| is_meant(&send.run)).count()
        };
        let (before, most) = (count(&|other: &str| other == run), standing.kills as usize);
        let is_allowed = before < most || !self.scenario.knows_day(standing);
        assert!(is_allowed, "a kill was sent after {before} others on a day that may have {most}");
        let all = count(&is_monkey);
        // By a clock that is wrong, a kill in hand may look like one that is over.
        let is_capped = self.cap().is_some_and(|cap| all >= cap as usize) && self.scenario.jumps == 0;
        assert!(!is_capped, "a kill was sent after {all} of all monkeys, which may make {:?} a day", self.cap());
        if run == MONKEY {
            self.check_wanted(order, at);
        }
    }

    /// When a kill was decided, by the ledger that was saved before it was sent.
    pub(super) fn decided_at(&self, order: &KillOrder, run: &str) -> Timestamp {
        let ledger = self.statuses.get(run).map(|status| &status.ledger);
        let intents = ledger.into_iter().flat_map(|ledger| &ledger.intents);
        let open = intents.map(|intent| (&intent.nonce, intent.decided_at.0));
        // Whoever has taken over may know already what came of it.
        let kills = ledger.into_iter().flat_map(|ledger| &ledger.history).map(|kill| (&kill.nonce, kill.at.0));
        open.chain(kills).find(|(nonce, _)| **nonce == order.nonce).map_or(self.now, |(_, at)| at)
    }

    /// What must hold when a ledger of a standing monkey is saved by who knows so much of what people want: each strike that leaves
    /// its plan is a kill, or a skip with a reason, unless the monkey is suspended or has ended.
    pub(super) fn check_plan(&self, run: &str, after: &Ledger, known: usize) {
        let Some(before) = self.statuses.get(run).map(|status| &status.ledger) else { return };
        let is_anew = before.plan != after.plan || after.ended.is_some() || self.wish(known).suspended;
        if self.scenario.standing.is_none() || !is_monkey(run) || is_anew {
            return;
        }
        let planned = before.upcoming.iter().map(|planned| planned.strike).chain(before.strikes..after.strikes);
        for strike in planned.filter(|strike| after.upcoming.iter().all(|planned| planned.strike != *strike)) {
            let is_told = after.intents.iter().any(|intent| intent.strike == strike)
                || after.history.iter().any(|kill| kill.strike == strike)
                || after.skipped.iter().any(|skip| skip.strike == strike && !skip.reason.is_empty());
            assert!(is_told, "strike {strike} is not planned any more, and was neither killed for nor skipped");
        }
    }

    /// Whether everybody has been at work again for long enough at the end.
    pub(super) const fn is_settled(&self) -> bool {
        let size = self.scenario.size;
        size.away_from + self.scenario.away + BACK <= size.standing.ends
    }

    /// What must hold at the end: no strike of a standing monkey is left that is over.
    pub(super) fn check_over(&self, run: &str, ledger: &Ledger) {
        // By a clock that is wrong, what is over is to come.
        let is_known = self.scenario.standing.is_some() && self.scenario.jumps == 0 && !self.is_gone(run);
        if !is_known || !self.is_settled() {
            return;
        }
        for planned in &ledger.upcoming {
            let (strike, at) = (planned.strike, planned.at.0);
            let is_open = ledger.intents.iter().any(|intent| intent.strike == strike);
            let is_to_come = self.now <= at + millis(OVER);
            assert!(is_open || is_to_come, "strike {strike} was due at {at}, and nothing came of it");
        }
    }
}
