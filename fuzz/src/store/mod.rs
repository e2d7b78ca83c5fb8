//! The store's decoders.

mod files;
pub(crate) mod format;
mod open;

use self::format::record::{CatalogEntry, DocumentHeader, DocumentRow, Identity, LogRecord, VectorRow};
use self::format::{graph, key, words};
use self::open::superblock;

/// Reads bytes as each kind of key and record. Where a record has only one form, writing it again
/// must give the same bytes.
pub fn read_records(bytes: &[u8]) {
    let _ = (key::read_catalog(bytes), key::read_log(bytes), key::read_vector(bytes), key::read_document(bytes));
    let _ = (key::read_free(bytes), key::read_id(bytes), key::read_namespace(bytes));
    let _ = (key::read_row(bytes), key::read_delta(bytes), key::read_bare_id(bytes));
    if let Ok((namespace, id)) = key::read_id(bytes) {
        assert_eq!(key::id(namespace, &id), bytes);
    }
    if let Ok(row) = DocumentRow::decode(bytes) {
        assert_eq!(DocumentRow::decode(&row.encode()).map(|again| again.encode()).ok(), Some(row.encode()));
    }
    if let Ok(entry) = CatalogEntry::decode(bytes) {
        assert_eq!(CatalogEntry::decode(&entry.encode()).ok(), Some(entry));
    }
    let _ = (DocumentHeader::decode(bytes), Identity::decode(bytes));
    // A fuzzer does not guess checksums, so the bytes get a right one.
    let checksummed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    if let Ok(record) = LogRecord::decode(&checksummed) {
        assert_eq!(record.encode(), checksummed);
    }
    let _ = (VectorRow::decode(&checksummed), VectorRow::decode(bytes), LogRecord::decode(bytes));
    read_graph(&checksummed);
}

/// Reads bytes as rows, deltas and cursors of a graph, once with all slots known and once with some
/// forgotten.
fn read_graph(bytes: &[u8]) {
    let generations = |slot: u32| slot % 3;
    for is_current in
        [&(|_: u32, _: u8| true) as graph::IsCurrent<'_>, &|slot: u32, tag: u8| (slot ^ u32::from(tag)) % 2 == 0]
    {
        if let Ok((row, _)) = graph::GraphRow::decode(bytes, is_current) {
            assert_eq!(graph::GraphRow::decode(&row.encode(&generations), &|_, _| true).ok(), Some((row, false)));
        }
        if let Ok(read) = graph::decode_delta(bytes, is_current) {
            let again = graph::encode_delta(&read.delta, &generations);
            assert_eq!(graph::decode_delta(&again, &|_, _| true).map(|again| again.delta).ok(), Some(read.delta));
        }
    }
    if let Ok(cursor) = graph::GraphCursor::decode(bytes) {
        assert_eq!(graph::GraphCursor::decode(&cursor.encode()).ok(), Some(cursor));
    }
}

/// Reads bytes as a slot of the superblock, as they are and with a right checksum.
pub fn read_superblock(bytes: &[u8]) {
    let mut slot = [0; 4096];
    let n_bytes = bytes.len().min(slot.len());
    slot[..n_bytes].copy_from_slice(&bytes[..n_bytes]);
    let _ = superblock::Superblock::decode(&slot);
    let crc = crc32c::crc32c(&slot[..4092]);
    slot[4092..].copy_from_slice(&crc.to_le_bytes());
    if let Ok((sequence, content)) = superblock::Superblock::decode(&slot) {
        assert_eq!(superblock::Superblock::decode(&content.encode(sequence)).ok(), Some((sequence, content)));
    }
    let _ = superblock::newest(bytes);
}

/// Reads bytes as a row of words and changes to it: a byte that tells whether there is a row, then
/// each part after a byte with its length. The result must not depend on which changes are merged
/// first.
pub fn merge_words(bytes: &[u8]) {
    let Some((&has_row, mut rest)) = bytes.split_first() else { return };
    let mut pieces = Vec::new();
    while let Some((&n_bytes, behind)) = rest.split_first() {
        let (piece, behind) = behind.split_at(behind.len().min(n_bytes.into()));
        pieces.push(piece);
        rest = behind;
    }
    let n_rows = pieces.len().min(usize::from(has_row & 1));
    let (row, changes) = (pieces[..n_rows].first().copied(), &pieces[n_rows..]);
    let merged = words::merge(row, changes);
    let is_whole = row.is_none_or(|row| words::read_chunk(row).is_ok())
        && changes.iter().all(|change| words::merge_changes([*change].into_iter()).is_some());
    assert_eq!(words::read_chunk(&merged).is_ok(), is_whole);
    assert_eq!(words::merge(Some(&merged), &[]), merged);

    let mut one_by_one = words::merge(row, &[]);
    changes.iter().for_each(|change| one_by_one = words::merge(Some(&one_by_one), &[change]));
    assert_eq!(one_by_one, merged);
    for from in 0..changes.len() {
        for to in from + 1..=changes.len() {
            let Some(inner) = words::merge_changes(changes[from..to].iter().copied()) else { continue };
            let grouped = [&changes[..from], &[&inner], &changes[to..]].concat();
            assert_eq!(words::merge(row, &grouped), merged, "{from} to {to}");
        }
    }

    let checksummed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    if let Ok(state) = words::WordsRow::decode(&checksummed) {
        assert_eq!(words::WordsRow::decode(&state.encode()).ok(), Some(state));
    }
}
