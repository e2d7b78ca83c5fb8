//! The on-disk format of RocksDB's content: every key and every value.
//!
//! | file | owns |
//! |---|---|
//! | [`key`] | every key and family name |
//! | [`record`] | documents, vectors, the commit log, the catalog |
//! | [`graph`] | rows, deltas and cursor of the HNSW graph |
//! | [`postings`], [`words`] | the inverted indexes of metadata and of words, and their merge operators |
//! | [`codec`] | the parts of every record: fixed fields, a version, a checksum |
//!
//! Owns layouts, their versions and their golden tests. Knows nothing of RocksDB, files or locks.

pub(crate) mod codec;
pub(crate) mod graph;
pub(crate) mod key;
pub(crate) mod postings;
pub(crate) mod record;
pub(crate) mod words;
