//! The two halves of the evidence: what a prober may tell, and one record of both.

use super::*;
use crate::evidence::fixture::{Story, ms};
use crate::record::{BadClass, Event, RunTime};
use crate::validate;
use crate::verdict::{JudgeSpec, judge};

const MANIFEST: &str = include_str!("../../../../experiments/riders-can-request-while-pods-die.yaml");

#[test]
fn a_prober_tells_what_it_measured_and_nothing_else() {
    let experiment = validate::experiment_file("x.yaml", MANIFEST).unwrap().remove(0);
    let served = |probe: &str| Event::Served { probe: probe.into(), pod: "a".into(), at: RunTime(1) };
    assert_eq!(admit(&experiment, &served("request-ride")), Ok(()));
    assert!(admit(&experiment, &served("other")).is_err());
    let mut story = Story::with_kills(1);
    story.probe("other", 10.0);
    let refused = story.events().into_iter().filter(|event| admit(&experiment, event).is_err()).count();
    let measured = |event: &Event| {
        matches!(event, Event::Bin(_) | Event::Bad(_) | Event::Served { .. } | Event::Schedule(_) | Event::Note { .. })
    };
    // The story's probes are none of the experiment's, and whatever else it holds is not a prober's to tell.
    let allowed = story.events().iter().filter(|event| matches!(event, Event::Note { .. })).count();
    assert_eq!(refused, story.events().len() - allowed);
    assert!(story.events().iter().any(measured));
    let kill = story.events().into_iter().find(|event| matches!(event, Event::Kill(_))).unwrap();
    assert_eq!(
        admit(&experiment, &kill).unwrap_err().to_string(),
        r#"the prober told an event "kill", which is not its to tell"#
    );
}

#[test]
fn both_halves_give_the_verdict_of_the_whole() {
    let mut story = Story::with_kills(30);
    story.lose(15_000, 2, BadClass::Refused);
    story.lose(23_000, 1, BadClass::Timeout);
    let mut whole = story.events();
    whole.push(Event::Finished { at: ms(60_000), exit_code: 0 });
    let theirs = |event: &&Event| {
        matches!(event, Event::Schedule(_) | Event::Bin(_) | Event::Bad(_) | Event::Served { .. } | Event::Sample(_))
    };
    let prober: Vec<Event> = whole.iter().filter(theirs).cloned().collect();
    let operator: Vec<Event> = whole.iter().filter(|event| !theirs(event)).cloned().collect();
    assert!(!prober.is_empty() && !operator.is_empty());
    let merged = merge(&operator, &prober);
    assert_eq!(merged.len(), whole.len());
    assert!(matches!(merged.first(), Some(Event::Started(_))) && matches!(merged.last(), Some(Event::Finished { .. })));
    let mut spec = JudgeSpec::from(&validate::experiment_file("x.yaml", MANIFEST).unwrap()[0]);
    spec.probes.retain(|probe| probe.name == "request-ride");
    spec.probes[0].name = "ride".into();
    spec.strikes_min = 10;
    assert_eq!(judge(&spec, &merged), judge(&spec, &whole));
    // A record that is not over keeps the prober's last words.
    let merged = merge(&operator[..3], &prober);
    assert_eq!(merged.len(), 3 + prober.len());
}
