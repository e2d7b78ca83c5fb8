//! Decides from postings which documents match a filter, as of one commit.
//!
//! Entries that are cached since before that commit are used. Others are read from the rows of the
//! commit, and cached.

use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::column::Column;
use super::value_counts::ValueCounts;
use crate::collection::open::OpenCollection;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::filter::lookup::{Coverage, Postings};
use crate::filter::slots::{Bounds, SlotSet};
use crate::filter::term::{Term, TermKind, TermRange, kind_of, ordinal};
use crate::id::FieldId;
use crate::store::format::key;
use crate::store::format::postings::read_chunk;
use crate::store::{View, storage};

/// Up to `FEW_CHUNKS` chunks are read one by one; more are scanned.
const FEW_CHUNKS: usize = 64;

impl OpenCollection {
    /// The definite and possible matches of a filter at a commit, in all namespaces of the
    /// collection.
    pub(crate) fn bounds(&self, view: &View, filter: &Filter) -> Bounds {
        let told = self.told(view, |lookup| filter.bounds(lookup)).unwrap_or_else(|error| {
            tracing::error!("postings cannot be read, documents are looked at: {error}");
            None
        });
        // Without postings every document may match.
        told.unwrap_or_else(|| Bounds::at_most(SlotSet::all()))
    }

    /// The result of `tell` on a field's postings; `None` if the field is not indexed, or its
    /// postings are damaged.
    pub(crate) fn told_of_field<T>(
        &self,
        view: &View,
        path: &str,
        tell: impl FnOnce(&Lookup<'_>, FieldId) -> Result<T>,
    ) -> Result<Option<T>> {
        let field = match (Lookup { open: self, view }).coverage(path) {
            Coverage::Unindexed => return Ok(None),
            Coverage::Indexed(field) => field,
            // Only documents with more terms than are indexed can have the field.
            Coverage::Absent => FieldId::default(),
        };
        self.told(view, |lookup| tell(lookup, field))
    }

    /// Whether postings show that no document of any namespace has a field. A field that has a
    /// number must be looked up; `only_new` skips the lookup and returns false.
    pub(crate) fn is_absent(&self, view: &View, path: &str, only_new: bool) -> bool {
        let told = self.told(view, |lookup| {
            let has_no_more = || lookup.overflowing().map(|slots| slots.is_empty());
            match lookup.coverage(path) {
                Coverage::Unindexed => Ok(false),
                Coverage::Indexed(_) if only_new => Ok(false),
                Coverage::Indexed(field) => Ok(lookup.term(field, &Term::exists())?.is_empty() && has_no_more()?),
                Coverage::Absent => has_no_more(),
            }
        });
        told.unwrap_or_default().unwrap_or(false)
    }

    /// The result of `tell` on postings; `None` if they are damaged, and are then rebuilt.
    fn told<T>(&self, view: &View, tell: impl FnOnce(&Lookup<'_>) -> Result<T>) -> Result<Option<T>> {
        if self.fields.is_damaged() {
            return Ok(None);
        }
        match tell(&Lookup { open: self, view }) {
            Err(error @ Error::Corruption { .. }) => {
                tracing::error!("postings are made anew, documents are looked at meanwhile: {error}");
                self.rebuild_fields();
                Ok(None)
            }
            told => told.map(Some),
        }
    }
}

/// The postings of a collection at a commit.
pub(crate) struct Lookup<'l> {
    pub(super) open: &'l OpenCollection,
    pub(super) view: &'l View,
}

impl Postings for Lookup<'_> {
    fn coverage(&self, path: &str) -> Coverage {
        self.open.fields.catalog.read().coverage(path, self.view.commit)
    }

    fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>> {
        let (cache, entry) = (&self.open.fields.cache, (field, term.clone()));
        if let Some(slots) = cache.term(&entry, self.view.commit) {
            return Ok(slots);
        }
        let slots = Arc::new(self.read_term(field, term)?);
        cache.put_term(entry, &slots, self.view.commit);
        Ok(slots)
    }

    fn range(&self, field: FieldId, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        let (cache, commit) = (&self.open.fields.cache, self.view.commit);
        let cached = (field, range.clone());
        if let Some(slots) = cache.range(&cached, commit) {
            return Ok(slots);
        }
        let slots = Arc::new(match range.ordinals() {
            Some((first, last)) if first > last => RoaringBitmap::new(),
            Some((first, last)) if !cache.is_too_large(field, Some(range.kind)) => {
                self.column(field, range.kind)?.range(first, last)
            }
            Some(_) | None => self.read_range(field, range)?,
        });
        cache.put_range(cached, &slots, commit);
        Ok(slots)
    }

    fn text(&self, text: &str) -> Result<Bounds> {
        Ok(self.open.bounds_of_text(self.view, text))
    }

    fn overflowing(&self) -> Result<Arc<RoaringBitmap>> {
        self.term(FieldId::default(), &Term::incomplete())
    }
}

impl Lookup<'_> {
    fn column(&self, field: FieldId, kind: TermKind) -> Result<Arc<Column>> {
        let (cache, commit) = (&self.open.fields.cache, self.view.commit);
        if let Some(column) = cache.column(&(field, kind), commit) {
            return Ok(column);
        }
        let (mut entries, mut slots) = (Vec::new(), RoaringBitmap::new());
        self.each_row(field, &[kind as u8], |term, chunk, row| {
            slots.clear();
            read_chunk(row, chunk, &mut slots)?;
            let ordinal = ordinal(term).ok_or_else(|| Error::corruption("a row of postings", "a term of no order"))?;
            entries.extend(slots.iter().map(|slot| (ordinal, slot)));
            Ok(ControlFlow::Continue(()))
        })?;
        let column = Arc::new(Column::new(entries));
        cache.put_column((field, kind), &column, commit);
        Ok(column)
    }

    /// A field's values with their slots; `None` if they are too large to be cached.
    pub(crate) fn value_counts(&self, field: FieldId) -> Result<Option<Arc<ValueCounts>>> {
        let (cache, commit) = (&self.open.fields.cache, self.view.commit);
        if cache.is_too_large(field, None) {
            return Ok(None);
        }
        if let Some(value_counts) = cache.value_counts(field, commit) {
            return Ok(Some(value_counts));
        }
        let (mut value_counts, mut slots, mut is_too_large) = (ValueCounts::default(), RoaringBitmap::new(), false);
        self.each_row(field, &[], |term, chunk, row| {
            if is_value(term) {
                slots.clear();
                read_chunk(row, chunk, &mut slots)?;
                slots.iter().for_each(|slot| value_counts.push(term, slot));
                is_too_large = value_counts.n_bytes() > cache.most_bytes_of_one();
            }
            Ok(if is_too_large { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if is_too_large {
            cache.note_too_large(field, None);
            return Ok(None);
        }
        let value_counts = Arc::new(value_counts);
        cache.put_value_counts(field, &value_counts, commit);
        Ok(Some(value_counts))
    }

    fn read_term(&self, field: FieldId, term: &Term) -> Result<RoaringBitmap> {
        let (rocks, family, snapshot) = (self.open.store.rocks(), &self.open.families.postings, &self.view.snapshot);
        let n_chunks = self.open.memory.slots.n_slots().div_ceil(1 << 16);
        let mut slots = RoaringBitmap::new();
        if n_chunks <= FEW_CHUNKS {
            let keys: Vec<_> = (0..n_chunks as u16).map(|chunk| key::postings(field, term.bytes(), chunk)).collect();
            let rows = rocks.get_many(family, Some(snapshot), &keys).map_err(storage("reading postings"))?;
            for (row, chunk) in rows.iter().zip(0..) {
                row.as_ref().map_or(Ok(()), |row| read_chunk(row, chunk, &mut slots))?;
            }
            return Ok(slots);
        }
        let (from, to) = key::term_range(field, term.bytes());
        self.each_row_within((&from, &to), |_, chunk, row| {
            read_chunk(row, chunk, &mut slots)?;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(slots)
    }

    fn read_range(&self, field: FieldId, range: &TermRange) -> Result<RoaringBitmap> {
        let (_, to) = key::postings_range(field, &[range.kind as u8]);
        let (from, _) = key::postings_range(field, &range.start());
        let mut slots = RoaringBitmap::new();
        self.each_row_within((&from, &to), |term, chunk, row| {
            if range.is_passed(term) {
                return Ok(ControlFlow::Break(()));
            }
            if range.admits(term) {
                read_chunk(row, chunk, &mut slots)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(slots)
    }

    /// Shows every row of a field's values.
    pub(crate) fn each_value(
        &self,
        field: FieldId,
        mut visit: impl FnMut(&[u8], u16, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.each_row(field, &[], |term, chunk, row| {
            if is_value(term) {
                visit(term, chunk, row)?;
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Shows every row of a field's terms that begin with `front`, until `visit` breaks or fails.
    fn each_row(
        &self,
        field: FieldId,
        front: &[u8],
        visit: impl FnMut(&[u8], u16, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (from, to) = key::postings_range(field, front);
        self.each_row_within((&from, &to), visit)
    }

    /// Shows the rows of a field's terms, forwards or backwards, until `visit` breaks or fails. The
    /// scan begins at the terms that begin with `start`, or at the first or last term.
    pub(crate) fn each_row_from(
        &self,
        field: FieldId,
        start: Option<&[u8]>,
        is_back: bool,
        mut visit: impl FnMut(&[u8], u16, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (from, to) = key::postings_range(field, &[]);
        let start = start.map(|start| key::postings_range(field, start));
        if !is_back {
            let from = start.map_or(from, |(from, _)| from);
            return self.each_row_within((&from, &to), visit);
        }
        let to = start.map_or(to, |(_, to)| to);
        let (rocks, family, snapshot) = (self.open.store.rocks(), &self.open.families.postings, &self.view.snapshot);
        let scanned = rocks.scan_back(family, Some(snapshot), (&from, &to), |key, row| {
            let (_, term, chunk) = key::read_postings(key)?;
            visit(term, chunk, row)
        });
        scanned.map_err(storage("reading postings"))?
    }

    fn each_row_within(
        &self,
        range: (&[u8], &[u8]),
        mut visit: impl FnMut(&[u8], u16, &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let (rocks, family, snapshot) = (self.open.store.rocks(), &self.open.families.postings, &self.view.snapshot);
        let scanned = rocks.scan(family, Some(snapshot), range, |key, row| {
            let (_, term, chunk) = key::read_postings(key)?;
            visit(term, chunk, row)
        });
        scanned.map_err(storage("reading postings"))?
    }
}

/// Whether a term is a value, not a mark such as [`TermKind::Exists`].
fn is_value(term: &[u8]) -> bool {
    kind_of(term).is_some_and(|kind| kind > TermKind::Incomplete)
}
