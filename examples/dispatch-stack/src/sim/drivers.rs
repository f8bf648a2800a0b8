//! Drivers: report where they are, take what they are offered, drive it, and insist on telling the platform until it has
//! understood. [`Fleet`] decides; [`run`] talks.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::history::DriverAck;
use super::riders::somewhere;
use super::{World, now_ms};
use crate::api::{ActionRequest, ActionRequests, ActionResult, ActionResults, Offers, Position, Positions, Ride};
use crate::metrics::StateLabel;
use crate::net::client::Call;
use crate::ride::{DriverAction, DriverId, Phase, Place, RideId};

/// Time between two looks at the fleet.
const TICK: Duration = Duration::from_millis(100);
/// Time between two reports of one driver.
const REPORT: Duration = Duration::from_millis(400);
/// What a call may take.
const CALL_MAX: Duration = Duration::from_secs(3);
/// Pause before an unanswered action is told again.
const AGAIN: Duration = Duration::from_millis(100);
/// Actions in one call.
const BATCH: usize = 100;
/// Share of offers that drivers decline.
const DECLINE_SHARE: f64 = 0.01;
/// Shortest and longest way to the rider, milliseconds.
const APPROACH_MS: std::ops::Range<u64> = 150..350;
/// Shortest and longest trip, milliseconds.
const TRIP_MS: std::ops::Range<u64> = 500..900;

/// All drivers of the town.
#[derive(Debug)]
pub struct Fleet {
    drivers: Vec<Driver>,
    by_id: HashMap<DriverId, usize>,
}

#[derive(Debug)]
struct Driver {
    id: DriverId,
    place: Place,
    report_at: Instant,
    doing: Doing,
}

#[derive(Debug)]
enum Doing {
    Idle,
    Driving { ride: RideId, from: Place, to: Place, next: DriverAction, due: Instant, telling: bool },
}

/// What the fleet wants told at one tick.
#[derive(Debug, Default)]
pub struct Messages {
    /// Reports that are due.
    pub positions: Vec<Position>,
    /// Actions that are due.
    pub actions: Vec<ActionRequest>,
}

impl Fleet {
    /// `count` idle drivers all over town, with names that start with `prefix`.
    pub fn new(count: usize, prefix: &str, now: Instant) -> Self {
        let drivers: Vec<Driver> = (0..count)
            .map(|n| {
                let id = DriverId(format!("{prefix}{n:04}"));
                // Staggered, so that every tick has its share of reports.
                let report_at = now + REPORT.mul_f64(n as f64 / count as f64);
                Driver { id, place: somewhere(), report_at, doing: Doing::Idle }
            })
            .collect();
        let by_id = drivers.iter().enumerate().map(|(index, driver)| (driver.id.clone(), index)).collect();
        Self { drivers, by_id }
    }

    /// What is due now. Actions are considered being told until [`Fleet::answered`] or [`Fleet::unanswered`].
    pub fn due(&mut self, now: Instant) -> Messages {
        let mut messages = Messages::default();
        for driver in &mut self.drivers {
            if driver.report_at <= now {
                driver.report_at = now + REPORT;
                let idle = matches!(driver.doing, Doing::Idle);
                messages.positions.push(Position { driver: driver.id.clone(), place: driver.place, idle });
            }
            if let Doing::Driving { ride, next, due, telling, .. } = &mut driver.doing
                && *due <= now
                && !*telling
            {
                *telling = true;
                let (ride, driver) = (ride.clone(), driver.id.clone());
                messages.actions.push(ActionRequest { ride, driver, action: *next });
            }
        }
        messages
    }

    /// Takes note of offers; an idle driver takes the first. Declines are chosen by `decline`.
    pub fn offered(&mut self, offers: &[Ride], now: Instant, mut decline: impl FnMut() -> bool) {
        for ride in offers {
            let Phase::Offered { driver } = &ride.phase else { continue };
            let Some(driver) = self.by_id.get(driver).map(|index| &mut self.drivers[*index]) else { continue };
            if !matches!(driver.doing, Doing::Idle) {
                continue;
            }
            let next = if decline() { DriverAction::Decline } else { DriverAction::Accept };
            let (id, from, to) = (ride.id.clone(), ride.from, ride.to);
            driver.doing = Doing::Driving { ride: id, from, to, next, due: now, telling: false };
            // Location should hear soon that this driver is taken.
            driver.report_at = now;
        }
    }

    /// The platform answered: on to the next step, or idle when there is none or the ride is gone.
    pub fn answered(
        &mut self,
        request: &ActionRequest,
        result: &ActionResult,
        now: Instant,
        wait: impl Fn(std::ops::Range<u64>) -> Duration,
    ) {
        let Some(driver) = self.by_id.get(&request.driver).map(|index| &mut self.drivers[*index]) else { return };
        let Doing::Driving { ride, from, to, next, due, telling } = &mut driver.doing else { return };
        if *ride != request.ride || *next != request.action {
            return;
        }
        *telling = false;
        let done = matches!(result, ActionResult::Done { .. });
        match (done, request.action) {
            (true, DriverAction::Accept) => (*next, *due) = (DriverAction::Depart, now),
            (true, DriverAction::Depart) => (*next, *due) = (DriverAction::Pickup, now + wait(APPROACH_MS)),
            (true, DriverAction::Pickup) => {
                driver.place = *from;
                (*next, *due) = (DriverAction::Complete, now + wait(TRIP_MS));
            }
            (completed, _) => {
                if completed && request.action == DriverAction::Complete {
                    driver.place = *to;
                }
                driver.doing = Doing::Idle;
                driver.report_at = now;
            }
        }
    }

    /// No answer: the same is told again after a pause.
    pub fn unanswered(&mut self, request: &ActionRequest, now: Instant) {
        let Some(driver) = self.by_id.get(&request.driver).map(|index| &mut self.drivers[*index]) else { return };
        if let Doing::Driving { ride, due, telling, .. } = &mut driver.doing
            && *ride == request.ride
        {
            *telling = false;
            *due = now + AGAIN;
        }
    }

    /// How many drivers do what.
    pub fn states(&self) -> [(&'static str, usize); 4] {
        let mut counts = [("idle", 0), ("offered", 0), ("en_route", 0), ("on_trip", 0)];
        for driver in &self.drivers {
            let state = match &driver.doing {
                Doing::Idle => 0,
                Doing::Driving { next: DriverAction::Accept | DriverAction::Decline, .. } => 1,
                Doing::Driving { next: DriverAction::Depart | DriverAction::Pickup, .. } => 2,
                Doing::Driving { next: DriverAction::Complete, .. } => 3,
            };
            counts[state].1 += 1;
        }
        counts
    }
}

/// Drives until `stop` is cancelled.
pub(super) async fn run(world: Arc<World>, stop: CancellationToken) {
    let prefix = format!("d-{}-", &uuid::Uuid::new_v4().simple().to_string()[..4]);
    let fleet = Arc::new(Mutex::new(Fleet::new(world.config.drivers, &prefix, Instant::now())));
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        let messages = {
            let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
            for (state, count) in fleet.states() {
                let gauge = world.measures.drivers.get_or_create(&StateLabel { state });
                gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
            }
            fleet.due(Instant::now())
        };
        if !messages.positions.is_empty() {
            tokio::spawn(report(Arc::clone(&world), Arc::clone(&fleet), messages.positions));
        }
        for batch in messages.actions.chunks(BATCH) {
            tokio::spawn(tell(Arc::clone(&world), Arc::clone(&fleet), batch.to_vec()));
        }
    }
}

async fn report(world: Arc<World>, fleet: Arc<Mutex<Fleet>>, positions: Vec<Position>) {
    let mut call = Call::post("/v1/drivers/locations", &Positions { positions });
    call.method = http::Method::PUT;
    // An unanswered report is not repeated: the next one is on its way.
    let Ok(reply) = world.config.gateway.call(&call, CALL_MAX).await else { return };
    let Ok(offers) = reply.json::<Offers>() else { return };
    let decline = || rand::rng().random_bool(DECLINE_SHARE);
    fleet.lock().unwrap_or_else(PoisonError::into_inner).offered(&offers.offers, Instant::now(), decline);
}

async fn tell(world: Arc<World>, fleet: Arc<Mutex<Fleet>>, actions: Vec<ActionRequest>) {
    let request = ActionRequests { actions };
    let call = Call::post("/v1/drivers/actions", &request);
    let reply = world.config.gateway.call(&call, CALL_MAX).await;
    let answer = reply.and_then(|reply| Ok((reply.json::<ActionResults>()?.results, reply.served_by().to_owned())));
    let mut fleet = fleet.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let Ok((results, served_by)) = answer else {
        request.actions.iter().for_each(|action| fleet.unanswered(action, now));
        return;
    };
    let wait = |range| Duration::from_millis(rand::rng().random_range(range));
    for (action, result) in request.actions.iter().zip(&results) {
        fleet.answered(action, result, now, wait);
        if matches!(result, ActionResult::Done { .. }) {
            remember(&world, action, &served_by);
        }
    }
}

fn remember(world: &World, action: &ActionRequest, served_by: &str) {
    match action.action {
        DriverAction::Complete => {
            world.completed.fetch_add(1, Ordering::Relaxed);
        }
        DriverAction::Accept => {}
        DriverAction::Decline | DriverAction::Depart | DriverAction::Pickup => return,
    }
    world.history.record_ack(DriverAck {
        ride: action.ride.clone(),
        driver: action.driver.clone(),
        action: action.action,
        at_ms: now_ms(),
        served_by: served_by.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(driver: &DriverId) -> Ride {
        let place = Place { lat: 48.85, lng: 2.35 };
        let phase = Phase::Offered { driver: driver.clone() };
        Ride {
            id: RideId("r".into()),
            rider: "x".into(),
            from: place,
            to: place,
            phase,
            version: 2,
            requested_at_ms: 0,
        }
    }

    #[test]
    fn a_driver_insists_on_each_step_until_it_is_answered() {
        let start = Instant::now();
        let mut fleet = Fleet::new(1, "d", start);
        let driver = fleet.drivers[0].id.clone();
        let ride = offer(&driver);
        fleet.offered(std::slice::from_ref(&ride), start, || false);
        let wait = |_| Duration::from_millis(10);
        let done = ActionResult::Done { ride: ride.clone(), replayed: false };
        let mut now = start;
        for expected in [DriverAction::Accept, DriverAction::Depart, DriverAction::Pickup, DriverAction::Complete] {
            let told = fleet.due(now).actions;
            assert_eq!(told.iter().map(|told| told.action).collect::<Vec<_>>(), [expected]);
            assert!(fleet.due(now).actions.is_empty(), "not told twice at once");
            fleet.unanswered(&told[0], now);
            assert!(fleet.due(now).actions.is_empty(), "not told again before the pause");
            now += AGAIN;
            let again = fleet.due(now).actions;
            assert_eq!(again[0].action, expected);
            fleet.answered(&again[0], &done, now, wait);
            now += Duration::from_millis(10);
        }
        assert_eq!(fleet.states()[0], ("idle", 1));
        assert_eq!(fleet.drivers[0].place, ride.to);
    }

    #[test]
    fn a_ride_that_is_gone_frees_the_driver_and_a_busy_driver_takes_no_other() {
        let now = Instant::now();
        let mut fleet = Fleet::new(1, "d", now);
        let driver = fleet.drivers[0].id.clone();
        fleet.offered(&[offer(&driver)], now, || false);
        let other = Ride { id: RideId("other".into()), ..offer(&driver) };
        fleet.offered(&[other], now, || false);
        let told = fleet.due(now).actions;
        assert_eq!(told[0].ride.0, "r");
        let gone = ActionResult::Conflict { reason: "cancelled".into() };
        fleet.answered(&told[0], &gone, now, |_| Duration::ZERO);
        assert_eq!(fleet.states()[0], ("idle", 1));
    }
}
