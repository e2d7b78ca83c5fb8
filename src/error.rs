//! All errors, as data, and what a caller should do about each.
//!
//! This module names only standard types and ids, so that all floors above can use it.

use std::path::PathBuf;

use crate::id::{Commit, DocId};

/// Error numbers of a process, or a whole system, that may open no more files. They are the same on
/// all Unix systems.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;

/// The result of every fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// All errors of the library. Match on [`Error::kind`] to decide what to do, and on variants for
/// details.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A vector does not have the collection's dimension.
    #[error("dimension mismatch: collection \"{collection}\" expects {expected}, got {got}")]
    DimensionMismatch {
        /// The collection's name.
        collection: String,
        /// Components the collection was created for.
        expected: usize,
        /// Components of the vector.
        got: usize,
    },

    /// A vector has a component or a length for which no distance is defined.
    #[error("invalid vector: {reason}")]
    InvalidVector {
        /// The fault, and its place.
        reason: String,
    },

    /// A document's id is empty or too long.
    #[error("invalid id: {reason}")]
    InvalidId {
        /// The fault.
        reason: String,
    },

    /// A collection's or namespace's name is not allowed.
    #[error("invalid name {name:?}: {reason}")]
    InvalidName {
        /// The name, cut if it is long.
        name: String,
        /// The fault.
        reason: String,
    },

    /// Metadata is not an object, or holds a value that JSON has no form for.
    #[error("invalid metadata: {reason}")]
    InvalidMetadata {
        /// The fault, and its place.
        reason: String,
    },

    /// A document's metadata does not satisfy the collection's schema.
    #[error("schema violation: {0}")]
    SchemaViolation(Box<Violation>),

    /// A filter does not follow the grammar.
    #[error("invalid filter at {at}: {reason}")]
    InvalidFilter {
        /// The place in the filter, as a path such as `$and[1].tag`.
        at: String,
        /// The fault, and what was expected.
        reason: String,
    },

    /// JSON does not follow the grammar of a request.
    #[error("invalid JSON at {at}: {reason}")]
    InvalidJson {
        /// The place in the JSON, as a path such as `operations[3].insert.vector`. For the whole
        /// request, its kind, such as `search`.
        at: String,
        /// The expected value, and the one in the JSON.
        reason: String,
    },

    /// A configuration or option has a value outside its range.
    #[error("invalid {field}: {reason}")]
    InvalidConfig {
        /// The field.
        field: &'static str,
        /// The range, and the value.
        reason: String,
    },

    /// A size is beyond one of the [`limits`](crate::limits).
    #[error("{what} too large: expected at most {limit}, got {got}")]
    LimitExceeded {
        /// The measured quantity, with its unit.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The measured size, or the count at which counting stopped early.
        got: usize,
    },

    /// One operation of a batch was refused, and so was the whole batch. Nothing was written.
    #[error("operation {index} of the batch ({id}): {source}")]
    InBatch {
        /// Position of the operation in the batch, from 0.
        index: usize,
        /// Id of the operation's document, cut if it is long; `new document` for one without an id.
        id: String,
        /// The reason.
        source: Box<Error>,
    },

    /// One of several queries was refused, and so was the whole call.
    #[error("query {index}: {source}")]
    InQuery {
        /// Position of the query, from 0.
        index: usize,
        /// The reason.
        source: Box<Error>,
    },

    /// No collection has this name, or it was dropped.
    #[error("no collection named \"{name}\"")]
    CollectionNotFound {
        /// The requested name.
        name: String,
    },

    /// The folder holds no database, and the options forbid creating one.
    #[error("no database at {}: create it with `Options::create_if_missing(true)`", path.display())]
    DatabaseNotFound {
        /// The requested folder.
        path: PathBuf,
    },

    /// The requested folder, or one above it, is a symbolic link to a missing target. Nothing was
    /// created.
    #[error("{} is a dangling link: {} does not exist", path.display(), target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Its target.
        target: PathBuf,
    },

    /// No document of the namespace has this id.
    #[error("no document with id {id} in collection \"{collection}\"")]
    DocumentNotFound {
        /// The collection's name.
        collection: String,
        /// The requested id.
        id: DocId,
    },

    /// The folder holds no backups, or none with this number.
    #[error("no backup{} in {}", id.map(|id| format!(" {id}")).unwrap_or_default(), path.display())]
    BackupNotFound {
        /// The requested folder.
        path: PathBuf,
        /// The requested number; `None` if any backup would have done.
        id: Option<u32>,
    },

    /// A collection of this name exists.
    #[error("collection \"{name}\" already exists")]
    CollectionExists {
        /// The name.
        name: String,
    },

    /// A collection of this name exists and has another configuration.
    #[error("collection \"{name}\" exists with another configuration: expected {field} {expected}, got {got}")]
    ConfigConflict {
        /// The collection's name.
        name: String,
        /// The first field that differs.
        field: &'static str,
        /// Its value in the existing collection.
        expected: String,
        /// The requested value.
        got: String,
    },

    /// A document with this id exists.
    #[error("a document with id {id} already exists in collection \"{collection}\"")]
    DocumentExists {
        /// The collection's name.
        collection: String,
        /// The id.
        id: DocId,
    },

    /// The document has changed since the version that the caller expected.
    #[error("version mismatch for {id} in collection \"{collection}\": expected {expected}, got {}", OrAbsent(*got))]
    VersionMismatch {
        /// The collection's name.
        collection: String,
        /// The document's id.
        id: DocId,
        /// The version the caller expected.
        expected: Commit,
        /// The version of the document; `None` if there is no document with this id.
        got: Option<Commit>,
    },

    /// Another process or handle has the database open, or is changing the folder of backups.
    #[error("{} is in use by {holder}", path.display())]
    Busy {
        /// The folder of the database or of the backups.
        path: PathBuf,
        /// The holder, as described by its lock file.
        holder: String,
    },

    /// Bytes on disk differ from those that were written. Nothing was changed.
    #[error("corruption in {what}: {detail}")]
    Corruption {
        /// Which file, family or row.
        what: String,
        /// The expected and the found content.
        detail: String,
    },

    /// A forked child of the process that had the database open also wrote to its log. Nothing was
    /// changed.
    #[error(
        "corruption in {log}: expected sequence number {expected} at byte {offset}, got {got}: a forked child of the \
         process that had the database open wrote to it too. Opening it for writing with `Options::accept_loss(true)` \
         takes out the shorter of the two chains of records, most often the child's, and keeps the log as it was \
         beside the data; otherwise restore a backup"
    )]
    ForeignRecords {
        /// The log's name.
        log: String,
        /// Offset in the log, in bytes.
        offset: usize,
        /// The sequence number that should follow.
        expected: u64,
        /// The sequence number in the log.
        got: u64,
    },

    /// Commits that were acknowledged as durable are missing. Nothing was changed.
    #[error(
        "data loss: commits {from} to {to} were durable and are missing; restore a backup, or open with \
         `Options::accept_loss(true)` to go on without them"
    )]
    DataLoss {
        /// The first missing commit.
        from: Commit,
        /// The last missing commit.
        to: Commit,
    },

    /// A newer version of this library wrote the database, or the database uses a feature that this
    /// version does not know.
    #[error("unsupported format of {what}: expected at most {supported}, got {found}; nothing was changed")]
    UnsupportedFormat {
        /// The thing that carries the version.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version this library reads.
        supported: u32,
    },

    /// The database refuses writes for now; reads and searches work.
    #[error("database is read-only: {reason}")]
    ReadOnly {
        /// The reason, and what makes the database writable again.
        reason: String,
    },

    /// The database of this handle was closed.
    #[error("database is closed")]
    Closed,

    /// A [`Cancel`](crate::Cancel) ended the call early.
    #[error("cancelled")]
    Cancelled,

    /// The deadline ended the call. A read returns no part of its answer; a write was not applied.
    #[error("the deadline has passed")]
    Deadline,

    /// This process was forked from one that had opened a database. Nothing was touched. Only the
    /// process that opened a database may use its handles, and a child that was forked later may
    /// open none of its own.
    #[error(
        "this process was forked from one that had opened a database, and can use none: expected the process that \
         opened it, or one that was forked before; start another program, or fork before the first open"
    )]
    Forked,

    /// The storage engine failed during a commit. [`Error::outcome`] returns what became of the
    /// write.
    #[error("commit {commit} failed ({outcome}): {reason}")]
    Commit {
        /// The commit's number.
        commit: Commit,
        /// The outcome of the write.
        outcome: Outcome,
        /// The engine's message.
        reason: String,
    },

    /// The storage engine failed outside of a commit.
    #[error("storage failed while {doing}: {source}")]
    Storage {
        /// The failed action.
        doing: &'static str,
        /// The engine's message.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Documents that a [`Writer`](crate::Writer) wrote together failed together.
    #[error(transparent)]
    Shared(std::sync::Arc<Error>),

    /// The system has no memory for more documents.
    #[error("no memory for {n_documents} documents: {source}")]
    OutOfMemory {
        /// Documents for which memory was requested, in all.
        n_documents: usize,
        /// The system's error.
        source: std::io::Error,
    },

    /// Memory would exceed [`Options::memory_limit`](crate::Options::memory_limit), even without
    /// exact vectors.
    #[error("over the memory limit: expected at most {limit} bytes without exact vectors, got {needed}")]
    MemoryLimit {
        /// The limit.
        limit: usize,
        /// Bytes that codes, links, caches and bookkeeping would take.
        needed: usize,
    },

    /// The process may use too little address space for an open database. Nothing was allocated.
    #[error(
        "too little address space to open a database: expected {needed} bytes beside the {used} in use, got a limit of \
         {limit}; raise it (`ulimit -v`), or lower `Options::memory_bytes` or `Options::link_threads`"
    )]
    AddressSpace {
        /// Most bytes that an open database may take.
        needed: u64,
        /// Bytes in use.
        used: u64,
        /// The limit.
        limit: u64,
    },

    /// The process, or the system, may open no more files. The requested action did not happen.
    #[error(
        "out of file descriptors while {doing}: {source}; raise the limit of open files (`ulimit -n`) or have fewer \
         open"
    )]
    OutOfDescriptors {
        /// The failed action.
        doing: String,
        /// The message of the engine or the operating system.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A file operation failed.
    #[error("{doing} {} failed: {source}", path.display())]
    Io {
        /// The failed action.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
}

/// The place at which a document violates a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The collection's name.
    pub collection: String,
    /// The namespace's name; empty for the default one.
    pub namespace: String,
    /// The document's id.
    pub id: DocId,
    /// The path of the field, cut if it is long.
    pub field: String,
    /// The schema's expectation of this path.
    pub expected: String,
    /// The document's value at this path, cut if it is long.
    pub got: String,
}

/// The outcome of a write that returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was written, and nothing will appear later. Correct the cause and try again.
    NotApplied,
    /// The write is visible, but the disk refused to confirm it. A power loss may undo it.
    NotDurable,
    /// The write is not visible now, and may or may not appear after the next open. Read before
    /// trying again, or give the batch an operation id, which makes a second try harmless.
    Unknown,
}

/// Kinds of errors, by what a caller should do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is wrong: correct it. The same call fails again.
    InvalidArgument,
    /// Something that the call names does not exist: create it, or treat it as absent.
    NotFound,
    /// Something that the call would create exists: use it, or choose another name.
    AlreadyExists,
    /// Another writer changed something that the call relies on: read it again, then decide.
    Conflict,
    /// Another holder has the database open: wait, or ask the holder named in the message.
    Busy,
    /// Stored bytes are damaged, missing or too new: restore a backup, or upgrade. Nothing was
    /// changed.
    Corruption,
    /// The database cannot do this at the moment (disk full, closed): remove the cause, then try
    /// again.
    Unavailable,
    /// The storage engine or the operating system failed, as the message describes.
    Internal,
    /// The process has reached a limit of the system: raise the limit or use less, then try again.
    Exhausted,
    /// The caller ended the call early: call again to finish it.
    Cancelled,
    /// The deadline passed before the call ended: allow more time, or ask for less.
    Deadline,
    /// The process is a forked child of the one that opened the database: call from that process,
    /// or start another program.
    Forked,
}

impl Error {
    /// The kind of the error, which tells what the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::DimensionMismatch { .. }
            | Error::InvalidVector { .. }
            | Error::InvalidId { .. }
            | Error::InvalidName { .. }
            | Error::InvalidMetadata { .. }
            | Error::SchemaViolation(_)
            | Error::InvalidFilter { .. }
            | Error::InvalidJson { .. }
            | Error::InvalidConfig { .. }
            | Error::LimitExceeded { .. } => ErrorKind::InvalidArgument,
            Error::InBatch { source, .. } | Error::InQuery { source, .. } => source.kind(),
            Error::Shared(error) => error.kind(),
            Error::CollectionNotFound { .. }
            | Error::DatabaseNotFound { .. }
            | Error::DanglingLink { .. }
            | Error::DocumentNotFound { .. }
            | Error::BackupNotFound { .. } => ErrorKind::NotFound,
            Error::CollectionExists { .. } | Error::ConfigConflict { .. } | Error::DocumentExists { .. } => {
                ErrorKind::AlreadyExists
            }
            Error::VersionMismatch { .. } => ErrorKind::Conflict,
            Error::Busy { .. } => ErrorKind::Busy,
            Error::Corruption { .. }
            | Error::DataLoss { .. }
            | Error::ForeignRecords { .. }
            | Error::UnsupportedFormat { .. } => ErrorKind::Corruption,
            Error::ReadOnly { .. } | Error::Closed | Error::OutOfMemory { .. } | Error::MemoryLimit { .. } => {
                ErrorKind::Unavailable
            }
            Error::Commit { .. } => ErrorKind::Unavailable,
            Error::Forked => ErrorKind::Forked,
            Error::AddressSpace { .. } | Error::OutOfDescriptors { .. } => ErrorKind::Exhausted,
            Error::Cancelled => ErrorKind::Cancelled,
            Error::Deadline => ErrorKind::Deadline,
            Error::Storage { .. } | Error::Io { .. } => ErrorKind::Internal,
        }
    }

    /// The outcome of the write that returned this error. Only a failed commit can leave a trace.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Commit { outcome, .. } => *outcome,
            Error::Shared(error) => error.outcome(),
            _ => Outcome::NotApplied,
        }
    }

    /// The error that stopped background work, for a caller that waits for this work. It is the
    /// same error where it can be copied. A `Commit` error becomes `ReadOnly`, since the failed
    /// commit was not the caller's.
    pub(crate) fn restated(&self) -> Error {
        let told = |source: &dyn std::fmt::Display| std::io::Error::other(source.to_string());
        match self {
            Error::ReadOnly { reason } => Error::ReadOnly { reason: reason.clone() },
            Error::Commit { reason, .. } => Error::ReadOnly { reason: reason.clone() },
            Error::Closed => Error::Closed,
            Error::Forked => Error::Forked,
            Error::Cancelled => Error::Cancelled,
            Error::Deadline => Error::Deadline,
            Error::Corruption { what, detail } => Error::corruption(what.clone(), detail.clone()),
            Error::MemoryLimit { limit, needed } => Error::MemoryLimit { limit: *limit, needed: *needed },
            Error::OutOfMemory { n_documents, source } => {
                Error::OutOfMemory { n_documents: *n_documents, source: told(source) }
            }
            Error::Io { doing, path, source } => Error::io(doing, path.clone(), told(source)),
            Error::OutOfDescriptors { doing, source } => Error::out_of_descriptors(doing, source.to_string()),
            Error::Storage { doing, source } => Error::Storage { doing, source: source.to_string().into() },
            other => Error::Storage { doing: "working in the background", source: other.to_string().into() },
        }
    }

    pub(crate) fn corruption(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Error::Corruption { what: what.into(), detail: detail.into() }
    }

    /// Makes the error of a failed file operation, which is `OutOfDescriptors` if no descriptor was
    /// left.
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        let path = path.into();
        match source.raw_os_error() {
            Some(EMFILE | ENFILE) => Error::out_of_descriptors(format!("{doing} {}", path.display()), source),
            _ => Error::Io { doing, path, source },
        }
    }

    pub(crate) fn out_of_descriptors(
        doing: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Error::OutOfDescriptors { doing: doing.into(), source: source.into() }
    }

    pub(crate) fn in_batch(self, index: usize, id: Option<&DocId>) -> Self {
        let id = id.map_or_else(|| "new document".to_owned(), |id| format!("id {:.80}", id.to_string()));
        Error::InBatch { index, id, source: Box::new(self) }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Outcome::NotApplied => "not applied",
            Outcome::NotDurable => "applied but not durable",
            Outcome::Unknown => "outcome unknown",
        })
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Violation { collection, namespace, id, field, expected, got } = self;
        write!(f, "field \"{field}\" of {:.80} in ", id.to_string())?;
        if !namespace.is_empty() {
            write!(f, "namespace \"{namespace}\" of ")?;
        }
        write!(f, "collection \"{collection}\": expected {expected}, got {got}")
    }
}

/// Displays a version that may be absent.
struct OrAbsent(Option<Commit>);

impl std::fmt::Display for OrAbsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(commit) => write!(f, "{commit}"),
            None => f.write_str("no document"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_was_expected_and_got() {
        let error = Error::DimensionMismatch { collection: "docs".into(), expected: 768, got: 384 };
        assert_eq!(error.to_string(), "dimension mismatch: collection \"docs\" expects 768, got 384");
        let error = error.in_batch(3, Some(&DocId::from("a")));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with("operation 3 of the batch (id a): dimension mismatch"));
    }

    #[test]
    fn a_want_of_descriptors_is_told_from_other_failures() {
        let of = |number| Error::io("opening", "file", std::io::Error::from_raw_os_error(number));
        for number in [EMFILE, ENFILE] {
            assert_eq!(of(number).kind(), ErrorKind::Exhausted);
            assert!(
                of(number).to_string().starts_with("out of file descriptors while opening file: Too many open files")
            );
            assert_eq!(of(number).restated().kind(), ErrorKind::Exhausted);
        }
        assert!([2, 13, 28].into_iter().all(|number| of(number).kind() == ErrorKind::Internal));
    }

    #[test]
    fn only_a_failed_commit_may_have_left_a_trace() {
        assert_eq!(Error::Closed.outcome(), Outcome::NotApplied);
        let failed = Error::Commit { commit: Commit(7), outcome: Outcome::Unknown, reason: "io".into() };
        assert_eq!(failed.outcome(), Outcome::Unknown);
        assert_eq!(failed.kind(), ErrorKind::Unavailable);
    }
}
