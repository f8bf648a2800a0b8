//! A run drawn as the killer draws it has no difference; each thing that is changed about it afterwards is found.

use super::*;
use crate::limits::fixture::{NOW, population};
use crate::record::{PodChange, PodSighting};
use crate::validate::experiment_file;

const SECOND: u64 = 1_000_000_000;
const STRIKES: u64 = 12;

const MANIFEST: &str = "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {name: e, namespace: dispatch}
spec:
  hypothesis: It holds.
  target: {workloads: [{kind: Deployment, name: trips}]}
  fault: {podKill: {mode: Evict, strikes: {target: 12, min: 1}, every: {mean: 4s, min: 3s}}}
  phases: {baseline: 1s, fault: 120s, recovery: 1s}
  probes: [{name: port, tcp: {address: \"127.0.0.1:1\", timeout: 1s}}]
  limits: {maxUnavailable: 1, minReady: 1, maxKills: 12, minInterval: 1s, recoverWithin: 9s, maxBlind: 9s, allowForce: false}
  abort: []
";

fn experiment() -> Experiment {
    experiment_file("e.yaml", MANIFEST).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

/// A run of this seed over five pods, each replaced half a second after its kill.
fn run(seed: i64) -> Vec<Event> {
    let (experiment, mut population) = (experiment(), population(5));
    population.taken_at = NOW;
    let judged = eligible(&experiment.target, &Policy::cli("dispatch"), &population, NOW);
    assert!(judged.iter().all(Judged::is_eligible));
    let uids: Vec<String> = population.pods.iter().map(|pod| pod.uid.clone()).collect();
    let mut alive: Vec<PodFacts> = population.pods.clone();
    let mut events = vec![
        Event::Started(Box::new(started(seed))),
        Event::Planned { at: RunTime(0), population: Box::new(population), eligible: uids, excluded: Vec::new() },
        Event::Phase { at: RunTime(SECOND), phase: Phase::Fault },
    ];
    let mut at = RunTime(SECOND);
    for strike in 0..STRIKES {
        let gap = gap(&experiment.fault.every(), seed, SINGLE_STREAM, strike);
        at = RunTime(at.0 + u64::try_from(gap.as_nanos()).unwrap());
        let members: Vec<&PodFacts> = alive.iter().collect();
        let victim = victims::victim(seed, strike, &members).unwrap().clone();
        events.push(kill(at, strike, &victim));
        let mut fresh = PodFacts { name: format!("new-{strike}"), uid: format!("new-{strike}"), ..victim.clone() };
        alive.retain(|pod| pod.uid != victim.uid);
        events.push(sight(at.0 + 1_000_000, PodChange::Terminating, &victim));
        events.push(sight(at.0 + 2_000_000, PodChange::Created, &fresh));
        events.push(sight(at.0 + SECOND / 2, PodChange::Ready, &fresh));
        fresh.ready = true;
        alive.push(fresh);
    }
    events
}

fn started(seed: i64) -> Started {
    Started {
        run_id: "run-1".into(),
        started_at: NOW,
        tool: String::new(),
        tool_digest: None,
        manifest: MANIFEST.into(),
        experiment: "e".into(),
        manifest_source: "e.yaml".into(),
        manifest_digest: String::new(),
        seed,
        attempt: 1,
        cluster: String::new(),
        environment: Vec::new(),
    }
}

fn kill(at: RunTime, strike: u64, pod: &PodFacts) -> Event {
    let owner = pod.owner.as_ref().unwrap();
    let victim = VictimRef {
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        workload: "Deployment/trips".into(),
        workload_uid: pod.workload.as_ref().unwrap().uid.clone(),
        owner_uid: owner.uid.clone(),
        node: None,
    };
    let nonce = format!("n{strike}");
    Event::Kill(Kill { at, uncertainty: 0, strike, nonce, victim, outcome: Outcome::Killed, message: None })
}

fn sight(at: u64, what: PodChange, pod: &PodFacts) -> Event {
    Event::Pod(PodSighting {
        at: RunTime(at),
        what,
        namespace: pod.namespace.clone(),
        pod: pod.name.clone(),
        uid: pod.uid.clone(),
        owner_uid: pod.owner.as_ref().map(|owner| owner.uid.clone()),
        node: None,
    })
}

fn found(events: &[Event]) -> Vec<DifferenceKind> {
    replay(&experiment(), events).unwrap().differences.into_iter().map(|difference| difference.kind).collect()
}

#[test]
fn a_run_drawn_from_its_seed_has_no_difference() {
    for seed in [7, -1, 20_261_123] {
        let replay = replay(&experiment(), &run(seed)).unwrap();
        assert_eq!(replay.differences, []);
        assert_eq!((replay.eligible, replay.excluded, replay.strikes.len()), (5, 0, 12));
        assert!(replay.strikes.iter().all(|strike| strike.same == Some(true) && strike.candidates >= 3), "{replay:?}");
        assert!(replay.strikes.iter().all(|strike| (strike.at_seconds - strike.due_seconds).abs() < 0.001));
    }
}

#[test]
fn another_seed_gives_other_victims_and_instants() {
    let mut events = run(7);
    let Event::Started(started) = &mut events[0] else { panic!("the start") };
    started.seed = 8;
    let found = found(&events);
    assert!(found.contains(&DifferenceKind::Victim) && found.contains(&DifferenceKind::Instant), "{found:?}");
}

#[test]
fn a_victim_that_was_not_its_turn_is_found() {
    let mut events = run(7);
    let Some(Event::Planned { population, .. }) = events.get(1) else { panic!("the plan") };
    let last = population.pods.iter().max_by_key(|pod| victims::rank(7, 0, &pod.uid)).unwrap().clone();
    let first = events.iter().position(|event| matches!(event, Event::Kill(_))).unwrap();
    let Event::Kill(Kill { at, .. }) = events[first] else { panic!("a kill") };
    events[first] = kill(at, 0, &last);
    assert!(found(&events).contains(&DifferenceKind::Victim));
}

#[test]
fn a_victim_that_the_plan_excludes_is_found() {
    let mut events = run(7);
    let first = events.iter().find_map(|event| if let Event::Kill(kill) = event { Some(kill.clone()) } else { None });
    let victim = first.unwrap().victim.uid;
    let Some(Event::Planned { population, eligible, excluded, .. }) = events.get_mut(1) else { panic!("the plan") };
    let pod = population.pods.iter_mut().find(|pod| pod.uid == victim).unwrap();
    pod.labels.clear();
    eligible.retain(|uid| *uid != victim);
    let (pod, reason) = (format!("dispatch/{}", pod.name), "PodNotEnabled".to_owned());
    excluded.push(Excluded { pod, uid: victim, reason, message: String::new() });
    let replay = replay(&experiment(), &events).unwrap();
    assert_eq!(replay.differences[0].kind, DifferenceKind::Victim);
    assert!(replay.differences[0].message.contains("PodNotEnabled"), "{:?}", replay.differences);
}

#[test]
fn a_pod_that_is_hit_twice_is_found() {
    let mut events = run(7);
    let kills: Vec<usize> = (0..events.len()).filter(|at| matches!(events[*at], Event::Kill(_))).collect();
    let again = events[kills[0]].clone();
    let (Event::Kill(first), Event::Kill(second)) = (again, &mut events[kills[1]]) else { panic!("two kills") };
    second.victim = first.victim;
    let replay = replay(&experiment(), &events).unwrap();
    let told = replay.differences.iter().any(|difference| difference.message.contains("no pod is drawn twice"));
    assert!(told, "{:?}", replay.differences);
}

#[test]
fn what_an_operator_drove_is_planned_by_its_rights() {
    let elsewhere = MANIFEST
        .replace("namespace: dispatch}", "namespace: games}")
        .replace("target: {workloads", "target: {namespaces: {names: [dispatch]}, workloads");
    let experiment = experiment_file("e.yaml", &elsewhere).unwrap_or_else(|error| panic!("{error}")).remove(0);
    let kinds = |events: &[Event]| -> Vec<DifferenceKind> {
        replay(&experiment, events).unwrap().differences.into_iter().map(|difference| difference.kind).collect()
    };
    let mut events = run(7);
    events.truncate(2);
    assert_eq!(kinds(&events), [], "who has the credentials may");
    events.push(Event::Told { exit_code: 0, reason_code: "HypothesisHeld".into(), reason_text: String::new() });
    assert_eq!(kinds(&events), [DifferenceKind::Eligible; 5], "an operator may not reach another namespace");
}

#[test]
fn exclusions_at_the_start_are_compared_pod_by_pod() {
    let change = |change: fn(&mut Vec<String>, &mut Vec<Excluded>)| {
        let mut events = run(7);
        let Some(Event::Planned { eligible, excluded, .. }) = events.get_mut(1) else { panic!("the plan") };
        change(eligible, excluded);
        found(&events)
    };
    let away = change(|eligible, excluded| {
        let uid = eligible.pop().unwrap();
        excluded.push(Excluded { pod: String::new(), uid, reason: "TooYoung".into(), message: String::new() });
    });
    assert_eq!(away, [DifferenceKind::Eligible]);
    assert_eq!(change(|eligible, _| eligible.push("nobody".into())), [DifferenceKind::Eligible]);
}

#[test]
fn a_pod_that_may_not_have_been_a_candidate_is_never_held_against_the_run() {
    let mut events = run(7);
    let kills = |events: &[Event]| -> Vec<Kill> {
        events
            .iter()
            .filter_map(|event| if let Event::Kill(kill) = event { Some(kill.clone()) } else { None })
            .collect()
    };
    // Somebody who ranks before every other victim of the second strike becomes Ready around it.
    let second = kills(&events)[1].clone();
    let own = victims::rank(7, 1, &second.victim.uid);
    let uid = (0..10_000).map(|i| format!("early-{i}")).find(|uid| victims::rank(7, 1, uid) < own).unwrap();
    let Some(Event::Planned { population, .. }) = events.get(1) else { panic!("the plan") };
    let like = PodFacts { name: uid.clone(), uid, ..population.pods[0].clone() };
    let ready_at = |before: u64, mut events: Vec<Event>| {
        events.push(sight(second.at.0 - before - 1, PodChange::Created, &like));
        events.push(sight(second.at.0 - before, PodChange::Ready, &like));
        let replay = replay(&experiment(), &events).unwrap();
        (replay.strikes[1].same, replay.strikes[1].uncertain > 0)
    };
    assert_eq!(ready_at(SECOND, events.clone()), (Some(true), true));
    assert_eq!(ready_at(5 * SECOND / 2, std::mem::take(&mut events)).0, Some(false), "by then it certainly was one");
}

#[test]
fn a_strike_before_its_instant_is_found_and_one_after_it_is_not() {
    let moved = |by: i64| {
        let mut events = run(7);
        for event in &mut events {
            if let Event::Kill(kill) = event {
                kill.at = RunTime(kill.at.0.checked_add_signed(by).unwrap());
                break;
            }
        }
        found(&events)
    };
    assert_eq!(moved(-100_000_000), [DifferenceKind::Instant]);
    assert_eq!(moved(-10_000_000), []);
    assert_eq!(moved(10_000_000), [], "the next one is 10 ms late, and so is its due time");
}

#[test]
fn a_record_without_start_or_population_cannot_be_planned_again() {
    let events = run(7);
    assert_eq!(replay(&experiment(), &[]).unwrap_err(), ReplayError::NoStart);
    assert_eq!(replay(&experiment(), &events[..1]).unwrap_err(), ReplayError::NoPopulation);
    assert_eq!(replay(&experiment(), &events[..2]).unwrap().strikes, []);
}
