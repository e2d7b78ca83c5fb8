//! Which documents may be hits: all of a namespace, or those that match a filter.

use crate::collection::matching::Matching;

/// What may be a hit: documents of the namespace that the search's moment is of.
pub(super) enum Field {
    /// All of them.
    All,
    /// All of them, which the moment lists, compared one by one.
    Listed,
    /// Those that match the filter, as far as postings tell.
    Matching(Matching),
}
