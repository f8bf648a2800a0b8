//! Arguments of `install` and `uninstall`.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// Print the manifests instead
    #[arg(long)]
    pub(crate) print: bool,
    /// The environment that this cluster is: manifests may ask for it (`target.environment`)
    #[arg(long, value_name = "NAME")]
    pub(crate) environment: Option<String>,
    /// The operator's image
    #[arg(long, value_name = "IMAGE", default_value = chaos_operator::manifests::IMAGE)]
    pub(crate) image: String,
    /// How many operators, one of which works
    #[arg(long, value_name = "N", default_value_t = chaos_operator::manifests::REPLICAS,
        value_parser = clap::value_parser!(u32).range(1..=5))]
    pub(crate) replicas: u32,
    /// Work on this namespace only, with rights in no other but the operator's own (absent: on the whole cluster)
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) watch_namespace: Option<String>,
    /// Let the operator delete pods past their disruption budgets, where a manifest asks for it (`mode: Delete`); once granted,
    /// it stays so until `uninstall`
    #[arg(long)]
    pub(crate) delete_mode: bool,
    /// Wait this long until the operator is ready; 0s does not wait
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    pub(crate) wait: std::time::Duration,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// Print the manifests of what would be removed instead
    #[arg(long)]
    pub(crate) print: bool,
    /// Leave the CRDs, and with them every object of theirs
    #[arg(long)]
    pub(crate) keep_crds: bool,
    /// The namespace that the installation works on, if it is for one only: what `--print` prints has its roles there then. Without
    /// `--print` they are found by their label
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) watch_namespace: Option<String>,
}
