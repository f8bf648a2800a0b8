//! Operated runs, played in a little world: an operator that crashes before and after everything it does, clocks that jump,
//! probers that are late, lost or unfit. Whatever happens, a run ends, and ends with what happened.

mod evidence;
mod status;

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::*;
use crate::api::ProberStage;
use crate::instant::after;
use crate::machine::{Machine as _, Next};
use crate::record::Phase;

fn machine() -> OperatedRun {
    let run = RunMachine {
        baseline: Duration::from_secs(8),
        fault_ceiling: Duration::from_secs(60),
        recovery: Duration::from_secs(10),
        recover_within: Duration::from_secs(30),
        max_blind: Duration::from_secs(30),
    };
    OperatedRun { run, mode: Mode::Live, approval: None }
}

fn start() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn resolved(digest: &str) -> ResolvedRun {
    ResolvedRun { plan_digest: digest.into(), seed: 7, candidates: 3, strikes: 5, ..ResolvedRun::default() }
}

/// Where an operator crashes: before the n-th thing it does, counting saves and both sides of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crash {
    at: usize,
    /// What the next operator's clock says besides: it may run on another node.
    jump: SignedDuration,
}

/// A world without faults, unless a test sets some.
struct World {
    now: Timestamp,
    saved: Record,
    points: usize,
    crashes: Vec<Crash>,
    /// Actions that were carried out, in order.
    done: Vec<String>,
    recorded: BTreeSet<Phase>,
    stop: Option<StopCause>,
    orders: Vec<ProberStage>,
    killing: bool,
    begun: bool,
    /// A note is lost with the operator that took it: it could not be written.
    notes_are_lost: bool,
    plan: fn(&Self) -> Result<ResolvedRun, Unfit>,
    /// Whether the record can be begun, or read back.
    record: fn(&Self) -> Result<(), RecordLoss>,
    view: View,
}

struct Crashed;

/// What such a world shows.
type View = fn(&World) -> OperatedView;

impl World {
    fn new() -> Self {
        Self {
            now: start(),
            saved: Record::default(),
            points: 0,
            crashes: Vec::new(),
            done: Vec::new(),
            recorded: BTreeSet::new(),
            stop: None,
            orders: Vec::new(),
            killing: false,
            begun: false,
            notes_are_lost: false,
            plan: |_| Ok(resolved("p1")),
            record: |_| Ok(()),
            view: |_| OperatedView { prober: ProberView::Ready, ..OperatedView::default() },
        }
    }

    fn elapsed(&self) -> i64 {
        self.now.duration_since(start()).as_secs()
    }

    /// A point at which the operator may crash.
    fn point(&mut self) -> Result<(), Crashed> {
        let here = self.points;
        self.points += 1;
        match self.crashes.iter().find(|crash| crash.at == here) {
            Some(crash) => {
                self.now = self.now.checked_add(crash.jump).unwrap();
                Err(Crashed)
            }
            None => Ok(()),
        }
    }

    fn perform(&mut self, action: &OperatedAction) -> OperatedResponse {
        self.done.push(format!("{action:?}").split([' ', '{']).next().unwrap_or_default().to_owned());
        match action {
            OperatedAction::Resolve => return OperatedResponse::Resolved((self.plan)(self)),
            OperatedAction::Begin => self.begun |= (self.record)(self).is_ok(),
            OperatedAction::TakeUp => {}
            OperatedAction::Judge => {
                let verdict = match &self.stop {
                    Some(cause) => aborted_before_start(&format!("{cause:?}")),
                    None => of_phases(&self.recorded),
                };
                return OperatedResponse::Judged(verdict);
            }
            OperatedAction::Run(action) => {
                assert!(self.begun, "nothing is done that the record does not tell");
                match action {
                    RunAction::StartProbes => _ = self.recorded.insert(Phase::Baseline),
                    RunAction::StartKiller { .. } => {
                        self.recorded.insert(Phase::Fault);
                        self.killing = true;
                    }
                    RunAction::BeginRecovery => _ = self.recorded.insert(Phase::Recovery),
                    RunAction::StopKiller => self.killing = false,
                    RunAction::StopProbes => _ = self.recorded.insert(Phase::WindDown),
                    RunAction::NoteStop(cause) => _ = self.stop.get_or_insert_with(|| cause.clone()),
                    RunAction::AskBefore | RunAction::AskAfter | RunAction::CleanUp => {}
                }
                return OperatedResponse::Done;
            }
        }
        OperatedResponse::Recorded((self.record)(self))
    }

    /// The driver, with its points of failure.
    fn drive(&mut self, machine: &OperatedRun) -> Result<Record, Crashed> {
        let (mut state, mut response) = (machine.resume(self.saved.clone()), None);
        loop {
            let step = machine.step(&state, &(self.view)(self), response.take(), self.now);
            if step.state.record != state.record {
                self.point()?;
                self.saved = step.state.record.clone();
                if let Some(order) = order_of(&self.saved.stage) {
                    self.orders.push(order);
                }
            }
            state = step.state;
            match step.next {
                Next::Act(action) => {
                    self.point()?;
                    let answer = self.perform(&action);
                    self.point()?;
                    response = Some(answer);
                }
                Next::Wait(until) => {
                    let until = until.expect("no state waits without a deadline");
                    assert!(until > self.now, "no busy loop: {:?}", state.record.stage);
                    self.now = until;
                }
                Next::Done => return Ok(state.record),
            }
            assert!(self.elapsed() < 8 * 86_400, "it never ends: {:?}", state.record.stage);
        }
    }

    /// Runs to the end, over all crashes.
    fn play(&mut self, machine: &OperatedRun) -> Record {
        for _ in 0..=self.crashes.len() {
            if let Ok(record) = self.drive(machine) {
                assert!(self.orders.is_sorted(), "orders only ever go forwards: {:?}", self.orders);
                assert_eq!(record.stage, Stage::Completed);
                return record;
            }
            self.killing = false;
            self.stop.take_if(|_| self.notes_are_lost);
        }
        panic!("more crashes than there are");
    }
}

/// Stands for the judge: all phases were recorded, or not.
fn of_phases(recorded: &BTreeSet<Phase>) -> RunVerdict {
    let outcome = if recorded.len() == 4 { "pass" } else { "inconclusive" };
    RunVerdict { outcome: outcome.into(), exit_code: 0, reason_code: "X".into(), reason_text: format!("{recorded:?}") }
}

fn healthy(world: &World) -> OperatedView {
    let run = RunView { killer_done: world.killing && world.elapsed() > 20, ..RunView::default() };
    OperatedView { prober: ProberView::Ready, run, ..OperatedView::default() }
}

fn verdict(record: &Record) -> (&str, &str) {
    let verdict = record.verdict.as_ref().expect("a completed run has a verdict");
    (&verdict.outcome, &verdict.reason_code)
}

#[test]
fn a_run_goes_through_all_phases_once() {
    let mut world = World { view: healthy, ..World::new() };
    let record = world.play(&machine());
    assert_eq!(verdict(&record).0, "pass");
    let run = |action: &str| format!("Run({action}");
    let expected = [
        "Resolve".to_owned(),
        "Begin".into(),
        run("StartProbes)"),
        run("AskBefore)"),
        run("StartKiller"),
        run("StopKiller)"),
        run("BeginRecovery)"),
        run("StopKiller)"),
        run("StopProbes)"),
        run("AskAfter)"),
        run("CleanUp)"),
        "Judge".into(),
    ];
    assert_eq!(world.done, expected);
    let mut orders = world.orders.clone();
    orders.dedup();
    let (load, stop, after) = (ProberStage::Load, ProberStage::Stop, ProberStage::AskAfter);
    assert_eq!(orders, [ProberStage::Prepare, load, stop, after, ProberStage::Release]);
}

#[test]
fn a_crash_anywhere_changes_nothing_about_the_end() {
    let mut calm = World { view: healthy, ..World::new() };
    let expected = calm.play(&machine());
    let hour = SignedDuration::from_hours(1);
    for at in 0..calm.points {
        for jump in [SignedDuration::ZERO, hour, -hour] {
            let mut world = World { view: healthy, crashes: vec![Crash { at, jump }], ..World::new() };
            let record = world.play(&machine());
            assert_eq!(verdict(&record), verdict(&expected), "crash {at} with a jump of {jump}: {:#?}", world.done);
            let phases = world.done.iter().filter(|action| action.starts_with("Run(StartProbes")).count();
            assert!(phases <= 2, "performed once more at most");
        }
    }
}

#[test]
fn crashes_over_and_over_change_nothing_either() {
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..2_000 {
        let mut crashes = Vec::new();
        let mut at = 0;
        for _ in 0..8 {
            at += 1 + random(8);
            let seconds = i64::try_from(random(600)).unwrap() - 300;
            crashes.push(Crash { at, jump: SignedDuration::from_secs(seconds) });
        }
        let mut world = World { view: healthy, crashes, ..World::new() };
        let record = world.play(&machine());
        assert_eq!(verdict(&record).0, "pass", "round {round}: {:#?}", world.done);
    }
}

#[test]
fn what_stops_a_run_survives_every_crash() {
    let stopped = |world: &World| {
        let stop = (15..16).contains(&world.elapsed()).then(|| StopCause::Switch { message: "off".into() });
        OperatedView { run: RunView { stop, ..RunView::default() }, ..healthy(world) }
    };
    // Seen once, and gone again when the operator is back.
    let mut calm = World { view: stopped, ..World::new() };
    calm.play(&machine());
    assert!(calm.stop.is_some());
    for (at, notes_are_lost) in (0..calm.points).flat_map(|at| [(at, false), (at, true)]) {
        let crashes = vec![Crash { at, jump: SignedDuration::ZERO }];
        let mut world = World { view: stopped, crashes, notes_are_lost, ..World::new() };
        let record = world.play(&machine());
        let seen = world.done.iter().any(|action| action.starts_with("Run(NoteStop"));
        assert_eq!(seen, world.stop.is_some(), "crash {at}, notes are lost: {notes_are_lost}");
        assert_eq!(seen, verdict(&record).0 == "aborted", "crash {at}, notes are lost: {notes_are_lost}");
    }
}

#[test]
fn nobody_is_let_in_to_kill_for_a_run_that_must_end_when_it_is_taken_up() {
    let views: [fn(&World) -> OperatedView; 2] = [
        |world| {
            let stop = Some(StopCause::Probes { message: "load is off".into() });
            OperatedView { run: RunView { stop, ..RunView::default() }, ..healthy(world) }
        },
        |world| OperatedView { abort: Some("enough".into()), ..healthy(world) },
    ];
    for view in views {
        let ceiling = after(start(), Duration::from_secs(60));
        let stage = Stage::Running(RunState::Fault { ceiling });
        let saved = Record { stage, resolved: Some(resolved("p1")), verdict: None };
        let mut world = World { saved, begun: true, view, ..World::new() };
        assert_eq!(verdict(&world.play(&machine())).0, "aborted");
        assert!(!world.done.iter().any(|action| action.contains("StartKiller")), "{:?}", world.done);
        assert!(world.done.contains(&"Run(StopKiller)".to_owned()), "{:?}", world.done);
    }
}

#[test]
fn the_time_in_which_nobody_drove_a_run_is_none_in_which_it_was_looked_for_what_it_waits_for() {
    let later = |seconds: u64| after(start(), Duration::from_secs(seconds));
    let saved = |stage: Stage| Record { stage, resolved: Some(resolved("p1")), verdict: None };
    // It is taken up ten minutes later, and what it waits for is seen a few seconds after that.
    let silent = |world: &World| -> OperatedView {
        let prober = if world.elapsed() < 605 { ProberView::Silent } else { ProberView::Ready };
        OperatedView { prober, ..healthy(world) }
    };
    let preparing = || saved(Stage::Preparing { until: later(60), queued: None });
    let mut world = World { saved: preparing(), now: later(600), view: silent, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())).0, "pass", "{:?}", world.done);
    let plan = |world: &World| -> Result<ResolvedRun, Unfit> {
        if world.elapsed() < 605 { Err(Unfit::out_of_reach("no answer")) } else { Ok(resolved("p1")) }
    };
    let resolving = saved(Stage::Resolving { until: later(30) });
    let mut world = World { saved: resolving, now: later(600), plan, view: healthy, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())).0, "pass", "{:?}", world.done);
    let untold = |world: &World| -> OperatedView {
        let healthy = healthy(world);
        OperatedView { run: RunView { unmeasured: (world.elapsed() < 605).then(start), ..healthy.run }, ..healthy }
    };
    let baseline = saved(Stage::Running(RunState::Baseline { until: later(8) }));
    let recorded = BTreeSet::from([Phase::Baseline]);
    let mut world = World { saved: baseline, now: later(600), begun: true, recorded, view: untold, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())).0, "pass", "{:?}", world.done);
    // It has an end all the same.
    let nobody = |world: &World| -> OperatedView { OperatedView { prober: ProberView::Silent, ..healthy(world) } };
    let mut world = World { saved: preparing(), now: later(600), view: nobody, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())).1, "OutOfReach");
    assert!((660..=661).contains(&world.elapsed()), "{}", world.elapsed());
    // However often it is taken up.
    for (at, ends) in [(30, 60), (55, 65)] {
        let mut world = World { saved: preparing(), now: later(at), view: nobody, ..World::new() };
        assert_eq!(verdict(&world.play(&machine())).1, "OutOfReach");
        assert!((ends..=ends + 1).contains(&world.elapsed()), "{at}: {}", world.elapsed());
    }
}

#[test]
fn whoever_ends_a_run_does_not_wait_for_a_record_that_is_out_of_reach_as_long_as_others() {
    let record = |_: &World| -> Result<(), RecordLoss> { Err(RecordLoss::Unreached("no answer".into())) };
    let aborted = |world: &World| -> OperatedView {
        OperatedView { abort: (world.elapsed() >= 100).then(|| "enough".into()), ..healthy(world) }
    };
    // Before anything was touched there is nothing to wait for.
    let mut world = World { view: aborted, record, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())), ("aborted", "Interrupted"));
    assert!((100..=102).contains(&world.elapsed()), "{}", world.elapsed());
    let in_recovery = || {
        let stage = Stage::Running(RunState::Recovery { until: after(start(), Duration::from_secs(10)) });
        Record { stage, resolved: Some(resolved("p1")), verdict: None }
    };
    let at_once = |world: &World| -> OperatedView { OperatedView { abort: Some("enough".into()), ..healthy(world) } };
    let views: [(View, i64); 3] = [(aborted, 100), (at_once, 30), (healthy, 600)];
    for (view, ends) in views {
        let mut world = World { saved: in_recovery(), begun: true, view, record, ..World::new() };
        assert_eq!(verdict(&world.play(&machine())), ("aborted", "Orphaned"));
        assert!((ends..=ends + 1).contains(&world.elapsed()), "{}", world.elapsed());
    }
}

#[test]
fn nothing_is_touched_by_a_dry_run_a_refusal_or_an_abort() {
    let cases: [(&str, World, OperatedRun, &str); 7] = [
        ("dry run", World::new(), OperatedRun { mode: Mode::DryRun, ..machine() }, "DryRun"),
        ("refused", World { plan: |_| Err(Unfit::refused("the switch")), ..World::new() }, machine(), "Refused"),
        ("not permitted", World { plan: |_| Err(Unfit::not_permitted("kill")), ..World::new() }, machine(), "Refused"),
        ("blind", World { plan: |_| Err(Unfit::out_of_reach("no answer")), ..World::new() }, machine(), "OutOfReach"),
        ("no prober", World { view: |_| OperatedView::default(), ..World::new() }, machine(), "OutOfReach"),
        (
            "unfit prober",
            World {
                view: |_| OperatedView {
                    prober: ProberView::Unfit(Unfit::invalid("no such Service")),
                    ..OperatedView::default()
                },
                ..World::new()
            },
            machine(),
            "InvalidManifest",
        ),
        (
            "aborted",
            World {
                view: |_| OperatedView { abort: Some("spec.control.abort".into()), ..OperatedView::default() },
                ..World::new()
            },
            machine(),
            "Interrupted",
        ),
    ];
    for (name, mut world, machine, reason) in cases {
        let record = world.play(&machine);
        assert_eq!(verdict(&record).1, reason, "{name}");
        assert!(world.done.iter().all(|action| action == "Resolve"), "{name}: {:?}", world.done);
        assert!(!world.orders.contains(&ProberStage::Load), "{name}");
        assert!(world.elapsed() <= 61, "{name}: {}", world.elapsed());
    }
}

#[test]
fn a_permission_that_is_said_to_be_missing_is_asked_for_again_for_a_moment_and_a_refusal_is_final() {
    fn ends_after(plan: fn(&World) -> Result<ResolvedRun, Unfit>) -> (String, i64) {
        let mut world = World { view: healthy, plan, ..World::new() };
        let record = world.play(&machine());
        (verdict(&record).1.to_owned(), world.elapsed())
    }
    assert_eq!(ends_after(|_| Err(Unfit::refused("the switch"))), ("Refused".to_owned(), 0));
    assert_eq!(ends_after(|_| Err(Unfit::not_permitted("kill"))), ("Refused".to_owned(), 5));
    assert_eq!(ends_after(|_| Err(Unfit::out_of_reach("no answer").for_good())), ("OutOfReach".to_owned(), 0));
    let told_late = |world: &World| {
        if world.elapsed() < 4 { Err(Unfit::not_permitted("kill")) } else { Ok(resolved("p1")) }
    };
    assert_eq!(ends_after(told_late).0, "X", "it goes on once the permission is there");
    // The time in which there was no answer is none in which it was missing.
    let after_silence = |world: &World| match world.elapsed() {
        0..20 => Err(Unfit::out_of_reach("no answer")),
        20..24 => Err(Unfit::not_permitted("kill")),
        _ => Ok(resolved("p1")),
    };
    assert_eq!(ends_after(after_silence).0, "X");
}

#[test]
fn a_run_waits_for_its_turn_for_as_long_as_a_prober_says_so() {
    let waits = |world: &World| -> OperatedView {
        let prober = if world.elapsed() < 7_200 { ProberView::Queued } else { ProberView::Ready };
        OperatedView { prober, ..healthy(world) }
    };
    let mut world = World { view: waits, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())).0, "pass");
    assert!(world.elapsed() > 7_200 && world.points < 100, "{} s, {} writes and more", world.elapsed(), world.points);
    let hour = SignedDuration::from_hours(1);
    for at in 0..12 {
        let crashes = vec![Crash { at, jump: -hour }];
        assert_eq!(verdict(&World { view: waits, crashes, ..World::new() }.play(&machine())).0, "pass", "crash {at}");
    }
    // One that does not say so any more has as much time as one that never did.
    let silent = |world: &World| -> OperatedView {
        let prober = if world.elapsed() < 600 { ProberView::Queued } else { ProberView::Silent };
        OperatedView { prober, ..healthy(world) }
    };
    let mut world = World { view: silent, ..World::new() };
    assert_eq!(verdict(&world.play(&machine())).1, "OutOfReach");
    assert!((659..=661).contains(&world.elapsed()), "{}", world.elapsed());
}

#[test]
fn a_plan_has_to_be_approved_as_it_is() {
    let machine = OperatedRun { approval: Some(Duration::from_secs(600)), ..machine() };
    // Nobody.
    let mut world = World { view: healthy, ..World::new() };
    assert_eq!(verdict(&world.play(&machine)), ("invalid", "NotApproved"));
    assert_eq!(world.elapsed(), 600);
    // Another plan, or the plan of another run.
    let wrong = |world: &World| -> OperatedView { OperatedView { approved: Some("p0".into()), ..healthy(world) } };
    let mut world = World { view: wrong, ..World::new() };
    assert_eq!(verdict(&world.play(&machine)).1, "NotApproved");
    // The plan that was approved, and still is the plan.
    let right = |world: &World| -> OperatedView {
        OperatedView { approved: (world.elapsed() >= 100).then(|| "p1".into()), ..healthy(world) }
    };
    let mut world = World { view: right, ..World::new() };
    assert!(!world.play(&machine).verdict.unwrap().reason_text.contains("approved"));
    assert_eq!(world.done.iter().filter(|action| *action == "Resolve").count(), 2, "it is read once more");
    // The workloads have changed since: the approval is void.
    let changed =
        |world: &World| -> Result<ResolvedRun, Unfit> { Ok(resolved(if world.elapsed() < 50 { "p1" } else { "p2" })) };
    let mut world = World { view: right, plan: changed, ..World::new() };
    let record = world.play(&machine);
    assert_eq!(verdict(&record).1, "NotApproved");
    assert_eq!(record.resolved.unwrap().plan_digest, "p2", "the plan to approve is told");
}

#[test]
fn a_prober_that_falls_silent_ends_the_run() {
    let silent = |world: &World| -> OperatedView {
        let stop = (world.elapsed() > 15).then(|| StopCause::Probes { message: "silent".into() });
        OperatedView { run: RunView { stop, ..RunView::default() }, ..healthy(world) }
    };
    let mut world = World { view: silent, ..World::new() };
    world.play(&machine());
    assert_eq!(world.stop, Some(StopCause::Probes { message: "silent".into() }));
    // And one that does not tell what the baseline was like never sees a kill.
    let mute = |world: &World| -> OperatedView {
        OperatedView { run: RunView { unmeasured: Some(start()), ..RunView::default() }, ..healthy(world) }
    };
    let mut world = World { view: mute, ..World::new() };
    world.play(&machine());
    assert!(matches!(world.stop, Some(StopCause::Probes { .. })));
    assert!(!world.done.iter().any(|action| action.contains("StartKiller")), "{:?}", world.done);
}
