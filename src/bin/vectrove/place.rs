//! The place that an import has reached, kept in the database itself.
//!
//! While an import is unfinished, one document in the namespace `vectrove-import` of its collection
//! counts the acknowledged rows of the input. Each batch writes this document together with its
//! rows, so that both always agree; the last batch deletes it. The document also holds a checksum
//! of the rows, which detects an import that is resumed with other rows.
//!
//! The document keeps this in its text. Vector and metadata are those of the last row, so that it
//! satisfies what the collection requires of documents.

use std::path::Path;

use serde_json::{Value, json};
use vectrove::limits::MAX_ID_BYTES;
use vectrove::{Batch, Collection, DocId, Document, Namespace};

use crate::failure::Failure;
use crate::lines;

/// The namespace that holds the places of unfinished imports, and nothing else.
pub(crate) const NAMESPACE: &str = "vectrove-import";

/// The place of one import: of one input into one namespace.
pub(crate) struct Place {
    namespace: Namespace,
    id: DocId,
}

/// The progress of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Reached {
    /// Rows of the input, from its first.
    pub(crate) rows: u64,
    /// The checksum of those rows.
    pub(crate) checksum: u32,
}

impl Reached {
    /// One row further.
    pub(crate) fn with(self, row: &[u8]) -> Self {
        Reached { rows: self.rows + 1, checksum: crc32c::crc32c_append(self.checksum, row) }
    }
}

impl Place {
    /// The place of an import of `file` into a namespace of the collection.
    pub(crate) fn new(collection: &Collection, into: &Namespace, file: &Path) -> Result<Self, Failure> {
        Ok(Place { namespace: collection.namespace(NAMESPACE)?, id: id(into.namespace_name(), file)? })
    }

    /// The progress of an unfinished import; `None` if there is none.
    pub(crate) fn reached(&self) -> Result<Option<Reached>, Failure> {
        let Some(document) = self.namespace.get(&self.id)? else { return Ok(None) };
        let said: Value = document.text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let number = |key: &str| said[key].as_u64();
        match (number("rows"), number("checksum").map(u32::try_from)) {
            (Some(rows), Some(Ok(checksum))) => Ok(Some(Reached { rows, checksum })),
            _ => Err(Failure::failed(format!("the document {} in namespace {NAMESPACE} is no import's", self.id))
                .hint("delete it, and the import begins anew")),
        }
    }

    /// Adds the place to a batch, with the document of its last row.
    pub(crate) fn put(&self, batch: &mut Batch, reached: Reached, last: Document) {
        let said = json!({"rows": reached.rows, "checksum": reached.checksum}).to_string();
        batch.upsert(&self.namespace, last.id(&self.id).text(said));
    }

    /// Removes the place by a batch, as the import is complete.
    pub(crate) fn remove(&self, batch: &mut Batch) {
        batch.delete(&self.namespace, &self.id);
    }
}

/// The id of an import: namespace and file, as a JSON array. Imports of one file into two
/// namespaces have two ids.
fn id(into: &str, file: &Path) -> Result<DocId, Failure> {
    let path = match lines::is_stdin(file) {
        true => file.to_owned(),
        false => file.canonicalize().map_err(|error| Failure::file("opening", file, &error))?,
    };
    let name = json!([into, path.to_string_lossy()]).to_string();
    // An overlong name is cut at its beginning, since names mostly differ at their end.
    let start = (name.len().saturating_sub(MAX_ID_BYTES)..).find(|&start| name.is_char_boundary(start));
    Ok(DocId::from(&name[start.unwrap_or(0)..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_and_namespace_has_a_place_of_its_own() {
        let stdin = Path::new("-");
        assert_eq!(id("", stdin).unwrap().to_string(), r#"["","-"]"#);
        assert_ne!(id("a", stdin).unwrap(), id("", stdin).unwrap());
        let long = id(&"ü".repeat(300), stdin).unwrap().to_string();
        assert!(long.len() <= MAX_ID_BYTES && long.ends_with(r#"","-"]"#), "{long}");
    }

    #[test]
    fn the_checksum_tells_rows_apart() {
        let start = Reached::default();
        assert_eq!(start.with(b"a").with(b"b"), start.with(b"a").with(b"b"));
        assert_ne!(start.with(b"a").with(b"b"), start.with(b"b").with(b"a"));
    }
}
