//! A year of a standing ChaosMonkey on 200 workloads, by the real strike machine under a simulated clock: does it kill as
//! often as stated, in its hours alone, over both changes of daylight-saving time? Prints Markdown:
//! `cargo run --release -p chaos-core --example year > docs/schedules.md`. Exit code 1: something is not as stated.

#![expect(clippy::print_stdout, reason = "a program whose product is its output")]
#![expect(clippy::panic, reason = "a program that ends where its world contradicts itself")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chaos_core::api::{ChaosMonkeySpec, labels};
use chaos_core::killer::{
    Action, BudgetVersion, KillAnswer, KillAnswerKind, Killer, KillerSpec, KillerView, Ledger, Observation, Response,
    Stored, VersionedBudget, calendar,
};
use chaos_core::limits::WorkloadBudget;
use chaos_core::machine::{Machine as _, Next};
use chaos_core::population::{
    NamespaceFacts, OwnerFacts, PodFacts, Population, SwitchState, WorkloadFacts, WorkloadKey,
};
use chaos_core::validate::{self, Meta};
use jiff::Timestamp;
use serde_json::{Value, json};

const WORKLOADS: usize = 200;
const REPLICAS: usize = 3;
const NAMESPACE: &str = "dispatch";
/// Gaps of each workload that are looked at: the first ones, so that the end of the year selects none.
const GAPS: usize = 40;

/// A monkey and its year.
struct Year {
    title: &'static str,
    schedule: fn() -> Value,
    mean: Duration,
    least: Duration,
    from: &'static str,
    until: &'static str,
    /// Local days on which the clock is changed.
    changes: &'static [&'static str],
}

const HOUR: Duration = Duration::from_secs(3_600);

const YEARS: [Year; 3] = [
    Year {
        title: "Europe/Paris, office hours, without the holidays",
        schedule: || {
            json!({"timeZone": "Europe/Paris", "weekdays": ["Mon", "Tue", "Wed", "Thu", "Fri"],
                   "hours": [{"from": "09:00", "to": "12:00"}, {"from": "14:00", "to": "17:00"}],
                   "blackout": [{"date": "2027-05-06", "reason": "Ascension"},
                                {"from": "2027-12-23T23:00:00Z", "to": "2028-01-01T23:00:00Z", "reason": "holidays"}]})
        },
        mean: Duration::from_secs(24 * 3_600),
        least: HOUR,
        from: "2027-01-01T00:00:00+01:00[Europe/Paris]",
        until: "2028-01-01T00:00:00+01:00[Europe/Paris]",
        changes: &["2027-03-28", "2027-10-31"],
    },
    Year {
        title: "Europe/Paris, nights, over both changes of the clock",
        schedule: || json!({"timeZone": "Europe/Paris", "hours": [{"from": "01:00", "to": "05:00"}]}),
        mean: Duration::from_secs(20 * 3_600),
        least: Duration::from_secs(1_800),
        from: "2027-01-01T00:00:00+01:00[Europe/Paris]",
        until: "2028-01-01T00:00:00+01:00[Europe/Paris]",
        changes: &["2027-03-28", "2027-10-31"],
    },
    Year {
        title: "Asia/Tokyo, office hours",
        schedule: || {
            json!({"timeZone": "Asia/Tokyo", "weekdays": ["Mon", "Tue", "Wed", "Thu", "Fri"],
                   "hours": [{"from": "10:00", "to": "18:00"}]})
        },
        mean: Duration::from_secs(24 * 3_600),
        least: HOUR,
        from: "2027-01-01T00:00:00+09:00[Asia/Tokyo]",
        until: "2028-01-01T00:00:00+09:00[Asia/Tokyo]",
        changes: &[],
    },
];

fn main() -> ExitCode {
    println!("# A year of kills\n");
    println!(
        "The strike machine that the operator runs, under a simulated clock: a standing monkey on {WORKLOADS} workloads of \
         {REPLICAS} pods, each with its own stream of kills. Active time is what the schedule allows. A gap is the active \
         time between two kills of one workload; of each workload the first {GAPS} are counted, so that the end of the \
         year selects none. All three have one seed: the gaps are the same draws, laid into different \
         hours.\n\nRegenerate: `cargo run --release -p chaos-core --example year > docs/schedules.md`."
    );
    let wrong: usize = YEARS.iter().map(tell).sum();
    println!("\nStatements that do not hold: {wrong}.");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays a year and prints it. How many statements do not hold.
fn tell(year: &Year) -> usize {
    let mut world = World::new(year);
    world.play(instant(year.until));
    let schedule = world.killer.spec().schedule.clone();
    println!("\n## {}\n", year.title);
    let of = |workload: usize| world.kills.iter().filter(move |(_, hit)| *hit == workload).map(|(at, _)| *at);
    let gaps: Vec<f64> = (0..WORKLOADS)
        .flat_map(|workload| {
            let kills: Vec<Timestamp> = of(workload).take(GAPS + 1).collect();
            let gap = |pair: &[Timestamp]| calendar::active_between(&schedule, pair[0], pair[1]).as_secs_f64();
            kills.windows(2).map(gap).collect::<Vec<_>>()
        })
        .collect();
    let outside = world.kills.iter().filter(|(at, _)| !calendar::stretch(&schedule, *at).active).count();
    let mut wrong = usize::from(outside > 0) + usize::from(gaps.len() != WORKLOADS * GAPS);
    println!("| | |\n|---|---|");
    println!("| kills | {} |", world.kills.len());
    println!("| kills outside the schedule | {outside} |");
    tell_days(year, &world);
    wrong += tell_gaps(year, &gaps);
    let skips = world.skips.iter().map(|(reason, count)| format!("{count} {reason}")).collect::<Vec<_>>().join(", ");
    println!("| skipped, with reason | {} |", if skips.is_empty() { "none" } else { &skips });
    for day in year.changes {
        tell_change(day, &world);
    }
    wrong + tell_histogram(year, &gaps)
}

fn tell_days(year: &Year, world: &World) {
    let schedule = &world.killer.spec().schedule;
    let mut days: BTreeMap<_, u32> = BTreeMap::new();
    for (at, _) in &world.kills {
        *days.entry(schedule.zone.to_datetime(*at).date()).or_default() += 1;
    }
    let active = calendar::active_between(schedule, instant(year.from), instant(year.until));
    let mean = world.kills.len() as f64 / days.len() as f64;
    let most = days.values().max().copied().unwrap_or_default();
    println!("| days with kills | {}, {mean:.1} kills a day, {most} at most |", days.len());
    println!("| active time of the year | {} h |", active.as_secs() / 3_600);
}

/// The mean gap against the stated one: five standard errors are allowed, of which one run in a million has more.
fn tell_gaps(year: &Year, gaps: &[f64]) -> usize {
    let count = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let error = (variance / count).sqrt();
    let hours = |seconds: f64| seconds / 3_600.0;
    let shortest = gaps.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "| mean gap | {:.2} h, 95 % interval {:.2} to {:.2} h; stated: {:.2} h |",
        hours(mean),
        hours(mean - 1.96 * error),
        hours(mean + 1.96 * error),
        hours(year.mean.as_secs_f64())
    );
    println!("| least gap | {:.2} h; stated: {:.2} h |", hours(shortest), hours(year.least.as_secs_f64()));
    let is_off = (mean - year.mean.as_secs_f64()).abs() > 5.0 * error;
    // Instants are stored in whole microseconds.
    let is_short = shortest < year.least.as_secs_f64() - 1e-5;
    usize::from(is_off) + usize::from(is_short)
}

/// The day on which the clock is changed: how much of it is active, and when the kills were by the clock on the wall.
fn tell_change(day: &str, world: &World) {
    let schedule = &world.killer.spec().schedule;
    let date: jiff::civil::Date = day.parse().unwrap_or_else(|error| panic!("{day}: {error}"));
    let midnight = |date: jiff::civil::Date| match date.to_zoned(schedule.zone.clone()) {
        Ok(zoned) => zoned.timestamp(),
        Err(error) => panic!("{date}: {error}"),
    };
    let Ok(next) = date.tomorrow() else { panic!("the end of time") };
    let active = calendar::active_between(schedule, midnight(date), midnight(next));
    let kills: BTreeSet<Timestamp> =
        world.kills.iter().map(|(at, _)| *at).filter(|at| schedule.zone.to_datetime(*at).date() == date).collect();
    let hours: Vec<String> =
        kills.iter().map(|at| at.to_zoned(schedule.zone.clone()).strftime("%H:%M%:z").to_string()).collect();
    let shown = if hours.is_empty() { "none".to_owned() } else { hours.join(", ") };
    println!("| {day}, the clock changes | {:.1} h active; kills: {shown} |", active.as_secs_f64() / 3_600.0);
}

/// Gaps less the least one against the exponential distribution, by tenths: ten equal shares are expected. The chi-square
/// statistic (9 degrees of freedom) has a 99.99 % quantile of 33.7.
fn tell_histogram(year: &Year, gaps: &[f64]) -> usize {
    let spread = year.mean.saturating_sub(year.least).as_secs_f64();
    let mut tenths = [0_u32; 10];
    for gap in gaps {
        let share = 1.0 - (-(gap - year.least.as_secs_f64()).max(0.0) / spread).exp();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10; `as` saturates")]
        let tenth = (share * 10.0) as usize;
        tenths[tenth.min(9)] += 1;
    }
    let expected = gaps.len() as f64 / 10.0;
    let chi: f64 = tenths.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    println!(
        "\nGaps by tenths of `min + Exp(mean − min)`; {expected:.0} are expected in each, chi-square {chi:.1} (bar 33.7):\n"
    );
    println!("| up to | gaps | |\n|---|---|---|");
    for (tenth, count) in tenths.iter().enumerate() {
        let below = 1.0 - (tenth + 1) as f64 / 10.0;
        let edge = if tenth == 9 {
            "longer".to_owned()
        } else {
            format!("{:.1} h", (year.least.as_secs_f64() - spread * below.ln()) / 3_600.0)
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a short bar; `as` saturates")]
        let bar = "█".repeat((f64::from(*count) / expected * 20.0).round() as usize);
        println!("| {edge} | {count} | {bar} |");
    }
    usize::from(chi > 33.7)
}

/// A cluster in which every kill is accepted and replaced at once.
struct World {
    killer: Killer,
    population: Arc<Population>,
    budgets: BTreeMap<String, (u64, WorkloadBudget)>,
    now: Timestamp,
    born: usize,
    kills: Vec<(Timestamp, usize)>,
    skips: BTreeMap<String, u64>,
}

impl World {
    fn new(year: &Year) -> Self {
        let hours = |span: Duration| format!("{}s", span.as_secs());
        let spec = json!({
            "target": {"selector": {"matchLabels": {"tier": "all"}}},
            "fault": {"podKill": {"mode": "Evict", "group": "Workload"}},
            "mode": "Live", "meanTimeBetweenKills": hours(year.mean), "minTimeBetweenKills": hours(year.least),
            "schedule": (year.schedule)(), "guards": [], "seed": 2_027,
            "limits": {"maxUnavailable": 1, "minReady": 1, "maxKills": 1_000, "minInterval": "0s",
                       "recoverWithin": "5m", "maxBlind": "1m", "allowForce": false},
        });
        let spec: ChaosMonkeySpec = serde_json::from_value(spec).unwrap_or_else(|error| panic!("{error}"));
        let meta = Meta { name: "year".into(), namespace: NAMESPACE.into(), uid: "monkey".into() };
        let monkey = validate::monkey(&spec, &meta).unwrap_or_else(|problems| panic!("{problems:?}"));
        let now = instant(year.from);
        let mut world = Self {
            killer: Killer::new(KillerSpec::of_monkey(&monkey, "chaos-system")),
            population: Arc::new(population(now)),
            budgets: BTreeMap::new(),
            now,
            born: 0,
            kills: Vec::new(),
            skips: BTreeMap::new(),
        };
        for workload in 0..WORKLOADS {
            for _ in 0..REPLICAS {
                world.bear(workload);
            }
        }
        world
    }

    fn play(&mut self, until: Timestamp) {
        let killer = self.killer.clone();
        let view = KillerView::default();
        let (mut state, mut response) = (killer.resume(Ledger::default()), None);
        let mut skipped = BTreeSet::new();
        while self.now < until {
            let step = killer.step(&state, &view, response.take(), self.now);
            state = step.state;
            for skip in &state.ledger.skipped {
                if skipped.insert(skip.strike) {
                    *self.skips.entry(skip.reason.clone()).or_default() += 1;
                }
            }
            match step.next {
                Next::Act(action) => response = Some(self.answer(action)),
                Next::Done => panic!("a standing monkey ended: {:?}", state.ledger.ended),
                Next::Wait(at) => {
                    // Nothing changes here between two strikes: the looks that a real world needs then are left out.
                    let next = state.ledger.upcoming.iter().map(|strike| strike.at.0).min();
                    let next = next.filter(|next| *next > self.now && state.ledger.recovering.is_empty());
                    self.now = next.or(at).unwrap_or(until);
                }
            }
        }
    }

    fn answer(&mut self, action: Action) -> Response {
        match action {
            Action::Survey(_) => self.look(Vec::new()),
            Action::Observe { budgets, .. } => self.look(budgets),
            Action::ReadBudget(key) => Response::Budget(Ok(self.budget(&key))),
            Action::WriteBudget { workload, budget, .. } => {
                let stored = self.budgets.entry(workload.uid.clone()).or_default();
                *stored = (stored.0 + 1, budget);
                Response::Stored(Stored::Done(self.budget(&workload).version))
            }
            Action::Kill(order) => {
                let Some(index) = self.population.pods.iter().position(|pod| pod.uid == order.victim.uid) else {
                    panic!("{} is not there", order.victim.pod);
                };
                Arc::make_mut(&mut self.population).pods.remove(index);
                let Ok(workload) = order.victim.workload_uid.parse() else { panic!("{:?}", order.victim) };
                self.kills.push((self.now, workload));
                self.bear(workload);
                Response::Kill(KillAnswer { at: self.now, kind: KillAnswerKind::Accepted, message: None })
            }
            Action::LookUp(victim) => panic!("every kill is answered, and {} is looked for", victim.pod),
        }
    }

    fn look(&mut self, budgets: Vec<WorkloadKey>) -> Response {
        let budgets = budgets.into_iter().map(|key| (key.clone(), Ok(self.budget(&key)))).collect();
        Arc::make_mut(&mut self.population).taken_at = self.now;
        let (readings, population) = (Vec::new(), Arc::clone(&self.population));
        Response::Observed(Ok(Observation { budgets, readings, population }))
    }

    fn budget(&self, workload: &WorkloadKey) -> VersionedBudget {
        let Some((version, budget)) = self.budgets.get(&workload.uid).cloned() else {
            return VersionedBudget { version: BudgetVersion::Absent, budget: WorkloadBudget::default() };
        };
        VersionedBudget { version: BudgetVersion::At { version: version.to_string(), uid: "lease".into() }, budget }
    }

    /// Another pod of a workload.
    fn bear(&mut self, workload: usize) {
        self.born += 1;
        let key = key(workload);
        let pod = PodFacts {
            namespace: NAMESPACE.into(),
            name: format!("{}-{}", key.name, self.born),
            uid: format!("pod-{}", self.born),
            labels: BTreeMap::from([
                (labels::ENABLED.to_owned(), "true".to_owned()),
                ("tier".to_owned(), "all".to_owned()),
            ]),
            owner: Some(OwnerFacts { kind: "ReplicaSet".into(), name: key.name.clone(), uid: key.uid.clone() }),
            workload: Some(key),
            node: None,
            created_at: self.now,
            ready: true,
            ready_since: Some(self.now),
            phase: "Running".into(),
            terminating: false,
            mirror: false,
            priority_class: None,
            template: None,
        };
        Arc::make_mut(&mut self.population).pods.push(pod);
    }
}

fn population(now: Timestamp) -> Population {
    let enabled = BTreeMap::from([(labels::ENABLED.to_owned(), "true".to_owned())]);
    let workload = |index| WorkloadFacts {
        key: key(index),
        desired: u32::try_from(REPLICAS).unwrap_or_default(),
        rollout: None,
        terminating: false,
    };
    Population {
        taken_at: now,
        environment: None,
        switch: SwitchState::Running,
        namespaces: vec![NamespaceFacts {
            name: NAMESPACE.into(),
            labels: enabled,
            stopped: false,
            terminating: false,
        }],
        workloads: (0..WORKLOADS).map(workload).collect(),
        pods: Vec::new(),
        nodes: None,
        budgets: Vec::new(),
    }
}

fn key(index: usize) -> WorkloadKey {
    WorkloadKey {
        namespace: NAMESPACE.into(),
        kind: "Deployment".into(),
        name: format!("service-{index:03}"),
        uid: index.to_string(),
    }
}

fn instant(text: &str) -> Timestamp {
    let zoned: jiff::Zoned = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
    zoned.timestamp()
}
