//! Files and folders beside RocksDB's.
//!
//! | file | owns |
//! |---|---|
//! | [`image`] | files of a collection's arrays, mapped at open |
//! | [`atomic_dir`] | folders that appear whole or not at all; syncing a folder |
//!
//! Knows nothing of RocksDB.

pub(crate) mod atomic_dir;
pub(crate) mod image;
