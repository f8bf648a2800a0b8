//! One pod: does what its [`PodMachine`] says, and tells it what became of it. All decisions are the machine's.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;
use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::environment::{PodContext, ProcessPlan, exec_plan, plan, service_account};
use super::exec;
use super::machine::{Effect, Index, Input, PodMachine, ProbeKind, Timer};
use super::node::NodeAgent;
use super::probe::{ProbeTask, http_get};
use super::sources::NamespaceSources;
use super::status::{Place, status};
use super::supported::refusal;
use super::volumes::{VolumeContext, make, make_folder, write_file};
use super::{Kubelet, kubeconfig};
use crate::controllers::events::Notice;
use crate::network::ServiceIpAllocator;
use crate::supervisor::{ProcessEvent, SpawnRequest};

/// Pause before a write that the API server did not take is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct PodWorker {
    kubelet: Arc<Kubelet>,
    node: Arc<NodeAgent>,
    machine: PodMachine,
    inputs: mpsc::UnboundedSender<Input>,
    place: Place,
    folder: PathBuf,
    volumes: BTreeMap<String, PathBuf>,
    kubeconfig: Option<PathBuf>,
    /// The current process of each container, by its id at the supervisor.
    processes: HashMap<Index, u64>,
    plans: HashMap<Index, ProcessPlan>,
    probes: HashMap<Index, CancellationToken>,
    finished: bool,
}

impl PodWorker {
    pub(super) fn new(
        kubelet: Arc<Kubelet>,
        node: Arc<NodeAgent>,
        pod: Arc<Pod>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        let folder = kubelet.folder.join("pods").join(pod.uid().unwrap_or_default());
        let place = Place { host: node.address, pod: None, accepted: Timestamp::now() };
        let machine = PodMachine::new(pod, kubelet.timings.back_off);
        Self {
            kubelet,
            node,
            machine,
            inputs,
            place,
            folder,
            volumes: BTreeMap::new(),
            kubeconfig: None,
            processes: HashMap::new(),
            plans: HashMap::new(),
            probes: HashMap::new(),
            finished: false,
        }
    }

    /// Runs until the pod is gone, here and in the API.
    pub(super) async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        let effects = self.machine.begin();
        self.perform(effects).await;
        while !self.finished {
            self.write_status().await;
            let Some(mut input) = inputs.recv().await else { break };
            // One status for everything that is known by now.
            loop {
                let effects = self.machine.step(input, Timestamp::now());
                self.perform(effects).await;
                match inputs.try_recv() {
                    Ok(next) => input = next,
                    Err(_) => break,
                }
            }
        }
        self.probes.values().for_each(CancellationToken::cancel);
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Prepare => self.prepare(),
                Effect::Start { index, run } => self.start(index, run),
                Effect::StartProbe { index, run, probe } => self.start_probe(index, run, probe),
                Effect::StopProbes { index } => {
                    if let Some(probes) = self.probes.remove(&index) {
                        probes.cancel();
                    }
                }
                Effect::RunPreStop { index, run } => self.run_pre_stop(index, run),
                Effect::Terminate { index } => self.signal(index, self.stop_signal(index)),
                Effect::Kill { index } => self.signal(index, Signal::SIGKILL),
                Effect::After { pause, timer } => self.after(pause, timer),
                Effect::Notice { kind, reason, message, container } => {
                    let notice = Notice { kind, ..Notice::normal(&*self.machine.pod, reason, message) };
                    let container = container.and_then(|index| self.machine.runs.get(index));
                    self.node.recorder.record(match container {
                        Some(run) => notice.for_container(&run.spec.name),
                        None => notice,
                    });
                }
                Effect::Finish { confirm } => self.finish(confirm).await,
            }
        }
    }

    // === preparation ===

    fn prepare(&mut self) {
        let outcome = match refusal(&self.machine.pod) {
            Some(message) => Input::NotPrepared { reason: "Unsupported", message, hopeless: true },
            None => match self.try_prepare() {
                Ok(()) => Input::Prepared,
                Err(message) => Input::NotPrepared { reason: "FailedMount", message, hopeless: false },
            },
        };
        self.send(outcome);
    }

    fn try_prepare(&mut self) -> Result<(), String> {
        let pod = Arc::clone(&self.machine.pod);
        let namespace = pod.namespace().unwrap_or_default();
        let caches = &self.kubelet.caches;
        let sources = NamespaceSources { caches, namespace: &namespace };
        let context = VolumeContext {
            pod: &pod,
            folder: &self.folder,
            sources: &sources,
            claim: &|name| caches.claims.get(&namespace, name),
            volume_folder: &|name| self.kubelet.volume_folders.folder(name),
            token: &|account| (self.kubelet.issue_token)(&namespace, account),
        };
        self.volumes = make(&context)?;
        make_folder(&self.folder.join("work")).map_err(|error| error.to_string())?;
        let automount = pod.spec.as_ref().and_then(|spec| spec.automount_service_account_token);
        if automount != Some(false) {
            let account = service_account(&pod);
            let token = (self.kubelet.issue_token)(&namespace, account);
            let text = kubeconfig::text(&self.kubelet.server, &token, account, &namespace);
            write_file(&self.folder, "kubeconfig", text.as_bytes()).map_err(|error| error.to_string())?;
            self.kubeconfig = Some(self.folder.join("kubeconfig"));
        }
        if self.place.pod.is_none() {
            self.place.pod = Some(self.kubelet.addresses.allocate(None).map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    // === containers ===

    fn start(&mut self, index: Index, run: u32) {
        let Some(container) = self.container(index) else { return };
        let planned = self.with_context(|context| plan(context, &container));
        let plan = match planned {
            Ok(plan) => plan,
            Err(obstacle) => {
                let reason = match (obstacle.reason, run) {
                    ("ErrImagePull", 2..) => "ImagePullBackOff",
                    (reason, _) => reason,
                };
                return self.send(Input::NotStarted { index, run, reason, message: obstacle.message });
            }
        };
        let log = self.log_path(&container, run);
        if let Some(Err(error)) = log.parent().map(make_folder) {
            return self.send(Input::NotStarted {
                index,
                run,
                reason: "CreateContainerError",
                message: error.to_string(),
            });
        }
        let image = container.image.as_deref().unwrap_or_default();
        self.notice(&container, "Pulled", format!("Container image \"{image}\" already present on machine"));
        self.notice(&container, "Created", "Container created".to_owned());
        let id = self.kubelet.supervisor.next_id();
        self.processes.insert(index, id);
        self.plans.insert(index, plan.clone());
        let request = SpawnRequest { id, argv: plan.argv, env: plan.env, directory: plan.directory, log: Some(log) };
        let (inputs, supervisor) = (self.inputs.clone(), self.kubelet.supervisor.clone());
        let listener = move |event| {
            let input = match event {
                ProcessEvent::Started { .. } => Input::Started { index, run },
                ProcessEvent::NotStarted { error } => {
                    Input::NotStarted { index, run, reason: "StartError", message: error }
                }
                ProcessEvent::Exited(exit) => Input::Exited { index, run, exit },
            };
            // A worker that is gone has no more interest.
            let _ = inputs.send(input);
        };
        let delay = self.kubelet.dice.draw(&self.kubelet.timings.container_start);
        if delay.is_zero() {
            return supervisor.spawn(request, listener);
        }
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            supervisor.spawn(request, listener);
        });
    }

    /// Logs stay apart from the pod's folder: `kubectl logs --previous` reads the run before.
    fn log_path(&self, container: &Container, run: u32) -> PathBuf {
        let pod = &self.machine.pod;
        self.kubelet.logs.file(&pod.uid().unwrap_or_default(), &container.name, run)
    }

    fn signal(&self, index: Index, signal: Signal) {
        if let Some(id) = self.processes.get(&index) {
            self.kubelet.supervisor.signal(*id, signal);
        }
    }

    /// SIGTERM, unless the container asks for another one.
    fn stop_signal(&self, index: Index) -> Signal {
        let lifecycle = self.machine.runs.get(index).and_then(|run| run.spec.lifecycle.as_ref());
        lifecycle.and_then(|lifecycle| lifecycle.stop_signal.as_deref()?.parse().ok()).unwrap_or(Signal::SIGTERM)
    }

    fn start_probe(&mut self, index: Index, run: u32, kind: ProbeKind) {
        let (Some(container), Some(address)) = (self.container(index), self.place.pod) else { return };
        let rules = match kind {
            ProbeKind::Startup => container.startup_probe.clone(),
            ProbeKind::Readiness => container.readiness_probe.clone(),
            ProbeKind::Liveness => container.liveness_probe.clone(),
        };
        let Some(rules) = rules else { return };
        let task = ProbeTask {
            kind,
            rules,
            exec: self.exec(index, &container),
            container,
            address,
            first_poll: self.kubelet.timings.first_readiness_poll,
        };
        let stop = self.probes.entry(index).or_default().clone();
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let report = |healthy, message| {
                let _ = inputs.send(Input::Probed { index, run, probe: kind, healthy, message });
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run(report) => {}
            }
        });
    }

    fn run_pre_stop(&self, index: Index, run: u32) {
        let (Some(container), Some(address)) = (self.container(index), self.place.pod) else { return };
        let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.clone()) else { return };
        let exec = self.exec(index, &container);
        let inputs = self.inputs.clone();
        let (recorder, pod) = (self.node.recorder.clone(), Arc::clone(&self.machine.pod));
        tokio::spawn(async move {
            let result = if let Some(sleep) = &hook.sleep {
                tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
                Ok(())
            } else if let Some(http) = &hook.http_get {
                http_get(address, &container, http).await
            } else if let Some(command) = &hook.exec {
                exec(command.command.clone().unwrap_or_default()).await
            } else {
                Ok(())
            };
            if let Err(message) = result {
                let message = format!("PreStopHook failed: {message}");
                recorder.record(Notice::warning(&*pod, "FailedPreStopHook", message).for_container(&container.name));
            }
            let _ = inputs.send(Input::HookDone { index, run });
        });
    }

    /// Runs commands beside the container, in its environment.
    fn exec(&self, index: Index, container: &Container) -> super::probe::Exec {
        let supervisor = self.kubelet.supervisor.clone();
        let plan = self.plans.get(&index).cloned();
        let commands = [&container.startup_probe, &container.readiness_probe, &container.liveness_probe];
        let in_probes = commands.into_iter().flatten().filter_map(|probe| probe.exec.as_ref());
        let in_hook = container.lifecycle.iter().filter_map(|lifecycle| lifecycle.pre_stop.as_ref()?.exec.as_ref());
        let commands: Vec<Vec<String>> = in_probes.chain(in_hook).filter_map(|exec| exec.command.clone()).collect();
        // Mounts are rewritten now: the plan of a command needs the pod, the command itself does not.
        let planned: HashMap<Vec<String>, ProcessPlan> = commands
            .into_iter()
            .filter_map(|command| {
                let plan = self.with_context(|context| exec_plan(plan.as_ref()?, context, container, &command))?;
                Some((command, plan))
            })
            .collect();
        Box::new(move |command| Box::pin(exec::run(supervisor.clone(), planned.get(&command).cloned())))
    }

    // === the end ===

    async fn finish(&mut self, confirm: bool) {
        self.finished = true;
        self.probes.values().for_each(CancellationToken::cancel);
        if confirm {
            self.write_status().await;
        }
        if let Some(address) = self.place.pod.take() {
            self.kubelet.addresses.release(address);
        }
        let pod = Arc::clone(&self.machine.pod);
        let logs = self.kubelet.logs.folder(&pod.uid().unwrap_or_default());
        // What is left of a folder goes with the run folder.
        let _ = tokio::fs::remove_dir_all(&self.folder).await;
        let _ = tokio::fs::remove_dir_all(&logs).await;
        if !confirm {
            return;
        }
        self.node.is_heard().await;
        while let Err(error) = self.kubelet.pods.delete(&pod, Some(0)).await {
            tracing::debug!(pod = %pod.name_any(), %error, "deletion was not confirmed");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn write_status(&self) {
        if self.node.is_silent() {
            return self.after(RETRY, Timer::Refresh);
        }
        let known = self
            .kubelet
            .caches
            .pods
            .get(&self.machine.pod.namespace().unwrap_or_default(), &self.machine.pod.name_any());
        let Some(known) = known.filter(|known| known.uid() == self.machine.pod.uid()) else { return };
        // Conditions of others may be newer than what the machine was told.
        let new = status(&self.machine, self.place, Timestamp::now(), known.status.as_ref());
        if let Err(error) = self.kubelet.pods.patch_status(&known, known.status.as_ref(), &new).await
            && !crate::controllers::is_status(&error, 404)
        {
            tracing::debug!(pod = %known.name_any(), %error, "status was not written");
            self.after(RETRY, Timer::Refresh);
        }
    }

    // === helpers ===

    fn container(&self, index: Index) -> Option<Container> {
        self.machine.runs.get(index).map(|run| run.spec.clone())
    }

    fn with_context<R>(&self, act: impl FnOnce(&PodContext<'_>) -> R) -> R {
        let pod = &self.machine.pod;
        let namespace = pod.namespace().unwrap_or_default();
        let services = self.kubelet.caches.services.list_in(&namespace);
        let sources = NamespaceSources { caches: &self.kubelet.caches, namespace: &namespace };
        let work = self.folder.join("work");
        act(&PodContext {
            pod,
            node: &self.node.name,
            host_ip: self.node.address,
            pod_ip: self.place.pod.unwrap_or(Ipv4Addr::LOCALHOST),
            services: &services,
            sources: &sources,
            images: &self.kubelet.images,
            volumes: &self.volumes,
            kubeconfig: self.kubeconfig.as_deref(),
            folder: &work,
        })
    }

    fn notice(&self, container: &Container, reason: &'static str, message: String) {
        let notice = Notice::normal(&*self.machine.pod, reason, message);
        self.node.recorder.record(notice.for_container(&container.name));
    }

    fn after(&self, pause: Duration, timer: Timer) {
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let _ = inputs.send(Input::Timer(timer));
        });
    }

    fn send(&self, input: Input) {
        // The receiver is in this very worker's loop.
        let _ = self.inputs.send(input);
    }
}
