//! Making a collection's memory at open, and proving while at it that its rows belong together.
//!
//! Reads the `documents` and `vectors` families once, side by side: every document has one vector of its own
//! generation, every id leads to the document that bears it, every slot is used or free, and what the commit log says
//! was written is there.
#![expect(unsafe_code, reason = "ids are written in place, where nobody reads yet")]

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::Live;
use super::linker::Bell;
use super::memory::{Comparable, Memory, NewRow, Tenancy};
use super::names::Names;
use crate::config::CollectionConfig;
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, DocId, NamespaceId, Slot};
use crate::store::family::Families;
use crate::store::key::{self, Range};
use crate::store::log::{Expected, FoundSlot};
use crate::store::record::{CatalogEntry, DocumentHeader, VectorRow, read_u32, seal_of};
use crate::store::rocks::{Family, Rocks, Snapshot};
use crate::store::{Store, storage};

/// A collection's memory, read from its families.
pub(crate) struct Loaded {
    pub(crate) memory: Memory,
    pub(crate) namespaces: Names,
}

impl Loaded {
    pub(crate) fn into_live(
        self,
        store: Arc<Store>,
        id: CollectionId,
        entry: CatalogEntry,
        families: Families,
        bell: Arc<Bell>,
    ) -> Result<Live> {
        let Loaded { memory, namespaces } = self;
        let CatalogEntry { config, created_at_ms, .. } = entry;
        let ranker = super::ranker_of(&config, store.options())?;
        let namespaces = namespaces.into();
        Ok(Live { id, config, created_at_ms, store, families, ranker, memory, namespaces, bell })
    }
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

/// Reads a collection into an empty memory and checks it. `last` is the last commit, `expected` what the log says of the collection.
///
/// # Errors
/// `Corruption` for rows that do not belong together; `DataLoss` where the log speaks of rows that are not there.
pub(crate) fn load(source: Source<'_>, memory: Memory, mut expected: Expected, last: Commit) -> Result<Loaded> {
    let namespaces = read_namespaces(source)?;
    let known: HashSet<NamespaceId> = namespaces.iter().map(|(_, number)| number).collect();
    expected.namespaces.retain(|namespace, _| !known.contains(namespace));
    let mut documents = read_documents(source, &known)?;
    source.scan(&source.families.vectors, key::vector_range(), |key, value| {
        let (slot, field) = key::read_vector(key)?;
        if field != 0 {
            return Err(damaged(slot, format!("expected field 0, got {field}")));
        }
        let found = documents.remove(&slot).ok_or_else(|| damaged(slot, "a vector without a document"))?;
        let row = VectorRow::decode(value)?;
        check_vector(slot, &row, &found, source.config)?;
        let DocumentHeader { generation, namespace, commit } = found.header;
        let vector_crc = Some(seal_of(value));
        expected.confirm(slot, &FoundSlot { generation, row_crc: Some(found.crc), vector_crc })?;
        let mut components = row.components;
        if source.config.compares_directions() {
            crate::distance::normalize(&mut components);
        }
        let code = memory.index.as_ref().and_then(|index| index.encode(&components));
        let comparable = Comparable { row: components, code };
        // The id follows when ids are read.
        let new = NewRow { tenancy: Tenancy { slot, generation }, namespace, id: DocId::U64(0), comparable };
        memory.load_row(new, commit)
    })?;
    if let Some(slot) = documents.keys().min() {
        return Err(damaged(*slot, "a document without a vector"));
    }
    source.scan(&source.families.documents, key::free_range(), |key, value| {
        let (slot, generation) = (key::read_free(key)?, read_u32("a free slot's generation", value)?);
        if memory.namespace_of(slot).is_some() {
            return Err(damaged(slot, "both free and used"));
        }
        expected.confirm(slot, &FoundSlot { generation, row_crc: None, vector_crc: None })?;
        memory.load_free(Tenancy { slot, generation })
    })?;
    check_ids(source, &memory)?;
    if let Some(from) = expected.first_missing() {
        return Err(Error::DataLoss { from, to: last });
    }
    match memory.slots.first_unknown() {
        Some(slot) => Err(damaged(slot, "neither free nor used")),
        None => Ok(Loaded { memory, namespaces }),
    }
}

/// What is remembered of a document row until its vector comes.
struct FoundDocument {
    header: DocumentHeader,
    crc: u32,
}

fn read_documents(source: Source<'_>, known: &HashSet<NamespaceId>) -> Result<HashMap<Slot, FoundDocument>> {
    let mut documents = HashMap::new();
    source.scan(&source.families.documents, key::document_range(), |key, value| {
        let (slot, header) = (key::read_document(key)?, DocumentHeader::decode(value)?);
        if !known.contains(&header.namespace) {
            return Err(damaged(slot, format!("namespace number {} has no name", header.namespace.0)));
        }
        documents.insert(slot, FoundDocument { header, crc: crc32c::crc32c(value) });
        Ok(())
    })?;
    Ok(documents)
}

fn read_namespaces(source: Source<'_>) -> Result<Names> {
    let mut namespaces = Names::default();
    source.scan(&source.families.documents, key::namespace_range(), |key, value| {
        let number = NamespaceId(read_u32("a namespace's number", value)?);
        namespaces.insert(key::read_namespace(key)?.into(), number);
        Ok(())
    })?;
    Ok(namespaces)
}

/// Every id leads to a slot of its namespace, and there are as many ids as documents; so each document has its own.
fn check_ids(source: Source<'_>, memory: &Memory) -> Result<()> {
    let mut seen = HashSet::with_capacity(memory.slots.n_documents());
    source.scan(&source.families.documents, key::all_ids_range(), |key, value| {
        let ((namespace, id), slot) = (key::read_id(key)?, Slot(read_u32("an id's slot", value)?));
        if memory.namespace_of(slot) != Some(namespace) || !seen.insert(slot) {
            return Err(damaged(slot, format!("id {id} leads to it, but it is not that document's")));
        }
        // SAFETY: this memory is being made, and is no one else's yet.
        unsafe { memory.slots.load_id(slot, id) };
        Ok(())
    })?;
    match memory.slots.n_documents() {
        expected if expected == seen.len() => Ok(()),
        expected => {
            Err(Error::corruption("ids", format!("expected {expected}, one for each document, got {}", seen.len())))
        }
    }
}

fn check_vector(slot: Slot, row: &VectorRow, found: &FoundDocument, config: &CollectionConfig) -> Result<()> {
    if row.generation != found.header.generation {
        let (expected, got) = (found.header.generation, row.generation);
        return Err(damaged(slot, format!("expected a vector of generation {expected}, got {got}")));
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

impl Source<'_> {
    pub(crate) fn scan(
        self,
        family: &Family,
        (from, to): Range,
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let failed = self.rocks.scan(family, self.snapshot, (&from, &to), |key, value| match visit(key, value) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        });
        failed.map_err(storage("reading a collection"))?.map_or(Ok(()), Err)
    }
}
