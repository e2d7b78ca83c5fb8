//! JSON for all that goes into the database and comes out of it: one format for all programs built
//! on it.
//!
//! The feature `json` adds this module. [`from_slice`], [`from_str`] and [`from_value`] read
//! requests. Answers implement [`Serialize`](serde::Serialize), so `serde_json::to_string` writes
//! them.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let db = vectrove::Database::open(folder.path())?;
//! use vectrove::json::{self, SearchRequest};
//! # use vectrove::{CollectionConfig, Document};
//! let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
//! let note: Document = json::from_str(r#"{"id": "note-17", "vector": [1, 0], "metadata": {"tag": "rust"}}"#)?;
//! notes.upsert(note)?;
//! let request: SearchRequest = json::from_str(r#"{"vector": [0.9, 0.1], "limit": 3, "filter": {"tag": "rust"}}"#)?;
//! let answer = serde_json::to_value(&request.run(&notes)?)?;
//! assert_eq!(answer["hits"][0]["id"], "note-17");
//!
//! let refused = json::from_str::<SearchRequest>(r#"{"vector": [0.9, 0.1], "mmr": {"lamda": 1}}"#);
//! let error = serde_json::to_value(&refused.unwrap_err())?;
//! assert_eq!((&error["kind"], &error["at"]), (&"invalid_argument".into(), &"mmr.lamda".into()));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//!
//! | type | JSON |
//! |---|---|
//! | [`Document`](crate::Document) | `{"id": …, "vector": […], "metadata": {…}, "text": …}`; only the vector is required |
//! | [`Update`](crate::Update) | `{"id": …, "vector": […], "metadata": [step, …], "text": …}`; a step is `{"merge": {…}}`, `{"replace": {…}}` or `{"remove": [key, …]}`; `"remove_text": true` removes the text |
//! | [`WriteRequest`] | `{"operations": […], "operation_id": uuid, "durability": "sync"}` |
//! | [`Operation`] | `{"insert": document}`, `{"upsert": document}`, `{"update": update}` or `{"delete": id}`, with `"collection"`, `"namespace"` and the expectations `"must_exist"`, `"must_not_exist"` and `"expect_version"` |
//! | [`SearchRequest`] | the query and the parameters, all in one object |
//! | [`ScrollRequest`] | `{"filter": {…}, "limit": …, "order_by": field, "descending": true, "with_vector": true, "after": cursor}` |
//! | [`Row`] | a document as a line of a file, its metadata beside its id ([`Row::read`]) |
//!
//! # What is written
//!
//! | type | JSON |
//! |---|---|
//! | [`Hits`](crate::Hits) | `{"hits": […], "next": cursor, "explanation": {…}, "absent_fields": […], "commit": …, "stats": {…}}`; `next`, `explanation` and `absent_fields` only if there are any |
//! | [`Page`](crate::Page) | `{"documents": […], "next": cursor, "commit": …}`; `next` is null after the last page |
//! | [`Receipt`](crate::Receipt) | `{"commit": …, "n_changed": …, "ids": […], "repeated": false}` |
//! | [`Error`](crate::Error) | `{"kind": …, "code": …, "message": …, "outcome": …, "index": …, "at": …, "details": {…}}`; `index`, `at` and `details` only where the error has them |
//! | [`Hit`](crate::Hit), [`StoredDocument`](crate::StoredDocument), [`Stats`](crate::Stats), [`CollectionStats`](crate::CollectionStats), … | the fields of the type |
//!
//! Requests can be written as well, and read back equal: [`Document`](crate::Document),
//! [`Update`](crate::Update), [`WriteRequest`], [`SearchRequest`], [`ScrollRequest`] and [`Row`].
//! Writing fails for metadata nested too deep or with a number that is not finite, for a filter
//! that searches refuse, and for a bound that is not finite.
//!
//! # Rules
//!
//! - **Ids** are strings or whole numbers from 0; a UUID is the string that spells it.
//! - **Vectors** are arrays of numbers, each read as the nearest `f32`.
//! - **Integers** are exact in 64 bits. A number with a fraction or an exponent is not an integer.
//! - **An infinite distance**, of a hit in a search without a vector, is null.
//! - **Cursors** are strings of letters, digits, `-` and `_`, with a version and a checksum. They
//!   can stand in a URL. The cursor of a scroll in the order of a field holds the field's value: it
//!   is a third longer than this value.
//! - **Null** means that a key is absent. Exceptions: values of metadata and filters may be null,
//!   and the id and the vector of a [`Row`] may not.
//! - **Unknown keys** and repeated keys are refused. [`Error::InvalidJson`](crate::Error) gives the
//!   path, what was expected and what was found.
//! - **Memory** for a request is proportional to the length of the text, which the caller bounds.
//!   Short text can make large metadata and filters, so these are counted against their limits
//!   while they are read. Nesting ends at 127 levels.

// | file | owns |
// |---|---|
// | `read` | reading objects, and the path to a refused value |
// | `values` | metadata and filters |
// | `documents`, `rows` | documents and updates; documents as lines |
// | `batch` | writes and expectations |
// | `search`, `params`, `boosts` | searches: query, parameters, boosts |
// | `scroll`, `cursors` | scrolls; cursors |
// | `answers`, `errors` | writing answers and errors |
mod answers;
mod batch;
mod boosts;
mod cursors;
mod documents;
mod errors;
mod params;
mod read;
mod rows;
mod scroll;
mod search;
mod values;

use crate::error::Result;
use read::{Read, Trace};

pub use batch::{Action, Operation, WriteRequest};
pub use read::Vector;
pub use rows::Row;
pub use scroll::ScrollRequest;
pub use search::SearchRequest;

/// A request that [`from_slice`], [`from_str`] and [`from_value`] read. Other crates cannot
/// implement it.
pub trait FromJson: Read {
    /// The name of the whole request in the path of an error.
    const NAME: &'static str;
}

/// Reads a request from bytes of JSON.
///
/// # Errors
/// `InvalidJson` with the path of the refused value; `InvalidFilter` for a filter; `LimitExceeded`
/// for a value that is too large.
pub fn from_slice<T: FromJson>(json: &[u8]) -> Result<T> {
    let (trace, mut from) = (Trace::default(), serde_json::Deserializer::from_slice(json));
    let read = T::read(&mut from, &trace).and_then(|read| from.end().map(|()| read));
    read.map_err(|error| trace.into_error(T::NAME, &error))
}

/// Reads a request from JSON text.
///
/// # Errors
/// As [`from_slice`].
pub fn from_str<T: FromJson>(json: &str) -> Result<T> {
    from_slice(json.as_bytes())
}

/// Reads a request from parsed JSON.
///
/// Parsing rounds a number with a fraction to `f64`, and this rounds a component of a vector to
/// `f32` again. The result is nearly always the `f32` that [`from_str`] reads from the text.
/// Parsing also keeps only one value of a repeated key.
///
/// ```
/// use vectrove::{Document, json};
/// let parsed = serde_json::json!({"id": 7, "vector": [0.5, 0.5]});
/// let document: Document = json::from_value(&parsed)?;
/// # Ok::<_, vectrove::Error>(())
/// ```
///
/// # Errors
/// As [`from_slice`].
pub fn from_value<T: FromJson>(json: &serde_json::Value) -> Result<T> {
    let trace = Trace::default();
    T::read(json, &trace).map_err(|error| trace.into_error(T::NAME, &error))
}
