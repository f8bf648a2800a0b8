//! What is known of the prober: its reports, read one by one as they come, and how far its clock is from ours. Its clock is the
//! clock of the record, because a prober that is lost ends the run, while operators may come and go.

mod listen;
mod wait;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chaos_core::api::ExperimentRun;
use chaos_core::instant::{after, micro_time};
use chaos_core::model::Experiment;
use chaos_core::operated::{ProberView, Unfit, admit};
use chaos_core::prober::{Reached, Report, SILENT_AFTER};
use chaos_core::record::{Event, StopCause};
use chaos_core::verdict::ExitCode;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::offset::Offset;
use crate::chunks::{ChunkReader, Role, RunKey};
use crate::clock::RunClock;
use crate::kube::{Caller, StatusDesk};

/// An offset of the clocks that is known this well is good, in nanoseconds, …
const GOOD: u64 = 20_000_000;
/// … and one that is known this well is good enough: a verdict takes 50 ms.
const GOOD_ENOUGH: u64 = 45_000_000;
/// After so many answers the offset only has to be good enough, …
const ANSWERS_FOR_GOOD: u32 = 25;
/// … and after so many it will not become better: the verdict says so.
const ANSWERS_AT_MOST: u32 = 80;
/// Beats of ours that are known again: a prober tells the newest one that it read.
const BEATS: usize = 64;
/// A prober that does not answer for this long will not.
const FIND_CLOCK_WITHIN: Duration = Duration::from_secs(15);
/// Whoever waits for what it told looks at other things again after this.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// The prober as it is known.
pub(super) struct Link {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    stop: CancellationToken,
}

struct Shared {
    state: Mutex<State>,
    /// How well the instants of kills are known by the clock of the record, in nanoseconds.
    slack: Arc<AtomicU64>,
    /// An answer is waited for.
    eager: watch::Sender<bool>,
    tell: watch::Sender<u64>,
}

struct State {
    experiment: Arc<Experiment>,
    /// Our clock: this machine's as it was when listening began. A step of that moves nothing.
    ours: RunClock,
    /// Events that were not taken out yet.
    events: Vec<Event>,
    report: Option<Report>,
    /// When the newest report was seen, later by as long as nobody could listen since.
    seen_at: Instant,
    /// When its row of the evidence was last read as far as it goes.
    read_at: Instant,
    /// For how long in all nobody could listen up to then.
    deaf: Duration,
    /// An instant of which it was asked whether all is known that had ended by then, and for how long nobody could listen before it.
    awaited: Option<(Timestamp, Duration)>,
    /// Beats of ours. Those of a process that drove the run before were told by another clock.
    beats: VecDeque<Timestamp>,
    /// Reports that tell when one of those was read.
    answers: u32,
    chunks: u64,
    /// The prober's clock minus ours.
    offset: Offset,
    /// The offset that the run's clock was set with.
    anchor: Option<i64>,
    /// All was read once that stood in its row when listening began.
    is_read: bool,
    /// Its row of the evidence is not what it should be.
    damaged: Option<String>,
    /// Somebody else drives the run, or it is gone.
    fenced: bool,
}

impl Link {
    /// Begins to listen. Beats are written to the run's status while there is an order in it.
    pub(super) fn open(
        reads: Caller,
        run: RunKey,
        experiment: Arc<Experiment>,
        desk: StatusDesk<ExperimentRun>,
    ) -> Self {
        let (tell, changed) = watch::channel(0);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(experiment)),
            slack: Arc::new(AtomicU64::new(u64::MAX)),
            eager: watch::channel(true).0,
            tell,
        });
        let stop = CancellationToken::new();
        let reader = ChunkReader::new(reads, run, Role::Prober);
        tokio::spawn(listen::listen(shared.clone(), reader, desk, stop.clone()));
        Self { shared, changed, stop }
    }

    /// How far it has come before the run.
    pub(super) fn view(&self) -> ProberView {
        let state = self.shared.state();
        if let Some(why) = &state.damaged {
            return ProberView::Unfit(Unfit::out_of_reach(why));
        }
        match state.report.as_ref().map(|report| &report.reached) {
            None => ProberView::Silent,
            Some(Reached::Unfit { exit_code, message }) => ProberView::Unfit(unfit(*exit_code, message)),
            Some(Reached::Ended { message }) => ProberView::Unfit(Unfit::out_of_reach(message)),
            Some(_) if state.is_queued() && (state.silent() > SILENT_AFTER || state.is_unread()) => ProberView::Silent,
            Some(_) if state.is_queued() => ProberView::Queued,
            Some(Reached::Claimed) => ProberView::Preparing,
            Some(_) if state.clock_is_known() => ProberView::Ready,
            Some(_) => ProberView::Preparing,
        }
    }

    /// Why nothing that it measures counts any more, if that is so.
    pub(super) fn lost(&self) -> Option<StopCause> {
        let state = self.shared.state();
        let silent = state.silent();
        let message = if let Some(why) = &state.damaged {
            why.clone()
        } else if let Some(Report { reached: Reached::Ended { message }, .. }) = &state.report {
            format!("it ended by itself: {message}")
        } else if state.is_unread() {
            // Of which a prober knows nothing.
            let message = format!("what the prober tells could not be read for {} s", state.unread().as_secs());
            return Some(StopCause::Blind { message });
        } else if silent > SILENT_AFTER {
            format!("the prober has been silent for {} s", silent.as_secs())
        } else {
            return None;
        };
        Some(StopCause::Probes { message })
    }

    /// Why nothing is measured where it should be, if that is so: load ends by itself once it was on for longer than the run may take,
    /// whatever becomes of the operator.
    pub(super) fn ended_early(&self) -> Option<StopCause> {
        let state = self.shared.state();
        let is_over = state.report.as_ref().is_some_and(|report| report.reached.is_at_least(&Reached::Stopped));
        let message = "the prober ended its load by itself: it was on for longer than the run may take";
        is_over.then(|| StopCause::Probes { message: message.to_owned() })
    }

    /// Since when everything that had ended at `until` (by our clock) could have been told, unless it is known. The time in which
    /// nobody could listen does not count.
    pub(super) fn untold_since(&self, until: Timestamp) -> Option<Timestamp> {
        let mut state = self.shared.state();
        let told = state.report.as_ref().and_then(|report| state.offset.ours(report.written_at));
        if told.is_some_and(|told| told >= until) {
            return None;
        }
        let (is_past, deaf) = (state.now() >= until, state.deaf());
        let before = state.awaited.filter(|(of, _)| is_past && *of == until).map_or(deaf, |(_, before)| before);
        state.awaited = Some((until, before));
        Some(after(until, deaf.saturating_sub(before)))
    }

    /// The time by our clock.
    pub(super) fn now(&self) -> Timestamp {
        self.shared.state().now()
    }

    /// A beat that is going to be written.
    pub(super) fn beat(&self) -> MicroTime {
        self.shared.state().beat()
    }

    /// Sets the clock of the record: UTC of this machine at its zero. Then its events count.
    pub(super) fn clock(&self) -> Option<RunClock> {
        let mut state = self.shared.state();
        let zero = state.offset.ours(state.report.as_ref()?.started_at)?;
        state.anchor = Some(state.offset.nanos());
        self.shared.slack.store(state.slack(), Ordering::Relaxed);
        Some(state.ours.with_zero(zero))
    }

    /// The clock of a record that was begun by another process. Where the prober does not tell any more, its instants are
    /// taken for ours, and nothing that is killed then counts: the clock is not known.
    pub(super) async fn find_clock(&self, events: &[Event]) -> RunClock {
        self.compare_clocks().await;
        // What is known badly is still better than nothing: the verdict says how badly.
        let is_bounded = self.shared.state().offset.uncertainty() < u64::MAX;
        let found = if is_bounded { self.clock() } else { None };
        let recorded = events.iter().find_map(|event| match event {
            Event::Started(started) => Some(started.started_at),
            _ => None,
        });
        found.unwrap_or_else(|| {
            let state = self.shared.state();
            state.ours.with_zero(recorded.unwrap_or_else(|| state.now()))
        })
    }

    /// Waits until it is known how far its clock is from ours, as long as that may help.
    pub(super) async fn compare_clocks(&self) {
        self.wait_until(State::clock_is_known, FIND_CLOCK_WITHIN).await;
    }

    /// Waits for all that it told before anybody listened here, for a while. Whether that is known.
    pub(super) async fn catch_up(&self) -> bool {
        // Of a row that is damaged no more is read.
        self.wait_until(|state| state.is_read || state.damaged.is_some(), READ_WITHIN).await
    }

    /// Waits until that is so, at most that long. Whether it is.
    async fn wait_until(&self, holds: impl Fn(&State) -> bool, within: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        let mut changed = self.changed.clone();
        while !holds(&self.shared.state()) {
            if !matches!(tokio::time::timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }

    /// UTC of the prober at the zero of the record.
    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.shared.state().report.as_ref().map(|report| report.started_at)
    }

    /// SHA-256 of the prober's program, in hex, if it told it.
    pub(super) fn tool_digest(&self) -> Option<String> {
        self.shared.state().report.as_ref().and_then(|report| report.tool_digest.clone())
    }

    /// How well the instants of kills are known, in nanoseconds.
    pub(super) fn slack(&self) -> Arc<AtomicU64> {
        self.shared.slack.clone()
    }

    /// Events that were told since the last time, and how many ConfigMaps were read with them.
    pub(super) fn take(&self) -> (Vec<Event>, u64) {
        let mut state = self.shared.state();
        (std::mem::take(&mut state.events), state.chunks)
    }

    /// Somebody else drives the run, or it is gone.
    pub(super) fn is_fenced(&self) -> bool {
        self.shared.state().fenced
    }

    /// Waits for something new.
    pub(super) async fn changed(&mut self) {
        if self.changed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Looks often, or as often as is enough.
    pub(super) fn look_often(&self, often: bool) {
        self.shared.eager.send_if_modified(|eager| std::mem::replace(eager, often) != often);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another holder cannot leave it half changed in a way that matters: the run would end as torn.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nothing is known of the prober.
    fn new(experiment: Arc<Experiment>) -> Self {
        Self {
            experiment,
            ours: RunClock::start(),
            events: Vec::new(),
            report: None,
            seen_at: Instant::now(),
            read_at: Instant::now(),
            deaf: Duration::ZERO,
            awaited: None,
            beats: VecDeque::new(),
            answers: 0,
            chunks: 0,
            offset: Offset::UNKNOWN,
            anchor: None,
            is_read: false,
            damaged: None,
            fenced: false,
        }
    }

    fn now(&self) -> Timestamp {
        self.ours.timestamp(self.ours.now())
    }

    /// Its prober lets the run wait for its turn.
    fn is_queued(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.queued)
    }

    /// Its prober is at work: its clock is of interest.
    fn has_begun(&self) -> bool {
        self.report.is_some() && !self.is_queued()
    }

    fn clock_is_known(&self) -> bool {
        let known = self.offset.uncertainty();
        let wanted = if self.answers < ANSWERS_FOR_GOOD { GOOD } else { GOOD_ENOUGH };
        known <= wanted || self.answers >= ANSWERS_AT_MOST
    }

    /// A beat that is going to be written.
    fn beat(&mut self) -> MicroTime {
        let beat = micro_time(self.now());
        if self.beats.len() >= BEATS {
            self.beats.pop_front();
        }
        self.beats.push_back(beat.0);
        beat
    }

    /// The clock of the record was set once; what was learned since adds to what is not known.
    fn slack(&self) -> u64 {
        let Some(anchor) = self.anchor else { return u64::MAX };
        self.offset.uncertainty().saturating_add(self.offset.nanos().abs_diff(anchor))
    }

    fn take(&mut self, events: Vec<Event>, report: Option<Report>) -> Result<(), String> {
        for event in events {
            admit(&self.experiment, &event).map_err(|error| error.to_string())?;
            self.events.push(event);
        }
        let report = report.ok_or_else(|| "a report is missing".to_owned())?;
        if let Some(before) = &self.report
            && (before.prober != report.prober || (before.started_at != report.started_at && !before.queued))
        {
            return Err("another prober went on with the report".to_owned());
        }
        // Clocks drift while a run waits, and a prober that is busy is slow to answer.
        if !report.queued {
            let now = self.now();
            // Whoever takes a run up reads what was told to others as well: that says nothing of our clock.
            if let Some(heard) = report.heard.filter(|heard| self.beats.contains(&heard.beat)) {
                self.offset.heard(heard.beat, heard.read_at);
                self.answers += 1;
            }
            self.offset.told(report.written_at, now);
        }
        (self.report, self.seen_at) = (Some(report), Instant::now());
        Ok(())
    }
}

fn unfit(exit_code: ExitCode, message: &str) -> Unfit {
    match exit_code {
        ExitCode::Refused => Unfit::refused(message),
        ExitCode::InvalidManifest => Unfit::invalid(message),
        _ => Unfit::out_of_reach(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaos_core::prober::Heard;
    use chaos_core::validate::experiment_file;

    fn state() -> State {
        let text = include_str!("../../../../experiments/riders-can-request-while-pods-die.yaml");
        let experiment = Arc::new(experiment_file("x.yaml", text).unwrap().remove(0));
        State::new(experiment)
    }

    fn report(prober: &str, reached: Reached) -> Option<Report> {
        let started_at = Timestamp::UNIX_EPOCH;
        let written_at = Timestamp::now();
        let (prober, tool_digest) = (prober.into(), Some("cafe".into()));
        Some(Report { prober, tool_digest, reached, queued: false, started_at, written_at, heard: None })
    }

    fn link(state: State) -> Link {
        let (tell, changed) = watch::channel(0);
        let slack = Arc::new(AtomicU64::new(0));
        let shared = Arc::new(Shared { state: Mutex::new(state), slack, eager: watch::channel(false).0, tell });
        Link { shared, changed, stop: CancellationToken::new() }
    }

    #[test]
    fn a_run_that_waits_for_its_turn_does_so_while_it_is_told() {
        let queued = || report("a", Reached::Claimed).map(|report| Report { queued: true, ..report });
        let link = link(state());
        assert_eq!(link.view(), ProberView::Silent);
        for _ in 0..2 * ANSWERS_AT_MOST {
            link.shared.state().take(Vec::new(), queued()).unwrap();
        }
        assert_eq!(link.view(), ProberView::Queued);
        assert!(!link.shared.state().clock_is_known(), "nothing was compared");
        link.shared.state().seen_at = Instant::now().checked_sub(SILENT_AFTER + Duration::from_secs(1)).unwrap();
        assert_eq!(link.view(), ProberView::Silent);
        // Nor does it wait for ever for one that nobody can hear.
        let max_blind = link.shared.state().experiment.limits.max_blind.std();
        for (longer, view) in [(Duration::ZERO, ProberView::Queued), (max_blind + SILENT_AFTER, ProberView::Silent)] {
            link.shared.state().take(Vec::new(), queued()).unwrap();
            link.shared.state().read_at = Instant::now().checked_sub(longer).unwrap();
            assert_eq!(link.view(), view, "{longer:?}");
        }
        link.shared.state().read_at = Instant::now();
        // The record begins when its turn has come, and only then.
        let later = |second| {
            let started_at = Timestamp::from_second(second).unwrap();
            report("a", Reached::Ready).map(|report| Report { started_at, ..report })
        };
        link.shared.state().take(Vec::new(), later(1)).unwrap();
        assert_eq!(link.view(), ProberView::Preparing);
        assert!(link.shared.state().take(Vec::new(), later(2)).is_err());
        let written = serde_json::to_value(report("a", Reached::Claimed)).unwrap();
        assert!(written.get("queued").is_none(), "as it was before there were queues: {written}");
        assert_eq!(serde_json::from_value::<Option<Report>>(written).unwrap().map(|report| report.queued), Some(false));
    }

    #[test]
    fn a_prober_names_its_program_and_one_of_an_older_version_does_not() {
        let link = link(state());
        assert_eq!(link.tool_digest(), None);
        link.shared.state().take(Vec::new(), report("a", Reached::Claimed)).unwrap();
        assert_eq!(link.tool_digest().as_deref(), Some("cafe"));
        let mut written = serde_json::to_value(report("a", Reached::Claimed)).unwrap();
        written.as_object_mut().unwrap().remove("toolDigest").unwrap();
        let older: Report = serde_json::from_value(written).unwrap();
        link.shared.state().take(Vec::new(), Some(older)).unwrap();
        assert_eq!(link.tool_digest(), None);
    }

    #[test]
    fn a_row_that_somebody_else_goes_on_with_is_damaged() {
        let mut state = state();
        state.take(Vec::new(), report("a", Reached::Claimed)).unwrap();
        state.take(Vec::new(), report("a", Reached::Ready)).unwrap();
        assert!(state.take(Vec::new(), report("b", Reached::Loading)).unwrap_err().contains("another prober"));
        assert!(state.take(Vec::new(), None).is_err());
        let kill = Event::WoundDown { at: chaos_core::record::RunTime(1), left: Vec::new() };
        assert!(state.take(vec![kill], report("a", Reached::Ready)).unwrap_err().contains("not its to tell"));
    }

    #[test]
    fn what_is_learned_of_the_clock_later_adds_to_what_is_not_known() {
        let mut state = state();
        let at = |millis: i64| Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap();
        assert_eq!(state.slack(), u64::MAX);
        state.offset.heard(at(0), at(1_010));
        state.offset.told(at(1_020), at(30));
        assert!(state.clock_is_known(), "known to {} ns", state.offset.uncertainty());
        state.anchor = Some(state.offset.nanos());
        let at_first = state.slack();
        // The clocks drift: later messages show an offset that is 30 ms less.
        state.offset = Offset::UNKNOWN;
        state.offset.heard(at(60_000), at(60_980));
        state.offset.told(at(60_985), at(60_025));
        assert!(state.slack() >= at_first + 20_000_000, "{} {at_first}", state.slack());
    }

    #[test]
    fn a_step_of_our_clock_is_none_of_the_offset() {
        for by in [1, -1].map(jiff::SignedDuration::from_hours) {
            let mut state = state();
            state.ours = RunClock::stepped(Duration::from_secs(60), by);
            // The prober's clock is what ours was.
            let at = state.beat().0;
            let heard = Some(Heard { beat: at, read_at: at });
            let told = report("a", Reached::Loading).map(|report| Report { written_at: at, heard, ..report });
            state.take(Vec::new(), told).unwrap();
            assert!(state.offset.uncertainty() < 1_000_000_000, "{by:?}: {:?}", state.offset);
        }
    }

    #[test]
    fn what_was_told_to_another_process_says_nothing_of_our_clock() {
        let mut state = state();
        let at = state.now();
        let told = |beat, read_at| {
            let heard = Some(Heard { beat, read_at });
            report("a", Reached::Loading).map(|report| Report { written_at: at, heard, ..report })
        };
        // The clock of whoever drove the run before was an hour ahead.
        let ahead = at + jiff::SignedDuration::from_hours(1);
        for _ in 0..2 * ANSWERS_AT_MOST {
            state.take(Vec::new(), told(ahead, at)).unwrap();
        }
        assert!(!state.clock_is_known(), "{:?}", state.offset);
        let beat = state.beat().0;
        state.take(Vec::new(), told(beat, beat)).unwrap();
        assert!(state.offset.uncertainty() < 1_000_000_000, "{:?}", state.offset);
    }

    #[test]
    fn a_prober_is_not_silent_while_nobody_can_listen_and_is_lost_once_that_has_lasted() {
        let link = link(state());
        let ago = |seconds: u64| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let loses = |part: &str| matches!(link.lost(), Some(StopCause::Probes { message }) if message.contains(part));
        link.shared.state().take(Vec::new(), report("a", Reached::Loading)).unwrap();
        link.shared.state().seen_at = ago(40);
        assert!(loses("silent for 40 s"));
        // Whether nobody answered, or a beat was on its way: nobody has looked.
        link.shared.state().read_at = ago(27);
        assert_eq!(link.lost(), None, "it was heard fifteen seconds before");
        link.shared.state().listened();
        assert_eq!(link.lost(), None, "it has had no time to be heard again");
        let earlier = link.shared.state().seen_at.checked_sub(Duration::from_secs(6)).unwrap();
        link.shared.state().seen_at = earlier;
        assert!(loses("silent for 21 s"));
        let max_blind = link.shared.state().experiment.limits.max_blind.std().as_secs();
        link.shared.state().read_at = ago(max_blind.max(20) + 3);
        // Which is no word about the prober.
        let lost = link.lost();
        let is_told = matches!(&lost, Some(StopCause::Blind { message }) if message.contains("could not be read"));
        assert!(is_told, "{lost:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_prober_has_its_time_for_what_it_is_told_while_somebody_can_listen() {
        for (deaf, lasts) in [(0, 10), (25, 35)] {
            let link = link(state());
            link.shared.state().take(Vec::new(), report("a", Reached::Ready)).unwrap();
            let began = tokio::time::Instant::now();
            let away = async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                link.shared.state().deaf += Duration::from_secs(deaf);
            };
            let (arrived, ()) = tokio::join!(link.wait_for(&Reached::Loading, Duration::from_secs(10)), away);
            assert!(matches!(arrived, Err(StopCause::Probes { .. })), "{arrived:?}");
            assert_eq!(began.elapsed().as_secs(), lasts);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_drive_a_run_any_more_waits_for_no_prober_of_it() {
        let link = link(state());
        link.shared.state().take(Vec::new(), report("a", Reached::Ready)).unwrap();
        let began = tokio::time::Instant::now();
        let fenced = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            link.shared.state().fenced = true;
            link.shared.tell.send_modify(|changes| *changes += 1);
        };
        let (arrived, ()) = tokio::join!(link.wait_for(&Reached::Loading, Duration::from_secs(600)), fenced);
        assert_eq!(arrived, Ok(()));
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[test]
    fn what_was_measured_is_not_told_late_while_nobody_can_listen() {
        let link = link(state());
        let ended = link.now();
        assert_eq!(link.untold_since(ended), Some(ended));
        link.shared.state().deaf += Duration::from_secs(25);
        assert_eq!(link.untold_since(ended), Some(after(ended, Duration::from_secs(25))));
        // What has not ended is not late by what was before.
        let ends = after(link.now(), Duration::from_secs(600));
        for _ in 0..2 {
            assert_eq!(link.untold_since(ends), Some(ends));
            link.shared.state().deaf += Duration::from_secs(25);
        }
    }

    #[tokio::test]
    async fn a_prober_that_is_not_heard_of_is_lost() {
        let mut state = state();
        state.take(Vec::new(), report("a", Reached::Loading)).unwrap();
        let link = link(state);
        assert_eq!(link.lost(), None);
        link.shared.state().seen_at = Instant::now().checked_sub(SILENT_AFTER + Duration::from_secs(1)).unwrap();
        assert!(matches!(link.lost(), Some(StopCause::Probes { message }) if message.contains("silent for 21 s")));
    }
}
