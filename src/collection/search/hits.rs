//! Makes hits of answers: from the documents at the search's commit, or, where only ids are wanted,
//! from memory.

use std::sync::Arc;

use super::answer::ScoredHit;
use super::session::Session;
use crate::error::{Error, Result};
use crate::graph::Neighbor;
use crate::hit::Hit;
use crate::id::Slot;
use crate::store::format::record::DocumentRow;
use crate::value::Value;

impl Session {
    /// The answer for a slot that was found by its vector.
    pub(super) fn hit_of(&self, found: &Neighbor) -> ScoredHit {
        let comparison = self.moment.comparison();
        let (score, distance) = (comparison.score(found.distance), comparison.reported_distance(found.distance));
        ScoredHit { slot: Slot(found.slot), score, distance, parts: None, group: None }
    }

    /// Makes hits of answers, in their order.
    pub(super) fn complete(&self, hits: Vec<ScoredHit>) -> Result<Vec<Hit>> {
        if self.params.with_document {
            let slots: Vec<Slot> = hits.iter().map(|hit| hit.slot).collect();
            let rows = self.moment.fetch_unless(&self.stop, &slots)?;
            return hits.into_iter().zip(rows).map(|(hit, (_, row))| self.hit(hit, row)).collect();
        }
        hits.into_iter().map(|hit| self.bare_hit(hit)).collect()
    }

    /// A hit without its document: from memory if the document has not changed since the commit,
    /// else from its row.
    fn bare_hit(&self, hit: ScoredHit) -> Result<Hit> {
        self.stop.check()?;
        let slot = hit.slot;
        let (id, version) = match self.moment.unchanged(slot) {
            Some(identity) => identity,
            None => {
                let mut rows = self.moment.fetch(&[slot])?;
                let row = rows.pop().map(|(_, row)| (row.id, row.commit));
                row.ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "expected a document, found none"))?
            }
        };
        let ScoredHit { score, distance, parts, group, .. } = hit;
        let group = group.map(Arc::unwrap_or_clone);
        let vector = self.vector_of(slot)?;
        Ok(Hit { id, score, distance, metadata: Value::object(), text: None, vector, version, group, parts })
    }

    fn hit(&self, ScoredHit { slot, score, distance, parts, group }: ScoredHit, row: DocumentRow) -> Result<Hit> {
        self.stop.check()?;
        let DocumentRow { id, commit: version, metadata, text, .. } = row;
        let metadata = select(metadata, self.params.fields.as_deref());
        let (group, vector) = (group.map(Arc::unwrap_or_clone), self.vector_of(slot)?);
        Ok(Hit { id, score, distance, metadata, text, vector, version, group, parts })
    }

    fn vector_of(&self, slot: Slot) -> Result<Option<Vec<f32>>> {
        match self.params.with_vector {
            true => self.moment.vector(slot).map(Some),
            false => Ok(None),
        }
    }
}

/// Metadata reduced to the top-level `fields` that were asked for.
fn select(metadata: Value, fields: Option<&[String]>) -> Value {
    match (metadata, fields) {
        (Value::Object(map), Some(fields)) => {
            Value::Object(map.into_iter().filter(|(key, _)| fields.contains(key)).collect())
        }
        (metadata, _) => metadata,
    }
}
