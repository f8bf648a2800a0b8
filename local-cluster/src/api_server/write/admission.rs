//! What the real server's default admission plug-ins do to a request: namespace lifecycle, service accounts,
//! priorities, default tolerations, Service addresses.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::error::{ApiError, ApiResult, FieldError};
use super::super::registry::ResourceType;
use super::Transaction;
use crate::network::ServiceIpError;
use crate::store::{GroupResource, ObjectKey};

/// Refuses new content where there is no namespace, or one that is going.
pub(super) fn admit_namespace(transaction: &Transaction<'_>, ty: &ResourceType, key: &ObjectKey) -> ApiResult<()> {
    if !ty.namespaced {
        return Ok(());
    }
    let namespaces = GroupResource::new("", "namespaces");
    let Some(namespace) = transaction.store.get(&namespaces, &ObjectKey::new("", &key.namespace)) else {
        return Err(ApiError::not_found(&namespaces, &key.namespace));
    };
    if namespace.value()["metadata"]["deletionTimestamp"].is_null() {
        Ok(())
    } else {
        Err(ApiError::namespace_terminating(&ty.group_resource(), &key.name, &key.namespace))
    }
}

/// Completes (or refuses) a new object with what depends on other objects.
pub(super) fn admit_new(
    transaction: &Transaction<'_>,
    ty: &ResourceType,
    object: &mut Value,
    key: &ObjectKey,
) -> ApiResult<()> {
    if ty.is("", "Pod") {
        admit_service_account(transaction, ty, object, key)?;
        admit_priority(transaction, ty, object, key)?;
        add_default_tolerations(object);
    }
    if ty.is("", "PersistentVolumeClaim") {
        choose_storage_class(transaction, object);
    }
    Ok(())
}

/// Completes (or refuses) a changed object.
pub(super) fn admit_update(
    transaction: &Transaction<'_>,
    ty: &ResourceType,
    old: &Value,
    new: &mut Value,
) -> ApiResult<()> {
    // A Service that stops being headless or external needs an address, one that becomes so gives it back.
    if ty.is("", "Service") && needs_address(new) && new["spec"]["clusterIP"].as_str().is_none_or(str::is_empty) {
        if let Some(address) = old["spec"]["clusterIP"].as_str().filter(|a| !a.is_empty() && *a != "None") {
            set_address(new, address);
        } else if let Some(allocator) = transaction.service_ips {
            let address = allocator.allocate(None).map_err(ApiError::internal)?;
            set_address(new, &address.to_string());
        }
    }
    Ok(())
}

fn admit_service_account(
    transaction: &Transaction<'_>,
    ty: &ResourceType,
    pod: &mut Value,
    key: &ObjectKey,
) -> ApiResult<()> {
    let named = |field: &str| pod["spec"][field].as_str().filter(|name| !name.is_empty());
    let name = named("serviceAccountName").or_else(|| named("serviceAccount")).unwrap_or("default").to_owned();
    let accounts = GroupResource::new("", "serviceaccounts");
    let account = transaction.store.get(&accounts, &ObjectKey::new(&key.namespace, &name));
    // The `default` account is made a moment after its namespace; a pod that comes first need not fail.
    if account.is_none() && name != "default" {
        let why =
            format!("error looking up service account {}/{name}: serviceaccount {name:?} not found", key.namespace);
        return Err(ApiError::forbidden(&ty.group_resource(), &key.name, &why));
    }
    pod["spec"]["serviceAccountName"] = name.clone().into();
    pod["spec"]["serviceAccount"] = name.into();
    Ok(())
}

fn admit_priority(transaction: &Transaction<'_>, ty: &ResourceType, pod: &mut Value, key: &ObjectKey) -> ApiResult<()> {
    let classes = GroupResource::new("scheduling.k8s.io", "priorityclasses");
    let name = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let class = if name.is_empty() {
        transaction.store.list(&classes, None).find(|class| class.value()["globalDefault"] == true)
    } else {
        transaction.store.get(&classes, &ObjectKey::new("", &name))
    };
    match class {
        Some(class) => {
            pod["spec"]["priorityClassName"] = class.key().name.clone().into();
            pod["spec"]["priority"] = class.value()["value"].clone();
            let policy = class.value().get("preemptionPolicy").cloned();
            pod["spec"]["preemptionPolicy"] = policy.unwrap_or_else(|| "PreemptLowerPriority".into());
        }
        None if name.is_empty() => {
            pod["spec"]["priority"] = 0.into();
            pod["spec"]["preemptionPolicy"] = "PreemptLowerPriority".into();
        }
        None => {
            let why = format!("no PriorityClass with name {name} was found");
            return Err(ApiError::forbidden(&ty.group_resource(), &key.name, &why));
        }
    }
    Ok(())
}

fn add_default_tolerations(pod: &mut Value) {
    if !pod["spec"]["tolerations"].is_array() {
        pod["spec"]["tolerations"] = json!([]);
    }
    let Some(tolerations) = pod["spec"]["tolerations"].as_array_mut() else { return };
    for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let is_tolerated = tolerations.iter().any(|toleration| {
            let key = toleration["key"].as_str().unwrap_or_default();
            let effect = toleration["effect"].as_str().unwrap_or_default();
            (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
        });
        if !is_tolerated {
            tolerations
                .push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}));
        }
    }
}

fn choose_storage_class(transaction: &Transaction<'_>, claim: &mut Value) {
    if !claim["spec"]["storageClassName"].is_null() {
        return;
    }
    let classes = GroupResource::new("storage.k8s.io", "storageclasses");
    let is_default = |class: &Value| {
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"].as_str() == Some("true")
    };
    let default = transaction.store.list(&classes, None).find(|class| is_default(class.value()));
    if let Some(class) = default {
        claim["spec"]["storageClassName"] = class.key().name.clone().into();
    }
}

fn needs_address(service: &Value) -> bool {
    service["spec"]["type"] != "ExternalName" && service["spec"]["clusterIP"] != "None"
}

fn set_address(service: &mut Value, address: &str) {
    service["spec"]["clusterIP"] = address.into();
    service["spec"]["clusterIPs"] = json!([address]);
}

/// Gives a new Service its address. The last step before storing, so that nothing refused keeps an address.
pub(super) fn allocate_service_addresses(
    transaction: &Transaction<'_>,
    ty: &ResourceType,
    service: &mut Value,
    key: &ObjectKey,
) -> ApiResult<()> {
    if !ty.is("", "Service") || !needs_address(service) {
        return Ok(());
    }
    let Some(allocator) = transaction.service_ips else { return Ok(()) };
    let requested = service["spec"]["clusterIP"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let invalid = |detail: &str| {
        let shown = json!([requested]);
        let error = FieldError::invalid("spec.clusterIPs", &shown, detail);
        ApiError::invalid("", "Service", &key.name, &[error])
    };
    let wanted = match &requested {
        None => None,
        Some(text) => {
            Some(text.parse::<Ipv4Addr>().map_err(|_| invalid("must be a valid IP address, (e.g. 10.9.8.7)"))?)
        }
    };
    match allocator.allocate(wanted) {
        Ok(address) => {
            set_address(service, &address.to_string());
            if transaction.dry_run {
                allocator.release(address);
            }
            Ok(())
        }
        Err(ServiceIpError::Full) => Err(ApiError::internal(ServiceIpError::Full)),
        Err(error) => Err(invalid(&error.to_string())),
    }
}

/// Gives the addresses of a removed Service back.
pub(super) fn release_service_addresses(transaction: &Transaction<'_>, service: &Value) {
    let Some(allocator) = transaction.service_ips else { return };
    if let Some(address) = service["spec"]["clusterIP"].as_str().and_then(|text| text.parse().ok()) {
        allocator.release(address);
    }
}
