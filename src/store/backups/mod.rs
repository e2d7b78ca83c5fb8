//! Backups.
//!
//! | file | owns |
//! |---|---|
//! | [`folder`] | which backups a folder holds, and whether those are whole |
//! | [`marker`] | which store a folder's backups belong to |
//!
//! Knows RocksDB's backup engine. Reads a database only from a copy.

pub(crate) mod folder;
mod marker;
