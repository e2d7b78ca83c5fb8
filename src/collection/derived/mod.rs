//! Shared by the indexes of a collection, which are derived data.
//!
//! | file | owns |
//! |---|---|
//! | [`lru`] | a least-recently-used cache of rows |
//! | [`job`] | the jobs of a collection, their states and errors |
//! | [`notify`], [`bell`] | waiting for background work; waking the linker |
//! | [`source`] | where rows are read from |
//!
//! Knows none of the indexes.

pub(crate) mod bell;
pub(crate) mod job;
pub(super) mod lru;
pub(super) mod notify;
pub(crate) mod source;
