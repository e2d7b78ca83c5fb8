//! The index of metadata: which slots have which value in which field.
//!
//! Postings are written in the batch of the documents they are of, and read as of the commit that a search sees; what is
//! asked for often is held in memory. All of it is derived: what is not indexed, or damaged, is told from the documents
//! themselves, and never counts as missing.
//!
//! | file | owns |
//! |---|---|
//! | [`rule`] | which fields are indexed, and their numbers |
//! | [`entries`] | what a commit changes |
//! | [`cache`], [`mod@column`] | what is held in memory |
//! | [`lookup`] | telling which documents match a filter |
//! | [`build`] | indexing documents that were there before |
//! | [`proof`] | holding postings against documents |
//!
//! It knows metadata, slots and rows of the store, but neither vectors nor the graph.

mod build;
mod cache;
mod column;
pub(crate) mod entries;
pub(crate) mod lookup;
mod proof;
mod rule;

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use self::cache::Cache;
use self::entries::Applied;
pub(crate) use self::rule::Known;
use super::waiting::Waiting;
use crate::config::CollectionConfig;
use crate::filter::lookup::Coverage;
use crate::id::Commit;

/// A collection's index of metadata, as far as it is in memory.
pub(crate) struct Fields {
    known: RwLock<Known>,
    cache: Cache,
    /// A row could not be read: nothing is told from postings until they have been made anew.
    is_damaged: AtomicBool,
    /// Rung when postings have been made.
    built: Waiting,
}

impl Fields {
    /// What is known of a collection's fields, and room for so many bytes of postings. Without anything known all is made
    /// anew.
    pub(crate) fn new(known: Option<Known>, config: &CollectionConfig, most_bytes: usize) -> Self {
        let is_damaged = known.is_none().into();
        let known = known.unwrap_or_else(|| Known::begin(config));
        Fields { known: RwLock::new(known), cache: Cache::new(most_bytes), is_damaged, built: Default::default() }
    }

    /// Takes over what a commit that is not published yet has changed.
    pub(crate) fn apply(&self, applied: Applied, commit: Commit) {
        if !applied.new_fields.is_empty() {
            let mut known = self.known.write();
            applied.new_fields.into_iter().for_each(|(path, id)| known.insert(path, id));
        }
        self.cache.apply(&applied.changes, commit);
    }

    /// Whether some postings are still being made.
    pub(crate) fn is_building(&self) -> bool {
        self.known.read().is_building() || self.is_damaged()
    }

    /// Waits until no postings are to be made any more, or `stopped`. Looks again whenever it is rung.
    pub(crate) fn wait(&self, stopped: impl Fn() -> bool) {
        self.built.wait_while(|| self.is_building() && !stopped());
    }

    /// Has those who wait look again.
    pub(crate) fn ring(&self) {
        self.built.ring();
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }

    /// Bytes of memory for postings that are held.
    pub(crate) fn n_bytes(&self) -> usize {
        self.cache.n_bytes()
    }

    /// The paths that have postings of every document that has them, in order.
    pub(crate) fn indexed(&self) -> Vec<String> {
        let known = self.known.read();
        let is_whole = |path: &str| matches!(known.coverage(path, Commit(u64::MAX)), Coverage::Indexed(_));
        let mut paths: Vec<String> = match self.is_damaged() {
            true => Vec::new(),
            false => known.iter().map(|(path, _)| path.to_owned()).filter(|path| is_whole(path)).collect(),
        };
        paths.sort_unstable();
        paths
    }
}
