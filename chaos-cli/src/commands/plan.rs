//! `chaos plan`: what a run would do, whether it could prove its hypothesis, and whether it would start at all: the same is looked
//! at as before a run, and the end is that of the run for the same cause. Touches nothing.

use std::sync::Arc;

use anyhow::Context as _;
use chaos_core::model::{Experiment, NamespaceScope, Policy};
use chaos_core::plan::{ClaimPlan, Missing, OutageBound, Plan, PlanRequest, missing, plan as work_out};
use chaos_core::population::Population;
use chaos_core::verdict::ExitCode;
use chaos_core::verdict::words::counted;
use chaos_engine::run::{Unfit, prepare_on, read_population};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::cli::{Global, PlanArgs};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn plan(global: &Global, args: PlanArgs) -> Result<Exit, Failure> {
    let mut experiments = Vec::new();
    for file in &args.files {
        let (source, text) = super::validate::read(file)?;
        experiments.extend(super::validate::experiments(&source, &text)?);
    }
    let target = Target::connect(global, CONNECT).await?;
    let around = crate::config::surroundings(&target)?;
    let mut ends = Vec::new();
    for experiment in &experiments {
        let population = read_population(&target.clients, &around, experiment).await;
        let population = Arc::new(population.map_err(Failure::could_not_run)?);
        let seed = args.seed.or(experiment.seed);
        let plan = work_out(&PlanRequest {
            experiment,
            policy: &Policy::cli(experiment.namespace.clone()),
            population: &population,
            seed: seed.unwrap_or_default(),
            now: population.taken_at,
        });
        let absent = absent(&target.clients.read, experiment, &population).await;
        let (unfit, notes) = match prepare_on(&target.clients, &around, experiment, population).await {
            Ok(prepared) => (None, prepared.notes),
            Err(unfit) => (Some(unfit), Vec::new()),
        };
        let forecast = Forecast { notes, ..Forecast::of(&plan, unfit, absent) };
        let told = output::rendered(&forecast.beside(&plan)?, args.format, || table(&plan, seed, &forecast))?;
        output::data(&told);
        forecast.say();
        ends.push(forecast.end);
    }
    Ok(ExitCode::worst(ends).into())
}

/// How a run would begin.
struct Forecast {
    /// What a run that cannot start would end with.
    end: ExitCode,
    /// Why it could not, besides what the plan itself objects to.
    unfit: Option<String>,
    absent: Vec<Missing>,
    /// What could not be found out about the probes.
    notes: Vec<String>,
}

impl Forecast {
    /// In the order of a run: what its cluster forbids comes before what arithmetic rules out.
    fn of(plan: &Plan, unfit: Option<Unfit>, absent: Vec<Missing>) -> Self {
        let why = unfit.as_ref().map(beside_plan);
        let end = match unfit {
            Some(unfit) => super::run::unfit(unfit).reason().exit_code(),
            None if plan.is_refused() => ExitCode::InvalidManifest,
            None => ExitCode::Held,
        };
        Self { end, unfit: why, absent, notes: Vec::new() }
    }

    /// The plan with it, for machines.
    fn beside(&self, plan: &Plan) -> anyhow::Result<serde_json::Value> {
        let mut value = serde_json::to_value(plan).context("failed to write the plan")?;
        value["missing"] = self.absent.iter().map(ToString::to_string).collect();
        value["notes"] = self.notes.iter().map(String::as_str).collect();
        value["run"] = serde_json::json!({"exitCode": self.end.code(), "message": self.unfit});
        Ok(value)
    }

    /// Tells a person why a run would not start, and what nobody could find out.
    fn say(&self) {
        for note in &self.notes {
            output::warn(note);
        }
        if let Some(why) = &self.unfit {
            let code = self.end.code();
            output::error(
                &anyhow::anyhow!("{why}").context(format!("a run would end before it starts, exit code {code}")),
            );
        }
    }
}

/// Why a run could not start, for who has the plan before their eyes.
fn beside_plan(unfit: &Unfit) -> String {
    match unfit {
        // It hints at this very command.
        Unfit::NoneMeant(message) => message.clone(),
        other => other.to_string(),
    }
}

/// What the target names and the cluster does not have. What namespaces there are is asked only where one is missing; who may not
/// list them is told without a suggestion.
async fn absent(client: &Client, experiment: &Experiment, population: &Population) -> Vec<Missing> {
    let is_there = |name: &String| population.namespaces.iter().any(|facts| facts.name == *name);
    let known = match &experiment.target.namespaces {
        NamespaceScope::Named(names) if !names.iter().all(is_there) => {
            let listed = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await;
            listed.into_iter().flatten().map(|namespace| namespace.name_any()).collect()
        }
        _ => Vec::new(),
    };
    missing(&experiment.target, population, &known)
}

fn table(plan: &Plan, seed: Option<i64>, forecast: &Forecast) -> String {
    let seed = seed.map_or_else(
        || format!("instants with seed {}; a run draws its own seed", plan.seed),
        |seed| format!("seed {seed}"),
    );
    let parts = [
        format!("{}\n{}/{}, plan {}, {seed}", plan.hypothesis, plan.namespace, plan.experiment, &plan.digest[..12]),
        forecast.absent.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        candidates(plan),
        exclusions(plan),
        strikes(plan),
        claims(plan),
        objections(plan),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n\n"))
}

fn candidates(plan: &Plan) -> String {
    let mut table = output::columns(&["MAY BE KILLED", "WORKLOAD", "GROUP", "NODE"]);
    for pod in &plan.candidates {
        table.add_row([&pod.pod, &pod.workload, &pod.group, pod.node.as_deref().unwrap_or("-")]);
    }
    let number = |of: usize, what: &str| counted(u64::try_from(of).unwrap_or(u64::MAX), what);
    let (pods, groups) = (number(plan.candidates.len(), "candidate"), number(plan.groups.len(), "group"));
    format!("{}\n{pods} in {groups}", table.trim_fmt())
}

fn exclusions(plan: &Plan) -> String {
    if plan.excluded.is_empty() {
        return String::new();
    }
    let mut table = output::columns(&["MAY NOT", "REASON", "FACTS"]);
    for pod in &plan.excluded {
        table.add_row([&pod.pod, &pod.reason, &pod.message]);
    }
    table.trim_fmt()
}

fn strikes(plan: &Plan) -> String {
    // Without anybody to hit there are no instants to tell of, and no run whose length could be told.
    let Some(last) = plan.strikes.last().map(|strike| strike.after_seconds) else {
        return format!("none of {} strikes would happen (least: {})", plan.strikes_target, plan.strikes_min);
    };
    let first: Vec<String> =
        plan.strikes.iter().take(5).map(|strike| format!("{:.1} s", strike.after_seconds)).collect();
    format!(
        "{} of {} strikes fit into the fault phase (least: {}); the first at {}, the last at {last:.1} s\n\
         a run takes about {:.1} minutes, {:.1} at most (and the recovery of the last kill)",
        plan.strikes.len(),
        plan.strikes_target,
        plan.strikes_min,
        first.join(", "),
        plan.expected_seconds / 60.0,
        plan.longest_seconds / 60.0
    )
}

fn claims(plan: &Plan) -> String {
    plan.claims.iter().map(claim).collect::<Vec<_>>().join("\n\n")
}

fn claim(claim: &ClaimPlan) -> String {
    let needed = claim.kills_needed.map_or("none".to_owned(), |kills| kills.to_string());
    let mut lines = vec![
        format!("{}: {}\n  a pass proves: {}", claim.probe, claim.promise, claim.proves),
        format!(
            "  requests: about {} planned, {} needed; one kill may cost {:.3} on average",
            claim.requests_planned, claim.requests_needed, claim.budget_per_kill
        ),
        format!("  exposed kills needed if none goes wrong: {needed}; planned: {}", claim.kills_planned),
    ];
    lines.extend(claim.slack.map(|slack| format!("  the planned kills still pass with {slack} lost")));
    let worst = claim.worst_loss_provable.map_or_else(
        || "for no worst loss the promise itself".to_owned(),
        |worst| format!("the promise itself for a worst loss of up to {worst}"),
    );
    lines.push(format!(
        "  {} kills without loss certify {:.1} % harmless kills, and {worst}",
        claim.kills_planned,
        // Rounded down: what is printed is certified.
        (claim.harmless_share_provable * 1_000.0).floor() / 10.0
    ));
    let by_loss: Vec<String> =
        claim.kills_by_worst_loss.iter().map(|row| format!("{} for {}", row.kills, row.worst_loss)).collect();
    if !by_loss.is_empty() {
        lines.push(format!("  kills without loss that a worst loss takes: {}", by_loss.join(", ")));
    }
    let power: Vec<String> = claim.power.iter().map(power).collect();
    if !power.is_empty() {
        lines.push(format!("  probability of a pass: {}", power.join(", ")));
    }
    lines.extend(claim.by_design.as_ref().map(by_design));
    lines.extend(claim.budget_30d.map(|budget| {
        format!(
            "  budget of 30 days: {:.0} of {} requests may be bad; this run may use {:.3} % of that",
            budget.allowed,
            budget.requests,
            budget.share_of_run * 100.0
        )
    }));
    lines.join("\n")
}

fn by_design(bound: &OutageBound) -> String {
    format!(
        "  by declaration {:.4} % fail by design, {:.4} % may: (1/N)(D/T)(1-r) with N = {} ({}), D = {:.3} s, T = {:.2} s, r = {:.0} %; D \
         may be {:.3} s",
        bound.unavailability * 100.0,
        bound.allowed * 100.0,
        bound.pods,
        bound.workload,
        bound.detection_seconds,
        bound.every_seconds,
        bound.rescued * 100.0,
        bound.detection_allowed_seconds
    )
}

fn power(power: &chaos_core::plan::Power) -> String {
    format!("{:.0} % where {:.1} % of kills cost something", 100.0 * power.pass, 100.0 * power.bad_share)
}

fn objections(plan: &Plan) -> String {
    let line = |objection: &chaos_core::plan::Objection| {
        let weight = if objection.forbids { "refused" } else { "beware" };
        format!("{weight}: {} ({:?})", objection.message, objection.reason)
    };
    plan.objections.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_does_not_hint_at_itself_and_keeps_every_other_hint() {
        let none = Unfit::NoneMeant("no pod is meant".to_owned());
        assert_eq!(none.to_string(), "no pod is meant; hint: `chaos plan`");
        assert_eq!(beside_plan(&none), "no pod is meant");
        let stopped = Unfit::Refused("the stop switch says stop; hint: `chaos resume --all`".to_owned());
        assert_eq!(beside_plan(&stopped), stopped.to_string());
    }
}
