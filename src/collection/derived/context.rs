//! What every part of an open collection may ask for: its number and configuration, the store, and
//! the linker's signal.
//!
//! Owns no state in memory but the last commit that changed the collection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bell::LinkerSignal;
use super::source::RowSource;
use crate::config::CollectionConfig;
use crate::id::{CollectionId, Commit};
use crate::store::Store;
use crate::store::family::Families;
use crate::store::rocks::EngineSnapshot;

/// The surroundings of a collection's parts.
pub(crate) struct Context {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    pub(crate) store: Arc<Store>,
    pub(crate) families: Families,
    /// Wakes the linker.
    pub(crate) signal: Arc<LinkerSignal>,
    /// An upper bound of the last commit that changed the collection.
    pub(in crate::collection) last_change: AtomicU64,
}

impl Context {
    /// The rows of the collection: those of the snapshot, or without one the present ones.
    pub(crate) fn source<'c>(&'c self, snapshot: Option<&'c EngineSnapshot>) -> RowSource<'c> {
        RowSource { rocks: self.store.rocks(), families: &self.families, snapshot, config: &self.config, cancel: None }
    }

    /// Records that `commit` changed the collection. Only in the committer section.
    pub(in crate::collection) fn note_commit(&self, commit: Commit) {
        self.last_change.fetch_max(commit.0, Ordering::AcqRel);
    }

    /// An upper bound of the last commit that changed the collection.
    pub(crate) fn last_change(&self) -> Commit {
        Commit(self.last_change.load(Ordering::Acquire))
    }
}
