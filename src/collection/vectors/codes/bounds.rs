//! How many documents are read and compared when codes are measured.

/// The most documents that queries are compared with, if vectors are in memory.
pub(super) const MOST_COMPARED: usize = 1 << 20;

/// The most documents that queries are compared with, if vectors are on disk.
pub(super) const MOST_READ: usize = 1 << 13;

/// The most documents on which other codes are tried.
pub(super) const MOST_TRIED: usize = 1 << 16;

/// With fewer documents, codes are not measured.
pub(super) const LEAST_DOCUMENTS: usize = 100;
