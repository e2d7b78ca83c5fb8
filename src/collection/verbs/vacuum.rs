//! Vacuum: giving back what deleted and replaced documents took, in memory and on disk, at once.
//!
//! All of it also comes back by itself. The linker sweeps dead points when they are many, the
//! engine compacts files as they grow, and freed memory is given back now and then. No one has to
//! call this.

use std::fmt;
use std::sync::{Arc, Weak};

use serde::Serialize;

use crate::cancel::Cancel;
use crate::collection::derived::job::Job;
use crate::collection::handle::{Collection, CollectionState, KeepAlive};
use crate::collection::open::OpenCollection;
use crate::collection::recovery::graph_log::Saving;
use crate::error::{Error, Result};
use crate::store::{Store, storage};
use crate::{heap, process};

/// A vacuum to be run; made by [`Collection::vacuum`] and
/// [`Database::vacuum`](crate::Database::vacuum).
#[must_use = "nothing is given back until `run`"]
#[derive(Clone)]
pub struct Vacuum {
    states: Vec<Arc<CollectionState>>,
    /// The store of a whole database; `None` for one collection.
    store: Option<Weak<Store>>,
    cancel: Cancel,
    _keep_alive: KeepAlive,
}

/// The result of a vacuum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Vacuumed {
    /// Collections that were vacuumed.
    pub n_collections: usize,
    /// Bytes of the collections' files before, without images and the log.
    pub disk_bytes_before: u64,
    /// Bytes of the collections' files afterwards, without images and the log.
    pub disk_bytes_after: u64,
}

impl Collection {
    /// Gives back the space of deleted and replaced documents. It takes their points out of the
    /// graph, rewrites (compacts) the collection's files without them, and writes its image. It
    /// empties the database's cache, and returns freed memory to the operating system. Searches and
    /// writes go on meanwhile. The slots of deleted documents keep their memory, for documents to
    /// come.
    ///
    /// A vacuum takes about as long as reading and writing all files of the collection. It needs as
    /// much free space as the largest family of its files. Documents that an older
    /// [`Snapshot`](crate::Snapshot) shows stay. No one has to call it: space comes back by itself
    /// while documents are written.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..1_000).map(|n| Document::new([n as f32 + 1.0]).id(n as u64)))?;
    /// notes.delete_many(0..900u64)?;
    /// let vacuumed = notes.vacuum().run()?;
    /// assert_eq!(vacuumed.n_collections, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn vacuum(&self) -> Vacuum {
        Vacuum::of(vec![self.state().clone()], None, self.keep_alive().clone())
    }
}

impl Vacuum {
    pub(crate) fn of(states: Vec<Arc<CollectionState>>, store: Option<Weak<Store>>, keep_alive: KeepAlive) -> Self {
        Vacuum { states, store, cancel: Cancel::default(), _keep_alive: keep_alive }
    }

    /// Ends the vacuum early with `Cancelled` once the flag is set: before the next family of
    /// files, or while points are taken out of the graph. Space that was given back before stays
    /// given back.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.cancel = cancel.clone();
        self
    }

    /// Gives the space back, and waits until that is done.
    ///
    /// # Errors
    /// `ReadOnly` while nothing can be written, or where rewriting would leave less free space than
    /// [`Options::min_free_bytes`](crate::Options::min_free_bytes); `Cancelled`;
    /// `CollectionNotFound` if the one collection was dropped; `Closed`; `Storage` if the engine
    /// fails; the error that keeps linking from going on (`OutOfMemory`, `MemoryLimit`, `Io`),
    /// after which nothing more is rewritten.
    pub fn run(self) -> Result<Vacuumed> {
        process::check()?;
        let store = self.store.as_ref().map(|store| store.upgrade().ok_or(Error::Closed)).transpose()?;
        let mut vacuumed = Vacuumed::default();
        for state in &self.states {
            self.cancel.check()?;
            let open = match state.opened() {
                // A vacuum of the whole database skips a collection that was dropped meanwhile.
                Err(Error::CollectionNotFound { .. }) if store.is_some() => continue,
                open => open?,
            };
            let n_bytes_before = open.disk_bytes();
            match (open.vacuum(&self.cancel), state.opened()) {
                (Ok(()), _) => {}
                (Err(_), Err(Error::CollectionNotFound { .. })) if store.is_some() => continue,
                (Err(_), Err(gone @ Error::CollectionNotFound { .. })) => return Err(gone),
                (Err(error), _) => return Err(error),
            }
            vacuumed.n_collections += 1;
            vacuumed.disk_bytes_before += n_bytes_before;
            vacuumed.disk_bytes_after += open.disk_bytes();
            open.store.rocks().clear_cache();
        }
        if let Some(store) = store {
            self.cancel.check()?;
            store.check_writable()?;
            store.vacuum_log()?;
        }
        heap::trim();
        // The linker gives back what its threads keep.
        self.states.iter().filter_map(|state| state.opened().ok()).for_each(|open| open.signal.notify());
        Ok(vacuumed)
    }
}

impl OpenCollection {
    /// Bytes of the collection's files, without the write-ahead log (WAL) and memtables.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.families.all().iter().map(|family| self.store.rocks().family_bytes(family)).sum()
    }

    fn vacuum(&self, cancel: &Cancel) -> Result<()> {
        self.store.check_writable()?;
        let is_swept = self.memory.vectors().index.ask_for_sweep();
        let is_over = || is_swept() || cancel.is_cancelled();
        self.wait_for_jobs(self.memory.vectors().index.waiting(), Job::TO_LINK, is_over)?;
        cancel.check()?;
        self.saver().save(Saving::All)?;
        self.store.flush_families(std::iter::once(&self.families))?;
        for family in self.families.all() {
            cancel.check()?;
            let n_bytes = self.store.rocks().family_bytes(family);
            self.store.check_space(usize::try_from(n_bytes).unwrap_or(usize::MAX))?;
            // This asks the threads that rewrite files to give back what that took.
            heap::ask();
            self.store.rocks().compact(family).map_err(storage("rewriting files"))?;
        }
        self.store.check_writable()
    }
}

impl fmt::Debug for Vacuum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.states.iter().map(|state| state.name()).collect();
        f.debug_struct("Vacuum").field("collections", &names).finish()
    }
}
