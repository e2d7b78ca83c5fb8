//! Rows of documents and vectors, by id or by slot. They are read as of a view, or as they are now
//! by a writer that is about to change them.

use std::ops::ControlFlow;

use crate::collection::open::OpenCollection;
use crate::error::{Error, Result};
use crate::id::{DocId, NamespaceId, Slot};
use crate::store::format::codec::read_u32;
use crate::store::format::key;
use crate::store::format::record::{DocumentRow, VectorRow};
use crate::store::rocks::EngineSnapshot;
use crate::store::storage;

impl OpenCollection {
    /// The slot of an id.
    pub(crate) fn find_slot(
        &self,
        snapshot: Option<&EngineSnapshot>,
        namespace: NamespaceId,
        id: &DocId,
    ) -> Result<Option<Slot>> {
        let row = self.store.rocks().get(&self.families.documents, snapshot, &key::id(namespace, id));
        let row = row.map_err(storage("reading an id"))?;
        Ok(row.map(|bytes| read_u32("an id's slot", &bytes)).transpose()?.map(Slot))
    }

    /// The slots of ids, in their order.
    pub(crate) fn find_slots(
        &self,
        snapshot: &EngineSnapshot,
        namespace: NamespaceId,
        ids: &[DocId],
    ) -> Result<Vec<Option<Slot>>> {
        let keys: Vec<_> = ids.iter().map(|id| key::id(namespace, id)).collect();
        let rows = self.store.rocks().get_many(&self.families.documents, Some(snapshot), &keys);
        let rows = rows.map_err(storage("reading ids"))?;
        let slot = |bytes: &[u8]| read_u32("an id's slot", bytes).map(Slot);
        rows.iter().map(|row| row.as_deref().map(slot).transpose()).collect()
    }

    /// The slot and row of an id.
    pub(crate) fn find(
        &self,
        snapshot: Option<&EngineSnapshot>,
        namespace: NamespaceId,
        id: &DocId,
    ) -> Result<Option<(Slot, DocumentRow)>> {
        let Some(slot) = self.find_slot(snapshot, namespace, id)? else { return Ok(None) };
        let row = self.store.rocks().get(&self.families.documents, snapshot, &key::document(slot));
        let row = row.map_err(storage("reading a document"))?.ok_or_else(|| missing("document", slot))?;
        Ok(Some((slot, DocumentRow::decode(&row)?)))
    }

    /// The rows of slots, in their order.
    pub(crate) fn fetch(&self, snapshot: &EngineSnapshot, slots: &[Slot]) -> Result<Vec<(Slot, DocumentRow)>> {
        let keys: Vec<_> = slots.iter().map(|slot| key::document(*slot)).collect();
        let rows = self.store.rocks().get_many(&self.families.documents, Some(snapshot), &keys);
        let rows = rows.map_err(storage("reading documents"))?;
        let pairs = slots.iter().zip(rows);
        pairs
            .map(|(&slot, row)| Ok((slot, DocumentRow::decode(&row.ok_or_else(|| missing("document", slot))?)?)))
            .collect()
    }

    /// A slot's vector as it was put.
    pub(crate) fn vector(&self, snapshot: &EngineSnapshot, slot: Slot) -> Result<Vec<f32>> {
        let key = key::vector(slot, self.memory.vectors().id);
        let row = self.store.rocks().get(&self.families.vectors, Some(snapshot), &key);
        let row = row.map_err(storage("reading a vector"))?.ok_or_else(|| missing("vector", slot))?;
        Ok(VectorRow::decode(&row)?.components)
    }

    /// Shows rows of the `documents` family until `visit` breaks or fails.
    pub(in crate::collection) fn scan(
        &self,
        snapshot: &EngineSnapshot,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let scanned = self.store.rocks().scan(&self.families.documents, Some(snapshot), range, visit);
        scanned.map_err(storage("reading documents"))?
    }
}

fn missing(what: &str, slot: Slot) -> Error {
    Error::corruption(format!("slot {}", slot.0), format!("expected a {what}, found none"))
}
