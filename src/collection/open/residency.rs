//! Where an open collection's exact vectors are: holding them, loading them after an open, and
//! letting go of them to stay within the memory limit.
//!
//! Vectors are let go as a whole. Searches that began before go on with them.
#![expect(unsafe_code, reason = "vectors are brought to where nobody can be reading")]

use std::ops::Range;
use std::sync::Arc;

use super::OpenCollection;
use crate::collection::budget::{Footprint, MemoryUser, VectorLoad};
use crate::collection::vectors::IndexBytes;
use crate::collection::vectors::field::VectorField;
use crate::collection::vectors::full::{HeldVectors, Reader};
use crate::config::Residency;
use crate::error::Result;
use crate::failpoint;
use crate::id::Slot;
use crate::store::family::Families;
use crate::store::files::image;
use crate::store::format::key;
use crate::store::{Store, View};

/// Slots whose vectors are loaded before the linker looks for other work.
const BATCH: usize = 4_096;

/// The block cache gets room for one byte in `FILTERS_SHARE` of the files of held vectors: for
/// their filters and indexes.
const FILTERS_SHARE: u64 = 16;

impl MemoryUser for OpenCollection {
    fn footprint(&self) -> Footprint {
        let postings = self.indexes.all().iter().map(|index| index.n_bytes()).sum();
        Footprint { postings, ..Footprint::of(&self.memory) }
    }

    fn n_bytes_to_spare(&self) -> usize {
        if self.config.has_codes() { Footprint::of(&self.memory).vectors } else { 0 }
    }

    fn let_go(&self) {
        self.memory.vectors().full.let_go();
        tracing::warn!(collection = self.id.0, "exact vectors leave memory, to stay within the limit");
    }

    /// Files of links are read at open only. Vectors that are held are read from files only along
    /// with documents: the cache needs their filters and indexes.
    fn n_bytes_read(&self, store: &Store) -> u64 {
        if !std::ptr::eq(&*self.store, store) {
            return 0;
        }
        let Families { vectors, documents, postings, .. } = &self.families;
        let n_bytes = |family| self.store.rocks().family_bytes(family);
        let is_held = self.memory.vectors().full.held().as_ref().is_some_and(|held| held.is_complete());
        let n_vectors = if is_held { n_bytes(vectors) / FILTERS_SHARE } else { n_bytes(vectors) };
        n_bytes(documents) + n_bytes(postings) + n_vectors
    }
}

impl OpenCollection {
    /// Adds a collection that nobody writes to yet to the memory limit. Its exact vectors come into
    /// memory only if there is room for them.
    ///
    /// # Errors
    /// `MemoryLimit` if there is no room even for the rest.
    pub(crate) fn enter_memory(self: &Arc<Self>) -> Result<()> {
        self.budget.add(self)?;
        if let Err(error) = self.hold_vectors() {
            tracing::warn!(collection = self.id.0, "exact vectors stay on disk: {error}");
        }
        self.begin_loading_vectors();
        Ok(())
    }

    /// Holds exact vectors where the residency asks for them.
    ///
    /// # Errors
    /// `MemoryLimit` if there is no room; `OutOfMemory`, `ReadOnly` or `Io` if the system has none.
    fn hold_vectors(&self) -> Result<()> {
        let (full, n_slots) = (&self.memory.vectors().full, self.memory.slots.n_slots());
        if full.residency() != Residency::Disk {
            return Ok(());
        }
        let wanted = self.store.options().residency_of(&self.config);
        if wanted == Residency::Ram {
            self.budget.check(n_slots * full.dimension() * size_of::<f32>())?;
        }
        full.hold(wanted, &image::folder(self.store.folder(), self.id), n_slots)
    }

    /// Makes room in memory for `n_slots` slots in all.
    pub(crate) fn admit(&self, n_slots: usize) -> Result<()> {
        if !self.budget.is_limited() {
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
        if !is_walked_by_codes && self.memory.vectors().full.residency() == Residency::Disk && !self.persist.has_ended()
        {
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
        if self.persist.has_ended() {
            return Ok(());
        }
        self.hold_vectors()?;
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
