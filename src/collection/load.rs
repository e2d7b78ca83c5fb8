//! Making a collection's memory at open, and proving while at it that its rows belong together.
//!
//! The quick way takes up the image and reads only what the commit log says has changed since. The long way reads the
//! `documents` and `vectors` families side by side: every document has one vector of its own generation, every id leads
//! to the document that bears it, every slot is used or free, and what the commit log says was written is there. Either
//! way the graph is then brought up to date ([`regraph`](super::regraph)).
#![expect(unsafe_code, reason = "ids are written in place, where nobody reads yet")]

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Instant;

use parking_lot::RwLock;
use rayon::prelude::*;
use uuid::Uuid;

use super::exact::Disk;
use super::memory::{Comparable, Memory, NewRow, Tenancy};
use super::names::Names;
use super::persist::{Persist, State};
use super::{Common, Live, image};
use crate::config::CollectionConfig;
use crate::document::{OpenedBy, Opening};
use crate::error::{Error, Result};
use crate::graph::Change;
use crate::id::{CollectionId, Commit, DocId, NamespaceId, Slot};
use crate::limits::MAX_DOCUMENTS;
use crate::store::family::Families;
use crate::store::graph::Cursor;
use crate::store::image::{Image, Images};
use crate::store::key::{self, Range};
use crate::store::log::{Expected, FoundSlot};
use crate::store::record::{CatalogEntry, DocumentHeader, DocumentRow, VectorRow, read_u32, seal_of};
use crate::store::rocks::{Family, Rocks, Snapshot};
use crate::store::storage;

/// Rows looked up at once.
const FETCH: usize = 256;
/// Slots that are brought up to date one by one, however few an image has.
const MOST_CHANGED: usize = 16_384;
/// Parts that families are read in side by side, for each thread.
const PARTS: usize = 4;

/// A collection's memory, read from its families.
pub(crate) struct Loaded {
    pub(crate) memory: Memory,
    pub(crate) namespaces: Names,
    /// What is on disk of the graph.
    pub(crate) state: State,
    /// What is on disk of the graph is of no use.
    pub(crate) begins_anew: bool,
    /// A commit up to which all that changed the collection is known to lie.
    pub(crate) last_change: Commit,
    /// What had to be changed in the graph, and is not on disk.
    pub(crate) changes: Vec<Change>,
    pub(crate) opening: Opening,
}

impl Loaded {
    /// A collection without documents.
    pub(crate) fn empty(memory: Memory) -> Self {
        Loaded {
            memory,
            namespaces: Names::default(),
            state: State::default(),
            begins_anew: false,
            last_change: Commit(0),
            changes: Vec::new(),
            opening: Opening::default(),
        }
    }

    pub(crate) fn into_live(
        self,
        common: Common,
        id: CollectionId,
        entry: CatalogEntry,
        families: Families,
    ) -> Result<Live> {
        let Common { store, bell, budget } = common;
        let CatalogEntry { config, created_at_ms, .. } = entry;
        let ranker = super::ranker_of(&config, store.options())?;
        let live = Live {
            id,
            config,
            created_at_ms,
            store,
            families,
            ranker,
            memory: self.memory,
            namespaces: RwLock::new(self.namespaces),
            bell,
            persist: Persist::new(self.state),
            budget,
            last_change: self.last_change.0.into(),
            opening: self.opening,
        };
        if live.opening.way != OpenedBy::Image && live.store.is_writable() {
            // An image that was not taken up, or a mapped file, may be of a time that never was.
            live.remove_images()?;
        }
        if self.begins_anew && live.store.is_writable() {
            live.begin_graph_anew()?;
        }
        if let Some(index) = &live.memory.index {
            live.record(&index.graph(), &self.changes);
        }
        Ok(live)
    }
}

/// An image that may be taken up, and up to which commit it says what is there.
pub(crate) struct Candidate {
    pub(crate) image: Image,
    pub(crate) covers: Commit,
}

/// Where rows are read from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) rocks: &'a Rocks,
    pub(crate) families: &'a Families,
    /// `None` reads what is there now.
    pub(crate) snapshot: Option<&'a Snapshot>,
    pub(crate) config: &'a CollectionConfig,
}

impl Candidate {
    fn n_slots(&self) -> usize {
        image::n_slots(&self.image) / 2
    }

    /// The image of a collection, if there is one that goes on from where its graph is.
    pub(crate) fn find(source: Source<'_>, images: &mut Images, store: Uuid, id: CollectionId) -> Option<Self> {
        let image = image::find(images, store, id, source.config)?;
        let cursor = source.cursor().inspect_err(|error| tracing::warn!("{error}")).ok()??;
        // Rows may be newer, if every delta in between is still there: the last one tells, for they are dropped all at once.
        if image.tag.delta < cursor.delta && !source.has_delta(cursor.delta) {
            tracing::info!(collection = id.0, "an image is older than the rows of the graph");
            return None;
        }
        let covers = if cursor.image == image.tag.commit { cursor.covers.max(cursor.image) } else { image.tag.commit };
        Some(Candidate { image, covers })
    }
}

/// Reads a collection into an empty memory, by its image if there is a sound one. `last` is the last commit, `expected` what
/// the log says of the collection: after the candidate's commit, or in all.
///
/// # Errors
/// `Corruption` for rows that do not belong together; `DataLoss` where the log speaks of rows that are not there.
pub(crate) fn load(
    source: Source<'_>,
    memory: impl Fn() -> Result<Memory>,
    candidate: Option<Candidate>,
    expected: Expected,
    last: Commit,
) -> Result<Loaded> {
    let began = Instant::now();
    // Where most has changed since the image, rows are read faster all together than one by one.
    let is_worth_it =
        |candidate: &Candidate| expected.n_after(candidate.covers) <= candidate.n_slots().max(MOST_CHANGED);
    let mut loaded = match candidate.filter(is_worth_it) {
        Some(candidate) => load_by_image(source, &memory, candidate, expected, last)?,
        None => load_by_rows(source, memory()?, expected, last)?,
    };
    loaded.opening.micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let Opening { way, n_deltas, n_waiting, micros, .. } = loaded.opening;
    tracing::info!(?way, n_deltas, n_waiting, micros, "collection read");
    Ok(loaded)
}

/// Takes up an image, and reads what has changed since.
fn load_by_image(
    source: Source<'_>,
    memory: &impl Fn() -> Result<Memory>,
    candidate: Candidate,
    mut expected: Expected,
    last: Commit,
) -> Result<Loaded> {
    let Candidate { image, covers } = candidate;
    let (tag, n_bytes, new) = (image.tag, image.n_bytes(), memory()?);
    let is_sound = image::is_sound(&image, &new);
    let taken = if is_sound { image::take_up(image, &new) } else { Err(std::io::Error::other("it is damaged")) };
    if let Err(error) = taken {
        tracing::warn!("an image is made anew, rows are read instead: {error}");
        drop(new);
        return load_by_rows(source, memory()?, expected, last);
    }
    expected.keep_after(covers);
    let namespaces = source.check_names(&mut expected)?;
    let last_change = expected.last_change().unwrap_or(tag.commit);
    let known: HashSet<NamespaceId> = namespaces.iter().map(|(_, number)| number).collect();
    let mut changed: Vec<Slot> = expected.slots.keys().copied().collect();
    changed.sort_unstable();
    let changes = source.read_changed(&changed, &new, &known, &mut expected)?;
    if let Some(from) = expected.first_missing() {
        return Err(Error::DataLoss { from, to: last });
    }
    let mut loaded = Loaded { namespaces, last_change, ..Loaded::empty(new) };
    loaded.state.imaged_delta = tag.delta;
    loaded.state.image_bytes = n_bytes;
    super::regraph::follow(source, &mut loaded, tag.delta, &changes)?;
    (loaded.state.cursor.image, loaded.state.cursor.covers) = (tag.commit, covers);
    Ok(loaded)
}

/// What has changed since an image.
#[derive(Default)]
pub(super) struct Changed {
    /// Slots that have been given another document, or none, since.
    pub(super) moved: HashSet<Slot>,
    /// Those of them whose code is not known, because their last document came and went since.
    pub(super) bare: HashSet<Slot>,
}

/// What a slot holds now.
enum Now {
    Free,
    /// The document that the image has in it, as a later commit left it.
    Stayed(Commit),
    /// A document that the image does not have, and the commit that last changed it.
    Put(Box<NewRow>, Commit),
}

/// Reads every row of a collection into an empty memory and checks it.
fn load_by_rows(source: Source<'_>, memory: Memory, mut expected: Expected, last: Commit) -> Result<Loaded> {
    let namespaces = source.check_names(&mut expected)?;
    let last_change = expected.last_change().unwrap_or(last);
    read_rows(source, &memory, &namespaces, expected, last)?;
    // Where they are held by now, they have to be: all were read into place.
    memory.slots.exact.held().iter().for_each(|held| held.set_complete());
    let mut loaded = Loaded { namespaces, last_change, ..Loaded::empty(memory) };
    super::regraph::read(source, &mut loaded)?;
    Ok(loaded)
}

/// Reads documents, vectors, ids and free slots, and holds them against each other and the log.
pub(super) fn read_rows(
    source: Source<'_>,
    memory: &Memory,
    namespaces: &Names,
    mut expected: Expected,
    last: Commit,
) -> Result<()> {
    let known: HashSet<NamespaceId> = namespaces.iter().map(|(_, number)| number).collect();
    let (documents, ids) = rayon::join(|| read_documents(source, &known), || read_ids(source));
    let (documents, ids) = (documents?, ids?);
    let n_documents = documents.iter().flatten().count();
    let found = read_vectors(source, memory, &documents)?;
    for (slot, found) in &found {
        expected.confirm(*slot, found)?;
    }
    if found.len() != n_documents {
        let mut missing: HashSet<usize> = (0..documents.len()).filter(|&slot| documents[slot].is_some()).collect();
        found.iter().for_each(|(slot, _)| _ = missing.remove(&(slot.0 as usize)));
        let slot = missing.into_iter().min().unwrap_or(0);
        return Err(damaged(Slot(slot as u32), "a document without a vector"));
    }
    source.scan(&source.families.documents, key::free_range(), |key, value| {
        let (slot, generation) = (key::read_free(key)?, read_u32("a free slot's generation", value)?);
        if memory.namespace_of(slot).is_some() {
            return Err(damaged(slot, "both free and used"));
        }
        expected.confirm(slot, &FoundSlot { generation, row_crc: None, vector_crc: None })?;
        memory.load_free(Tenancy { slot, generation })
    })?;
    check_ids(ids, memory)?;
    if let Some(from) = expected.first_missing() {
        return Err(Error::DataLoss { from, to: last });
    }
    match memory.slots.first_unknown() {
        Some(slot) => Err(damaged(slot, "neither free nor used")),
        None => Ok(()),
    }
}

/// What is remembered of a document row until its vector comes.
struct FoundDocument {
    header: DocumentHeader,
    crc: u32,
}

/// The documents, by slot, read side by side.
fn read_documents(source: Source<'_>, known: &HashSet<NamespaceId>) -> Result<Vec<Option<FoundDocument>>> {
    let (rocks, family) = (source.rocks, &source.families.documents);
    let (from, to) = key::document_range();
    let last = rocks.last_key(family, source.snapshot, (&from, &to)).map_err(storage("reading a collection"))?;
    let last = last.map(|key| key::read_document(&key)).transpose()?;
    if let Some(slot) = last.filter(|slot| slot.0 as usize >= MAX_DOCUMENTS) {
        return Err(damaged(slot, format!("expected a slot below {MAX_DOCUMENTS}")));
    }
    let n_slots = last.map_or(0, |slot| slot.0 + 1);
    let parts: Vec<Vec<(Slot, FoundDocument)>> = in_parts(n_slots, |slots| {
        let mut found = Vec::with_capacity(slots.len());
        let begin = if slots.start == 0 { from.clone() } else { key::document(Slot(slots.start)).to_vec() };
        source.scan(family, (begin, key::document(Slot(slots.end)).to_vec()), |key, value| {
            let (slot, header) = (key::read_document(key)?, DocumentHeader::decode(value)?);
            check_namespace(slot, header.namespace, known)?;
            found.push((slot, FoundDocument { header, crc: crc32c::crc32c(value) }));
            Ok(())
        })?;
        Ok(found)
    })?;
    let mut documents = Vec::new();
    documents.resize_with(n_slots as usize, || None);
    parts.into_iter().flatten().for_each(|(slot, document)| documents[slot.0 as usize] = Some(document));
    Ok(documents)
}

/// Does something for parts of so many slots, side by side.
fn in_parts<T: Send>(n_slots: u32, work: impl Fn(std::ops::Range<u32>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let part_size = n_slots.div_ceil((rayon::current_num_threads() * PARTS) as u32).max(1);
    let part = |from: u32| work(from..n_slots.min(from + part_size));
    (0..n_slots).into_par_iter().step_by(part_size as usize).map(part).collect()
}

fn check_namespace(slot: Slot, namespace: NamespaceId, known: &HashSet<NamespaceId>) -> Result<()> {
    if known.contains(&namespace) {
        return Ok(());
    }
    Err(damaged(slot, format!("namespace number {} has no name", namespace.0)))
}

/// Reads vectors, side by side, into memory. Returns what was found in each slot.
fn read_vectors(
    source: Source<'_>,
    memory: &Memory,
    documents: &[Option<FoundDocument>],
) -> Result<Vec<(Slot, FoundSlot)>> {
    let n_parts = rayon::current_num_threads() * PARTS;
    let part_size = documents.len().div_ceil(n_parts).max(1) as u32;
    let parts: Vec<Vec<(Slot, FoundSlot)>> = (0..n_parts as u32)
        .into_par_iter()
        .map(|part| {
            let from = key::vector(Slot(part * part_size), 0).to_vec();
            let to = match part + 1 == n_parts as u32 {
                true => key::vector_range().1,
                false => key::vector(Slot((part + 1) * part_size), 0).to_vec(),
            };
            let (mut found, mut rows) = (Vec::new(), Vec::new());
            source.scan(&source.families.vectors, (from, to), |key, value| {
                let (slot, field) = key::read_vector(key)?;
                if field != 0 {
                    return Err(damaged(slot, format!("expected field 0, got {field}")));
                }
                let document = documents.get(slot.0 as usize).and_then(Option::as_ref);
                let document = document.ok_or_else(|| damaged(slot, "a vector without a document"))?;
                let row = VectorRow::decode(value)?;
                check_vector(slot, &row, document.header.generation, source.config)?;
                let DocumentHeader { generation, namespace, commit } = document.header;
                let vector_crc = Some(seal_of(value));
                found.push((slot, FoundSlot { generation, row_crc: Some(document.crc), vector_crc }));
                let comparable = comparable(memory, source.config, row.components);
                // The id follows when ids are read.
                let id = DocId::U64(0);
                rows.push((NewRow { tenancy: Tenancy { slot, generation }, namespace, id, comparable }, commit));
                if rows.len() == FETCH {
                    memory.load_rows(rows.drain(..))?;
                }
                Ok(())
            })?;
            memory.load_rows(rows)?;
            Ok(found)
        })
        .collect::<Result<_>>()?;
    Ok(parts.concat())
}

/// A vector as it is compared, and its code.
fn comparable(memory: &Memory, config: &CollectionConfig, mut components: Vec<f32>) -> Comparable {
    if config.compares_directions() {
        crate::distance::normalize(&mut components);
    }
    let code = memory.index.as_ref().and_then(|index| index.encode(&components));
    Comparable { row: components, code }
}

/// An id, and the slot it leads to.
type FoundId = (NamespaceId, DocId, Slot);

fn read_ids(source: Source<'_>) -> Result<Vec<FoundId>> {
    let mut ids = Vec::new();
    source.scan(&source.families.documents, key::all_ids_range(), |key, value| {
        let (namespace, id) = key::read_id(key)?;
        ids.push((namespace, id, Slot(read_u32("an id's slot", value)?)));
        Ok(())
    })?;
    Ok(ids)
}

/// Every id leads to a slot of its namespace, and there are as many ids as documents; so each document has its own.
fn check_ids(ids: Vec<FoundId>, memory: &Memory) -> Result<()> {
    let (mut seen, got) = (vec![false; memory.slots.n_slots()], ids.len());
    for (namespace, id, slot) in ids {
        let is_first = seen.get_mut(slot.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if memory.namespace_of(slot) != Some(namespace) || !is_first {
            return Err(damaged(slot, format!("id {id} leads to it, but it is not that document's")));
        }
        // SAFETY: this memory is being made, and is no one else's yet.
        unsafe { memory.slots.load_id(slot, id) };
    }
    match memory.slots.n_documents() {
        expected if expected == got => Ok(()),
        expected => Err(Error::corruption("ids", format!("expected {expected}, one for each document, got {got}"))),
    }
}

fn check_vector(slot: Slot, row: &VectorRow, expected: u32, config: &CollectionConfig) -> Result<()> {
    if row.generation != expected {
        return Err(damaged(slot, format!("expected a vector of generation {expected}, got {}", row.generation)));
    }
    if row.components.len() != config.dimension || !row.components.iter().all(|component| component.is_finite()) {
        let got = row.components.len();
        return Err(damaged(slot, format!("expected {} finite components, got {got}", config.dimension)));
    }
    Ok(())
}

fn damaged(slot: Slot, detail: impl Into<String>) -> Error {
    Error::corruption(format!("slot {}", slot.0), detail)
}

impl<'a> Source<'a> {
    pub(crate) fn scan(
        self,
        family: &Family,
        (from, to): Range,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed =
            self.rocks.scan_through(family, self.snapshot, (&from, &to), |key, value| match visit(key, value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            });
        failed.map_err(storage("reading a collection"))?.map_or(Ok(()), Err)
    }

    /// The cursor of the graph; `None` where nothing was ever written of one.
    pub(crate) fn cursor(self) -> Result<Option<Cursor>> {
        let row = self.rocks.get(&self.families.graph, self.snapshot, key::CURSOR);
        let row = row.map_err(storage("reading the graph"))?;
        row.map(|bytes| Cursor::decode(&bytes)).transpose()
    }

    fn has_delta(self, number: u64) -> bool {
        let row = self.rocks.get(&self.families.graph, self.snapshot, &key::delta(number));
        row.inspect_err(|error| tracing::warn!("reading a delta of the graph: {error}")).is_ok_and(|row| row.is_some())
    }

    /// Where the collection's vectors are on disk.
    pub(crate) fn disk(self) -> Disk<'a> {
        let Source { rocks, families, snapshot, config } = self;
        Disk { rocks, families, snapshot, normalizes: config.compares_directions() }
    }

    /// The names of namespaces, held against the log.
    fn check_names(self, expected: &mut Expected) -> Result<Names> {
        let namespaces = self.names()?;
        namespaces.iter().for_each(|(_, number)| _ = expected.namespaces.remove(&number));
        Ok(namespaces)
    }

    /// The names of namespaces.
    pub(super) fn names(self) -> Result<Names> {
        let mut namespaces = Names::default();
        self.scan(&self.families.documents, key::namespace_range(), |key, value| {
            let number = NamespaceId(read_u32("a namespace's number", value)?);
            namespaces.insert(key::read_namespace(key)?.into(), number);
            Ok(())
        })?;
        Ok(namespaces)
    }

    /// Brings slots that have changed since an image up to date, and holds them against the log.
    fn read_changed(
        self,
        slots: &[Slot],
        memory: &Memory,
        known: &HashSet<NamespaceId>,
        expected: &mut Expected,
    ) -> Result<Changed> {
        let parts: Vec<Vec<(Slot, FoundSlot, Now)>> =
            slots.par_chunks(FETCH).map(|slots| self.look_up(slots, memory, known)).collect::<Result<_>>()?;
        let (mut changed, mut rows) = (Changed::default(), Vec::with_capacity(slots.len()));
        for (slot, found, now) in parts.into_iter().flatten() {
            expected.confirm(slot, &found)?;
            match now {
                Now::Free => {
                    if found.generation != memory.slots.tenancy(slot).generation {
                        changed.bare.insert(slot);
                    }
                    changed.moved.insert(slot);
                    memory.load_free(Tenancy { slot, generation: found.generation })?;
                }
                Now::Stayed(version) => memory.load_version(slot, version),
                Now::Put(new, version) => {
                    changed.moved.insert(slot);
                    rows.push((*new, version));
                }
            }
        }
        memory.load_rows(rows)?;
        Ok(changed)
    }

    /// Reads what some slots hold now; those that hold nothing at all are left out.
    fn look_up(
        self,
        slots: &[Slot],
        memory: &Memory,
        known: &HashSet<NamespaceId>,
    ) -> Result<Vec<(Slot, FoundSlot, Now)>> {
        let reading = storage("reading what has changed");
        let Source { rocks, families, snapshot, config } = self;
        let keys: Vec<_> = slots.iter().map(|&slot| key::document(slot)).collect();
        let documents = rocks.get_many(&families.documents, snapshot, &keys).map_err(&reading)?;
        let (used, empty): (Vec<_>, Vec<_>) = slots.iter().copied().zip(documents).partition(|(_, row)| row.is_some());
        let keys: Vec<_> = used.iter().map(|&(slot, _)| key::vector(slot, 0)).collect();
        let vectors = rocks.get_many(&families.vectors, snapshot, &keys).map_err(&reading)?;
        let mut found = Vec::with_capacity(slots.len());
        for ((slot, document), vector) in used.into_iter().zip(vectors) {
            let Some(document) = document else { continue };
            let row = DocumentRow::decode(&document)?;
            check_namespace(slot, row.namespace, known)?;
            let vector = vector.ok_or_else(|| damaged(slot, "a document without a vector"))?;
            let (row_crc, vector_crc) = (Some(crc32c::crc32c(&document)), Some(seal_of(&vector)));
            let generation = row.generation;
            let now = match memory.slots.tenancy(slot).generation == generation && memory.slots.is_alive(slot) {
                true => Now::Stayed(row.commit),
                false => {
                    let vector = VectorRow::decode(&vector)?;
                    check_vector(slot, &vector, generation, config)?;
                    let comparable = comparable(memory, config, vector.components);
                    let tenancy = Tenancy { slot, generation };
                    Now::Put(Box::new(NewRow { tenancy, namespace: row.namespace, id: row.id, comparable }), row.commit)
                }
            };
            found.push((slot, FoundSlot { generation, row_crc, vector_crc }, now));
        }
        let keys: Vec<_> = empty.iter().map(|&(slot, _)| key::free(slot)).collect();
        let free = rocks.get_many(&families.documents, snapshot, &keys).map_err(&reading)?;
        for ((slot, _), row) in empty.into_iter().zip(free) {
            // What is missing is found missing when all have been confirmed.
            let Some(row) = row else { continue };
            let generation = read_u32("a free slot's generation", &row)?;
            found.push((slot, FoundSlot { generation, row_crc: None, vector_crc: None }, Now::Free));
        }
        Ok(found)
    }

    /// Reads every vector into where vectors are held.
    pub(super) fn hold_vectors(self, memory: &Memory) -> Result<()> {
        let held = memory.slots.exact.held();
        let Some(held) = &*held else { return Ok(()) };
        self.scan(&self.families.vectors, key::vector_range(), |key, value| {
            let (slot, _) = key::read_vector(key)?;
            let generation = memory.slots.tenancy(slot).generation;
            let row = VectorRow::decode(value)?;
            check_vector(slot, &row, generation, self.config)?;
            let row = comparable(memory, self.config, row.components).row;
            // SAFETY: this memory is being made, and is no one else's yet.
            unsafe { held.put(slot, &row) };
            Ok(())
        })?;
        held.set_complete();
        Ok(())
    }
}
