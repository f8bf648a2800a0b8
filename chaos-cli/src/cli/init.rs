//! Flags of `chaos init`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// What is to be killed: deployment/NAME or statefulset/NAME
    #[arg(value_name = "KIND/NAME", value_parser = parse_workload)]
    pub(crate) workload: (WorkloadKind, String),
    /// The Service that requests are sent to [default: the one that selects the pods]
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Name or number of its port [default: the only one, `http`, or that of the readiness probe]
    #[arg(long)]
    pub(crate) port: Option<String>,
    /// What is asked for [default: the path of the readiness probe]
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// Write to this file, which must not exist, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Kinds of workloads that an experiment can be drafted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkloadKind {
    Deployment,
    StatefulSet,
}

/// As kubectl would be told.
fn parse_workload(text: &str) -> Result<(WorkloadKind, String), String> {
    let (kind, name) = text.split_once('/').ok_or("write KIND/NAME, such as deployment/gateway")?;
    let kind = match kind.to_ascii_lowercase().trim_end_matches(".apps") {
        "deployment" | "deployments" | "deploy" => WorkloadKind::Deployment,
        "statefulset" | "statefulsets" | "sts" => WorkloadKind::StatefulSet,
        other => return Err(format!("{other:?} is not deployment or statefulset")),
    };
    if name.is_empty() || name.contains('/') {
        Err("the name is missing".to_owned())
    } else {
        Ok((kind, name.to_owned()))
    }
}
