//! Verifies that postings and documents agree on metadata, both ways.
//!
//! Each side is summed up field by field, as the number of entries and a sum of their hashes that
//! does not depend on their order. Documents with more terms than are indexed are left out: they
//! may have any of their entries.

use std::collections::BTreeMap;
use std::hash::RandomState;

use roaring::RoaringBitmap;

use super::catalog::{is_building, wants};
use super::{FieldCatalog, MetadataIndex};
use crate::collection::derived::entry_sum::EntrySum;
use crate::collection::derived::source::RowSource;
use crate::error::{Error, Result};
use crate::filter::extract::terms_of;
use crate::filter::term::Term;
use crate::id::{FieldId, Slot};
use crate::store::format::codec::read_u32;
use crate::store::format::key;
use crate::store::format::postings::{IndexRow, read_chunk};
use crate::store::format::record::DocumentRow;
use crate::store::storage;
use crate::value::Value;

/// The sums of both sides, and the hasher for their entries.
struct Sums {
    hasher: RandomState,
    of_documents: BTreeMap<FieldId, EntrySum>,
    of_postings: BTreeMap<FieldId, EntrySum>,
    /// Documents that have more terms than are indexed.
    overflowing: RoaringBitmap,
}

/// Verifies every posting against the documents, every document against the postings, and cached
/// terms against the rows.
pub(super) fn verify(index: &MetadataIndex, source: RowSource<'_>) -> Result<()> {
    if index.condition.is_damaged() {
        return Ok(());
    }
    let catalog = index.catalog.read().clone();
    let stored = source.fields()?;
    let differs = |detail: String| Error::corruption("postings", detail);
    if stored.row != catalog.row || stored.iter().collect::<BTreeMap<_, _>>() != catalog.iter().collect() {
        return Err(differs("the fields in memory are not those on disk".into()));
    }
    let overflowing = source.slots_of(FieldId::default(), &Term::incomplete())?;
    let mut without_document = overflowing.clone();
    let mut sums =
        Sums { hasher: RandomState::new(), of_documents: BTreeMap::new(), of_postings: BTreeMap::new(), overflowing };
    source.scan(&source.families.documents, key::document_range(), |key, row| {
        let (slot, metadata) = (key::read_document(key)?, DocumentRow::decode(row)?.metadata);
        without_document.remove(slot.0);
        sums.add_document(&catalog, slot, &metadata)
    })?;
    if let Some(slot) = without_document.min() {
        return Err(differs(format!("slot {slot} has no document")));
    }
    sums.add_rows(source)?;
    for (path, field) in catalog.iter().filter(|(path, _)| !is_building(&catalog.row.rule, path)) {
        let of = |sums: &BTreeMap<FieldId, EntrySum>| sums.get(&field).copied().unwrap_or_default();
        let (expected, got) = (of(&sums.of_documents), of(&sums.of_postings));
        if expected != got {
            let counts = format!("expected {} entries, got {}", expected.n_entries, got.n_entries);
            return Err(differs(format!("field \"{path}\": {counts}, or others of them")));
        }
    }
    verify_cached(index, source)
}

/// Verifies that cached terms are those on disk.
fn verify_cached(index: &MetadataIndex, source: RowSource<'_>) -> Result<()> {
    let mut cached = Vec::new();
    index.cache.each_term(|entry, slots| cached.push((entry.clone(), slots.clone())));
    for ((field, term), slots) in cached {
        if source.slots_of(field, &term)? != *slots {
            return Err(Error::corruption("postings", format!("a term of field {} is held wrongly", field.0)));
        }
    }
    Ok(())
}

impl Sums {
    /// Adds the entries that a document should have.
    fn add_document(&mut self, catalog: &FieldCatalog, slot: Slot, metadata: &Value) -> Result<()> {
        if self.overflowing.contains(slot.0) {
            return Ok(());
        }
        let rule = &catalog.row.rule;
        let terms = terms_of(metadata, |path| wants(rule, path));
        let mut entries = Vec::new();
        let mut overflows = terms.overflows;
        for (path, terms) in terms.by_path {
            match catalog.find(&path) {
                Some(field) => entries.extend(terms.into_iter().map(|term| (field, term))),
                None if is_building(rule, &path) => {}
                None => overflows = true,
            }
        }
        if overflows && rule.building.is_empty() {
            return Err(Error::corruption("postings", format!("slot {} has more than is indexed, unnoted", slot.0)));
        }
        for (field, term) in entries {
            self.of_documents.entry(field).or_default().add(&self.hasher, (term.bytes(), slot.0));
        }
        Ok(())
    }

    /// Adds the entries that the postings have.
    fn add_rows(&mut self, source: RowSource<'_>) -> Result<()> {
        source.scan(&source.families.postings, key::all_postings_range(), |key, row| {
            let (field, term, chunk) = key::read_postings(key)?;
            let mut slots = RoaringBitmap::new();
            read_chunk(row, chunk, &mut slots)?;
            for slot in slots.iter().filter(|_| field != FieldId::default()) {
                if !self.overflowing.contains(slot) {
                    self.of_postings.entry(field).or_default().add(&self.hasher, (term, slot));
                }
            }
            Ok(())
        })
    }
}

impl RowSource<'_> {
    /// The slots of a field's term.
    fn slots_of(self, field: FieldId, term: &Term) -> Result<RoaringBitmap> {
        let mut slots = RoaringBitmap::new();
        self.scan(&self.families.postings, key::term_range(field, term.bytes()), |key, row| {
            let (_, _, chunk) = key::read_postings(key)?;
            read_chunk(row, chunk, &mut slots)
        })?;
        Ok(slots)
    }

    /// The stored field catalog. If its state cannot be read, everything is rebuilt.
    pub(crate) fn fields(self) -> Result<FieldCatalog> {
        let mut fields = Vec::new();
        self.scan(&self.families.postings, key::field_range(), |key, value| {
            fields.push((key::read_field(key)?, FieldId(read_u32("a field's number", value)?)));
            Ok(())
        })?;
        let row =
            self.rocks.get(&self.families.postings, self.snapshot, key::INDEX).map_err(storage("reading an index"))?;
        let row = row.map(|bytes| IndexRow::decode(&bytes)).transpose();
        let row = row.inspect_err(|error| tracing::warn!("the metadata index is rebuilt: {error}"));
        Ok(FieldCatalog::read(fields, row.ok().flatten(), self.config))
    }
}
