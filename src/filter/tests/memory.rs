//! A reference index of documents, made of sets alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use crate::error::Result;
use crate::filter::extract::terms_of;
use crate::filter::lookup::{Coverage, Postings};
use crate::filter::slots::{Bounds, SlotSet};
use crate::filter::term::{Term, TermRange, kind_of};
use crate::id::FieldId;
use crate::value::Value;

#[derive(Default)]
pub(crate) struct Index {
    fields: BTreeMap<Box<str>, FieldId>,
    postings: BTreeMap<(FieldId, Term), RoaringBitmap>,
    unindexed: Vec<String>,
    overflowing: RoaringBitmap,
}

impl Index {
    /// Indexes documents in the order of their slots, without the `unindexed` paths.
    pub(crate) fn new(documents: &[Value], unindexed: Vec<String>) -> Self {
        let mut index = Index { unindexed, ..Index::default() };
        for (document, slot) in documents.iter().zip(0..) {
            let terms = terms_of(document, |path| !index.is_unindexed(path));
            if terms.overflows {
                index.overflowing.insert(slot);
            }
            for (path, terms) in terms.by_path {
                let next = FieldId(index.fields.len() as u32 + 1);
                let field = *index.fields.entry(path).or_insert(next);
                for term in terms {
                    index.postings.entry((field, term)).or_default().insert(slot);
                }
            }
        }
        index
    }

    fn is_unindexed(&self, path: &str) -> bool {
        self.unindexed.iter().any(|other| other == path)
    }
}

impl Postings for Index {
    fn coverage(&self, path: &str) -> Coverage {
        match self.fields.get(path) {
            _ if self.is_unindexed(path) => Coverage::Unindexed,
            Some(field) => Coverage::Indexed(*field),
            None => Coverage::Absent,
        }
    }

    fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>> {
        Ok(Arc::new(self.postings.get(&(field, term.clone())).cloned().unwrap_or_default()))
    }

    fn range(&self, field: FieldId, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        let is_within = |(of, term): &(FieldId, Term)| {
            *of == field && kind_of(term.bytes()) == Some(range.kind) && range.admits(term.bytes())
        };
        let within = self.postings.iter().filter(|(key, _)| is_within(key));
        Ok(Arc::new(within.fold(RoaringBitmap::new(), |all, (_, slots)| all | slots)))
    }

    fn text(&self, _text: &str) -> Result<Bounds> {
        Ok(Bounds::at_most(SlotSet::all()))
    }

    fn overflowing(&self) -> Result<Arc<RoaringBitmap>> {
        Ok(Arc::new(self.overflowing.clone()))
    }
}
