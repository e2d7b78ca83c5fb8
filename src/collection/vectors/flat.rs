//! The flat index: it keeps neither codes nor links. Searches compare all exact vectors.

use crate::collection::derived::notify::Waiting;

#[derive(Default)]
pub(crate) struct FlatIndex {
    /// For callers that wait for an index of any kind. Nobody has to wait for this one.
    pub(super) waiting: Waiting,
}
