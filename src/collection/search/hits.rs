//! Makes hits of answers: from the documents at the search's commit, or, where only ids are wanted,
//! from memory.

use std::sync::Arc;

use super::round::Round;
use crate::document::{Hit, Parts};
use crate::error::{Error, Result};
use crate::graph::Found;
use crate::id::Slot;
use crate::store::record::DocumentRow;
use crate::value::Value;

/// A scored slot that a search has found, before it becomes a hit.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) slot: Slot,
    pub(super) score: f32,
    pub(super) distance: f32,
    pub(super) parts: Option<Parts>,
    pub(super) group: Option<Arc<Value>>,
}

impl Round {
    /// The answer for a slot that was found by its vector.
    pub(super) fn answer_of(&self, found: &Found) -> Answer {
        let ranker = self.moment.ranker();
        let (score, distance) = (ranker.score(found.rank), ranker.distance(found.rank));
        Answer { slot: Slot(found.slot), score, distance, parts: None, group: None }
    }

    /// Makes hits of answers, in their order.
    pub(super) fn complete(&self, answers: Vec<Answer>) -> Result<Vec<Hit>> {
        if self.params.with_document {
            let slots: Vec<Slot> = answers.iter().map(|answer| answer.slot).collect();
            let rows = self.moment.fetch_unless(&self.stop, &slots)?;
            return answers.into_iter().zip(rows).map(|(answer, (_, row))| self.hit(answer, row)).collect();
        }
        answers.into_iter().map(|answer| self.bare_hit(answer)).collect()
    }

    /// A hit without its document: from memory if the document has not changed since the commit,
    /// else from its row.
    fn bare_hit(&self, answer: Answer) -> Result<Hit> {
        self.stop.check()?;
        let slot = answer.slot;
        let (id, version) = match self.moment.unchanged(slot) {
            Some(identity) => identity,
            None => {
                let mut rows = self.moment.fetch(&[slot])?;
                let row = rows.pop().map(|(_, row)| (row.id, row.commit));
                row.ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "expected a document, found none"))?
            }
        };
        let Answer { score, distance, parts, group, .. } = answer;
        let group = group.map(Arc::unwrap_or_clone);
        let vector = self.vector_of(slot)?;
        Ok(Hit { id, score, distance, metadata: Value::object(), text: None, vector, version, group, parts })
    }

    fn hit(&self, Answer { slot, score, distance, parts, group }: Answer, row: DocumentRow) -> Result<Hit> {
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
