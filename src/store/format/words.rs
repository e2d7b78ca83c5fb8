//! The inverted index of words on disk: for each word its posting list, in chunks of 4,096 slots;
//! and how far the index has got. A posting has the word's count and the document's length in
//! words.
//!
//! A commit writes only its changes, as RocksDB merges, like other [`postings`](super::postings).
//! Putting a posting that is there, or removing one that is not, does nothing. All of it is derived
//! from documents. Every document with words has the empty word, once. A byte 1 before a word marks
//! a form that differs from its stem.
//!
//! ```text
//! Chunk   OFFSET SIZE FIELD           Change  OFFSET SIZE FIELD              Index   OFFSET SIZE FIELD
//!              0    1 version = 1              0    1 version = 1                 0    1 version = 1
//!              1    1 form                     1    1 form = 3                    1    1 version of the analyzer
//!              2    … form 1: postings         2    2 n: slots removed            2    4 slots below are indexed
//!                     form 0: damaged          4   2n removed, u16              end    4 CRC32C
//!                                              …    … postings put
//!
//! Posting OFFSET SIZE FIELD
//!              0    2 place in the chunk (12 bits); how often, up to 15 (4 bits)
//!              …    … only if 15: how often, LEB128
//!              …    … words of the document, LEB128
//! ```
//!
//! Postings are in the order of their places.

use super::codec::{FieldReader, append_checksum, verify_checksum};
use crate::error::{Error, Result};
use crate::text::list::{CHUNK, Posting, WordChunkChange};

const VERSION: u8 = 1;
/// The version of a [`WordsRow`].
const STATE_VERSION: u8 = 1;
const DAMAGED: u8 = 0;
const ENTRIES: u8 = 1;
const CHANGE: u8 = 3;

const PLACE_BITS: u32 = CHUNK.ilog2();
/// Stands for a count of 15 or more, which follows as LEB128.
const MANY: u16 = 15;

/// The postings of a stored chunk.
pub(crate) fn read_chunk(bytes: &[u8]) -> Result<Vec<Posting>> {
    match bytes {
        [VERSION, ENTRIES, rest @ ..] => decode_postings(rest),
        _ => None,
    }
    .ok_or_else(|| Error::corruption("a row of words", "expected postings in order"))
}

/// Whether a stored row has no slots, and is therefore not needed.
pub(in crate::store) fn is_empty(bytes: &[u8]) -> bool {
    bytes == [VERSION, ENTRIES]
}

pub(crate) fn encode_change(change: &WordChunkChange) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + 2 * change.removed.len() + 4 * change.put.len());
    bytes.extend([VERSION, CHANGE]);
    bytes.extend((change.removed.len() as u16).to_le_bytes());
    change.removed.iter().for_each(|place| bytes.extend(place.to_le_bytes()));
    encode_postings(&change.put, &mut bytes);
    bytes
}

/// Reads a change; `None` if it is malformed or not settled. An unsettled change could mean one
/// thing alone, and another once merged with others.
fn decode_change(bytes: &[u8]) -> Option<WordChunkChange> {
    let [VERSION, CHANGE, a, b, rest @ ..] = bytes else { return None };
    let (removed, put) = rest.split_at_checked(2 * usize::from(u16::from_le_bytes([*a, *b])))?;
    let removed: Vec<u16> = removed.as_chunks().0.iter().map(|place| u16::from_le_bytes(*place)).collect();
    let change = WordChunkChange { put: decode_postings(put)?, removed };
    change.is_settled().then_some(change)
}

/// Merges a row with its changes, oldest first. Never fails: unreadable parts make it damaged.
pub(in crate::store) fn merge(row: Option<&[u8]>, changes: &[&[u8]]) -> Vec<u8> {
    let merged = || {
        let before = row.map_or(Some(Vec::new()), |row| read_chunk(row).ok())?;
        let mut bytes = vec![VERSION, ENTRIES];
        encode_postings(&all_of(changes.iter().copied())?.apply(&before), &mut bytes);
        Some(bytes)
    };
    merged().unwrap_or_else(|| vec![VERSION, DAMAGED])
}

/// Merges changes, oldest first, into one. `None` tells RocksDB to keep them as they are.
pub(in crate::store) fn merge_changes<'b>(changes: impl Iterator<Item = &'b [u8]>) -> Option<Vec<u8>> {
    all_of(changes).map(|change| encode_change(&change))
}

/// Folds several changes, oldest first, into one.
fn all_of<'b>(changes: impl Iterator<Item = &'b [u8]>) -> Option<WordChunkChange> {
    let mut changes = changes.map(decode_change);
    let mut all = changes.next().unwrap_or_else(|| Some(WordChunkChange::default()))?;
    let mut latest = Vec::new();
    for change in changes {
        let WordChunkChange { put, removed } = change?;
        if latest.is_empty() {
            latest.extend(all.put.drain(..).map(|posting| (posting.place, Some(posting))));
            latest.extend(all.removed.drain(..).map(|place| (place, None)));
        }
        latest.extend(put.into_iter().map(|posting| (posting.place, Some(posting))));
        latest.extend(removed.into_iter().map(|place| (place, None)));
    }
    // Of several changes of one place the last counts.
    latest.reverse();
    latest.sort_by_key(|(place, _)| *place);
    latest.dedup_by_key(|(place, _)| *place);
    for (place, posting) in latest {
        match posting {
            Some(posting) => all.put.push(posting),
            None => all.removed.push(place),
        }
    }
    Some(all)
}

fn encode_postings(postings: &[Posting], bytes: &mut Vec<u8>) {
    for Posting { place, n_times, length } in postings {
        let few = (*n_times).min(MANY);
        bytes.extend((place | few << PLACE_BITS).to_le_bytes());
        if few == MANY {
            put_varint(u32::from(*n_times), bytes);
        }
        put_varint(*length, bytes);
    }
}

/// Reads postings; `None` if the bytes are malformed or not in order.
fn decode_postings(mut bytes: &[u8]) -> Option<Vec<Posting>> {
    let mut postings: Vec<Posting> = Vec::with_capacity(bytes.len() / 3);
    while let Some((head, rest)) = bytes.split_first_chunk() {
        bytes = rest;
        let head = u16::from_le_bytes(*head);
        let (place, few) = (head % CHUNK as u16, head >> PLACE_BITS);
        let n_times = if few == MANY { u16::try_from(take_varint(&mut bytes)?).ok()? } else { few };
        let length = take_varint(&mut bytes)?;
        if n_times == 0 || postings.last().is_some_and(|last| last.place >= place) {
            return None;
        }
        postings.push(Posting { place, n_times, length });
    }
    bytes.is_empty().then_some(postings)
}

fn put_varint(mut number: u32, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(number).ok();
        }
    }
    None
}

/// The state of a collection's full-text index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WordsRow {
    /// The version of the analyzer that took text apart.
    pub(crate) analyzer_version: u8,
    /// Slots below this are indexed, and all slots written since. `u32::MAX` stands for all.
    pub(crate) cursor: u32,
}

impl WordsRow {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = vec![STATE_VERSION, self.analyzer_version];
        bytes.extend(self.cursor.to_le_bytes());
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "the state of an index of words";
        let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, STATE_VERSION, 6)?;
        let ([analyzer_version], cursor) = (fields.take(), fields.u32());
        Ok(WordsRow { analyzer_version, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    fn posting(place: u16, n_times: u16, length: u32) -> Posting {
        Posting { place, n_times, length }
    }

    #[test]
    fn golden_rows() {
        let change = WordChunkChange { put: vec![posting(1, 2, 300), posting(4_095, 99, 5)], removed: vec![7] };
        let bytes = encode_change(&change);
        assert_eq!(bytes, [1, 3, 1, 0, 7, 0, 0x01, 0x20, 0xac, 0x02, 0xff, 0xff, 99, 5]);
        assert_eq!(decode_change(&bytes), Some(change.clone()));
        let row = merge(None, &[&bytes]);
        assert_eq!(row, [1, 1, 0x01, 0x20, 0xac, 0x02, 0xff, 0xff, 99, 5]);
        assert_eq!(read_chunk(&row).unwrap(), change.put);
        let gone = encode_change(&WordChunkChange { put: Vec::new(), removed: vec![1, 4_095] });
        assert!(is_empty(&merge(Some(&row), &[&gone])) && !is_empty(&row));
        let state = WordsRow { analyzer_version: 1, cursor: 258 };
        assert_eq!(&state.encode()[..6], [1, 1, 2, 1, 0, 0]);
        assert_eq!(WordsRow::decode(&state.encode()).unwrap(), state);
    }

    #[test]
    fn merging_in_any_grouping_is_what_happened() {
        let mut rng = StdRng::seed_from_u64(12);
        for round in 0..300 {
            let most = if round % 3 == 0 { CHUNK as u16 } else { 40 };
            let (mut expected, mut row, mut pending) = (BTreeMap::new(), None::<Vec<u8>>, Vec::<Vec<u8>>::new());
            for _ in 0..rng.random_range(1..30) {
                let mut change = WordChunkChange::default();
                let most_changes = if rng.random_bool(0.1) { 3_000 } else { 10 };
                for _ in 0..rng.random_range(0..most_changes) {
                    change.put.push(posting(rng.random_range(0..most), rng.random_range(1..40), rng.random()));
                    change.removed.push(rng.random_range(0..most));
                }
                change.settle();
                expected.extend(change.put.iter().map(|posting| (posting.place, *posting)));
                change.removed.iter().for_each(|place| _ = expected.remove(place));
                pending.push(encode_change(&change));
                if rng.random_bool(0.3) {
                    pending = vec![merge_changes(pending.iter().map(Vec::as_slice)).unwrap()];
                }
                if rng.random_bool(0.3) {
                    row = Some(merge(row.as_deref(), &pending.iter().map(Vec::as_slice).collect::<Vec<_>>()));
                    pending.clear();
                }
            }
            let row = merge(row.as_deref(), &pending.iter().map(Vec::as_slice).collect::<Vec<_>>());
            assert_eq!(read_chunk(&row).unwrap(), expected.into_values().collect::<Vec<_>>(), "round {round}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_damaged_for_good() {
        let bytes = encode_change(&WordChunkChange { put: vec![posting(1, 2, 300)], removed: Vec::new() });
        let row = merge(None, &[&bytes]);
        for bad in [&[][..], &[1], &[2, 1], &[1, 1, 0], &[1, 1, 1, 0, 5], &row[..5], &bytes, &[1, 1, 1, 16, 0xff, 0xff]]
        {
            assert!(read_chunk(bad).is_err(), "{bad:?}");
            assert_eq!(merge(Some(bad), &[&bytes]), [VERSION, DAMAGED], "{bad:?}");
        }
        let twice = [&row[..], &row[2..]].concat();
        assert!(read_chunk(&twice).is_err() && read_chunk(&merge(Some(&row), &[&row])).is_err());
        assert!(WordsRow::decode(&[1; 8]).is_err());
    }

    #[test]
    fn a_change_that_is_not_settled_is_damage() {
        let change = |removed: &[u16]| WordChunkChange { put: vec![posting(1, 2, 300)], removed: removed.to_vec() };
        for (removed, is_settled) in
            [(&[][..], true), (&[0, 2], true), (&[2, 0], false), (&[2, 2], false), (&[1], false), (&[4_096], false)]
        {
            let bytes = encode_change(&change(removed));
            assert_eq!(merge_changes([&bytes[..], &bytes].into_iter()).is_some(), is_settled, "{removed:?}");
            assert_eq!(read_chunk(&merge(None, &[&bytes])).is_ok(), is_settled, "{removed:?}");
        }
    }
}
