//! Exact vectors, as they are compared: in memory, in a mapped file, or only in the `vectors`
//! family.
//!
//! Vectors held here are copies of rows on disk. They may be incomplete, as after an open, and may
//! be let go at any time. [`Exact::reader`] reads from disk any vector that is not held. Searches
//! take no lock.
//!
//! Every open begins with an empty mapped file, because an earlier one may hold vectors of commits
//! that were lost.
#![expect(unsafe_code, reason = "vectors are written in place, where nobody can be reading")]

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use crate::arena::Rows;
use crate::cancel::Stop;
use crate::config::Residency;
use crate::distance;
use crate::error::{Error, Result};
use crate::id::{Commit, Slot};
use crate::store::family::Families;
use crate::store::format::key;
use crate::store::format::record::VectorRow;
use crate::store::rocks::{EngineSnapshot, Rocks};
use crate::store::storage;

/// Vectors read from disk at once.
const FETCH: usize = 256;
const FILE_NAME: &str = "vectors";

/// A commit number that is never reached.
const NEVER: u64 = u64::MAX;

/// The exact vectors of a field.
pub(crate) struct Exact {
    dimension: usize,
    held: ArcSwapOption<HeldVectors>,
}

/// Vectors held in memory or in a mapped file, by slot.
pub(crate) struct HeldVectors {
    rows: Rows<f32>,
    dimension: usize,
    is_mapped: bool,
    /// The first commit whose documents all have their vectors here; [`NEVER`] until there is one.
    complete_since: AtomicU64,
    /// The slots whose vectors are held, one bit each.
    present: Rows<AtomicU32>,
    /// Slots below this have been visited by the loading of vectors after an open.
    n_loaded: AtomicUsize,
}

impl Exact {
    /// No vectors are held yet.
    pub(crate) fn new(dimension: usize) -> Self {
        Exact { dimension, held: ArcSwapOption::empty() }
    }

    /// Holds vectors from now on as `residency` asks, with room for `n_slots` slots. Vectors that
    /// exist already have to be loaded. A mapped file is in `folder`, which is created if need be.
    pub(crate) fn hold(&self, residency: Residency, folder: &Path, n_slots: usize) -> Result<()> {
        let held = match residency {
            Residency::Ram => HeldVectors::new(self.dimension, Rows::new(self.dimension), false),
            Residency::Mapped => HeldVectors::new(self.dimension, mapped(self.dimension, folder)?, true),
            Residency::Disk => return Ok(()),
        };
        let reserved = held.rows.reserve(n_slots).and_then(|()| held.present.reserve(n_slots.div_ceil(32)));
        if let Err(source) = reserved {
            if held.is_mapped {
                // The file with the room reserved so far is of no use.
                _ = std::fs::remove_file(folder.join(FILE_NAME));
            }
            return Err(no_room(n_slots, source));
        }
        self.held.store(Some(Arc::new(held)));
        Ok(())
    }

    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The vectors held now.
    pub(crate) fn held(&self) -> Guard<Option<Arc<HeldVectors>>> {
        self.held.load()
    }

    /// Whether `held` is what is held now.
    pub(crate) fn holds(&self, held: &Arc<HeldVectors>) -> bool {
        self.held().as_ref().is_some_and(|now| Arc::ptr_eq(now, held))
    }

    /// Lets go of the held vectors. Readers that use them keep them.
    pub(crate) fn let_go(&self) {
        self.held.store(None);
    }

    /// Where vectors are now.
    pub(crate) fn residency(&self) -> Residency {
        match &*self.held() {
            Some(held) if held.is_mapped => Residency::Mapped,
            Some(_) => Residency::Ram,
            None => Residency::Disk,
        }
    }

    /// Bytes in memory, and bytes in a mapped file, for `n_slots` slots.
    pub(crate) fn n_bytes(&self, n_slots: usize) -> (usize, usize) {
        match &*self.held() {
            Some(held) if held.is_mapped => (held.present.bytes_of(n_slots.div_ceil(32)), held.rows.bytes_of(n_slots)),
            Some(held) => (held.rows.bytes_of(n_slots) + held.present.bytes_of(n_slots.div_ceil(32)), 0),
            None => (0, 0),
        }
    }

    /// Of `n_slots` slots, the number whose vectors have been loaded.
    pub(crate) fn n_loaded(&self, n_slots: usize) -> usize {
        self.held().as_ref().map_or(0, |held| if held.is_complete() { n_slots } else { held.n_loaded() })
    }

    /// Reserves room for `n_slots` slots.
    pub(crate) fn reserve(&self, n_slots: usize) -> Result<()> {
        let held = self.held();
        let Some(held) = &*held else { return Ok(()) };
        let reserved = held.rows.reserve(n_slots).and_then(|()| held.present.reserve(n_slots.div_ceil(32)));
        reserved.map_err(|source| no_room(n_slots, source))
    }

    /// Holds the vector of a slot, if vectors are held.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's vector meanwhile.
    pub(crate) unsafe fn put(&self, slot: Slot, row: &[f32]) {
        if let Some(held) = &*self.held() {
            // SAFETY: the caller promises what `HeldVectors::put` asks for.
            unsafe { held.put(slot, row) };
        }
    }

    /// Reads vectors as of `commit`, from here or from `disk`, which must be as of that commit.
    pub(crate) fn reader<'r>(&self, disk: Disk<'r>, commit: Commit) -> Reader<'r> {
        let held = self.held();
        let is_complete = held.as_ref().is_some_and(|held| held.is_complete_at(commit));
        Reader { held, is_complete, disk }
    }
}

/// The error for a lack of room for the vectors of `n_slots` slots: on the disk of a mapped file,
/// or in memory.
fn no_room(n_slots: usize, source: std::io::Error) -> Error {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::ReadOnly {
            reason: format!(
                "no space on the disk for the mapped vectors of {n_slots} documents ({source}); writes resume once there is"
            ),
        },
        _ => Error::OutOfMemory { n_documents: n_slots, source },
    }
}

/// The file of a collection's mapped vectors, emptied, as rows.
fn mapped(dimension: usize, folder: &Path) -> Result<Rows<f32>> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io("creating", folder, error))?;
    let path = folder.join(FILE_NAME);
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.map_err(|error| Error::io("opening", &path, error))?;
    Ok(Rows::in_file(dimension, file))
}

impl HeldVectors {
    fn new(dimension: usize, rows: Rows<f32>, is_mapped: bool) -> Self {
        let (complete_since, present) = (AtomicU64::new(NEVER), Rows::new(1));
        HeldVectors { rows, dimension, is_mapped, complete_since, present, n_loaded: AtomicUsize::new(0) }
    }

    /// Whether there is a commit whose documents all have their vectors here.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete_since.load(Ordering::Acquire) != NEVER
    }

    /// Whether all documents that exist at `commit` have their vectors here.
    fn is_complete_at(&self, commit: Commit) -> bool {
        self.complete_since.load(Ordering::Acquire) <= commit.0
    }

    /// Records that all documents that exist at `since` or a later commit have their vectors here.
    pub(crate) fn set_complete(&self, since: Commit) {
        self.complete_since.store(since.0, Ordering::Release);
    }

    /// Slots below this have been visited by the loading of vectors after an open.
    pub(crate) fn n_loaded(&self) -> usize {
        self.n_loaded.load(Ordering::Acquire)
    }

    pub(crate) fn set_loaded(&self, n_slots: usize) {
        self.n_loaded.store(n_slots, Ordering::Release);
    }

    /// Whether a slot's vector is here.
    pub(crate) fn is_present(&self, slot: Slot) -> bool {
        let word = self.present.get(slot.0 / 32);
        word.is_some_and(|word| word.load(Ordering::Acquire) >> (slot.0 % 32) & 1 == 1)
    }

    /// The vector of a slot that is a point, waits to be linked, or holds a document at a commit in
    /// the caller's view. It must be here: present, or of a commit as of which all are.
    #[inline(always)]
    pub(crate) fn row(&self, slot: Slot) -> &[f32] {
        // SAFETY: such a slot is not written. It is retired before it is used again, and that only
        // once it is none of these (see `Memory::reclaim`, `HnswIndex::sweep`).
        unsafe { &self.rows.row(slot.0)[..self.dimension] }
    }

    /// Prefetches a vector into the CPU cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: Slot) {
        distance::prefetch(self.rows.start(slot.0).cast(), self.dimension * size_of::<f32>());
    }

    /// Holds the vector of a slot. Room must be reserved.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's vector meanwhile.
    pub(crate) unsafe fn put(&self, slot: Slot, row: &[f32]) {
        // SAFETY: nobody else reads or writes this vector, by the caller's promise.
        unsafe { self.rows.write(slot.0, row) };
        self.set_present(slot);
    }

    fn set_present(&self, slot: Slot) {
        if let Some(word) = self.present.get(slot.0 / 32) {
            word.fetch_or(1 << (slot.0 % 32), Ordering::AcqRel);
        }
    }
}

/// Where vectors are on disk, at which snapshot, and how they are compared.
#[derive(Clone, Copy)]
pub(crate) struct Disk<'r> {
    /// The number of the vector field.
    pub(crate) field: u16,
    pub(crate) rocks: &'r Rocks,
    pub(crate) families: &'r Families,
    pub(crate) snapshot: Option<&'r EngineSnapshot>,
    /// Whether vectors are compared at unit length.
    pub(crate) normalizes: bool,
}

/// Reads exact vectors as of one commit, wherever they are.
pub(crate) struct Reader<'r> {
    held: Guard<Option<Arc<HeldVectors>>>,
    /// Whether all vectors of the commit are held.
    is_complete: bool,
    disk: Disk<'r>,
}

impl Reader<'_> {
    /// The held vectors, complete or not.
    #[inline(always)]
    pub(crate) fn held(&self) -> Option<&HeldVectors> {
        self.held.as_deref()
    }

    /// The held vectors, if they are complete as of the commit.
    #[inline(always)]
    pub(crate) fn complete(&self) -> Option<&HeldVectors> {
        self.held().filter(|_| self.is_complete)
    }

    /// The vector of a slot, if it is held. The slot is a point, waits to be linked, or holds a
    /// document at the commit.
    #[inline(always)]
    pub(crate) fn get(&self, slot: Slot) -> Option<&[f32]> {
        let held = self.held()?;
        (self.is_complete || held.is_present(slot)).then(|| held.row(slot))
    }

    /// Shows the vectors of slots, each with its place in `slots`, in no order. The slots hold a
    /// document at the reader's commit. Fails if `stop` ends the call.
    pub(crate) fn each(&self, stop: &Stop, slots: &[Slot], mut visit: impl FnMut(usize, &[f32])) -> Result<()> {
        let mut missing: Vec<usize> = Vec::new();
        for (place, &slot) in slots.iter().enumerate() {
            if place % Stop::EVERY == Stop::EVERY - 1 {
                stop.check()?;
            }
            match self.get(slot) {
                Some(row) => visit(place, row),
                None => missing.push(place),
            }
        }
        missing.sort_unstable_by_key(|&place| slots[place]);
        for places in missing.chunks(FETCH) {
            stop.check()?;
            let wanted: Vec<Slot> = places.iter().map(|&place| slots[place]).collect();
            self.disk.each(&wanted, |index, row| {
                let row = row.ok_or_else(|| {
                    Error::corruption(format!("slot {}", wanted[index].0), "expected a vector, found none")
                })?;
                visit(places[index], &row);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Whether two slots have the same vector. False if one of them has none on disk, as after its
    /// document died.
    pub(crate) fn is_same(&self, a: Slot, b: Slot) -> bool {
        // Only vectors marked as present count, even in a complete reader. A slot may have been put
        // after the reader began, into other held vectors.
        if let Some(held) = self.held().filter(|held| held.is_present(a) && held.is_present(b)) {
            return held.row(a) == held.row(b);
        }
        let mut rows = [None, None];
        let read = self.disk.each(&[a, b], |index, row| {
            rows[index] = row;
            Ok(())
        });
        if let Err(error) = read {
            tracing::warn!("vectors that may be the same could not be read: {error}");
        }
        matches!(rows, [Some(a), Some(b)] if a == b)
    }
}

impl Disk<'_> {
    /// Shows the vectors of slots as they are compared, in the order of `slots`; `None` for a slot
    /// without one.
    pub(crate) fn each(
        &self,
        slots: &[Slot],
        mut visit: impl FnMut(usize, Option<Vec<f32>>) -> Result<()>,
    ) -> Result<()> {
        let keys: Vec<_> = slots.iter().map(|&slot| key::vector(slot, self.field)).collect();
        let rows =
            self.rocks.get_many(&self.families.vectors, self.snapshot, &keys).map_err(storage("reading vectors"))?;
        for (index, row) in rows.iter().enumerate() {
            visit(index, row.as_ref().map(|row| self.decode(row)).transpose()?)?;
        }
        Ok(())
    }

    /// Decodes a row into a vector as it is compared.
    pub(crate) fn decode(&self, row: &[u8]) -> Result<Vec<f32>> {
        let mut components = VectorRow::decode(row)?.components;
        if self.normalizes {
            distance::normalize(&mut components);
        }
        Ok(components)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_here_once_it_is_put_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        for residency in [Residency::Ram, Residency::Mapped] {
            let exact = Exact::new(3);
            exact.hold(residency, folder.path(), 10).unwrap();
            exact.reserve(2_000).unwrap();
            let held = exact.held();
            let held = held.as_ref().unwrap();
            assert!(!held.is_present(Slot(1_999)));
            // SAFETY: one thread.
            unsafe { exact.put(Slot(1_999), &[1.0, 2.0, 3.0]) };
            assert!(held.is_present(Slot(1_999)) && held.row(Slot(1_999)) == [1.0, 2.0, 3.0]);
            assert!(!held.is_present(Slot(1_998)) && !held.is_complete());
            assert_eq!(exact.residency(), residency);
            held.set_complete(Commit(7));
            assert!(held.is_complete() && held.is_complete_at(Commit(7)) && !held.is_complete_at(Commit(6)));
        }
    }

    #[test]
    fn a_mapped_file_begins_empty() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let exact = Exact::new(4);
            exact.hold(Residency::Mapped, folder.path(), 100).unwrap();
            let held = exact.held();
            let held = held.as_ref().unwrap();
            assert!(!held.is_present(Slot(7)));
            // SAFETY: one thread.
            unsafe { exact.put(Slot(7), &[1.0; 4]) };
            assert!(held.is_present(Slot(7)) && held.row(Slot(7)) == [1.0; 4]);
        }
    }

    #[test]
    fn what_is_let_go_is_no_longer_held() {
        let folder = tempfile::tempdir().unwrap();
        let exact = Exact::new(4);
        exact.hold(Residency::Ram, folder.path(), 10).unwrap();
        let before = exact.held();
        exact.let_go();
        assert_eq!((exact.residency(), exact.n_bytes(10)), (Residency::Disk, (0, 0)));
        assert!(before.is_some(), "whoever looks at it still does");
        exact.reserve(20).unwrap();
        // SAFETY: one thread.
        unsafe { exact.put(Slot(19), &[1.0; 4]) };
    }
}
