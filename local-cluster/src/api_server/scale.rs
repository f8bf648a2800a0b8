//! The `scale` subresource: replicas of a workload, whatever its kind, as an `autoscaling/v1` Scale.

use serde_json::{Value, json};

use super::error::{ApiError, ApiResult, FieldError};
use super::registry::{Origin, ResourceType};
use crate::store::GroupResource;
use crate::store::selector::LabelSelector;

/// Where a kind keeps what a Scale shows: paths of field names.
struct Paths {
    spec_replicas: Vec<String>,
    status_replicas: Vec<String>,
    selector: Option<Vec<String>>,
}

fn paths(ty: &ResourceType) -> Paths {
    let split = |path: &str| path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    if let Origin::Custom(custom) = &ty.origin
        && let Some(scale) = custom.scale(&ty.version)
    {
        return Paths {
            spec_replicas: split(scale["specReplicasPath"].as_str().unwrap_or_default()),
            status_replicas: split(scale["statusReplicasPath"].as_str().unwrap_or_default()),
            selector: scale["labelSelectorPath"].as_str().map(split),
        };
    }
    Paths { spec_replicas: split("spec.replicas"), status_replicas: split("status.replicas"), selector: None }
}

fn at<'a>(object: &'a Value, path: &[String]) -> &'a Value {
    path.iter().try_fold(object, |value, field| value.get(field)).unwrap_or(&Value::Null)
}

/// The Scale of an object.
pub(crate) fn scale_of(ty: &ResourceType, object: &Value) -> Value {
    let paths = paths(ty);
    let metadata = &object["metadata"];
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": at(object, &paths.spec_replicas).as_i64().unwrap_or(0)},
        "status": {"replicas": at(object, &paths.status_replicas).as_i64().unwrap_or(0)},
    });
    let selector = match &paths.selector {
        Some(path) => at(object, path).as_str().map(str::to_owned),
        None => LabelSelector::from_object(&object["spec"]["selector"]).ok().flatten().map(|s| s.to_string()),
    };
    if let Some(selector) = selector {
        scale["status"]["selector"] = selector.into();
    }
    scale
}

/// The object with the replicas (and the preconditions) of a Scale.
pub(crate) fn rescaled(ty: &ResourceType, object: &Value, scale: &Value) -> ApiResult<Value> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", &replicas.into(), "must be greater than or equal to 0");
        return Err(ApiError::invalid("autoscaling", "Scale", name, &[error]));
    }
    let (uid, own) = (scale["metadata"]["uid"].as_str().unwrap_or_default(), &object["metadata"]["uid"]);
    if !uid.is_empty() && own != uid {
        let own = own.as_str().unwrap_or_default();
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}");
        return Err(ApiError::conflict(&GroupResource::new(&ty.group, &format!("{}/scale", ty.plural)), name, &why));
    }
    let mut rescaled = object.clone();
    let mut place = &mut rescaled;
    for field in &paths(ty).spec_replicas {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[field.as_str()];
    }
    *place = replicas.into();
    rescaled["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
    Ok(rescaled)
}
