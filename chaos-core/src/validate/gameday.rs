//! A GameDay as a whole: its calendar, that its steps form no circle, and that what people want of it is meant for this object.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;

use super::gameday_guard::{check, guards};
use super::gameday_plan;
use super::monkey::{blackout, time_zone};
use super::path::Path;
use super::problem::Problems;
use super::suggest::closest;
use super::target::name;
use super::{Meta, names};
use crate::api;
use crate::model::{Cron, GameDay, Step, StepKind};
use crate::units::Duration;

/// The schedule of a game day that is started by hand alone.
const MANUAL: &str = "Manual";
/// Steps of one game day.
const MOST_STEPS: usize = 20;
/// A run whose step names no bound is aborted after so long.
const RUN_WITHIN: Duration = Duration::from_secs(24 * 3_600);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);
const WEEK: Duration = Duration::from_secs(168 * 3_600);
/// Expressions are asked for a slot from here on: one that has none within all that a calendar can bring has none.
const EPOCH: DateTime = date(2000, 1, 1).at(0, 0, 0, 0);

/// The game day, if it is valid.
pub(super) fn gameday(raw: &api::GameDaySpec, meta: &Meta, problems: &mut Problems) -> Option<GameDay> {
    let at = Path::root().field("spec");
    meta.check(problems);
    let cron = cron(&raw.schedule, &at.field("schedule"), problems);
    let zone = match &raw.time_zone {
        None => Some(TimeZone::UTC),
        Some(zone) => time_zone(zone, &at.field("timeZone"), problems),
    };
    let blackouts = raw.blackout.iter().enumerate();
    let blackout = blackouts.filter_map(|(i, raw)| blackout(raw, &at.field("blackout").index(i), problems)).collect();
    within(raw.starting_deadline, DAY, &at.field("startingDeadline"), problems);
    let steps = steps(&raw.steps, &at.field("steps"), problems);
    let guards = guards(raw, &at, problems);
    let is_ours = |uid: &str| !meta.uid.is_empty() && uid == meta.uid;
    let control = raw.control.clone().unwrap_or_default();
    let approved = control.approve.into_iter().filter(|approval| is_ours(&approval.game_day_uid));
    Some(GameDay {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        uid: meta.uid.clone(),
        cron: cron?,
        zone: zone?,
        blackout,
        starting_deadline: raw.starting_deadline,
        mode: raw.mode,
        steps: steps?,
        guards: guards?,
        concurrency: raw.concurrency_policy,
        on_failure: raw.on_failure,
        history: raw.history,
        suspend: raw.suspend,
        start: control.start.filter(|start| is_ours(&start.game_day_uid)).map(|start| start.id),
        approved: approved.map(|approval| (approval.execution, approval.step)).collect(),
        abort: control.abort.into_iter().collect(),
        plan: gameday_plan::digest(raw),
        calendar: format!("{} {}", raw.schedule, raw.time_zone.as_deref().unwrap_or("UTC")),
    })
}

/// `Some(None)`: it is started by hand.
#[expect(clippy::option_option, reason = "not valid, by hand, or a calendar")]
fn cron(text: &str, at: &Path, problems: &mut Problems) -> Option<Option<Cron>> {
    if text == MANUAL {
        return Some(None);
    }
    if text.eq_ignore_ascii_case(MANUAL) {
        problems.add(at, format!("{text:?} is no schedule")).hint(format!("write {MANUAL}"));
        return None;
    }
    match text.parse::<Cron>() {
        Ok(cron) if cron.next_after(EPOCH).is_some() => Some(Some(cron)),
        Ok(_) => {
            problems.add(at, format!("{text:?} is never: there is no such day")).hint("look at the day of the month");
            None
        }
        Err(error) => {
            let hint = "minute hour day-of-month month day-of-week, such as \"0 9 * * MON-FRI\"; or Manual";
            problems.add(at, error.to_string()).hint(hint);
            None
        }
    }
}

fn within(span: Duration, most: Duration, at: &Path, problems: &mut Problems) {
    if span < SECOND || span > most {
        problems.add(at, format!("{span} is not between {SECOND} and {most}"));
    }
}

fn steps(raw: &[api::GameDayStep], at: &Path, problems: &mut Problems) -> Option<Vec<Step>> {
    let before = problems.len();
    if raw.is_empty() || raw.len() > MOST_STEPS {
        problems.add(at, format!("{} steps: between 1 and {MOST_STEPS} are allowed", raw.len()));
        return None;
    }
    if raw.iter().all(|step| step.experiment.is_none()) {
        problems.add(at, "no step is an experiment").hint("add one: {name: …, experiment: {name: …}}");
    }
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, step) in raw.iter().enumerate() {
        let at = at.index(i).field("name");
        name(&step.name, names::dns_label, &at, problems);
        if let Some(first) = known.insert(&step.name, i) {
            problems.add(&at, format!("steps {} and {} are both named {}", first + 1, i + 1, step.name));
        }
    }
    for (i, step) in raw.iter().enumerate() {
        dependencies(step, &known, &at.index(i).field("dependsOn"), problems);
    }
    let found = raw.iter().enumerate().map(|(i, raw)| step(raw, &at.index(i), problems)).collect::<Option<Vec<_>>>();
    if problems.len() == before
        && let Some(circle) = circle(raw)
    {
        problems.add(at, format!("steps wait for each other: {circle}")).hint("take one dependsOn out");
    }
    found
}

fn dependencies(step: &api::GameDayStep, known: &BTreeMap<&str, usize>, at: &Path, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (i, other) in step.depends_on.iter().enumerate() {
        let at = at.index(i);
        if *other == step.name {
            problems.add(&at, format!("step {other} depends on itself"));
        } else if !known.contains_key(other.as_str()) {
            let problem = problems.add(&at, format!("there is no step {other:?}"));
            if let Some(meant) = closest(other, known.keys().copied()) {
                problem.hint(format!("did you mean {meant}?"));
            } else {
                problem.hint(format!("the steps are {}", known.keys().copied().collect::<Vec<_>>().join(", ")));
            }
        } else if !seen.insert(other) {
            problems.add(&at, format!("{other} is named twice"));
        }
    }
}

fn step(raw: &api::GameDayStep, at: &Path, problems: &mut Problems) -> Option<Step> {
    let kind = match (&raw.experiment, raw.wait, &raw.approval, &raw.check) {
        (Some(experiment), None, None, None) => {
            let at = at.field("experiment");
            name(&experiment.name, names::dns_label, &at.field("name"), problems);
            let bound = experiment.within.unwrap_or(RUN_WITHIN);
            within(bound, WEEK, &at.field("within"), problems);
            strikes(experiment.overrides.as_ref(), &at.field("overrides"), problems);
            strikes(experiment.shrunk.as_ref(), &at.field("shrunk"), problems);
            StepKind::Experiment {
                experiment: experiment.name.clone(),
                overrides: experiment.overrides.clone(),
                shrunk: experiment.shrunk.clone(),
                within: bound,
            }
        }
        (None, Some(wait), None, None) => {
            within(wait, DAY, &at.field("wait"), problems);
            StepKind::Wait(wait)
        }
        (None, None, Some(approval), None) => {
            within(approval.within, WEEK, &at.fields("approval.within"), problems);
            StepKind::Approval { prompt: approval.prompt.clone(), within: approval.within }
        }
        (None, None, None, Some(raw)) => {
            let at = at.field("check");
            within(raw.within, DAY, &at.field("within"), problems);
            StepKind::Check { check: check(raw, &at, problems)?, within: raw.within }
        }
        _ => {
            problems
                .add_at_key(at, "give exactly one of experiment, wait, approval, check")
                .hint("make several steps of it");
            return None;
        }
    };
    Some(Step { name: raw.name.clone(), depends_on: raw.depends_on.clone(), kind })
}

/// What can be said of overrides without the experiment that they change.
fn strikes(overrides: Option<&api::RunOverrides>, at: &Path, problems: &mut Problems) {
    let strikes = overrides.and_then(|overrides| overrides.strikes);
    if let Some(strikes) = strikes.filter(|strikes| strikes.min > strikes.target) {
        let message = format!("min is {}, above the target of {}", strikes.min, strikes.target);
        problems.add(&at.fields("strikes.min"), message);
    }
}

/// Steps that wait for each other, as `a → b → a`. Names are known and unique.
fn circle(raw: &[api::GameDayStep]) -> Option<String> {
    let of: BTreeMap<&str, &[String]> =
        raw.iter().map(|step| (step.name.as_str(), step.depends_on.as_slice())).collect();
    // Steps that nothing unfinished stands before are taken out, until there are none.
    let mut left: BTreeSet<&str> = of.keys().copied().collect();
    loop {
        let is_free = |step: &&str| of[step].iter().all(|other| !left.contains(other.as_str()));
        let free: Vec<&str> = left.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            break;
        }
        free.iter().for_each(|step| _ = left.remove(step));
    }
    // Every step that is left waits for one that is left: walking along, one comes up again.
    let mut walk: Vec<&str> = vec![left.first().copied()?];
    loop {
        let last = walk.last().copied()?;
        let next = of[last].iter().map(String::as_str).find(|other| left.contains(other))?;
        if let Some(start) = walk.iter().position(|step| *step == next) {
            walk.push(next);
            return Some(walk[start..].join(" → "));
        }
        walk.push(next);
    }
}
