//! Slots: when their documents exist, how many there are, and the numbers of namespaces.
//!
//! | file | owns |
//! |---|---|
//! | [`visibility`] | the visibility interval of a slot's document |
//! | [`census`] | the counts of a collection, all as of one commit |
//! | [`namespaces`] | names of namespaces and their numbers |
//!
//! Knows neither vectors nor rows of the store.

pub(super) mod census;
pub(super) mod namespaces;
pub(super) mod visibility;
