//! What a run has seen so far, and what follows from it while it goes on: kills that are not made good, promises that are
//! refuted, a cluster out of sight. It looks and counts; what is done about it is decided by the run's step function.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaos_core::model::Experiment;
use chaos_core::record::{Event, Phase, RunTime, StopCause};
use chaos_core::run::{Recovering, RunView, guard};
use chaos_core::verdict::{self, JudgeSpec, ReasonCode};
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::alerts::{Alarm, Guarding};
use super::answers::Answers;
use super::sight::{Known, Lookout};
use super::vigil::{Vigil, Watchfire};
use crate::clock::RunClock;
use crate::probe::AlertLook;
use crate::recorder::Recorder;

/// What an observer needs.
pub(super) struct Scene {
    /// What is run.
    pub experiment: Arc<Experiment>,
    /// What it is judged by.
    pub judge: Arc<JudgeSpec>,
    /// For watching.
    pub client: Client,
    /// Namespaces whose pods are watched.
    pub namespaces: Vec<String>,
    /// The run's clock.
    pub clock: RunClock,
    /// Where sightings are told.
    pub recorder: Recorder,
    /// Whether a switch that is missing stops the run, as it does for the operator.
    pub strict: bool,
    /// Pods that are known from an earlier look.
    pub known: Known,
    /// The alerts that guard the run.
    pub guards: Vec<AlertLook>,
}

/// What a run has seen.
pub(super) struct Observer {
    experiment: Arc<Experiment>,
    judge: Arc<JudgeSpec>,
    clock: RunClock,
    watchfire: watch::Receiver<Watchfire>,
    alarms: Vec<watch::Receiver<Alarm>>,
    events: Vec<Event>,
    recovering: Recovering,
    looks: Looks,
    blindness: Blindness,
    answers: Answers,
    /// When the probes were started.
    since: Option<RunTime>,
    /// A promise was refuted while the run goes on.
    refuted: Option<StopCause>,
    /// The operator drives the run.
    strict: bool,
    watchers: JoinSet<()>,
    stop: CancellationToken,
}

/// Since when the pods are looked at, and whether all that are there were. Where a run is taken up nobody knows before what took the
/// place of a pod meanwhile.
struct Looks {
    began: RunTime,
    /// In how many namespaces they were looked at, and in how many they have to be.
    listed: Arc<AtomicUsize>,
    wanted: usize,
    /// They were by the last look at the news.
    are_done: bool,
    /// They were by the one before: what was found is known.
    are_told: bool,
}

impl Looks {
    /// Takes notice of a look at the news. What is told by then is among the news of the next one at the latest.
    fn take(&mut self) {
        self.are_told = self.are_done;
        self.are_done = self.listed.load(Ordering::Acquire) >= self.wanted;
    }

    /// Since when a pod is missed that is gone since then.
    fn missed_since(&self, at: RunTime) -> RunTime {
        if self.are_told { at } else { at.max(self.began) }
    }
}

/// When the cluster was out of sight: nobody sees then what takes the place of a pod.
#[derive(Debug, Default)]
struct Blindness {
    /// Since when it is, or was when whoever drove the run before was lost.
    since: Option<RunTime>,
    /// Where that has an end.
    spans: Vec<(RunTime, RunTime)>,
}

impl Blindness {
    /// Takes notice of an event.
    fn take(&mut self, event: &Event) {
        match event {
            Event::Blind { at, .. } => self.since = Some(*at),
            Event::Sight { at } => self.spans.extend(self.since.take().map(|since| (since, *at))),
            _ => (),
        }
    }

    /// That instant, later by as long as nobody could look after it, for whoever looks since `began`.
    fn without(&self, at: RunTime, began: RunTime, now: RunTime) -> RunTime {
        let open = self.since.filter(|since| *since >= began).map(|since| (since, now));
        let after = |(from, to): (RunTime, RunTime)| to.0.saturating_sub(from.0.max(at.0));
        let blind = self.spans.iter().copied().chain(open).map(after).fold(0, u64::saturating_add);
        RunTime(at.0.saturating_add(blind))
    }
}

impl Observer {
    /// Starts to watch.
    pub(super) fn start(scene: Scene) -> Self {
        let stop = CancellationToken::new();
        let mut watchers = JoinSet::new();
        let Scene { experiment, judge, client, namespaces, clock, recorder, strict, known, guards } = scene;
        let (listed, wanted) = (Arc::<AtomicUsize>::default(), namespaces.len());
        let looks = Looks { began: clock.now(), listed: listed.clone(), wanted, are_done: false, are_told: false };
        let (watched, told) = (client.clone(), recorder.clone());
        let lookout = Lookout { client: watched, clock, recorder: told, stop: stop.clone(), listed };
        for namespace in &namespaces {
            watchers.spawn(lookout.clone().watch_pods(namespace.clone(), known.pods_of(namespace)));
            watchers.spawn(lookout.clone().watch_endpoints(namespace.clone()));
        }
        let (tell, watchfire) = watch::channel(Watchfire::default());
        let vigil = Vigil { client, namespaces, clock, recorder: recorder.clone(), tell, strict };
        watchers.spawn(vigil.keep(stop.clone()));
        let mut alarms = Vec::new();
        for look in guards {
            let (tell, alarm) = watch::channel(Alarm::default());
            watchers.spawn(Guarding { look, clock, recorder: recorder.clone(), tell }.keep(stop.clone()));
            alarms.push(alarm);
        }
        Self {
            experiment,
            judge,
            clock,
            watchfire,
            alarms,
            events: Vec::new(),
            recovering: Recovering::default(),
            looks,
            blindness: Blindness::default(),
            answers: Answers::default(),
            since: None,
            refuted: None,
            strict,
            watchers,
            stop,
        }
    }

    /// Takes notice of what happened since the last look.
    pub(super) fn take(&mut self, news: Vec<Event>) {
        self.looks.take();
        let mut killed = false;
        for event in &news {
            self.recovering.take(event);
            self.blindness.take(event);
            self.answers.take(event);
            if let Event::Phase { at, phase: Phase::Baseline } = event {
                self.since = Some(*at);
            }
            killed |= matches!(event, Event::Kill(_));
        }
        self.events.extend(news);
        // The betting test may be asked as often as one likes; only a kill brings news.
        if killed && self.refuted.is_none() {
            let refuted = verdict::refuted_live(&self.judge, &self.events);
            self.refuted = refuted.map(|refutation| StopCause::SloRefuted { probe: refutation.probe });
        }
        if self.refuted.is_none() {
            let tripped = guard::tripped(&self.experiment, &self.events, self.clock.now());
            self.refuted = tripped.map(|message| StopCause::Guard { message });
        }
    }

    /// Whether what was measured so far refutes that the system is steady, or a probe could not answer, which spoils the run
    /// whatever is killed.
    fn is_unsteady(&self) -> bool {
        let spoils = |reason| matches!(reason, ReasonCode::NotSteady | ReasonCode::ProbeUnanswered);
        let findings = verdict::judge(&self.judge, &self.events).verdict.findings;
        findings.iter().any(|finding| spoils(finding.reason_code))
    }

    /// Whether a probe is still to be heard of.
    fn is_unanswered(&self) -> bool {
        let (probes, now) = (&self.experiment.probes, self.clock.now());
        self.since.is_none_or(|since| self.answers.are_missing(probes, since, now))
    }

    /// Why the run must end, by what was seen. First that nothing was, as this machine slept: what looks wrong after that says
    /// nothing about the platform.
    pub(super) fn stop_cause(&self) -> Option<StopCause> {
        if let Some(slept) = self.clock.slept() {
            // Whoever reads it may sit at yet another one.
            let whose = if self.strict { "the operator's machine" } else { "this machine" };
            return Some(StopCause::Blind { message: format!("{whose} slept for {} s in mid-run", slept.as_secs()) });
        }
        let firing = self.alarms.iter().find_map(|alarm| alarm.borrow().firing.clone());
        let firing = firing.map(|message| StopCause::Guard { message });
        self.refuted.clone().or(firing).or_else(|| self.watchfire.borrow().stop.clone())
    }

    /// Since when somebody has looked for what takes the place of a pod that is gone since then.
    fn missed_since(&self, at: RunTime) -> RunTime {
        self.blindness.without(self.looks.missed_since(at), self.looks.began, self.clock.now())
    }

    /// What the step function looks at, as far as it was seen.
    pub(super) fn view(&self, in_baseline: bool) -> RunView {
        let since = |(at, what): (RunTime, String)| (self.clock.timestamp(at), what);
        RunView {
            unsteady: in_baseline && self.is_unsteady(),
            unanswered: in_baseline && self.is_unanswered(),
            unrecovered: self.recovering.oldest().map(|(at, pod)| since((self.missed_since(at), pod.to_owned()))),
            unguarded: self.alarms.iter().filter_map(|alarm| alarm.borrow().silent.clone()).min().map(since),
            blind: self.watchfire.borrow().blind.clone().map(since),
            stop: self.stop_cause(),
            ..RunView::default()
        }
    }

    /// Everything that was seen.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Ends the watches.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        while self.watchers.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use chaos_core::api::{Outcome, VictimRef};
    use chaos_core::record::Kill;
    use chaos_core::run::RunMachine;
    use http::StatusCode;
    use jiff::{SignedDuration, Timestamp};
    use serde_json::{Value, json};

    use super::super::fixture::{SLOW_LOAD, experiment, victim};
    use super::*;
    use crate::journal::Redactor;
    use crate::kube::fixture::client;

    fn kill() -> Event {
        let victim = VictimRef { namespace: "dispatch".into(), ..victim("trips", "trips-1", "pod-1") };
        let (nonce, outcome, message) = ("n-1".into(), Outcome::Killed, None);
        Event::Kill(Kill { at: RunTime(0), uncertainty: 0, strike: 1, nonce, victim, outcome, message })
    }

    /// A run of which no namespace is watched.
    fn scene(client: Client, clock: RunClock) -> Scene {
        let experiment = Arc::new(experiment(&[SLOW_LOAD]));
        Scene {
            judge: Arc::new(JudgeSpec::from(&*experiment)),
            experiment,
            client,
            namespaces: Vec::new(),
            clock,
            recorder: Recorder::in_memory(Redactor::default()),
            strict: false,
            known: Known::default(),
            guards: Vec::new(),
        }
    }

    /// A server that is away.
    fn nobody() -> Client {
        client("dispatch", |_, _, _| (StatusCode::SERVICE_UNAVAILABLE, Value::Null))
    }

    #[tokio::test]
    async fn a_run_whose_machine_slept_ends_as_one_that_saw_nothing_meanwhile() {
        let hour = Duration::from_secs(3_600);
        let told = |whose: &str| Some(StopCause::Blind { message: format!("{whose} slept for 3600 s in mid-run") });
        for (slept, strict, ends) in [
            (Duration::ZERO, false, None),
            (hour, false, told("this machine")),
            (hour, true, told("the operator's machine")),
        ] {
            let clock = RunClock::start().after_sleep(slept);
            let observer = Observer::start(Scene { strict, ..scene(nobody(), clock) });
            assert_eq!(observer.view(false).stop, ends);
        }
    }

    #[tokio::test]
    async fn a_run_whose_guards_cannot_be_read_for_too_long_has_to_end_as_one_whose_cluster_cannot() {
        let clock = RunClock::start().with_zero(Timestamp::now() - SignedDuration::from_secs(60));
        let mut observer = Observer::start(scene(nobody(), clock));
        let machine = RunMachine::new(&observer.experiment);
        for (since, must_end) in [(clock.now(), false), (RunTime(0), true)] {
            let out_of_reach = Some((since, "no answer".to_owned()));
            let alarm = Alarm { silent: out_of_reach.clone(), ..Alarm::default() };
            let watchfire = Watchfire { blind: out_of_reach, ..Watchfire::default() };
            for (alarm, watchfire) in [(alarm, Watchfire::default()), (Alarm::default(), watchfire)] {
                observer.alarms = vec![watch::channel(alarm).1];
                observer.watchfire = watch::channel(watchfire).1;
                let now = clock.timestamp(clock.now());
                assert_eq!(machine.must_end(&observer.view(false), now), must_end, "{since:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_pod_is_not_given_up_for_the_time_in_which_the_cluster_was_out_of_sight() {
        let clock = RunClock::start().with_zero(Timestamp::now() - SignedDuration::from_secs(60));
        let mut observer = Observer::start(scene(nobody(), clock));
        let at = |second: u64| RunTime(second * 1_000_000_000);
        let blind = |second: u64| Event::Blind { at: at(second), cause: "no answer".to_owned() };
        observer.take(vec![kill(), blind(10), Event::Sight { at: at(50) }, blind(55)]);
        observer.take(Vec::new());
        let missed_since = |observer: &Observer| observer.view(false).unrecovered.expect("nothing came in its place").0;
        // What another process did not see any more has no end that anybody knows.
        assert_eq!(missed_since(&observer), clock.timestamp(at(40)));
        observer.looks.began = at(0);
        assert!(missed_since(&observer) >= clock.timestamp(at(45)), "it still is");
        observer.take(vec![Event::Sight { at: at(57) }]);
        assert_eq!(missed_since(&observer), clock.timestamp(at(42)));
    }

    #[tokio::test]
    async fn a_pod_is_not_given_up_for_the_time_in_which_nobody_looked_before_somebody_has() {
        let answers = Arc::new(AtomicBool::new(false));
        let does_answer = answers.clone();
        let client = client("dispatch", move |_, path, _| {
            let is_list = path.ends_with("/pods") && does_answer.load(Ordering::Relaxed);
            let list = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "1"},
                "items": []});
            if is_list { (StatusCode::OK, list) } else { (StatusCode::SERVICE_UNAVAILABLE, Value::Null) }
        });
        // The run began a minute ago, with a kill, and is taken up by another process.
        let clock = RunClock::start().with_zero(Timestamp::now() - SignedDuration::from_secs(60));
        let namespaces = vec!["dispatch".to_owned()];
        let mut observer = Observer::start(Scene { namespaces, strict: true, ..scene(client, clock) });
        observer.take(vec![kill()]);
        let missed_for = |observer: &Observer| {
            let (since, _) = observer.view(false).unrecovered.expect("nothing came in its place");
            Timestamp::now().duration_since(since).as_secs()
        };
        for _ in 0..3 {
            observer.take(Vec::new());
            assert!(missed_for(&observer) < 30, "nobody has looked");
        }
        answers.store(true, Ordering::Relaxed);
        let is_missed = async {
            while missed_for(&observer) < 59 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                observer.take(Vec::new());
            }
        };
        tokio::time::timeout(Duration::from_secs(20), is_missed).await.expect("it is missed since it was killed");
    }
}
