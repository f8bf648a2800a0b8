//! Watches our objects and keeps one task for each while this process leads.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chaos_core::api::{ChaosMonkey, ExperimentRun, GameDay};
use chaos_engine::kube::Tended;
use futures::{FutureExt as _, StreamExt as _};
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::metrics::Mishap;
use crate::shared::Shared;
use crate::watched::{self, Trouble, Unreadable, Watched, is_over};
use crate::{gameday, monkey, run};

/// How often the supervisor shows that it is not stuck.
const BEAT: Duration = Duration::from_secs(5);
/// How long tasks may take to finish what they have in hand.
const REST_WITHIN: Duration = Duration::from_secs(8);

/// Works until `shutdown` resolves; afterwards nothing is worked on any more.
pub(crate) async fn supervise(
    shared: &Arc<Shared>,
    namespace: Option<&str>,
    mut leading: watch::Receiver<bool>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut tick = tokio::time::interval(BEAT);
    let mut work: Option<AllWork> = None;
    loop {
        let leads = *leading.borrow_and_update();
        shared.metrics.leads(leads);
        match (leads, work.take()) {
            (true, None) => work = Some(AllWork::begin(shared, namespace)),
            (false, Some(old)) => old.end().await,
            (_, kept) => work = kept,
        }
        let news = async {
            match &mut work {
                Some(work) => work.next().await,
                None => std::future::pending().await,
            }
        };
        let elected = async {
            // Without an election there is nobody who could take over.
            if leading.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = &mut shutdown => break,
            () = elected => {}
            _ = tick.tick() => {
                shared.beat();
                work.iter_mut().for_each(AllWork::let_go);
            }
            () = news => {}
        }
    }
    if let Some(work) = work {
        work.end().await;
    }
    shared.metrics.leads(false);
}

/// Everything that is worked on.
struct AllWork {
    monkeys: Work<ChaosMonkey>,
    runs: Work<ExperimentRun>,
    days: Work<GameDay>,
}

impl AllWork {
    fn begin(shared: &Arc<Shared>, namespace: Option<&str>) -> Self {
        shared.board.begin();
        let monkey: Tend<ChaosMonkey> =
            |shared, object, first, rest| Box::pin(monkey::tend(shared, object, first, rest));
        let run: Tend<ExperimentRun> = |shared, object, _, rest| Box::pin(run::tend(shared, object, rest));
        let day: Tend<GameDay> = |shared, object, _, rest| Box::pin(gameday::tend(shared, object, rest));
        Self {
            monkeys: Work::begin(shared, namespace, monkey, |_| false, |_, _| ()).handing_over(),
            runs: Work::begin(shared, namespace, run, is_over, Shared::retell_run),
            days: Work::begin(shared, namespace, day, |_| false, |_, _| ()),
        }
    }

    /// Takes in what a watch brought next.
    async fn next(&mut self) {
        tokio::select! {
            event = self.monkeys.watch.next() => {
                self.monkeys.shared.board.notice(event.as_ref());
                self.monkeys.take(event);
            }
            event = self.runs.watch.next() => self.runs.take(event),
            event = self.days.watch.next() => self.days.take(event),
        }
    }

    /// Keeps nothing of what is over. Its task ends after the watch has brought that, and nothing else may ever come.
    fn let_go(&mut self) {
        self.monkeys.let_go();
        self.runs.let_go();
        self.days.let_go();
    }

    async fn end(self) {
        // Whoever makes runs rests first.
        self.days.end().await;
        tokio::join!(self.monkeys.end(), self.runs.end());
    }
}

/// Looks after one object until it is gone or the token is cancelled. Where statuses are handed over, it is given the first
/// version with its status; nobody keeps that besides.
type Tend<K> = fn(
    Arc<Shared>,
    watch::Receiver<Arc<K>>,
    Option<Box<K>>,
    CancellationToken,
) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// The objects of one kind that are worked on.
struct Work<K> {
    shared: Arc<Shared>,
    tend: Tend<K>,
    /// Nothing is left to be done for such an object, ever.
    is_over: fn(&K) -> bool,
    /// Tells again what an earlier process may not have got round to telling of an object that is over. Of any other one,
    /// whoever tends it tells that.
    retell: fn(&Shared, &K),
    /// Whoever tends an object has its status, by the first version and by what it reads and writes itself. It is most of the
    /// object, and need not be kept twice.
    hands_over: bool,
    watch: Watched<K>,
    tended: BTreeMap<String, TendedObject<K>>,
    /// Objects of the list that is just being read: what is not among them is gone.
    listed: BTreeSet<String>,
    /// Objects that cannot be read, by UID, and why: nothing is done for them.
    unreadable: BTreeMap<String, String>,
    rest: CancellationToken,
}

/// One object and its task.
struct TendedObject<K> {
    object: watch::Sender<Arc<K>>,
    task: JoinHandle<()>,
}

impl<K: Tended + std::fmt::Debug> Work<K> {
    fn begin(
        shared: &Arc<Shared>,
        namespace: Option<&str>,
        tend: Tend<K>,
        is_over: fn(&K) -> bool,
        retell: fn(&Shared, &K),
    ) -> Self {
        Self {
            shared: shared.clone(),
            tend,
            is_over,
            retell,
            hands_over: false,
            watch: watched::watch(shared.clients.read.clone(), namespace),
            tended: BTreeMap::new(),
            listed: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            rest: CancellationToken::new(),
        }
    }

    /// The same, whose tasks are given the status.
    fn handing_over(self) -> Self {
        Self { hands_over: true, ..self }
    }

    /// Takes in what the watch brought.
    fn take(&mut self, event: Option<Result<Event<K>, Trouble>>) {
        match event {
            Some(Ok(Event::Init)) => self.listed.clear(),
            Some(Ok(Event::InitApply(object))) => {
                self.listed.insert(object.uid().unwrap_or_default());
                if (self.is_over)(&object) {
                    (self.retell)(&self.shared, &object);
                }
                self.apply(object);
            }
            Some(Ok(Event::InitDone)) => {
                let listed = std::mem::take(&mut self.listed);
                self.tended.retain(|uid, _| listed.contains(uid));
                self.unreadable.retain(|uid, _| listed.contains(uid));
            }
            Some(Ok(Event::Apply(object))) => self.apply(object),
            Some(Ok(Event::Delete(object))) => {
                // Dropping the sender tells the task that its object is gone.
                let uid = object.uid().unwrap_or_default();
                self.tended.remove(&uid);
                self.unreadable.remove(&uid);
            }
            Some(Err(Trouble::Unreadable(object))) => self.leave(*object),
            Some(Err(Trouble::Broken(error))) => {
                self.shared.metrics.failed_by(Mishap::Watch);
                tracing::warn!(%error, kind = %K::kind(&()), "a watch broke; it is taken up again");
            }
            None => {}
        }
        self.let_go();
    }

    /// Nobody knows what is wanted of that object, so whoever tends it finishes what is in hand and leaves, as if it were gone:
    /// what it said before is no leave to kill. Once it can be read again, it is taken up anew.
    fn leave(&mut self, object: Unreadable) {
        let Unreadable { metadata, why, is_gone } = object;
        let uid = metadata.uid.clone().unwrap_or_default();
        self.tended.remove(&uid);
        if is_gone {
            self.unreadable.remove(&uid);
            return;
        }
        self.listed.insert(uid.clone());
        // What it is told by changes the object too, and would be told again.
        if self.unreadable.insert(uid, why.clone()).as_ref() != Some(&why) {
            self.shared.tell_unreadable::<K>(&metadata, &why);
        }
        let shared = self.shared.clone();
        tokio::spawn(async move { shared.say_unreadable::<K>(&metadata).await });
    }

    fn apply(&mut self, mut object: K) {
        let uid = object.uid().unwrap_or_default();
        self.unreadable.remove(&uid);
        let is_over = (self.is_over)(&object);
        let status = if self.hands_over { object.status_mut().take() } else { None };
        match self.tended.get(&uid).filter(|tended| !tended.task.is_finished()) {
            // Though it is over, who tends it may not be through: without its sender it would take it for gone.
            Some(tended) => _ = tended.object.send_replace(Arc::new(object)),
            None if is_over => _ = self.tended.remove(&uid),
            None => {
                let first = status.map(|status| {
                    let mut first = Box::new(object.clone());
                    *first.status_mut() = Some(status);
                    first
                });
                let (sender, receiver) = watch::channel(Arc::new(object));
                let (how, shared) = ((self.tend, self.is_over), self.shared.clone());
                let task = tokio::spawn(tend_on(how, shared, receiver, first, self.rest.clone()));
                self.tended.insert(uid, TendedObject { object: sender, task });
            }
        }
    }

    /// Keeps nothing of what is over, once whoever tended it is through.
    fn let_go(&mut self) {
        let is_over = self.is_over;
        self.tended.retain(|_, tended| !tended.task.is_finished() || !is_over(&tended.object.borrow()));
        self.shared.metrics.works_on(&K::kind(&()), self.tended.len());
    }

    /// Lets every task finish what it has in hand; what takes too long is dropped, which is as good as a crash.
    async fn end(self) {
        self.rest.cancel();
        let deadline = tokio::time::Instant::now() + REST_WITHIN;
        for (_, mut tended) in self.tended {
            if tokio::time::timeout_at(deadline, &mut tended.task).await.is_err() {
                tended.task.abort();
            }
        }
        // Whoever leads next works on them: both together must not show twice as many.
        self.shared.metrics.works_on(&K::kind(&()), 0);
    }
}

/// Looks after one object until the watch says that nothing is left to be done for it. Whoever tends it may panic, or leave by what
/// one answer said, and what the watch brings meanwhile may be the last that it brings: nobody would look after the object any more,
/// and nobody would be told. So that begins again after a pause. Who begins again has no first version: it is old by then.
async fn tend_on<K: Tended>(
    (tend, is_over): (Tend<K>, fn(&K) -> bool),
    shared: Arc<Shared>,
    mut object: watch::Receiver<Arc<K>>,
    mut first: Option<Box<K>>,
    rest: CancellationToken,
) {
    let is_done = |object: &Arc<K>| is_over(object) || object.meta().deletion_timestamp.is_some();
    let mut backoff = Backoff::new();
    while !rest.is_cancelled() && object.has_changed().is_ok() {
        let began = Instant::now();
        let tended = AssertUnwindSafe(tend(shared.clone(), object.clone(), first.take(), rest.clone()));
        match tended.catch_unwind().await {
            Ok(()) => tokio::select! {
                // An error means that the object is gone.
                _ = object.wait_for(is_done) => return,
                () = backoff.wait(began, &rest) => {}
            },
            Err(panic) => {
                let seen = object.borrow().clone();
                let (namespace, name) = (seen.namespace().unwrap_or_default(), seen.name_any());
                tracing::error!(kind = %K::kind(&()), namespace, name, why = words(&*panic), "it panicked; starting over");
                shared.metrics.failed_by(Mishap::Panic);
                backoff.wait(began, &rest).await;
            }
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("nothing")
}

#[cfg(test)]
mod tests;
