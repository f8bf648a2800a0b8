//! Probes are asked when they should be, and nothing is left when they have stopped.

use chaos_core::model::{Expectation, Patience};
use chaos_core::record::{Answer, Sample};
use chaos_core::units;

use super::*;
use crate::journal::Redactor;
use crate::probe::{CommandLook, Expected, Look};
use crate::recorder::Recorder;

fn plan(name: &str, when: Moment, script: &str) -> ProbePlan {
    let args = vec!["-c".to_owned(), script.to_owned()];
    let look = Look::Command(CommandLook { program: "sh".into(), args, timeout: Duration::from_secs(60), json: None });
    let expected = Expected::Exit(Expectation::default());
    let patience = Patience::default();
    ProbePlan::Look(Arc::new(LookPlan { name: name.into(), when, expected, look, patience }))
}

fn samples(recorder: &Recorder) -> Vec<Sample> {
    let sample = |event| if let Event::Sample(sample) = event { Some(sample) } else { None };
    recorder.events().into_iter().filter_map(sample).collect()
}

#[tokio::test]
async fn each_probe_looks_when_it_should() {
    let recorder = Recorder::in_memory(Redactor::default());
    let context = ProbeContext { recorder: recorder.clone(), clock: RunClock::start(), seed: 0, run: 0 };
    let every = units::Duration::from_millis(5);
    let plans = vec![
        plan("before", Moment::Before, "exit 1"),
        plan("after", Moment::After, "exit 0"),
        plan("edge", Moment::Edge, "kill -9 $$"),
        plan("continuous", Moment::Continuous { every }, "exit 0"),
    ];
    let mut set = ProbeSet::start(plans, context).unwrap();
    set.once(End::Before).await;
    let mut live = recorder.live();
    live.wait_for(|live| live.answers.contains_key("continuous")).await.unwrap();
    set.stop().await.unwrap();
    let before_the_end = samples(&recorder).len();
    set.once(End::After).await;

    let samples = samples(&recorder);
    let of =
        |name: &str| samples.iter().filter(|sample| sample.probe == name).map(|sample| sample.met).collect::<Vec<_>>();
    assert_eq!((of("before"), of("after")), (vec![Some(false)], vec![Some(true)]));
    assert_eq!(of("edge"), [None, None], "no answer is neither met nor missed");
    assert!(samples.iter().any(|sample| matches!(&sample.answer, Answer::Error { reason, .. } if reason == "killed")));
    assert!(of("continuous").iter().all(|met| *met == Some(true)));
    assert_eq!(samples.len(), before_the_end + 2, "nothing looks on after the stop");
}

/// A program that gives no answer (it is killed) until the third time.
fn third_time(patience: Patience, when: Moment, folder: &std::path::Path, answer: &str) -> ProbePlan {
    let script = format!("echo >> {0}; [ $(wc -l < {0}) -ge 3 ] || kill -9 $$; {answer}", folder.join("n").display());
    let ProbePlan::Look(plan) = plan("p", when, &script) else { panic!("a look") };
    let plan = Arc::into_inner(plan).unwrap();
    ProbePlan::Look(Arc::new(LookPlan { patience, ..plan }))
}

#[tokio::test]
async fn attempts_are_for_answers_and_an_answer_stands() {
    let asked = async |attempts: u32, answer: &str| {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::in_memory(Redactor::default());
        let context = ProbeContext { recorder: recorder.clone(), clock: RunClock::start(), seed: 0, run: 0 };
        let patience = Patience { attempts, ..Patience::default() };
        let set = ProbeSet::start(vec![third_time(patience, Moment::Before, folder.path(), answer)], context).unwrap();
        set.once(End::Before).await;
        let times = std::fs::read_to_string(folder.path().join("n")).unwrap().lines().count();
        (times, samples(&recorder).remove(0))
    };
    let (times, sample) = asked(5, "exit 0").await;
    assert_eq!((times, sample.met), (3, Some(true)));
    let (times, sample) = asked(5, "exit 1").await;
    assert_eq!((times, sample.met), (3, Some(false)), "an answer that is off is not asked for again");
    let (times, sample) = asked(2, "exit 0").await;
    assert_eq!((times, sample.met), (2, None));
    assert!(matches!(&sample.answer, Answer::Error { message, .. } if message.ends_with("(attempt 2)")), "{sample:?}");
}

#[tokio::test]
async fn a_delay_puts_off_the_first_look_and_no_other() {
    let recorder = Recorder::in_memory(Redactor::default());
    let clock = RunClock::start();
    let context = ProbeContext { recorder: recorder.clone(), clock, seed: 0, run: 0 };
    let patience = Patience { initial_delay: units::Duration::from_millis(300), ..Patience::default() };
    let every = units::Duration::from_millis(5);
    let delayed = |name: &str, when| {
        let ProbePlan::Look(plan) = plan(name, when, "exit 0") else { panic!("a look") };
        ProbePlan::Look(Arc::new(LookPlan { patience, ..Arc::into_inner(plan).unwrap() }))
    };
    let plans = vec![delayed("edge", Moment::Edge), delayed("continuous", Moment::Continuous { every })];
    let mut set = ProbeSet::start(plans, context).unwrap();
    set.once(End::Before).await;
    let mut live = recorder.live();
    live.wait_for(|live| live.answers.contains_key("continuous")).await.unwrap();
    set.stop().await.unwrap();
    let ended = clock.now();
    set.once(End::After).await;
    let took = clock.now().0 - ended.0;
    let samples = samples(&recorder);
    assert!(samples.iter().all(|sample| sample.at.0 >= 300_000_000), "{samples:?}");
    let last = samples.iter().rfind(|sample| sample.probe == "edge").unwrap();
    assert!(last.at.0 - ended.0 < 250_000_000, "the second look of an edge is not put off: {took}");
}

#[tokio::test]
async fn an_answer_that_is_off_since_the_machine_slept_is_none() {
    let every = units::Duration::from_millis(5);
    for (slept, script, met) in
        [(0, "exit 1", Some(false)), (3_600, "exit 1", None), (0, "exit 0", Some(true)), (3_600, "exit 0", Some(true))]
    {
        let recorder = Recorder::in_memory(Redactor::default());
        let clock = RunClock::start().after_sleep(Duration::from_secs(slept));
        let context = ProbeContext { recorder: recorder.clone(), clock, seed: 0, run: 0 };
        let plans = vec![plan("on", Moment::Continuous { every }, script), plan("after", Moment::After, script)];
        let mut set = ProbeSet::start(plans, context).unwrap();
        let mut live = recorder.live();
        live.wait_for(|live| live.answers.contains_key("on")).await.unwrap();
        set.once(End::After).await;
        set.stop().await.unwrap();
        let samples = samples(&recorder);
        assert!(samples.iter().any(|sample| sample.probe == "after"), "{samples:?}");
        assert!(samples.iter().all(|sample| sample.met == met), "{script} after {slept} s: {samples:?}");
    }
}
