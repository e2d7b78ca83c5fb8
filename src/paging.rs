//! Where a search goes on: what its pages have given so far, and which search they were of.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::id::DocId;
use crate::limits::{MAX_ID_BYTES, MAX_PAGED};

/// Where a search goes on after a page: [`Hits::next`](crate::Hits), which [`Search::after`](crate::Search::after)
/// takes.
///
/// It carries the ids of the hits that were given, at most [`MAX_PAGED`], or which groups, and a digest of query,
/// parameters and namespace: the cursor of another search is refused. It holds nothing open, and stays good whatever is
/// written in between. As text, in letters, digits, `-` and `_`, it can be handed on and read again by the version that
/// wrote it.
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

/// What pages have given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// Hits, by their ids.
    Hits(Vec<DocId>),
    /// Groups of hits, by digests of their values.
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
    /// How many hits, or groups, the pages so far have given.
    pub fn n_given(&self) -> usize {
        self.given.len()
    }
}

// Text: base64 as RFC 4648 has it for names of files, without padding, of
//
//     version u8 · digest u128 · kind u8 · count u16 · what was given · CRC-32C of all before u32
//
// with numbers little-endian. An id is a tag, and a number, a UUID or a length u16 and UTF-8; a group is its digest.

const VERSION: u8 = 1;
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
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        f.pad(&to_base64(&bytes))
    }
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
        let read = || {
            let bytes = from_base64(text)?;
            let (content, checksum) = bytes.split_last_chunk()?;
            (crc32c::crc32c(content) == u32::from_le_bytes(*checksum)).then_some(())?;
            read_content(content)
        };
        read().ok_or_else(|| Error::InvalidConfig {
            field: "after",
            reason: format!("expected a cursor as a page had it, got {:?}", text.chars().take(40).collect::<String>()),
        })
    }
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
            std::str::from_utf8(text).ok().map(DocId::from)
        }
        _ => None,
    }
}

/// Takes so many bytes from the front.
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

/// Tells things apart by 128 bits, the same in every process: FNV-1a (Fowler, Noll and Vo), of parts of known length.
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
