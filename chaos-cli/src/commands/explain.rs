//! `chaos explain POD`: for each filter, label, window, limit and permission whether it lets this pod be killed, and why.
//! The rows are those by which the kill itself is decided.

use anyhow::Context as _;
use chaos_core::check::Row;
use chaos_core::killer::{Scope, Streams, calendar, explain_group};
use chaos_core::limits::{self, KillRequest, KillsDone, WorkloadBudget};
use chaos_core::model::{Fault, Kill, Limits, Policy, Schedule, Target as PodTarget};
use chaos_core::population::{PodFacts, Population};
use chaos_core::validate::Manifest;
use chaos_core::{api, eligible, plan};
use chaos_engine::kube::{BudgetStore, Caller, Clients, Environment, PopulationReader};

use crate::cli::{ExplainArgs, Format, Global};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::permissions::Subject;
use crate::{output, permissions};

/// What a manifest says about whom and how, whatever kind it is.
struct Aim {
    target: PodTarget,
    limits: Limits,
    kill: Kill,
    streams: Streams,
    policy: Policy,
    schedule: Option<Schedule>,
    killer: Subject,
}

pub(super) async fn explain(global: &Global, args: ExplainArgs) -> Result<Exit, Failure> {
    let (source, text) = super::validate::read(&args.file)?;
    let aim = aim(&source, &text)?;
    let target = Target::connect(global, CONNECT).await?;
    let environment = Environment::LabelOf(api::switch::NAMESPACE.to_owned());
    let reader = PopulationReader::new(Caller::new(target.clients.read.clone()), &aim.target, environment);
    let population = reader.read(&Scope::Target).await.context("failed to read the cluster")?;
    let pod = find(&population, &args.pod, global.namespace.as_deref())?;
    let mut rows = decided(&aim, &population, pod, &target.clients).await?;
    let needed = plan::of_killer(aim.kill.mode, &pod.namespace);
    rows.extend(permissions::rows(&target.client, aim.killer, needed).await);
    print(pod, &rows, args.format)?;
    Ok(Exit::OK)
}

/// Eligibility, the schedule, and the limits with the workload's budget as it stands.
async fn decided(aim: &Aim, population: &Population, pod: &PodFacts, clients: &Clients) -> anyhow::Result<Vec<Row>> {
    let now = population.taken_at;
    let checks = eligible::explain(&aim.target, &aim.policy, population, now, pod);
    let mut rows: Vec<Row> = checks.into_iter().map(Row::from).collect();
    rows.push(explain_group(&aim.target, &aim.policy, (&aim.kill.group, aim.streams), population, pod));
    rows.extend(aim.schedule.as_ref().map(|schedule| window(schedule, now)));
    let budget = match &pod.workload {
        Some(workload) => {
            let store =
                BudgetStore::new(Caller::new(clients.read.clone()), Caller::new(clients.write.clone()), "explain");
            store
                .read(workload)
                .await
                .map_err(anyhow::Error::msg)
                .context("failed to read the workload's budget")?
                .budget
        }
        None => WorkloadBudget::default(),
    };
    let request = KillRequest {
        limits: &aim.limits,
        policy: &aim.policy,
        mode: aim.kill.mode,
        run: "explain",
        strike: 0,
        done: KillsDone::OfRun(0),
        victim: pod,
        companions: 0,
    };
    rows.extend(limits::explain(&request, population, &budget, now).into_iter().map(Row::from));
    Ok(rows)
}

fn window(schedule: &Schedule, now: jiff::Timestamp) -> Row {
    let open = calendar::stretch(schedule, now).active;
    let message = if open { "open now" } else { "closed now: outside its hours, or a blackout" };
    Row { name: "schedule", pass: open, reason: (!open).then_some("OutsideSchedule"), message: message.to_owned() }
}

fn aim(source: &str, text: &str) -> Result<Aim, Failure> {
    let manifests = chaos_core::validate::file(source, text).map_err(|diagnostics| {
        output::laid_out_error(&diagnostics.render(output::is_coloured()));
        Failure::invalid(anyhow::anyhow!("{source} is not valid"))
    })?;
    let first = manifests.into_iter().next().context("the file holds no manifest").map_err(Failure::invalid)?;
    Ok(match first {
        Manifest::Experiment(experiment) => Aim {
            policy: Policy::cli(experiment.namespace.clone()),
            killer: match experiment.fault {
                Fault::PodKill(_) => Subject::Ourselves,
                Fault::Monkey(_) => Subject::Operator,
            },
            streams: Streams::of(&experiment.fault),
            kill: experiment.fault.kill().clone(),
            limits: experiment.limits,
            target: experiment.target,
            schedule: None,
        },
        Manifest::Monkey(monkey) => Aim {
            policy: Policy::operator(monkey.namespace.clone(), api::switch::NAMESPACE),
            kill: monkey.kill,
            streams: Streams::PerGroup,
            limits: monkey.limits,
            target: monkey.target,
            schedule: Some(monkey.schedule),
            killer: Subject::Operator,
        },
        Manifest::Run(Some(run)) => Aim {
            policy: Policy::operator(run.namespace.clone(), api::switch::NAMESPACE),
            streams: Streams::of(&run.experiment.fault),
            kill: run.experiment.fault.kill().clone(),
            limits: run.experiment.limits,
            target: run.experiment.target,
            schedule: None,
            killer: Subject::Operator,
        },
        Manifest::Run(None) => {
            let error = anyhow::anyhow!("this run only names an Experiment; hint: give the file of that one");
            return Err(Failure::invalid(error));
        }
        Manifest::GameDay(_) => {
            let error = anyhow::anyhow!("a game day only names Experiments; hint: give the file of one of them");
            return Err(Failure::invalid(error));
        }
        Manifest::Load(_) => {
            let message =
                format!("{source} holds a LoadTest, which kills nobody; hint: give an Experiment or a ChaosMonkey");
            return Err(Failure::invalid(anyhow::anyhow!(message)));
        }
    })
}

fn find<'a>(population: &'a Population, name: &str, namespace: Option<&str>) -> Result<&'a PodFacts, Failure> {
    let (namespace, name) = name.split_once('/').map_or((namespace, name), |(namespace, name)| (Some(namespace), name));
    let matches = |pod: &&PodFacts| pod.name == name && namespace.is_none_or(|wanted| pod.namespace == wanted);
    population.pods.iter().find(matches).ok_or_else(|| {
        let namespaces: Vec<&str> = population.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
        let looked = if namespaces.is_empty() { "none: no such namespace".to_owned() } else { namespaces.join(", ") };
        Failure::invalid(anyhow::anyhow!("no pod {name} in the namespaces of the target ({looked})"))
    })
}

fn print(pod: &PodFacts, rows: &[Row], format: Format) -> anyhow::Result<()> {
    let killable = rows.iter().all(|row| row.pass);
    let name = format!("{}/{}", pod.namespace, pod.name);
    let value = serde_json::json!({"pod": name, "uid": pod.uid, "mayBeKilled": killable, "checks": rows});
    let text = || {
        let mut table = output::columns(&["", "RULE", "REASON", "FACTS"]);
        for row in rows {
            table.add_row([if row.pass { "ok" } else { "NO" }, row.name, row.reason.unwrap_or("-"), &row.message]);
        }
        let end = if killable { "may be killed" } else { "may not be killed" };
        format!("{table}\n\n{name} {end}\n")
    };
    output::data(&output::rendered(&value, format, text)?);
    Ok(())
}
