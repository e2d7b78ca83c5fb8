//! Rows of documents and vectors, by id or by slot. They are read as of a view, or as they are now
//! by a writer that is about to change them.

use super::source::RowSource;
use crate::error::{Error, Result};
use crate::id::{DocId, NamespaceId, Slot};
use crate::store::format::codec::read_u32;
use crate::store::format::key;
use crate::store::format::record::{DocumentRow, VectorRow};
use crate::store::storage;

impl RowSource<'_> {
    /// The slot of an id.
    pub(crate) fn find_slot(self, namespace: NamespaceId, id: &DocId) -> Result<Option<Slot>> {
        let row = self.rocks.get(&self.families.documents, self.snapshot, &key::id(namespace, id));
        let row = row.map_err(storage("reading an id"))?;
        Ok(row.map(|bytes| read_u32("an id's slot", &bytes)).transpose()?.map(Slot))
    }

    /// The slots of ids, in their order.
    pub(crate) fn find_slots(self, namespace: NamespaceId, ids: &[DocId]) -> Result<Vec<Option<Slot>>> {
        let keys: Vec<_> = ids.iter().map(|id| key::id(namespace, id)).collect();
        let rows = self.rocks.get_many(&self.families.documents, self.snapshot, &keys);
        let rows = rows.map_err(storage("reading ids"))?;
        let slot = |bytes: &[u8]| read_u32("an id's slot", bytes).map(Slot);
        rows.iter().map(|row| row.as_deref().map(slot).transpose()).collect()
    }

    /// The slot and row of an id.
    pub(crate) fn find(self, namespace: NamespaceId, id: &DocId) -> Result<Option<(Slot, DocumentRow)>> {
        let Some(slot) = self.find_slot(namespace, id)? else { return Ok(None) };
        let row = self.rocks.get(&self.families.documents, self.snapshot, &key::document(slot));
        let row = row.map_err(storage("reading a document"))?.ok_or_else(|| missing("document", slot))?;
        Ok(Some((slot, DocumentRow::decode(&row)?)))
    }

    /// The rows of slots, in their order.
    pub(crate) fn fetch(self, slots: &[Slot]) -> Result<Vec<(Slot, DocumentRow)>> {
        let keys: Vec<_> = slots.iter().map(|slot| key::document(*slot)).collect();
        let rows = self.rocks.get_many(&self.families.documents, self.snapshot, &keys);
        let rows = rows.map_err(storage("reading documents"))?;
        let pairs = slots.iter().zip(rows);
        pairs
            .map(|(&slot, row)| Ok((slot, DocumentRow::decode(&row.ok_or_else(|| missing("document", slot))?)?)))
            .collect()
    }

    /// A slot's vector in a vector field, as it was put.
    pub(crate) fn vector(self, slot: Slot, field: u16) -> Result<Vec<f32>> {
        let row = self.rocks.get(&self.families.vectors, self.snapshot, &key::vector(slot, field));
        let row = row.map_err(storage("reading a vector"))?.ok_or_else(|| missing("vector", slot))?;
        Ok(VectorRow::decode(&row)?.components)
    }
}

fn missing(what: &str, slot: Slot) -> Error {
    Error::corruption(format!("slot {}", slot.0), format!("expected a {what}, found none"))
}
