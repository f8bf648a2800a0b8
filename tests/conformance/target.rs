//! The cluster that the cases run on: an existing one, or the embedded one started for the purpose.

use std::path::Path;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use local_cluster::{Cluster, ClusterConfig};

use crate::runner::Connection;

/// A cluster with an administrator's configuration.
pub(crate) enum Target {
    /// What `CHAOS_TEST_KUBECONFIG` names.
    Existing(Config),
    /// Started here; the folder goes with it.
    Embedded { cluster: Cluster, config: Config, _folder: tempfile::TempDir },
}

impl Target {
    /// Connects to the cluster of `CHAOS_TEST_KUBECONFIG`, or starts the embedded one.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        // Another test of this process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if let Some(path) = std::env::var_os("CHAOS_TEST_KUBECONFIG") {
            return Ok(Self::Existing(config(Kubeconfig::read_from(Path::new(&path))?).await?));
        }
        let folder = tempfile::tempdir()?;
        let cluster = Cluster::start(ClusterConfig {
            supervisor: vec![env!("CARGO_BIN_EXE_chaos-under-test").into(), "__supervise".into()],
            ..ClusterConfig::new(folder.path().join("cluster"))
        })
        .await?;
        Ok(Self::Embedded { config: config(cluster.kubeconfig()).await?, cluster, _folder: folder })
    }

    /// All ways to its API server.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        match self {
            Self::Existing(config) => vec![Connection::Tcp(config.clone())],
            Self::Embedded { cluster, config, .. } => {
                vec![Connection::Tcp(config.clone()), Connection::InProcess(cluster.api_server().clone())]
            }
        }
    }

    /// The minor version of Kubernetes that its API server says it is: 36 for 1.36.
    pub(crate) async fn minor(&self) -> anyhow::Result<u32> {
        let (Self::Existing(config) | Self::Embedded { config, .. }) = self;
        let said = Client::try_from(config.clone())?.apiserver_version().await?.minor;
        // Managed clusters say `36+`.
        let digits = said.trim_end_matches('+');
        digits.parse::<u32>().with_context(|| format!("the API server says that its minor version is {said:?}"))
    }

    /// Whether this is the embedded cluster.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded { .. })
    }

    /// Stops what was started.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Self::Embedded { cluster, .. } = self {
            cluster.stop().await?;
        }
        Ok(())
    }
}

async fn config(kubeconfig: Kubeconfig) -> anyhow::Result<Config> {
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}
