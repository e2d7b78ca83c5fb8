//! Cursors: where the next page of a search or a scroll begins, and the text form of both kinds.
//!
//! This module knows nothing of searching and scrolling.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::id::DocId;
use crate::limits::{MAX_ID_BYTES, MAX_METADATA_BYTES, MAX_PAGED};

/// A cursor of a search: [`Hits::next`](crate::Hits) gives it, and
/// [`Search::after`](crate::Search::after) takes it.
///
/// It holds the ids of the hits given so far, at most [`MAX_PAGED`], or digests of the given
/// groups. A digest of query, parameters and namespace makes another search refuse it. It keeps
/// nothing open, and later writes do not invalidate it. Its text form consists of letters, digits,
/// `-` and `_`; the version that wrote the text reads it.
///
/// ```
/// use vectrove::SearchCursor;
/// assert!("not a cursor".parse::<SearchCursor>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchCursor {
    pub(crate) digest: u128,
    pub(crate) given: Given,
}

/// The hits or groups that the pages so far have given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// Ids of hits.
    Hits(Vec<DocId>),
    /// Digests of the values of groups.
    Groups(Vec<u128>),
}

impl Given {
    pub(crate) fn len(&self) -> usize {
        match self {
            Given::Hits(ids) => ids.len(),
            Given::Groups(digests) => digests.len(),
        }
    }
}

impl SearchCursor {
    /// Number of hits, or groups, that the pages so far have given.
    pub fn n_given(&self) -> usize {
        self.given.len()
    }
}

/// A cursor of a scroll: a place between two documents. It stands after an id, or, in the order of
/// a field, after a value and an id.
///
/// It keeps nothing open. Its text form consists of letters, digits, `-` and `_`; the version that
/// wrote the text reads it. A scroll by another field or in the other direction refuses it.
///
/// ```
/// use vectrove::Cursor;
/// let cursor = Cursor::after("note-17");
/// assert_eq!(cursor.to_string().parse::<Cursor>()?, cursor);
/// # Ok::<_, vectrove::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(crate) id: DocId,
    /// The place in the order of a field; `None` in the order of ids.
    pub(crate) value: Option<OrderedValue>,
}

/// A value by which documents are ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderedValue {
    /// A digest of the order: its field and direction.
    pub(crate) order: u128,
    /// The value as bytes that sort in this order.
    pub(crate) bytes: Box<[u8]>,
}

impl Cursor {
    /// The place after an id, with or without a document of this id.
    pub fn after(id: impl Into<DocId>) -> Self {
        Cursor { id: id.into(), value: None }
    }

    /// The id before this place.
    pub fn id(&self) -> &DocId {
        &self.id
    }
}

// Text form: base64 in the alphabet for file names (RFC 4648), without padding, of these bytes:
//
//     search: version u8 · digest u128 · kind u8 · count u16 · given hits or groups · CRC-32C u32
//     scroll: version u8 · kind u8 · id · in the order of a field: order u128 · value · CRC-32C u32
//
// Numbers are little-endian. An id is a tag, then a number, a UUID, or a length u16 and UTF-8. A
// group is its digest. A value is all bytes before the checksum. Versions of search cursors are
// below 128, those of scroll cursors are not. The CRC-32C covers all bytes before it.

const VERSION: u8 = 1;
const SCROLL_VERSION: u8 = 129;
const BY_ID: u8 = 0;
const BY_VALUE: u8 = 1;

/// Most bytes of a search cursor, with [`MAX_PAGED`] ids of the greatest length.
/// be written as two.
const MAX_SEARCH_BYTES: usize = 64 + MAX_PAGED * (MAX_ID_BYTES + 3);
/// Most bytes of a scroll cursor, with the longest id and value. A value byte may take two bytes.
const MAX_SCROLL_BYTES: usize = 64 + MAX_ID_BYTES + 2 * MAX_METADATA_BYTES;

const OF_HITS: u8 = 0;
const OF_GROUPS: u8 = 1;
const NUMBER: u8 = 0;
const UUID: u8 = 1;
const TEXT: u8 = 2;

impl fmt::Display for SearchCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION];
        bytes.extend(self.digest.to_le_bytes());
        let (kind, count) = match &self.given {
            Given::Hits(ids) => (OF_HITS, ids.len()),
            Given::Groups(digests) => (OF_GROUPS, digests.len()),
        };
        bytes.push(kind);
        bytes.extend((count as u16).to_le_bytes());
        match &self.given {
            Given::Hits(ids) => ids.iter().for_each(|id| write_id(id, &mut bytes)),
            Given::Groups(digests) => digests.iter().for_each(|digest| bytes.extend(digest.to_le_bytes())),
        }
        f.pad(&with_checksum(bytes))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![SCROLL_VERSION, if self.value.is_some() { BY_VALUE } else { BY_ID }];
        write_id(&self.id, &mut bytes);
        if let Some(OrderedValue { order, bytes: value }) = &self.value {
            bytes.extend(order.to_le_bytes());
            bytes.extend(value);
        }
        f.pad(&with_checksum(bytes))
    }
}

/// The text of a cursor, with its checksum added.
fn with_checksum(mut bytes: Vec<u8>) -> String {
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    to_base64(&bytes)
}

/// The content of a cursor; `None` if the checksum fails, or if it is longer than `most` bytes.
fn without_checksum(text: &str, most: usize) -> Option<Vec<u8>> {
    (text.len() <= most.div_ceil(3) * 4).then_some(())?;
    let mut bytes = from_base64(text)?;
    let (content, checksum) = bytes.split_last_chunk()?;
    (crc32c::crc32c(content) == u32::from_le_bytes(*checksum)).then_some(())?;
    bytes.truncate(bytes.len() - size_of::<u32>());
    Some(bytes)
}

/// The error for a text that is no cursor of the kind `own`, saying what is wrong with it.
fn refusal(text: &str, content: Option<&[u8]>, own: u8) -> Error {
    let shown: String = text.chars().take(40).collect();
    let got = match content.and_then(|content| content.first()) {
        None => format!("{shown:?}, which is damaged or none"),
        Some(version) if *version == own => format!("{shown:?}, which is damaged"),
        Some(&VERSION) => format!("{shown:?}, which is one of a search"),
        Some(&SCROLL_VERSION) => format!("{shown:?}, which is one of a scroll"),
        Some(version) => format!("{shown:?}, which is of version {version}"),
    };
    Error::InvalidConfig { field: "after", reason: format!("expected a cursor as a page had it, got {got}") }
}

fn write_id(id: &DocId, bytes: &mut Vec<u8>) {
    match id {
        DocId::U64(number) => {
            bytes.push(NUMBER);
            bytes.extend(number.to_le_bytes());
        }
        DocId::Uuid(uuid) => {
            bytes.push(UUID);
            bytes.extend(uuid.as_bytes());
        }
        DocId::Str(text) => {
            bytes.push(TEXT);
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    }
}

impl FromStr for SearchCursor {
    type Err = Error;

    /// Reads a cursor as it was written.
    fn from_str(text: &str) -> Result<Self> {
        let content = without_checksum(text, MAX_SEARCH_BYTES);
        content.as_deref().and_then(read_content).ok_or_else(|| refusal(text, content.as_deref(), VERSION))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// Reads a cursor as it was written.
    fn from_str(text: &str) -> Result<Self> {
        let content = without_checksum(text, MAX_SCROLL_BYTES);
        content.as_deref().and_then(read_place).ok_or_else(|| refusal(text, content.as_deref(), SCROLL_VERSION))
    }
}

fn read_place(mut content: &[u8]) -> Option<Cursor> {
    let bytes = &mut content;
    let [version, kind] = take(bytes)?;
    (version == SCROLL_VERSION).then_some(())?;
    let id = read_id(bytes)?;
    let value = match kind {
        BY_ID if bytes.is_empty() => None,
        BY_VALUE => Some(OrderedValue { order: u128::from_le_bytes(take(bytes)?), bytes: (*bytes).into() }),
        _ => return None,
    };
    Some(Cursor { id, value })
}

fn read_content(mut content: &[u8]) -> Option<SearchCursor> {
    let bytes = &mut content;
    (take::<1>(bytes)? == [VERSION]).then_some(())?;
    let digest = u128::from_le_bytes(take(bytes)?);
    let ([kind], count) = (take(bytes)?, usize::from(u16::from_le_bytes(take(bytes)?)));
    (count <= MAX_PAGED).then_some(())?;
    let given = match kind {
        OF_HITS => Given::Hits((0..count).map(|_| read_id(bytes)).collect::<Option<_>>()?),
        OF_GROUPS => Given::Groups((0..count).map(|_| take(bytes).map(u128::from_le_bytes)).collect::<Option<_>>()?),
        _ => return None,
    };
    bytes.is_empty().then_some(SearchCursor { digest, given })
}

fn read_id(bytes: &mut &[u8]) -> Option<DocId> {
    match take(bytes)? {
        [NUMBER] => take(bytes).map(|number| DocId::U64(u64::from_le_bytes(number))),
        [UUID] => take(bytes).map(|uuid| DocId::Uuid(uuid::Uuid::from_bytes(uuid))),
        [TEXT] => {
            let length = usize::from(u16::from_le_bytes(take(bytes)?));
            let (text, rest) = bytes.split_at_checked(length).filter(|_| (1..=MAX_ID_BYTES).contains(&length))?;
            *bytes = rest;
            // The string stays a string even if it spells a UUID, which would be another id.
            std::str::from_utf8(text).ok().map(|text| DocId::Str(text.into()))
        }
        _ => None,
    }
}

/// Takes `N` bytes from the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (front, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*front)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn to_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().zip([16, 8, 0]).fold(0, |bits, (byte, shift)| bits | u32::from(*byte) << shift);
        let digits = [18, 12, 6, 0].into_iter().take(three.len() + 1);
        text.extend(digits.map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize])));
    }
    text
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for four in text.as_bytes().chunks(4) {
        let mut bits = 0;
        for (digit, shift) in four.iter().zip([18, 12, 6, 0]) {
            bits |= (DIGITS.iter().position(|known| known == digit)? as u32) << shift;
        }
        let n_bytes = four.len().checked_sub(1).filter(|n_bytes| *n_bytes > 0)?;
        let all = [(bits >> 16) as u8, (bits >> 8) as u8, bits as u8];
        all[n_bytes..].iter().all(|rest| *rest == 0).then_some(())?;
        bytes.extend(&all[..n_bytes]);
    }
    Some(bytes)
}

/// A digest of 128 bits, the same in each process: FNV-1a (Fowler, Noll and Vo) of parts with their
/// lengths.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Digest(u128);

impl Digest {
    pub(crate) fn new() -> Self {
        Digest(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    pub(crate) fn add(&mut self, part: &[u8]) {
        const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
        let length = (part.len() as u64).to_le_bytes();
        for byte in length.iter().chain(part) {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(PRIME);
        }
    }

    pub(crate) fn finish(self) -> u128 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(given: Given) -> SearchCursor {
        let mut digest = Digest::new();
        digest.add(b"search");
        SearchCursor { digest: digest.finish(), given }
    }

    #[test]
    fn text_is_read_as_it_was_written() {
        let ids = [DocId::from(0), DocId::from(u64::MAX), DocId::generate(), "x".into(), "é\n\0".repeat(100).into()];
        let ids = [&ids[..], &[DocId::Str(DocId::generate().to_string().into())]].concat();
        for n in 0..=ids.len() {
            let cursor = cursor(Given::Hits(ids[..n].to_vec()));
            let text = cursor.to_string();
            assert!(text.bytes().all(|byte| DIGITS.contains(&byte)), "{text}");
            assert_eq!((text.parse::<SearchCursor>().unwrap(), cursor.n_given()), (cursor, n));
        }
        for n in [0, 1, 2, MAX_PAGED] {
            let cursor = cursor(Given::Groups((0..n as u128).map(|n| n << 64 | n).collect()));
            assert_eq!(cursor.to_string().parse::<SearchCursor>().unwrap(), cursor);
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let text = cursor(Given::Hits(vec!["a".into(), DocId::from(7)])).to_string();
        let refused = |text: &str| matches!(text.parse::<SearchCursor>(), Err(Error::InvalidConfig { .. }));
        for end in 0..text.len() {
            assert!(refused(&text[..end]), "cut at {end}");
            let other = if text.as_bytes()[end] == b'A' { "B" } else { "A" };
            assert!(refused(&format!("{}{other}{}", &text[..end], &text[end + 1..])), "changed at {end}");
        }
        assert!(refused("") && refused(&format!("{text}A")) && refused(&format!("{text}=")) && refused("🦀"));
        let mut bytes = from_base64(&text).unwrap();
        bytes[0] = VERSION + 1;
        let n_content = bytes.len() - 4;
        let checksum = crc32c::crc32c(&bytes[..n_content]).to_le_bytes();
        bytes[n_content..].copy_from_slice(&checksum);
        assert!(refused(&to_base64(&bytes)), "of another version");
    }

    #[test]
    fn cursors_of_scrolls_are_read_as_they_were_written() {
        let values = [None, Some(vec![]), Some(vec![5, 0, 0]), Some(vec![7; MAX_METADATA_BYTES])];
        for value in values {
            let value = value.map(|bytes| OrderedValue { order: u128::MAX / 3, bytes: bytes.into() });
            let spelled = DocId::Str(DocId::generate().to_string().into());
            for id in [DocId::from(u64::MAX), DocId::generate(), "é\n\0".repeat(100).into(), spelled] {
                let cursor = Cursor { id, value: value.clone() };
                let text = cursor.to_string();
                assert!(text.bytes().all(|byte| DIGITS.contains(&byte)));
                assert_eq!(text.parse::<Cursor>().unwrap(), cursor);
            }
        }
        let value = Some(OrderedValue { order: 1 << 64 | 3, bytes: [4, 1, 2].into() });
        let text = Cursor { id: "a".into(), value }.to_string();
        assert_eq!(text, "gQECAQBhAwAAAAAAAAABAAAAAAAAAAQBAlWCX3g", "the format is what it was");
    }

    #[test]
    fn cursors_that_are_damaged_or_foreign_are_refused() {
        let scroll = Cursor::after("a").to_string();
        let refused = |text: &str| text.parse::<Cursor>().unwrap_err().to_string();
        for end in 0..scroll.len() {
            refused(&scroll[..end]);
            let other = if scroll.as_bytes()[end] == b'A' { "B" } else { "A" };
            refused(&format!("{}{other}{}", &scroll[..end], &scroll[end + 1..]));
        }
        let search = cursor(Given::Hits(vec!["a".into()])).to_string();
        assert!(refused(&search).contains("which is one of a search"));
        assert!(scroll.parse::<SearchCursor>().unwrap_err().to_string().contains("which is one of a scroll"));
        assert!(refused(&with_checksum(vec![130, 0])).contains("which is of version 130"));
        assert!(refused(&with_checksum(vec![SCROLL_VERSION, 2])).contains("which is damaged"));
        assert!(refused(&"A".repeat(8 << 20)).len() < 200);
        assert!("A".repeat(8 << 20).parse::<SearchCursor>().is_err());
    }

    #[test]
    fn digests_know_where_parts_end() {
        let digest = |parts: &[&str]| {
            let mut digest = Digest::new();
            parts.iter().for_each(|part| digest.add(part.as_bytes()));
            digest.finish()
        };
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a"]), digest(&["a", ""]));
        assert_eq!(digest(&["a", "b"]), digest(&["a", "b"]));
    }
}
