//! `chaos plan`: what a run would do and whether it could prove its hypothesis. Touches nothing.

use std::time::Duration;

use anyhow::Context as _;
use chaos_core::model::Policy;
use chaos_core::plan::{Plan, PlanRequest, plan as work_out};
use chaos_engine::kube::Clients;
use chaos_engine::run::{Surroundings, read_population};
use comfy_table::{Table, presets};

use crate::cli::{Format, Global, PlanArgs};
use crate::context::Target;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn plan(global: &Global, args: PlanArgs) -> Result<Exit, Failure> {
    let mut experiments = Vec::new();
    for file in &args.files {
        let (source, text) = super::validate::read(file)?;
        experiments.extend(super::validate::experiments(&source, &text)?);
    }
    let target = Target::connect(global, Duration::from_secs(10)).await?;
    let clients = Clients::new(target.config.clone(), "chaos").map_err(Failure::could_not_run)?;
    let mut refused = false;
    for experiment in &experiments {
        let population = read_population(&clients, &Surroundings::default(), experiment).await;
        let population = population.map_err(Failure::could_not_run)?;
        let request = PlanRequest {
            experiment,
            policy: &Policy::cli(experiment.namespace.clone()),
            population: &population,
            seed: args.seed.or(experiment.seed).unwrap_or_default(),
            now: population.taken_at,
        };
        let plan = work_out(&request);
        refused |= plan.is_refused();
        match args.format {
            Format::Table => output::data(&table(&plan)),
            format => {
                output::data(&structured(&serde_json::to_value(&plan).context("failed to write the plan")?, format)?);
            }
        }
    }
    Ok(if refused { Exit::INVALID_INPUT } else { Exit::OK })
}

/// A value as JSON or YAML.
pub(super) fn structured(value: &serde_json::Value, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Yaml => serde_yaml::to_string(value).context("failed to write YAML")?,
        Format::Json | Format::Table => format!("{value:#}\n"),
    })
}

fn table(plan: &Plan) -> String {
    let parts = [
        format!(
            "{}\n{}/{}, seed {}, plan {}",
            plan.hypothesis,
            plan.namespace,
            plan.experiment,
            plan.seed,
            &plan.digest[..12]
        ),
        candidates(plan),
        exclusions(plan),
        strikes(plan),
        claims(plan),
        objections(plan),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{}\n", parts.join("\n\n"))
}

fn columns(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

fn candidates(plan: &Plan) -> String {
    let mut table = columns(&["MAY BE KILLED", "WORKLOAD", "GROUP", "NODE"]);
    for pod in &plan.candidates {
        table.add_row([&pod.pod, &pod.workload, &pod.group, pod.node.as_deref().unwrap_or("-")]);
    }
    format!("{table}\n{} candidates in {} groups", plan.candidates.len(), plan.groups.len())
}

fn exclusions(plan: &Plan) -> String {
    if plan.excluded.is_empty() {
        return String::new();
    }
    let mut table = columns(&["MAY NOT", "REASON", "FACTS"]);
    for pod in &plan.excluded {
        table.add_row([&pod.pod, &pod.reason, &pod.message]);
    }
    table.to_string()
}

fn strikes(plan: &Plan) -> String {
    let first: Vec<String> =
        plan.strikes.iter().take(5).map(|strike| format!("{:.1} s", strike.after_seconds)).collect();
    let last = plan.strikes.last().map_or(0.0, |strike| strike.after_seconds);
    format!(
        "{} of {} strikes fit into the fault phase (least: {}); the first at {}, the last at {last:.1} s",
        plan.strikes.len(),
        plan.strikes_target,
        plan.strikes_min,
        first.join(", ")
    )
}

fn claims(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for claim in &plan.claims {
        let needed = claim.kills_needed.map_or("none".to_owned(), |kills| kills.to_string());
        lines.push(format!("{}: {}\n  a pass proves: {}", claim.probe, claim.promise, claim.proves));
        lines.push(format!("  exposed kills needed if none goes wrong: {needed}; planned: {}", claim.kills_planned));
        if let Some(slack) = claim.slack {
            lines.push(format!("  the planned kills still pass with {slack} lost"));
        }
        let power: Vec<String> = claim.power.iter().map(power).collect();
        if !power.is_empty() {
            lines.push(format!("  probability of a pass: {}", power.join(", ")));
        }
    }
    lines.join("\n")
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
