//! Errors as JSON: the kind, the outcome of a write, and the error's data.

use std::error::Error as _;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, ErrorKind, Outcome};

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (index, cause) = cause(self);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind())?;
        map.serialize_entry("code", code(cause))?;
        map.serialize_entry("message", &self.to_string())?;
        map.serialize_entry("outcome", &self.outcome())?;
        if let Some(index) = index {
            map.serialize_entry("index", &index)?;
        }
        if let Error::InvalidFilter { at, .. } | Error::InvalidJson { at, .. } = cause {
            map.serialize_entry("at", at)?;
        }
        let details = details(cause);
        if !details.is_empty() {
            map.serialize_entry("details", &details)?;
        }
        map.end()
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            ErrorKind::InvalidArgument => "invalid_argument",
            ErrorKind::NotFound => "not_found",
            ErrorKind::AlreadyExists => "already_exists",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Busy => "busy",
            ErrorKind::Corruption => "corruption",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Internal => "internal",
            ErrorKind::Exhausted => "exhausted",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Deadline => "deadline",
            ErrorKind::Forked => "forked",
        })
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Outcome::NotApplied => "not_applied",
            Outcome::NotDurable => "not_durable",
            Outcome::Unknown => "unknown",
        })
    }
}

/// The innermost error, and the position of its operation or query.
fn cause(error: &Error) -> (Option<usize>, &Error) {
    let (mut index, mut cause) = (None, error);
    loop {
        match cause {
            Error::InBatch { index: position, source, .. } | Error::InQuery { index: position, source } => {
                index = index.or(Some(*position));
                cause = source;
            }
            Error::Shared(error) => cause = error,
            _ => return (index, cause),
        }
    }
}

/// The name of the variant.
fn code(error: &Error) -> &'static str {
    match error {
        Error::DimensionMismatch { .. } => "dimension_mismatch",
        Error::InvalidVector { .. } => "invalid_vector",
        Error::InvalidId { .. } => "invalid_id",
        Error::InvalidName { .. } => "invalid_name",
        Error::InvalidMetadata { .. } => "invalid_metadata",
        Error::SchemaViolation(_) => "schema_violation",
        Error::InvalidFilter { .. } => "invalid_filter",
        Error::InvalidJson { .. } => "invalid_json",
        Error::InvalidConfig { .. } => "invalid_config",
        Error::LimitExceeded { .. } => "limit_exceeded",
        Error::InBatch { .. } => "in_batch",
        Error::InQuery { .. } => "in_query",
        Error::CollectionNotFound { .. } => "collection_not_found",
        Error::DatabaseNotFound { .. } => "database_not_found",
        Error::DanglingLink { .. } => "dangling_link",
        Error::DocumentNotFound { .. } => "document_not_found",
        Error::BackupNotFound { .. } => "backup_not_found",
        Error::CollectionExists { .. } => "collection_exists",
        Error::ConfigConflict { .. } => "config_conflict",
        Error::DocumentExists { .. } => "document_exists",
        Error::VersionMismatch { .. } => "version_mismatch",
        Error::Busy { .. } => "busy",
        Error::Corruption { .. } => "corruption",
        Error::ForeignRecords { .. } => "foreign_records",
        Error::DataLoss { .. } => "data_loss",
        Error::UnsupportedFormat { .. } => "unsupported_format",
        Error::ReadOnly { .. } => "read_only",
        Error::Closed => "closed",
        Error::Cancelled => "cancelled",
        Error::Deadline => "deadline",
        Error::Forked => "forked",
        Error::Commit { .. } => "commit",
        Error::Storage { .. } => "storage",
        Error::Shared(_) => "shared",
        Error::OutOfMemory { .. } => "out_of_memory",
        Error::MemoryLimit { .. } => "memory_limit",
        Error::AddressSpace { .. } => "address_space",
        Error::OutOfDescriptors { .. } => "out_of_descriptors",
        Error::Io { .. } => "io",
    }
}

/// The variant's data, without its place in the input.
fn details(error: &Error) -> Map<String, Json> {
    let details = match error {
        Error::DimensionMismatch { collection, expected, got } => {
            json!({"collection": collection, "expected": expected, "got": got})
        }
        Error::InvalidVector { reason }
        | Error::InvalidId { reason }
        | Error::InvalidMetadata { reason }
        | Error::InvalidFilter { reason, .. }
        | Error::InvalidJson { reason, .. }
        | Error::ReadOnly { reason } => json!({"reason": reason}),
        Error::InvalidName { name, reason } => json!({"name": name, "reason": reason}),
        Error::SchemaViolation(violation) => json!({
            "collection": violation.collection,
            "namespace": violation.namespace,
            "id": violation.id,
            "field": violation.field,
            "expected": violation.expected,
            "got": violation.got,
        }),
        Error::InvalidConfig { field, reason } => json!({"field": field, "reason": reason}),
        Error::LimitExceeded { what, limit, got } => json!({"what": what, "limit": limit, "got": got}),
        Error::CollectionNotFound { name } | Error::CollectionExists { name } => json!({"name": name}),
        Error::DatabaseNotFound { path } => json!({"path": path.to_string_lossy()}),
        Error::DanglingLink { path, target } => {
            json!({"path": path.to_string_lossy(), "target": target.to_string_lossy()})
        }
        Error::BackupNotFound { path, id } => json!({"path": path.to_string_lossy(), "id": id}),
        Error::DocumentNotFound { collection, id } | Error::DocumentExists { collection, id } => {
            json!({"collection": collection, "id": id})
        }
        Error::ConfigConflict { name, field, expected, got } => {
            json!({"name": name, "field": field, "expected": expected, "got": got})
        }
        Error::VersionMismatch { collection, id, expected, got } => {
            json!({"collection": collection, "id": id, "expected": expected, "got": got})
        }
        Error::Busy { path, holder } => json!({"path": path.to_string_lossy(), "holder": holder}),
        Error::Corruption { what, detail } => json!({"what": what, "detail": detail}),
        Error::ForeignRecords { log, offset, expected, got } => {
            json!({"log": log, "offset": offset, "expected": expected, "got": got})
        }
        Error::DataLoss { from, to } => json!({"from": from, "to": to}),
        Error::UnsupportedFormat { what, found, supported } => {
            json!({"what": what, "found": found, "supported": supported})
        }
        Error::Commit { commit, reason, .. } => json!({"commit": commit, "reason": reason}),
        Error::Storage { doing, .. } => json!({"doing": doing, "source": source(error)}),
        Error::OutOfDescriptors { doing, .. } => json!({"doing": doing, "source": source(error)}),
        Error::OutOfMemory { n_documents, .. } => json!({"n_documents": n_documents, "source": source(error)}),
        Error::MemoryLimit { limit, needed } => json!({"limit": limit, "needed": needed}),
        Error::AddressSpace { needed, used, limit } => json!({"needed": needed, "used": used, "limit": limit}),
        Error::Io { doing, path, .. } => {
            json!({"doing": doing, "path": path.to_string_lossy(), "source": source(error)})
        }
        Error::InBatch { .. }
        | Error::InQuery { .. }
        | Error::Shared(_)
        | Error::Closed
        | Error::Cancelled
        | Error::Deadline
        | Error::Forked => Json::Null,
    };
    match details {
        Json::Object(details) => details,
        _ => Map::new(),
    }
}

fn source(error: &Error) -> Option<String> {
    error.source().map(ToString::to_string)
}
