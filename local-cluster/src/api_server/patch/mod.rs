//! The four kinds of patch, and the books of who owns which field. Pure functions from a document to a document.

pub(crate) mod apply;
pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod managed;
pub(crate) mod merge;
pub(crate) mod shape;
pub(crate) mod strategic;
#[cfg(test)]
mod tests;

use super::decode::media_type;
use super::error::{ApiError, ApiResult};
use super::registry::{Origin, ResourceType};

/// What the content type of a `PATCH` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchKind {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl PatchKind {
    /// Reads the content type. Custom resources take no strategic patches: they have no merge keys in Go.
    pub(crate) fn from_content_type(content_type: &str, ty: &ResourceType) -> ApiResult<Self> {
        match media_type(content_type) {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if matches!(ty.origin, Origin::Builtin(_)) => Ok(Self::Strategic),
            "application/apply-patch+yaml" | "application/apply-patch+json" => Ok(Self::Apply),
            _ => Err(ApiError::unsupported_patch_type()),
        }
    }
}
