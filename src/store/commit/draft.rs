//! A commit in the making: rows for one RocksDB batch, and the commit's log record.
//!
//! Every change of documents, namespaces and the catalog goes through a [`Draft`], which adds an
//! operation to the log record with each change. So nothing is written without being logged.
//! Postings follow from the documents of the same commit and are not logged. Derived rows that may
//! be written later go into a [`Derived`].

use rocksdb::WriteBatch;
use uuid::Uuid;

use crate::id::{CollectionId, Commit, DocId, FieldId, NamespaceId, Slot};
use crate::store::family::Families;
use crate::store::format::codec::checksum_of;
use crate::store::format::key;
use crate::store::format::postings::{IndexRow, PostingsChange};
use crate::store::format::record::{CatalogEntry, DocumentRow, LogKind, LogOperation, LogRecord, VectorRow};
use crate::store::format::words::{self, WordsRow};
use crate::store::rocks::Family;
use crate::text::list;

#[derive(Default)]
pub(crate) struct Draft {
    batch: WriteBatch,
    operations: Vec<LogOperation>,
    operation_id: Option<Uuid>,
}

/// The encoded rows of one document.
pub(crate) struct EncodedPut {
    generation: u32,
    id: Vec<u8>,
    document: Vec<u8>,
    vector: Vec<u8>,
}

impl EncodedPut {
    pub(crate) fn new(row: &DocumentRow, vector: &[f32], norm: f64) -> Self {
        EncodedPut {
            generation: row.generation,
            id: key::id(row.namespace, &row.id),
            document: row.encode(),
            vector: VectorRow::encode(row.generation, vector, norm),
        }
    }
}

/// Rows that are derived from others, and therefore not logged.
#[derive(Default)]
pub(crate) struct Derived {
    pub(in crate::store) batch: WriteBatch,
}

impl Derived {
    pub(crate) fn put(&mut self, family: &Family, key: &[u8], value: &[u8]) {
        self.batch.put_cf(family, key, value);
    }

    pub(crate) fn delete(&mut self, family: &Family, key: &[u8]) {
        self.batch.delete_cf(family, key);
    }

    /// Deletes the keys from `from` up to, not including, `to`.
    pub(crate) fn delete_range(&mut self, family: &Family, from: &[u8], to: &[u8]) {
        self.batch.delete_range_cf(family, from, to);
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.batch.size_in_bytes()
    }
}

impl Draft {
    /// A draft with room for `n_bytes` of rows.
    pub(crate) fn with_capacity(n_bytes: usize) -> Self {
        Draft { batch: WriteBatch::with_capacity_bytes(n_bytes), ..Draft::default() }
    }

    /// Sets the operation id under which the store remembers this commit.
    pub(crate) fn operation_id(&mut self, id: Option<Uuid>) {
        self.operation_id = id;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    pub(crate) fn n_bytes(&self) -> usize {
        self.batch.size_in_bytes()
    }

    /// Gives a slot to a document: writes its row, its vector and its id.
    pub(crate) fn put(&mut self, (collection, families): (CollectionId, &Families), slot: Slot, put: &EncodedPut) {
        let EncodedPut { generation, id, document, vector } = put;
        if *generation > 1 {
            self.batch.delete_cf(&families.documents, key::free(slot));
        }
        self.batch.put_cf(&families.documents, key::document(slot), document);
        self.batch.put_cf(&families.documents, id, slot.0.to_le_bytes());
        self.batch.put_cf(&families.vectors, key::vector(slot, 0), vector);
        self.log(LogKind::Put, collection, slot, *generation, crc32c::crc32c(document), checksum_of(vector));
    }

    /// Replaces a document's row; its slot and vector stay.
    pub(crate) fn change(&mut self, (collection, families): (CollectionId, &Families), slot: Slot, row: &DocumentRow) {
        let bytes = row.encode();
        self.batch.put_cf(&families.documents, key::document(slot), &bytes);
        self.log(LogKind::Change, collection, slot, row.generation, crc32c::crc32c(&bytes), 0);
    }

    /// Frees a slot. Call it before a `put` that gives the same id another slot.
    pub(crate) fn free(
        &mut self,
        (collection, families): (CollectionId, &Families),
        slot: Slot,
        generation: u32,
        (namespace, id): (NamespaceId, &DocId),
    ) {
        self.batch.delete_cf(&families.documents, key::id(namespace, id));
        self.batch.delete_cf(&families.documents, key::document(slot));
        self.batch.delete_cf(&families.vectors, key::vector(slot, 0));
        self.batch.put_cf(&families.documents, key::free(slot), generation.to_le_bytes());
        self.log(LogKind::Free, collection, slot, generation, 0, 0);
    }

    /// Gives a namespace its number.
    pub(crate) fn namespace(&mut self, collection: CollectionId, families: &Families, name: &str, id: NamespaceId) {
        self.batch.put_cf(&families.documents, key::namespace(name), id.0.to_le_bytes());
        self.log(LogKind::Namespace, collection, Slot(id.0), 0, 0, 0);
    }

    /// Changes which slots of a chunk have a field's term.
    pub(crate) fn postings(
        &mut self,
        families: &Families,
        field: FieldId,
        term: &[u8],
        chunk: u16,
        change: &PostingsChange,
    ) {
        self.batch.merge_cf(&families.postings, key::postings(field, term, chunk), change.encode());
    }

    /// Gives a path of metadata its number.
    pub(crate) fn field(&mut self, families: &Families, path: &str, id: FieldId) {
        self.batch.put_cf(&families.postings, key::field(path), id.0.to_le_bytes());
    }

    /// Writes which fields are indexed, and how far the index has got.
    pub(crate) fn index(&mut self, families: &Families, row: &IndexRow) {
        self.batch.put_cf(&families.postings, key::INDEX, row.encode());
    }

    /// Drops all postings of a field.
    pub(crate) fn drop_postings(&mut self, families: &Families, field: FieldId) {
        let (from, to) = key::postings_range(field, &[]);
        self.batch.delete_range_cf(&families.postings, from, to);
    }

    /// Drops the postings of all fields, and the fields' numbers.
    pub(crate) fn drop_all_postings(&mut self, families: &Families) {
        for (from, to) in [key::all_postings_range(), key::field_range()] {
            self.batch.delete_range_cf(&families.postings, from, to);
        }
    }

    /// Changes which slots of a chunk have a word.
    pub(crate) fn word(&mut self, families: &Families, word: &str, chunk: u32, change: &list::WordChunkChange) {
        self.batch.merge_cf(&families.postings, key::word(word, chunk), words::encode_change(change));
    }

    /// Writes how far the index of words has got.
    pub(crate) fn words(&mut self, families: &Families, row: WordsRow) {
        self.batch.put_cf(&families.postings, key::WORDS, row.encode());
    }

    /// Drops the postings of all words.
    pub(crate) fn drop_all_words(&mut self, families: &Families) {
        let (from, to) = key::words_range("");
        self.batch.delete_range_cf(&families.postings, from, to);
    }

    /// Writes a collection's catalog entry.
    pub(crate) fn catalog(&mut self, collection: CollectionId, entry: &CatalogEntry) {
        let bytes = entry.encode();
        self.batch.put(key::catalog(collection), &bytes);
        self.log(LogKind::Catalog, collection, Slot(0), 0, crc32c::crc32c(&bytes), 0);
    }

    /// Writes the number that the next collection gets.
    pub(crate) fn catalog_next(&mut self, next: CollectionId) {
        self.batch.put(key::CATALOG_NEXT, next.0.to_le_bytes());
    }

    /// Removes a collection's catalog entry.
    pub(crate) fn remove_catalog(&mut self, collection: CollectionId) {
        self.batch.delete(key::catalog(collection));
        self.log(LogKind::CatalogRemoved, collection, Slot(0), 0, 0, 0);
    }

    /// The finished batch: all rows, and the log record that makes them commit `commit`.
    pub(in crate::store) fn into_batch(mut self, commit: Commit, time_ms: u64) -> WriteBatch {
        if let Some(id) = self.operation_id {
            self.batch.put(key::operation(id), commit.0.to_le_bytes());
        }
        let record = LogRecord { commit, time_ms, operation_id: self.operation_id, operations: self.operations };
        self.batch.put(key::log(commit), record.encode());
        self.batch
    }

    fn log(
        &mut self,
        kind: LogKind,
        collection: CollectionId,
        slot: Slot,
        generation: u32,
        row_crc: u32,
        vector_crc: u32,
    ) {
        self.operations.push(LogOperation { kind, collection, slot, generation, row_crc, vector_crc });
    }
}
