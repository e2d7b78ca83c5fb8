//! Verifies that postings and documents agree on metadata, both ways.
//!
//! Each side is summed up field by field, as the number of entries and a sum of their hashes that
//! does not depend on their order. Documents with more terms than are indexed are left out: they
//! may have any of their entries.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use roaring::RoaringBitmap;

use super::FieldCatalog;
use super::catalog::{is_building, wants};
use crate::collection::derived::source::RowSource;
use crate::collection::open::OpenCollection;
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

/// The number of a field's entries, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FieldSum {
    n_entries: u64,
    of_hashes: u128,
}

/// The sums of both sides, and the hasher for their entries.
struct Sums {
    hasher: RandomState,
    of_documents: BTreeMap<FieldId, FieldSum>,
    of_postings: BTreeMap<FieldId, FieldSum>,
    /// Documents that have more terms than are indexed.
    overflowing: RoaringBitmap,
}

impl Sums {
    fn hash(&self, term: &[u8], slot: u32) -> u128 {
        let half = |salt: u8| {
            let mut hasher = self.hasher.build_hasher();
            hasher.write_u8(salt);
            hasher.write(term);
            hasher.write_u32(slot);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }
}

impl FieldSum {
    fn add(&mut self, hash: u128) {
        self.n_entries += 1;
        self.of_hashes = self.of_hashes.wrapping_add(hash);
    }
}

impl OpenCollection {
    /// Verifies every posting against the documents, and every document against the postings. The
    /// caller ensures that nothing is committed meanwhile.
    pub(crate) fn verify_fields(&self, source: RowSource<'_>) -> Result<()> {
        if self.fields.is_damaged() {
            return Ok(());
        }
        let catalog = self.fields.catalog.read().clone();
        let stored = source.fields()?;
        let differs = |detail: String| Error::corruption("postings", detail);
        if stored.row != catalog.row || stored.iter().collect::<BTreeMap<_, _>>() != catalog.iter().collect() {
            return Err(differs("the fields in memory are not those on disk".into()));
        }
        let overflowing = self.read_slots(source, FieldId::default(), &Term::incomplete())?;
        if let Some(slot) = overflowing.iter().find(|slot| !self.memory.slots.is_alive(Slot(*slot))) {
            return Err(differs(format!("slot {slot} has no document")));
        }
        let mut sums = Sums {
            hasher: RandomState::new(),
            of_documents: BTreeMap::new(),
            of_postings: BTreeMap::new(),
            overflowing,
        };
        source.scan(&self.families.documents, key::document_range(), |key, row| {
            let (slot, metadata) = (key::read_document(key)?, DocumentRow::decode(row)?.metadata);
            self.sum_up(&mut sums, &catalog, slot, &metadata)
        })?;
        self.sum_up_rows(source, &mut sums)?;
        for (path, field) in catalog.iter().filter(|(path, _)| !is_building(&catalog.row.rule, path)) {
            let of = |sums: &BTreeMap<FieldId, FieldSum>| sums.get(&field).copied().unwrap_or_default();
            let (expected, got) = (of(&sums.of_documents), of(&sums.of_postings));
            if expected != got {
                let counts = format!("expected {} entries, got {}", expected.n_entries, got.n_entries);
                return Err(differs(format!("field \"{path}\": {counts}, or others of them")));
            }
        }
        self.verify_held(source)
    }

    /// Adds the entries that a document should have.
    fn sum_up(&self, sums: &mut Sums, catalog: &FieldCatalog, slot: Slot, metadata: &Value) -> Result<()> {
        if sums.overflowing.contains(slot.0) {
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
            let hash = sums.hash(term.bytes(), slot.0);
            sums.of_documents.entry(field).or_default().add(hash);
        }
        Ok(())
    }

    /// Adds the entries that the postings have.
    fn sum_up_rows(&self, source: RowSource<'_>, sums: &mut Sums) -> Result<()> {
        source.scan(&self.families.postings, key::all_postings_range(), |key, row| {
            let (field, term, chunk) = key::read_postings(key)?;
            let mut slots = RoaringBitmap::new();
            read_chunk(row, chunk, &mut slots)?;
            for slot in slots.iter().filter(|_| field != FieldId::default()) {
                if !sums.overflowing.contains(slot) {
                    let hash = sums.hash(term, slot);
                    sums.of_postings.entry(field).or_default().add(hash);
                }
            }
            Ok(())
        })
    }

    /// Verifies that cached terms are those on disk.
    fn verify_held(&self, source: RowSource<'_>) -> Result<()> {
        let mut held = Vec::new();
        self.fields.cache.each_term(|entry, slots| held.push((entry.clone(), slots.clone())));
        for ((field, term), slots) in held {
            if self.read_slots(source, field, &term)? != *slots {
                return Err(Error::corruption("postings", format!("a term of field {} is held wrongly", field.0)));
            }
        }
        Ok(())
    }

    fn read_slots(&self, source: RowSource<'_>, field: FieldId, term: &Term) -> Result<RoaringBitmap> {
        let mut slots = RoaringBitmap::new();
        source.scan(&self.families.postings, key::term_range(field, term.bytes()), |key, row| {
            let (_, _, chunk) = key::read_postings(key)?;
            read_chunk(row, chunk, &mut slots)
        })?;
        Ok(slots)
    }
}

impl RowSource<'_> {
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
        let row = row.inspect_err(|error| tracing::warn!("metadata is indexed anew: {error}"));
        Ok(FieldCatalog::read(fields, row.ok().flatten(), self.config))
    }
}
