//! Every RocksDB key and family name.
//!
//! All integers are big-endian and of fixed width, so byte order is scan order. Users' names appear
//! only inside keys, never as names of files or families.
//!
//! | family | key | value |
//! |---|---|---|
//! | `default` | `store` | [`record::Identity`](super::record) |
//! | `default` | `catalog/` collection u32 | [`record::CatalogEntry`](super::record) |
//! | `default` | `catalog-next` | u32: the number of the next collection |
//! | `default` | `log/` commit u64 | [`record::LogRecord`](super::record) |
//! | `default` | `log-start` | u64: the first commit the log still holds |
//! | `default` | `operation/` UUID 16 bytes | u64: the commit that carried this operation id |
//! | `default` | `canary` | u64: written to find out whether writing works again |
//! | `c<N>.vectors` | slot u32, field u16 | [`record::VectorRow`](super::record); field 0 is the unnamed one |
//! | `c<N>.documents` | `d` slot u32 | [`record::DocumentRow`](super::record) |
//! | `c<N>.documents` | `f` slot u32 | u32: the generation of the free slot's last document |
//! | `c<N>.documents` | `i` namespace u32, id | u32: slot |
//! | `c<N>.documents` | `n` name | u32: the namespace's number |
//! | `c<N>.graph` | `l` slot u32, level u8 | [`graph::GraphRow`](super::graph) |
//! | `c<N>.graph` | `x` number u64 | a [delta](super::graph) |
//! | `c<N>.graph` | `w` | [`graph::GraphCursor`](super::graph) |
//! | `c<N>.graph` | `r` | [`graph::RegionsRow`](super::graph) |
//! | `c<N>.graph` | `k` | [`graph::CodebookRow`](super::graph) |
//! | `c<N>.graph` | `k` namespace u32 | [`graph::CodebookRow`](super::graph) of a region; `ff ff ff ff` stands for all namespaces without links |
//! | `c<N>.postings` | `f` path | u32: the field's number |
//! | `c<N>.postings` | `m` field u32, [term](crate::filter), chunk u16 | [`postings`](super::postings): which slots of the chunk have the term |
//! | `c<N>.postings` | `s` | [`postings::IndexRow`](super::postings) |
//! | `c<N>.postings` | `t` word, zero byte, chunk u32 | [`words`](super::words): which slots of the chunk have the word; a byte 1 before the word marks a form that differs from its stem |
//! | `c<N>.postings` | `u` | [`words::WordsRow`](super::words) |
//!
//! An id is a tag byte and its bytes: 1 and u64, 2 and the UUID's 16 bytes, 3 and UTF-8. This is
//! the order of [`DocId`].

use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, DocId, FieldId, NamespaceId, Slot};
use uuid::Uuid;

pub(crate) const STORE: &[u8] = b"store";
pub(crate) const CATALOG_NEXT: &[u8] = b"catalog-next";
pub(crate) const LOG_START: &[u8] = b"log-start";
pub(crate) const CANARY: &[u8] = b"canary";

const CATALOG: &[u8] = b"catalog/";
const LOG: &[u8] = b"log/";
const OPERATION: &[u8] = b"operation/";

const DOCUMENT: u8 = b'd';
const ROW: u8 = b'l';
const DELTA: u8 = b'x';
pub(crate) const CURSOR: &[u8] = b"w";
pub(crate) const CODEBOOK: &[u8] = b"k";
pub(crate) const REGIONS: &[u8] = b"r";
const CODEBOOK_OF: u8 = b'k';
const FIELD: u8 = b'f';
const POSTINGS: u8 = b'm';
pub(crate) const INDEX: &[u8] = b"s";
const WORD: u8 = b't';
pub(crate) const WORDS: &[u8] = b"u";
const FREE: u8 = b'f';
const ID: u8 = b'i';
const NAMESPACE: u8 = b'n';

const TAG_U64: u8 = 1;
const TAG_UUID: u8 = 2;
const TAG_STR: u8 = 3;

/// A range of keys: from the first, up to and not including the second.
pub(crate) type KeyRange = (Vec<u8>, Vec<u8>);

/// The name of a collection's family of one kind: `c<N>.<kind>`.
pub(crate) fn family_name(collection: CollectionId, kind: &str) -> String {
    format!("c{}.{kind}", collection.0)
}

pub(crate) fn catalog(collection: CollectionId) -> Vec<u8> {
    [CATALOG, &collection.0.to_be_bytes()].concat()
}

pub(crate) fn catalog_range() -> KeyRange {
    after_prefix(CATALOG, &[], &[0xff; 5])
}

pub(crate) fn read_catalog(key: &[u8]) -> Result<CollectionId> {
    Ok(CollectionId(u32::from_be_bytes(tail(key, CATALOG)?)))
}

pub(crate) fn log(commit: Commit) -> Vec<u8> {
    [LOG, &commit.0.to_be_bytes()].concat()
}

/// The keys of the log from commit `from` to its end.
pub(crate) fn log_range(from: Commit) -> KeyRange {
    after_prefix(LOG, &from.0.to_be_bytes(), &[0xff; 9])
}

pub(crate) fn read_log(key: &[u8]) -> Result<Commit> {
    Ok(Commit(u64::from_be_bytes(tail(key, LOG)?)))
}

pub(crate) fn operation(id: Uuid) -> Vec<u8> {
    [OPERATION, id.as_bytes()].concat()
}

pub(crate) fn vector(slot: Slot, field: u16) -> [u8; 6] {
    let [a, b, c, d] = slot.0.to_be_bytes();
    let [e, f] = field.to_be_bytes();
    [a, b, c, d, e, f]
}

pub(crate) fn vector_range() -> KeyRange {
    (Vec::new(), vec![0xff; 7])
}

pub(crate) fn read_vector(key: &[u8]) -> Result<(Slot, u16)> {
    match key {
        &[a, b, c, d, e, f] => Ok((Slot(u32::from_be_bytes([a, b, c, d])), u16::from_be_bytes([e, f]))),
        _ => Err(malformed(key)),
    }
}

pub(crate) fn document(slot: Slot) -> [u8; 5] {
    tagged(DOCUMENT, slot.0)
}

pub(crate) fn document_range() -> KeyRange {
    (vec![DOCUMENT], vec![DOCUMENT + 1])
}

pub(crate) fn read_document(key: &[u8]) -> Result<Slot> {
    Ok(Slot(u32::from_be_bytes(tail(key, &[DOCUMENT])?)))
}

pub(crate) fn free(slot: Slot) -> [u8; 5] {
    tagged(FREE, slot.0)
}

pub(crate) fn free_range() -> KeyRange {
    (vec![FREE], vec![FREE + 1])
}

pub(crate) fn read_free(key: &[u8]) -> Result<Slot> {
    Ok(Slot(u32::from_be_bytes(tail(key, &[FREE])?)))
}

pub(crate) fn id(namespace: NamespaceId, id: &DocId) -> Vec<u8> {
    let mut key = Vec::with_capacity(24);
    key.push(ID);
    key.extend(namespace.0.to_be_bytes());
    put_bare_id(&mut key, id);
    key
}

/// Appends an id, tag byte first, as at the end of its key.
pub(crate) fn put_bare_id(bytes: &mut Vec<u8>, id: &DocId) {
    match id {
        DocId::U64(number) => {
            bytes.push(TAG_U64);
            bytes.extend(number.to_be_bytes());
        }
        DocId::Uuid(uuid) => {
            bytes.push(TAG_UUID);
            bytes.extend(uuid.as_bytes());
        }
        DocId::Str(text) => {
            bytes.push(TAG_STR);
            bytes.extend(text.as_bytes());
        }
    }
}

/// Reads an id as at the end of its key; `None` if the bytes are no id.
pub(crate) fn read_bare_id(bytes: &[u8]) -> Option<DocId> {
    let (tag, rest) = bytes.split_first()?;
    Some(match *tag {
        TAG_U64 => DocId::U64(u64::from_be_bytes(rest.try_into().ok()?)),
        TAG_UUID => DocId::Uuid(Uuid::from_bytes(rest.try_into().ok()?)),
        TAG_STR => DocId::Str(std::str::from_utf8(rest).ok()?.into()),
        _ => return None,
    })
}

/// The keys of one namespace's ids; with `after`, only those of greater ids.
pub(crate) fn id_range(namespace: NamespaceId, after: Option<&DocId>) -> KeyRange {
    let from = match after {
        // This is the next possible key. An id of the same kind has the same length, or may be this
        // one with a zero byte appended.
        Some(after) => [id(namespace, after), vec![0]].concat(),
        None => [&[ID], &namespace.0.to_be_bytes()[..]].concat(),
    };
    (from, [&[ID], &namespace.0.to_be_bytes()[..], &[0xff]].concat())
}

/// The keys of the ids of all namespaces.
pub(crate) fn all_ids_range() -> KeyRange {
    (vec![ID], vec![ID + 1])
}

pub(crate) fn read_id(key: &[u8]) -> Result<(NamespaceId, DocId)> {
    let [ID, a, b, c, d, rest @ ..] = key else { return Err(malformed(key)) };
    let id = read_bare_id(rest).ok_or_else(|| malformed(key))?;
    Ok((NamespaceId(u32::from_be_bytes([*a, *b, *c, *d])), id))
}

pub(crate) fn row(slot: Slot, level: usize) -> [u8; 6] {
    let [a, b, c, d] = slot.0.to_be_bytes();
    [ROW, a, b, c, d, level as u8]
}

pub(crate) fn row_range() -> KeyRange {
    (vec![ROW], vec![ROW + 1])
}

pub(crate) fn read_row(key: &[u8]) -> Result<(Slot, usize)> {
    match key {
        &[ROW, a, b, c, d, level] => Ok((Slot(u32::from_be_bytes([a, b, c, d])), level.into())),
        _ => Err(malformed(key)),
    }
}

pub(crate) fn delta(number: u64) -> [u8; 9] {
    let mut key = [DELTA; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The keys of the deltas from number `from` on.
pub(crate) fn delta_range(from: u64) -> KeyRange {
    (delta(from).to_vec(), vec![DELTA + 1])
}

pub(crate) fn read_delta(key: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(tail(key, &[DELTA])?))
}

/// The key of a region's codebook.
pub(crate) fn codebook_of(region: NamespaceId) -> [u8; 5] {
    tagged(CODEBOOK_OF, region.0)
}

/// The keys of the codebooks of all regions, without the collection's.
pub(crate) fn codebook_range() -> KeyRange {
    (codebook_of(NamespaceId(0)).to_vec(), vec![CODEBOOK_OF + 1])
}

pub(crate) fn read_codebook_of(key: &[u8]) -> Result<NamespaceId> {
    Ok(NamespaceId(u32::from_be_bytes(tail(key, &[CODEBOOK_OF])?)))
}

pub(crate) fn namespace(name: &str) -> Vec<u8> {
    [&[NAMESPACE], name.as_bytes()].concat()
}

pub(crate) fn namespace_range() -> KeyRange {
    (vec![NAMESPACE], vec![NAMESPACE + 1])
}

pub(crate) fn read_namespace(key: &[u8]) -> Result<String> {
    let name = key.strip_prefix(&[NAMESPACE]).ok_or_else(|| malformed(key))?;
    String::from_utf8(name.to_vec()).map_err(|_| malformed(key))
}

pub(crate) fn field(path: &str) -> Vec<u8> {
    [&[FIELD], path.as_bytes()].concat()
}

pub(crate) fn field_range() -> KeyRange {
    (vec![FIELD], vec![FIELD + 1])
}

pub(crate) fn read_field(key: &[u8]) -> Result<String> {
    let path = key.strip_prefix(&[FIELD]).ok_or_else(|| malformed(key))?;
    String::from_utf8(path.to_vec()).map_err(|_| malformed(key))
}

/// The key of one chunk of a term's postings.
pub(crate) fn postings(field: FieldId, term: &[u8], chunk: u16) -> Vec<u8> {
    [&[POSTINGS], &field.0.to_be_bytes()[..], term, &chunk.to_be_bytes()].concat()
}

/// The keys of all chunks of all terms of a field that begin with `front`.
pub(crate) fn postings_range(field: FieldId, front: &[u8]) -> KeyRange {
    let from = [&[POSTINGS], &field.0.to_be_bytes()[..], front].concat();
    let to = after(&from);
    (from, to)
}

/// The keys of all chunks of one term. No term begins with another, so only these lie in between.
pub(crate) fn term_range(field: FieldId, term: &[u8]) -> KeyRange {
    (postings(field, term, 0), [&postings(field, term, u16::MAX)[..], &[0]].concat())
}

/// The keys of the postings of all fields.
pub(crate) fn all_postings_range() -> KeyRange {
    (vec![POSTINGS], vec![POSTINGS + 1])
}

/// Reads a key of postings: the field, the term and the chunk.
pub(crate) fn read_postings(key: &[u8]) -> Result<(FieldId, &[u8], u16)> {
    let [POSTINGS, a, b, c, d, rest @ ..] = key else { return Err(malformed(key)) };
    let (term, &chunk) = rest.split_last_chunk::<2>().ok_or_else(|| malformed(key))?;
    Ok((FieldId(u32::from_be_bytes([*a, *b, *c, *d])), term, u16::from_be_bytes(chunk)))
}

/// Whether a key is one of metadata postings. No other key begins with this byte.
pub(crate) fn is_postings(key: &[u8]) -> bool {
    key.first() == Some(&POSTINGS)
}

/// The key of one chunk of a word's postings. No word has a zero byte.
pub(crate) fn word(word: &str, chunk: u32) -> Vec<u8> {
    [&[WORD], word.as_bytes(), &[0], &chunk.to_be_bytes()].concat()
}

/// The keys of all chunks of one word.
pub(crate) fn word_range(word: &str) -> KeyRange {
    let from = [&[WORD], word.as_bytes(), &[0]].concat();
    let to = after(&from);
    (from, to)
}

/// The keys of all chunks of all words that begin with `beginning`.
pub(crate) fn words_range(beginning: &str) -> KeyRange {
    let from = [&[WORD], beginning.as_bytes()].concat();
    let to = after(&from);
    (from, to)
}

/// Reads a key of a word's postings: the word and the chunk.
pub(crate) fn read_word(key: &[u8]) -> Result<(&str, u32)> {
    let (front, &chunk) = key.split_last_chunk::<4>().ok_or_else(|| malformed(key))?;
    let [WORD, word @ .., 0] = front else { return Err(malformed(key)) };
    let word = std::str::from_utf8(word).map_err(|_| malformed(key))?;
    Ok((word, u32::from_be_bytes(chunk)))
}

/// Whether a key is one of a word's postings. No other key begins with this byte.
pub(crate) fn is_word(key: &[u8]) -> bool {
    key.first() == Some(&WORD)
}

/// The first key after all keys that begin with `front`.
fn after(front: &[u8]) -> Vec<u8> {
    let mut after = front.to_vec();
    while let Some(last) = after.pop() {
        if last < u8::MAX {
            after.push(last + 1);
            break;
        }
    }
    after
}

fn tagged(tag: u8, number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [tag, a, b, c, d]
}

fn after_prefix(prefix: &[u8], from: &[u8], to: &[u8]) -> KeyRange {
    ([prefix, from].concat(), [prefix, to].concat())
}

fn tail<const N: usize>(key: &[u8], prefix: &[u8]) -> Result<[u8; N]> {
    key.strip_prefix(prefix).and_then(|tail| tail.try_into().ok()).ok_or_else(|| malformed(key))
}

fn malformed(key: &[u8]) -> Error {
    Error::corruption("a key", format!("expected a known form, got {}", key.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_keys() {
        let uuid = Uuid::from_bytes([0xab; 16]);
        assert_eq!(family_name(CollectionId(12), "vectors"), "c12.vectors");
        assert_eq!(catalog(CollectionId(1)), b"catalog/\0\0\0\x01");
        assert_eq!(log(Commit(258)), b"log/\0\0\0\0\0\0\x01\x02");
        assert_eq!(operation(uuid), [b"operation/".as_slice(), &[0xab; 16]].concat());
        assert_eq!(vector(Slot(1), 2), [0, 0, 0, 1, 0, 2]);
        assert_eq!(document(Slot(1)), *b"d\0\0\0\x01");
        assert_eq!(free(Slot(1)), *b"f\0\0\0\x01");
        assert_eq!(id(NamespaceId(3), &DocId::from(7)), b"i\0\0\0\x03\x01\0\0\0\0\0\0\0\x07");
        assert_eq!(id(NamespaceId(3), &DocId::from(uuid)), [b"i\0\0\0\x03\x02".as_slice(), &[0xab; 16]].concat());
        assert_eq!(id(NamespaceId(3), &DocId::from("ab")), b"i\0\0\0\x03\x03ab");
        assert_eq!(namespace("agent"), b"nagent");
        assert_eq!(row(Slot(258), 3), *b"l\0\0\x01\x02\x03");
        assert_eq!(delta(258), *b"x\0\0\0\0\0\0\x01\x02");
        assert_eq!(codebook_of(NamespaceId(258)), *b"k\0\0\x01\x02");
        assert_eq!(read_codebook_of(&codebook_of(NamespaceId::UNUSED)).unwrap(), NamespaceId::UNUSED);
        let (from, to) = codebook_range();
        assert!(
            from.as_slice() > CODEBOOK && codebook_of(NamespaceId::UNUSED).as_slice() < &to[..],
            "the collection's is no region's"
        );
        assert_eq!(field("a.b"), b"fa.b");
        assert_eq!(postings(FieldId(2), b"\x05ab\0\0", 258), b"m\0\0\0\x02\x05ab\0\0\x01\x02");
        let chunk = postings(FieldId(2), b"\x05ab\0\0", 258);
        assert_eq!(read_postings(&chunk).unwrap(), (FieldId(2), &b"\x05ab\0\0"[..], 258));
        assert_eq!(postings_range(FieldId(255), b"").1, b"m\0\0\x01");
        assert_eq!(word("né", 258), b"tn\xc3\xa9\0\0\0\x01\x02");
        assert_eq!((read_word(&word("né", 258)).unwrap(), read_word(&word("", 1)).unwrap()), (("né", 258), ("", 1)));
        assert_eq!((word_range("ab").1, words_range("ab").1), (b"tab\x01".to_vec(), b"tac".to_vec()));
        assert_eq!((read_row(&row(Slot(258), 3)).unwrap(), read_delta(&delta(258)).unwrap()), ((Slot(258), 3), 258));
    }

    #[test]
    fn keys_read_back_and_order_as_ids() {
        let mut ids = [
            DocId::from(0),
            DocId::from(u64::MAX),
            DocId::generate(),
            DocId::from("a"),
            DocId::from("a\0"),
            DocId::from("ab"),
            DocId::from("\u{10ffff}"),
        ];
        ids.sort();
        let keys: Vec<_> = ids.iter().map(|doc| id(NamespaceId(9), doc)).collect();
        assert!(keys.is_sorted());
        for (doc, key) in ids.iter().zip(&keys) {
            assert_eq!(read_id(key).unwrap(), (NamespaceId(9), doc.clone()));
            let (from, to) = id_range(NamespaceId(9), Some(doc));
            let rest: Vec<_> = keys.iter().filter(|key| **key >= from && **key < to).collect();
            let expected: Vec<_> = keys.iter().filter(|other| *other > key).collect();
            assert_eq!(rest, expected, "{doc}");
        }
        assert_eq!(read_log(&log(Commit(5))).unwrap(), Commit(5));
    }

    #[test]
    fn malformed_keys_are_errors() {
        for key in [&b""[..], b"i", b"i\0\0\0\0\x09", b"i\0\0\0\0\x01\x02", b"i\0\0\0\0\x03\xff", b"log/1", b"catalog/"]
        {
            assert!(read_id(key).is_err() && read_log(key).is_err() && read_catalog(key).is_err());
            assert!(read_vector(key).is_err() || key.len() == 6);
        }
    }
}
