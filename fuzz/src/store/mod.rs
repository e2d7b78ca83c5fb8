//! The store's decoders.

#[path = "../../../src/store/key.rs"]
mod key;
#[path = "../../../src/store/record.rs"]
mod record;
#[path = "../../../src/store/superblock.rs"]
mod superblock;

use record::{CatalogEntry, DocumentHeader, DocumentRow, Identity, LogRecord, VectorRow};

/// Reads bytes as every kind of key and record. What is read must be written again as it was, where the record has
/// one form only.
pub fn read_records(bytes: &[u8]) {
    let _ = (key::read_catalog(bytes), key::read_log(bytes), key::read_vector(bytes), key::read_document(bytes));
    let _ = (key::read_free(bytes), key::read_id(bytes), key::read_namespace(bytes));
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
    // A fuzzer does not guess checksums: give it one, so that what lies behind is reached.
    let sealed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    if let Ok(record) = LogRecord::decode(&sealed) {
        assert_eq!(record.encode(), sealed);
    }
    let _ = (VectorRow::decode(&sealed), VectorRow::decode(bytes), LogRecord::decode(bytes));
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
