//! A cluster to test on, its administrator, and the program that acts on it.

mod objects;

use std::cell::Cell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chaos_core::api::switch;
use chaos_operator::manifests::Installation;
use chaos_tests::{Chaos, Ended, Running};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, LogParams, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::given;
use crate::turn::{Turn, sharing};

/// Whatever takes longer on a busy machine hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(200);
/// The ConfigMap by which an installation is known as this suite's own to remove. It stands for as long as a test may have
/// installed something, and after one that failed.
const CLAIM: &str = "chaos-clusters-suite";
/// What every object of this suite's own outside of a namespace is labelled with.
pub(crate) const LABEL: (&str, &str) = ("chaos.dispatch.dev/test", "clusters");

/// A cluster, with everything to act on it as its administrator.
pub(crate) struct Cluster {
    chaos: Chaos,
    runtime: Runtime,
    pub(crate) client: Client,
    kubeconfig: PathBuf,
    context: String,
    audit: Option<PathBuf>,
    /// Whether the server that writes it was killed.
    is_audit_torn: Cell<bool>,
    embedded: bool,
    /// Whether others use what is installed on it meanwhile.
    is_shared: bool,
    _turn: Turn,
}

impl Cluster {
    /// The named cluster, or a new embedded one. Nothing of this toolkit is installed on it.
    pub(crate) fn start() -> Self {
        let turn = if given::kubeconfig().is_some() { Turn::alone() } else { Turn::shared() };
        let cluster = Self::connect(turn, false);
        cluster.claim();
        cluster
    }

    /// The same with one operator and the environment `test`. On a named cluster tests that leave both as they are, and act in
    /// namespaces of their own, use them beside each other.
    pub(crate) fn installed() -> Self {
        if given::kubeconfig().is_none() {
            let cluster = Self::start();
            cluster.install();
            return cluster;
        }
        let cluster = Self::connect(Turn::shared(), true);
        let mut sharing = sharing();
        *sharing += 1;
        if *sharing == 1 {
            cluster.claim();
            cluster.install();
        }
        drop(sharing);
        cluster
    }

    /// Installs one operator and the environment `test`.
    pub(crate) fn install(&self) {
        self.install_with(&["--environment", "test", "--replicas", "1"]);
    }

    /// `chaos install` with these flags, and with the image of this suite; it must succeed.
    pub(crate) fn install_with(&self, flags: &[&str]) -> Ended {
        let image = given::image();
        let image: Vec<&str> = image.iter().flat_map(|image| ["--image", image.as_str()]).collect();
        self.chaos(&[&["install"][..], flags, image.as_slice()].concat())
    }

    fn connect(turn: Turn, is_shared: bool) -> Self {
        let named = given::kubeconfig();
        let program =
            std::env::var("CHAOS_TEST_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_chaos-under-test").into());
        let chaos = Chaos::new(&program);
        let embedded = named.is_none();
        let kubeconfig = named.unwrap_or_else(|| {
            let up = chaos.run_within(["cluster", "up"], PATIENCE);
            assert_eq!(up.code, Some(0), "{}", up.stderr);
            PathBuf::from(up.stdout.trim().strip_prefix("export KUBECONFIG=").expect("a line to eval"))
        });
        let audit =
            if embedded { kubeconfig.parent().map(|folder| folder.join("audit.jsonl")) } else { given::audit() };
        let read = Kubeconfig::read_from(&kubeconfig).unwrap();
        let context = read.current_context.clone().expect("a current context");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async {
            Client::try_from(Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap())
                .unwrap()
        });
        Self {
            chaos,
            runtime,
            client,
            kubeconfig,
            context,
            audit,
            is_audit_torn: Cell::new(false),
            embedded,
            is_shared,
            _turn: turn,
        }
    }

    pub(crate) const fn is_embedded(&self) -> bool {
        self.embedded
    }

    /// A folder that belongs to this test.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.chaos.path(name)
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The program on this cluster, which it is allowed to break.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.chaos.command(args);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(["--context", &self.context, "--yes"]);
        command
    }

    /// An operator of this name outside of the cluster, with the rights that a kubeconfig gives it.
    pub(crate) fn operator(&self, kubeconfig: &Path, name: &str) -> std::process::Command {
        let mut command = self.chaos.command(["operator", "--listen", "127.0.0.1:0"]);
        command.env("KUBECONFIG", kubeconfig).env("POD_NAME", name);
        command
    }

    /// Starts the program on this cluster; its output goes to a file.
    pub(crate) fn begin(&self, args: &[&str]) -> Running {
        let kubeconfig = self.kubeconfig.to_str().expect("a path");
        self.chaos.start([args, &["--kubeconfig", kubeconfig, "--context", &self.context, "--yes"][..]].concat())
    }

    /// Runs the program on this cluster.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().expect("the program starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the program on this cluster; it must succeed.
    pub(crate) fn chaos(&self, args: &[&str]) -> Ended {
        let end = self.run(args);
        assert_eq!(end.code, Some(0), "chaos {args:?}:\n{}", end.stderr);
        end
    }

    /// Runs kubectl on this cluster; it must succeed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        let mut command = std::process::Command::new("kubectl");
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        let output = command.current_dir(root()).output().expect("kubectl is installed");
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "kubectl {args:?}:\n{out}{errors}");
        out.into_owned()
    }

    /// Runs this to its end.
    pub(crate) fn block<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Does this beside whatever else is done, until it is aborted.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime.spawn(work)
    }

    /// Whether it can be read what the API server was asked for.
    pub(crate) const fn has_audit(&self) -> bool {
        self.audit.is_some()
    }

    /// From now on its audit log may lack a line: the server that writes it is killed.
    pub(crate) fn tear_audit(&self) {
        self.is_audit_torn.set(true);
    }

    pub(crate) fn has_torn_audit(&self) -> bool {
        self.is_audit_torn.get()
    }

    /// The lines of the audit log.
    pub(crate) fn audit(&self) -> Vec<Value> {
        self.audit_with("")
    }

    /// Those with this text in them. To read all others as well takes seconds where the cluster is older than the test.
    fn audit_with(&self, text_in_it: &str) -> Vec<Value> {
        let path = self.audit.as_ref().expect("CHAOS_TEST_AUDIT names the audit log");
        let text = std::fs::read_to_string(path).unwrap();
        // The last line may be half written.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let wanted = complete.lines().filter(|line| line.contains(text_in_it));
        wanted.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines about objects of a namespace.
    pub(crate) fn audit_of(&self, namespace: &str) -> Vec<Value> {
        let mut lines = self.audit_with(namespace);
        lines.retain(|line| line["objectRef"]["namespace"] == namespace);
        lines
    }

    /// Looks until it holds; tells what was last found if it never does.
    pub(crate) fn eventually<T, F: Future<Output = Result<T, String>>>(&self, what: &str, check: impl Fn() -> F) -> T {
        self.within(PATIENCE, what, check)
    }

    /// The same with a deadline of its own.
    pub(crate) fn within<T, F: Future<Output = Result<T, String>>>(
        &self,
        span: Duration,
        what: &str,
        check: impl Fn() -> F,
    ) -> T {
        let deadline = Instant::now() + span;
        self.block(async {
            loop {
                match check().await {
                    Ok(found) => return found,
                    Err(found) if Instant::now() > deadline => panic!("{what} within {span:?}: never; last: {found}"),
                    Err(_) => tokio::time::sleep(LOOK).await,
                }
            }
        })
    }

    /// Removes what a test that failed has left. Refuses a cluster on which somebody else has installed the toolkit: a test would
    /// remove it, with every object of theirs.
    fn claim(&self) {
        if self.embedded {
            return;
        }
        if self.block(self.claims().get_opt(CLAIM)).unwrap().is_some() {
            return self.clean();
        }
        self.block(self.are_gone(&installed())).unwrap_or_else(|found| {
            panic!(
                "this cluster has an installation that is not this suite's to remove: {found}; hint: give it another \
                 cluster, or remove the installation yourself with `chaos uninstall`"
            )
        });
        let metadata = ObjectMeta { name: Some(CLAIM.to_owned()), ..ObjectMeta::default() };
        let claim = ConfigMap { metadata, ..ConfigMap::default() };
        drop(self.block(self.claims().create(&PostParams::default(), &claim)).unwrap());
    }

    /// Where the claim stands: in no namespace that an installation makes or takes with it.
    fn claims(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// What operator and prober said last, beside a failure: the next test takes them away. A panic here would end all tests.
    #[allow(clippy::print_stderr, reason = "the harness shows it with the test that failed")]
    fn tell_logs(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), switch::NAMESPACE);
        let params = LogParams { tail_lines: Some(60), ..LogParams::default() };
        let tell = async {
            for pod in pods.list(&ListParams::default()).await? {
                let name = pod.name_any();
                match pods.logs(&name, &params).await {
                    Ok(log) => eprintln!("the end of the log of {name}:\n{log}"),
                    Err(error) => eprintln!("no log of {name}: {error}"),
                }
            }
            Ok::<(), kube::Error>(())
        };
        match self.block(async { tokio::time::timeout(Duration::from_secs(30), tell).await }) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("no logs of operator and prober: {error}"),
            Err(_) => eprintln!("no logs of operator and prober in time"),
        }
    }

    /// Removes what a test may have left.
    fn clean(&self) {
        self.chaos(&["uninstall"]);
        let ours = ListParams::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
        let removed = self.block(async {
            let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
            bindings.delete_collection(&DeleteParams::background(), &ours).await.map(drop)?;
            let roles: Api<ClusterRole> = Api::all(self.client.clone());
            roles.delete_collection(&DeleteParams::background(), &ours).await.map(drop)
        });
        removed.unwrap();
        let installed = installed();
        self.eventually("nothing is installed", || self.are_gone(&installed));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.embedded {
            let down = self.chaos.run_within(["cluster", "down"], PATIENCE);
            if !std::thread::panicking() {
                assert_eq!(down.code, Some(0), "{}", down.stderr);
                self.chaos.expect_nothing_left(Duration::from_secs(5));
            }
            return;
        }
        // Held to the end: whoever comes next installs anew, and not before this is done.
        let mut sharing = sharing();
        *sharing -= u32::from(self.is_shared);
        if std::thread::panicking() {
            self.tell_logs();
        } else if *sharing == 0 {
            self.clean();
            drop(self.block(self.claims().delete(CLAIM, &DeleteParams::default())).unwrap());
        }
    }
}

/// What `chaos install` puts on a cluster.
fn installed() -> String {
    [chaos_core::schema::crds_yaml(), manifests()].join("---\n")
}

/// What `chaos install` puts on a cluster besides the CRDs.
pub(crate) fn manifests() -> String {
    whole(&Installation::default())
}

/// The same for an installation made to measure.
pub(crate) fn whole(installation: &Installation<'_>) -> String {
    let files = chaos_operator::manifests::for_cluster(installation);
    files.into_iter().map(|(_, yaml)| yaml).collect::<Vec<_>>().join("---\n")
}

pub(crate) fn documents(yaml: &str) -> Vec<DynamicObject> {
    let options = serde_yaml::options! { legacy_octal_numbers: true };
    let documents: Vec<Value> = serde_yaml::from_multiple_with_options(yaml, options).unwrap();
    documents.into_iter().filter(|document| !document.is_null()).map(|d| serde_json::from_value(d).unwrap()).collect()
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
