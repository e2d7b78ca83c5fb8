//! The search scope: all documents of a namespace, or those that match a filter.

use crate::collection::matching::Matching;

/// The documents that may be hits, among those of the namespace of the search's `Moment`.
pub(super) enum SearchScope {
    /// All documents of the namespace.
    All,
    /// All documents of the namespace, which the moment lists; each is compared.
    Listed,
    /// Documents that match the filter, definitely or possibly, by postings.
    Matching(Matching),
}
