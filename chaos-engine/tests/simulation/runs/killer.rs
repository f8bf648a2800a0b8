//! The killer of a run: the real strike machine on a seat beside the operator's, its memory in the run's status.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chaos_core::killer::{Killer, KillerSpec, KillerView, Ledger, RunIdentity};
use chaos_core::model::{Fault as Kind, Policy};
use chaos_core::operated::{read_killer, write_killer};
use chaos_core::record::{Event, Kill, RunTime};
use jiff::{SignedDuration, Timestamp};

use super::bugs::Bug;
use super::counter::Counter;
use super::scenario::{EXPERIMENT, UID};
use crate::desk::Left;
use crate::seats::{Chair, Running, millis, turn};
use crate::strikes::cluster::{Cluster, NS, State as Pods};
use crate::strikes::keeper::Keeper;
use crate::strikes::process::Process;
use crate::strikes::records::Told as ToldKill;

/// What is recorded in this process.
pub(crate) type Recorder = Arc<Mutex<Vec<Event>>>;

/// What an operator and its killer tell each other.
#[derive(Clone, Default)]
pub(crate) struct Bench(Arc<Mutex<Orders>>);

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub(crate) struct Orders {
    /// Which process it works for: that of another number is not there any more.
    employer: u64,
    job: Option<Job>,
    is_employed: bool,
    /// Start no strike any more.
    rest: bool,
    /// Leave when nothing is in hand.
    leave: bool,
    /// It has looked since it was told to rest.
    is_resting: bool,
    /// Its memory as it was last written.
    ledger: Ledger,
    has_left: bool,
}

/// What a killer is made of.
#[derive(Clone)]
pub(crate) struct Job {
    pub(crate) counter: Counter,
    pub(crate) recorder: Recorder,
    /// Zero of the record.
    pub(crate) zero: Timestamp,
    pub(crate) seed: u64,
    /// No kill from then on.
    pub(crate) until: Timestamp,
    pub(crate) rests: bool,
}

/// A process of the operator, on whose end, by a crash as well, nobody works for it any more.
pub(crate) struct Employer(Bench);

impl Drop for Employer {
    fn drop(&mut self) {
        self.0.anew();
    }
}

impl Bench {
    /// Another process of the operator begins.
    pub(crate) fn begin(&self) -> Employer {
        self.anew();
        Employer(self.clone())
    }

    /// Whoever worked for the process before is gone.
    fn anew(&self) {
        // It is dropped too when an invariant was found broken.
        let mut orders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *orders = Orders { employer: orders.employer + 1, ..Orders::default() };
    }

    pub(crate) fn employ(&self, job: Job, ledger: Ledger) {
        let mut orders = self.0.lock().unwrap();
        (orders.rest, orders.ledger, orders.is_employed) = (job.rests, ledger, true);
        orders.job = Some(job);
    }

    pub(crate) fn is_employed(&self) -> bool {
        self.0.lock().unwrap().is_employed
    }

    pub(crate) fn is_done(&self) -> bool {
        let orders = self.0.lock().unwrap();
        orders.is_employed && orders.ledger.ended.is_some()
    }

    pub(crate) fn rest(&self) {
        self.0.lock().unwrap().rest = true;
    }

    pub(crate) fn leave(&self) {
        self.0.lock().unwrap().leave = true;
    }

    /// It decides on nothing any more, and nothing is open.
    pub(crate) fn is_quiet(&self) -> bool {
        let orders = self.0.lock().unwrap();
        orders.has_left || orders.is_resting && orders.ledger.intents.is_empty()
    }

    pub(crate) fn has_left(&self) -> bool {
        let orders = self.0.lock().unwrap();
        !orders.is_employed || orders.has_left
    }

    /// Kills whose outcome is not known.
    pub(crate) fn open(&self) -> usize {
        self.0.lock().unwrap().ledger.intents.len()
    }

    fn employer(&self) -> u64 {
        self.0.lock().unwrap().employer
    }
}

/// Waits on its seat for work.
pub(crate) fn killer(pods: Cluster, bench: Bench, chair: Chair) -> Running {
    Box::pin(async move {
        loop {
            let employer = bench.employer();
            let job = bench.0.lock().unwrap().job.take();
            let Some(job) = job else {
                chair.sleep(Timestamp::MAX);
                turn().await;
                continue;
            };
            let mut work = pin!(work(&pods, &bench, &chair, job));
            // A killer that nobody holds any more ends as in a crash.
            let next = |context: &mut Context<'_>| {
                if bench.employer() == employer { work.as_mut().poll(context) } else { Poll::Ready(()) }
            };
            std::future::poll_fn(next).await;
            let mut orders = bench.0.lock().unwrap();
            orders.has_left |= orders.employer == employer;
        }
    })
}

/// Drives the machine from what was last written until it is through.
async fn work(pods: &Cluster, bench: &Bench, chair: &Chair, job: Job) {
    let Kind::PodKill(pod_kill) = &EXPERIMENT.fault else { panic!("the experiment kills by itself") };
    let (run, policy) = (UID.to_owned(), Policy::operator(NS, "chaos-system"));
    let identity = RunIdentity { run, policy, seed: job.seed.cast_signed(), until: job.until };
    let killer = Killer::new(KillerSpec::of_pod_kill(&EXPERIMENT, pod_kill, identity));
    let mut told = Told::knowing(&job.recorder.lock().unwrap());
    loop {
        let told_before = std::mem::take(&mut told);
        let keeper =
            RunKeeper { bench: bench.clone(), job: job.clone(), pods: pods.clone(), told: told_before, left: None };
        let ended = Process::new(pods.clone(), killer.clone(), keeper, chair.clone()).run().await;
        told = Told::knowing(&job.recorder.lock().unwrap());
        match ended {
            Ok(()) | Err(Left::Gone | Left::Fenced) => return,
            Err(Left::Changed | Left::Unreached) => {}
        }
        chair.sleep(job.counter.now() + millis(1_000));
        turn().await;
        if bench.0.lock().unwrap().leave {
            return;
        }
    }
}

/// Keeps the memory of a run's killer in the run's status.
struct RunKeeper {
    bench: Bench,
    job: Job,
    pods: Cluster,
    told: Told,
    /// Why the status could not be had.
    left: Option<Left>,
}

impl Keeper for RunKeeper {
    async fn claim(&mut self, chair: &Chair) -> Ledger {
        turn().await;
        let ledger = match self.job.counter.status(chair).await {
            Ok(status) => read_killer(&status),
            Err(left) => {
                self.left = Some(left);
                return Ledger::default();
            }
        };
        self.bench.0.lock().unwrap().ledger = ledger.clone();
        self.journal(&ledger);
        self.tell(&ledger);
        ledger
    }

    async fn save(&mut self, chair: &Chair, ledger: &Ledger) -> Result<(), Left> {
        let saved = self.job.counter.update(chair, |status| write_killer(ledger, status)).await;
        if !self.job.counter.world.lock().has(Bug::UnsavedKills) {
            saved?;
        }
        self.journal(ledger);
        self.tell(ledger);
        self.bench.0.lock().unwrap().ledger = ledger.clone();
        Ok(())
    }

    fn view(&mut self, _: &mut Pods, _: SignedDuration) -> KillerView {
        let mut orders = self.bench.0.lock().unwrap();
        orders.is_resting = orders.rest;
        let known = self.job.counter.known();
        let hold = (orders.rest || known.abort || known.is_gone).then(|| "the run is winding down".to_owned());
        KillerView { hold, leave: orders.leave, ..KillerView::default() }
    }

    fn heartbeat(&self) -> Option<Duration> {
        None
    }

    fn left(&self) -> Option<Left> {
        self.left
    }
}

impl RunKeeper {
    /// Writes down for the accounts what is new.
    fn journal(&self, ledger: &Ledger) {
        self.pods.lock().records.saved(UID, ledger, None);
    }

    /// Tells the record what is new, and people.
    fn tell(&mut self, ledger: &Ledger) {
        let at = |instant: Timestamp| run_time(self.job.zero, instant);
        let mut events = self.job.recorder.lock().unwrap();
        for intent in ledger.intents.iter().filter(|intent| self.told.intents.insert(intent.nonce.clone())) {
            let (strike, nonce, victim) = (intent.strike, intent.nonce.clone(), intent.victim.clone());
            events.push(Event::Intent { at: at(intent.decided_at.0), strike, nonce, victim });
        }
        let is_kept = !self.job.counter.world.lock().has(Bug::KillsUnrecorded);
        for kill in ledger.history.iter().filter(|kill| self.told.kills.insert(kill.nonce.clone())) {
            let told = ToldKill { run: UID.to_owned(), nonce: kill.nonce.clone(), outcome: kill.outcome };
            self.pods.lock().records.event(told);
            if !is_kept {
                continue;
            }
            events.push(Event::Kill(Kill {
                at: at(kill.at.0),
                uncertainty: 0,
                strike: kill.strike,
                nonce: kill.nonce.clone(),
                victim: kill.victim.clone(),
                outcome: kill.outcome,
                message: None,
            }));
        }
    }
}

/// Nonces of what a record tells already.
#[derive(Debug, Default)]
struct Told {
    intents: BTreeSet<String>,
    kills: BTreeSet<String>,
}

impl Told {
    fn knowing(events: &[Event]) -> Self {
        let mut told = Self::default();
        for event in events {
            match event {
                Event::Intent { nonce, .. } => _ = told.intents.insert(nonce.clone()),
                Event::Kill(kill) => _ = told.kills.insert(kill.nonce.clone()),
                _ => {}
            }
        }
        told
    }
}

/// An instant on the clock of the record.
pub(crate) fn run_time(zero: Timestamp, at: Timestamp) -> RunTime {
    RunTime(u64::try_from(at.duration_since(zero).as_nanos()).unwrap_or(0))
}
