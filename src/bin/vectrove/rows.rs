//! Rows: documents as lines of JSON, as `import` reads them and `export` writes them.
//!
//! | field | meaning |
//! |---|---|
//! | `id`, or another that is named | the id: a string or a whole number; absent for a new id |
//! | `vector` | the vector |
//! | `text` | the text; null for none |
//! | any other | a field of the metadata |
//!
//! A row whose only other field is `metadata`, an object, is *nested*: that object is the whole metadata. Written rows
//! are nested where a metadata key is one of `id`, `vector`, `text` and `metadata`, and flat otherwise. What is written
//! reads back the same to the last bit, vectors included.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use vectrove::limits::MAX_DIMENSION;
use vectrove::{DocId, Document, StoredDocument, Value};

/// Metadata keys that a flat row cannot carry.
const RESERVED: [&str; 4] = ["id", "vector", "text", "metadata"];

/// A row as read.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) vector: Option<Vec<f32>>,
    id: Option<DocId>,
    text: Option<String>,
    metadata: BTreeMap<String, Value>,
}

impl Row {
    /// Reads a line of JSON; the error says what is wrong with it, and in which field.
    pub(crate) fn read(line: &[u8], id_field: &str) -> Result<Self, String> {
        let mut json = serde_json::Deserializer::from_slice(line);
        let row = Expected { id_field }.deserialize(&mut json).and_then(|row| json.end().map(|()| row));
        row.map(Row::unnested).map_err(|error| within_line(&error))
    }

    /// The document, with the vector it was given.
    pub(crate) fn into_document(self, vector: Vec<f32>) -> Document {
        let mut document = Document::new(vector).metadata(Value::Object(self.metadata));
        if let Some(id) = self.id {
            document = document.id(id);
        }
        match self.text {
            Some(text) => document.text(text),
            None => document,
        }
    }

    fn unnested(mut self) -> Self {
        let nested =
            self.metadata.len() == 1 && self.metadata.get("metadata").is_some_and(|value| value.as_object().is_some());
        if nested && let Some(Value::Object(inner)) = self.metadata.remove("metadata") {
            self.metadata = inner;
        }
        self
    }
}

/// An error without the line, which is always the first.
fn within_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((reason, _)) if error.column() > 0 => format!("{reason} at column {}", error.column()),
        Some((reason, _)) if error.line() > 0 => reason.to_owned(),
        _ => message,
    }
}

struct Expected<'a> {
    id_field: &'a str,
}

impl<'de> DeserializeSeed<'de> for Expected<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Expected<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Row, A::Error> {
        let mut row = Row::default();
        while let Some(key) = fields.next_key::<String>()? {
            let in_field = |error: A::Error| A::Error::custom(format_args!("{key}: {error}"));
            if key == self.id_field {
                row.id = Some(
                    read_id(&fields.next_value().map_err(in_field)?)
                        .map_err(|error| in_field(A::Error::custom(error)))?,
                );
                continue;
            }
            match key.as_str() {
                "vector" => row.vector = Some(fields.next_value::<Components>().map_err(in_field)?.0),
                "text" => row.text = fields.next_value().map_err(in_field)?,
                _ => {
                    let value = fields.next_value().map_err(in_field)?;
                    row.metadata.insert(key, value);
                }
            }
        }
        Ok(row)
    }
}

fn read_id(value: &Value) -> Result<DocId, String> {
    match (value.as_u64(), value.as_str()) {
        (Some(number), _) => Ok(DocId::from(number)),
        (None, Some(text)) => Ok(DocId::from(text)),
        (None, None) => Err(format!("expected a string or a whole number from 0, got {value}")),
    }
}

/// A vector in JSON, of no more components than any collection has.
pub(crate) struct Components(pub(crate) Vec<f32>);

impl<'de> Deserialize<'de> for Components {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ExpectedComponents).map(Components)
    }
}

struct ExpectedComponents;

impl<'de> Visitor<'de> for ExpectedComponents {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<f32>, A::Error> {
        let mut vector = Vec::new();
        while let Some(component) = items.next_element()? {
            if vector.len() == MAX_DIMENSION {
                return Err(A::Error::custom(format_args!("expected at most {MAX_DIMENSION} components, got more")));
            }
            vector.push(component);
        }
        Ok(vector)
    }
}

/// A stored document as a row to write.
pub(crate) struct Written<'a>(pub(crate) &'a StoredDocument);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let StoredDocument { id, vector, metadata, text, .. } = self.0;
        let mut row = serializer.serialize_map(None)?;
        row.serialize_entry("id", id)?;
        if let Some(text) = text {
            row.serialize_entry("text", text)?;
        }
        match metadata.as_object() {
            Some(fields) if !RESERVED.iter().any(|key| fields.contains_key(*key)) => {
                fields.iter().try_for_each(|(key, value)| row.serialize_entry(key, value))?;
            }
            _ => row.serialize_entry("metadata", metadata)?,
        }
        row.serialize_entry("vector", vector)?;
        row.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(line: &str) -> String {
        Value::Object(Row::read(line.as_bytes(), "id").unwrap().metadata).to_string()
    }

    #[test]
    fn only_a_lone_metadata_object_is_the_metadata() {
        assert_eq!(metadata(r#"{"id": 1, "a": 2}"#), r#"{"a":2}"#);
        assert_eq!(metadata(r#"{"id": 1, "metadata": {"id": 2}}"#), r#"{"id":2}"#);
        assert_eq!(metadata(r#"{"id": 1, "metadata": {"id": 2}, "a": 3}"#), r#"{"a":3,"metadata":{"id":2}}"#);
        assert_eq!(metadata(r#"{"id": 1, "metadata": [2]}"#), r#"{"metadata":[2]}"#);
        assert_eq!(metadata(r#"{"id": 1}"#), "{}");
    }

    #[test]
    fn bad_rows_are_named_by_field_and_place() {
        for (line, reason) in [
            ("[1]", "invalid type: sequence, expected a JSON object"),
            (r#"{"id": -1}"#, "id: expected a string or a whole number from 0, got -1"),
            (r#"{"id": null}"#, "id: expected a string or a whole number from 0, got null"),
            (r#"{"vector": 3}"#, "vector: invalid type: integer `3`, expected an array of numbers"),
            (r#"{"vector": [1, "a"]}"#, "vector: invalid type: string \"a\", expected f32"),
            (r#"{"vector": [NaN]}"#, "vector: expected value"),
            (r#"{"text": 3}"#, "text: invalid type: integer `3`, expected a string"),
            (r#"{"a": 1"#, "EOF while parsing an object"),
            (r#"{"a": 1} x"#, "trailing characters"),
        ] {
            let message = Row::read(line.as_bytes(), "id").unwrap_err();
            assert!(message.starts_with(reason), "{line}: {message}");
            assert!(!message.contains(" line "), "{line}: {message}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert!(Row::read(deep.as_bytes(), "id").unwrap_err().contains("recursion limit"));
        let long = format!("{{\"vector\": [{}1]}}", "1,".repeat(MAX_DIMENSION));
        assert!(Row::read(long.as_bytes(), "id").unwrap_err().contains("at most 65536 components"));
    }

    #[test]
    fn another_field_can_be_the_id() {
        let row = Row::read(br#"{"name": "x", "id": 3}"#, "name").unwrap();
        assert_eq!((row.id, row.metadata), (Some("x".into()), BTreeMap::from([("id".to_owned(), Value::from(3u64))])));
    }

    #[test]
    fn components_read_as_the_nearest_single() {
        for component in [f32::MIN_POSITIVE, f32::MAX, 1e-45, 0.1, -0.0, 16_777_217.0] {
            let line = json!({"vector": [0]}).to_string().replace('0', &serde_json::to_string(&component).unwrap());
            let read = Row::read(line.as_bytes(), "id").unwrap().vector.unwrap();
            assert_eq!(read[0].to_bits(), component.to_bits(), "{line}");
        }
    }
}
