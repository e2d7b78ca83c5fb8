//! Shared by the indexes of a collection, which are derived data.
//!
//! | file | owns |
//! |---|---|
//! | [`lru`] | a least-recently-used cache of rows |
//! | [`notify`], [`bell`] | waiting for background work, and its errors; waking the linker |
//! | [`source`] | where rows are read from |
//!
//! Knows none of the indexes.

pub(crate) mod bell;
pub(super) mod lru;
pub(super) mod notify;
pub(crate) mod source;
