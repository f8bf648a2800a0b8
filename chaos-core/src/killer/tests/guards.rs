//! Guards: each that holds, that does not and that is not known; and strikes that are skipped for it, never killed, alike in
//! a dry run.

use super::*;
use crate::limits::Reservation;
use crate::model::MonkeyGuard;

type Heard = Result<GuardReading, String>;

fn alert() -> Value {
    json!({"alert": {"source": "platform", "matchers": ["alertname=\"RidesLost\""]}})
}

fn error_budget() -> Value {
    json!({"errorBudget": {"source": "platform", "query": "slo:left", "keep": "25%"}})
}

fn probe() -> Value {
    json!({"probe": {"source": "other", "query": "min(up)", "min": 1, "max": 2}})
}

/// A monkey with one guard of each kind.
fn guarded(spec: &mut Value) {
    spec["guards"] = json!([alert(), error_budget(), probe()]);
}

fn guards(list: Value) -> Vec<MonkeyGuard> {
    let meta = Meta { name: "m".into(), namespace: NS.into(), uid: "run".into() };
    let monkey = validate::monkey(&spec(|spec| spec["guards"] = list), &meta);
    monkey.unwrap_or_else(|problems| panic!("{problems:?}")).guards
}

fn alerts(firing: Option<&str>) -> Heard {
    Ok(GuardReading::Alerts(firing.map(str::to_owned)))
}

fn value(value: f64) -> Heard {
    Ok(GuardReading::Value(value))
}

fn silence(why: &str) -> Heard {
    Err(why.to_owned())
}

/// All guards of [`guarded`] hold.
fn holding() -> Vec<Heard> {
    vec![alerts(None), value(0.8), value(1.5)]
}

/// The guards of [`guarded`] of which one does not hold or is not known, each with the reason.
fn refusing() -> Vec<(Vec<Heard>, &'static str)> {
    vec![
        (vec![alerts(Some("alert fires: {alertname=\"RidesLost\"}")), value(0.8), value(1.5)], "GuardAlert"),
        (vec![alerts(None), value(0.1), value(1.5)], "GuardErrorBudget"),
        (vec![alerts(None), value(0.8), value(0.0)], "GuardProbe"),
        (vec![silence("timeout: no answer in 5000 ms"), value(0.8), value(1.5)], "GuardUnknown"),
        (vec![alerts(None), value(f64::NAN), value(1.5)], "GuardUnknown"),
        (vec![alerts(None), value(0.8), silence("it is not given to this namespace")], "GuardUnknown"),
        (vec![alerts(None), value(0.8)], "GuardUnknown"),
        (Vec::new(), "GuardUnknown"),
    ]
}

#[test]
fn each_guard_holds_or_says_why_not() {
    use SkipReason::{GuardAlert, GuardErrorBudget, GuardProbe, GuardUnknown};
    let firing = "alert fires: {alertname=\"RidesLost\"}";
    for (guard, heard, expected) in [
        (alert(), alerts(None), None),
        (
            alert(),
            alerts(Some(firing)),
            Some((GuardAlert, "guard 1 (alert, source platform) does not hold: alert fires")),
        ),
        (
            alert(),
            silence("noRule: none"),
            Some((GuardUnknown, "guard 1 (alert, source platform) is not known: noRule")),
        ),
        (alert(), value(0.0), Some((GuardUnknown, "the answer is of another kind"))),
        (error_budget(), value(1.0), None),
        (error_budget(), value(1.0 + 1e-9), None),
        (error_budget(), value(0.25), None),
        (error_budget(), value(0.249), Some((GuardErrorBudget, "24.9 % of the error budget is left; 25% has to be"))),
        (
            error_budget(),
            value(-3.0),
            Some((GuardErrorBudget, "(errorBudget, source platform) does not hold: -300.0 %")),
        ),
        (error_budget(), value(63.0), Some((GuardUnknown, "63, which is no share (1 is all of it)"))),
        (error_budget(), value(f64::NAN), Some((GuardUnknown, "which is no share"))),
        (error_budget(), value(f64::NEG_INFINITY), Some((GuardUnknown, "which is no share"))),
        (error_budget(), alerts(None), Some((GuardUnknown, "the answer is of another kind"))),
        (error_budget(), silence("unreachable: refused"), Some((GuardUnknown, "is not known: unreachable: refused"))),
        (probe(), value(1.0), None),
        (probe(), value(2.0), None),
        (probe(), value(0.9), Some((GuardProbe, "(probe, source other) does not hold: 0.9 is not between 1 and 2"))),
        (probe(), value(2.1), Some((GuardProbe, "2.1 is not between 1 and 2"))),
        (probe(), value(f64::NAN), Some((GuardUnknown, "the query gives NaN"))),
        (probe(), value(f64::INFINITY), Some((GuardUnknown, "the query gives inf"))),
        (probe(), alerts(None), Some((GuardUnknown, "the answer is of another kind"))),
        (probe(), silence("severalSeries: 2"), Some((GuardUnknown, "is not known: severalSeries: 2"))),
    ] {
        let found = held(&guards(json!([guard])), std::slice::from_ref(&heard));
        match (found, expected) {
            (Ok(()), None) => {}
            (Err(refused), Some((reason, told))) => {
                assert!(refused.reason == reason && refused.message.contains(told), "{heard:?}: {refused:?}");
            }
            (found, expected) => panic!("{heard:?}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn all_guards_have_to_hold_and_each_has_to_be_heard() {
    let three = guards(json!([alert(), error_budget(), probe()]));
    assert_eq!(held(&[], &[]), Ok(()));
    assert_eq!(held(&three, &holding()), Ok(()));
    for (heard, reason) in refusing() {
        assert_eq!(held(&three, &heard).unwrap_err().reason.as_str(), reason, "{heard:?}");
    }
    let both = [alerts(None), silence("away"), value(0.0)];
    let first = held(&three, &both).unwrap_err();
    assert_eq!(first.message, "guard 2 (errorBudget, source platform) is not known: away", "the first decides");
}

#[test]
fn what_a_source_says_is_kept_short() {
    let told = held(&guards(json!([alert()])), &[alerts(Some(&"\n\u{1}x".repeat(9_000)))]).unwrap_err().message;
    assert!(told.chars().count() < 400 && !told.contains(char::is_control), "{told:?}");
}

#[test]
fn a_guard_that_does_not_hold_skips_every_strike_and_a_dry_run_says_the_same() {
    for (heard, reason) in refusing() {
        let play = |mode: &str| {
            let mut play = Play::new(|spec| {
                guarded(spec);
                spec["mode"] = json!(mode);
            });
            play.readings = heard.clone();
            play.run(hours(24));
            play
        };
        let (live, dry) = (play("Live"), play("DryRun"));
        for play in [&live, &dry] {
            assert_eq!((play.ledger().kills, play.reasons()), (0, BTreeSet::from([reason])), "{heard:?}");
            assert!(play.ledger().history.is_empty() && play.actions.is_empty(), "{:?}", play.actions);
            assert!(play.ledger().skips > 5, "{}", play.ledger().skips);
            assert!(play.budget_of("w").reservations.is_empty() && play.ledger().ended.is_none());
        }
        assert_eq!(live.ledger().skipped, dry.ledger().skipped);
    }
}

#[test]
fn guards_are_asked_for_every_kill_and_change_nothing_while_they_hold() {
    let (mut free, mut play) = (Play::new(|_| ()), Play::new(guarded));
    play.readings = holding();
    free.run(hours(30));
    play.run(hours(30));
    assert_eq!(play.ledger().history, free.ledger().history);
    assert!(!play.ledger().history.is_empty() && free.asked.is_empty());
    let asked: Vec<_> = play.asked.iter().map(|at| micro_time(*at)).collect();
    assert!(play.ledger().history.iter().all(|kill| asked.contains(&kill.at)), "at the time of each kill");
}

#[test]
fn kills_go_on_once_the_guards_hold_again() {
    let mut play = Play::new(guarded);
    play.readings = vec![alerts(Some("alert fires")), value(0.8), value(1.5)];
    play.run(hours(20));
    assert_eq!(play.ledger().kills, 0);
    play.readings = holding();
    play.run(hours(20));
    let kills = play.ledger().kills;
    assert!(kills > 5, "{kills}");
    play.readings[1] = value(0.2);
    play.run(hours(20));
    assert_eq!((play.ledger().kills, play.reasons()), (kills, BTreeSet::from(["GuardAlert", "GuardErrorBudget"])));
}

/// A reservation of an earlier process makes the first strike look twice.
fn with_an_orphan() -> Play {
    let mut play = Play::new(guarded);
    play.readings = holding();
    let orphan = Reservation { run: "run".into(), strike: 99, victim_uid: "pod-9".into(), since: start() };
    let mut budget = WorkloadBudget::default();
    budget.reserve(orphan).unwrap();
    play.budgets.insert("w".to_owned(), (1, budget));
    play
}

#[test]
fn however_often_an_attempt_looks_sources_are_asked_once() {
    let mut play = with_an_orphan();
    play.answers_take = SignedDuration::from_millis(800);
    play.run(hours(30));
    let ledger = play.ledger();
    assert!(ledger.kills > 2 && ledger.fences == 1, "{} kills, {} fences", ledger.kills, ledger.fences);
    assert_eq!(play.asked.len() as u64, ledger.kills + ledger.skips);
}

#[test]
fn a_kill_rests_on_nothing_that_was_heard_too_long_ago() {
    let mut play = with_an_orphan();
    let mut response = None;
    let mut is_late = false;
    while play.ledger().skips == 0 && play.ledger().kills == 0 {
        match play.step(response.take()) {
            Next::Act(action) => {
                // The second look of the attempt takes long, and the facts that it brings are fresh.
                let is_second = matches!(&action, Action::Observe { guards, .. } if guards.is_empty());
                if is_second {
                    play.now += SignedDuration::from_secs(6);
                    is_late = true;
                }
                response = Some(play.answer(action));
            }
            Next::Wait(until) => play.now = until.expect("it has plans"),
            Next::Done => panic!("a standing monkey ended"),
        }
    }
    assert!(is_late && play.actions.is_empty(), "{:?}", play.actions);
    let skip = &play.ledger().skipped[0];
    assert!(skip.reason == "GuardUnknown" && skip.message.contains("asked 6000 ms ago"), "{skip:?}");
}

fn assert_asked_once_a_second(play: &Play) {
    for pair in play.asked.windows(2) {
        assert!(pair[1].duration_since(pair[0]) >= SignedDuration::from_secs(1), "{pair:?}");
    }
}

#[test]
fn many_strikes_that_are_refused_ask_sources_once_a_second() {
    let mut play = Play::new(|spec| {
        guarded(spec);
        by_pod(spec);
        spec["meanTimeBetweenKills"] = json!("2s");
        spec["minTimeBetweenKills"] = json!("1s");
    });
    play.pods = (0..30).map(|i| format!("pod-{i}")).collect();
    play.readings = vec![alerts(None), value(0.1), value(1.5)];
    play.run(SignedDuration::from_mins(1));
    assert_eq!((play.ledger().kills, play.reasons()), (0, BTreeSet::from(["GuardErrorBudget"])));
    assert!(play.ledger().skips > 500, "{}", play.ledger().skips);
    assert!((10..=60).contains(&play.asked.len()), "{}", play.asked.len());
    assert_asked_once_a_second(&play);
}

/// No manifest gives a run's killer guards; if one had some, it would not hammer their sources either.
#[test]
fn a_strike_that_is_put_off_asks_sources_once_a_second() {
    let mut play = Play::new(of_run);
    let spec = KillerSpec { guards: guards(json!([alert()])), ..play.killer.spec().clone() };
    play.killer = Killer::new(spec);
    play.view.beat = Some(start());
    play.readings = vec![alerts(Some("alert fires"))];
    play.run(SignedDuration::from_mins(1));
    assert_eq!((play.ledger().kills, play.ledger().skips), (0, 0));
    assert_eq!(play.ledger().upcoming[0].waiting_for.as_deref(), Some("GuardAlert"));
    assert!((20..=60).contains(&play.asked.len()), "{}", play.asked.len());
    assert_asked_once_a_second(&play);
    play.readings = vec![alerts(None)];
    play.run(SignedDuration::from_mins(1));
    assert_eq!(play.ledger().kills, 3);
}
