//! What postings tell of a filter is never wrong: an index of documents, made of nothing but sets.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::twin::Generator;
use super::*;
use crate::error::Result;
use crate::filter::extract::terms_of;
use crate::filter::lookup::{Coverage, Postings};
use crate::filter::term::{Range, Term, kind_of};
use crate::id::FieldId;

#[derive(Default)]
struct Index {
    fields: BTreeMap<Box<str>, FieldId>,
    postings: BTreeMap<(FieldId, Term), RoaringBitmap>,
    unindexed: Vec<&'static str>,
    overflowing: RoaringBitmap,
}

impl Index {
    fn new(documents: &[Value], unindexed: Vec<&'static str>) -> Self {
        let mut index = Index { unindexed, ..Index::default() };
        for (document, slot) in documents.iter().zip(0..) {
            let terms = terms_of(document, |path| !index.unindexed.contains(&path));
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
}

impl Postings for Index {
    fn coverage(&self, path: &str) -> Coverage {
        match self.fields.get(path) {
            _ if self.unindexed.contains(&path) => Coverage::Unindexed,
            Some(field) => Coverage::Indexed(*field),
            None => Coverage::Absent,
        }
    }

    fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>> {
        Ok(Arc::new(self.postings.get(&(field, term.clone())).cloned().unwrap_or_default()))
    }

    fn range(&self, field: FieldId, range: &Range) -> Result<Arc<RoaringBitmap>> {
        let is_within = |(of, term): &(FieldId, Term)| {
            *of == field && kind_of(term.bytes()) == Some(range.kind) && range.admits(term.bytes())
        };
        let within = self.postings.iter().filter(|(key, _)| is_within(key));
        Ok(Arc::new(within.fold(RoaringBitmap::new(), |all, (_, slots)| all | slots)))
    }

    fn text(&self, _text: &str) -> Result<crate::filter::slots::Bounds> {
        Ok(crate::filter::slots::Bounds::at_most(crate::filter::slots::SlotSet::all()))
    }

    fn overflowing(&self) -> Result<Arc<RoaringBitmap>> {
        Ok(Arc::new(self.overflowing.clone()))
    }
}

#[test]
fn postings_tell_what_documents_say() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut generator = Generator(StdRng::seed_from_u64(seed));
    let (mut n_sure, mut n_open, mut n_told) = (0, 0, 0);
    for round in 0..60 {
        let mut documents: Vec<Value> = (0..60).map(|_| generator.object(3).into()).collect();
        if round % 4 == 0 {
            documents.push(json!({"a": "x".repeat(300), "b": ["y".repeat(400), "x"]}).into());
            documents.push(json!({"a": (0..2_000).collect::<Vec<_>>()}).into());
        }
        let unindexed = if round % 3 == 0 { vec!["b", "a.b"] } else { Vec::new() };
        let index = Index::new(&documents, unindexed);
        for _ in 0..100 {
            let json = generator.filter(3);
            let filter = Filter::from_json(&json).unwrap();
            let bounds = filter.bounds(&index).unwrap();
            n_told += usize::from(bounds.possible.is_none());
            for (document, slot) in documents.iter().zip(0..) {
                let (is_match, is_sure) = (filter.matches(document), bounds.sure.contains(slot));
                let is_possible = bounds.possible().contains(slot);
                assert!(is_match || !is_sure, "{json} does not match {document}, and is said to");
                assert!(!is_match || is_possible, "{json} matches {document}, and is said not to");
                n_sure += usize::from(is_sure || !is_possible);
                n_open += usize::from(!is_sure && is_possible);
            }
        }
    }
    assert!(
        n_sure > 8 * n_open && n_told > 3_000,
        "{n_sure} sure, {n_open} open, {n_told} of 6,000 filters told whole"
    );
}
