//! Flags of `chaos operator` and `chaos prober`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use chaos_core::killer::Caps;
use chaos_engine::sources::{Sources, SourcesError};
use clap::{Args, ValueEnum};

/// Flags of `chaos operator`.
#[derive(Debug, Clone, Args)]
pub struct OperatorArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// The operator's own namespace: it carries the environment label, and is never a target
    #[arg(long, env = "POD_NAMESPACE", default_value = chaos_core::api::switch::NAMESPACE, value_name = "NAMESPACE")]
    operator_namespace: String,
    /// Pods that all ChaosMonkeys together may kill a day (UTC); absent: each has its own limits alone. Runs count for neither cap
    #[arg(long, env = "CHAOS_MAX_KILLS_PER_DAY", value_name = "PODS", value_parser = clap::value_parser!(u32).range(1..))]
    max_kills_per_day: Option<u32>,
    /// Pods that all ChaosMonkeys together may have killed at once: those that are not back yet
    #[arg(long, env = "CHAOS_MAX_AT_ONCE", value_name = "PODS", value_parser = clap::value_parser!(u32).range(1..))]
    max_at_once: Option<u32>,
    /// Work without leader election, as a single operator (two such harm nothing, but take runs from each other)
    #[arg(long)]
    no_leader_election: bool,
}

/// Flags of `chaos prober`.
#[derive(Debug, Clone, Args)]
pub struct ProberArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Runs that are measured at once at most; others wait
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
}

/// Flags of every process that serves inside a cluster.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommonArgs {
    /// Work on the objects of this namespace only (absent: of all)
    #[arg(long, value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// Address for health and metrics, the only listener (absent: port 8080 of `POD_IP`, or of the loopback interface)
    #[arg(long, env = "CHAOS_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of the pod, from the downward API
    #[arg(long, env = "POD_IP", hide = true)]
    pod_ip: Option<IpAddr>,
    /// Name of the pod, from the downward API: the identity in leader election, Events and evidence
    #[arg(long, env = "POD_NAME", hide = true)]
    pod_name: Option<String>,
    /// How logs are written to stderr; `RUST_LOG` filters them
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// File that names the metrics sources that may be asked, and by whom (absent, or no such file: none)
    #[arg(long, env = "CHAOS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(skip = uuid::Uuid::new_v4().simple().to_string())]
    fallback_identity: String,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl OperatorArgs {
    pub(crate) const fn common(&self) -> &CommonArgs {
        &self.common
    }

    pub(crate) fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }

    /// What all monkeys together are held to.
    pub(crate) const fn caps(&self) -> Caps {
        Caps { kills_per_day: self.max_kills_per_day, at_once: self.max_at_once }
    }

    pub(crate) const fn leader_election(&self) -> bool {
        !self.no_leader_election
    }

    /// A restarted container is the same pod, and the process before it is gone: it may take its own Lease over at once.
    pub(crate) fn identity(&self) -> String {
        self.common.identity("chaos-operator")
    }
}

impl ProberArgs {
    pub(crate) const fn common(&self) -> &CommonArgs {
        &self.common
    }

    pub(crate) fn runs(&self) -> usize {
        usize::from(self.runs)
    }

    pub(crate) fn identity(&self) -> String {
        self.common.identity("chaos-prober")
    }
}

impl CommonArgs {
    const PORT: u16 = 8080;

    /// The sources that the configuration names.
    pub(crate) fn sources(&self) -> Result<Sources, SourcesError> {
        self.config.as_deref().map(Sources::read).transpose().map(Option::unwrap_or_default)
    }

    pub(crate) fn watched_namespace(&self) -> Option<&str> {
        self.watch_namespace.as_deref()
    }

    pub(crate) fn listen_address(&self) -> SocketAddr {
        let ip = self.pod_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.listen.unwrap_or_else(|| SocketAddr::new(ip, Self::PORT))
    }

    fn identity(&self, program: &str) -> String {
        self.pod_name.clone().unwrap_or_else(|| format!("{program}-{}", self.fallback_identity))
    }

    /// Starts logging to stderr, unless the program around us already logs.
    pub(crate) fn init_logs(&self) {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,kube_client=error,kube_runtime=warn"));
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false);
        // An error means that there is a subscriber: that one is the user's choice.
        let _ = match self.log_format {
            LogFormat::Text => builder.try_init(),
            LogFormat::Json => builder.json().try_init(),
        };
    }
}
