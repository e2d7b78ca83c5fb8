//! Decides from postings which documents match a filter, as of one commit.
//!
//! Entries that are cached since before that commit are used. Others are read from the rows of the
//! commit, and cached.

use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::MetadataIndex;
use super::column::Column;
use super::value_counts::ValueCounts;
use crate::collection::derived::context::Context;
use crate::collection::derived::index::DerivedIndex;
use crate::collection::derived::source::RowSource;
use crate::error::{Error, Result};
use crate::filter::lookup::Coverage;
use crate::filter::term::{Term, TermKind, TermRange, kind_of, ordinal};
use crate::id::FieldId;
use crate::store::format::key;
use crate::store::format::postings::read_chunk;
use crate::store::{View, storage};

/// Up to `FEW_CHUNKS` chunks are read one by one; more are scanned.
const FEW_CHUNKS: usize = 64;

/// The postings of a collection at a commit.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'l> {
    pub(in crate::collection) index: &'l MetadataIndex,
    pub(in crate::collection) context: &'l Context,
    pub(in crate::collection) view: &'l View,
    /// Every slot that holds a document at the view's commit is below this.
    pub(in crate::collection) n_slots: usize,
}

impl Lookup<'_> {
    /// The result of `tell` on a field's postings; `None` if the field is not indexed, or its
    /// postings are damaged.
    pub(crate) fn told_of_field<T>(
        &self,
        path: &str,
        tell: impl FnOnce(&Self, FieldId) -> Result<T>,
    ) -> Result<Option<T>> {
        let field = match self.coverage(path) {
            Coverage::Unindexed => return Ok(None),
            Coverage::Indexed(field) => field,
            // Only documents with more terms than are indexed can have the field.
            Coverage::Absent => FieldId::default(),
        };
        self.told(|| tell(self, field))
    }

    /// Whether postings show that no document of any namespace has a field. A field that has a
    /// number must be looked up; `only_new` skips the lookup and returns false.
    pub(crate) fn is_absent(&self, path: &str, only_new: bool) -> bool {
        let has_no_more = || self.overflowing().map(|slots| slots.is_empty());
        let told = self.told(|| match self.coverage(path) {
            Coverage::Unindexed => Ok(false),
            Coverage::Indexed(_) if only_new => Ok(false),
            Coverage::Indexed(field) => Ok(self.term(field, &Term::exists())?.is_empty() && has_no_more()?),
            Coverage::Absent => has_no_more(),
        });
        told.unwrap_or_default().unwrap_or(false)
    }

    /// The result of `tell`, which asks for postings; `None` if they are damaged, and are then
    /// rebuilt.
    pub(crate) fn told<T>(&self, tell: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        if self.index.condition.is_damaged() {
            return Ok(None);
        }
        match tell() {
            Err(error @ Error::Corruption { .. }) => {
                tracing::error!("the metadata index is rebuilt, and filters read documents meanwhile: {error}");
                self.index.rebuild(self.context);
                Ok(None)
            }
            told => told.map(Some),
        }
    }

    /// How postings cover a path.
    pub(crate) fn coverage(&self, path: &str) -> Coverage {
        self.index.catalog.read().coverage(path, self.view.commit)
    }

    /// The slots of a field's term.
    pub(crate) fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>> {
        let (cache, entry) = (&self.index.cache, (field, term.clone()));
        if let Some(slots) = cache.term(&entry, self.view.commit) {
            return Ok(slots);
        }
        let slots = Arc::new(self.read_term(field, term)?);
        cache.put_term(entry, &slots, self.view.commit);
        Ok(slots)
    }

    /// The slots of all of a field's terms in a range.
    pub(crate) fn range(&self, field: FieldId, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        let (cache, commit) = (&self.index.cache, self.view.commit);
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

    /// The slots of documents that have more terms than are indexed.
    pub(crate) fn overflowing(&self) -> Result<Arc<RoaringBitmap>> {
        self.term(FieldId::default(), &Term::incomplete())
    }

    fn column(&self, field: FieldId, kind: TermKind) -> Result<Arc<Column>> {
        let (cache, commit) = (&self.index.cache, self.view.commit);
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
        let (cache, commit) = (&self.index.cache, self.view.commit);
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
        let RowSource { rocks, families, snapshot, .. } = self.source();
        let n_chunks = self.n_slots.div_ceil(1 << 16);
        let mut slots = RoaringBitmap::new();
        if n_chunks <= FEW_CHUNKS {
            let keys: Vec<_> = (0..n_chunks as u16).map(|chunk| key::postings(field, term.bytes(), chunk)).collect();
            let rows = rocks.get_many(&families.postings, snapshot, &keys).map_err(storage("reading postings"))?;
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
        let RowSource { rocks, families, snapshot, .. } = self.source();
        let scanned = rocks.scan_back(&families.postings, snapshot, (&from, &to), |key, row| {
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
        self.source().each_posting(range, |key, row| {
            let (_, term, chunk) = key::read_postings(key)?;
            visit(term, chunk, row)
        })
    }

    fn source(&self) -> RowSource<'_> {
        self.context.source(Some(&self.view.snapshot))
    }
}

/// Whether a term is a value, not a mark such as [`TermKind::Exists`].
fn is_value(term: &[u8]) -> bool {
    kind_of(term).is_some_and(|kind| kind > TermKind::Incomplete)
}
