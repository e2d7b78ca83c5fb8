//! Making hits of what was found: from the documents of the commit that is looked at, or, where only ids are wanted,
//! from memory.

use std::sync::Arc;

use super::round::{Round, UNASKED};
use crate::document::{Hit, Parts};
use crate::error::{Error, Result};
use crate::graph::Found;
use crate::id::Slot;
use crate::store::record::DocumentRow;
use crate::value::Value;

/// What was found, on its way to be a hit.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) slot: Slot,
    pub(super) score: f32,
    pub(super) distance: f32,
    pub(super) parts: Option<Parts>,
    pub(super) group: Option<Arc<Value>>,
}

impl Round {
    /// What was found by a vector.
    pub(super) fn answer_of(&self, found: &Found) -> Answer {
        let ranker = self.moment.ranker();
        let (score, distance) = (ranker.score(found.rank), ranker.distance(found.rank));
        Answer { slot: Slot(found.slot), score, distance, parts: None, group: None }
    }

    /// Makes hits of what was found.
    pub(super) fn complete(&self, answers: Vec<Answer>) -> Result<Vec<Hit>> {
        if self.params.with_document {
            let slots: Vec<Slot> = answers.iter().map(|answer| answer.slot).collect();
            let (mut hits, mut answers) = (Vec::with_capacity(slots.len()), answers.into_iter());
            for slots in slots.chunks(UNASKED) {
                self.stop.check()?;
                // In this order: at the end of the rows no answer is taken.
                for ((_, row), answer) in self.moment.fetch(slots)?.into_iter().zip(answers.by_ref()) {
                    hits.push(self.hit(answer, row)?);
                }
            }
            return Ok(hits);
        }
        let bare = |(n, answer): (usize, Answer)| {
            if n % UNASKED == 0 {
                self.stop.check()?;
            }
            self.bare_hit(answer)
        };
        answers.into_iter().enumerate().map(bare).collect()
    }

    /// A hit without its document, from memory where it has not changed since.
    fn bare_hit(&self, answer: Answer) -> Result<Hit> {
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

/// The fields of metadata that were asked for.
fn select(metadata: Value, fields: Option<&[String]>) -> Value {
    match (metadata, fields) {
        (Value::Object(map), Some(fields)) => {
            Value::Object(map.into_iter().filter(|(key, _)| fields.contains(key)).collect())
        }
        (metadata, _) => metadata,
    }
}
