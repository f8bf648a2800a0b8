//! EndpointSlices: which pods stand behind a Service, and which of them may be given new connections. One slice per Service
//! and address family; at the size of one machine it never needs to be split.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use serde_json::json;

use super::writer::Writer;
use super::{Controller, Sync};
use crate::cache::{Cache, ObjectKey};
use crate::objects::{
    Labels, is_controlled_by, is_deleting, is_finished, is_ready, labels_include, node_of, owner_reference, short_hash,
};

/// The label that ties a slice to its Service.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The slice that a Service should have; `None` for Services without a selector, whose slices are somebody else's.
pub(super) fn desired(
    service: &Service,
    pods: &[Arc<Pod>],
    zone_of: &dyn Fn(&str) -> Option<String>,
) -> Option<EndpointSlice> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    if spec.type_.as_deref() == Some("ExternalName") || is_deleting(&service.metadata) {
        return None;
    }
    let publish_all = spec.publish_not_ready_addresses == Some(true);
    let backends =
        pods.iter().filter(|pod| labels_include(pod.metadata.labels.as_ref(), selector) && !is_finished(pod));
    let backends: Vec<&Arc<Pod>> = backends.filter(|pod| node_of(pod).is_some()).collect();
    let ports = spec.ports.iter().flatten().filter_map(|port| endpoint_port(port, &backends)).collect();
    let mut endpoints: Vec<_> = backends.iter().filter_map(|pod| endpoint(pod, publish_all, zone_of)).collect();
    endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.insert(SERVICE_LABEL.to_owned(), service.name_any());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if spec.cluster_ip.as_deref() == Some("None") {
        labels.insert("service.kubernetes.io/headless".to_owned(), String::new());
    }
    Some(EndpointSlice {
        metadata: ObjectMeta {
            // Derived from the UID: the slice of a Service deleted and made again is another one.
            name: Some(format!("{}-{}", service.name_any(), short_hash(&service.metadata.uid, 5))),
            namespace: service.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![owner_reference(service)]),
            ..ObjectMeta::default()
        },
        address_type: "IPv4".to_owned(),
        endpoints,
        ports: Some(ports),
    })
}

fn endpoint(pod: &Pod, publish_all: bool, zone_of: &dyn Fn(&str) -> Option<String>) -> Option<Endpoint> {
    let address = pod.status.as_ref()?.pod_ip.clone().filter(|ip| !ip.is_empty())?;
    let serving = is_ready(pod);
    let terminating = is_deleting(&pod.metadata);
    let node = node_of(pod)?;
    let spec = pod.spec.as_ref()?;
    Some(Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish_all || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: spec.hostname.clone().filter(|_| spec.subdomain.is_some()),
        node_name: Some(node.to_owned()),
        zone: zone_of(node),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.namespace(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    })
}

/// The port on the pods. A named port is looked up in them; pods of one Service that disagree on it would need several
/// slices, so the first that has it decides.
fn endpoint_port(port: &ServicePort, backends: &[&Arc<Pod>]) -> Option<EndpointPort> {
    let number = match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => backends.iter().find_map(|pod| named_port(pod, name)),
    };
    number.map(|number| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(number),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    })
}

fn named_port(pod: &Pod, name: &str) -> Option<i32> {
    let ports = pod.spec.as_ref()?.containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.into_iter().find(|port| port.name.as_deref() == Some(name)).map(|port| port.container_port)
}

/// The loop around [`desired`].
pub(super) struct EndpointSliceController {
    pub(super) services: Cache<Service>,
    pub(super) pods: Cache<Pod>,
    pub(super) nodes: Cache<Node>,
    pub(super) slices: Writer<EndpointSlice>,
}

impl EndpointSliceController {
    /// The Services that a pod stands behind.
    pub(super) fn keys_for_pod(services: &Cache<Service>, pod: &Pod) -> Vec<ObjectKey> {
        let selects = |service: &Service| {
            let selector: Option<&Labels> = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            selector
                .is_some_and(|selector| !selector.is_empty() && labels_include(pod.metadata.labels.as_ref(), selector))
        };
        let services = services.list_in(&pod.namespace().unwrap_or_default());
        services.into_iter().filter(|service| selects(service)).map(|service| ObjectKey::of(service.as_ref())).collect()
    }
}

impl Controller for EndpointSliceController {
    const NAME: &'static str = "endpointslice-controller";

    async fn sync(&self, key: &ObjectKey) -> kube::Result<Sync> {
        let Some(service) = self.services.get_key(key) else {
            // Its slices follow by garbage collection.
            return Ok(Sync::Done);
        };
        let zone_of = |node: &str| self.nodes.get("", node)?.labels().get(ZONE_LABEL).cloned();
        let wanted = desired(&service, &self.pods.list_in(&key.namespace), &zone_of);
        let existing = self.slices.cache().list_in(&key.namespace).into_iter().filter(|slice| {
            is_controlled_by(&slice.metadata, service.metadata.uid.as_deref())
                && slice.labels().get(MANAGED_BY).map(String::as_str) == Some(MANAGER)
        });
        let existing: Vec<_> = existing.collect();
        let Some(wanted) = wanted else {
            for slice in existing {
                self.slices.delete(&slice, None).await?;
            }
            return Ok(Sync::Done);
        };
        match existing.first() {
            None => {
                self.slices.create(&wanted).await?;
            }
            Some(slice) if differs(slice, &wanted) => {
                let patch = json!({
                    "metadata": {"labels": wanted.metadata.labels},
                    "endpoints": wanted.endpoints,
                    "ports": wanted.ports,
                });
                self.slices.patch(slice, &patch).await?;
            }
            Some(_) => {}
        }
        Ok(Sync::Done)
    }
}

fn differs(slice: &EndpointSlice, wanted: &EndpointSlice) -> bool {
    slice.endpoints != wanted.endpoints
        || slice.ports.as_deref().unwrap_or_default() != wanted.ports.as_deref().unwrap_or_default()
        || slice.metadata.labels != wanted.metadata.labels
}

#[cfg(test)]
mod tests;
