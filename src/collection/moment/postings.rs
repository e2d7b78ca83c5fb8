//! What the derived indexes tell of a moment's commit, in all namespaces of the collection.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Moment;
use crate::cancel::Stop;
use crate::collection::fulltext::lookup::{QueryLists, WordLookup};
use crate::collection::metadata::lookup::Lookup;
use crate::error::Result;
use crate::filter::Filter;
use crate::filter::lookup::{Coverage, Postings};
use crate::filter::slots::{Bounds, SlotSet};
use crate::filter::term::{Term, TermRange};
use crate::id::FieldId;
use crate::text::query::Parsed;

/// Both indexes, for a filter.
struct FilterPostings<'m> {
    fields: Lookup<'m>,
    words: WordLookup<'m>,
}

impl Moment {
    fn field_lookup(&self) -> Lookup<'_> {
        let Moment { open, view, n_slots, .. } = self;
        Lookup { index: &open.indexes.fields, context: &open.context, view, n_slots: *n_slots }
    }

    fn word_lookup(&self) -> WordLookup<'_> {
        let Moment { open, view, .. } = self;
        WordLookup { index: &open.indexes.words, context: &open.context, view }
    }

    /// The definite and possible matches of a filter.
    pub(in crate::collection) fn bounds(&self, filter: &Filter) -> Bounds {
        let postings = FilterPostings { fields: self.field_lookup(), words: self.word_lookup() };
        let told = postings.fields.told(|| filter.bounds(&postings)).unwrap_or_else(|error| {
            tracing::error!("postings cannot be read, documents are looked at: {error}");
            None
        });
        // Without postings every document may match.
        told.unwrap_or_else(|| Bounds::at_most(SlotSet::all()))
    }

    /// The result of `tell` on a field's postings; `None` if the field is not indexed, or its
    /// postings are damaged.
    pub(in crate::collection) fn told_of_field<T>(
        &self,
        path: &str,
        tell: impl FnOnce(&Lookup<'_>, FieldId) -> Result<T>,
    ) -> Result<Option<T>> {
        self.field_lookup().told_of_field(path, tell)
    }

    /// The fields that a filter tests and no document has, as postings tell. With `only_new`,
    /// fields that documents once had are left out.
    pub(in crate::collection) fn absent_fields(&self, filter: &Filter, only_new: bool) -> Vec<String> {
        let (lookup, paths) = (self.field_lookup(), filter.paths().into_iter());
        paths.filter(|path| lookup.is_absent(path, only_new)).map(str::to_owned).collect()
    }

    /// The posting lists of a query's words.
    pub(in crate::collection) fn ask(&self, parsed: &Parsed, stop: &Stop) -> Result<QueryLists> {
        self.word_lookup().ask(parsed, stop)
    }
}

impl Postings for FilterPostings<'_> {
    fn coverage(&self, path: &str) -> Coverage {
        self.fields.coverage(path)
    }

    fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>> {
        self.fields.term(field, term)
    }

    fn range(&self, field: FieldId, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        self.fields.range(field, range)
    }

    fn text(&self, text: &str) -> Result<Bounds> {
        Ok(self.words.bounds(text))
    }

    fn overflowing(&self) -> Result<Arc<RoaringBitmap>> {
        self.fields.overflowing()
    }
}
