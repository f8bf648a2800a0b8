//! What a container's process is started with: program, arguments, environment, working directory. Pure, but for one question:
//! whether a program exists.
//!
//! A container here sees the machine's files, not an image's. So mount paths are rewritten to the pod's folders wherever they
//! stand in arguments and environment values, and a container that names no `command` runs what its image stands for.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, ObjectFieldSelector, Pod, Secret, Service};
use kube::ResourceExt;

/// What a container image stands for on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// As pod specs write it, tag included.
    pub name: String,
    /// The program, and the arguments that come before those of the container.
    pub argv: Vec<String>,
}

/// Everything that the environment of a pod's containers is made of.
#[derive(Debug)]
pub(super) struct PodContext<'a> {
    pub(super) pod: &'a Pod,
    pub(super) node: &'a str,
    pub(super) host_ip: Ipv4Addr,
    pub(super) pod_ip: Ipv4Addr,
    /// Services of the namespace.
    pub(super) services: &'a [Arc<Service>],
    pub(super) sources: &'a dyn Sources,
    pub(super) images: &'a [Image],
    /// The folder of each volume, by volume name.
    pub(super) volumes: &'a BTreeMap<String, PathBuf>,
    /// The kubeconfig of the pod's ServiceAccount, unless it does without.
    pub(super) kubeconfig: Option<&'a Path>,
    /// Working directory of containers that name none.
    pub(super) folder: &'a Path,
}

/// Objects that a pod may refer to, of its own namespace.
pub(super) trait Sources: std::fmt::Debug {
    fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>>;
    fn secret(&self, name: &str) -> Option<Arc<Secret>>;
}

/// A process to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ProcessPlan {
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) directory: PathBuf,
}

/// Why a container cannot be made, as its `waiting` state says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Obstacle {
    fn config(message: String) -> Self {
        Self { reason: "CreateContainerConfigError", message }
    }
}

/// Makes the plan of one container.
pub(super) fn plan(context: &PodContext<'_>, container: &Container) -> Result<ProcessPlan, Obstacle> {
    let image = image(context.images, container)?;
    let mounts = Mounts::of(context, container)?;
    let env = variables(context, container, &mounts)?;
    let expand_all =
        |words: &[String]| -> Vec<String> { words.iter().map(|word| mounts.rewrite(&expand(word, &env))).collect() };
    let command = container.command.as_deref().filter(|command| !command.is_empty());
    let mut argv = command.map_or_else(|| image.argv.clone(), expand_all);
    argv.extend(expand_all(container.args.as_deref().unwrap_or_default()));
    let program = argv.first().cloned().unwrap_or_default();
    if !is_executable(&program, &env) {
        let message = format!(
            "exec: {program:?}: executable file not found on this machine (images do not bring files; leave `command` out to run what the image stands for)"
        );
        return Err(Obstacle { reason: "RunContainerError", message });
    }
    let directory = match &container.working_dir {
        Some(path) => PathBuf::from(mounts.rewrite(path)),
        None => context.folder.to_owned(),
    };
    let directory = if directory.is_dir() { directory } else { context.folder.to_owned() };
    Ok(ProcessPlan { argv, env: env.into_iter().collect(), directory })
}

/// The argv of an exec probe or hook, in the container's environment.
pub(super) fn exec_plan(
    plan: &ProcessPlan,
    context: &PodContext<'_>,
    container: &Container,
    command: &[String],
) -> Option<ProcessPlan> {
    let mounts = Mounts::of(context, container).ok()?;
    let argv = command.iter().map(|word| mounts.rewrite(word)).collect();
    Some(ProcessPlan { argv, ..plan.clone() })
}

fn image<'a>(images: &'a [Image], container: &Container) -> Result<&'a Image, Obstacle> {
    let wanted = container.image.as_deref().unwrap_or_default();
    images.iter().find(|image| image.name == wanted).ok_or_else(|| {
        let known: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
        let message =
            format!("failed to pull image \"{wanted}\": not found; this cluster has only: {}", known.join(", "));
        Obstacle { reason: "ErrImagePull", message }
    })
}

// === environment variables ===

type Variables = BTreeMap<String, String>;

/// In Kubernetes' order, later ones winning: runtime, Services, `envFrom`, `env`.
fn variables(context: &PodContext<'_>, container: &Container, mounts: &Mounts) -> Result<Variables, Obstacle> {
    let mut variables = Variables::from([
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOSTNAME".to_owned(), context.pod.name_any()),
        ("HOME".to_owned(), context.folder.display().to_string()),
    ]);
    if let Some(path) = context.kubeconfig {
        variables.insert("KUBECONFIG".to_owned(), path.display().to_string());
    }
    if context.pod.spec.as_ref().and_then(|spec| spec.enable_service_links) != Some(false) {
        context.services.iter().for_each(|service| variables.extend(service_variables(service)));
    }
    from_sources(context, container, &mut variables)?;
    for entry in container.env.iter().flatten() {
        let value = match (&entry.value, &entry.value_from) {
            (Some(value), _) => Some(expand(value, &variables)),
            (None, Some(source)) => referred(context, source).map_err(Obstacle::config)?,
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            variables.insert(entry.name.clone(), value);
        }
    }
    Ok(variables.into_iter().map(|(name, value)| (name, mounts.rewrite(&value))).collect())
}

fn from_sources(context: &PodContext<'_>, container: &Container, variables: &mut Variables) -> Result<(), Obstacle> {
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let mut add = |name: &str, value: String| _ = variables.insert(format!("{prefix}{name}"), value);
        if let Some(reference) = &source.config_map_ref {
            let map = context.sources.config_map(&reference.name);
            let map = found(map, reference.optional, || format!("configmap \"{}\" not found", reference.name));
            let map = map.map_err(Obstacle::config)?;
            let data = map.iter().flat_map(|map| map.data.iter().flatten());
            data.for_each(|(name, value)| add(name, value.clone()));
        }
        if let Some(reference) = &source.secret_ref {
            let secret = context.sources.secret(&reference.name);
            let secret = found(secret, reference.optional, || format!("secret \"{}\" not found", reference.name));
            let secret = secret.map_err(Obstacle::config)?;
            let data = secret.iter().flat_map(|secret| secret.data.iter().flatten());
            data.for_each(|(name, value)| add(name, String::from_utf8_lossy(&value.0).into_owned()));
        }
    }
    Ok(())
}

/// The value that a variable refers to; `None` when it is optional and absent.
fn referred(context: &PodContext<'_>, source: &EnvVarSource) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return field_value(context, field).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return Ok(Some(resource_value(context, resource.container_name.as_deref(), &resource.resource)));
    }
    if let Some(key) = &source.config_map_key_ref {
        let map = context.sources.config_map(&key.name);
        let value = map.as_ref().and_then(|map| map.data.as_ref()?.get(&key.key).cloned());
        return found(value, key.optional, || match map {
            Some(_) => format!("couldn't find key {} in ConfigMap {}", key.key, key.name),
            None => format!("configmap \"{}\" not found", key.name),
        });
    }
    if let Some(key) = &source.secret_key_ref {
        let secret = context.sources.secret(&key.name);
        let value = secret.as_ref().and_then(|secret| secret.data.as_ref()?.get(&key.key).cloned());
        return found(
            value.map(|value| String::from_utf8_lossy(&value.0).into_owned()),
            key.optional,
            || match secret {
                Some(_) => format!("couldn't find key {} in Secret {}", key.key, key.name),
                None => format!("secret \"{}\" not found", key.name),
            },
        );
    }
    Err("an environment variable refers to nothing that is supported here".to_owned())
}

/// What is not there is a complaint, unless it is optional.
fn found<T>(value: Option<T>, optional: Option<bool>, complaint: impl FnOnce() -> String) -> Result<Option<T>, String> {
    match value {
        None if optional != Some(true) => Err(complaint()),
        value => Ok(value),
    }
}

fn field_value(context: &PodContext<'_>, field: &ObjectFieldSelector) -> Result<String, String> {
    pod_field(context.pod, &field.field_path)
        .or_else(|| match field.field_path.as_str() {
            "spec.nodeName" => Some(context.node.to_owned()),
            "status.hostIP" | "status.hostIPs" => Some(context.host_ip.to_string()),
            "status.podIP" | "status.podIPs" => Some(context.pod_ip.to_string()),
            _ => None,
        })
        .ok_or_else(|| format!("fieldPath {:?} is not supported", field.field_path))
}

/// A field of the pod that volumes and variables alike can show.
pub(super) fn pod_field(pod: &Pod, path: &str) -> Option<String> {
    let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']").map(ToOwned::to_owned);
    if let Some(key) = keyed("metadata.labels") {
        return Some(pod.labels().get(&key).cloned().unwrap_or_default());
    }
    if let Some(key) = keyed("metadata.annotations") {
        return Some(pod.annotations().get(&key).cloned().unwrap_or_default());
    }
    let listed = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
    };
    match path {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "metadata.labels" => Some(listed(pod.labels())),
        "metadata.annotations" => Some(listed(pod.annotations())),
        "spec.serviceAccountName" => Some(service_account(pod).to_owned()),
        _ => None,
    }
}

/// The ServiceAccount that a pod runs as.
pub(super) fn service_account(pod: &Pod) -> &str {
    let named = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref());
    named.filter(|name| !name.is_empty()).unwrap_or("default")
}

/// Limits are not enforced; a container that asks for its own gets what its spec says, or this machine.
fn resource_value(context: &PodContext<'_>, container: Option<&str>, resource: &str) -> String {
    let containers = context.pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut named = containers.filter(|candidate| container.is_none_or(|name| name == candidate.name));
    let resources = named.next().and_then(|container| container.resources.clone()).unwrap_or_default();
    let (list, name) = match resource.split_once('.') {
        Some(("limits", name)) => (resources.limits, name),
        Some((_, name)) => (resources.requests, name),
        None => (None, resource),
    };
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    let written = list.and_then(|list| list.get(name).map(|quantity| quantity.0.clone()));
    written.unwrap_or_else(|| if name == "cpu" { cores() } else { "0".to_owned() })
}

/// `TRIPS_SERVICE_HOST`, `TRIPS_SERVICE_PORT` and the Docker-style ones, as Kubernetes makes them.
fn service_variables(service: &Service) -> Variables {
    let spec = service.spec.clone().unwrap_or_default();
    let (Some(ip), Some(ports)) = (spec.cluster_ip.filter(|ip| !ip.is_empty() && ip != "None"), spec.ports) else {
        return Variables::new();
    };
    let prefix = service.name_any().to_uppercase().replace(['-', '.'], "_");
    let mut variables = Variables::from([(format!("{prefix}_SERVICE_HOST"), ip.clone())]);
    for (position, port) in ports.iter().enumerate() {
        let (number, protocol) = (port.port, port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()));
        let url = format!("{}://{ip}:{number}", protocol.to_lowercase());
        if position == 0 {
            variables.insert(format!("{prefix}_SERVICE_PORT"), number.to_string());
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        if let Some(name) = &port.name {
            variables
                .insert(format!("{prefix}_SERVICE_PORT_{}", name.to_uppercase().replace('-', "_")), number.to_string());
        }
        let long = format!("{prefix}_PORT_{number}_{}", protocol.to_uppercase());
        variables.insert(long.clone(), url);
        variables.insert(format!("{long}_PROTO"), protocol.to_lowercase());
        variables.insert(format!("{long}_PORT"), number.to_string());
        variables.insert(format!("{long}_ADDR"), ip.clone());
    }
    variables
}

/// `$(NAME)` becomes the variable's value, `$$` a dollar; what is not known stays as it is.
fn expand(text: &str, variables: &Variables) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

// === mounts ===

/// Mount paths of a container and the folders they stand for, the longest path first.
struct Mounts {
    pairs: Vec<(String, String)>,
}

impl Mounts {
    fn of(context: &PodContext<'_>, container: &Container) -> Result<Self, Obstacle> {
        let mut pairs = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let Some(folder) = context.volumes.get(&mount.name) else {
                return Err(Obstacle::config(format!(
                    "volume {} of mount {} does not exist",
                    mount.name, mount.mount_path
                )));
            };
            let inner = mount.sub_path.as_deref().unwrap_or_default();
            if Path::new(inner).components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
                return Err(Obstacle::config(format!("subPath {inner:?} must stay inside its volume")));
            }
            let target = if inner.is_empty() { folder.clone() } else { folder.join(inner) };
            pairs.push((mount.mount_path.trim_end_matches('/').to_owned(), target.display().to_string()));
        }
        pairs.retain(|(path, _)| !path.is_empty());
        pairs.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Ok(Self { pairs })
    }

    /// Replaces mount paths that stand on their own or begin a longer path: `/data`, `--dir=/data/x`, `sqlite:///data/db`.
    fn rewrite(&self, text: &str) -> String {
        let mut rewritten = String::with_capacity(text.len());
        let mut rest = text;
        'text: while !rest.is_empty() {
            for (path, target) in &self.pairs {
                let starts = rewritten.ends_with("://") || !rewritten.ends_with(is_path_character);
                if let Some(after) = rest.strip_prefix(path.as_str())
                    && starts
                    && !after.starts_with(|next| next != '/' && is_path_character(next))
                {
                    rewritten.push_str(target);
                    rest = after;
                    continue 'text;
                }
            }
            let mut characters = rest.chars();
            rewritten.extend(characters.next());
            rest = characters.as_str();
        }
        rewritten
    }
}

fn is_path_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '/' | '.' | '_' | '-')
}

fn is_executable(program: &str, env: &Variables) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let is_program =
        |path: &Path| path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        return is_program(Path::new(program));
    }
    let path = env.get("PATH").map(String::as_str).unwrap_or_default();
    path.split(':').any(|folder| is_program(&Path::new(folder).join(program)))
}

#[cfg(test)]
mod tests;
