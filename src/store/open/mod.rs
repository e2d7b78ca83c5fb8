//! Opening a database: checks that no commit is missing, before any byte is changed.
//!
//! | file | owns |
//! |---|---|
//! | [`address_space`] | whether the process's limit of address space suffices |
//! | [`lock_file`], [`superblock`] | the two files beside RocksDB: the lock, and progress of the store |
//! | [`wal_scan`], [`foreign_records`] | records that RocksDB's reader loops at; records of a forked child |
//! | [`commit_log`] | reading the commit log |
//! | [`dry_open`] | the dry run, then the open for writing |
//!
//! Knows nothing of later commits.

mod address_space;
pub(crate) mod commit_log;
pub(crate) mod dry_open;
mod foreign_records;
pub(super) mod lock_file;
pub(super) mod superblock;
mod wal_scan;
