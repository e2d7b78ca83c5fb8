//! Shared by the parts of a collection, above all by its indexes, which are derived data.
//!
//! | file | owns |
//! |---|---|
//! | [`context`] | what every part of an open collection may ask for |
//! | [`source`], [`fetch`] | where rows are read from; rows by id or by slot |
//! | [`index`] | what every derived index can do; building it in pieces |
//! | [`lru`], [`entry_sum`] | a least-recently-used cache of rows; sums for verification |
//! | [`job`] | the jobs of a collection, their states and errors |
//! | [`notify`], [`bell`] | waiting for background work; waking the linker |
//!
//! Knows none of the indexes.

pub(crate) mod bell;
pub(crate) mod context;
pub(super) mod entry_sum;
mod fetch;
pub(crate) mod index;
pub(crate) mod job;
pub(super) mod lru;
pub(super) mod notify;
pub(crate) mod source;
