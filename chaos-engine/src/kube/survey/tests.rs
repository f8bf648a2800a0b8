//! Who shares a survey, and who must not, with reads that a test lets go on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaos_core::population::SwitchState;
use futures::future::join_all;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Surveys of a cluster, which are numbered as they begin, and end when they may.
#[derive(Clone)]
struct Cluster {
    surveys: Surveys,
    began: watch::Sender<usize>,
    may_end: watch::Sender<bool>,
    /// Surveys that are being read, and the most there ever were.
    reading: Arc<[AtomicUsize; 2]>,
}

/// Counts a read until it is dropped.
struct Reading(Arc<[AtomicUsize; 2]>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0[0].fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cluster {
    fn new() -> Self {
        let (began, may_end) = (watch::channel(0).0, watch::channel(false).0);
        Self { surveys: Surveys::new(), began, may_end, reading: Arc::default() }
    }

    /// One survey. It finds its own number, as an environment.
    async fn read(self) -> Surveyed {
        let [reading, most] = &*self.reading;
        most.fetch_max(reading.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let _reading = Reading(self.reading.clone());
        let mut number = 0;
        self.began.send_modify(|began| {
            *began += 1;
            number = *began;
        });
        self.until(&self.may_end, |may_end| *may_end).await;
        Ok(Arc::new(population(number)))
    }

    /// A killer that asks for a survey of that namespace.
    fn ask(&self, namespace: &str, sees: bool) -> JoinHandle<Surveyed> {
        let (cluster, of) = (self.clone(), pods_of(namespace));
        let surveys = self.surveys.clone();
        tokio::spawn(async move { surveys.survey(&of, sees, move || cluster.read()).await })
    }

    fn ask_together(&self, killers: usize) -> Vec<JoinHandle<Surveyed>> {
        (0..killers).map(|_| self.ask("n", false)).collect()
    }

    async fn until<T>(&self, of: &watch::Sender<T>, is_so: impl FnMut(&T) -> bool) {
        of.subscribe().wait_for(is_so).await.unwrap();
    }

    /// Waits until so many have begun.
    async fn have_begun(&self, surveys: usize) {
        tokio::time::timeout(LONG, self.until(&self.began, |began| *began >= surveys)).await.unwrap();
    }

    /// Lets everybody do what there is to be done without waiting.
    async fn settle(&self) {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }

    fn began(&self) -> usize {
        *self.began.borrow()
    }

    fn being_read(&self) -> usize {
        self.reading[0].load(Ordering::Relaxed)
    }

    /// Nothing is kept of what was handed out.
    async fn keeps_nothing(&self) -> bool {
        self.settle().await;
        self.surveys.lines().is_empty()
    }
}

fn pods_of(namespace: &str) -> SurveyOf {
    let namespaces = NamespaceScope::Named(BTreeSet::from([namespace.to_owned()]));
    let policy = Policy::operator(namespace, "chaos-system");
    SurveyOf { namespaces, environment: Environment::Known(None), policy, scope: Scope::Target }
}

fn population(number: usize) -> Population {
    Population {
        taken_at: Timestamp::UNIX_EPOCH,
        environment: Some(number.to_string()),
        switch: SwitchState::Running,
        namespaces: Vec::new(),
        workloads: Vec::new(),
        pods: Vec::new(),
        nodes: None,
        budgets: Vec::new(),
    }
}

/// The number of the survey by which this killer was answered.
async fn answered(asked: JoinHandle<Surveyed>) -> String {
    tokio::time::timeout(LONG, asked).await.unwrap().unwrap().unwrap().environment.clone().unwrap()
}

async fn all_answered(asked: Vec<JoinHandle<Surveyed>>) -> BTreeSet<String> {
    join_all(asked.into_iter().map(answered)).await.into_iter().collect()
}

#[tokio::test]
async fn a_hundred_that_ask_at_once_are_answered_by_one_read_or_two() {
    let cluster = Cluster::new();
    let asked = cluster.ask_together(100);
    cluster.settle().await;
    cluster.may_end.send_replace(true);
    all_answered(asked).await;
    assert!((1..=2).contains(&cluster.began()), "{}", cluster.began());
    assert!(cluster.keeps_nothing().await);
}

#[tokio::test]
async fn who_asks_while_a_read_is_under_way_gets_one_that_began_afterwards() {
    let cluster = Cluster::new();
    let first = cluster.ask("n", false);
    cluster.have_begun(1).await;
    let later = cluster.ask_together(100);
    cluster.settle().await;
    assert_eq!(cluster.began(), 1, "of one namespace one is read at a time");
    cluster.may_end.send_replace(true);
    assert_eq!(answered(first).await, "1");
    assert_eq!(all_answered(later).await, BTreeSet::from(["2".to_owned()]));
    assert!(cluster.keeps_nothing().await);
    assert_eq!(answered(cluster.ask("n", false)).await, "3", "what was found before is old");
}

#[tokio::test]
async fn whoever_goes_away_leaves_nobody_waiting() {
    let cluster = Cluster::new();
    let mut asked = cluster.ask_together(3);
    cluster.have_begun(1).await;
    asked.remove(0).abort();
    cluster.settle().await;
    assert_eq!(cluster.being_read(), 1, "two still wait for it");
    let next = cluster.ask("n", false);
    cluster.settle().await;
    next.abort();
    cluster.may_end.send_replace(true);
    assert_eq!(all_answered(asked).await, BTreeSet::from(["1".to_owned()]));
    assert!(cluster.keeps_nothing().await);
    assert_eq!(cluster.began(), 1, "nobody waits for the second");
}

#[tokio::test]
async fn nobody_reads_on_for_those_who_went_away() {
    let cluster = Cluster::new();
    let asked = cluster.ask_together(3);
    cluster.have_begun(1).await;
    asked.iter().for_each(JoinHandle::abort);
    assert!(cluster.keeps_nothing().await);
    assert_eq!(cluster.being_read(), 0);
}

#[tokio::test]
async fn an_error_reaches_all_who_asked_together_and_each_may_try_again() {
    let surveys = Surveys::new();
    let namespace = pods_of("n");
    let asked = (0..10).map(|_| surveys.survey(&namespace, false, || async { Err("out of reach".to_owned()) }));
    for answer in join_all(asked).await {
        assert_eq!(answer.unwrap_err(), "out of reach");
    }
    let again = surveys.survey(&namespace, false, || async { Ok(Arc::new(population(7))) }).await;
    assert_eq!(again.unwrap().environment.as_deref(), Some("7"));
    let panics = || async { Vec::<Surveyed>::new().remove(0) };
    assert!(surveys.survey(&namespace, false, panics).await.unwrap_err().contains("without an answer"));
    let again = surveys.survey(&namespace, false, || async { Ok(Arc::new(population(8))) }).await;
    assert_eq!(again.unwrap().environment.as_deref(), Some("8"));
}

#[tokio::test]
async fn two_scopes_are_two_reads_and_few_are_read_at_a_time() {
    let cluster = Cluster::new();
    let asked: Vec<_> = (0..20).map(|n| cluster.ask(&format!("n-{n}"), false)).collect();
    cluster.have_begun(SURVEYS).await;
    cluster.settle().await;
    assert_eq!(cluster.began(), SURVEYS);
    cluster.may_end.send_replace(true);
    assert_eq!(all_answered(asked).await.len(), 20, "each has one of its own");
    assert_eq!(cluster.reading[1].load(Ordering::Relaxed), SURVEYS);
    let other = Environment::LabelOf("chaos-system".to_owned());
    assert_ne!(pods_of("n"), SurveyOf { environment: other, ..pods_of("n") });
    assert_ne!(pods_of("n"), pods_of("n").within(&Scope::Namespaces(["n".to_owned()].into())));
    let theirs = Policy::operator("m", "chaos-system");
    assert_ne!(pods_of("n"), SurveyOf { policy: theirs, ..pods_of("n") }, "another spec may see other namespaces");
}

#[tokio::test(start_paused = true)]
async fn who_sees_the_cluster_is_not_held_by_a_slow_read_of_the_same_namespace_or_of_others() {
    let cluster = Cluster::new();
    let (stuck, turns) = (cluster.ask("n", false), cluster.surveys.turns.clone());
    cluster.have_begun(1).await;
    let others = turns.acquire_many_owned(u32::try_from(SURVEYS - 1).unwrap()).await.unwrap();
    let asked = tokio::time::Instant::now();
    let (new, sees) = (cluster.ask("n", false), cluster.ask("n", true));
    cluster.have_begun(2).await;
    assert!(asked.elapsed() <= TURN_WITHIN + Duration::from_millis(10), "{:?}", asked.elapsed());
    assert!(asked.elapsed() >= TURN_WITHIN, "it waits for its turn");
    assert_eq!(cluster.being_read(), 2);
    cluster.may_end.send_replace(true);
    assert_eq!([answered(stuck).await, answered(new).await, answered(sees).await], ["1", "2", "2"]);
    drop(others);
    assert!(cluster.keeps_nothing().await);
}
