//! The memory limit of a whole database, and what shares it.
//!
//! Exact vectors are the part of memory that can be let go to stay within the limit, those of the
//! largest collection first.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::memory::Memory;
use super::vectors::IndexBytes;
use super::vectors::field::VectorField;
use super::vectors::full::HeldVectors;
use crate::config::Options;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::store::{Store, View};

/// The loading of exact vectors: of all documents that exist at the view's commit, also of those
/// that die meanwhile. Searches at an earlier commit read from disk what they do not find.
pub(crate) struct VectorLoad {
    pub(super) held: Arc<HeldVectors>,
    /// Kept until all vectors are there, so that none of these slots is given another document.
    pub(super) view: Arc<View>,
    /// Slots below this may hold a document at the view's commit.
    pub(super) n_slots: usize,
}

/// The memory limit of a database, and the collections that share it.
pub(crate) struct MemoryBudget {
    limit: Option<usize>,
    engine_bytes: usize,
    users: Mutex<Vec<Weak<dyn MemoryUser>>>,
}

/// A collection that takes memory.
pub(crate) trait MemoryUser: Send + Sync {
    /// Bytes of memory, by part.
    fn footprint(&self) -> Footprint;

    /// Bytes of the exact vectors that searches can do without.
    fn n_bytes_to_spare(&self) -> usize;

    /// Lets go of exact vectors, to stay within the limit.
    fn let_go(&self);

    /// Bytes of the files that are read while the collection is used, if they are the store's.
    fn n_bytes_read(&self, store: &Store) -> u64;
}

/// Bytes of memory a collection takes, by part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Footprint {
    /// Exact vectors in memory.
    pub(crate) vectors: usize,
    /// Exact vectors in a mapped file; not part of the total.
    pub(crate) mapped: usize,
    pub(crate) index: IndexBytes,
    /// Postings that are held.
    pub(crate) postings: usize,
    /// Slots, ids and namespaces.
    pub(crate) rest: usize,
}

impl Footprint {
    /// What `memory` takes, without postings.
    pub(crate) fn of(memory: &Memory) -> Self {
        let n_slots = memory.slots.n_slots();
        let VectorField { full, index, .. } = memory.vectors();
        let (vectors, mapped) = full.n_bytes(n_slots);
        Footprint { vectors, mapped, index: index.n_bytes(n_slots), postings: 0, rest: memory.n_bytes_of_rest() }
    }

    pub(crate) fn total(&self) -> usize {
        self.vectors + self.index.codes + self.index.links + self.postings + self.rest
    }
}

impl MemoryBudget {
    pub(crate) fn new(options: &Options) -> Self {
        MemoryBudget { limit: options.memory_limit, engine_bytes: options.memory_bytes, users: Mutex::default() }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// Counts the memory of a collection from now on.
    ///
    /// # Errors
    /// `MemoryLimit` if there is no room for it.
    pub(crate) fn add<U: MemoryUser + 'static>(&self, user: &Arc<U>) -> Result<()> {
        {
            let mut users = self.users.lock();
            users.retain(|user| user.strong_count() > 0);
            users.push(Arc::downgrade(user) as Weak<dyn MemoryUser>);
        }
        self.admit(0)
    }

    fn users(&self) -> Vec<Arc<dyn MemoryUser>> {
        self.users.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Bytes of memory that the database takes: its collections, and what the engine may use.
    pub(crate) fn used(&self) -> usize {
        self.engine_bytes + self.users().iter().map(|user| user.footprint().total()).sum::<usize>()
    }

    /// Resizes the engine's block cache to the files that are read through it.
    pub(crate) fn fit_cache(&self, store: &Store) {
        store.rocks().fit_cache(self.users().iter().map(|user| user.n_bytes_read(store)).sum());
    }

    pub(crate) fn has_room(&self, n_bytes: usize) -> bool {
        self.limit.is_none_or(|limit| self.used().saturating_add(n_bytes) <= limit)
    }

    /// Fails with `MemoryLimit` if there is no room for `n_bytes` more.
    pub(crate) fn check(&self, n_bytes: usize) -> Result<()> {
        match self.limit {
            Some(limit) if !self.has_room(n_bytes) => {
                Err(Error::MemoryLimit { limit, needed: self.used().saturating_add(n_bytes) })
            }
            _ => Ok(()),
        }
    }

    /// Makes room for `n_bytes` more, if need be by letting go of exact vectors that searches can
    /// do without.
    pub(crate) fn admit(&self, n_bytes: usize) -> Result<()> {
        failpoint::refuse("memory")?;
        while let Err(error) = self.check(n_bytes) {
            let users = self.users();
            let largest = users.iter().max_by_key(|user| user.n_bytes_to_spare());
            match largest.filter(|user| user.n_bytes_to_spare() > 0) {
                Some(largest) => largest.let_go(),
                None => return Err(error),
            }
        }
        Ok(())
    }
}
