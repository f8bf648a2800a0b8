//! `chaos monkey`: what is planned, and calling or putting it off. Changes nothing but what people may want of a plan.

mod shown;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use chaos_core::api::{ChaosMonkey, ChaosMonkeyStatus, MonkeyControl, PlannedStrike, Postponement};
use chaos_core::instant::{after, time};
use chaos_engine::kube::is_unserved;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::cli::{Global, ListArgs, MonkeyCommand};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) use shown::{MonkeyLine, table};
use shown::{strikes, upcoming};

/// An operator that works has seen a change by then.
const TAKEN_UP: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Others may change the same monkey at the same time.
const ATTEMPTS: usize = 5;

/// Where strikes that are put off go.
#[derive(Debug, Clone, Copy)]
enum Later {
    /// So much later than they would be.
    By(Duration),
    /// To this instant.
    Until(Timestamp),
}

pub(super) async fn monkey(global: &Global, command: MonkeyCommand) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let one = || Api::<ChaosMonkey>::namespaced(target.client.clone(), &target.namespace(global));
    match command {
        MonkeyCommand::List(ListArgs { all_namespaces, format }) => {
            let namespace = target.namespace(global);
            let lines: Vec<_> = list(global, &target, all_namespaces).await?.iter().map(MonkeyLine::of).collect();
            let text = || table(&lines, (!all_namespaces).then_some(namespace.as_str()));
            output::data(&output::rendered(&lines, format, text)?);
            Ok(Exit::OK)
        }
        MonkeyCommand::Upcoming { name, all_namespaces, format } => {
            let monkeys = match &name {
                Some(name) => vec![get(&one(), name).await?],
                None => list(global, &target, all_namespaces).await?,
            };
            let strikes = strikes(&monkeys);
            output::data(&output::rendered(&strikes, format, || upcoming(&strikes, &monkeys))?);
            Ok(Exit::OK)
        }
        MonkeyCommand::Cancel { name, ids } => cancel(&one(), &name, &ids).await,
        MonkeyCommand::Postpone { name, ids, by, until } => {
            let to = match (by, until) {
                (Some(by), _) => Later::By(*by),
                (None, until) => Later::Until(until.unwrap_or(Timestamp::MAX)),
            };
            postpone(&one(), &name, &ids, to).await
        }
        MonkeyCommand::Suspend { name } => suspend(&one(), &name, true).await,
        MonkeyCommand::Resume { name } => {
            target.confirm(global, &format!("let monkey {name} kill again"))?;
            suspend(&one(), &name, false).await
        }
    }
}

/// The monkeys that are meant.
pub(super) async fn list(global: &Global, target: &Target, all: bool) -> anyhow::Result<Vec<ChaosMonkey>> {
    target.list(global, all, "monkeys").await
}

async fn get(api: &Api<ChaosMonkey>, name: &str) -> Result<ChaosMonkey, Failure> {
    api.get(name).await.map_err(|error| unread(error, api.namespace().unwrap_or_default(), name))
}

/// Why a monkey could not be read. Where no monkeys are served, there is none of that name either, and that is not what is amiss.
fn unread(error: kube::Error, namespace: &str, name: &str) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 && !is_unserved(&status) => Failure::invalid(anyhow::anyhow!(
            "there is no monkey {namespace}/{name}; hint: `chaos monkey list -A`, or another --namespace"
        )),
        error => Failure::of_api(error, format!("failed to read monkey {name}")),
    }
}

async fn cancel(api: &Api<ChaosMonkey>, name: &str, ids: &[String]) -> Result<Exit, Failure> {
    let call_off = |control: &mut MonkeyControl, _: &[&PlannedStrike]| -> Result<(), Failure> {
        control.cancel.extend(ids.iter().cloned());
        Ok(())
    };
    let changed = change(api, name, ids, call_off).await?;
    in_time(api, &changed, ids).await?;
    output::say(&format!("{} will not strike", ids.join(", ")));
    Ok(Exit::OK)
}

async fn postpone(api: &Api<ChaosMonkey>, name: &str, ids: &[String], to: Later) -> Result<Exit, Failure> {
    let put_off = |control: &mut MonkeyControl, meant: &[&PlannedStrike]| -> Result<(), Failure> {
        control.postpone.retain(|known| !ids.contains(&known.id));
        control.postpone.extend(postponements(meant, to, Timestamp::now())?);
        Ok(())
    };
    let changed = change(api, name, ids, put_off).await?;
    let after = in_time(api, &changed, ids).await?;
    tell_put_off(&after.status.unwrap_or_default(), name, ids)
}

/// Tells when these strikes will be; an error if one of them is planned no more.
fn tell_put_off(status: &ChaosMonkeyStatus, name: &str, ids: &[String]) -> Result<Exit, Failure> {
    for strike in status.upcoming.iter().filter(|strike| ids.contains(&strike.id)) {
        output::say(&format!("{} will strike at {}", strike.id, strike.at.0));
    }
    let left = left(status, ids);
    if left.is_empty() {
        return Ok(Exit::OK);
    }
    Err(Failure::could_not_run(anyhow::anyhow!(
        "{} left the plan meanwhile and will not strike; hint: `chaos monkey upcoming {name}` tells what is planned",
        left.join(", ")
    )))
}

/// Until when each of these strikes is put off; an error if none of them would move.
fn postponements(meant: &[&PlannedStrike], to: Later, now: Timestamp) -> Result<Vec<Postponement>, Failure> {
    let until = |strike: &PlannedStrike| match to {
        // One that is due and waits for something is put off from now: its own instant is past.
        Later::By(span) => after(strike.at.0.max(now), span),
        Later::Until(until) => until,
    };
    let wanted: Vec<Postponement> =
        meant.iter().map(|strike| Postponement { id: strike.id.clone(), until: time(until(strike)) }).collect();
    if meant.iter().zip(&wanted).any(|(strike, wanted)| wanted.until.0 > strike.at.0) {
        return Ok(wanted);
    }
    let stay: Vec<String> = meant.iter().map(|strike| format!("{} at {}", strike.id, strike.at.0)).collect();
    let stay = stay.join(", ");
    Err(Failure::invalid(anyhow::anyhow!("nothing would move: {stay}; hint: give a longer --by, or a later --until")))
}

/// Changes what is wanted of strikes that are planned; of others it need not be said any more, as the lists are bounded.
async fn change(
    api: &Api<ChaosMonkey>,
    name: &str,
    ids: &[String],
    want: impl Fn(&mut MonkeyControl, &[&PlannedStrike]) -> Result<(), Failure>,
) -> Result<ChaosMonkey, Failure> {
    let mut attempt = 0;
    loop {
        let monkey = get(api, name).await?;
        let upcoming = || monkey.status.iter().flat_map(|status| &status.upcoming);
        let planned: BTreeSet<_> = upcoming().map(|strike| strike.id.clone()).collect();
        if let Some(unknown) = ids.iter().find(|id| !planned.contains(*id)) {
            return Err(Failure::invalid(anyhow::anyhow!(
                "{unknown} is not planned; hint: planned are {}",
                if planned.is_empty() { "none".to_owned() } else { planned.into_iter().collect::<Vec<_>>().join(", ") }
            )));
        }
        let mut control = monkey.spec.control.clone().unwrap_or_default();
        control.cancel.retain(|id| planned.contains(id) && !ids.contains(id));
        control.postpone.retain(|known| planned.contains(&known.id));
        let meant: Vec<_> = upcoming().filter(|strike| ids.contains(&strike.id)).collect();
        want(&mut control, &meant)?;
        let patch = json!({
            "metadata": {"resourceVersion": monkey.resource_version()},
            "spec": {"control": {"cancel": control.cancel, "postpone": control.postpone}},
        });
        attempt += 1;
        match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(changed) => return Ok(changed),
            Err(kube::Error::Api(refused)) if refused.is_conflict() && attempt < ATTEMPTS => (),
            Err(error) => return Err(Failure::of_api(error, format!("failed to change {name}"))),
        }
    }
}

/// The monkey once its operator has seen the change, if none of the strikes came before.
async fn in_time(api: &Api<ChaosMonkey>, changed: &ChaosMonkey, ids: &[String]) -> Result<ChaosMonkey, Failure> {
    let after = taken_up(api, changed).await?;
    let begun = after.status.as_ref().map(|status| begun(status, ids)).unwrap_or_default();
    if begun.is_empty() {
        return Ok(after);
    }
    Err(Failure::could_not_run(anyhow::anyhow!(
        "too late: {} was under way already; hint: `kubectl describe monkey` says what came of it",
        begun.join(", ")
    )))
}

/// Those of these strikes for which a kill was written down: one whose outcome is not known yet may have killed.
fn begun(status: &ChaosMonkeyStatus, ids: &[String]) -> Vec<String> {
    let made = status.history.iter().map(|kill| kill.strike);
    let open = status.intents.iter().map(|intent| intent.strike);
    let strikes: BTreeSet<u64> = made.chain(open).collect();
    strikes.into_iter().map(PlannedStrike::id_of).filter(|id| ids.contains(id)).collect()
}

/// Those of these strikes that are planned no more, each with why it was skipped as far as the status remembers.
fn left(status: &ChaosMonkeyStatus, ids: &[String]) -> Vec<String> {
    let is_planned = |id: &String| status.upcoming.iter().any(|strike| strike.id == *id);
    let told = |id: &String| {
        let skip = status.skipped.iter().find(|skip| PlannedStrike::id_of(skip.strike) == *id);
        skip.map_or_else(|| id.clone(), |skip| format!("{id} ({}: {})", skip.reason, skip.message))
    };
    ids.iter().filter(|id| !is_planned(id)).map(told).collect()
}

async fn suspend(api: &Api<ChaosMonkey>, name: &str, suspended: bool) -> Result<Exit, Failure> {
    get(api, name).await?;
    let patch = Patch::Merge(json!({"spec": {"suspend": suspended}}));
    let changed = api.patch(name, &PatchParams::default(), &patch).await;
    let changed = changed.with_context(|| format!("failed to change monkey {name}"))?;
    taken_up(api, &changed).await?;
    output::say(&format!("monkey {name} is {}", if suspended { "suspended" } else { "at work again" }));
    Ok(Exit::OK)
}

/// The monkey once its operator has seen this generation of it. Somebody who holds chaos must know whether it is held.
async fn taken_up(api: &Api<ChaosMonkey>, changed: &ChaosMonkey) -> Result<ChaosMonkey, Failure> {
    let name = changed.name_any();
    let seen = async {
        loop {
            let monkey = get(api, &name).await?;
            let observed = monkey.status.as_ref().and_then(|status| status.observed_generation);
            if observed >= changed.metadata.generation {
                return Ok(monkey);
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(TAKEN_UP, seen).await.unwrap_or_else(|_| {
        Err(Failure::could_not_run(anyhow::anyhow!(
            "it is written, but no operator has taken it up within {}; hint: chaos status",
            humantime::format_duration(TAKEN_UP)
        )))
    })
}

#[cfg(test)]
mod tests {
    use chaos_core::instant::micro_time;
    use chaos_core::verdict::ReasonCode;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_795_435_200, 0);

    fn strike(number: u64, in_seconds: i64) -> PlannedStrike {
        PlannedStrike {
            id: format!("s{number}"),
            strike: number,
            at: micro_time(Timestamp::from_second(NOW.as_second() + in_seconds).unwrap()),
            group: "g".into(),
            waiting_for: None,
            postponed_from: None,
        }
    }

    #[test]
    fn a_monkey_that_is_not_there_is_told_apart_from_a_cluster_without_monkeys() {
        let told = |message: &str| {
            let status = kube::core::Status::failure(message, "NotFound").with_code(404);
            let failure = unread(kube::Error::Api(status.boxed()), "shop", "daily");
            (failure.exit(), failure.message())
        };
        let (exit, words) = told("chaosmonkeys.chaos.dispatch.dev \"daily\" not found");
        assert_eq!(exit, Exit::INVALID_INPUT);
        let hint = "`chaos monkey list -A`, or another --namespace";
        assert_eq!(words, format!("there is no monkey shop/daily; hint: {hint}"));
        let (exit, words) = told("404 page not found");
        assert_eq!(exit, Exit::COULD_NOT_RUN);
        assert!(words.ends_with("; hint: `chaos install`"), "{words}");
    }

    #[test]
    fn strikes_are_put_off_from_their_own_instants() {
        let (far, due) = (strike(9, 432_000), strike(10, -60));
        let until = |to: Later| -> Vec<i64> {
            let wanted = postponements(&[&far, &due], to, NOW).unwrap();
            wanted.iter().map(|wanted| wanted.until.0.as_second() - NOW.as_second()).collect()
        };
        assert_eq!(until(Later::By(Duration::from_secs(7_200))), [439_200, 7_200]);
        assert_eq!(until(Later::Until(after(NOW, Duration::from_secs(500)))), [500, 500]);
    }

    #[test]
    fn a_strike_whose_kill_was_written_down_is_not_called_off_any_more() {
        let (at, victim) = (
            "2026-11-23T12:00:00.000000Z",
            json!({"namespace": "n", "pod": "p", "uid": "u", "workload": "Deployment/trips", "workloadUid": "w",
                "ownerUid": "rs"}),
        );
        let kill = json!({"strike": 1, "nonce": "n1", "group": "g", "victim": victim, "at": at, "outcome": "Killed"});
        let open = json!({"strike": 3, "nonce": "n3", "group": "g", "victim": victim, "due": at, "decidedAt": at,
            "deadline": at});
        let status = json!({"kills": 1, "killsToday": 1, "history": [kill], "intents": [open]});
        let status: ChaosMonkeyStatus = serde_json::from_value(status).unwrap();
        let of = |ids: &[&str]| begun(&status, &ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["s3", "s2", "s1"]), ["s1", "s3"]);
        assert!(of(&["s2", "s33"]).is_empty());
    }

    #[test]
    fn a_strike_that_was_skipped_meanwhile_is_not_put_off_and_named() {
        let skip = json!({"strike": 1, "group": "g", "reason": "Missed", "message": "it was due 9 s ago",
            "at": "2026-11-23T12:00:00.000000Z"});
        let status = json!({"kills": 0, "killsToday": 0, "skipped": [skip], "upcoming": [strike(2, 60)]});
        let status: ChaosMonkeyStatus = serde_json::from_value(status).unwrap();
        let of = |ids: &[&str]| tell_put_off(&status, "m", &ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        assert!(of(&["s2"]).is_ok());
        let failure = of(&["s1", "s2", "s11"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::COULD_NOT_RUN);
        let told = failure.message();
        assert!(told.starts_with("s1 (Missed: it was due 9 s ago), s11 left the plan"), "{told}");
    }

    #[test]
    fn what_would_not_move_is_refused() {
        let far = strike(9, 432_000);
        for to in [Later::By(Duration::ZERO), Later::Until(NOW), Later::Until(far.at.0)] {
            let failure = postponements(&[&far], to, NOW).unwrap_err();
            assert_eq!(failure.reason(), ReasonCode::InvalidManifest, "{to:?}");
            assert!(failure.message().contains("s9 at 2026-11-28T12:00:00Z"), "{}", failure.message());
        }
    }
}
