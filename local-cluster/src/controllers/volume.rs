//! Binds claims to volumes. There is one kind of volume, a folder of this cluster, made when it is claimed and removed with the
//! claim (reclaim policy `Delete`), so that binding never has to wait or choose.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    LocalVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
    PersistentVolumeSpec, PersistentVolumeStatus,
};
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::json;

use super::writer::{Writer, is_status};
use super::{Controller, Sync};
use crate::cache::ObjectKey;
use crate::objects::is_deleting;

/// Where the folders of volumes are.
#[derive(Debug, Clone)]
pub(crate) struct VolumeFolders {
    pub(crate) root: PathBuf,
}

impl VolumeFolders {
    /// The folder of a volume, by the volume's name (which never repeats).
    pub(crate) fn folder(&self, volume: &str) -> PathBuf {
        self.root.join(volume)
    }
}

/// The volume made for a claim.
pub(super) fn volume_for(claim: &PersistentVolumeClaim, folders: &VolumeFolders) -> PersistentVolume {
    let name = volume_name(claim);
    let spec = claim.spec.clone().unwrap_or_default();
    PersistentVolume {
        spec: Some(PersistentVolumeSpec {
            access_modes: spec.access_modes.clone(),
            capacity: spec.resources.and_then(|resources| resources.requests),
            claim_ref: Some(ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("PersistentVolumeClaim".to_owned()),
                namespace: claim.namespace(),
                name: claim.metadata.name.clone(),
                uid: claim.metadata.uid.clone(),
                ..ObjectReference::default()
            }),
            local: Some(LocalVolumeSource { path: folders.folder(&name).display().to_string(), fs_type: None }),
            persistent_volume_reclaim_policy: Some("Delete".to_owned()),
            storage_class_name: spec.storage_class_name,
            volume_mode: Some("Filesystem".to_owned()),
            ..PersistentVolumeSpec::default()
        }),
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        status: Some(PersistentVolumeStatus { phase: Some("Bound".to_owned()), ..PersistentVolumeStatus::default() }),
    }
}

fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.metadata.uid.as_deref().unwrap_or_default())
}

/// See the module. Keys are claims.
pub(super) struct VolumeController {
    pub(super) claims: Writer<PersistentVolumeClaim>,
    pub(super) volumes: Writer<PersistentVolume>,
    pub(super) folders: VolumeFolders,
}

impl VolumeController {
    async fn bind(&self, claim: &PersistentVolumeClaim) -> kube::Result<()> {
        let wanted = volume_for(claim, &self.folders);
        let name = wanted.name_any();
        if self.volumes.cache().get("", &name).is_none() {
            match self.volumes.create(&wanted).await {
                Ok(created) => {
                    let bound = wanted.status.clone().unwrap_or_default();
                    self.volumes.patch_status(&created, created.status.as_ref(), &bound).await?;
                }
                Err(error) if is_status(&error, 409) => {}
                Err(error) => return Err(error),
            }
        }
        let spec = claim.spec.clone().unwrap_or_default();
        if spec.volume_name.as_deref() != Some(name.as_str()) {
            self.claims.patch(claim, &json!({"spec": {"volumeName": name}})).await?;
        }
        let status = PersistentVolumeClaimStatus {
            phase: Some("Bound".to_owned()),
            access_modes: spec.access_modes,
            capacity: wanted.spec.and_then(|spec| spec.capacity),
            ..PersistentVolumeClaimStatus::default()
        };
        self.claims.patch_status(claim, claim.status.as_ref(), &status).await
    }

    /// Removes volumes whose claim is gone, and their folders.
    async fn reclaim(&self, key: &ObjectKey) -> kube::Result<()> {
        for volume in self.volumes.cache().list() {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            let was_its = claim.is_some_and(|claim| {
                claim.namespace.as_deref() == Some(&key.namespace) && claim.name.as_deref() == Some(&key.name)
            });
            let successor = self.claims.cache().get_key(key).map(|claim| volume_name(&claim));
            if was_its && successor.as_deref() != Some(&volume.name_any()) {
                self.volumes.delete(&volume, None).await?;
                // A folder that cannot be removed goes with the run folder.
                let _ = tokio::fs::remove_dir_all(self.folders.folder(&volume.name_any())).await;
            }
        }
        Ok(())
    }
}

impl Controller for VolumeController {
    const NAME: &'static str = "persistent-volume-binder";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        match self.claims.cache().get_key(key) {
            Some(claim) if !is_deleting(&claim.metadata) => self.bind(&claim).await?,
            Some(_) => {}
            None => self.reclaim(key).await?,
        }
        Ok(Sync::Done)
    }
}
