//! Answers against what is expected of them: how long a probe was off, from what was seen between its looks, and whether it
//! looked often enough to say so. No promise is judged here, and no rule of the business.

use std::time::Duration;

use super::ReasonCode;
use crate::evidence::{Recorded, Span};
use crate::record::{Answer, RunTime, Sample};
use crate::result::Finding;

/// What came of the answers of one probe, apart from those that are missing.
#[derive(Debug)]
pub(super) enum Judged<'a> {
    /// Every answer was as expected, or off for no longer than is tolerated.
    Met,
    /// Off for longer than is tolerated: the first answer that was off, and the one that shows it.
    Broken(&'a Sample, &'a Sample),
    /// Off, and the looks are too far apart to say whether for too long: the first answer that was off.
    Undecided(&'a Sample, Off),
}

/// For how long a probe was off: the least and the most that its looks allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Off {
    least: Duration,
    /// `None`: it was off to the end of the record.
    most: Option<Duration>,
}

/// Answers that were off, with none between them that was as expected.
struct Spell<'a> {
    first: &'a Sample,
    /// From when on each look was answered, if the last one was.
    since: Option<RunTime>,
    /// The longest time in which each look was answered.
    least: Duration,
}

/// An expectation as it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation<'a> {
    pub(super) probe: &'a str,
    /// What is expected, in words.
    pub(super) expected: &'a str,
    /// How long answers may be off; zero: never.
    pub(super) tolerate: Duration,
    /// Whether there must be an answer from the beginning of the fault on.
    pub(super) after_fault: bool,
    /// From one look to the next at most; `None` for a probe that does not look all the time.
    pub(super) gap: Option<Duration>,
}

impl Expectation<'_> {
    /// What came of the answers, in the order in which they were asked for.
    pub(super) fn judged<'r>(&self, samples: &[&'r Sample]) -> Judged<'r> {
        let mut last_met = RunTime(0);
        let mut off: Option<Spell<'r>> = None;
        let mut undecided = None;
        for sample in samples {
            match (sample.met, &mut off) {
                (Some(true), was) => {
                    if let Some(spell) = was.take() {
                        let most = Some(between(last_met, sample.at));
                        let seen = Off { least: spell.least, most };
                        undecided = undecided.or_else(|| (most > Some(self.tolerate)).then_some((spell.first, seen)));
                    }
                    last_met = sample.at;
                }
                (Some(false), was) => {
                    let spell = was.get_or_insert(Spell { first: sample, since: None, least: Duration::ZERO });
                    let since = *spell.since.get_or_insert(sample.at);
                    spell.least = spell.least.max(between(since, sample.at));
                    if self.tolerate.is_zero() || spell.least > self.tolerate {
                        return Judged::Broken(spell.first, sample);
                    }
                }
                // What would have been the answer is not known: it may have been as expected.
                (None, was) => was.iter_mut().for_each(|spell| spell.since = None),
            }
        }
        let open = off.map(|spell| (spell.first, Off { least: spell.least, most: None }));
        undecided.or(open).map_or(Judged::Met, |(first, seen)| Judged::Undecided(first, seen))
    }

    /// What speaks against a pass.
    pub(super) fn findings(&self, recorded: &Recorded<'_>) -> Vec<Finding> {
        let fault = recorded.phases.fault.map_or(RunTime(u64::MAX), |fault| fault.start);
        let samples = samples_of(recorded, self.probe);
        let mut findings = Vec::new();
        let mut rest = &samples[..];
        // What began before the fault is not its doing, and hides nothing that is.
        while let Judged::Broken(first, sample) = self.judged(rest)
            && first.at < fault
        {
            if findings.is_empty() {
                findings.push(Finding { reason_code: ReasonCode::NotSteady, message: self.message(sample) });
            }
            let healed = rest.iter().position(|later| later.at > sample.at && later.met == Some(true));
            rest = healed.map_or(&[][..], |healed| &rest[healed..]);
        }
        match self.judged(rest) {
            Judged::Met => {}
            Judged::Broken(_, sample) => {
                findings.push(Finding { reason_code: ReasonCode::ExpectationBroken, message: self.message(sample) });
            }
            Judged::Undecided(first, off) => {
                let message = format!("{}, {}", self.message(first), self.how_long(off));
                findings.push(Finding { reason_code: ReasonCode::ExpectationUndecided, message });
            }
        }
        let needed_from = if self.after_fault { fault } else { RunTime(0) };
        if recorded.phases.fault.is_some() && !samples.iter().any(|sample| sample.at >= needed_from) {
            let message = format!("{} was never asked when it mattered", self.probe);
            findings.push(Finding { reason_code: ReasonCode::NoSample, message });
        } else if let Some(unseen) = self.unseen(&samples, recorded.phases.judged()) {
            findings.push(Finding { reason_code: ReasonCode::ProbeUnanswered, message: self.not_looked(unseen) });
        }
        findings.extend(unanswered(recorded, self.probe));
        findings
    }

    /// The first time of fault and recovery in which the probe should have looked and did not.
    fn unseen(&self, samples: &[&Sample], judged: Option<Span>) -> Option<Span> {
        let (gap, judged) = (self.gap?, judged?);
        let within = samples.iter().map(|sample| sample.at).filter(|at| judged.start < *at && *at < judged.end);
        let before = samples.iter().map(|sample| sample.at).take_while(|at| *at <= judged.start).last();
        let instants: Vec<_> = before.into_iter().chain(within).chain([judged.end]).collect();
        let spans = instants.windows(2).map(|pair| Span { start: pair[0], end: pair[1] });
        let begin = before.is_none().then(|| Span { start: judged.start, end: instants[0] });
        begin.into_iter().chain(spans).find(|span| between(span.start, span.end) > gap)
    }

    fn not_looked(&self, unseen: Span) -> String {
        let seconds = |at: RunTime| at.0 as f64 / 1e9;
        format!(
            "{} did not look from {:.1} s to {:.1} s, and what was then is not known; hint: it takes looks that end \
             before the next one is due",
            self.probe,
            seconds(unseen.start),
            seconds(unseen.end)
        )
    }

    fn message(&self, sample: &Sample) -> String {
        let answer = match &sample.answer {
            Answer::Value(value) => value.to_string(),
            Answer::Error { message, .. } => message.clone(),
        };
        let seconds = sample.at.0 as f64 / 1e9;
        format!("{} was {answer} at {seconds:.1} s, expected {}", self.probe, self.expected)
    }

    fn how_long(&self, off: Off) -> String {
        let (least, tolerated) = (off.least.as_secs_f64(), self.tolerate.as_secs_f64());
        let most = match off.most {
            Some(most) => format!("at most {:.1} s", most.as_secs_f64()),
            None => "to the end of the record".to_owned(),
        };
        format!(
            "and it was off for at least {least:.1} s and {most}, which may be more than the {tolerated:.1} s that are \
             tolerated; it takes looks that are closer together, or a longer recovery"
        )
    }
}

/// The answers of a probe, in the order in which they were asked for.
pub(super) fn samples_of<'a>(recorded: &Recorded<'a>, probe: &str) -> Vec<&'a Sample> {
    let mut samples: Vec<_> = recorded.samples.iter().copied().filter(|sample| sample.probe == probe).collect();
    samples.sort_by_key(|sample| sample.at);
    samples
}

/// The first answer of a probe that could not be judged.
pub(super) fn unanswered(recorded: &Recorded<'_>, probe: &str) -> Option<Finding> {
    let (reason, message) = samples_of(recorded, probe).into_iter().find_map(problem)?;
    let message = format!("{probe} could not answer ({reason}): {message}");
    Some(Finding { reason_code: ReasonCode::ProbeUnanswered, message })
}

/// Why a sample is no answer that could be judged.
pub(super) fn problem(sample: &Sample) -> Option<(&str, String)> {
    match (&sample.answer, sample.met) {
        (Answer::Error { reason, message }, _) => Some((reason, message.clone())),
        (Answer::Value(value), None) => Some(("unjudged", format!("{value} could not be compared"))),
        (Answer::Value(_), Some(_)) => None,
    }
}

fn between(start: RunTime, end: RunTime) -> Duration {
    Duration::from_nanos(end.0.saturating_sub(start.0))
}
