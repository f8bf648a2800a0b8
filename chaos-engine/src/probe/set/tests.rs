//! Probes are asked when they should be, and nothing is left when they have stopped.

use chaos_core::model::Expectation;
use chaos_core::record::{Answer, Event, Sample};
use chaos_core::units;

use super::*;
use crate::clock::RunClock;
use crate::journal::Redactor;
use crate::probe::{CommandLook, Expected, Look};
use crate::recorder::Recorder;

fn plan(name: &str, when: Moment, script: &str) -> ProbePlan {
    let args = vec!["-c".to_owned(), script.to_owned()];
    let look = Look::Command(CommandLook { program: "sh".into(), args, timeout: Duration::from_secs(60) });
    let expected = Expected::Exit(Expectation::default());
    ProbePlan::Look(Arc::new(LookPlan { name: name.into(), when, expected, look }))
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
