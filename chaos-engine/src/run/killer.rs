//! Who kills for this run: the operator through a run-owned `ChaosMonkey`, or this process. The rest of the run sees no
//! difference.

use std::sync::Arc;
use std::time::Duration;

use chaos_core::model::Fault;
use jiff::Timestamp;

use super::monkey::{MonkeyOrder, OwnedMonkey};
use super::own::OwnKiller;
use super::{RunError, RunOrder};

/// How long the operator may take to say that it is done with a monkey that was told to rest.
const REST_WITHIN: Duration = Duration::from_secs(10);
/// How long the operator may take to notice a new monkey.
const NOTICE_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// A killer at work.
pub(super) enum Killer {
    /// The operator kills.
    Operator {
        /// What it was told.
        monkey: Box<OwnedMonkey>,
        /// When.
        since: Timestamp,
    },
    /// This process kills.
    Own(OwnKiller),
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
                };
                let (client, clock, recorder) = (order.client.clone(), order.clock, order.recorder.clone());
                let monkey = Box::new(OwnedMonkey::create(client, &monkey, clock, recorder).await?);
                Ok(Self::Operator { monkey, since: Timestamp::now() })
            }
            Fault::PodKill(pod_kill) => OwnKiller::start(order, pod_kill, until).map(Self::Own),
        }
    }

    /// It has nothing left to do.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Operator { monkey, .. } => monkey.view().done,
            Self::Own(own) => own.is_done(),
        }
    }

    /// Why it cannot do its work, if it cannot.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Operator { monkey, since } => {
                let view = monkey.view();
                let late = Timestamp::now().duration_since(*since) > NOTICE_WITHIN;
                let unnoticed = (late && !view.noticed).then(|| {
                    "no operator took notice of the run's ChaosMonkey; hint: is it running? `chaos install`".to_owned()
                });
                view.gave_up.or(view.trouble.filter(|_| late)).or(unnoticed)
            }
            Self::Own(own) => own.trouble(),
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
        }
    }

    /// Removes what it made on the cluster; gives what is left for a person to do.
    pub(super) async fn clean_up(self) -> Vec<String> {
        match self {
            Self::Operator { monkey, .. } => monkey.remove().await,
            Self::Own(own) => own.clean_up().await,
        }
    }
}
