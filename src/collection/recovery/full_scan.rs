//! Full scan of a collection at open, in parallel: documents, vectors, ids and free slots are
//! checked against each other and the commit log.
#![expect(unsafe_code, reason = "ids and vectors are written in place, where nobody reads yet")]

use std::collections::HashSet;

use rayon::prelude::*;

use crate::collection::derived::source::RowSource;
use crate::collection::memory::{Comparable, Memory, NewRow, Tenancy};
use crate::collection::slots::namespaces::Names;
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::id::{Commit, DocId, NamespaceId, Slot};
use crate::limits::MAX_DOCUMENTS;
use crate::store::format::codec::{checksum_of, read_u32};
use crate::store::format::key;
use crate::store::format::record::{DocumentHeader, VectorRow};
use crate::store::open::commit_log::{Expected, FoundSlot};
use crate::store::storage;

/// Rows looked up or handed on at once.
pub(in crate::collection) const FETCH: usize = 256;
/// Parts for each thread that families are read in, in parallel.
const PARTS: usize = 4;

/// Reads documents, vectors, ids and free slots into an empty memory. Checks that every document
/// has one vector of its own generation, and every id leads to the document that bears it. Every
/// slot must be used or free, and what the log says was written must be there.
pub(in crate::collection) fn read_rows(
    source: RowSource<'_>,
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

/// The parts of a document row that are needed until its vector is read.
struct FoundDocument {
    header: DocumentHeader,
    crc: u32,
}

/// The documents by slot, read in parallel.
fn read_documents(source: RowSource<'_>, known: &HashSet<NamespaceId>) -> Result<Vec<Option<FoundDocument>>> {
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

/// Runs `work` on parts of `n_slots` slots, in parallel.
fn in_parts<T: Send>(n_slots: u32, work: impl Fn(std::ops::Range<u32>) -> Result<T> + Sync) -> Result<Vec<T>> {
    let part_size = n_slots.div_ceil((rayon::current_num_threads() * PARTS) as u32).max(1);
    let part = |from: u32| work(from..n_slots.min(from + part_size));
    (0..n_slots).into_par_iter().step_by(part_size as usize).map(part).collect()
}

pub(super) fn check_namespace(slot: Slot, namespace: NamespaceId, known: &HashSet<NamespaceId>) -> Result<()> {
    if known.contains(&namespace) {
        return Ok(());
    }
    Err(damaged(slot, format!("namespace number {} has no name", namespace.0)))
}

/// Reads vectors into memory, in parallel. Returns what was found in each slot.
fn read_vectors(
    source: RowSource<'_>,
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
                let expected = memory.vectors().id;
                if field != expected {
                    return Err(damaged(slot, format!("expected field {expected}, got {field}")));
                }
                let document = documents.get(slot.0 as usize).and_then(Option::as_ref);
                let document = document.ok_or_else(|| damaged(slot, "a vector without a document"))?;
                let row = VectorRow::decode(value)?;
                check_vector(slot, &row, document.header.generation, source.config)?;
                let DocumentHeader { generation, namespace, commit } = document.header;
                let vector_crc = Some(checksum_of(value));
                found.push((slot, FoundSlot { generation, row_crc: Some(document.crc), vector_crc }));
                let comparable = comparable(memory, source.config, namespace, row.components);
                // `check_ids` sets the id.
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

/// A vector of a namespace as it is compared, and its code.
pub(in crate::collection) fn comparable(
    memory: &Memory,
    config: &CollectionConfig,
    namespace: NamespaceId,
    mut components: Vec<f32>,
) -> Comparable {
    if config.compares_directions() {
        crate::distance::normalize(&mut components);
    }
    let code = memory.vectors().index.encode(&components, namespace);
    Comparable { row: components, code }
}

/// An id, and the slot it leads to.
type FoundId = (NamespaceId, DocId, Slot);

fn read_ids(source: RowSource<'_>) -> Result<Vec<FoundId>> {
    let mut ids = Vec::new();
    source.scan(&source.families.documents, key::all_ids_range(), |key, value| {
        let (namespace, id) = key::read_id(key)?;
        ids.push((namespace, id, Slot(read_u32("an id's slot", value)?)));
        Ok(())
    })?;
    Ok(ids)
}

/// Checks that every id leads to a slot of its namespace, and that there are as many ids as
/// documents. So each document has an id of its own.
fn check_ids(ids: Vec<FoundId>, memory: &Memory) -> Result<()> {
    let (mut seen, got) = (vec![false; memory.slots.n_slots()], ids.len());
    for (namespace, id, slot) in ids {
        let is_first = seen.get_mut(slot.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true));
        if memory.namespace_of(slot) != Some(namespace) || !is_first {
            return Err(damaged(slot, format!("id {id} leads to it, but it is not that document's")));
        }
        // SAFETY: this memory is being made, and nobody else uses it yet.
        unsafe { memory.slots.load_id(slot, id) };
    }
    match memory.census().n_documents {
        expected if expected == got => Ok(()),
        expected => Err(Error::corruption("ids", format!("expected {expected}, one for each document, got {got}"))),
    }
}

pub(super) fn check_vector(slot: Slot, row: &VectorRow, expected: u32, config: &CollectionConfig) -> Result<()> {
    if row.generation != expected {
        return Err(damaged(slot, format!("expected a vector of generation {expected}, got {}", row.generation)));
    }
    if row.components.len() != config.dimension || !row.components.iter().all(|component| component.is_finite()) {
        let got = row.components.len();
        return Err(damaged(slot, format!("expected {} finite components, got {got}", config.dimension)));
    }
    Ok(())
}

pub(super) fn damaged(slot: Slot, detail: impl Into<String>) -> Error {
    Error::corruption(format!("slot {}", slot.0), detail)
}

impl RowSource<'_> {
    /// Reads every vector into the held vectors.
    pub(super) fn hold_vectors(self, memory: &Memory) -> Result<()> {
        let held = memory.vectors().full.held();
        let Some(held) = &*held else { return Ok(()) };
        self.scan(&self.families.vectors, key::vector_range(), |key, value| {
            let (slot, _) = key::read_vector(key)?;
            let generation = memory.slots.tenancy(slot).generation;
            let row = VectorRow::decode(value)?;
            check_vector(slot, &row, generation, self.config)?;
            let row = comparable(memory, self.config, memory.slots.namespace(slot), row.components).row;
            // SAFETY: this memory is being made, and nobody else uses it yet.
            unsafe { held.put(slot, &row) };
            Ok(())
        })?;
        held.set_complete(Commit(0));
        Ok(())
    }
}
