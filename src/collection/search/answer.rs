//! Answers: results before their documents are read.

use std::sync::Arc;

use crate::hit::Parts;
use crate::id::Slot;
use crate::value::Value;

/// A scored slot that a search has found, before it becomes a hit.
#[derive(Debug, Clone)]
pub(super) struct ScoredHit {
    pub(super) slot: Slot,
    pub(super) score: f32,
    pub(super) distance: f32,
    pub(super) parts: Option<Parts>,
    pub(super) group: Option<Arc<Value>>,
}
