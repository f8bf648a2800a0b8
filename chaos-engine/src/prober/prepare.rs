//! Before anything is measured: what this run may ask, with the prober's own eyes. It believes nothing that the operator could
//! have missed: the manifest is validated again, and every namespace is asked again.

use chaos_core::api::{Experiment, ExperimentRun};
use chaos_core::model::{ProbeKind, PrometheusSource, Run};
use chaos_core::operated::{Unfit, not_allowed};
use chaos_core::validate::{self, probed_namespaces};
use kube::{Api, ResourceExt as _};

use super::ProberDesk;
use super::agreed::agrees;
use crate::kube::{is_of_a_moment, is_turned_away, told};
use crate::probe::preflight::{Plans, PreflightError, Reach, Services};

/// The run as it is meant, as long as it is what the operator resolved.
pub(super) async fn resolve(desk: &ProberDesk, object: &ExperimentRun) -> Result<Run, Unfit> {
    let namespace = object.namespace().unwrap_or_default();
    let named = match &object.spec.experiment_ref {
        Some(reference) => {
            let experiments: Api<Experiment> = Api::namespaced(desk.clients.read.clone(), &namespace);
            let failed = |error: kube::Error| unread(&error, &format!("Experiment {namespace}/{}", reference.name));
            Some(experiments.get(&reference.name).await.map_err(failed)?.spec)
        }
        None => None,
    };
    let run = validate::run(object, named.as_ref())
        .map_err(|problems| Unfit::invalid(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    let resolved = object.status.as_ref().and_then(|status| status.resolved.as_ref());
    if resolved.is_none_or(|resolved| resolved.experiment_digest != run.digest) {
        return Err(Unfit::invalid("the experiment is not the one that was resolved; hint: create another run"));
    }
    Ok(run)
}

/// The plan of every probe, each with an address that may be asked.
pub(super) async fn plans(desk: &ProberDesk, run: &Run) -> Result<Plans, Unfit> {
    for namespace in probed_namespaces(&run.experiment) {
        let failed = |error: kube::Error| unread(&error, &format!("namespace {namespace}"));
        if !agrees(&desk.clients.read, &namespace, &run.namespace).await.map_err(failed)? {
            return Err(not_allowed(&namespace, &run.namespace));
        }
    }
    for probe in &run.experiment.probes {
        if let ProbeKind::Prometheus(query) = &probe.kind
            && let PrometheusSource::Named(name) = &query.source
            && desk.sources.prometheus(name, &run.namespace).is_none()
        {
            return Err(Unfit::refused(format!(
                "probe {}: specs of {} may not ask a Prometheus source {name:?}; hint: the prober's configuration names those",
                probe.name, run.namespace
            )));
        }
    }
    let reach = Reach {
        client: Some(desk.clients.asking_once()),
        prometheus: desk.sources.of_namespace(&run.namespace),
        services: Services::Inside { loopback: desk.loopback },
    };
    reach.plans(&run.experiment.probes).await.map_err(|error| unprepared(&error))
}

/// Something of the cluster could not be read. Its server may be in trouble, or so young that it lets nobody read anything.
pub(super) fn unread(error: &kube::Error, what: &str) -> Unfit {
    of_api_server(Unfit::out_of_reach(format!("failed to read {what}: {}", told(error))), error)
}

fn unprepared(error: &PreflightError) -> Unfit {
    match error {
        PreflightError::Refused { .. } => Unfit::refused(error.to_string()),
        PreflightError::Service { source, .. } => of_api_server(Unfit::out_of_reach(error.to_string()), source),
        // Whoever is to be asked had the time to come up before the run was made.
        _ => Unfit::out_of_reach(error.to_string()).for_good(),
    }
}

/// What the API server has answered may pass, or it may not.
fn of_api_server(unfit: Unfit, error: &kube::Error) -> Unfit {
    if is_of_a_moment(error) || is_turned_away(error) { unfit } else { unfit.for_good() }
}

#[cfg(test)]
mod tests {
    use chaos_core::verdict::ExitCode;
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_a_server_says_of_a_moment_may_pass_and_what_it_says_of_an_object_may_not() {
        let answer = |code: u16| kube::Error::Api(Status::failure("no", "Reason").with_code(code).boxed());
        for (code, may_pass) in [(403, true), (401, true), (429, true), (503, true), (404, false)] {
            let unfit = unread(&answer(code), "namespace shop");
            assert_eq!((unfit.exit_code, unfit.may_pass()), (ExitCode::OutOfReach, may_pass), "{code}");
            let service = PreflightError::Service { service: "shop/gateway".into(), source: Box::new(answer(code)) };
            let unfit = unprepared(&service);
            assert_eq!((unfit.exit_code, unfit.may_pass()), (ExitCode::OutOfReach, may_pass), "{code}");
        }
        let away = PreflightError::OutOfReach { service: "shop/gateway".into(), tried: "none".into(), hint: "none" };
        let unfit = unprepared(&away);
        assert_eq!((unfit.exit_code, unfit.may_pass()), (ExitCode::OutOfReach, false));
    }
}
