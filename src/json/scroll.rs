//! Scrolls: a filter, an order, and a cursor.

use std::result::Result as StdResult;

use serde::de::{Deserializer, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::FromJson;
use super::read::{FieldValue, ObjectFields, Read, Trace, object};
use super::search::entry;
use super::values::WrittenFilter;
use crate::collection::handle::Namespace;
use crate::collection::verbs::read::Scroll;
use crate::error::Result;
use crate::filter::Filter;
use crate::hit::Page;
use crate::paging::Cursor;

/// A scroll as JSON. Each key may be absent.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let db = vectrove::Database::open(folder.path())?;
/// use vectrove::json::{self, ScrollRequest};
/// # use vectrove::{CollectionConfig, Document};
/// # use serde_json::json;
/// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
/// notes.insert_many((0..5u64).map(|n| Document::new([1.0]).id(n).metadata(json!({"n": n * 3 % 5}))))?;
/// let first: ScrollRequest = json::from_str(r#"{"order_by": "n", "limit": 3}"#)?;
/// let page = serde_json::to_value(&first.run(&notes)?)?;
/// let next: ScrollRequest = json::from_value(&json!({"order_by": "n", "limit": 3, "after": page["next"]}))?;
/// assert_eq!(next.run(&notes)?.documents.len(), 2);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScrollRequest {
    /// The documents to return. Default: all.
    pub filter: Filter,
    /// Most documents on the page. Default: 100.
    pub limit: usize,
    /// Whether documents carry their vectors. Default: false.
    pub with_vector: bool,
    /// The metadata field whose values order the documents. Default: none, which orders by id.
    pub order_by: Option<String>,
    /// Whether the greatest value comes first. Default: false.
    pub descending: bool,
    /// The cursor of the page before. Default: none, which begins at the first document.
    pub after: Option<Cursor>,
}

impl Default for ScrollRequest {
    fn default() -> Self {
        let filter = Filter::everything();
        ScrollRequest { filter, limit: 100, with_vector: false, order_by: None, descending: false, after: None }
    }
}

impl ScrollRequest {
    /// The scroll in a namespace; a deadline or a cancel flag can be added to it.
    pub fn scroll(self, namespace: &Namespace) -> Scroll {
        let ScrollRequest { filter, limit, with_vector, order_by, descending, after } = self;
        let mut scroll = namespace.scroll().filter(filter).limit(limit).with_vector(with_vector).after(after);
        if let Some(field) = order_by {
            scroll = scroll.order_by(field);
        }
        if descending { scroll.descending() } else { scroll }
    }

    /// Fetches the page from a namespace.
    ///
    /// # Errors
    /// As [`Scroll::run`](crate::Scroll::run).
    pub fn run(self, namespace: &Namespace) -> Result<Page> {
        self.scroll(namespace).run()
    }
}

impl FromJson for ScrollRequest {
    const NAME: &'static str = "scroll";
}

impl Read for ScrollRequest {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> StdResult<Self, D::Error> {
        object::<ScrollFields, _>(from, trace)
    }
}

#[derive(Default)]
struct ScrollFields {
    filter: Option<Filter>,
    limit: Option<usize>,
    with_vector: Option<bool>,
    order_by: Option<String>,
    descending: Option<bool>,
    after: Option<Cursor>,
}

impl ObjectFields for ScrollFields {
    type Of = ScrollRequest;
    const KEYS: &'static [&'static str] = &["filter", "limit", "with_vector", "order_by", "descending", "after"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> StdResult<(), A::Error> {
        match key {
            "filter" => self.filter = value.read()?,
            "limit" => self.limit = value.read()?,
            "with_vector" => self.with_vector = value.read()?,
            "order_by" => self.order_by = value.read()?,
            "descending" => self.descending = value.read()?,
            _ => self.after = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> StdResult<ScrollRequest, String> {
        let plain = ScrollRequest::default();
        Ok(ScrollRequest {
            filter: self.filter.unwrap_or_default(),
            limit: self.limit.unwrap_or(plain.limit),
            with_vector: self.with_vector.unwrap_or(plain.with_vector),
            order_by: self.order_by,
            descending: self.descending.unwrap_or(plain.descending),
            after: self.after,
        })
    }
}

impl Serialize for ScrollRequest {
    /// Leaves out parameters with their default.
    fn serialize<S: Serializer>(&self, serializer: S) -> StdResult<S::Ok, S::Error> {
        let ScrollRequest { filter, limit, with_vector, order_by, descending, after } = self;
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "filter", (!filter.is_everything()).then_some(WrittenFilter(filter)).as_ref())?;
        entry(&mut map, "limit", Some(limit).filter(|limit| **limit != ScrollRequest::default().limit))?;
        entry(&mut map, "with_vector", Some(with_vector).filter(|flag| **flag))?;
        entry(&mut map, "order_by", order_by.as_ref())?;
        entry(&mut map, "descending", Some(descending).filter(|flag| **flag))?;
        entry(&mut map, "after", after.as_ref())?;
        map.end()
    }
}
