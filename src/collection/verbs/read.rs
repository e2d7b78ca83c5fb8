//! Read verbs: by id, by filter, and page by page.
//!
//! Every read sees one commit and nothing later.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::cancel::{Cancel, Stop};
use crate::collection::check;
use crate::collection::handle::Namespace;
use crate::collection::moment::{Listing, Moment};
use crate::collection::snapshot::ReadPoint;
use crate::document::StoredDocument;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::hit::Page;
use crate::id::{DocId, Slot};
use crate::paging::Cursor;
use crate::store::format::codec::read_u32;
use crate::store::format::key;
use crate::store::format::record::DocumentRow;

/// Rows fetched at once.
const FETCH: usize = 256;

/// Read verbs.
///
/// # Errors
/// All read verbs: `CollectionNotFound` if the collection was dropped, `Closed` if the database
/// was, `Corruption` if a row is damaged. Those that take ids: `InvalidId` for an empty or overlong
/// id. Those that take a filter: `InvalidFilter` or `LimitExceeded` for it.
impl Namespace {
    /// The document with this id, vector included; `None` if there is none.
    pub fn get(&self, id: impl Into<DocId>) -> Result<Option<StoredDocument>> {
        let mut documents = self.get_many([id])?;
        Ok(documents.pop().flatten())
    }

    /// The documents with these ids, in their order; `None` where there is none. All are of one
    /// commit.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new(vec![3.0, 4.0]).id("a"))?;
    /// let found = notes.get_many(["a", "b"])?;
    /// assert_eq!(found[0].as_ref().unwrap().vector, [3.0, 4.0]);
    /// assert!(found[1].is_none());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many<I: Into<DocId>>(&self, ids: impl IntoIterator<Item = I>) -> Result<Vec<Option<StoredDocument>>> {
        let moment = self.moment(Listing::Never)?;
        ids.into_iter().map(|id| moment.document(&id.into(), true)).collect()
    }

    /// As [`get_many`](Namespace::get_many), without vectors. These are not read:
    /// [`StoredDocument::vector`] is empty.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
    /// notes.insert(Document::new(vec![3.0, 4.0]).id("a").text("right"))?;
    /// let found = notes.get_many_without_vectors(["a", "b"])?;
    /// let document = found[0].as_ref().unwrap();
    /// assert!(document.vector.is_empty() && document.text.as_deref() == Some("right") && found[1].is_none());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_many_without_vectors<I: Into<DocId>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Option<StoredDocument>>> {
        let moment = self.moment(Listing::Never)?;
        ids.into_iter().map(|id| moment.document(&id.into(), false)).collect()
    }

    /// Whether there is a document with this id.
    pub fn contains(&self, id: impl Into<DocId>) -> Result<bool> {
        self.moment(Listing::Never)?.contains(&id.into())
    }

    /// How many documents match a filter; `None` counts all.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..10).map(|n| Document::new([1.0]).metadata(json!({"n": n}))))?;
    /// assert_eq!(notes.count(None)?, 10);
    /// assert_eq!(notes.count(field("n").lt(3))?, 3);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn count(&self, filter: impl Into<Option<Filter>>) -> Result<usize> {
        let filter = filter.into().filter(|filter| !filter.is_everything());
        let listing = if filter.is_some() { Listing::IfFew } else { Listing::Never };
        self.moment(listing)?.count(filter)
    }

    /// The fields that a filter names and no document of the collection has, in order: misspelt,
    /// perhaps. Fields that are not indexed, or not yet, are not listed.
    /// [`Hits::absent_fields`](crate::Hits) lists them for a search.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).metadata(json!({"section": "net"})))?;
    /// assert_eq!(notes.absent_fields(&field("sectoin").eq("net"))?, ["sectoin"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn absent_fields(&self, filter: &Filter) -> Result<Vec<String>> {
        filter.check()?;
        Ok(self.moment(Listing::Never)?.absent_fields(filter, false))
    }

    /// Goes through documents in id order, a page at a time.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..10u64).map(|n| Document::new([1.0]).id(n)))?;
    /// let (mut after, mut ids) = (None, Vec::new());
    /// loop {
    ///     let page = notes.scroll().limit(4).after(after).run()?;
    ///     ids.extend(page.documents.into_iter().map(|document| document.id.to_string()));
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn scroll(&self) -> Scroll {
        Scroll::of(self.into())
    }
}

/// One page of documents to be fetched; made by [`Namespace::scroll`].
#[must_use = "nothing is fetched until `run`"]
#[derive(Debug, Clone)]
pub struct Scroll {
    pub(in crate::collection) place: ReadPoint,
    pub(in crate::collection) filter: Filter,
    pub(in crate::collection) limit: usize,
    pub(in crate::collection) after: Option<Cursor>,
    pub(in crate::collection) with_vector: bool,
    pub(in crate::collection) order_by: Option<String>,
    pub(in crate::collection) descending: bool,
    pub(in crate::collection) stop: Stop,
}

impl Scroll {
    pub(in crate::collection) fn of(place: ReadPoint) -> Self {
        let (filter, limit, after) = (Filter::everything(), 100, None);
        let (order_by, stop) = (None, Stop::default());
        Scroll { place, filter, limit, after, with_vector: false, order_by, descending: false, stop }
    }

    /// Returns only documents that match `filter`. Default: all.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// The most documents on the page. Default: 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Continues after another page, whose `next` is the cursor. Default: from the beginning.
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Whether documents carry their vectors. Default: no.
    pub fn with_vector(mut self, with_vector: bool) -> Self {
        self.with_vector = with_vector;
        self
    }

    /// Orders documents by a metadata field's values, and by id where these are equal. Default: by
    /// id alone.
    ///
    /// Null comes before booleans, booleans before numbers, then texts and times. Of an array the
    /// least element counts, in descending order the greatest. Documents without a value in the
    /// field that has an order are left out.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert_many((0..10u64).map(|n| Document::new([1.0]).id(n).metadata(json!({"n": n * 7 % 10}))))?;
    /// let page = notes.scroll().order_by("n").descending().limit(3).run()?;
    /// let ids: Vec<String> = page.documents.iter().map(|document| document.id.to_string()).collect();
    /// assert_eq!(ids, ["7", "4", "1"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn order_by(mut self, field: impl Into<String>) -> Self {
        self.order_by = Some(field.into());
        self
    }

    /// Puts the greatest value first; of equal ones the greatest id first. Only with
    /// [`order_by`](Scroll::order_by).
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Ends the call with `Deadline`, and no partial answer, at `deadline`. Default: never.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.stop.set_deadline(deadline);
        self
    }

    /// Ends the call with `Cancelled`, and no partial answer, once the flag is set. Default: never.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.stop.set_cancel(cancel);
        self
    }

    /// Fetches the page.
    ///
    /// # Errors
    /// `InvalidFilter` or `LimitExceeded` for a filter; `InvalidConfig` for a field that no filter
    /// can name, for descending order without a field, and for a cursor of another order;
    /// `Deadline` or `Cancelled` if one of these ended the call; otherwise as for every read.
    pub fn run(self) -> Result<Page> {
        self.filter.check()?;
        self.stop.check()?;
        if self.order_by.is_some() {
            return self.run_in_order();
        }
        if self.descending || self.after.as_ref().is_some_and(|after| after.value.is_some()) {
            let reason = "expected a field to order by, got none".into();
            return Err(Error::InvalidConfig { field: "order_by", reason });
        }
        let moment = self.place.moment(Listing::IfFew)?;
        let mut page = Page { documents: Vec::new(), next: None, commit: moment.commit() };
        let matching = match self.filter.is_everything() {
            true => None,
            false => Some(moment.matching(&self.filter, &self.stop)?),
        };
        let may_match =
            |slot: &Slot| matching.as_ref().is_none_or(|matching| matching.possible.bits().contains(slot.0));
        let mut after = self.after.clone().map(|cursor| cursor.id);
        loop {
            self.stop.check()?;
            let found = moment.ids_after(after.as_ref(), FETCH)?;
            let slots: Vec<Slot> = found.iter().map(|(_, slot)| *slot).filter(may_match).collect();
            for (slot, row) in moment.fetch(&slots)? {
                if !moment.words().match_filter(&self.filter, &row) {
                    continue;
                }
                // One document more than fits: there is a next page.
                if page.documents.len() == self.limit {
                    page.next = page.documents.last().map_or(self.after, |last| Some(Cursor::after(last.id.clone())));
                    return Ok(page);
                }
                page.documents.push(moment.stored(slot, row, self.with_vector)?);
            }
            match found.into_iter().next_back() {
                Some((last, _)) => after = Some(last),
                None => return Ok(page),
            }
        }
    }
}

impl Moment {
    /// The document with an id.
    pub(in crate::collection) fn document(&self, id: &DocId, with_vector: bool) -> Result<Option<StoredDocument>> {
        check::id(id)?;
        self.find(id)?.map(|(slot, row)| self.stored(slot, row, with_vector)).transpose()
    }

    /// Whether there is a document with an id.
    pub(in crate::collection) fn contains(&self, id: &DocId) -> Result<bool> {
        check::id(id)?;
        Ok(self.find_slot(id)?.is_some())
    }

    /// How many documents match a filter; `None` counts all.
    pub(in crate::collection) fn count(&self, filter: Option<Filter>) -> Result<usize> {
        match filter.filter(|filter| !filter.is_everything()) {
            None => Ok(self.n_members()),
            Some(filter) => {
                filter.check()?;
                Ok(self.settled(&filter, Stop::NEVER)?.possible.n())
            }
        }
    }

    /// A row as callers get it.
    pub(in crate::collection) fn stored(
        &self,
        slot: Slot,
        row: DocumentRow,
        with_vector: bool,
    ) -> Result<StoredDocument> {
        let vector = if with_vector { self.vector(slot)? } else { Vec::new() };
        Ok(StoredDocument {
            id: row.id,
            vector,
            metadata: row.metadata,
            text: row.text,
            version: row.commit,
            created_at_ms: row.created_at_ms,
            updated_at_ms: row.updated_at_ms,
        })
    }

    /// Up to `limit` ids after `after`, in order, and their slots.
    fn ids_after(&self, after: Option<&DocId>, limit: usize) -> Result<Vec<(DocId, Slot)>> {
        let (from, to) = key::id_range(self.namespace(), after);
        let mut found = Vec::new();
        self.scan((&from, &to), |key, value| {
            found.push((key::read_id(key)?.1, Slot(read_u32("an id's slot", value)?)));
            Ok(if found.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found)
    }
}
