//! Made-up runs for tests and benches of renderers: a pass, a failure that holds hostile texts, and runs of any length.

use std::collections::BTreeMap;

use chaos_core::api::{Outcome, SkipRecord, VictimRef};
use chaos_core::model::Experiment;
use chaos_core::population::{NodeFacts, OwnerFacts, PodFacts, Population, SwitchState, WorkloadFacts, WorkloadKey};
use chaos_core::record::{
    Answer, BadClass, BadSlot, Bin, Event, Excluded, Kill, Phase, PodChange, PodSighting, ProbeSchedule, RunTime,
    Sample, Started, Violation,
};
use chaos_core::result::RunResult;
use chaos_core::validate;
use chaos_core::verdict::{JudgeSpec, judge};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// A text that every format would misread if it were not escaped.
pub(super) const HOSTILE: &str = "<script>alert('x')</script> | **`@team`** %0A::error:: \u{1b}[2J\n]]>";

const MANIFEST: &str = "apiVersion: chaos.dispatch.dev/v1alpha1
kind: Experiment
metadata: {name: riders-can-request, namespace: dispatch}
spec:
  hypothesis: Riders can request rides while trips pods die at random.
  target: {workloads: [{kind: Deployment, name: trips}], namespaces: {names: [dispatch]}}
  fault:
    podKill:
      mode: Evict
      strikes: {target: 40, min: 29}
      every: {mean: 1s, min: 500ms}
  phases: {baseline: 10s, fault: 60s, recovery: 10s}
  probes:
    - name: request-ride
      http:
        service: gateway
        port: http
        path: /v1/rides
        rate: 100/s
        timeout: 1s
        exposure: {header: x-served-by}
      slo:
        availability: 99.9%
        latency: {under: 300ms, share: 99%}
        confidence: 95%
        evidence: {harmlessKills: {share: 90%, maxLoss: 0}}
        requestsPer30d: 30000000
    - name: ledger
      invariants: {service: sim, port: http, path: /v1/invariants}
      when: After
    - name: trips-ready
      kubernetes: {resource: apps/v1/Deployment, name: trips, jsonPath: $.status.readyReplicas}
      expect: {min: 1}
  limits: {maxUnavailable: 1, minReady: 1, maxKills: 40, minInterval: 400ms, recoverWithin: 30s, maxBlind: 30s, allowForce: false}
  abort: []
  seed: 7
";

const FAULT_S: u64 = 10;

/// How much happens in a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) kills: u64,
    /// From one kill to the next.
    pub(super) every_ms: u64,
    /// Requests a second.
    pub(super) rate: u64,
    /// Latencies that differ, in each second; two at least.
    pub(super) buckets: u64,
}

/// The size of the runs in tests.
const SHORT: Size = Size { kills: 40, every_ms: 1_000, rate: 100, buckets: 2 };

impl Size {
    const fn recovery_s(self) -> u64 {
        FAULT_S + self.kills * self.every_ms / 1_000 + 1
    }

    const fn end_s(self) -> u64 {
        self.recovery_s() + 10
    }

    /// When a kill is sent, in milliseconds of the run.
    const fn kill_ms(self, number: u64) -> u64 {
        FAULT_S * 1_000 + 700 + number * self.every_ms + number * 37 % 200
    }
}

/// A run in which no kill cost anything.
pub(super) fn pass() -> RunResult {
    judged(&events(SHORT, &[]))
}

/// A run in which kills cost requests and a ride was lost, with hostile texts from the platform.
pub(super) fn fail() -> RunResult {
    let losses: Vec<(u64, u64)> =
        (0..SHORT.kills).filter(|kill| kill % 3 == 1).map(|kill| (kill, 4 + kill % 9 * 3)).collect();
    let mut events = events(SHORT, &losses);
    for event in &mut events {
        if let Event::Invariants { violations, .. } = event {
            *violations = vec![
                Violation { invariant: "I1 no acknowledged ride is lost".into(), story: format!("ride 17: {HOSTILE}") },
                Violation {
                    invariant: "I2 one driver, one ride".into(),
                    story: "driver 4 was on rides 9 and 12".into(),
                },
            ];
        }
    }
    events.push(Event::Note { at: at(SHORT.end_s() * 1_000), text: HOSTILE.into() });
    judged(&events)
}

/// What is run.
pub(super) fn experiment() -> Experiment {
    validate::experiment_file("riders.yaml", MANIFEST).unwrap_or_else(|error| panic!("{error}")).remove(0)
}

/// What the tool makes of a run.
pub(super) fn judged(events: &[Event]) -> RunResult {
    judge(&JudgeSpec::from(&experiment()), events)
}

/// A run in which these kills (number, requests lost) cost something.
pub(super) fn events(size: Size, losses: &[(u64, u64)]) -> Vec<Event> {
    let end = size.end_s();
    let mut events = vec![Event::Started(Box::new(started())), planned()];
    for (seconds, phase) in
        [(0, Phase::Baseline), (FAULT_S, Phase::Fault), (size.recovery_s(), Phase::Recovery), (end, Phase::WindDown)]
    {
        events.push(Event::Phase { at: at(seconds * 1_000), phase });
    }
    events.push(Event::Schedule(ProbeSchedule {
        probe: "request-ride".into(),
        first_due: RunTime(0),
        rate: size.rate as f64,
        stages: Vec::new(),
        poisson_seed: None,
        max_lag: 50_000_000,
        latency_bound: Some(300_000_000),
        exposure_known: true,
    }));
    (0..size.kills).for_each(|number| kill(&mut events, size, number));
    let bad: Vec<BadSlot> = losses.iter().flat_map(|(kill, lost)| lose(size, *kill, *lost)).collect();
    events.extend((0..end).map(|second| Event::Bin(bin(size, second, &bad))));
    events.extend(bad.into_iter().map(Event::Bad));
    events.extend((0..end).step_by(5).map(sample));
    events.push(Event::Skipped { at: at(20_500), skip: skip() });
    events.push(Event::Invariants {
        probe: "ledger".into(),
        at: at(end * 1_000),
        checked: 6_123,
        violations: Vec::new(),
        total: None,
    });
    events.push(Event::WoundDown { at: at(end * 1_000 + 900), left: Vec::new() });
    events
}

pub(super) fn at(millis: u64) -> RunTime {
    RunTime(millis * 1_000_000)
}

fn started_at() -> Timestamp {
    Timestamp::constant(1_795_435_200, 0)
}

fn started() -> Started {
    Started {
        run_id: "r-5f2c".into(),
        experiment: "riders-can-request".into(),
        started_at: started_at(),
        tool: "chaos 0.1.0".into(),
        tool_digest: None,
        manifest: MANIFEST.into(),
        manifest_source: "experiments/riders.yaml".into(),
        manifest_digest: "9c0ffee5".into(),
        seed: 7,
        attempt: 2,
        cluster: "embedded cluster, profile fast".into(),
        environment: vec![("overlay".into(), "resilient".into()), ("cores".into(), "2".into())],
    }
}

fn pod(number: u64) -> String {
    format!("trips-7d9c5b-{number:04x}")
}

fn kill(events: &mut Vec<Event>, size: Size, number: u64) {
    let millis = size.kill_ms(number);
    let victim = VictimRef {
        namespace: "dispatch".into(),
        pod: pod(number),
        uid: format!("uid-{number}"),
        workload: "Deployment/trips".into(),
        workload_uid: "uid-trips".into(),
        owner_uid: "uid-trips-7d9c5b".into(),
        node: Some(format!("node-{}", number % 3)),
    };
    events.push(Event::Served { probe: "request-ride".into(), pod: pod(number), at: at(millis - 60) });
    sight(events, millis + 4, PodChange::Terminating, number);
    sight(events, millis + 9 + number % 7, PodChange::EndpointOut, number);
    sight(events, millis + 90 + number % 11, PodChange::Deleted, number);
    sight(events, millis + 6, PodChange::Created, number + size.kills);
    sight(events, millis + 8, PodChange::Scheduled, number + size.kills);
    sight(events, millis + 60 + number * 13 % 40, PodChange::Started, number + size.kills);
    sight(events, millis + 210 + number * 53 % 170, PodChange::Ready, number + size.kills);
    events.push(Event::Kill(Kill {
        at: at(millis),
        uncertainty: 2_000_000,
        strike: number,
        nonce: format!("n{number}"),
        victim,
        outcome: Outcome::Killed,
        message: None,
    }));
}

fn sight(events: &mut Vec<Event>, millis: u64, what: PodChange, number: u64) {
    events.push(Event::Pod(PodSighting {
        at: at(millis),
        what,
        namespace: "dispatch".into(),
        pod: pod(number),
        uid: format!("uid-{number}"),
        owner_uid: Some("uid-trips-7d9c5b".into()),
        node: None,
    }));
}

fn lose(size: Size, kill: u64, lost: u64) -> Vec<BadSlot> {
    let first = size.kill_ms(kill) * size.rate / 1_000 + 1;
    (first..first + lost)
        .map(|slot| BadSlot {
            probe: "request-ride".into(),
            slot,
            due: RunTime(slot * 1_000_000_000 / size.rate),
            lag: Some(80_000),
            latency: Some(3_000_000),
            failed_after: None,
            class: if slot % 5 == 0 { BadClass::Reset } else { BadClass::Refused },
            detail: format!("connect: {HOSTILE}"),
        })
        .collect()
}

fn bin(size: Size, second: u64, bad: &[BadSlot]) -> Bin {
    let first_slot = second * size.rate;
    // Bad slots are in order.
    let until = |slot: u64| bad.partition_point(|bad| bad.slot < slot) as u64;
    let good = size.rate - (until(first_slot + size.rate) - until(first_slot));
    let in_fault = (FAULT_S..size.recovery_s()).contains(&second);
    let slow = if in_fault { 9_000 + second * 7_919 % 30_000 } else { 6_000 + second * 7_919 % 3_000 };
    let middle = 2_000 + second * 131 % 400;
    let others = size.buckets - 2;
    let mut latency: Vec<(u64, u64)> = (0..others).map(|bucket| (1_000 + bucket * 7, 1)).collect();
    latency.extend([(middle, good - 3 - others), (slow, 3)]);
    Bin {
        probe: "request-ride".into(),
        first_slot,
        slots: size.rate,
        at: at(second * 1_000),
        good,
        latency,
        lag: vec![(60, size.rate - 1), (900, 1)],
    }
}

fn sample(second: u64) -> Event {
    let answer = Answer::Value(serde_json::json!(2));
    Event::Sample(Sample { probe: "trips-ready".into(), at: at(second * 1_000 + 200), answer, met: Some(true) })
}

fn skip() -> SkipRecord {
    SkipRecord {
        strike: 99,
        group: "Deployment/trips".into(),
        at: MicroTime(started_at()),
        reason: "RolloutInProgress".into(),
        message: "a new generation is not observed yet".into(),
    }
}

fn planned() -> Event {
    let key = WorkloadKey {
        namespace: "dispatch".into(),
        kind: "Deployment".into(),
        name: "trips".into(),
        uid: "uid-trips".into(),
    };
    let facts = |number: u64| PodFacts {
        namespace: "dispatch".into(),
        name: pod(number),
        uid: format!("uid-{number}"),
        labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "trips".to_owned())]),
        owner: Some(OwnerFacts {
            kind: "ReplicaSet".into(),
            name: "trips-7d9c5b".into(),
            uid: "uid-trips-7d9c5b".into(),
        }),
        workload: Some(key.clone()),
        node: Some("node-0".into()),
        created_at: started_at(),
        ready: true,
        ready_since: Some(started_at()),
        phase: "Running".into(),
        terminating: false,
        mirror: false,
        priority_class: None,
        template: None,
    };
    let zone = |zone: &str| BTreeMap::from([("topology.kubernetes.io/zone".to_owned(), zone.to_owned())]);
    let node = |name: &str, of: &str| NodeFacts { name: name.into(), labels: zone(of), ready: true };
    let population = Population {
        taken_at: started_at(),
        environment: Some("demo".into()),
        switch: SwitchState::Running,
        namespaces: Vec::new(),
        workloads: vec![WorkloadFacts { key: key.clone(), desired: 2, rollout: None, terminating: false }],
        pods: vec![facts(0), facts(1)],
        nodes: Some(vec![node("node-0", "zone-a"), node("node-1", "zone-b")]),
        budgets: Vec::new(),
    };
    Event::Planned {
        at: RunTime(1),
        population: Box::new(population),
        eligible: vec!["uid-0".into(), "uid-1".into()],
        excluded: vec![Excluded {
            pod: "dispatch/store-0".into(),
            uid: "uid-store".into(),
            reason: "WrongWorkload".into(),
            message: "the target names Deployment/trips".into(),
        }],
    }
}
