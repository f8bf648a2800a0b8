//! Made-up runs for tests: events as a real run would record them, with losses, lag and sightings where a test wants them.

use crate::api::{Outcome, VictimRef};
use crate::record::{
    Answer, BadClass, BadSlot, Bin, Event, Kill, Phase, PodChange, PodSighting, ProbeSchedule, RunTime, Sample,
    Started, StopCause, Violation,
};

/// Milliseconds of run time.
pub(crate) const fn ms(millis: u64) -> RunTime {
    RunTime(millis * 1_000_000)
}

/// A run with a baseline of 10 s from 0, and what a test adds. Times are milliseconds of run time.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub(crate) schedules: Vec<ProbeSchedule>,
    pub(crate) bad: Vec<BadSlot>,
    pub(crate) extra: Vec<Event>,
    pub(crate) fault: u64,
    pub(crate) recovery: u64,
    pub(crate) end: u64,
    pub(crate) wound_down: Option<Vec<String>>,
    strikes: u64,
}

impl Story {
    /// Phases: fault from 10 s to `recovery`, recovery to `end`.
    pub(crate) fn new(recovery: u64, end: u64) -> Self {
        let wound_down = Some(Vec::new());
        let (schedules, bad, extra) = (Vec::new(), Vec::new(), Vec::new());
        Self { schedules, bad, extra, fault: 10_000, recovery, end, wound_down, strikes: 0 }
    }

    /// One probe `ride` at 100/s and `kills` kills, one a second from 11 s on, each replaced within 300 ms, exposed.
    pub(crate) fn with_kills(kills: u64) -> Self {
        let mut story = Self::new(11_000 + kills * 1_000, 21_000 + kills * 1_000);
        story.probe("ride", 100.0);
        for i in 0..kills {
            story.kill(11_000 + i * 1_000, 300);
        }
        story
    }

    pub(crate) fn probe(&mut self, probe: &str, rate: f64) {
        self.schedules.push(ProbeSchedule {
            probe: probe.into(),
            first_due: RunTime(0),
            rate,
            stages: Vec::new(),
            poisson_seed: None,
            max_lag: 50_000_000,
            latency_bound: Some(300_000_000),
            exposure_known: true,
        });
    }

    /// A kill that met all probes' traffic, replaced after `ready` ms.
    pub(crate) fn kill(&mut self, at: u64, ready: u64) {
        let victim = self.bare_kill(at, Outcome::Killed);
        self.serve(&victim.pod, at - 100);
        self.sight(at + 5, PodChange::Terminating, &victim.pod, &victim.uid);
        self.sight(at + 20, PodChange::EndpointOut, &victim.pod, &victim.uid);
        self.replace(at + 10, ready.saturating_sub(10));
    }

    /// Only the kill call, of a pod of one ReplicaSet, and the end of the pod where the call was accepted.
    pub(crate) fn bare_kill(&mut self, at: u64, outcome: Outcome) -> VictimRef {
        let victim = self.call(at, outcome);
        if outcome == Outcome::Killed {
            self.sight(at + 50, PodChange::Deleted, &victim.pod, &victim.uid);
        }
        victim
    }

    /// A kill call of which nothing was seen to come.
    pub(crate) fn call(&mut self, at: u64, outcome: Outcome) -> VictimRef {
        let strike = self.strikes;
        self.strikes += 1;
        let victim = VictimRef {
            namespace: "dispatch".into(),
            pod: format!("trips-{strike}"),
            uid: format!("uid-{strike}"),
            workload: "Deployment/trips".into(),
            workload_uid: "deployment".into(),
            owner_uid: "replicaset".into(),
            node: None,
        };
        self.extra.push(Event::Kill(Kill {
            at: ms(at),
            uncertainty: 0,
            strike,
            nonce: format!("nonce-{strike}"),
            victim: victim.clone(),
            outcome,
            message: None,
        }));
        victim
    }

    /// A new pod of the ReplicaSet: created at `at`, Ready `ready` ms later.
    pub(crate) fn replace(&mut self, at: u64, ready: u64) {
        let name = format!("new-{at}");
        self.sight(at, PodChange::Created, &name, &name);
        self.sight(at + ready, PodChange::Ready, &name, &name);
    }

    pub(crate) fn serve(&mut self, pod: &str, at: u64) {
        for schedule in &self.schedules {
            self.extra.push(Event::Served { probe: schedule.probe.clone(), pod: pod.into(), at: ms(at) });
        }
    }

    pub(crate) fn sight(&mut self, at: u64, what: PodChange, pod: &str, uid: &str) {
        self.extra.push(Event::Pod(PodSighting {
            at: ms(at),
            what,
            namespace: "dispatch".into(),
            pod: pod.into(),
            uid: uid.into(),
            owner_uid: Some("replicaset".into()),
            node: None,
        }));
    }

    /// `count` slots of probe `ride` from the one due at `at` on are bad.
    pub(crate) fn lose(&mut self, at: u64, count: u64, class: BadClass) {
        self.lose_of("ride", at, count, class);
    }

    pub(crate) fn lose_of(&mut self, probe: &str, at: u64, count: u64, class: BadClass) {
        let schedule = self.schedules.iter().find(|schedule| schedule.probe == probe).unwrap();
        let slots = schedule.due_times().enumerate().skip_while(|(_, due)| *due < ms(at));
        let bad = slots.take(usize::try_from(count).unwrap()).map(|(slot, due)| BadSlot {
            probe: probe.into(),
            slot: slot as u64,
            due,
            lag: Some(100_000),
            latency: None,
            failed_after: None,
            class,
            detail: format!("{class:?}"),
        });
        self.bad.extend(bad);
    }

    pub(crate) fn sample(&mut self, at: u64, met: Option<bool>) {
        let answer = match met {
            Some(met) => Answer::Value(serde_json::json!(u8::from(met))),
            None => Answer::Error { reason: "noData".into(), message: "the query gave nothing".into() },
        };
        self.extra.push(Event::Sample(Sample { probe: "ready".into(), at: ms(at), answer, met }));
    }

    /// At the end of the run.
    pub(crate) fn check(&mut self, checked: u64, violations: &[&str]) {
        self.check_at(self.end, checked, violations);
    }

    pub(crate) fn check_at(&mut self, at: u64, checked: u64, violations: &[&str]) {
        let violation = |story: &&str| Violation { invariant: "I1".into(), story: (*story).into() };
        self.extra.push(Event::Invariants {
            probe: "ledger".into(),
            at: ms(at),
            checked,
            violations: violations.iter().map(violation).collect(),
            total: None,
        });
    }

    pub(crate) fn stop(&mut self, cause: StopCause) {
        self.extra.push(Event::Stop { at: ms(self.end), cause });
    }

    /// The events, as a run would have recorded them.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Started(Box::new(started()))];
        for (at, phase) in [
            (0, Phase::Baseline),
            (self.fault, Phase::Fault),
            (self.recovery, Phase::Recovery),
            (self.end, Phase::WindDown),
        ] {
            if at <= self.end {
                events.push(Event::Phase { at: ms(at), phase });
            }
        }
        events.extend(self.schedules.iter().cloned().map(Event::Schedule));
        events.extend(self.extra.iter().cloned());
        events.extend(self.bad.iter().cloned().map(Event::Bad));
        events.extend(self.schedules.iter().flat_map(|schedule| self.bins(schedule)));
        events.extend(self.wound_down.iter().map(|left| Event::WoundDown { at: ms(self.end), left: left.clone() }));
        events
    }

    fn bins(&self, schedule: &ProbeSchedule) -> Vec<Event> {
        let mut bins: Vec<Bin> = Vec::new();
        for (slot, due) in schedule.due_times().enumerate().take_while(|(_, due)| *due < ms(self.end)) {
            let second = RunTime(due.0 / 1_000_000_000 * 1_000_000_000);
            if bins.last().is_none_or(|bin| bin.at.0 / 1_000_000_000 != second.0 / 1_000_000_000) {
                let (probe, first_slot) = (schedule.probe.clone(), slot as u64);
                bins.push(Bin { probe, first_slot, slots: 0, at: due, good: 0, latency: Vec::new(), lag: Vec::new() });
            }
            if let Some(bin) = bins.last_mut() {
                bin.slots += 1;
            }
        }
        for bin in &mut bins {
            let bad = self.bad.iter().filter(|bad| {
                bad.probe == bin.probe
                    && bad.class != BadClass::Slow
                    && (bin.first_slot..bin.first_slot + bin.slots).contains(&bad.slot)
            });
            bin.good = bin.slots - bad.count() as u64;
            bin.latency = vec![(2_000, bin.good)];
            bin.lag = vec![(50, bin.slots)];
        }
        bins.into_iter().map(Event::Bin).collect()
    }
}

fn started() -> Started {
    Started {
        run_id: "run-1".into(),
        experiment: "riders".into(),
        started_at: "2026-11-23T12:00:00Z".parse().unwrap(),
        tool: "chaos 0.1.0".into(),
        tool_digest: None,
        manifest: "kind: Experiment\n".into(),
        manifest_source: "riders.yaml".into(),
        manifest_digest: "00".into(),
        seed: 7,
        attempt: 1,
        cluster: "test".into(),
        environment: vec![("cores".into(), "2".into())],
    }
}
