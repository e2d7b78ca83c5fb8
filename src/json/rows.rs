//! Rows: documents as lines of a file, with metadata beside the id.
//!
//! A written row reads back equal to the last bit, vectors included.

use std::collections::BTreeMap;
use std::fmt;
use std::result::Result as StdResult;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::read::{Keys, Read, Seed, Trace, Vector};
use super::values::{Nested, ValueBudget, check_fields};
use crate::document::{Document, StoredDocument};
use crate::error::{Error, Result};
use crate::id::DocId;
use crate::value::Value;

/// Metadata keys that a flat row cannot carry.
const RESERVED: [&str; 4] = ["id", "vector", "text", NESTED];

/// The key of metadata that does not lie beside the id.
const NESTED: &str = "metadata";

/// A document as one line of JSON, as `vectrove import` reads them and `export` writes them.
///
/// | field | meaning |
/// |---|---|
/// | `id`, or another that is named | the id: a string or a whole number; absent for a new id |
/// | `vector` | the vector, if it does not come from elsewhere |
/// | `text` | the text; null for none |
/// | any other | a field of the metadata |
///
/// A row whose only other field is `metadata`, an object, is *nested*: this object is the whole
/// metadata. Written rows are nested if a metadata key is `id`, `vector`, `text` or `metadata`, and
/// flat otherwise.
///
/// ```
/// use vectrove::json::Row;
/// let mut row = Row::read(br#"{"name": "note-17", "vector": [1, 0], "tag": "rust"}"#, "name")?;
/// assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"id":"note-17","tag":"rust","vector":[1.0,0.0]}"#);
/// let vector = row.vector.take().expect("the row has one");
/// let document = row.into_document(vector);
/// # Ok::<_, vectrove::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Row {
    /// The vector; `None` if the row has none.
    pub vector: Option<Vec<f32>>,
    /// The id; `None` for a new one.
    pub id: Option<DocId>,
    /// The text.
    pub text: Option<String>,
    /// The metadata.
    pub metadata: BTreeMap<String, Value>,
}

impl Row {
    /// Reads a line whose id is in the field `id_field`.
    ///
    /// # Errors
    /// `InvalidJson` with the path of the refused value; `LimitExceeded` for metadata that is too
    /// large.
    pub fn read(line: &[u8], id_field: &str) -> Result<Self> {
        Row::try_read(line, id_field).map_err(|(error, _)| error)
    }

    /// As [`Row::read`], with whether the row as a whole was refused. Its path in the error, `row`,
    /// could also be a field's.
    #[doc(hidden)]
    pub fn try_read(line: &[u8], id_field: &str) -> StdResult<Self, (Error, bool)> {
        let (trace, mut json) = (Trace::default(), serde_json::Deserializer::from_slice(line));
        let budget = ValueBudget::of_metadata();
        let row = json.deserialize_map(ExpectedVisitor { id_field, trace: &trace, budget: &budget });
        let row = row.and_then(|row| json.end().map(|()| row));
        row.map(Row::unnested).map_err(|error| {
            let is_whole = trace.is_empty();
            (trace.into_error("row", &error), is_whole)
        })
    }

    /// The document of this row, with the given vector.
    pub fn into_document(self, vector: Vec<f32>) -> Document {
        let mut document = Document::new(vector).metadata(Value::Object(self.metadata));
        (document.id, document.text) = (self.id, self.text);
        document
    }

    fn unnested(mut self) -> Self {
        let nested =
            self.metadata.len() == 1 && self.metadata.get(NESTED).is_some_and(|value| value.as_object().is_some());
        if nested && let Some(Value::Object(inner)) = self.metadata.remove(NESTED) {
            self.metadata = inner;
        }
        self
    }
}

impl From<StoredDocument> for Row {
    /// The row of a stored document, without version and times. An empty vector, which the call did
    /// not ask for, is left out.
    fn from(stored: StoredDocument) -> Self {
        let metadata = match stored.metadata {
            Value::Object(metadata) => metadata,
            _ => BTreeMap::new(),
        };
        let vector = Some(stored.vector).filter(|vector| !vector.is_empty());
        Row { vector, id: Some(stored.id), text: stored.text, metadata }
    }
}

struct ExpectedVisitor<'a> {
    id_field: &'a str,
    trace: &'a Trace,
    budget: &'a ValueBudget,
}

impl<'de> Visitor<'de> for ExpectedVisitor<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> StdResult<Row, A::Error> {
        let (mut row, mut keys) = (Row::default(), Keys::new());
        while let Some(key) = fields.next_key::<String>()? {
            let taken = keys.admit(&key).and_then(|()| self.take(&mut row, &key, &mut fields));
            taken.inspect_err(|_| self.trace.within_key(&key))?;
        }
        Ok(row)
    }
}

impl ExpectedVisitor<'_> {
    fn take<'de, A: MapAccess<'de>>(&self, row: &mut Row, key: &str, fields: &mut A) -> StdResult<(), A::Error> {
        match key {
            key if key == self.id_field => row.id = Some(self.value(fields)?),
            "vector" => row.vector = Some(self.value::<_, Vector>(fields)?.0),
            "text" => row.text = self.value(fields)?,
            key => {
                // The key of a nested row's metadata is not part of the metadata.
                self.budget.spend(if key == NESTED { 0 } else { key.len() }, self.trace)?;
                let value = fields.next_value_seed(Nested::new(self.trace, self.budget))?;
                row.metadata.insert(key.to_owned(), value);
            }
        }
        Ok(())
    }

    fn value<'de, A: MapAccess<'de>, T: Read>(&self, fields: &mut A) -> StdResult<T, A::Error> {
        fields.next_value_seed(Seed::new(self.trace))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> StdResult<S::Ok, S::Error> {
        let Row { vector, id, text, metadata } = self;
        check_fields(metadata)?;
        let mut row = serializer.serialize_map(None)?;
        if let Some(id) = id {
            row.serialize_entry("id", id)?;
        }
        if let Some(text) = text {
            row.serialize_entry("text", text)?;
        }
        match RESERVED.iter().any(|key| metadata.contains_key(*key)) {
            false => metadata.iter().try_for_each(|(key, value)| row.serialize_entry(key, value))?,
            true => row.serialize_entry(NESTED, metadata)?,
        }
        if let Some(vector) = vector {
            row.serialize_entry("vector", vector)?;
        }
        row.end()
    }
}
