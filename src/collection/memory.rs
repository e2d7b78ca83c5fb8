//! What a collection holds in memory, by slot: whose document it is, its vector, code and links, and which slots are
//! free.
//!
//! Everything here is derived from the store and taken up or remade at open. It changes only by [`Applying::apply`],
//! which cannot fail and runs after its commit is written.
//!
//! Searches read without a lock. A slot says from which commit and up to which its document exists, so a search that
//! looks at one commit sees exactly that one, whatever is applied meanwhile. A slot is written again only once no one
//! looks at a commit at which its document existed, and no link leads to it.
#![expect(unsafe_code, reason = "ids, vectors and codes are written in place, where nobody can be reading")]

use std::cell::UnsafeCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::census::{Census, Register};
use super::exact::Exact;
use super::index::Index;
use super::life::Life;
use crate::arena::{self, Cells, Plain, Rows, Shared};
use crate::error::{Error, Result};
use crate::id::{Commit, DocId, NamespaceId, Slot};
use crate::limits::MAX_DOCUMENTS;
use crate::quant::Code;
use crate::store::image::Image;
use crate::store::key;

pub(crate) struct Memory {
    pub(crate) slots: Slots,
    pub(crate) index: Option<Index>,
    census: Register,
    ledger: RwLock<Ledger>,
    /// Slots that may be used again once no one looks at the commit any more, in the order of the commits.
    retired: Mutex<VecDeque<(Commit, Slot)>>,
}

/// The slots as searches see them.
pub(crate) struct Slots {
    /// Vectors as they are compared: of unit length in a normalising collection.
    pub(crate) exact: Exact,
    cells: Rows<Cell>,
    /// Ids of documents that were put since the collection was opened, or read one by one.
    ids: Cells<IdCell>,
    /// Ids of all others.
    kept_ids: OnceLock<KeptIds>,
    /// Slots below this were put at some time.
    n_slots: AtomicUsize,
}

/// Whose a slot is. Laid out as in an image: 32 bytes without padding, zeros where there never was a document.
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

/// What an image holds of a slot: life, version, generation and namespace.
pub(crate) const CELL_BYTES: usize = size_of::<Cell>();

/// Written as vectors are: while nobody can be reading.
#[derive(Default)]
struct IdCell(UnsafeCell<HeldId>);

/// Bytes of a string that is held in its cell. The cell is no larger for it.
const SHORT: usize = 22;
const _: () = assert!(size_of::<IdCell>() == size_of::<DocId>());

/// An id as a slot holds it. Short strings have no piece of memory of their own: one of a few bytes would keep from the
/// operating system a whole page of what was freed around it.
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

// SAFETY: ids are read and written under the rules for slots.
unsafe impl Sync for IdCell {}

/// The ids in an image: where each begins, and all of them.
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

/// Which slots are free, and which belong to whom.
#[derive(Default)]
struct Ledger {
    free: Vec<Slot>,
    members: HashMap<NamespaceId, Vec<Slot>>,
    /// Each slot's place in its namespace's members; `None` without a document.
    homes: Vec<Option<(NamespaceId, u32)>>,
    n_documents: usize,
}

/// A slot at one time of its life: if the generation has moved on, the slot holds another document.
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

/// What a commit changes in memory.
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

/// A slot that is given a document.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) tenancy: Tenancy,
    pub(crate) namespace: NamespaceId,
    pub(crate) id: DocId,
    pub(crate) comparable: Comparable,
}

/// Slots to give out in one commit. Nothing is taken until the commit is applied.
pub(crate) struct Allocation<'m> {
    slots: &'m Slots,
    ledger: RwLockReadGuard<'m, Ledger>,
    n_taken: usize,
}

/// Memory that a commit is being applied to. Whoever wants the members of a namespace waits until it is dropped.
pub(crate) struct Applying<'m> {
    memory: &'m Memory,
    ledger: RwLockWriteGuard<'m, Ledger>,
}

/// Memory that no commit is being applied to: the store's view is of the same commit.
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
    pub(crate) fn new(exact: Exact, index: Option<Index>) -> Self {
        let slots = Slots {
            exact,
            cells: Rows::new(1),
            ids: Cells::new(),
            kept_ids: OnceLock::new(),
            n_slots: AtomicUsize::new(0),
        };
        let (census, ledger, retired) = (Register::default(), RwLock::default(), Mutex::default());
        Memory { slots, index, census, ledger, retired }
    }

    /// Makes free what no one looks at any more. `oldest` is the oldest commit that anyone looks at.
    pub(crate) fn reclaim(&self, oldest: Commit) {
        let mut retired = self.retired.lock();
        let n_ripe = retired.iter().take_while(|(commit, _)| *commit < oldest).count();
        if n_ripe > 0 {
            let ripe = retired.drain(..n_ripe).map(|(_, slot)| slot);
            // Never in use: a slot that two documents were given could not be told from damage.
            self.ledger.write().free.extend(ripe.filter(|&slot| !self.slots.is_alive(slot)));
        }
    }

    /// Lets slots that no link leads to be used again, once no one looks at this commit or an earlier one.
    pub(crate) fn retire(&self, slots: impl IntoIterator<Item = Slot>, seen_until: Commit) {
        self.retired.lock().extend(slots.into_iter().map(|slot| (seen_until, slot)));
    }

    /// Begins giving out slots: free ones first.
    pub(crate) fn allocate(&self) -> Allocation<'_> {
        Allocation { slots: &self.slots, ledger: self.ledger.read(), n_taken: 0 }
    }

    /// Makes room for slots that will be put. On an error what was there stays.
    pub(crate) fn reserve(&self, slots: impl Iterator<Item = Slot>) -> Result<()> {
        let n_slots = slots.map(|slot| slot.0 as usize + 1).max().unwrap_or(0);
        let failed = |source| Error::OutOfMemory { n_documents: n_slots, source };
        self.slots.exact.reserve(n_slots)?;
        self.slots.cells.reserve(n_slots).map_err(failed)?;
        self.index.as_ref().map_or(Ok(()), |index| index.reserve(n_slots)).map_err(failed)
    }

    /// Begins to apply commits.
    pub(crate) fn write(&self) -> Applying<'_> {
        Applying { memory: self, ledger: self.ledger.write() }
    }

    /// The counts as of a commit that was published before; `None` if two others came since.
    pub(crate) fn census_at(&self, commit: Commit) -> Option<Census> {
        self.census.at(commit)
    }

    /// Whether several namespaces share the documents. A hint: it may be of another commit than all else.
    pub(crate) fn hints_at_several(&self) -> bool {
        self.census.hints_at_several()
    }

    /// The counts as of the newest commit, which may not be published yet.
    pub(crate) fn census(&self) -> Census {
        self.census.newest()
    }

    /// Keeps commits from being applied as long as it is held.
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

    /// Whether a slot holds a document now, and of which namespace.
    pub(crate) fn namespace_of(&self, slot: Slot) -> Option<NamespaceId> {
        self.ledger.read().homes.get(slot.0 as usize)?.map(|(namespace, _)| namespace)
    }

    /// Puts rows while loading, in any order, also where an image has another document; no one reads yet.
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

    /// Notes a slot without a document while loading.
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

    /// Says while loading that a document in its slot has another version.
    pub(super) fn load_version(&self, slot: Slot, version: Commit) {
        self.slots.touch(slot, version);
    }

    /// Takes up the cells and ids of an image from its file, which has so many slots: the sections with these numbers
    /// are cells, where ids begin, and ids. Only for a memory without slots; no one reads yet.
    pub(super) fn adopt(
        &self,
        image: Image,
        file: &File,
        n_slots: usize,
        [cells, offsets, bytes]: [usize; 3],
    ) -> std::io::Result<()> {
        self.slots.cells.adopt(file, image.section(cells).0, n_slots)?;
        self.slots.exact.reserve(n_slots).map_err(std::io::Error::other)?;
        self.slots.n_slots.store(n_slots, Ordering::Release);
        // It was read through to be checked. From here on its arrays are looked at, which are maps of their own, and few
        // of its ids.
        for section in (0..).take_while(|&section| image.section(section).0 > 0) {
            // SAFETY: an image's bytes are a view of its file.
            unsafe { arena::let_go(image.bytes(section)) };
        }
        _ = self.slots.kept_ids.set(KeptIds { image, offsets, bytes });
        let mut writer = self.write();
        let ledger = &mut *writer.ledger;
        ledger.homes.resize(n_slots, None);
        // Neighbours are mostly of one namespace: it is looked up once for all of them.
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

    /// Ends loading: what has a document and is not held by the graph waits to be linked, if its namespace is; what has
    /// none is free, unless a walk may still pass through it.
    pub(super) fn settle(&self, is_held: impl Fn(Slot) -> bool) {
        let index = self.index.as_ref();
        let mut ledger = self.ledger.write();
        for slot in (0..self.slots.n_slots() as u32).map(Slot) {
            match (self.slots.is_alive(slot), is_held(slot), index) {
                (true, false, Some(index)) if !index.links(self.slots.namespace(slot)) => index.note_loose(slot),
                (true, false, Some(index)) => index.tail().push(slot),
                (false, true, Some(index)) => index.note_dead_point(),
                (false, ..) => ledger.free.push(slot),
                (true, ..) => {}
            }
        }
        // They are used from the end.
        ledger.free.reverse();
    }

    /// Bytes that bookkeeping takes, beside vectors, codes and links.
    pub(crate) fn n_bytes_of_rest(&self) -> usize {
        let ledger = self.ledger.read();
        let members = ledger.n_documents * size_of::<Slot>() + ledger.members.len() * BYTES_OF_A_NAMESPACE;
        let homes = ledger.homes.capacity() * size_of::<Option<(NamespaceId, u32)>>();
        let cells = self.slots.cells.bytes_of(self.slots.n_slots());
        cells + self.slots.ids.n_bytes() + members + homes + ledger.free.capacity() * size_of::<Slot>()
    }
}

/// About what a namespace takes beside its members' slots.
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

    /// Whether a slot's document exists as far as is known now.
    pub(crate) fn is_alive(&self, slot: Slot) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.goes_on())
    }

    /// Whether a slot's document exists at some commit from `oldest` on.
    pub(crate) fn is_needed(&self, slot: Slot, oldest: Commit) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.goes_beyond(oldest.0))
    }

    /// Whether a slot's document was there by a commit.
    pub(crate) fn existed_by(&self, slot: Slot, commit: Commit) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.began_by(commit.0))
    }

    /// The id and version of a slot's document, which exists at a commit that the caller looks at; `None` if it has
    /// changed since.
    pub(crate) fn identity(&self, slot: Slot, commit: Commit) -> Option<(DocId, Commit)> {
        let cell = self.cell(slot)?;
        let version = Commit(cell.version.load(Ordering::Acquire));
        (version <= commit).then_some(())?;
        Some((self.id(slot)?, version))
    }

    /// The id of a slot's document, which exists at a commit that the caller looks at.
    pub(crate) fn id(&self, slot: Slot) -> Option<DocId> {
        // SAFETY: the document exists at a commit that the caller looks at, so that its slot is not written.
        let id = self.id_cell(slot).and_then(|id| unsafe { &*id.0.get() }.id());
        id.or_else(|| self.kept_ids.get()?.find(slot))
    }

    /// Whether a slot's document exists at a commit, in whatever namespace.
    pub(crate) fn exists_at(&self, slot: Slot, commit: Commit) -> bool {
        self.cell(slot).is_some_and(|cell| cell.life.exists_at(commit.0))
    }

    /// The commit that last changed a slot's document.
    pub(crate) fn version(&self, slot: Slot) -> Commit {
        Commit(self.cell(slot).map_or(0, |cell| cell.version.load(Ordering::Acquire)))
    }

    /// A slot as an image holds it, of a commit that the caller looks at; without a document then, generation and
    /// namespace. `version` is the document's at that commit.
    pub(crate) fn cell_bytes(&self, slot: Slot, commit: Commit, version: Commit) -> [u8; CELL_BYTES] {
        let mut bytes = [0; CELL_BYTES];
        let Some(cell) = self.cell(slot) else { return bytes };
        let generation = u64::from(cell.generation.load(Ordering::Acquire));
        let namespace = u64::from(cell.namespace.load(Ordering::Acquire));
        let (begin, end) = if cfg!(target_endian = "little") { (0, 32) } else { (32, 0) };
        let words = match cell.life.exists_at(commit.0) {
            true => {
                let [born, died] = super::life::FOR_EVER;
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

    /// Begins to fetch whose a slot is.
    #[inline(always)]
    pub(crate) fn prefetch_cell(&self, slot: Slot) {
        if let Some(cell) = self.cell(slot) {
            crate::distance::prefetch(std::ptr::from_ref(cell).cast(), size_of::<Cell>());
        }
    }

    /// The first slot below the highest that was neither put nor noted as free; `None` if there is none.
    pub(super) fn first_unknown(&self) -> Option<Slot> {
        (0..self.n_slots() as u32).map(Slot).find(|&slot| self.tenancy(slot).generation == 0)
    }
}

/// Whether cells of an image have a version that its commit could not know.
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
    /// Applies a commit that is not published yet. New slots must come from one [`Allocation`] made since the last
    /// call, in its order, and room for them be reserved.
    pub(crate) fn apply(&mut self, changes: Changes, commit: Commit) {
        let n_reused = changes.put.len().min(self.ledger.free.len());
        let n_free = self.ledger.free.len() - n_reused;
        self.ledger.free.truncate(n_free);
        for new in changes.put {
            let slot = new.tenancy.slot;
            self.put(new, commit);
            if let Some(index) = &self.memory.index {
                index.tail().push(slot);
            }
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
        let slots = &self.memory.slots;
        let Some(cell) = slots.cell(slot) else { return };
        // SAFETY: the slot was never used, or was retired: no view that its last document existed in is looked at any
        // more, and no link leads to it. Only the committer writes slots, and it holds the ledger.
        unsafe { slots.exact.put(slot, &comparable.row) };
        if let Some(index) = &self.memory.index {
            // SAFETY: as above.
            unsafe { index.put_code(slot, namespace, &comparable.row, comparable.code.as_ref()) };
        }
        cell.generation.store(generation, Ordering::Relaxed);
        cell.namespace.store(namespace.0, Ordering::Relaxed);
        cell.version.store(commit.0, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { slots.load_id(slot, id) };
        cell.life.begin(commit.0);
        self.ledger.admit(slot, namespace);
        slots.n_slots.fetch_max(slot.0 as usize + 1, Ordering::Release);
    }

    /// Takes a slot's document away, from a commit on.
    fn release(&mut self, slot: Slot, commit: Commit) {
        if !self.ledger.dismiss(slot) {
            return;
        }
        if let Some(cell) = self.memory.slots.cell(slot) {
            cell.life.end(commit.0);
        }
        match &self.memory.index {
            // The linker retires it, once no link leads to it.
            Some(index) => index.note_death(slot, self.memory.slots.namespace(slot)),
            None => self.memory.retire([slot], Commit(commit.0 - 1)),
        }
    }

    /// Takes a census as of a commit.
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
