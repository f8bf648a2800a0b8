//! A prober's process: the real machine and the real driver. What it measures is always well: only what it does not measure is
//! of interest.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll};

use chaos_core::instant::after;
use chaos_core::prober::{Prober, ProberAction, ProberResponse, ProberView, Reached, Report, ReportError};
use chaos_core::record::{Bin, Event, ProbeSchedule, RunTime};
use chaos_engine::drive::{World as Driven, drive};
use jiff::{SignedDuration, Timestamp};

use super::cluster::{Chunk, Role, World};
use super::killer::run_time;
use super::scenario::RATE;
use crate::desk::Kept as _;
use crate::faults::Fault;
use crate::seats::{Chair, Stage as _, millis, turn};
use crate::strikes::cluster::start;

/// Nanoseconds between two requests.
const GAP: u64 = 1_000_000_000 / RATE;

struct Process {
    world: World,
    chair: Chair,
    instance: u64,
    /// Zero of the record.
    zero: Timestamp,
    /// ConfigMaps so far.
    chunks: usize,
    /// When load went on, and off.
    load: Option<(Timestamp, Option<Timestamp>)>,
    /// Requests that were told, once the schedule was.
    told: Option<u64>,
    ends: Option<Timestamp>,
}

/// Measures for the run until it is over, or until the process ends by its story.
pub(crate) async fn run(world: World, chair: Chair, ends: Option<i64>) {
    let (instance, zero) = {
        let mut state = world.lock();
        (state.dice().draw(), state.now)
    };
    let ends = ends.map(|ends| start() + millis(ends));
    let (chunks, load, told) = (0, None, None);
    let mut process = Process { world: world.clone(), chair, instance, zero, chunks, load, told, ends };
    let mut driven = pin!(drive(&Prober, &mut process, ()));
    let next = |context: &mut Context<'_>| match ends {
        Some(ends) if world.lock().now >= ends => Poll::Ready(()),
        _ => driven.as_mut().poll(context).map(|_| ()),
    };
    std::future::poll_fn(next).await;
    world.lock().prober_ended(instance);
}

impl Process {
    /// Requests that were due and answered since the last report, and how they are due before the first.
    fn measured(&self, now: Timestamp) -> (Vec<Event>, Option<u64>) {
        let Some((from, to)) = self.load else { return (Vec::new(), None) };
        let until = to.unwrap_or(now);
        let lasted = u64::try_from(until.duration_since(from).as_nanos()).unwrap_or(0);
        // Only whole seconds, as long as there are going to be more.
        let due = if to.is_some() { lasted.div_ceil(GAP) } else { lasted / 1_000_000_000 * RATE };
        let told = self.told.unwrap_or(0);
        let first_due = run_time(self.zero, from);
        let mut events = Vec::new();
        if self.told.is_none() {
            events.push(Event::Schedule(schedule(first_due)));
        }
        events.extend(bins(first_due, told, due));
        (events, Some(due))
    }

    /// Tells all that was measured so far. `None`: somebody else writes this row.
    fn append(&mut self, reached: &Reached) -> Option<Result<(), ()>> {
        let mut state = self.world.lock();
        let fault = state.fault();
        if matches!(fault, Fault::Never(_)) {
            return Some(Err(()));
        }
        let (events, told) = self.measured(state.now);
        let report = Report {
            prober: self.instance.to_string(),
            tool_digest: None,
            reached: reached.clone(),
            queued: false,
            started_at: self.zero,
            written_at: state.now,
            heard: None,
        };
        let chunk = Chunk { writer: self.instance, events, report: Some(report) };
        let known = state.append(Role::Prober, self.chunks, chunk.clone()).ok()?.clone();
        if fault != Fault::None {
            return Some(Err(()));
        }
        self.chunks += 1;
        if known.report != chunk.report {
            // An earlier try had been carried out: what it told is told, and the rest is yet to be.
            let requests = |event: &Event| if let Event::Bin(bin) = event { bin.slots } else { 0 };
            let earlier: u64 = known.events.iter().map(requests).sum();
            let begun = known.events.iter().any(|event| matches!(event, Event::Schedule(_)));
            self.told = self.told.map(|told| told + earlier).or_else(|| begun.then_some(earlier));
            return Some(Err(()));
        }
        self.told = told.or(self.told);
        Some(Ok(()))
    }
}

impl Driven<Prober> for Process {
    type Error = Infallible;

    fn now(&self) -> Timestamp {
        self.world.lock().now
    }

    async fn view(&mut self) -> ProberView {
        let state = self.world.lock();
        let order = state.status().and_then(|status| status.probing.as_ref()).map(|probing| probing.order);
        ProberView { order, gone: state.object.is_none(), ..ProberView::default() }
    }

    async fn save(&mut self, (): &()) -> Result<(), Infallible> {
        Ok(())
    }

    async fn perform(&mut self, action: ProberAction) -> ProberResponse {
        turn().await;
        let response = match action {
            ProberAction::Claim => match self.append(&Reached::Claimed) {
                Some(written) => ProberResponse::Claimed(written.map(|()| true).map_err(|()| "no answer".to_owned())),
                None => ProberResponse::Claimed(Ok(false)),
            },
            ProberAction::Prepare => ProberResponse::Prepared(Ok(())),
            ProberAction::StartLoad => {
                let mut state = self.world.lock();
                state.is_allowed();
                state.record.was_loaded = true;
                self.load = Some((state.now, None));
                let lasts = state.status().and_then(|status| status.probing.as_ref()).map(|probing| probing.lasts);
                ProberResponse::Started(Ok(after(state.now, lasts.unwrap_or_default())))
            }
            ProberAction::StopLoad => {
                let now = self.world.lock().now;
                self.load = self.load.map(|(from, _)| (from, Some(now)));
                ProberResponse::Done
            }
            ProberAction::AskBefore | ProberAction::AskAfter => ProberResponse::Done,
            ProberAction::Report(reached) => ProberResponse::Reported(match self.append(&reached) {
                Some(written) => written.map_err(|()| ReportError::Unreached("no answer".to_owned())),
                None => Err(ReportError::Refused("another prober's".to_owned())),
            }),
        };
        turn().await;
        response
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        // Whoever waits for an order is woken by it.
        let longest = self.world.lock().now + SignedDuration::from_secs(60);
        let until = until.into_iter().chain(self.ends).chain([longest]).min();
        self.chair.sleep(until.unwrap_or(longest));
        turn().await;
    }
}

fn schedule(first_due: RunTime) -> ProbeSchedule {
    ProbeSchedule {
        probe: "ride".to_owned(),
        first_due,
        rate: RATE as f64,
        stages: Vec::new(),
        poisson_seed: None,
        max_lag: 100_000_000,
        latency_bound: None,
        exposure_known: false,
    }
}

/// Requests from one number to another, all of them answered well, second by second.
fn bins(first_due: RunTime, from: u64, to: u64) -> Vec<Event> {
    let mut bins = Vec::new();
    let mut first_slot = from;
    while first_slot < to {
        let slots = (RATE - first_slot % RATE).min(to - first_slot);
        bins.push(Event::Bin(Bin {
            probe: "ride".to_owned(),
            first_slot,
            slots,
            at: RunTime(first_due.0 + first_slot * GAP),
            good: slots,
            latency: vec![(5_000, slots)],
            lag: vec![(100, slots)],
        }));
        first_slot += slots;
    }
    bins
}
