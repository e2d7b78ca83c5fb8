//! Proving that an open collection is what it should be: rows against rows, memory against rows.

use super::load::{self, Source};
use super::memory::Memory;
use super::{Live, new_memory};
use crate::error::{Error, Result};
use crate::id::{Commit, Slot};
use crate::store::key;
use crate::store::log::Expected;
use crate::store::record::{DocumentRow, read_u32};

impl Live {
    /// Reads every row of the collection as of now and compares all with all. Writes wait meanwhile: the caller holds
    /// the committer section.
    pub(crate) fn verify(&self) -> Result<usize> {
        let view = self.store.view();
        let source = Source {
            rocks: self.store.rocks(),
            families: &self.families,
            snapshot: Some(&view.snapshot),
            config: &self.config,
        };
        let fresh = new_memory(&self.config, self.store.options())?;
        let fresh = load::load(source, fresh, Expected::default(), view.commit)?;
        if *self.namespaces.read() != fresh.namespaces {
            return Err(Error::corruption("memory", "namespaces differ from those on disk"));
        }
        compare(&self.memory, &fresh.memory)?;
        self.verify_ids(source)?;
        if let Some(index) = &self.memory.index {
            index.audit(&self.memory).map_err(|detail| Error::corruption("the graph", detail))?;
        }
        Ok(self.memory.slots.n_documents())
    }

    /// Every id is the one its document bears, and every document's body can be read.
    fn verify_ids(&self, source: Source<'_>) -> Result<()> {
        source.scan(&self.families.documents, key::all_ids_range(), |key, value| {
            let ((namespace, id), slot) = (key::read_id(key)?, Slot(read_u32("an id's slot", value)?));
            let row = source
                .rocks
                .get(&self.families.documents, source.snapshot, &key::document(slot))
                .map_err(crate::store::storage("reading a document"))?
                .ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "no document"))?;
            let row = DocumentRow::decode(&row)?;
            if (row.namespace, &row.id) != (namespace, &id) {
                return Err(Error::corruption(format!("slot {}", slot.0), format!("expected id {id}, got {}", row.id)));
            }
            Ok(())
        })
    }
}

fn compare(memory: &Memory, fresh: &Memory) -> Result<()> {
    let (ours, theirs) = (&memory.slots, &fresh.slots);
    if ours.n_documents() != theirs.n_documents() {
        let detail = format!("expected {} documents, got {}", theirs.n_documents(), ours.n_documents());
        return Err(Error::corruption("memory", detail));
    }
    let newest = Commit(u64::MAX - 1);
    for slot in (0..theirs.n_slots() as u32).map(Slot) {
        let Some(namespace) = fresh.namespace_of(slot) else { continue };
        let same = ours.tenancy(slot) == theirs.tenancy(slot)
            && memory.namespace_of(slot) == Some(namespace)
            && ours.is_visible(slot, namespace, newest)
            && ours.identity(slot, newest) == theirs.identity(slot, newest)
            && ours.vector(slot) == theirs.vector(slot);
        if !same {
            return Err(Error::corruption("memory", format!("slot {} differs from the row on disk", slot.0)));
        }
    }
    Ok(())
}
