//! `chaos init`: a first experiment for a workload that is on the cluster, as a manifest to be read and changed. Reads only.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;
use chaos_core::api::{labels, switch};
use chaos_core::draft::{self, Wishes, Workload};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::cli::{Global, InitArgs, WorkloadKind};
use crate::context::{CONNECT, Target};
use crate::exit::{Exit, Failure};
use crate::{config, output};

pub(super) async fn init(global: &Global, args: &InitArgs) -> Result<Exit, Failure> {
    let target = Target::connect(global, CONNECT).await?;
    let (client, namespace) = (&target.client, target.namespace(global));
    let workload = workload(client, &namespace, args.workload.0, &args.workload.1).await?;
    let services = Api::<Service>::namespaced(client.clone(), &namespace).list(&ListParams::default()).await;
    let services = services.map_err(|error| unread(error, &format!("Services of {namespace}")))?.items;
    let wishes = Wishes { service: args.service.as_deref(), port: args.port.as_deref(), path: args.path.as_deref() };
    let entrance = workload.entrance(&services, wishes).map_err(Failure::invalid)?;
    let environment = environment(&target).await?;
    let called = args
        .file
        .as_ref()
        .map_or_else(|| format!("{}.yaml", draft::name(&workload)), |file| file.display().to_string());
    let text = draft::experiment(&workload, &entrance, environment.as_deref(), &called);
    if let Err(diagnostics) = chaos_core::validate::experiment_file(&called, &text) {
        output::laid_out_error(&diagnostics.render(output::is_coloured()));
        let error =
            anyhow::anyhow!("what was asked for makes no valid experiment; hint: see --service, --port and --path");
        return Err(Failure::invalid(error));
    }
    let own = Api::<Namespace>::all(client.clone()).get(&namespace).await;
    let own = own.map_err(|error| unread(error, &format!("namespace {namespace}")))?;
    for lack in workload.lacks(own.labels()) {
        output::warn(&lack);
    }
    match &args.file {
        Some(file) => {
            write(file, &text)?;
            output::say(&format!("{}: next, `chaos plan {}`", file.display(), file.display()));
        }
        None => output::data(&text),
    }
    Ok(Exit::OK)
}

async fn workload(client: &Client, namespace: &str, kind: WorkloadKind, name: &str) -> Result<Workload, Failure> {
    let (kind, replicas, template) = match kind {
        WorkloadKind::Deployment => {
            let found = Api::<Deployment>::namespaced(client.clone(), namespace).get(name).await;
            let found = found.map_err(|error| unread(error, &format!("Deployment {namespace}/{name}")))?;
            let spec = found.spec.unwrap_or_default();
            ("Deployment", spec.replicas, spec.template)
        }
        WorkloadKind::StatefulSet => {
            let found = Api::<StatefulSet>::namespaced(client.clone(), namespace).get(name).await;
            let found = found.map_err(|error| unread(error, &format!("StatefulSet {namespace}/{name}")))?;
            let spec = found.spec.unwrap_or_default();
            ("StatefulSet", spec.replicas, spec.template)
        }
    };
    Ok(Workload {
        kind: kind.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        // What Kubernetes makes of nothing.
        replicas: u32::try_from(replicas.unwrap_or(1)).unwrap_or_default(),
        template,
    })
}

/// What a target may ask this cluster to be: by the configuration, else by the label of the operator's namespace.
async fn environment(target: &Target) -> Result<Option<String>, Failure> {
    if let Some(known) = config::surroundings(target)?.environment {
        return Ok(Some(known));
    }
    // Who may not look there names none: the line is a comment then.
    let system = Api::<Namespace>::all(target.client.clone()).get_opt(switch::NAMESPACE).await.ok().flatten();
    Ok(system.and_then(|system| system.labels().get(labels::ENVIRONMENT).cloned()).filter(|name| !name.is_empty()))
}

/// Writes a file that is not there: nobody's experiment is overwritten.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::invalid(anyhow::anyhow!(
            "{} is there already: nothing was written; hint: give another --file",
            path.display()
        ))),
        written => Ok(written.with_context(|| format!("failed to write {}", path.display()))?),
    }
}

fn unread(error: kube::Error, what: &str) -> Failure {
    match error {
        kube::Error::Api(status) if status.code == 404 => {
            Failure::invalid(anyhow::anyhow!("there is no {what}; hint: is the namespace right? -n NAMESPACE"))
        }
        error => Failure::of_api(error, format!("failed to read {what}")),
    }
}
