//! Budgets of workloads: one Lease per top controller, in its namespace and owned by it, shared by all chaos on it. Every
//! write names the version it was decided on, so of two writers one always loses.

use std::collections::BTreeMap;

use chaos_core::digest::sha256_hex;
use chaos_core::killer::{BudgetVersion, Stored, VersionedBudget};
use chaos_core::limits::WorkloadBudget;
use chaos_core::population::WorkloadKey;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};

use super::call::{CallError, Caller};

/// The annotation that holds the budget.
const ANNOTATION: &str = "chaos.dispatch.dev/budget";
/// The label by which people find budget Leases.
const LABEL: &str = "chaos.dispatch.dev/budget";

/// Reads and writes budgets.
#[derive(Clone)]
pub struct BudgetStore {
    read: Caller,
    write: Caller,
    holder: String,
}

/// The budget that a Lease carries, if it is one of ours and can be read.
pub(crate) fn budget_of(lease: &Lease) -> Option<WorkloadBudget> {
    serde_json::from_str(lease.metadata.annotations.as_ref()?.get(ANNOTATION)?).ok()
}

/// Name of the Lease of a workload's budget: `chaos-` and the first 64 bits of SHA-256 of its UID.
pub fn lease_name(workload_uid: &str) -> String {
    format!("chaos-{}", &sha256_hex(workload_uid.as_bytes())[..16])
}

impl BudgetStore {
    /// A store whose writes are signed by `holder`, for people. The writing caller must send every request once.
    pub fn new(read: Caller, write: Caller, holder: impl Into<String>) -> Self {
        Self { read, write, holder: holder.into() }
    }

    /// The budget of a workload as it is now.
    pub async fn read(&self, workload: &WorkloadKey) -> Result<VersionedBudget, String> {
        let lease = match self.read.get::<Lease>(&path_of(workload)).await {
            Ok(lease) => lease,
            Err(error) if error.is_not_found() => {
                return Ok(VersionedBudget { version: BudgetVersion::Absent, budget: WorkloadBudget::default() });
            }
            Err(error) => return Err(error.to_string()),
        };
        let text = lease.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ANNOTATION));
        let text = text.ok_or_else(|| format!("Lease {} carries no budget", lease_name(&workload.uid)))?;
        let budget = serde_json::from_str(text).map_err(|error| {
            format!("failed to read the budget in Lease {}: {error}; hint: was it edited?", lease_name(&workload.uid))
        })?;
        Ok(VersionedBudget { version: version_of(lease), budget })
    }

    /// Writes the budget of a workload if it is still at that version.
    pub async fn write(&self, workload: &WorkloadKey, at: &BudgetVersion, budget: &WorkloadBudget) -> Stored {
        let lease = match self.lease(workload, at, budget) {
            Ok(lease) => lease,
            Err(error) => return Stored::Refused(error.to_string()),
        };
        let written: Result<Lease, CallError> = match at {
            BudgetVersion::Absent => self.write.create(&folder_of(workload), &lease).await,
            BudgetVersion::At { .. } => self.write.replace(&path_of(workload), &lease).await,
        };
        match written {
            Ok(lease) => Stored::Done(version_of(lease)),
            Err(error) => budget_answer(&error),
        }
    }

    fn lease(
        &self,
        workload: &WorkloadKey,
        at: &BudgetVersion,
        budget: &WorkloadBudget,
    ) -> Result<Lease, serde_json::Error> {
        let text = serde_json::to_string(budget)?;
        let (resource_version, uid) = match at {
            BudgetVersion::Absent => (None, None),
            BudgetVersion::At { version, uid } => (Some(version.clone()), Some(uid.clone())),
        };
        Ok(Lease {
            metadata: ObjectMeta {
                name: Some(lease_name(&workload.uid)),
                namespace: Some(workload.namespace.clone()),
                resource_version,
                uid,
                labels: Some(BTreeMap::from([(LABEL.to_owned(), "true".to_owned())])),
                annotations: Some(BTreeMap::from([(ANNOTATION.to_owned(), text)])),
                owner_references: Some(vec![OwnerReference {
                    api_version: api_version(&workload.kind).to_owned(),
                    kind: workload.kind.clone(),
                    name: workload.name.clone(),
                    uid: workload.uid.clone(),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.holder.clone()),
                renew_time: Some(MicroTime(jiff::Timestamp::now())),
                ..LeaseSpec::default()
            }),
        })
    }
}

/// What an error says about the budget that was to be written.
pub fn budget_answer(error: &CallError) -> Stored {
    // Gone between read and write: deleted with its workload, or by hand.
    if error.is_conflict() || error.is_not_found() {
        Stored::Conflict
    } else if error.may_have_happened() {
        Stored::Unknown(error.to_string())
    } else {
        Stored::Refused(error.to_string())
    }
}

fn version_of(lease: Lease) -> BudgetVersion {
    BudgetVersion::At {
        version: lease.metadata.resource_version.unwrap_or_default(),
        uid: lease.metadata.uid.unwrap_or_default(),
    }
}

fn folder_of(workload: &WorkloadKey) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", workload.namespace)
}

fn path_of(workload: &WorkloadKey) -> String {
    format!("{}/{}", folder_of(workload), lease_name(&workload.uid))
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Job" | "CronJob" => "batch/v1",
        _ => "apps/v1",
    }
}
