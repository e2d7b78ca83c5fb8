//! The memory limit of a whole database, loading exact vectors, and letting go of them.
//!
//! Exact vectors are the part of memory that can be let go to stay within the limit. They are let
//! go as a whole, those of the largest collection first. Searches that began before go on with
//! them.
#![expect(unsafe_code, reason = "vectors are brought to where nobody can be reading")]

use std::ops::Range;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::open::OpenCollection;
use super::vectors::IndexBytes;
use super::vectors::field::VectorField;
use super::vectors::full::{HeldVectors, Reader};
use crate::config::{Options, Residency};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::Slot;
use crate::store::family::Families;
use crate::store::files::image;
use crate::store::format::key;
use crate::store::{Store, View};

/// Slots whose vectors are loaded before the linker looks for other work.
const BATCH: usize = 4_096;

/// The loading of exact vectors: of all documents that exist at the view's commit, also of those
/// that die meanwhile. Searches at an earlier commit read from disk what they do not find.
pub(crate) struct VectorLoad {
    held: Arc<HeldVectors>,
    /// Kept until all vectors are there, so that none of these slots is given another document.
    view: Arc<View>,
    /// Slots below this may hold a document at the view's commit.
    n_slots: usize,
}

/// The block cache gets room for one byte in `FILTERS_SHARE` of the files of held vectors: for
/// their filters and indexes.
const FILTERS_SHARE: u64 = 16;

/// The memory limit of a database, and the collections that share it.
pub(crate) struct MemoryBudget {
    limit: Option<usize>,
    engine_bytes: usize,
    open_collections: Mutex<Vec<Weak<OpenCollection>>>,
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
    pub(crate) fn total(&self) -> usize {
        self.vectors + self.index.codes + self.index.links + self.postings + self.rest
    }
}

impl MemoryBudget {
    pub(crate) fn new(options: &Options) -> Self {
        MemoryBudget {
            limit: options.memory_limit,
            engine_bytes: options.memory_bytes,
            open_collections: Mutex::default(),
        }
    }

    /// Adds a collection that nobody writes to yet. Its exact vectors come into memory only if
    /// there is room for them.
    ///
    /// # Errors
    /// `MemoryLimit` if there is no room even for the rest.
    pub(crate) fn add(&self, open: &Arc<OpenCollection>) -> Result<()> {
        {
            let mut open_collections = self.open_collections.lock();
            open_collections.retain(|open| open.strong_count() > 0);
            open_collections.push(Arc::downgrade(open));
        }
        self.admit(0)?;
        if let Err(error) = self.hold(open) {
            tracing::warn!(collection = open.id.0, "exact vectors stay on disk: {error}");
        }
        open.begin_loading_vectors();
        Ok(())
    }

    /// Holds a collection's exact vectors where its residency asks for them.
    ///
    /// # Errors
    /// `MemoryLimit` if there is no room; `OutOfMemory`, `ReadOnly` or `Io` if the system has none.
    fn hold(&self, open: &OpenCollection) -> Result<()> {
        let (full, n_slots) = (&open.memory.vectors().full, open.memory.slots.n_slots());
        if full.residency() != Residency::Disk {
            return Ok(());
        }
        let wanted = open.store.options().residency_of(&open.config);
        let n_bytes = n_slots * full.dimension() * size_of::<f32>();
        match self.limit {
            Some(limit) if wanted == Residency::Ram && !self.has_room(n_bytes) => {
                Err(Error::MemoryLimit { limit, needed: self.used().saturating_add(n_bytes) })
            }
            _ => full.hold(wanted, &image::folder(open.store.folder(), open.id), n_slots),
        }
    }

    fn open_collections(&self) -> Vec<Arc<OpenCollection>> {
        self.open_collections.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Bytes of memory that the database takes: its collections, and what the engine may use.
    pub(crate) fn used(&self) -> usize {
        self.engine_bytes + self.open_collections().iter().map(|open| open.footprint().total()).sum::<usize>()
    }

    /// Resizes the engine's block cache to the files that are read through it.
    pub(crate) fn fit_cache(&self, store: &Store) {
        let open_collections = self.open_collections();
        let own = open_collections.iter().filter(|open| std::ptr::eq(&*open.store, store));
        store.rocks().fit_cache(own.map(|open| open.n_bytes_read()).sum());
    }

    fn has_room(&self, n_bytes: usize) -> bool {
        self.limit.is_none_or(|limit| self.used().saturating_add(n_bytes) <= limit)
    }

    /// Makes room for `n_bytes` more, if need be by letting go of exact vectors that searches can
    /// do without.
    pub(crate) fn admit(&self, n_bytes: usize) -> Result<()> {
        failpoint::refuse("memory")?;
        let Some(limit) = self.limit else { return Ok(()) };
        while !self.has_room(n_bytes) {
            let open_collections = self.open_collections();
            let held = |open: &Arc<OpenCollection>| match open.config.has_codes() {
                true => open.footprint().vectors,
                false => 0,
            };
            match open_collections.iter().max_by_key(|open| held(open)).filter(|open| held(open) > 0) {
                Some(largest) => {
                    largest.memory.vectors().full.let_go();
                    tracing::warn!(
                        collection = largest.id.0,
                        limit,
                        "exact vectors leave memory, to stay within the limit"
                    );
                }
                None => return Err(Error::MemoryLimit { limit, needed: self.used().saturating_add(n_bytes) }),
            }
        }
        Ok(())
    }
}

impl OpenCollection {
    /// Bytes of memory, by part.
    pub(crate) fn footprint(&self) -> Footprint {
        let n_slots = self.memory.slots.n_slots();
        let VectorField { full, index, .. } = self.memory.vectors();
        let (vectors, mapped) = full.n_bytes(n_slots);
        Footprint {
            vectors,
            mapped,
            index: index.n_bytes(n_slots),
            postings: self.fields.n_bytes() + self.words.n_bytes(),
            rest: self.memory.n_bytes_of_rest(),
        }
    }

    /// Bytes of the files that are read while the collection is used. Files of links are read at
    /// open only. Vectors that are held are read from files only along with documents: the cache
    /// needs their filters and indexes.
    fn n_bytes_read(&self) -> u64 {
        let Families { vectors, documents, postings, .. } = &self.families;
        let n_bytes = |family| self.store.rocks().family_bytes(family);
        let is_held = self.memory.vectors().full.held().as_ref().is_some_and(|held| held.is_complete());
        let n_vectors = if is_held { n_bytes(vectors) / FILTERS_SHARE } else { n_bytes(vectors) };
        n_bytes(documents) + n_bytes(postings) + n_vectors
    }

    /// Makes room in memory for `n_slots` slots in all.
    pub(crate) fn admit(&self, n_slots: usize) -> Result<()> {
        if self.budget.limit.is_none() {
            return Ok(());
        }
        let n_new = n_slots.saturating_sub(self.memory.slots.n_slots());
        let Footprint { vectors, index: IndexBytes { codes, links }, rest, .. } = self.footprint();
        let n_before = self.memory.slots.n_slots().max(1);
        // Another slot will take what a slot has taken so far on average.
        let each = (vectors + codes + links + rest) / n_before;
        let least = self.config.dimension * if vectors > 0 { 5 } else { 1 };
        self.budget.admit(n_new.saturating_mul(each.max(least)))
    }

    /// Reads exact vectors as of a view.
    pub(crate) fn reader<'l>(&'l self, view: &'l View) -> Reader<'l> {
        let VectorField { id, full, .. } = self.memory.vectors();
        full.reader(self.source(Some(&view.snapshot)).disk(*id), view.commit)
    }

    /// Begins to load exact vectors, if some are missing where they are held. The caller keeps
    /// commits out meanwhile.
    fn begin_loading_vectors(&self) {
        let (slots, held) = (&self.memory.slots, self.memory.vectors().full.held());
        if let Some(held) = held.as_ref().filter(|held| !held.is_complete()) {
            match (self.store.view(), slots.n_slots()) {
                (view, 0) => held.set_complete(view.commit),
                (view, n_slots) => *self.vector_load.lock() = Some(VectorLoad { held: held.clone(), view, n_slots }),
            }
        }
    }

    /// Whether exact vectors are being loaded.
    pub(crate) fn is_loading_vectors(&self) -> bool {
        self.vector_load.lock().is_some()
    }

    /// Whether no exact vectors are being loaded. In a collection without codes, all have to be
    /// held too.
    pub(crate) fn is_settled(&self) -> bool {
        let is_held = || self.memory.vectors().full.held().as_ref().is_some_and(|held| held.is_complete());
        !self.is_loading_vectors() && (self.config.has_codes() || is_held())
    }

    /// Whether the opening keeps exact vectors on disk.
    pub(crate) fn keeps_on_disk(&self) -> bool {
        self.store.options().residency_of(&self.config) == Residency::Disk
    }

    /// Whether vectors are held and there is room in memory for all of them once more.
    pub(crate) fn may_hold_all(&self) -> bool {
        let full = &self.memory.vectors().full;
        let n_bytes = self.memory.slots.n_slots() * full.dimension() * size_of::<f32>();
        full.residency() != Residency::Disk && self.budget.has_room(n_bytes)
    }

    /// Loads some exact vectors, if some are missing where they are held. Returns whether it did.
    ///
    /// # Errors
    /// In a collection without codes: the error that keeps vectors from being held or read.
    pub(crate) fn load_vectors(&self) -> Result<bool> {
        let is_walked_by_codes = self.config.has_codes();
        if !is_walked_by_codes && self.memory.vectors().full.residency() == Residency::Disk && !self.has_ended() {
            self.hold_late()?;
        }
        let vectors_loaded = self.load_some_vectors();
        if vectors_loaded.is_err() {
            // A failed read must not keep its view. Where the graph needs vectors, the next try
            // begins with another view.
            self.memory.vectors().full.let_go();
            *self.vector_load.lock() = None;
        }
        if !self.is_loading_vectors() {
            self.vectors_loaded.notify();
        }
        match vectors_loaded {
            Err(error) if is_walked_by_codes => {
                tracing::error!(collection = self.id.0, "exact vectors stay on disk: {error}");
                Ok(true)
            }
            vectors_loaded => vectors_loaded,
        }
    }

    /// Holds exact vectors that could not be held when the collection was opened. Points of the
    /// graph that died since may have no vector anywhere.
    fn hold_late(&self) -> Result<()> {
        if self.store.options().residency_of(&self.config) == Residency::Mapped {
            self.store.check_space(self.memory.slots.n_slots() * self.config.dimension * size_of::<f32>())?;
        }
        // No commit may come between: from here on, commits put vectors where they are held.
        let _held = self.store.hold();
        if self.has_ended() {
            return Ok(());
        }
        self.budget.hold(self)?;
        self.memory.vectors().index.distrust();
        self.begin_loading_vectors();
        Ok(())
    }

    fn load_some_vectors(&self) -> Result<bool> {
        let mut vector_load = self.vector_load.lock();
        let Some(VectorLoad { held, view, n_slots }) = &*vector_load else { return Ok(false) };
        failpoint::refuse("vectors")?;
        failpoint::hit("vectors.some");
        if self.memory.vectors().full.holds(held) {
            let end = (held.n_loaded() + BATCH).min(*n_slots);
            self.bring(held, view, held.n_loaded() as u32..end as u32)?;
            held.set_loaded(end);
            if end < *n_slots {
                return Ok(true);
            }
            // Commits after the view have put their vectors there themselves.
            held.set_complete(view.commit);
        }
        *vector_load = None;
        // Work that needed these vectors can go on.
        Ok(true)
    }

    /// Loads the vectors of slots that hold a document at a view.
    fn bring(&self, held: &HeldVectors, view: &View, slots: Range<u32>) -> Result<()> {
        let is_here = |slot: Slot| !self.memory.slots.exists_at(slot, view.commit) || held.is_present(slot);
        if slots.clone().map(Slot).all(is_here) {
            return Ok(());
        }
        let (source, field) = (self.source(Some(&view.snapshot)), self.memory.vectors().id);
        let range = (key::vector(Slot(slots.start), field).to_vec(), key::vector(Slot(slots.end), field).to_vec());
        source.scan(&self.families.vectors, range, |key, value| {
            let (slot, row) = (key::read_vector(key)?.0, source.disk(field).decode(value)?);
            if !held.is_present(slot) {
                // SAFETY: the slot holds a document at a commit of which we hold a view, so no
                // commit writes it. Nobody reads a vector here that is not marked present. Nobody
                // else loads vectors.
                unsafe { held.put(slot, &row) };
            }
            Ok(())
        })
    }
}
