//! Flags of `chaos operator`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::{Args, ValueEnum};

/// Flags of `chaos operator`.
#[derive(Debug, Clone, Args)]
pub struct OperatorArgs {
    /// Work on the `ChaosMonkeys` of this namespace only (absent: of all)
    #[arg(long, value_name = "NAMESPACE")]
    watch_namespace: Option<String>,
    /// The operator's own namespace: it carries the environment label, and is never a target
    #[arg(long, env = "POD_NAMESPACE", default_value = chaos_core::api::switch::NAMESPACE, value_name = "NAMESPACE")]
    operator_namespace: String,
    /// Address for health and metrics, the only listener (absent: port 8080 of `POD_IP`, or of the loopback interface)
    #[arg(long, env = "CHAOS_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of the pod, from the downward API
    #[arg(long, env = "POD_IP", hide = true)]
    pod_ip: Option<IpAddr>,
    /// Name of the pod, from the downward API: the identity in leader election and Events
    #[arg(long, env = "POD_NAME", hide = true)]
    pod_name: Option<String>,
    /// Work without leader election (two such operators are harmless, but work twice)
    #[arg(long)]
    no_leader_election: bool,
    /// How logs are written to stderr; `RUST_LOG` filters them
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[arg(skip = format!("chaos-operator-{}", uuid::Uuid::new_v4().simple()))]
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
    const PORT: u16 = 8080;

    pub(crate) fn watched_namespace(&self) -> Option<&str> {
        self.watch_namespace.as_deref()
    }

    pub(crate) fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }

    pub(crate) const fn leader_election(&self) -> bool {
        !self.no_leader_election
    }

    pub(crate) fn listen_address(&self) -> SocketAddr {
        let ip = self.pod_ip.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.listen.unwrap_or_else(|| SocketAddr::new(ip, Self::PORT))
    }

    /// A restarted container is the same pod, and the process before it is gone: it may take its own Lease over at once.
    pub(crate) fn identity(&self) -> &str {
        self.pod_name.as_deref().unwrap_or(&self.fallback_identity)
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
