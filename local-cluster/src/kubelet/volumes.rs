//! The folders behind a pod's volumes: made and filled before its containers start.
//!
//! Contents are written once. A ConfigMap that changes later is not followed; a real kubelet follows it after about a minute.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, PersistentVolumeClaim, Pod, VolumeProjection};

use super::environment::{Sources, pod_field, service_account};

/// What volumes are made of.
pub(super) struct VolumeContext<'a> {
    pub(super) pod: &'a Pod,
    /// The pod's own folder, where everything goes that ends with it.
    pub(super) folder: &'a Path,
    pub(super) sources: &'a dyn Sources,
    /// Finds the claim of this name in the pod's namespace.
    pub(super) claim: &'a dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>>,
    /// The folder of a bound volume.
    pub(super) volume_folder: &'a dyn Fn(&str) -> PathBuf,
    /// A token of this ServiceAccount.
    pub(super) token: &'a dyn Fn(&str) -> String,
}

/// Makes all volumes of the pod; the result maps volume names to folders. An error is the text of the `FailedMount` Event.
pub(super) fn make(context: &VolumeContext<'_>) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut folders = BTreeMap::new();
    for volume in context.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let failed = |message: String| format!("MountVolume.SetUp failed for volume \"{}\" : {message}", volume.name);
        let folder = match &volume.persistent_volume_claim {
            Some(source) => claimed(context, &source.claim_name).map_err(failed)?,
            None => context.folder.join("volumes").join(&volume.name),
        };
        make_folder(&folder).map_err(|error| failed(error.to_string()))?;
        let files = files(context, volume).map_err(failed)?;
        for (path, content) in files {
            write_file(&folder, &path, &content).map_err(|error| failed(format!("{path}: {error}")))?;
        }
        folders.insert(volume.name.clone(), folder);
    }
    Ok(folders)
}

fn claimed(context: &VolumeContext<'_>, claim: &str) -> Result<PathBuf, String> {
    let found = (context.claim)(claim).ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" not found"))?;
    let is_bound = found.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let volume = found.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|_| is_bound);
    volume
        .map(|volume| (context.volume_folder)(&volume))
        .ok_or_else(|| format!("persistentvolumeclaim \"{claim}\" is not bound"))
}

type Files = Vec<(String, Vec<u8>)>;

fn files(context: &VolumeContext<'_>, volume: &k8s_openapi::api::core::v1::Volume) -> Result<Files, String> {
    if let Some(source) = &volume.config_map {
        return config_map_files(context, &source.name, source.items.as_deref(), source.optional);
    }
    if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        return secret_files(context, name, source.items.as_deref(), source.optional);
    }
    if let Some(source) = &volume.downward_api {
        return downward_files(context, source.items.as_deref().unwrap_or_default());
    }
    let projections = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    let parts: Result<Vec<Files>, String> =
        projections.map(|projection| projected_files(context, projection)).collect();
    parts.map(|parts| parts.into_iter().flatten().collect())
}

fn projected_files(context: &VolumeContext<'_>, projection: &VolumeProjection) -> Result<Files, String> {
    if let Some(source) = &projection.config_map {
        return config_map_files(context, &source.name, source.items.as_deref(), source.optional);
    }
    if let Some(source) = &projection.secret {
        return secret_files(context, &source.name, source.items.as_deref(), source.optional);
    }
    if let Some(source) = &projection.downward_api {
        return downward_files(context, source.items.as_deref().unwrap_or_default());
    }
    if let Some(source) = &projection.service_account_token {
        return Ok(vec![(source.path.clone(), (context.token)(service_account(context.pod)).into_bytes())]);
    }
    Err("this projected source is not supported by this cluster".to_owned())
}

fn config_map_files(
    context: &VolumeContext<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Files, String> {
    let Some(map) = context.sources.config_map(name) else {
        return absent(format!("configmap \"{name}\" not found"), optional);
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    select(text.chain(binary).collect(), items, optional)
}

fn secret_files(
    context: &VolumeContext<'_>,
    name: &str,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Files, String> {
    let Some(secret) = context.sources.secret(name) else {
        return absent(format!("secret \"{name}\" not found"), optional);
    };
    let data = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    select(data.collect(), items, optional)
}

fn absent(message: String, optional: Option<bool>) -> Result<Files, String> {
    if optional == Some(true) { Ok(Vec::new()) } else { Err(message) }
}

fn select(all: Files, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<Files, String> {
    let Some(items) = items.filter(|items| !items.is_empty()) else { return Ok(all) };
    let mut files = Vec::new();
    for item in items {
        match all.iter().find(|(key, _)| *key == item.key) {
            Some((_, content)) => files.push((item.path.clone(), content.clone())),
            None if optional == Some(true) => {}
            None => return Err(format!("references non-existent key: {}", item.key)),
        }
    }
    Ok(files)
}

fn downward_files(context: &VolumeContext<'_>, items: &[DownwardAPIVolumeFile]) -> Result<Files, String> {
    let mut files = Vec::new();
    for item in items {
        let field = item.field_ref.as_ref().map(|field| field.field_path.as_str()).unwrap_or_default();
        let value =
            pod_field(context.pod, field).ok_or_else(|| format!("fieldPath {field:?} is not supported in volumes"))?;
        files.push((item.path.clone(), value.into_bytes()));
    }
    Ok(files)
}

/// Makes a folder that only this user can read.
pub(super) fn make_folder(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes one file below `folder`; a path that would leave it is an error.
pub(super) fn write_file(folder: &Path, path: &str, content: &[u8]) -> std::io::Result<()> {
    let relative = Path::new(path);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(std::io::Error::other("the path must stay inside the volume"));
    }
    let target = folder.join(relative);
    if let Some(parent) = target.parent() {
        make_folder(parent)?;
    }
    OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(target)?.write_all(content)
}

#[cfg(test)]
mod tests;
