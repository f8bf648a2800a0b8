//! The prober's machine, stepped by hand: orders, losses and clocks as a test wants them.

use std::time::Duration;

use super::*;
use crate::machine::Next;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + i64::try_from(millis).unwrap()).unwrap()
}

/// Plays a prober to its end. `view` says what is seen at a millisecond, `answer` what comes of an action.
fn play(
    view: impl Fn(u64) -> ProberView,
    answer: impl Fn(&ProberAction, u64) -> ProberResponse,
) -> Vec<(u64, ProberAction)> {
    let (machine, mut now) = (Prober, 0u64);
    let (mut state, mut response, mut actions) = (machine.resume(()), None, Vec::new());
    for _ in 0..100_000 {
        let step = machine.step(&state, &view(now), response.take(), at(now));
        state = step.state;
        match step.next {
            Next::Act(action) => {
                response = Some(answer(&action, now));
                actions.push((now, action));
            }
            Next::Wait(until) => {
                // Orders are watched: a change of the view wakes it, which stands for a look every 50 ms here.
                let millis = until.map_or(50, |until| {
                    let span = Duration::try_from(until.duration_since(at(now))).expect("no wait into the past");
                    u64::try_from(span.as_millis()).unwrap()
                });
                now += millis.clamp(1, 50);
            }
            Next::Done => return actions,
        }
    }
    panic!("it never ends: {state:?}");
}

fn ordered(at: impl Fn(u64) -> Option<ProberStage>) -> impl Fn(u64) -> ProberView {
    move |now| ProberView { order: at(now), news: News::Good, ..ProberView::default() }
}

fn well(action: &ProberAction, now: u64) -> ProberResponse {
    match action {
        ProberAction::Claim => ProberResponse::Claimed(Ok(true)),
        ProberAction::Prepare => ProberResponse::Prepared(Ok(())),
        ProberAction::StartLoad => ProberResponse::Started(Ok(at(now + 600_000))),
        ProberAction::AskBefore | ProberAction::StopLoad | ProberAction::AskAfter => ProberResponse::Done,
        ProberAction::Report(_) => ProberResponse::Reported(Ok(())),
    }
}

fn stage_at(now: u64) -> Option<ProberStage> {
    Some(match now {
        0..100 => return None,
        100..1_000 => ProberStage::Prepare,
        1_000..30_000 => ProberStage::Load,
        30_000..31_000 => ProberStage::Stop,
        31_000..32_000 => ProberStage::AskAfter,
        _ => ProberStage::Release,
    })
}

fn without_reports(actions: &[(u64, ProberAction)]) -> Vec<&ProberAction> {
    actions.iter().map(|(_, action)| action).filter(|action| !matches!(action, ProberAction::Report(_))).collect()
}

#[test]
fn it_goes_through_the_orders_once_and_tells_each_stage() {
    use ProberAction::{AskAfter, AskBefore, Claim, Prepare, StartLoad, StopLoad};
    use Reached::{AfterAsked, BeforeAsked, Loading, Ready, Stopped};
    let actions = play(ordered(stage_at), well);
    assert_eq!(without_reports(&actions), [&Claim, &Prepare, &StartLoad, &AskBefore, &StopLoad, &AskAfter]);
    let mut told: Vec<Reached> = Vec::new();
    for (_, action) in &actions {
        if let ProberAction::Report(reached) = action
            && told.last() != Some(reached)
        {
            told.push(reached.clone());
        }
    }
    assert_eq!(told, [Ready, Loading, BeforeAsked, Stopped, AfterAsked]);
    let reports: Vec<u64> =
        actions.iter().filter(|(_, action)| matches!(action, ProberAction::Report(_))).map(|(at, _)| *at).collect();
    assert!(reports.windows(2).all(|pair| pair[1] - pair[0] <= 5_050), "signs of life: {reports:?}");
    assert!(reports.len() < 15, "{reports:?}");
}

#[test]
fn a_run_of_another_prober_is_left_alone() {
    let taken = |action: &ProberAction, now| match action {
        ProberAction::Claim => ProberResponse::Claimed(Ok(false)),
        other => well(other, now),
    };
    assert_eq!(without_reports(&play(ordered(stage_at), taken)), [&ProberAction::Claim]);
}

#[test]
fn orders_that_were_missed_are_not_made_up_for() {
    // The run was stopped before load was ordered.
    let stopped = |now| Some(if now < 1_000 { ProberStage::Prepare } else { ProberStage::Stop });
    let actions = play(ordered(stopped), well);
    assert_eq!(without_reports(&actions), [&ProberAction::Claim, &ProberAction::Prepare]);
    // Whoever comes when all is over does nothing.
    assert!(play(ordered(|_| Some(ProberStage::Release)), well).is_empty());
}

#[test]
fn what_may_pass_is_borne_with_for_a_while_before_a_prober_is_unfit() {
    /// Whether it says that it is ready, or unfit, and when.
    fn told(unfit: fn(u64) -> Option<Unfit>) -> (bool, u64) {
        let answer = |action: &ProberAction, now: u64| match action {
            ProberAction::Prepare => ProberResponse::Prepared(unfit(now).map_or(Ok(()), Err)),
            other => well(other, now),
        };
        let prepares = |now| Some(if now < 50_000 { ProberStage::Prepare } else { ProberStage::Release });
        let actions = play(ordered(prepares), answer);
        assert!(actions.len() < 60, "it pauses between two tries: {}", actions.len());
        let is_ready = |(at, action): &(u64, ProberAction)| match action {
            ProberAction::Report(Reached::Ready) => Some((true, *at)),
            ProberAction::Report(Reached::Unfit { .. }) => Some((false, *at)),
            _ => None,
        };
        actions.iter().find_map(is_ready).expect("it is told")
    }

    let (fit, at) = told(|now| (now < 10_000).then(|| Unfit::out_of_reach("forbidden")));
    assert!(fit && (10_000..11_200).contains(&at), "{at}");
    let (fit, at) = told(|_| Some(Unfit::out_of_reach("forbidden")));
    assert!(!fit && (30_000..31_500).contains(&at), "{at}");
    let (fit, at) = told(|_| Some(Unfit::invalid("no such Service")));
    assert!(!fit && at < 1_000, "{at}");
}

#[test]
fn a_report_that_is_not_taken_for_a_while_ends_nothing() {
    let deaf = |action: &ProberAction, now: u64| match action {
        ProberAction::Report(_) if (5_000..15_000).contains(&now) => {
            ProberResponse::Reported(Err(ReportError::Unreached("forbidden".into())))
        }
        other => well(other, now),
    };
    let actions = play(ordered(stage_at), deaf);
    assert_eq!(without_reports(&actions), without_reports(&play(ordered(stage_at), well)));
}

#[test]
fn load_goes_off_when_the_run_is_gone_or_nobody_hears_of_it_or_the_ceiling_has_come() {
    let last = |actions: &[(u64, ProberAction)]| {
        let stop = actions.iter().find(|(_, action)| *action == ProberAction::StopLoad);
        stop.map(|(at, _)| *at).expect("load goes off")
    };
    let gone = play(|now| ProberView { gone: now >= 5_000, ..ordered(stage_at)(now) }, well);
    assert!((5_000..5_100).contains(&last(&gone)));
    let deaf = |action: &ProberAction, now: u64| match action {
        ProberAction::Report(_) if now >= 5_000 => {
            ProberResponse::Reported(Err(ReportError::Unreached("refused".into())))
        }
        other => well(other, now),
    };
    let endless = |now| Some(if now < 1_000 { ProberStage::Prepare } else { ProberStage::Load });
    for (max_blind, off) in [(30, 65_000..72_000), (180, 185_000..192_000)] {
        let max_blind = Duration::from_secs(max_blind);
        let blind = |now: u64| ProberView { max_blind, ..ordered(endless)(now) };
        assert!(off.contains(&last(&play(blind, deaf))), "{max_blind:?}");
    }
    let full = |action: &ProberAction, now: u64| match action {
        ProberAction::Report(_) if now >= 5_000 => ProberResponse::Reported(Err(ReportError::Refused("full".into()))),
        other => well(other, now),
    };
    assert!((5_000..11_000).contains(&last(&play(ordered(endless), full))));
    let ceiling = |action: &ProberAction, now: u64| match action {
        ProberAction::StartLoad => ProberResponse::Started(Ok(at(now + 20_000))),
        other => well(other, now),
    };
    let actions = play(ordered(endless), ceiling);
    assert!((21_000..21_200).contains(&last(&actions)));
    assert!(actions.iter().any(|(_, action)| *action == ProberAction::Report(Reached::Stopped)), "it says so");
}

#[test]
fn a_failure_is_told_within_a_second_and_a_beat_before_the_run_at_once() {
    let bad = |now: u64| ProberView { news: News::Bad, ..ordered(stage_at)(now) };
    let reports = |actions: &[(u64, ProberAction)]| {
        actions.iter().filter(|(at, a)| *at >= 2_000 && *at < 30_000 && matches!(a, ProberAction::Report(_))).count()
    };
    let told = reports(&play(bad, well));
    assert!((25..=28).contains(&told), "{told}");
    let heard = std::cell::Cell::new(0u64);
    let beats = |now: u64| ProberView { unheard: now / 100 > heard.get(), ..ordered(stage_at)(now) };
    let echo = |action: &ProberAction, now: u64| {
        if matches!(action, ProberAction::Report(_)) {
            heard.set(now / 100);
        }
        well(action, now)
    };
    let actions = play(beats, echo);
    let before = actions.iter().filter(|(at, a)| *at < 1_000 && matches!(a, ProberAction::Report(_))).count();
    assert!((8..=11).contains(&before), "{before}");
}

#[test]
fn a_run_that_has_to_wait_is_told_so_until_its_turn_has_come() {
    // Longer than anybody waits for orders.
    const TURN: u64 = 2_400_000;
    let order = |now| Some(if now < TURN + 100_000 { ProberStage::Prepare } else { ProberStage::Release });
    let waits = |now| ProberView { queued: now < TURN, ..ordered(order)(now) };
    let actions = play(waits, well);
    assert_eq!(without_reports(&actions), [&ProberAction::Claim, &ProberAction::Prepare]);
    assert_eq!(actions[0].0, 5_000, "others have their chance first: {:?}", actions[0]);
    let prepared = actions.iter().find(|(_, action)| *action == ProberAction::Prepare).unwrap().0;
    assert!((TURN..TURN + 100).contains(&prepared), "{prepared}");
    let told: Vec<u64> = actions[1..].iter().map(|(at, _)| *at).filter(|at| *at < TURN).collect();
    assert!((155..=160).contains(&told.len()), "{}", told.len());
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] < 20_000), "never silent for long");
    // A run that ends while it waits is left.
    let ended = |now| ProberView { queued: true, ..ordered(|_| Some(ProberStage::Stop))(now) };
    assert_eq!(without_reports(&play(ended, well)), [&ProberAction::Claim]);
}

#[test]
fn a_run_that_is_never_ordered_on_is_left_after_half_an_hour() {
    let actions = play(ordered(|_| Some(ProberStage::Prepare)), well);
    let (at, _) = actions.last().unwrap();
    assert!((1_790_000..1_810_000).contains(at), "{at}");
}
