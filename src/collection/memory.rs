//! A collection's state in memory, by slot: whose document it is, its vector, code and links, and
//! which slots are free.
//!
//! All of it is derived from the store: an open takes it from an image or makes it again. Later,
//! documents change only by [`Applying::apply`], which cannot fail and runs after its commit is
//! written.
//!
//! Searches read without a lock (multi-version concurrency control, MVCC). Each slot has a
//! visibility interval ([`Life`]): the commits at which its document exists. So a search at one
//! commit sees exactly that commit, whatever is applied meanwhile. A slot is written again only
//! when no view shows its last document and no link leads to it.
#![expect(unsafe_code, reason = "ids, vectors and codes are written in place, where nobody can be reading")]

use std::cell::UnsafeCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::slots::census::{Census, SequenceLock};
use super::slots::visibility::Life;
use super::vectors::field::VectorField;
use crate::arena::{self, Cells, Plain, Rows, Shared};
use crate::error::{Error, Result};
use crate::id::{Commit, DocId, NamespaceId, Slot};
use crate::limits::MAX_DOCUMENTS;
use crate::quant::Code;
use crate::store::files::image::Image;
use crate::store::format::key;

pub(crate) struct Memory {
    pub(crate) slots: Slots,
    /// The vector fields: one so far.
    fields: [VectorField; 1],
    census: SequenceLock,
    ledger: RwLock<Ledger>,
    /// Slots to be reused once the oldest view is later than their commit, in the order of commits.
    retired: Mutex<VecDeque<(Commit, Slot)>>,
}

/// The slots: what searches read without a lock.
pub(crate) struct Slots {
    cells: Rows<Cell>,
    /// Ids of documents that were put, or read as rows, since the collection was opened.
    ids: Cells<IdCell>,
    /// Ids of all other documents: those of the image.
    kept_ids: OnceLock<KeptIds>,
    /// One more than the highest slot ever put.
    n_slots: AtomicUsize,
}

/// The document of a slot. The layout is that of images: 32 bytes without padding, all zero for a
/// slot that never had a document.
#[repr(C)]
struct Cell {
    life: Life,
    /// The commit that last changed the document.
    version: AtomicU64,
    generation: AtomicU32,
    namespace: AtomicU32,
}

impl Plain for Cell {}
impl Shared for Cell {}

/// Bytes of a slot's [`Cell`] in an image: visibility interval, version, generation and namespace.
pub(crate) const CELL_BYTES: usize = size_of::<Cell>();

/// A slot's id. Like a vector, it is written only while nobody can be reading.
#[derive(Default)]
struct IdCell(UnsafeCell<HeldId>);

/// Most bytes of a string that is held in its cell. With 22 the cell stays as large as a [`DocId`].
const SHORT: usize = 22;
const _: () = assert!(size_of::<IdCell>() == size_of::<DocId>());

/// An id as a slot holds it. A short string has no allocation of its own: a block of a few bytes
/// would keep a whole page of freed memory from the operating system.
#[derive(Default)]
enum HeldId {
    #[default]
    None,
    Short {
        n_bytes: u8,
        bytes: [u8; SHORT],
    },
    Other(DocId),
}

impl HeldId {
    fn new(id: DocId) -> Self {
        match &id {
            DocId::Str(text) if text.len() <= SHORT => {
                let mut bytes = [0; SHORT];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                HeldId::Short { n_bytes: text.len() as u8, bytes }
            }
            _ => HeldId::Other(id),
        }
    }

    fn id(&self) -> Option<DocId> {
        match self {
            HeldId::None => None,
            HeldId::Short { n_bytes, bytes } => {
                let text = std::str::from_utf8(&bytes[..usize::from(*n_bytes)]).ok()?;
                Some(DocId::Str(text.into()))
            }
            HeldId::Other(id) => Some(id.clone()),
        }
    }
}

// SAFETY: ids are read and written under the rules for slots that the module's documentation
// states.
unsafe impl Sync for IdCell {}

/// The ids in an image. `offsets` and `bytes` are its sections: where each id begins, and all ids.
struct KeptIds {
    image: Image,
    offsets: usize,
    bytes: usize,
}

impl KeptIds {
    fn find(&self, slot: Slot) -> Option<DocId> {
        let offsets = self.image.bytes(self.offsets).as_chunks::<8>().0;
        let at = |index: usize| Some(u64::from_ne_bytes(*offsets.get(index)?) as usize);
        key::read_bare_id(self.image.bytes(self.bytes).get(at(slot.0 as usize)?..at(slot.0 as usize + 1)?)?)
    }
}

/// The free slots, and the members of each namespace.
#[derive(Default)]
struct Ledger {
    free: Vec<Slot>,
    members: HashMap<NamespaceId, Vec<Slot>>,
    /// Each slot's namespace and its place among the namespace's members; `None` without a
    /// document.
    homes: Vec<Option<(NamespaceId, u32)>>,
    n_documents: usize,
}

/// A slot and the generation of its document. Once the generation has moved on, the slot holds
/// another document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tenancy {
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
}

/// A vector as it is compared, and its code.
#[derive(Debug)]
pub(crate) struct Comparable {
    pub(crate) row: Vec<f32>,
    pub(crate) code: Option<Code>,
}

/// The changes of one commit to memory.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) freed: Vec<Slot>,
    pub(crate) put: Vec<NewRow>,
    /// Documents that changed and stay in their slot.
    pub(crate) touched: Vec<Slot>,
}

impl Changes {
    /// The slots that are changed.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let put = self.put.iter().map(|new| new.tenancy.slot);
        put.chain(self.freed.iter().copied()).chain(self.touched.iter().copied())
    }
}

/// A document to be put into a slot.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) tenancy: Tenancy,
    pub(crate) namespace: NamespaceId,
    pub(crate) id: DocId,
    pub(crate) comparable: Comparable,
}

/// Slots to give out in one commit. None is taken until the commit is applied.
pub(crate) struct Allocation<'m> {
    slots: &'m Slots,
    ledger: RwLockReadGuard<'m, Ledger>,
    n_taken: usize,
}

/// Memory while commits are applied to it. Readers of a namespace's members wait until this is
/// dropped.
pub(crate) struct Applying<'m> {
    memory: &'m Memory,
    ledger: RwLockWriteGuard<'m, Ledger>,
}

/// Memory while no commit is applied to it: the store's view and memory show the same commit.
pub(crate) struct Still<'m> {
    memory: &'m Memory,
    ledger: RwLockReadGuard<'m, Ledger>,
}

impl Still<'_> {
    pub(crate) fn census(&self) -> Census {
        self.memory.census()
    }

    /// The slots of a namespace, in no order.
    pub(crate) fn members(&self, namespace: NamespaceId) -> &[Slot] {
        self.ledger.members(namespace)
    }
}

impl Memory {
    pub(crate) fn new(field: VectorField) -> Self {
        let slots =
            Slots { cells: Rows::new(1), ids: Cells::new(), kept_ids: OnceLock::new(), n_slots: AtomicUsize::new(0) };
        let (census, ledger, retired) = (SequenceLock::default(), RwLock::default(), Mutex::default());
        Memory { slots, fields: [field], census, ledger, retired }
    }

    /// The only vector field.
    #[inline(always)]
    pub(crate) fn vectors(&self) -> &VectorField {
        &self.fields[0]
    }

    /// Frees retired slots that no view shows any more. `oldest` is the commit of the oldest view.
    pub(crate) fn reclaim(&self, oldest: Commit) {
        let mut retired = self.retired.lock();
        let n_ripe = retired.iter().take_while(|(commit, _)| *commit < oldest).count();
        if n_ripe > 0 {
            let ripe = retired.drain(..n_ripe).map(|(_, slot)| slot);
            // A slot in use is never freed: a slot given to two documents could not be told from
            // damage.
            self.ledger.write().free.extend(ripe.filter(|&slot| !self.slots.is_alive(slot)));
        }
    }

    /// Retires slots that no link leads to. They become free once the oldest view is later than
    /// `seen_until`.
    pub(crate) fn retire(&self, slots: impl IntoIterator<Item = Slot>, seen_until: Commit) {
        self.retired.lock().extend(slots.into_iter().map(|slot| (seen_until, slot)));
    }

    /// Begins giving out slots: free ones first.
    pub(crate) fn allocate(&self) -> Allocation<'_> {
        Allocation { slots: &self.slots, ledger: self.ledger.read(), n_taken: 0 }
    }

    /// Reserves room for slots that will be put. After an error, what was there stays.
    pub(crate) fn reserve(&self, slots: impl Iterator<Item = Slot>) -> Result<()> {
        let n_slots = slots.map(|slot| slot.0 as usize + 1).max().unwrap_or(0);
        let failed = |source| Error::OutOfMemory { n_documents: n_slots, source };
        self.slots.cells.reserve(n_slots).map_err(failed)?;
        self.vectors().reserve(n_slots)
    }

    /// Begins to apply commits.
    pub(crate) fn write(&self) -> Applying<'_> {
        Applying { memory: self, ledger: self.ledger.write() }
    }

    /// The counts as of a published commit; `None` if two later commits have replaced them.
    pub(crate) fn census_at(&self, commit: Commit) -> Option<Census> {
        self.census.at(commit)
    }

    /// Whether several namespaces share the documents. A hint: the answer may be of another commit
    /// than the caller's view.
    pub(crate) fn hints_at_several(&self) -> bool {
        self.census.hints_at_several()
    }

    /// The counts as of the newest commit, which may not be published yet.
    pub(crate) fn census(&self) -> Census {
        self.census.newest()
    }

    /// Keeps commits from being applied while the guard is held.
    pub(crate) fn still(&self) -> Still<'_> {
        Still { memory: self, ledger: self.ledger.read() }
    }

    /// The namespaces that have documents.
    pub(crate) fn inhabited(&self) -> Vec<NamespaceId> {
        self.ledger.read().members.keys().copied().collect()
    }

    /// How many documents a namespace has now.
    pub(crate) fn n_members(&self, namespace: NamespaceId) -> usize {
        self.ledger.read().members(namespace).len()
    }

    /// The namespaces that have documents, and how many.
    pub(crate) fn populations(&self) -> Vec<(NamespaceId, usize)> {
        self.ledger.read().members.iter().map(|(namespace, members)| (*namespace, members.len())).collect()
    }

    /// The namespace of the document that a slot holds now; `None` without a document.
    pub(crate) fn namespace_of(&self, slot: Slot) -> Option<NamespaceId> {
        self.ledger.read().homes.get(slot.0 as usize)?.map(|(namespace, _)| namespace)
    }

    /// Puts rows while loading, in any order. A row replaces the document that an image has in its
    /// slot. No search reads yet.
    pub(super) fn load_rows(&self, rows: impl IntoIterator<Item = (NewRow, Commit)>) -> Result<()> {
        let mut writer = self.write();
        for (new, version) in rows {
            self.reserve(std::iter::once(new.tenancy.slot))?;
            let slot = new.tenancy.slot;
            writer.ledger.grow(slot);
            writer.ledger.dismiss(slot);
            writer.put(new, Commit(0));
            self.slots.touch(slot, version);
        }
        writer.count(Commit(0));
        Ok(())
    }

    /// Records while loading that a slot has no document.
    pub(super) fn load_free(&self, Tenancy { slot, generation }: Tenancy) -> Result<()> {
        self.reserve(std::iter::once(slot))?;
        let mut writer = self.write();
        writer.ledger.grow(slot);
        writer.ledger.dismiss(slot);
        self.slots.n_slots.fetch_max(slot.0 as usize + 1, Ordering::Release);
        if let Some(cell) = self.slots.cell(slot) {
            cell.life.end(0);
            cell.generation.store(generation, Ordering::Relaxed);
        }
        writer.count(Commit(0));
        Ok(())
    }

    /// Sets the version of the document in a slot, while loading.
    pub(super) fn load_version(&self, slot: Slot, version: Commit) {
        self.slots.touch(slot, version);
    }

    /// Takes up the cells and ids of an image of `n_slots` slots from its file. The last argument
    /// numbers its sections: cells, where ids begin, and ids. The memory must have no slots, and no
    /// search reads yet.
    pub(super) fn adopt(
        &self,
        image: Image,
        file: &File,
        n_slots: usize,
        [cells, offsets, bytes]: [usize; 3],
    ) -> std::io::Result<()> {
        self.slots.cells.adopt(file, image.section(cells).0, n_slots)?;
        self.vectors().full.reserve(n_slots).map_err(std::io::Error::other)?;
        self.slots.n_slots.store(n_slots, Ordering::Release);
        // The check of the image has read all of it into memory. From now on only its arrays are
        // read, through maps of their own, and few of its ids.
        for section in (0..).take_while(|&section| image.section(section).0 > 0) {
            // SAFETY: an image's bytes are a view of its file.
            unsafe { arena::let_go(image.bytes(section)) };
        }
        _ = self.slots.kept_ids.set(KeptIds { image, offsets, bytes });
        let mut writer = self.write();
        let ledger = &mut *writer.ledger;
        ledger.homes.resize(n_slots, None);
        // Neighbouring slots are mostly of one namespace, which is looked up once for all of them.
        let (mut namespace, mut members) = (NamespaceId::default(), Vec::with_capacity(n_slots));
        for slot in 0..n_slots as u32 {
            let Some(cell) = self.slots.cell(Slot(slot)).filter(|cell| cell.life.goes_on()) else { continue };
            let own = NamespaceId(cell.namespace.load(Ordering::Relaxed));
            if own != namespace {
                ledger.members.insert(namespace, members);
                members = ledger.members.remove(&own).unwrap_or_default();
                namespace = own;
            }
            ledger.homes[slot as usize] = Some((own, members.len() as u32));
            members.push(Slot(slot));
            ledger.n_documents += 1;
        }
        ledger.members.insert(namespace, members);
        ledger.members.retain(|_, members| !members.is_empty());
        writer.count(Commit(0));
        Ok(())
    }

    /// Ends loading by sorting all slots. The index takes up the documents that its graph does not
    /// hold (`is_held`). A slot without a document is free, unless the graph holds it: a walk may
    /// still pass through it.
    pub(super) fn settle(&self, is_held: impl Fn(Slot) -> bool) {
        let mut ledger = self.ledger.write();
        for slot in (0..self.slots.n_slots() as u32).map(Slot) {
            match (self.slots.is_alive(slot), is_held(slot)) {
                (true, false) => self.vectors().index.note_unlinked(slot, self.slots.namespace(slot)),
                (false, true) => self.vectors().index.note_dead_point(),
                (false, false) => ledger.free.push(slot),
                (true, true) => {}
            }
        }
        // Slots are given out from the end of `free`: the lowest comes first.
        ledger.free.reverse();
    }

    /// Bytes of bookkeeping: all but vectors, codes and links.
    pub(crate) fn n_bytes_of_rest(&self) -> usize {
        let ledger = self.ledger.read();
        let members = ledger.n_documents * size_of::<Slot>() + ledger.members.len() * BYTES_OF_A_NAMESPACE;
        let homes = ledger.homes.capacity() * size_of::<Option<(NamespaceId, u32)>>();
        let cells = self.slots.cells.bytes_of(self.slots.n_slots());
        cells + self.slots.ids.n_bytes() + members + homes + ledger.free.capacity() * size_of::<Slot>()
    }
}

/// Approximate bytes of a namespace beside its members' slots.
const BYTES_OF_A_NAMESPACE: usize = 64;

impl Slots {
    fn cell(&self, slot: Slot) -> Option<&Cell> {
        self.cells.get(slot.0)
    }

    fn id_cell(&self, slot: Slot) -> Option<&IdCell> {
        self.ids.get(slot.0 as usize)
    }

    /// Every slot that was ever put is below this.
    pub(crate) fn n_slots(&self) -> usize {
        self.n_slots.load(Ordering::Acquire)
    }

    /// A slot as it is now.
    pub(crate) fn tenancy(&self, slot: Slot) -> Tenancy {
        Tenancy { slot, generation: self.cell(slot).map_or(0, |cell| cell.generation.load(Ordering::Acquire)) }
    }

    /// Whether a slot's document exists at a commit in a namespace.
    pub(crate) fn is_visible(&self, slot: Slot, namespace: NamespaceId, commit: Commit) -> bool {
        self.cell(slot)
            .is_some_and(|cell| cell.life.exists_at(commit.0) && cell.namespace.load(Ordering::Relaxed) == namespace.0)
    }

    /// The namespace of the document that a slot holds, or held last.
    #[inline(always)]
    pub(crate) fn namespace(&self, slot: Slot) -> NamespaceId {
        NamespaceId(self.cell(slot).map_or(0, |cell| cell.namespace.load(Ordering::Relaxed)))
    }

    /// Whether a slot's document exists as of the newest commit applied.
    pub(crate) fn is_alive(&self, slot: Slot) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.goes_on())
    }

    /// Whether a slot's document exists at some commit from `oldest` on.
    pub(crate) fn is_needed(&self, slot: Slot, oldest: Commit) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.goes_beyond(oldest.0))
    }

    /// Whether a slot's document was put at `commit` or before.
    pub(crate) fn existed_by(&self, slot: Slot, commit: Commit) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.began_by(commit.0))
    }

    /// The id and version of a slot's document; `None` if it has changed since `commit`. The
    /// document exists at `commit`, and the caller holds a view of that commit.
    pub(crate) fn identity(&self, slot: Slot, commit: Commit) -> Option<(DocId, Commit)> {
        let cell = self.cell(slot)?;
        let version = Commit(cell.version.load(Ordering::Acquire));
        (version <= commit).then_some(())?;
        Some((self.id(slot)?, version))
    }

    /// The id of a slot's document. It exists at a commit of which the caller holds a view.
    pub(crate) fn id(&self, slot: Slot) -> Option<DocId> {
        // SAFETY: the document exists at a commit of which the caller holds a view, so its slot is
        // not written.
        let id = self.id_cell(slot).and_then(|id| unsafe { &*id.0.get() }.id());
        id.or_else(|| self.kept_ids.get()?.find(slot))
    }

    /// Whether a slot's document exists at a commit, in any namespace.
    pub(crate) fn exists_at(&self, slot: Slot, commit: Commit) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.exists_at(commit.0))
    }

    /// The commit that last changed a slot's document.
    pub(crate) fn version(&self, slot: Slot) -> Commit {
        Commit(self.cell(slot).map_or(0, |cell| cell.version.load(Ordering::Acquire)))
    }

    /// A slot as an image of `commit` holds it. `version` is the document's at that commit. Without
    /// a document then, only generation and namespace are set. The caller holds a view of the
    /// commit.
    pub(crate) fn cell_bytes(&self, slot: Slot, commit: Commit, version: Commit) -> [u8; CELL_BYTES] {
        let mut bytes = [0; CELL_BYTES];
        let Some(cell) = self.cell(slot) else { return bytes };
        let generation = u64::from(cell.generation.load(Ordering::Acquire));
        let namespace = u64::from(cell.namespace.load(Ordering::Acquire));
        let (begin, end) = if cfg!(target_endian = "little") { (0, 32) } else { (32, 0) };
        let words = match cell.life.exists_at(commit.0) {
            true => {
                let [born, died] = super::slots::visibility::FOR_EVER;
                [born, died, version.0, generation << begin | namespace << end]
            }
            false => [0, 0, 0, generation << begin | namespace << end],
        };
        bytes.as_chunks_mut().0.iter_mut().zip(words).for_each(|(bytes, word)| *bytes = word.to_ne_bytes());
        bytes
    }

    fn touch(&self, slot: Slot, commit: Commit) {
        if let Some(cell) = self.cell(slot) {
            cell.version.store(commit.0, Ordering::Release);
        }
    }

    /// Sets the id of a slot.
    ///
    /// # Safety
    /// Nobody else reads or writes this slot's id meanwhile.
    pub(super) unsafe fn load_id(&self, slot: Slot, id: DocId) {
        self.ids.reserve(slot.0 as usize);
        if let Some(cell) = self.id_cell(slot) {
            // SAFETY: by the caller's promise.
            unsafe { *cell.0.get() = HeldId::new(id) };
        }
    }

    /// Prefetches a slot's cell into the CPU cache.
    #[inline(always)]
    pub(crate) fn prefetch_cell(&self, slot: Slot) {
        if let Some(cell) = self.cell(slot) {
            crate::distance::prefetch(std::ptr::from_ref(cell).cast(), size_of::<Cell>());
        }
    }

    /// The first slot below the highest that was neither put nor noted as free.
    pub(super) fn first_unknown(&self) -> Option<Slot> {
        (0..self.n_slots() as u32).map(Slot).find(|&slot| self.tenancy(slot).generation == 0)
    }
}

/// Whether a document in an image's cells has a later version than the image's commit.
pub(super) fn has_later_versions(cells: &[u8], commit: Commit) -> bool {
    let word = |cell: &[u8], at: usize| cell[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    let (version, died) = (std::mem::offset_of!(Cell, version), 8);
    cells.chunks_exact(CELL_BYTES).any(|cell| word(cell, died) != 0 && word(cell, version) > commit.0)
}

impl Ledger {
    fn members(&self, namespace: NamespaceId) -> &[Slot] {
        self.members.get(&namespace).map_or(&[], Vec::as_slice)
    }

    fn grow(&mut self, slot: Slot) {
        if self.homes.len() <= slot.0 as usize {
            self.homes.resize(slot.0 as usize + 1, None);
        }
    }

    fn admit(&mut self, slot: Slot, namespace: NamespaceId) {
        self.grow(slot);
        let members = self.members.entry(namespace).or_default();
        self.homes[slot.0 as usize] = Some((namespace, members.len() as u32));
        members.push(slot);
        self.n_documents += 1;
    }

    /// Takes a slot from its namespace; false if it has none.
    fn dismiss(&mut self, slot: Slot) -> bool {
        let Some((namespace, place)) = self.homes[slot.0 as usize].take() else { return false };
        self.n_documents -= 1;
        let Some(members) = self.members.get_mut(&namespace) else { return true };
        members.swap_remove(place as usize);
        match members.get(place as usize).copied() {
            Some(moved) => self.homes[moved.0 as usize] = Some((namespace, place)),
            None if members.is_empty() => drop(self.members.remove(&namespace)),
            None => {}
        }
        true
    }
}

impl Applying<'_> {
    /// Applies a commit that is not published yet. New slots come, in order, from one
    /// [`Allocation`] made since the last call. Room for them is reserved.
    pub(crate) fn apply(&mut self, changes: Changes, commit: Commit) {
        let n_reused = changes.put.len().min(self.ledger.free.len());
        let n_free = self.ledger.free.len() - n_reused;
        self.ledger.free.truncate(n_free);
        for new in changes.put {
            let slot = new.tenancy.slot;
            self.put(new, commit);
            self.memory.vectors().index.note_put(slot);
        }
        for slot in changes.freed {
            self.release(slot, commit);
        }
        for slot in changes.touched {
            self.memory.slots.touch(slot, commit);
        }
        self.count(commit);
    }

    /// Gives a slot to a document and its vector to the index.
    fn put(&mut self, new: NewRow, commit: Commit) {
        let NewRow { tenancy: Tenancy { slot, generation }, namespace, id, comparable } = new;
        let (slots, VectorField { full, index, .. }) = (&self.memory.slots, self.memory.vectors());
        let Some(cell) = slots.cell(slot) else { return };
        // SAFETY: the slot was never used, or was retired: no view shows its last document any
        // more, and no link leads to it. Only the committer writes slots, and it holds the ledger.
        unsafe { full.put(slot, &comparable.row) };
        // SAFETY: as above.
        unsafe { index.put_code(slot, namespace, &comparable.row, comparable.code.as_ref()) };
        cell.generation.store(generation, Ordering::Relaxed);
        cell.namespace.store(namespace.0, Ordering::Relaxed);
        cell.version.store(commit.0, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { slots.load_id(slot, id) };
        cell.life.begin(commit.0);
        self.ledger.admit(slot, namespace);
        slots.n_slots.fetch_max(slot.0 as usize + 1, Ordering::Release);
    }

    /// Ends a slot's document from `commit` on.
    fn release(&mut self, slot: Slot, commit: Commit) {
        if !self.ledger.dismiss(slot) {
            return;
        }
        if let Some(cell) = self.memory.slots.cell(slot) {
            cell.life.end(commit.0);
        }
        if !self.memory.vectors().index.note_death(slot, self.memory.slots.namespace(slot)) {
            self.memory.retire([slot], Commit(commit.0 - 1));
        }
    }

    /// Enters the counts as of a commit into the census.
    fn count(&self, since: Commit) {
        let (ledger, n_slots) = (&self.ledger, self.memory.slots.n_slots());
        let n_namespaces = ledger.members.len();
        let sole = ledger.members.keys().next().copied().filter(|_| n_namespaces == 1);
        self.memory.census.enter(Census { since, n_documents: ledger.n_documents, n_namespaces, n_slots, sole });
    }
}

impl Allocation<'_> {
    /// The next slot, with the generation its new document gets.
    pub(crate) fn take(&mut self) -> Result<Tenancy> {
        let free = &self.ledger.free;
        let tenancy = match free.len().checked_sub(self.n_taken + 1).map(|last| free[last]) {
            Some(slot) => Tenancy { slot, generation: self.slots.tenancy(slot).generation + 1 },
            None => {
                let fresh = self.slots.n_slots() + (self.n_taken - free.len());
                if fresh >= MAX_DOCUMENTS {
                    let (limit, got) = (MAX_DOCUMENTS, fresh + 1);
                    return Err(Error::LimitExceeded { what: "documents in the collection", limit, got });
                }
                Tenancy { slot: Slot(fresh as u32), generation: 1 }
            }
        };
        self.n_taken += 1;
        Ok(tenancy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_held_as_it_is() {
        let long = "ß".repeat(SHORT / 2 + 1);
        let texts = ["a", "語", &long[2..], &long, &"x".repeat(512)].map(DocId::from);
        for id in texts.into_iter().chain([DocId::from(7), DocId::generate()]) {
            assert_eq!(HeldId::new(id.clone()).id(), Some(id));
        }
        assert_eq!(HeldId::default().id(), None);
        assert!(matches!(HeldId::new(DocId::from(&long[2..])), HeldId::Short { n_bytes: 22, .. }));
    }
}
