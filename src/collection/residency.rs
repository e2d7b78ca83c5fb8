//! How much is in memory: the limit for a whole database, bringing exact vectors in, and letting them go.
//!
//! Exact vectors are the one thing that memory can do without. They are let go as a whole, those of the largest
//! collection first, and searches that began before go on with them.
#![expect(unsafe_code, reason = "vectors are brought to where nobody can be reading")]

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Live;
use super::exact::Reader;
use super::index::IndexBytes;
use crate::config::{Options, Residency};
use crate::error::{Error, Result};
use crate::id::Slot;
use crate::store::record::VectorRow;
use crate::store::rocks::Snapshot;
use crate::store::{image, key};

/// Slots whose vectors are brought in before the linker looks up again.
const BATCH: usize = 4_096;
/// Of these, how many while commits wait.
const AT_ONCE: usize = 128;

/// How much a database may have in memory, and whose it is.
pub(crate) struct Budget {
    limit: Option<usize>,
    engine_bytes: usize,
    lives: Mutex<Vec<Weak<Live>>>,
}

/// Bytes of memory a collection takes, by part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Footprint {
    /// Exact vectors in memory.
    pub(crate) vectors: usize,
    /// Exact vectors in a mapped file; not counted among the others.
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

impl Budget {
    pub(crate) fn new(options: &Options) -> Self {
        Budget { limit: options.memory_limit, engine_bytes: options.memory_bytes, lives: Mutex::default() }
    }

    /// Takes a collection on. Its exact vectors come into memory only if there is room for them.
    ///
    /// # Errors
    /// `MemoryLimit` if there is none even for the rest.
    pub(crate) fn add(&self, live: &Arc<Live>) -> Result<()> {
        {
            let mut lives = self.lives.lock();
            lives.retain(|live| live.strong_count() > 0);
            lives.push(Arc::downgrade(live));
        }
        self.admit(0)?;
        let (slots, wanted) = (&live.memory.slots, live.store.options().residency_of(&live.config));
        if slots.exact.residency() != Residency::Disk {
            return Ok(());
        }
        let n_bytes = slots.n_slots() * slots.exact.dimension() * size_of::<f32>();
        if wanted == Residency::Ram && !self.has_room(n_bytes) {
            tracing::warn!(collection = live.id.0, "exact vectors stay on disk, to stay within the limit of memory");
            return Ok(());
        }
        let held = slots.exact.hold(wanted, &image::folder(live.store.folder(), live.id), slots.n_slots());
        held.or_else(|error| {
            tracing::warn!(collection = live.id.0, "exact vectors stay on disk: {error}");
            Ok(())
        })
    }

    fn lives(&self) -> Vec<Arc<Live>> {
        self.lives.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Bytes of memory that all of the database takes: collections, and what the engine may use.
    pub(crate) fn used(&self) -> usize {
        self.engine_bytes + self.lives().iter().map(|live| live.footprint().total()).sum::<usize>()
    }

    fn has_room(&self, n_bytes: usize) -> bool {
        self.limit.is_none_or(|limit| self.used().saturating_add(n_bytes) <= limit)
    }

    /// Makes room for so many bytes more, by letting go of exact vectors if need be.
    pub(crate) fn admit(&self, n_bytes: usize) -> Result<()> {
        let Some(limit) = self.limit else { return Ok(()) };
        while !self.has_room(n_bytes) {
            let lives = self.lives();
            let held = |live: &Arc<Live>| match live.config.has_codes() {
                true => live.footprint().vectors,
                false => 0,
            };
            match lives.iter().max_by_key(|live| held(live)).filter(|live| held(live) > 0) {
                Some(largest) => {
                    largest.memory.slots.exact.let_go();
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

impl Live {
    /// Bytes of memory, by part.
    pub(crate) fn footprint(&self) -> Footprint {
        let n_slots = self.memory.slots.n_slots();
        let (vectors, mapped) = self.memory.slots.exact.n_bytes(n_slots);
        let index = self.memory.index.as_ref().map(|index| index.n_bytes(n_slots)).unwrap_or_default();
        Footprint {
            vectors,
            mapped,
            index,
            postings: self.fields.n_bytes() + self.words.n_bytes(),
            rest: self.memory.n_bytes_of_rest(),
        }
    }

    /// Makes room in memory for new slots up to one.
    pub(crate) fn admit(&self, n_slots: usize) -> Result<()> {
        if self.budget.limit.is_none() {
            return Ok(());
        }
        let n_new = n_slots.saturating_sub(self.memory.slots.n_slots());
        let Footprint { vectors, index: IndexBytes { codes, links }, rest, .. } = self.footprint();
        let n_before = self.memory.slots.n_slots().max(1);
        // What a slot has taken so far on average is what another will take.
        let each = (vectors + codes + links + rest) / n_before;
        let least = self.config.dimension * if vectors > 0 { 5 } else { 1 };
        self.budget.admit(n_new.saturating_mul(each.max(least)))
    }

    /// Reads exact vectors as of a snapshot.
    pub(crate) fn reader<'l>(&'l self, snapshot: Option<&'l Snapshot>) -> Reader<'l> {
        self.memory.slots.exact.reader(self.source(snapshot).disk())
    }

    /// Brings some exact vectors to where they are held, if some are missing there. Returns whether there is more to do.
    pub(crate) fn bring_vectors(&self) -> Result<bool> {
        let held = self.memory.slots.exact.held();
        let Some(held) = held.as_ref().filter(|held| !held.is_complete()) else { return Ok(false) };
        let view = self.store.view();
        let source = self.source(Some(&view.snapshot));
        let (slots, from) = (&self.memory.slots, held.n_brought());
        let to = (from + BATCH).min(slots.n_slots());
        for from in (from..to).step_by(AT_ONCE) {
            let part = from as u32..(from + AT_ONCE).min(to) as u32;
            // Commits wait: no slot is given another document meanwhile.
            let is_here = self
                .memory
                .while_still(|| part.clone().map(Slot).all(|slot| !slots.is_alive(slot) || held.is_present(slot)));
            if is_here {
                continue;
            }
            let mut rows = Vec::with_capacity(AT_ONCE);
            let range = (key::vector(Slot(part.start), 0).to_vec(), key::vector(Slot(part.end), 0).to_vec());
            source.scan(&self.families.vectors, range, |key, value| {
                let generation = VectorRow::decode(value)?.generation;
                rows.push((key::read_vector(key)?.0, generation, source.disk().decode(value)?));
                Ok(())
            })?;
            self.memory.while_still(|| {
                for (slot, generation, row) in &rows {
                    // SAFETY: slots are written by commits alone, and those wait; nobody reads here what is not said to be here.
                    unsafe {
                        if slots.tenancy(*slot).generation == *generation && !held.is_present(*slot) {
                            held.put(*slot, row);
                        }
                    }
                }
            });
        }
        held.set_brought(to);
        self.memory.while_still(|| {
            // What was put since has been put there too.
            if to >= slots.n_slots() {
                held.set_complete();
            }
        });
        // Also where all are here now: whoever waited for them has work to do.
        Ok(true)
    }
}
