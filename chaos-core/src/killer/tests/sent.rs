//! The kill call: until when one may be sent, what is refused or gone, and answers that are lost.

use super::*;

#[test]
fn a_refused_kill_gives_its_reservation_back_and_is_no_kill() {
    for (answer, outcome) in [
        (KillAnswerKind::Blocked, Outcome::Blocked),
        (KillAnswerKind::Gone, Outcome::Gone),
        (KillAnswerKind::Refused, Outcome::Failed),
    ] {
        let mut play = Play::new(|_| ());
        play.answer = answer;
        play.run(hours(5));
        assert!(!play.outcomes().is_empty() && play.outcomes().iter().all(|found| *found == outcome));
        assert_eq!(play.ledger().kills, 0);
        assert_eq!(play.budget_of("w"), WorkloadBudget::default(), "nothing is left of it");
    }
}

#[test]
fn pods_that_are_told_as_gone_and_listed_all_the_same_are_not_tried_without_a_pause() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.answer = KillAnswerKind::Gone;
    play.run(SignedDuration::from_secs(20));
    let tried: Vec<&str> = play.orders.iter().map(|(_, order)| order.victim.uid.as_str()).collect();
    assert!((5..=25).contains(&tried.len()), "{tried:?}");
    assert_eq!(tried[..3].iter().collect::<BTreeSet<_>>().len(), 3, "the others come first: {tried:?}");
    let pause = |pair: &[(Timestamp, KillOrder)]| pair[1].0.duration_since(pair[0].0);
    assert!(play.orders[1..].windows(2).all(|pair| pause(pair) >= SignedDuration::from_secs(1)), "{tried:?}");
    assert!(pause(&play.orders[..2]) < SignedDuration::from_secs(1), "one that is gone makes room for another at once");
    assert_eq!((play.ledger().kills, play.ledger().struck), (0, 0));
}

#[test]
fn a_reservation_is_given_back_without_a_look_at_its_budget_unless_somebody_else_has_written_that() {
    for is_contended in [false, true] {
        let mut play = Play::new(|_| ());
        let mut response = None;
        while play.outcomes().is_empty() || !play.budget_of("w").reservations.is_empty() {
            let has_read = play.actions.contains(&"read budget");
            match play.step(response.take()) {
                Next::Act(Action::WriteBudget { .. }) if is_contended && !has_read && !play.outcomes().is_empty() => {
                    play.budgets.get_mut("w").unwrap().0 += 1;
                    response = Some(Response::Stored(Stored::Conflict));
                }
                Next::Act(action) => response = Some(play.answer(action)),
                Next::Wait(until) => play.now = until.expect("it has plans"),
                Next::Done => panic!("a standing monkey ended"),
            }
        }
        assert_eq!(play.actions.contains(&"read budget"), is_contended, "{:?}", play.actions);
        assert_eq!(play.budget_of("w").kills_today, 1);
    }
}

#[test]
fn no_kill_may_be_sent_after_the_end_of_its_run() {
    let until = |spec: &mut Value| {
        of_run(spec);
        spec["until"] = json!("2026-11-23T12:00:04Z");
    };
    let end = start() + SignedDuration::from_secs(4);
    let mut play = Play::new(until);
    play.view.beat = Some(start());
    assert!(play.run(SignedDuration::from_mins(1)));
    assert!(!play.orders.is_empty() && play.orders.iter().all(|(_, order)| order.deadline < end));
    // A reservation that takes long is given back.
    let mut play = Play::new(until);
    play.view.beat = Some(start());
    play.write_takes = SignedDuration::from_secs(4);
    assert!(play.run(SignedDuration::from_mins(1)));
    assert_eq!((play.orders.len(), play.ended()), (0, Some(EndReason::Until)));
    assert_eq!(play.budget_of("w"), WorkloadBudget::default(), "nothing is left of it");
    assert_eq!(play.actions.iter().filter(|action| **action == "write budget").count(), 2);
}

#[test]
fn no_kill_may_be_sent_after_its_window() {
    let mut play = Play::new(|spec| {
        spec["meanTimeBetweenKills"] = json!("10s");
        spec["minTimeBetweenKills"] = json!("1s");
        spec["schedule"] = json!({"hours": [{"from": "12:00", "to": "12:01"}]});
    });
    play.run(hours(24 * 30));
    let schedule = &play.killer.spec().schedule;
    assert!(play.orders.iter().all(|(_, order)| super::super::calendar::stretch(schedule, order.deadline).active));
    let whole = SignedDuration::try_from(SEND_WITHIN).unwrap();
    let cut = play.orders.iter().filter(|(at, order)| order.deadline.duration_since(*at) < whole).count();
    assert!(cut > 0 && cut < play.orders.len(), "{cut} of {}", play.orders.len());
}

#[test]
fn what_is_known_at_the_last_moment_keeps_a_kill_from_being_sent() {
    let mut play = Play::new(|_| ());
    play.run(SignedDuration::from_secs(1));
    let strike = play.ledger().upcoming[0].clone();
    let (id, later) = (strike.id.clone(), play.now + hours(1));
    let victim = crate::api::VictimRef {
        namespace: NS.into(),
        pod: "pod-0".into(),
        uid: "pod-0".into(),
        workload: "Deployment/trips".into(),
        workload_uid: "w".into(),
        owner_uid: "rs".into(),
        node: None,
    };
    let mode = crate::model::KillMode::Evict;
    let order = KillOrder { strike, nonce: "n".into(), victim, mode, grace: None, deadline: later };
    let said = |view: KillerView| view.objection(&order, play.now);
    let free = KillerView::default;
    assert_eq!(said(free()), None);
    assert_eq!(said(KillerView { cancel: BTreeSet::from(["s99".to_owned()]), ..free() }), None);
    assert_eq!(said(KillerView { postpone: BTreeMap::from([(id.clone(), play.now)]), ..free() }), None);
    for view in [
        KillerView { suspended: true, ..free() },
        KillerView { hold: Some("the stop switch is on".into()), ..free() },
        KillerView { cancel: BTreeSet::from([id.clone()]), ..free() },
        KillerView { postpone: BTreeMap::from([(id.clone(), later)]), ..free() },
        KillerView { leave: true, ..free() },
    ] {
        assert!(said(view.clone()).is_some(), "{view:?}");
    }
}

#[test]
fn a_lost_answer_is_looked_up_and_counts() {
    let mut play = Play::new(of_run);
    play.view.beat = Some(start());
    play.answer = KillAnswerKind::Unknown;
    assert!(play.run(SignedDuration::from_mins(4)));
    assert_eq!(play.outcomes(), [Outcome::Killed; 3]);
    assert!(play.budget_of("w").reservations.is_empty() && play.budget_of("w").kills_today == 3);
}

#[test]
fn a_kill_whose_answer_was_lost_is_told_for_when_it_was_sent_or_is_known_no_better_than_its_decision() {
    for crashes in [false, true] {
        let mut play = Play::new(of_run);
        play.view.beat = Some(start());
        play.answer = KillAnswerKind::Unknown;
        play.write_takes = SignedDuration::from_secs(1);
        while play.orders.is_empty() {
            play.run(SignedDuration::from_millis(10));
        }
        let (decided_at, sent_at) = (play.ledger().intents[0].decided_at.0, micro_time(play.orders[0].0).0);
        assert!(decided_at < sent_at, "{decided_at} {sent_at}");
        if crashes {
            play.crash();
        }
        play.run(SignedDuration::from_secs(5));
        let kill = &play.ledger().history[0];
        let told_at = if crashes { decided_at } else { sent_at };
        assert_eq!((kill.outcome, &kill.at), (Outcome::Killed, &micro_time(told_at)));
        let late = sent_within(kill);
        assert_eq!(late, if crashes { SEND_WITHIN } else { Duration::ZERO });
        assert!(elapsed(kill.at.0, sent_at) <= late);
    }
}
