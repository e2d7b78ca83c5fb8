//! JSON: everything that goes into the database and comes out of it, as one format for all programs on top of it.
//!
//! The feature `json` adds this module. Requests are read with [`from_slice`], [`from_str`] or [`from_value`]; answers
//! implement [`Serialize`](serde::Serialize), so that `serde_json::to_string` writes them.
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
//! | [`Hits`](crate::Hits) | `{"hits": […], "next": cursor, "explanation": {…}, "absent_fields": […], "commit": …, "route": {…}}`; `next`, `explanation` and `absent_fields` only if there are any |
//! | [`Page`](crate::Page) | `{"documents": […], "next": cursor, "commit": …}`; `next` is null after the last page |
//! | [`Receipt`](crate::Receipt) | `{"commit": …, "n_changed": …, "ids": […], "repeated": false}` |
//! | [`Error`](crate::Error) | `{"kind": …, "code": …, "message": …, "outcome": …, "index": …, "at": …, "details": {…}}`; `index`, `at` and `details` only where the error has them |
//! | [`Hit`](crate::Hit), [`StoredDocument`](crate::StoredDocument), [`Stats`](crate::Stats), [`CollectionStats`](crate::CollectionStats), … | the fields of the type |
//!
//! Requests are written too, and read back the same: [`Document`](crate::Document), [`Update`](crate::Update),
//! [`WriteRequest`], [`SearchRequest`], [`ScrollRequest`] and [`Row`]. Writing fails for metadata that is nested too
//! deep or has a number that is not finite, for a filter that searches refuse, and for a bound that is not finite.
//!
//! # Rules
//!
//! - **Ids** are strings or whole numbers from 0; a UUID is the string that spells it.
//! - **Vectors** are arrays of numbers, each read as the nearest `f32`.
//! - **Integers** are exact in 64 bits. A number with a fraction or an exponent is none.
//! - **A distance that is infinite**, of a hit that has no vector to be near to, is null.
//! - **Cursors** are strings of letters, digits, `-` and `_`, with a version and a checksum. They can stand in a URL as
//!   they are. Those of a scroll in the order of a field carry its value: they are as long as a long text is, and a
//!   third longer.
//! - **Null** stands for absent, but for values of metadata and filters, and for the id and the vector of a [`Row`],
//!   which refuse it.
//! - **Unknown keys** and keys that come twice are refused. [`Error::InvalidJson`](crate::Error) says at which path, what
//!   was expected, and what was got.
//! - **Memory**: what is read takes memory in proportion to the text, which the caller bounds. Metadata and filters are
//!   counted against their limits while they are read, since short text can make large values of them. Nesting ends at
//!   127 levels.

// | file | owns |
// |---|---|
// | `read` | reading objects, and the path to what is refused |
// | `values` | metadata and filters |
// | `documents`, `rows` | documents and updates; documents as lines |
// | `batch` | writes and expectations |
// | `search`, `params`, `boosts` | searches: query, parameters, what adds to scores |
// | `scroll`, `cursors` | scrolls; cursors |
// | `answers`, `errors` | what is written |
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

/// What [`from_slice`], [`from_str`] and [`from_value`] read. No other crate implements it.
pub trait FromJson: Read {
    /// What the path of an error calls the whole of it.
    const NAME: &'static str;
}

/// Reads bytes of JSON.
///
/// # Errors
/// `InvalidJson` with the path to what is refused; `InvalidFilter` for filters; `LimitExceeded` for what is too large.
pub fn from_slice<T: FromJson>(json: &[u8]) -> Result<T> {
    let (trace, mut from) = (Trace::default(), serde_json::Deserializer::from_slice(json));
    let read = T::read(&mut from, &trace).and_then(|read| from.end().map(|()| read));
    read.map_err(|error| trace.into_error(T::NAME, &error))
}

/// Reads text that is JSON.
///
/// # Errors
/// As [`from_slice`].
pub fn from_str<T: FromJson>(json: &str) -> Result<T> {
    from_slice(json.as_bytes())
}

/// Reads JSON that was parsed already.
///
/// Parsing has rounded numbers with a fraction to `f64`, and a component is the `f32` that is nearest to that: mostly,
/// but not always, the one that is nearest to the number in the text, as [`from_str`] reads it. Of a key that came twice
/// parsing has kept one.
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
