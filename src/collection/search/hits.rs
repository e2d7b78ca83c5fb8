//! Making hits of what was found: from the documents of the commit that is looked at, or, where only ids are wanted, from
//! memory.

use super::round::Round;
use crate::document::Hit;
use crate::error::{Error, Result};
use crate::graph::Found;
use crate::id::{Commit, DocId, Slot};
use crate::store::record::DocumentRow;
use crate::value::Value;

impl Round {
    /// Makes hits of what was found.
    pub(super) fn complete<'f>(&self, found: impl Iterator<Item = &'f Found>) -> Result<Vec<Hit>> {
        if self.params.with_document {
            let found: Vec<&Found> = found.collect();
            let slots: Vec<Slot> = found.iter().map(|found| Slot(found.slot)).collect();
            let rows = self.live.fetch(&self.view.snapshot, &slots)?;
            return found.into_iter().zip(rows).map(|(found, (_, row))| self.hit(found, row)).collect();
        }
        found.map(|found| self.bare_hit(found)).collect()
    }

    /// A hit without its document, from memory where it has not changed since.
    fn bare_hit(&self, found: &Found) -> Result<Hit> {
        let slot = Slot(found.slot);
        let (id, version) = match self.live.memory.slots.identity(slot, self.view.commit) {
            Some(identity) => identity,
            None => {
                let mut rows = self.live.fetch(&self.view.snapshot, &[slot])?;
                let row = rows.pop().map(|(_, row)| (row.id, row.commit));
                row.ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "expected a document, found none"))?
            }
        };
        let (metadata, text) = (Value::object(), None);
        Ok(Hit { vector: self.vector_of(slot)?, ..self.assemble(found, id, version, metadata, text) })
    }

    fn hit(&self, found: &Found, row: DocumentRow) -> Result<Hit> {
        let metadata = select(row.metadata, self.params.fields.as_deref());
        let hit = self.assemble(found, row.id, row.commit, metadata, row.text);
        Ok(Hit { vector: self.vector_of(Slot(found.slot))?, ..hit })
    }

    fn assemble(&self, found: &Found, id: DocId, version: Commit, metadata: Value, text: Option<String>) -> Hit {
        let ranker = &self.live.ranker;
        let (score, distance) = (ranker.score(found.rank), ranker.distance(found.rank));
        Hit { id, score, distance, metadata, text, vector: None, version }
    }

    fn vector_of(&self, slot: Slot) -> Result<Option<Vec<f32>>> {
        match self.params.with_vector {
            true => self.live.vector(&self.view.snapshot, slot).map(Some),
            false => Ok(None),
        }
    }
}

/// The fields of metadata that were asked for.
fn select(metadata: Value, fields: Option<&[String]>) -> Value {
    match (metadata, fields) {
        (Value::Object(map), Some(fields)) => {
            Value::Object(map.into_iter().filter(|(key, _)| fields.contains(key)).collect())
        }
        (metadata, _) => metadata,
    }
}
