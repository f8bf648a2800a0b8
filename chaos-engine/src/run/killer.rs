//! Who kills for this run: the operator through a run-owned `ChaosMonkey`, or this process. The rest of the run sees no
//! difference.

use std::sync::Arc;
use std::time::Duration;

use chaos_core::model::Fault;
use chaos_core::record::RunTime;
use jiff::Timestamp;

use super::monkey::{MonkeyOrder, MonkeyView, OwnedMonkey};
use super::operated::KeptKiller;
use super::own::OwnKiller;
use super::told::Told;
use super::{RunError, RunOrder};
use crate::clock::RunClock;
use crate::kube::Clients;
use crate::recorder::Recorder;

/// Time between two heartbeats of a run's monkey. Two missed ones stop it.
const BEAT: Duration = Duration::from_secs(2);
/// How long the operator may take to say that it is done with a monkey that was told to rest.
const REST_WITHIN: Duration = Duration::from_secs(10);
/// How long the operator may take to notice a new monkey, and how long it may be unable to work before that ends the run.
const NOTICE_WITHIN: Duration = Duration::from_secs(10);

/// A killer at work.
pub(super) enum Killer {
    /// The operator kills.
    Operator {
        /// What it was told.
        monkey: Box<OwnedMonkey>,
        /// The run's clock: wall time may be stepped before the operator has taken notice.
        clock: RunClock,
        /// When, by that clock.
        since: RunTime,
    },
    /// This process kills, and remembers it in a journal.
    Own(OwnKiller),
    /// This process kills for the operator, and remembers it in the run's status.
    Kept(KeptKiller),
}

impl Killer {
    /// Puts a killer to work. No kill after `until`.
    pub(super) async fn start(order: &Arc<RunOrder>, until: Timestamp) -> Result<Self, RunError> {
        match &order.experiment.fault {
            Fault::Monkey(plan) => {
                let monkey = MonkeyOrder {
                    run_id: order.run_id.clone(),
                    namespace: order.experiment.namespace.clone(),
                    plan: plan.clone(),
                    limits: order.experiment.limits,
                    seed: order.seed,
                    until,
                    owner: None,
                    beat: BEAT,
                    may_create: true,
                    slack: Arc::default(),
                    instance: None,
                };
                let (clock, recorder) = (order.clock, order.recorder.clone());
                let killer = Self::of_monkey(&order.clients, &monkey, clock, recorder, Told::default()).await?;
                killer.ok_or(RunError::NoMonkey)
            }
            Fault::PodKill(pod_kill) => Ok(Self::Own(OwnKiller::start(order, pod_kill, until))),
        }
    }

    /// A monkey that kills for a run; `None` if there is none, and none may be made. `told` is what the record tells already.
    pub(super) async fn of_monkey(
        clients: &Clients,
        order: &MonkeyOrder,
        clock: RunClock,
        recorder: Recorder,
        told: Told,
    ) -> Result<Option<Self>, RunError> {
        let monkey = OwnedMonkey::create(clients, order, clock, recorder, told).await?;
        Ok(monkey.map(|monkey| Self::Operator { monkey: Box::new(monkey), clock, since: clock.now() }))
    }

    /// Somebody else drives the run.
    pub(super) fn is_fenced(&self) -> bool {
        matches!(self, Self::Kept(kept) if kept.is_fenced())
    }

    /// It has nothing left to do.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Operator { monkey, .. } => monkey.view().done,
            Self::Own(own) => own.is_done(),
            Self::Kept(kept) => kept.is_done(),
        }
    }

    /// Why it cannot do its work, if it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Operator { monkey, clock, since } => trouble(monkey.view(), *clock, *since),
            Self::Own(own) => own.trouble(),
            // A status that cannot be written is a cluster out of sight, which the run notices by itself.
            Self::Kept(_) => None,
        }
    }

    /// Tells it to rest, if that takes no time: whoever kills through a monkey is told next.
    pub(super) fn begin_to_rest(&self) {
        if let Self::Kept(kept) = self {
            kept.begin_to_rest();
        }
    }

    /// No more kills from it once this returns well.
    pub(super) async fn rest(&self) -> Result<(), RunError> {
        match self {
            Self::Operator { monkey, .. } => monkey.suspend(REST_WITHIN).await,
            Self::Own(own) => {
                own.rest().await;
                Ok(())
            }
            Self::Kept(kept) => {
                kept.rest().await;
                Ok(())
            }
        }
    }

    /// Removes what it made on the cluster; gives what is left for a person to do.
    pub(super) async fn clean_up(self) -> Vec<String> {
        match self {
            Self::Operator { monkey, .. } => monkey.remove().await,
            Self::Own(own) => own.clean_up().await,
            Self::Kept(kept) => kept.leave().await,
        }
    }
}

/// What is wrong with a monkey that was made at `since`, if anything is. An operator is given the time to notice it, and the one that
/// takes over from another in mid-run the time to learn what it needs.
fn trouble(view: MonkeyView, clock: RunClock, since: RunTime) -> Option<String> {
    let now = clock.now();
    let is_long_ago = |since: RunTime| Duration::from_nanos(now.0.saturating_sub(since.0)) > NOTICE_WITHIN;
    let unnoticed = (is_long_ago(since) && !view.noticed)
        .then(|| "no operator took notice of the run's ChaosMonkey; hint: is it running? `chaos install`".to_owned());
    let trouble = view.trouble.filter(|(_, since)| is_long_ago(*since)).map(|(why, _)| why);
    view.gave_up.or(trouble).or(unnoticed)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_stepped_wall_clock_neither_hurries_an_operator_nor_gives_it_more_time() {
        let hour = SignedDuration::from_hours(1);
        let late = RunTime(11_000_000_000);
        for step in [hour, -hour, SignedDuration::ZERO] {
            let clock = RunClock::stepped(Duration::from_secs(20), step);
            let unnoticed = |since: RunTime| trouble(MonkeyView::default(), clock, since);
            assert_eq!(unnoticed(clock.now()), None, "{step}");
            let made = RunTime(clock.now().0 - late.0);
            assert!(unnoticed(made).is_some_and(|why| why.contains("took notice")), "{step}");
            let noticed = MonkeyView { noticed: true, ..MonkeyView::default() };
            assert_eq!(trouble(noticed, clock, made), None, "{step}");
            let troubled = |since: RunTime| {
                let trouble = Some(("no right".to_owned(), since));
                MonkeyView { noticed: true, trouble, ..MonkeyView::default() }
            };
            assert_eq!(trouble(troubled(clock.now()), clock, made), None, "{step}: it has only begun, late in the run");
            assert_eq!(trouble(troubled(made), clock, made).as_deref(), Some("no right"), "{step}");
        }
    }

    #[test]
    fn what_gave_up_for_good_is_told_at_once() {
        let clock = RunClock::start();
        let view = MonkeyView { gave_up: Some("no heartbeat".into()), ..MonkeyView::default() };
        assert_eq!(trouble(view, clock, clock.now()).as_deref(), Some("no heartbeat"));
    }
}
