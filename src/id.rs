//! Numbers and keys that name things: documents, commits, and things inside the crate.
//!
//! Each kind is a type of its own, so that a slot cannot be passed for an id, nor a commit number
//! for a count.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The user's key of a document: a number, a UUID, or a string of 1 to 512 bytes.
///
/// Ids are unique within a namespace. Numbers sort before UUIDs, and UUIDs before strings, which
/// sort by bytes; a scroll follows this order. `7` and `"7"` are two ids.
///
/// A string that spells a UUID with hyphens *is* this UUID, in upper or lower case. The forms are
/// `67e55044-10b1-426f-9247-bb680e5fe0c8`, the same in braces, and the same after `urn:uuid:`. A
/// string of 32 hex digits without hyphens stays a string, because digests look like this.
///
/// ```
/// use vectrove::DocId;
/// assert_eq!(DocId::from("note-17").to_string(), "note-17");
/// assert_eq!(DocId::from("{67E55044-10B1-426F-9247-BB680E5FE0C8}").to_string(), "67e55044-10b1-426f-9247-bb680e5fe0c8");
/// assert!(DocId::from(7) < DocId::from("7"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Spelling", into = "Spelling")]
pub enum DocId {
    /// A number.
    U64(u64),
    /// A UUID.
    Uuid(Uuid),
    /// Any other string.
    Str(Box<str>),
}

/// How an id is written in JSON: a number or a string.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Spelling {
    Number(u64),
    Text(String),
}

impl DocId {
    /// The number, if the id is one.
    ///
    /// ```
    /// use vectrove::DocId;
    /// assert_eq!((DocId::from(7).as_u64(), DocId::from("7").as_u64()), (Some(7), None));
    /// ```
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            DocId::U64(number) => Some(*number),
            DocId::Uuid(_) | DocId::Str(_) => None,
        }
    }

    /// The UUID, if the id is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self {
            DocId::Uuid(uuid) => Some(*uuid),
            DocId::U64(_) | DocId::Str(_) => None,
        }
    }

    /// The string, if the id is a string that spells no UUID. [`Display`](fmt::Display) writes each
    /// kind of id.
    ///
    /// ```
    /// use vectrove::DocId;
    /// assert_eq!((DocId::from("note-17").as_str(), DocId::generate().as_str()), (Some("note-17"), None));
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        match self {
            DocId::Str(text) => Some(text),
            DocId::U64(_) | DocId::Uuid(_) => None,
        }
    }
}

/// The UUID that a string spells with hyphens. Other strings do not have this form.
fn spelled_uuid(text: &str) -> Option<Uuid> {
    let hyphens = text.bytes().filter(|&byte| byte == b'-').count();
    if text.len() < 36 || hyphens != 4 {
        return None;
    }
    Uuid::try_parse(text).ok()
}

impl From<u64> for DocId {
    fn from(number: u64) -> Self {
        DocId::U64(number)
    }
}

impl From<Uuid> for DocId {
    fn from(uuid: Uuid) -> Self {
        DocId::Uuid(uuid)
    }
}

impl From<&str> for DocId {
    fn from(text: &str) -> Self {
        spelled_uuid(text).map_or_else(|| DocId::Str(text.into()), DocId::Uuid)
    }
}

impl From<String> for DocId {
    fn from(text: String) -> Self {
        spelled_uuid(&text).map_or_else(|| DocId::Str(text.into_boxed_str()), DocId::Uuid)
    }
}

impl From<&String> for DocId {
    fn from(text: &String) -> Self {
        DocId::from(text.as_str())
    }
}

impl From<&DocId> for DocId {
    fn from(id: &DocId) -> Self {
        id.clone()
    }
}

impl From<Spelling> for DocId {
    fn from(spelling: Spelling) -> Self {
        match spelling {
            Spelling::Number(number) => DocId::U64(number),
            Spelling::Text(text) => DocId::from(text),
        }
    }
}

impl From<DocId> for Spelling {
    fn from(id: DocId) -> Self {
        match id {
            DocId::U64(number) => Spelling::Number(number),
            DocId::Uuid(uuid) => Spelling::Text(uuid.to_string()),
            DocId::Str(text) => Spelling::Text(text.into()),
        }
    }
}

impl fmt::Display for DocId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocId::U64(number) => number.fmt(f),
            DocId::Uuid(uuid) => uuid.hyphenated().fmt(f),
            DocId::Str(text) => f.pad(text),
        }
    }
}

/// The number of a commit: 1 for a database's first, then ascending without a gap. A document's
/// version is the number of the commit that last changed it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commit(pub u64);

impl Commit {
    /// The commit before this one; 0 before the first.
    pub(crate) fn before(self) -> Self {
        Commit(self.0.saturating_sub(1))
    }

    /// The commit after this one.
    pub(crate) fn next(self) -> Self {
        Commit(self.0 + 1)
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a stored document within its collection: its row in the vector arrays, and its key
/// on disk. A slot is reused after a delete; its generation tells the documents apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

/// The number of a collection, used in the names of its column families. It is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CollectionId(pub(crate) u32);

/// The number of a namespace within its collection; 0 is the default namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NamespaceId(pub(crate) u32);

impl NamespaceId {
    /// The number of no namespace. A name that never had a document reads as this one, which is
    /// empty.
    pub(crate) const UNUSED: NamespaceId = NamespaceId(u32::MAX);
}

/// The number of an indexed metadata field within its collection; 0 stands for documents as a
/// whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FieldId(pub(crate) u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_uuid_has_one_id() {
        let uuid = Uuid::parse_str("67e55044-10b1-426f-9247-bb680e5fe0c8").unwrap();
        for spelling in [
            "67e55044-10b1-426f-9247-bb680e5fe0c8",
            "67E55044-10B1-426F-9247-BB680E5FE0C8",
            "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
            "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
        ] {
            assert_eq!(DocId::from(spelling), DocId::Uuid(uuid), "{spelling}");
        }
        assert_eq!(
            DocId::from("67e5504410b1426f9247bb680e5fe0c8"),
            DocId::Str("67e5504410b1426f9247bb680e5fe0c8".into())
        );
    }

    #[test]
    fn json_spelling_round_trips() {
        for id in [DocId::from(u64::MAX), DocId::Uuid(Uuid::new_v4()), DocId::from("a\n\0ß")] {
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<DocId>(&json).unwrap(), id, "{json}");
        }
        assert!(serde_json::from_str::<DocId>("-1").is_err());
        assert!(serde_json::from_str::<DocId>("1.5").is_err());
    }
}
