//! The evidence of a run that lives on the cluster: immutable ConfigMaps that the run owns, numbered from 0, one row of them by
//! the operator and one by the prober. Their bytes in order are one stream of gzip members with one event a line. A number is
//! written once: whoever finds it taken is not the one who writes this row any more. What a process wrote itself, without having
//! heard so, it knows again by its content, which bears its name. A batch may be spread over several; where its writer was lost
//! before the last of them, the next one says that it begins anew, and what is incomplete is left out.
//!
//! Only creating and reading is needed: neither row can be changed, and both go with the run.

mod codec;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

pub use codec::{CodecError, decode, encode};
pub use reader::{Chunk, ChunkReader, ReadError};
pub use writer::{ChunkWriter, WriteError};

/// Key of the events.
pub const EVENTS: &str = "events.jsonl.gz";
/// Key of the prober's report.
pub const REPORT: &str = "report.json";
/// Key of who wrote it.
const WRITER: &str = "writer";
/// Key that says that the events go on in the next one.
const MORE: &str = "more";
/// Key that says that what came before is incomplete, and is not gone on with.
const ANEW: &str = "anew";

/// Bytes of events in one ConfigMap at most; the API takes 1 MiB.
const CHUNK_BYTES: usize = 700 * 1024;
/// Events of one row at most. Whoever measures more than this has shown what there is to show.
pub const MOST_EVENTS: usize = 250_000;

/// Whose row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The operator's: what was done.
    Operator,
    /// The prober's: what was measured.
    Prober,
}

impl Role {
    /// As names and labels have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Prober => "prober",
        }
    }
}

/// The run that evidence belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

impl RunKey {
    /// Name of the ConfigMap with that number.
    pub fn chunk(&self, role: Role, number: u64) -> String {
        format!("run-{}-{}-{number}", self.uid, role.as_str())
    }

    /// Path of the ConfigMaps of its namespace.
    fn path(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    /// The run as an owner that nothing has to wait for.
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: chaos_core::api::API_VERSION.to_owned(),
            kind: "ExperimentRun".to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: None,
            block_owner_deletion: None,
        }
    }
}
