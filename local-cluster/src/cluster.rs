//! The cluster as its users see it: start it, talk to its API, stop it. It puts the parts together and decides nothing.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::Kubeconfig;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api_server::{ApiServer, ApiServerConfig, ApiServerError, Identity, ServingCertificate, TlsError};
use crate::controllers::events::Recorder;
use crate::controllers::{Caches, ControllerEnvironment, LEASE_NAMESPACE, VolumeFolders, Writer, is_status};
use crate::kubelet::{Image, Kubelet, LogFolder, NodeAgent, NodeContext, kubeconfig};
use crate::network::{AddressRange, ServiceProxy};
use crate::profile::{Dice, Profile, Timings};
use crate::supervisor::{Supervisor, SupervisorError};

/// Seed of everything that a profile draws: two clusters are slow in the same way.
const PROFILE_SEED: u64 = 20_261_123;

/// How long requests in flight may take to end when the cluster stops.
const DRAIN: Duration = Duration::from_secs(2);

/// The namespaces that every cluster has.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", LEASE_NAMESPACE];

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSpec {
    /// Name of the Node object.
    pub name: String,
    /// Value of its label `topology.kubernetes.io/zone`.
    pub zone: String,
}

/// How a cluster is set up.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The run folder: logs, volumes, kubeconfig, audit log. Must not exist yet; it is made with mode 0700 and removed at the
    /// end, also when this process is killed.
    pub dir: PathBuf,
    /// Leave the run folder in place at the end.
    pub keep_dir: bool,
    /// How fast the cluster is.
    pub profile: Profile,
    /// Where the API server listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The nodes. All of them are this machine.
    pub nodes: Vec<NodeSpec>,
    /// What the container images of pod specs stand for.
    pub images: Vec<Image>,
    /// A command that calls [`crate::supervisor::run`]: usually this very binary with a hidden subcommand.
    pub supervisor: Vec<OsString>,
}

impl ClusterConfig {
    /// Three nodes in three zones, the fast profile, a free port. `images` and `supervisor` are empty: without them no pod
    /// can run, and without a supervisor the cluster does not start.
    pub fn new(dir: PathBuf) -> Self {
        let node = |letter: &str| NodeSpec { name: format!("node-{letter}"), zone: format!("zone-{letter}") };
        Self {
            dir,
            keep_dir: false,
            profile: Profile::default(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            nodes: ["a", "b", "c"].map(node).to_vec(),
            images: Vec::new(),
            supervisor: Vec::new(),
        }
    }
}

/// Why a cluster could not start or stop.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The supervisor, the folder or the addresses could not be had.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// The API server could not be made.
    #[error(transparent)]
    ApiServer(#[from] ApiServerError),
    /// Nothing can be listened on.
    #[error("failed to listen on {address}\nhint: port 0 takes a free port")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file of the run folder could not be written.
    #[error("failed to write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The API server has no certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The first objects could not be made.
    #[error("failed to create the cluster's first objects")]
    Bootstrap(#[from] kube::Error),
    /// The kubeconfig is not what kube reads: a path that is not UTF-8, most likely.
    #[error("failed to read back the kubeconfig")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is no such node.
    #[error("failed to find node {0:?}")]
    NoSuchNode(String),
}

/// A running cluster. Dropping it without [`Cluster::stop`] ends it as well, but does not wait for it.
pub struct Cluster {
    server: ApiServer,
    supervisor: Supervisor,
    nodes: Vec<Arc<NodeAgent>>,
    kubeconfig: Kubeconfig,
    kubeconfig_path: PathBuf,
    address: SocketAddr,
    serving: JoinHandle<Result<(), ApiServerError>>,
    stop: CancellationToken,
    _stop_on_drop: tokio_util::sync::DropGuard,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Starts everything; when it returns, nodes are there and pods can be made.
    pub async fn start(config: ClusterConfig) -> Result<Self, ClusterError> {
        let (supervisor, range) = Supervisor::start(&config.supervisor, &config.dir, config.keep_dir).await?;
        match Self::start_parts(&config, &supervisor, range).await {
            Ok(cluster) => Ok(cluster),
            Err(error) => {
                supervisor.stop().await;
                Err(error)
            }
        }
    }

    async fn start_parts(
        config: &ClusterConfig,
        supervisor: &Supervisor,
        range: AddressRange,
    ) -> Result<Self, ClusterError> {
        let admin_token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let server = ApiServer::new(ApiServerConfig {
            audit_log: Some(config.dir.join("audit.jsonl")),
            admin_token: admin_token.clone(),
            service_ips: Some(Arc::new(range.services())),
            ..ApiServerConfig::default()
        })?;
        let listener = listen(config.listen).await?;
        let address =
            listener.local_addr().map_err(|source| ClusterError::Listen { address: config.listen, source })?;
        let certificate = ServingCertificate::for_address(address.ip())?;
        let authority = config.dir.join("ca.crt");
        write_secret(&authority, certificate.ca_pem())?;
        let at = kubeconfig::Server { url: format!("https://{address}"), authority };
        let kubeconfig_path = config.dir.join("kubeconfig");
        let text = kubeconfig::text(&at, &admin_token, "admin", "default");
        write_secret(&kubeconfig_path, &text)?;

        let stop = CancellationToken::new();
        let parts = Parts { config, server: &server, supervisor, range, at, stop: stop.clone() };
        let nodes = parts.start().await?;
        let serving = tokio::spawn({
            let (server, stop) = (server.clone(), stop.clone());
            async move { server.serve_tls(listener, &certificate, stop.cancelled_owned()).await }
        });
        // A supervisor that is gone has taken every pod along: the cluster is no more.
        tokio::spawn({
            let (supervisor, stop) = (supervisor.clone(), stop.clone());
            async move {
                supervisor.ended().await;
                if !stop.is_cancelled() {
                    tracing::error!("the supervisor of the pods ended; the cluster stops");
                }
                stop.cancel();
            }
        });
        Ok(Self {
            server,
            supervisor: supervisor.clone(),
            nodes,
            kubeconfig: Kubeconfig::from_yaml(&text)?,
            kubeconfig_path,
            address,
            serving,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// What a client needs to reach this cluster as administrator.
    pub fn kubeconfig(&self) -> Kubeconfig {
        self.kubeconfig.clone()
    }

    /// The same as a file with mode 0600, for `KUBECONFIG`.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig_path
    }

    /// A client of the administrator, in this process.
    pub fn client(&self) -> Client {
        self.server.client(Identity::admin())
    }

    /// The API server itself, for clients of other identities.
    pub const fn api_server(&self) -> &ApiServer {
        &self.server
    }

    /// Where the API server listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when the cluster has ended by itself: its supervisor was killed.
    pub async fn ended(&self) {
        self.stop.cancelled().await;
    }

    /// Makes the kubelet of a node fall silent, as if it had died: the node becomes NotReady, its containers run on.
    pub fn silence_node(&self, name: &str) -> Result<(), ClusterError> {
        self.node(name).map(|node| node.set_silent(true))
    }

    /// Lets a silent kubelet be heard again.
    pub fn revive_node(&self, name: &str) -> Result<(), ClusterError> {
        self.node(name).map(|node| node.set_silent(false))
    }

    fn node(&self, name: &str) -> Result<&Arc<NodeAgent>, ClusterError> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| ClusterError::NoSuchNode(name.to_owned()))
    }

    /// Stops everything; when it returns, no process, port or folder is left.
    pub async fn stop(self) -> Result<(), ClusterError> {
        self.stop.cancel();
        self.supervisor.stop().await;
        // Clients that keep a connection open do not keep the cluster.
        match tokio::time::timeout(DRAIN, self.serving).await {
            Ok(Ok(result)) => Ok(result?),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ClusterError> {
    TcpListener::bind(address).await.map_err(|source| ClusterError::Listen { address, source })
}

fn write_secret(path: &Path, text: &str) -> Result<(), ClusterError> {
    use std::io::Write;
    let file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| ClusterError::File { path: path.to_owned(), source })
}

/// What the parts are made from.
struct Parts<'a> {
    config: &'a ClusterConfig,
    server: &'a ApiServer,
    supervisor: &'a Supervisor,
    range: AddressRange,
    at: kubeconfig::Server,
    stop: CancellationToken,
}

impl Parts<'_> {
    /// Controllers subscribe first, then the caches fill, then the nodes appear.
    async fn start(&self) -> Result<Vec<Arc<NodeAgent>>, ClusterError> {
        let timings = self.config.profile.timings();
        let dice = Dice::new(PROFILE_SEED);
        let caches = Caches::default();
        let volume_folders = VolumeFolders { root: self.config.dir.join("volumes") };
        let logs = LogFolder::new(self.config.dir.join("logs"), caches.pods.clone());
        self.server.set_log_source(Arc::new(logs.clone()));
        self.create_namespaces().await?;
        self.start_controllers(&caches, &timings, &volume_folders);
        self.start_proxy(&caches, &timings, &dice);
        let nodes = self.nodes();
        let kubelet = Kubelet {
            pods: Writer::namespaced(self.client("system:node-agent"), caches.pods.clone()),
            caches: caches.clone(),
            supervisor: self.supervisor.clone(),
            addresses: self.range.pods(),
            images: self.config.images.clone(),
            timings: timings.clone(),
            dice,
            folder: self.config.dir.clone(),
            volume_folders,
            logs,
            server: self.at.clone(),
            issue_token: {
                let server = self.server.clone();
                Arc::new(move |namespace, account| server.issue_token(namespace, account))
            },
            nodes: nodes.clone(),
        };
        Arc::new(kubelet).start();
        caches.start(&self.client("system:kube-controller-manager"), &self.stop);
        self.start_nodes(&nodes, &caches, &timings).await?;
        caches.synced().await;
        Ok(nodes)
    }

    /// Every part acts under the name of its namesake, so that the audit log reads as a real one.
    fn client(&self, user: &str) -> Client {
        self.server.client(Identity::user(user, &["system:masters"]))
    }

    async fn create_namespaces(&self) -> Result<(), ClusterError> {
        let api: Api<Namespace> = Api::all(self.client("system:apiserver"));
        for name in NAMESPACES {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            match api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await {
                Err(error) if !is_status(&error, 409) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn start_controllers(&self, caches: &Caches, timings: &Timings, volume_folders: &VolumeFolders) {
        let server = self.server.clone();
        let client_for = move |controller: &str| {
            let user = match controller {
                "default-scheduler" => "system:kube-scheduler".to_owned(),
                name => format!("system:serviceaccount:kube-system:{name}"),
            };
            server.client(Identity::user(&user, &["system:masters"]))
        };
        crate::controllers::start(&ControllerEnvironment {
            caches: caches.clone(),
            client_for: Arc::new(client_for),
            volume_folders: volume_folders.clone(),
            node_timings: timings.node,
            stop: self.stop.clone(),
        });
    }

    fn start_proxy(&self, caches: &Caches, timings: &Timings, dice: &Dice) {
        let proxy = ServiceProxy {
            caches: caches.clone(),
            timings: timings.clone(),
            dice: dice.clone(),
            recorder: Recorder::start(self.client("system:kube-proxy"), "kube-proxy", None),
        };
        proxy.start(self.stop.clone());
    }

    fn nodes(&self) -> Vec<Arc<NodeAgent>> {
        let agent = |(index, spec): (usize, &NodeSpec)| {
            let client = self.client(&format!("system:node:{}", spec.name));
            let recorder = Recorder::start(client, "kubelet", Some(&spec.name));
            Arc::new(NodeAgent::new(spec.name.clone(), spec.zone.clone(), self.range.node(index), recorder))
        };
        self.config.nodes.iter().enumerate().map(agent).collect()
    }

    async fn start_nodes(
        &self,
        nodes: &[Arc<NodeAgent>],
        caches: &Caches,
        timings: &Timings,
    ) -> Result<(), ClusterError> {
        for node in nodes {
            let context = NodeContext {
                client: self.client(&format!("system:node:{}", node.name)),
                caches: caches.clone(),
                timings: timings.node,
                stop: self.stop.clone(),
            };
            node.register(&context).await?;
            tokio::spawn(Arc::clone(node).heartbeat(Arc::new(context)));
        }
        Ok(())
    }
}
