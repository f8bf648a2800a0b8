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

/// Namespace and name of a pod as it was written: `NAME`, `NAMESPACE/NAME` as a plan shows it, or `pod/NAME` as kubectl does. A
/// namespace that is called `pod` is given by `--namespace`.
fn named<'n>(written: &'n str, namespace: Option<&'n str>) -> (Option<&'n str>, &'n str) {
    match written.split_once('/') {
        Some(("pod" | "pods", name)) => (namespace, name),
        Some((place, name)) => (Some(place), name),
        None => (namespace, written),
    }
}

fn find<'a>(population: &'a Population, written: &str, namespace: Option<&str>) -> Result<&'a PodFacts, Failure> {
    let (namespace, name) = named(written, namespace);
    let matches = |pod: &&PodFacts| pod.name == name && namespace.is_none_or(|wanted| pod.namespace == wanted);
    population.pods.iter().find(matches).ok_or_else(|| {
        let namespaces: Vec<&str> = population.namespaces.iter().map(|namespace| namespace.name.as_str()).collect();
        Failure::invalid(anyhow::anyhow!(not_found(name, namespace, &namespaces)))
    })
}

/// Why there is no such pod among those in the namespaces of the target.
fn not_found(name: &str, asked: Option<&str>, namespaces: &[&str]) -> String {
    let looked = namespaces.join(", ");
    let Some(first) = namespaces.first() else {
        return format!("no pod {name} in the namespaces of the target (none: no such namespace)");
    };
    if let Some(asked) = asked.filter(|asked| !namespaces.contains(asked)) {
        return format!("namespace {asked} is none of those of the target ({looked}): no pod of it is meant");
    }
    let place = asked.unwrap_or(first);
    format!("no pod {name} in the namespaces of the target ({looked}); hint: kubectl get pods -n {place}")
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
        format!("{}\n\n{name} {end}\n", table.trim_fmt())
    };
    output::data(&output::rendered(&value, format, text)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_named_as_plans_and_kubectl_name_it() {
        assert_eq!(named("cart-1", None), (None, "cart-1"));
        assert_eq!(named("cart-1", Some("shop")), (Some("shop"), "cart-1"));
        assert_eq!(named("shop/cart-1", None), (Some("shop"), "cart-1"));
        assert_eq!(named("pod/cart-1", Some("shop")), (Some("shop"), "cart-1"));
        assert_eq!(named("pods/cart-1", None), (None, "cart-1"));
    }

    #[test]
    fn a_pod_that_is_not_found_is_told_with_where_it_was_looked_for() {
        let told = not_found("cart", None, &["shop", "till"]);
        assert_eq!(told, "no pod cart in the namespaces of the target (shop, till); hint: kubectl get pods -n shop");
        assert!(not_found("cart", Some("till"), &["shop", "till"]).ends_with("kubectl get pods -n till"));
        let elsewhere = not_found("cart", Some("default"), &["shop"]);
        assert_eq!(elsewhere, "namespace default is none of those of the target (shop): no pod of it is meant");
        assert!(not_found("cart", None, &[]).ends_with("(none: no such namespace)"));
    }
}
