//! The inverted index of metadata on disk: for each value of a field the slots that have it, in
//! chunks of 65,536 slots; and how far the index has got.
//!
//! A commit writes only its changes, as RocksDB merges: slots added to a chunk, and slots removed.
//! RocksDB folds a row and its changes into one row when it writes files, or when a read asks for
//! it. Adding a slot that is there, or removing one that is not, does nothing. So indexing a
//! document twice is harmless. All of it is derived from documents. A chunk is a list or a bitmap,
//! like a container of a Roaring bitmap.
//!
//! ```text
//! Chunk   OFFSET SIZE FIELD              Change  OFFSET SIZE FIELD           Index   OFFSET SIZE FIELD
//!              0    1 version = 1                 0    1 version = 1                  0    1 version = 1
//!              1    1 form                        1    1 form = 3                     1    1 version of terms
//!              2    … form 1: slots, u16          2    4 n: slots added               2    4 slots below are indexed
//!                     form 2: 65,536 bits         6   2n added, u16                   6    … rule (JSON)
//!                     form 0: damaged             …      removed, u16               end    4 CRC32C
//! ```
//!
//! Slots are ascending, and without their upper half, which is the chunk. Bits begin with the
//! lowest of each byte. A row that could not be read becomes damaged and stays so: reading it
//! fails, writing it does not.

use std::collections::{BTreeMap, BTreeSet};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use super::codec::{FieldReader, append_checksum, verify_checksum};
use crate::error::{Error, Result};

const VERSION: u8 = 1;
/// The version of an [`IndexRow`].
const STATE_VERSION: u8 = 1;
const DAMAGED: u8 = 0;
const LIST: u8 = 1;
const BITS: u8 = 2;
const CHANGE: u8 = 3;

const WORDS: usize = 1_024;
/// A chunk of up to this many slots is a list, which then takes no more bytes than the bitmap.
const MOST_LISTED: usize = 4_096;
/// Up to this many changes are worked into a list one by one.
const FEW_CHANGES: usize = 32;

/// The chunk of a slot, and the slot's place in it.
pub(crate) fn split(slot: u32) -> (u16, u16) {
    ((slot >> 16) as u16, slot as u16)
}

// ---- chunks

/// Adds the slots of a stored chunk to `slots`.
pub(crate) fn read_chunk(bytes: &[u8], chunk: u16, slots: &mut RoaringBitmap) -> Result<()> {
    let base = u32::from(chunk) << 16;
    match Form::of(bytes) {
        Some(Form::List(list)) => {
            let places = list.iter().map(|&place| base | u32::from(u16::from_le_bytes(place)));
            let read = RoaringBitmap::from_sorted_iter(places)
                .map_err(|_| Error::corruption("a row of postings", "expected slots in order"))?;
            if slots.is_empty() {
                *slots = read
            } else {
                *slots |= read
            }
            Ok(())
        }
        Some(Form::Bits(bits)) => {
            let read = RoaringBitmap::from_lsb0_bytes(base, bits);
            if slots.is_empty() {
                *slots = read
            } else {
                *slots |= read
            }
            Ok(())
        }
        Some(Form::Change(..)) | None => Err(Error::corruption("a row of postings", "expected a list or bits")),
    }
}

/// The number of slots in a stored chunk.
pub(crate) fn n_slots(bytes: &[u8]) -> Result<usize> {
    match Form::of(bytes) {
        Some(Form::List(list)) => Ok(list.len()),
        Some(Form::Bits(bits)) => Ok(bits.iter().map(|byte| byte.count_ones() as usize).sum()),
        Some(Form::Change(..)) | None => Err(Error::corruption("a row of postings", "expected a list or bits")),
    }
}

/// The number of slots in a stored chunk for which `is_among` holds.
pub(crate) fn n_slots_among(bytes: &[u8], chunk: u16, is_among: impl Fn(u32) -> bool) -> Result<usize> {
    let base = u32::from(chunk) << 16;
    match Form::of(bytes) {
        Some(Form::List(list)) => {
            Ok(list.iter().filter(|place| is_among(base | u32::from(u16::from_le_bytes(**place)))).count())
        }
        Some(Form::Bits(_)) => {
            let mut slots = RoaringBitmap::new();
            read_chunk(bytes, chunk, &mut slots)?;
            Ok(slots.iter().filter(|slot| is_among(*slot)).count())
        }
        Some(Form::Change(..)) | None => Err(Error::corruption("a row of postings", "expected a list or bits")),
    }
}

/// Whether a stored row has no slots, and is therefore not needed.
pub(in crate::store) fn is_empty(bytes: &[u8]) -> bool {
    matches!(Form::of(bytes), Some(Form::List([])))
}

/// The change that a commit makes to a chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PostingsChange {
    pub(crate) added: Vec<u16>,
    pub(crate) removed: Vec<u16>,
}

impl PostingsChange {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(6 + 2 * (self.added.len() + self.removed.len()));
        bytes.extend([VERSION, CHANGE]);
        bytes.extend((self.added.len() as u32).to_le_bytes());
        self.added.iter().chain(&self.removed).for_each(|place| bytes.extend(place.to_le_bytes()));
        bytes
    }
}

type PlaceList = [[u8; 2]];

/// The content of a row, by its form.
enum Form<'b> {
    List(&'b PlaceList),
    Bits(&'b [u8]),
    Change(&'b PlaceList, &'b PlaceList),
}

impl<'b> Form<'b> {
    /// The content of a row; `None` if it is damaged.
    fn of(bytes: &'b [u8]) -> Option<Self> {
        let (&[version, form], rest) = bytes.split_first_chunk()?;
        let places = |bytes: &'b [u8]| bytes.len().is_multiple_of(2).then_some(bytes.as_chunks().0);
        match (version, form) {
            (VERSION, LIST) => places(rest).map(Form::List),
            (VERSION, BITS) => (rest.len() == WORDS * 8).then_some(Form::Bits(rest)),
            (VERSION, CHANGE) => {
                let (&n_added, rest) = rest.split_first_chunk::<4>()?;
                let (added, removed) = places(rest)?.split_at_checked(u32::from_le_bytes(n_added) as usize)?;
                Some(Form::Change(added, removed))
            }
            _ => None,
        }
    }
}

/// Merges a row with its changes, oldest first. Never fails: unreadable parts make it damaged.
pub(in crate::store) fn merge(row: Option<&[u8]>, changes: &[&[u8]]) -> Vec<u8> {
    merged(row, changes).unwrap_or_else(|| vec![VERSION, DAMAGED])
}

fn merged(row: Option<&[u8]>, changes: &[&[u8]]) -> Option<Vec<u8>> {
    let row = row.map_or(Some(Form::List(&[])), Form::of)?;
    let changes = changes.iter().map(|change| match Form::of(change)? {
        Form::Change(added, removed) => Some((added, removed)),
        Form::List(_) | Form::Bits(_) => None,
    });
    let changes: Vec<(&PlaceList, &PlaceList)> = changes.collect::<Option<_>>()?;
    let n_changes: usize = changes.iter().map(|(added, removed)| added.len() + removed.len()).sum();
    let place = |place: &[u8; 2]| u16::from_le_bytes(*place);
    match row {
        Form::List(list) if n_changes <= FEW_CHANGES && list.len() + FEW_CHANGES < MOST_LISTED => {
            let mut places: Vec<u16> = list.iter().map(place).collect();
            for (added, removed) in changes {
                let removed = removed.iter().map(|one| (place(one), false));
                for (one, adds) in added.iter().map(|one| (place(one), true)).chain(removed) {
                    match (places.binary_search(&one), adds) {
                        (Err(at), true) => places.insert(at, one),
                        (Ok(at), false) => _ = places.remove(at),
                        (Ok(_), true) | (Err(_), false) => {}
                    }
                }
            }
            Some(encode_list(places.into_iter()))
        }
        Form::Change(..) => None,
        Form::List(_) | Form::Bits(_) => {
            let mut bits = [0u64; WORDS];
            match row {
                Form::List(list) => list.iter().for_each(|one| set(&mut bits, place(one), true)),
                Form::Bits(bytes) => {
                    bits.iter_mut()
                        .zip(bytes.as_chunks().0)
                        .for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes));
                }
                Form::Change(..) => return None,
            }
            for (added, removed) in changes {
                added.iter().for_each(|one| set(&mut bits, place(one), true));
                removed.iter().for_each(|one| set(&mut bits, place(one), false));
            }
            Some(encode_bits(&bits))
        }
    }
}

fn set(bits: &mut [u64; WORDS], place: u16, to: bool) {
    let (word, bit) = (&mut bits[usize::from(place) / 64], 1 << (place % 64));
    if to { *word |= bit } else { *word &= !bit }
}

fn encode_list(places: impl ExactSizeIterator<Item = u16>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + 2 * places.len());
    bytes.extend([VERSION, LIST]);
    places.for_each(|place| bytes.extend(place.to_le_bytes()));
    bytes
}

fn encode_bits(bits: &[u64; WORDS]) -> Vec<u8> {
    let n_slots: usize = bits.iter().map(|word| word.count_ones() as usize).sum();
    if n_slots > MOST_LISTED {
        let mut bytes = Vec::with_capacity(2 + WORDS * 8);
        bytes.extend([VERSION, BITS]);
        bits.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        return bytes;
    }
    let mut places = Vec::with_capacity(n_slots);
    for (at, &word) in bits.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            places.push((at * 64) as u16 + rest.trailing_zeros() as u16);
            rest &= rest - 1;
        }
    }
    encode_list(places.into_iter())
}

/// Merges changes, oldest first, into one. `None` tells RocksDB to keep them as they are.
pub(in crate::store) fn merge_changes<'b>(changes: impl Iterator<Item = &'b [u8]>) -> Option<Vec<u8>> {
    let mut last = BTreeMap::new();
    for change in changes {
        let Form::Change(added, removed) = Form::of(change)? else { return None };
        last.extend(added.iter().map(|place| (u16::from_le_bytes(*place), true)));
        last.extend(removed.iter().map(|place| (u16::from_le_bytes(*place), false)));
    }
    let (added, removed): (Vec<_>, Vec<_>) = last.into_iter().partition(|(_, adds)| *adds);
    let places = |pairs: Vec<(u16, bool)>| pairs.into_iter().map(|(place, _)| place).collect();
    Some(PostingsChange { added: places(added), removed: places(removed) }.encode())
}

// ---- how far the index has got

/// Which fields are indexed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexRule {
    /// Only these fields, with all fields below them; `None` for all fields.
    pub(crate) only: Option<BTreeSet<String>>,
    /// Not these fields, nor fields below them; goes before `only`.
    pub(crate) never: BTreeSet<String>,
    /// Fields whose postings are still being built; the empty path stands for all.
    pub(crate) building: BTreeSet<String>,
}

/// The state of a collection's index of metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexRow {
    /// The version of the rules that made terms of documents (`TERMS_VERSION`).
    pub(crate) terms_version: u8,
    /// In the fields that are being built, slots below this are indexed.
    pub(crate) cursor: u32,
    pub(crate) rule: IndexRule,
}

impl IndexRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![STATE_VERSION, self.terms_version];
        bytes.extend(self.cursor.to_le_bytes());
        // Sets of strings always have a JSON form.
        bytes.extend(serde_json::to_vec(&self.rule).expect("a rule is plain data"));
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "the state of an index";
        let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, STATE_VERSION, 6)?;
        let ([terms_version], cursor) = (fields.take(), fields.u32());
        let rule = serde_json::from_slice(fields.rest).map_err(|error| Error::corruption(WHAT, error.to_string()))?;
        Ok(IndexRow { terms_version, cursor, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    fn change(added: &[u16], removed: &[u16]) -> Vec<u8> {
        PostingsChange { added: added.to_vec(), removed: removed.to_vec() }.encode()
    }

    fn slots(row: &[u8], chunk: u16) -> Vec<u32> {
        let mut slots = RoaringBitmap::new();
        read_chunk(row, chunk, &mut slots).unwrap();
        assert_eq!(slots.len() as usize, n_slots(row).unwrap());
        slots.iter().collect()
    }

    #[test]
    fn golden_rows() {
        assert_eq!(change(&[1, 258], &[3]), [1, 3, 2, 0, 0, 0, 1, 0, 2, 1, 3, 0]);
        let row = merge(None, &[&change(&[258, 1], &[])]);
        assert_eq!(row, [1, 1, 1, 0, 2, 1]);
        assert_eq!(slots(&row, 2), [0x2_0001, 0x2_0102]);
        assert_eq!(n_slots_among(&row, 2, |slot| slot == 0x2_0102).unwrap(), 1);
        assert!(is_empty(&merge(Some(&row), &[&change(&[], &[258, 1, 7])])));
        let many: Vec<u16> = (0..5_000).collect();
        let bits = merge(None, &[&change(&many, &[])]);
        assert_eq!((bits.len(), &bits[..3], bits[627]), (8_194, &[1, 2, 255][..], 0));
        assert_eq!(n_slots_among(&bits, 0, |slot| slot % 2 == 0).unwrap(), 2_500);
        let rule = IndexRule { never: ["a".to_owned()].into(), ..IndexRule::default() };
        let state = IndexRow { terms_version: 1, cursor: 258, rule };
        let bytes = state.encode();
        assert_eq!(&bytes[..6], [1, 1, 2, 1, 0, 0]);
        assert_eq!(&bytes[6..bytes.len() - 4], br#"{"only":null,"never":["a"],"building":[]}"#);
        assert_eq!(IndexRow::decode(&bytes).unwrap(), state);
        assert!(IndexRow::decode(&bytes[1..]).is_err() && IndexRow::decode(&[]).is_err());
    }

    #[test]
    fn merging_in_any_grouping_is_what_happened() {
        let mut rng = StdRng::seed_from_u64(11);
        for round in 0..300 {
            let most = if round % 3 == 0 { u16::MAX } else { 40 };
            let (mut expected, mut row, mut pending) = (BTreeSet::new(), None::<Vec<u8>>, Vec::<Vec<u8>>::new());
            for _ in 0..rng.random_range(1..30) {
                let n_most = if rng.random_bool(0.1) { 6_000 } else { 10 };
                let mut some = |n: usize| -> BTreeSet<u16> { (0..n).map(|_| rng.random_range(0..=most)).collect() };
                let added = some(n_most);
                let removed: Vec<u16> = some(10).difference(&added).copied().collect();
                expected.extend(added.iter().copied());
                removed.iter().for_each(|place| _ = expected.remove(place));
                pending.push(change(&added.into_iter().collect::<Vec<_>>(), &removed));
                if rng.random_bool(0.3) {
                    let one = merge_changes(pending.iter().map(Vec::as_slice)).unwrap();
                    pending = vec![one];
                }
                if rng.random_bool(0.3) {
                    row = Some(merge(row.as_deref(), &pending.iter().map(Vec::as_slice).collect::<Vec<_>>()));
                    pending.clear();
                }
            }
            let row = merge(row.as_deref(), &pending.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let expected: Vec<u32> = expected.into_iter().map(u32::from).collect();
            assert_eq!(slots(&row, 0), expected, "round {round}");
        }
    }

    #[test]
    fn damage_stays_and_is_told() {
        let good = change(&[1], &[]);
        for bad in [&[][..], &[1], &[2, 1], &[1, 1, 0], &[1, 2, 0], &[1, 3, 9, 0, 0, 0, 1, 0], &[1, 9]] {
            for (row, changes) in [(Some(bad), vec![&good[..]]), (None, vec![&good[..], bad])] {
                let merged = merge(row, &changes);
                assert_eq!(merged, [VERSION, DAMAGED], "{bad:?}");
                let again = merge(Some(&merged), &[&good]);
                assert!(read_chunk(&again, 0, &mut RoaringBitmap::new()).is_err() && n_slots(&again).is_err());
                assert!(!is_empty(&again));
            }
            assert_eq!(merge_changes([&good[..], bad].into_iter()), None);
        }
    }
}
