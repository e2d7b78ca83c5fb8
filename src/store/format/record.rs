//! Every RocksDB value: the on-disk format, together with [`key`](super::key).
//!
//! A record begins with a version byte; integers are little-endian. Log records and vector rows end
//! in a CRC32C over all bytes before it, because RocksDB's own checksums stop at its block cache.
//! The log holds a CRC32C of every document row. A version above the known ones is
//! [`Error::UnsupportedFormat`]; any other surprise is [`Error::Corruption`].
//!
//! ```text
//! DocumentRow   OFFSET SIZE FIELD          VectorRow      OFFSET SIZE FIELD
//!                    0    1 version = 1                        0    1 version = 1
//!                    1    4 generation                         1    1 element type: 1 = f32
//!                    5    4 namespace                          2    2 n: vectors in this field
//!                    9    8 commit                             4    4 generation
//!                   17    … body (bincode)                     8    4 dimension
//!                                                             12   4n norm of each vector, f32
//! LogRecord     OFFSET SIZE FIELD                              …      n × dimension components, f32
//!                    0    1 version = 1                      end    4 CRC32C
//!                    1    8 commit
//!                    9    8 time, ms since 1970   LogOperation  OFFSET SIZE FIELD
//!                   17   16 operation id, or 0                       0    1 kind
//!                   33    4 n: operations                            1    4 collection
//!                   37  21n operations                               5    4 slot
//!                  end    4 CRC32C                                   9    4 generation
//!                                                                   13    4 CRC32C of the document or catalog row
//!                                                                   17    4 CRC32C of the vector row
//! ```
//!
//! bincode writes the bodies of document rows and catalog entries, with one fixed configuration,
//! and nothing else. To replace it, raise the versions of these two records.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::codec::{CRC, FieldReader, append_checksum, verify_checksum};
use crate::config::{CollectionConfig, Index, Quantization, Residency};
use crate::distance::Metric;
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, DocId, NamespaceId, Slot};
use crate::limits::{MAX_DIMENSION, MAX_METADATA_DEPTH};
use crate::schema::Schema;
use crate::value::Value;

// Each kind of record has a version of its own.
const DOCUMENT_VERSION: u8 = 1;
const VECTOR_VERSION: u8 = 1;
const LOG_VERSION: u8 = 1;
const IDENTITY_VERSION: u8 = 1;
const ELEMENT_F32: u8 = 1;
const DOCUMENT_HEADER: usize = 17;
const VECTOR_HEADER: usize = 12;
const LOG_HEADER: usize = 37;
const LOG_OPERATION: usize = 21;
/// This configuration must never change: the bytes of every version depend on it. The limit of 64
/// MiB stops a damaged length from being allocated.
const BINCODE: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<{ 64 << 20 }>,
> = bincode::config::standard().with_limit();

// ---- documents

/// A document without its vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DocumentRow {
    pub(crate) generation: u32,
    pub(crate) namespace: NamespaceId,
    pub(crate) commit: Commit,
    pub(crate) id: DocId,
    pub(crate) metadata: Value,
    pub(crate) text: Option<String>,
    pub(crate) created_at_ms: u64,
    pub(crate) updated_at_ms: u64,
}

/// The fixed part of a document row, which scans read without decoding the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DocumentHeader {
    pub(crate) generation: u32,
    pub(crate) namespace: NamespaceId,
    pub(crate) commit: Commit,
}

#[derive(Serialize, Deserialize)]
struct DocumentBody<'a> {
    id: StoredId<'a>,
    text: Option<Cow<'a, str>>,
    created_at_ms: u64,
    updated_at_ms: u64,
    metadata: Vec<MetadataToken<'a>>,
}

#[derive(Serialize, Deserialize)]
enum StoredId<'a> {
    U64(u64),
    Uuid([u8; 16]),
    Str(Cow<'a, str>),
}

/// Metadata as a flat list in document order, so that bincode does not recurse into hostile bytes.
/// An array or object is followed by its content. Each key of an object is followed by its value.
#[derive(Serialize, Deserialize)]
enum MetadataToken<'a> {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    String(Cow<'a, str>),
    Array(u32),
    Object(u32),
}

impl DocumentRow {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut metadata = Vec::new();
        flatten(&self.metadata, &mut metadata);
        let body = DocumentBody {
            id: match &self.id {
                DocId::U64(number) => StoredId::U64(*number),
                DocId::Uuid(uuid) => StoredId::Uuid(*uuid.as_bytes()),
                DocId::Str(text) => StoredId::Str(Cow::Borrowed(text)),
            },
            text: self.text.as_deref().map(Cow::Borrowed),
            created_at_ms: self.created_at_ms,
            updated_at_ms: self.updated_at_ms,
            metadata,
        };
        let mut bytes = Vec::with_capacity(256);
        bytes.push(DOCUMENT_VERSION);
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.namespace.0.to_le_bytes());
        bytes.extend(self.commit.0.to_le_bytes());
        append_body(&mut bytes, &body);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "a document row";
        let header = DocumentHeader::decode(bytes)?;
        let body: DocumentBody<'static> = read_body(WHAT, &bytes[DOCUMENT_HEADER..])?;
        Ok(DocumentRow {
            generation: header.generation,
            namespace: header.namespace,
            commit: header.commit,
            id: body.id.into(),
            metadata: build(body.metadata).ok_or_else(|| Error::corruption(WHAT, "metadata is not one value"))?,
            text: body.text.map(Cow::into_owned),
            created_at_ms: body.created_at_ms,
            updated_at_ms: body.updated_at_ms,
        })
    }
}

impl From<StoredId<'_>> for DocId {
    fn from(id: StoredId<'_>) -> Self {
        match id {
            StoredId::U64(number) => DocId::U64(number),
            StoredId::Uuid(bytes) => DocId::Uuid(Uuid::from_bytes(bytes)),
            StoredId::Str(text) => DocId::Str(text.into()),
        }
    }
}

impl DocumentHeader {
    /// Reads the header, and the id, which comes first in the body.
    pub(crate) fn decode_with_id(bytes: &[u8]) -> Result<(Self, DocId)> {
        let header = DocumentHeader::decode(bytes)?;
        let (id, _) = read_front::<StoredId<'static>>("a document row", &bytes[DOCUMENT_HEADER..])?;
        Ok((header, id.into()))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = FieldReader::new("a document row", bytes, DOCUMENT_VERSION, DOCUMENT_HEADER)?;
        Ok(DocumentHeader {
            generation: fields.u32(),
            namespace: NamespaceId(fields.u32()),
            commit: Commit(fields.u64()),
        })
    }
}

/// Appends the tokens of a value. The recursion ends at `MAX_METADATA_DEPTH`, which was checked
/// before the metadata was stored.
fn flatten<'a>(value: &'a Value, tokens: &mut Vec<MetadataToken<'a>>) {
    match value {
        Value::Null => tokens.push(MetadataToken::Null),
        Value::Bool(flag) => tokens.push(MetadataToken::Bool(*flag)),
        Value::I64(number) => tokens.push(MetadataToken::I64(*number)),
        Value::U64(number) => tokens.push(MetadataToken::U64(*number)),
        Value::F64(number) => tokens.push(MetadataToken::F64(*number)),
        Value::String(text) => tokens.push(MetadataToken::String(Cow::Borrowed(text))),
        Value::Array(items) => {
            tokens.push(MetadataToken::Array(items.len() as u32));
            items.iter().for_each(|item| flatten(item, tokens));
        }
        Value::Object(map) => {
            tokens.push(MetadataToken::Object(map.len() as u32));
            for (key, item) in map {
                tokens.push(MetadataToken::String(Cow::Borrowed(key)));
                flatten(item, tokens);
            }
        }
    }
}

/// Builds the value that `tokens` describe. `None` for no value, several, or too deep a one.
fn build(tokens: Vec<MetadataToken<'_>>) -> Option<Value> {
    let mut tokens = tokens.into_iter();
    let value = build_next(&mut tokens, MAX_METADATA_DEPTH)?;
    tokens.next().is_none().then_some(value)
}

fn build_next(tokens: &mut std::vec::IntoIter<MetadataToken<'_>>, levels: usize) -> Option<Value> {
    Some(match tokens.next()? {
        MetadataToken::Null => Value::Null,
        MetadataToken::Bool(flag) => Value::Bool(flag),
        MetadataToken::I64(number) => Value::I64(number),
        MetadataToken::U64(number) => Value::U64(number),
        MetadataToken::F64(number) => Value::F64(number),
        MetadataToken::String(text) => Value::String(text.into_owned()),
        MetadataToken::Array(n_items) => {
            let levels = levels.checked_sub(1)?;
            Value::Array((0..n_items).map(|_| build_next(tokens, levels)).collect::<Option<_>>()?)
        }
        MetadataToken::Object(n_items) => {
            let levels = levels.checked_sub(1)?;
            let mut map = BTreeMap::new();
            for _ in 0..n_items {
                let MetadataToken::String(key) = tokens.next()? else { return None };
                map.insert(key.into_owned(), build_next(tokens, levels)?);
            }
            Value::Object(map)
        }
    })
}

// ---- vectors

/// The vectors of one field of one document, as the caller gave them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VectorRow {
    pub(crate) generation: u32,
    pub(crate) dimension: usize,
    /// All vectors, one after the other. Every row that is written holds one.
    pub(crate) components: Vec<f32>,
}

impl VectorRow {
    /// Encodes one vector. `norm` is its Euclidean norm.
    pub(crate) fn encode(generation: u32, vector: &[f32], norm: f64) -> Vec<u8> {
        let n_bytes = VECTOR_HEADER + 4 + vector.len() * 4;
        let mut bytes = Vec::with_capacity(n_bytes + CRC);
        bytes.extend([VECTOR_VERSION, ELEMENT_F32]);
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(generation.to_le_bytes());
        bytes.extend((vector.len() as u32).to_le_bytes());
        bytes.extend((norm as f32).to_le_bytes());
        bytes.resize(n_bytes, 0);
        let (components, _) = bytes[VECTOR_HEADER + 4..].as_chunks_mut::<4>();
        for (bytes, component) in components.iter_mut().zip(vector) {
            *bytes = component.to_le_bytes();
        }
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "a vector row";
        let content = verify_checksum(WHAT, bytes)?;
        let mut fields = FieldReader::new(WHAT, content, VECTOR_VERSION, VECTOR_HEADER)?;
        let [element] = fields.take();
        if element != ELEMENT_F32 {
            return Err(Error::corruption(WHAT, format!("expected element type {ELEMENT_F32}, got {element}")));
        }
        let n_vectors = usize::from(u16::from_le_bytes(fields.take()));
        let generation = fields.u32();
        let dimension = fields.u32() as usize;
        let components = fields.rest.get(n_vectors * 4..).unwrap_or_default();
        if dimension > MAX_DIMENSION || fields.rest.len() != n_vectors * 4 + n_vectors * dimension * 4 {
            let got = fields.rest.len();
            return Err(Error::corruption(
                WHAT,
                format!("expected {n_vectors} × {dimension} components, got {got} bytes"),
            ));
        }
        let (components, _) = components.as_chunks::<4>();
        Ok(VectorRow { generation, dimension, components: components.iter().map(|&b| f32::from_le_bytes(b)).collect() })
    }
}

// ---- the commit log

/// The changes of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRecord {
    pub(crate) commit: Commit,
    pub(crate) time_ms: u64,
    pub(crate) operation_id: Option<Uuid>,
    pub(crate) operations: Vec<LogOperation>,
}

/// One change within a commit. Slot and generation are 0 for a change of the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogOperation {
    pub(crate) kind: LogKind,
    pub(crate) collection: CollectionId,
    pub(crate) slot: Slot,
    pub(crate) generation: u32,
    /// CRC32C of the document row or catalog row as written; 0 if none was written.
    pub(crate) row_crc: u32,
    /// The CRC32C at the end of the vector row; 0 if none was written.
    pub(crate) vector_crc: u32,
}

/// The kind of change that a log operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum LogKind {
    /// A slot was given a document: row and vector.
    Put = 1,
    /// The document row of a slot was replaced; its vector stayed.
    Change = 2,
    /// A slot was freed.
    Free = 3,
    /// A namespace was given a number, which stands in place of the slot.
    Namespace = 4,
    /// A collection's catalog entry was written.
    Catalog = 5,
    /// A collection's catalog entry was removed.
    CatalogRemoved = 6,
}

impl LogKind {
    fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => LogKind::Put,
            2 => LogKind::Change,
            3 => LogKind::Free,
            4 => LogKind::Namespace,
            5 => LogKind::Catalog,
            6 => LogKind::CatalogRemoved,
            _ => return None,
        })
    }
}

impl LogRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LOG_HEADER + self.operations.len() * LOG_OPERATION + CRC);
        bytes.push(LOG_VERSION);
        bytes.extend(self.commit.0.to_le_bytes());
        bytes.extend(self.time_ms.to_le_bytes());
        bytes.extend(self.operation_id.unwrap_or_default().as_bytes());
        bytes.extend((self.operations.len() as u32).to_le_bytes());
        for operation in &self.operations {
            bytes.push(operation.kind as u8);
            for field in [
                operation.collection.0,
                operation.slot.0,
                operation.generation,
                operation.row_crc,
                operation.vector_crc,
            ] {
                bytes.extend(field.to_le_bytes());
            }
        }
        append_checksum(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "a log record";
        let content = verify_checksum(WHAT, bytes)?;
        let mut fields = FieldReader::new(WHAT, content, LOG_VERSION, LOG_HEADER)?;
        let (commit, time_ms) = (Commit(fields.u64()), fields.u64());
        let operation_id = Some(Uuid::from_bytes(fields.take())).filter(|id| !id.is_nil());
        let n_operations = fields.u32() as usize;
        let (operations, rest) = fields.rest.as_chunks::<LOG_OPERATION>();
        if operations.len() != n_operations || !rest.is_empty() {
            let got = fields.rest.len();
            return Err(Error::corruption(WHAT, format!("expected {n_operations} operations, got {got} bytes")));
        }
        let operations = operations.iter().map(LogOperation::decode).collect::<Result<_>>()?;
        Ok(LogRecord { commit, time_ms, operation_id, operations })
    }
}

impl LogOperation {
    fn decode(bytes: &[u8; LOG_OPERATION]) -> Result<Self> {
        let mut fields = FieldReader { rest: &bytes[1..] };
        let kind = LogKind::read(bytes[0])
            .ok_or_else(|| Error::corruption("a log record", format!("unknown operation kind {}", bytes[0])))?;
        Ok(LogOperation {
            kind,
            collection: CollectionId(fields.u32()),
            slot: Slot(fields.u32()),
            generation: fields.u32(),
            row_crc: fields.u32(),
            vector_crc: fields.u32(),
        })
    }
}

// ---- the catalog

/// The state of a collection in its life. Written before and after its families are created or
/// dropped, so that an open can finish or undo what a crash cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CatalogState {
    Creating,
    Active,
    Dropping,
}

/// A collection's entry in the catalog.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CatalogEntry {
    pub(crate) name: String,
    pub(crate) state: CatalogState,
    pub(crate) config: CollectionConfig,
    pub(crate) created_at_ms: u64,
    /// The collection's own metadata; an object.
    pub(crate) metadata: Value,
}

/// Version of catalog entries. Version 2 adds the vector index, version 3 the residency of exact
/// vectors, and version 4 which metadata is indexed. Version 5 adds which text is indexed and the
/// schema as JSON. Version 6 adds whether codes adapt, and version 7 the collection's own metadata
/// as JSON. Where an entry lacks a part, the default counts.
const CATALOG_VERSION: u8 = 7;

#[derive(Serialize, Deserialize)]
struct CatalogBody {
    name: String,
    state: CatalogState,
    dimension: u32,
    metric: StoredMetric,
    normalize: bool,
    created_at_ms: u64,
}

/// The vector index. Follows `CatalogBody` from version 2 on.
#[derive(Serialize, Deserialize)]
struct IndexBody {
    index: StoredIndex,
    m: u32,
    ef_construction: u32,
    quantization: StoredQuantization,
    distance: Option<String>,
}

/// The residency of exact vectors. Follows `IndexBody` from version 3 on.
#[derive(Serialize, Deserialize)]
enum StoredResidency {
    Ram,
    Mapped,
    Disk,
}

/// Which metadata is indexed. Follows `StoredResidency` from version 4 on.
#[derive(Default, Serialize, Deserialize)]
struct FieldsBody {
    index_only: Option<Vec<String>>,
    no_index: Vec<String>,
}

/// Which text is indexed. Follows `FieldsBody` from version 5 on. The analyzer is JSON, for later
/// additions.
#[derive(Serialize, Deserialize)]
struct TextBody {
    index_text: bool,
    text_fields: Vec<String>,
    analyzer: String,
}

#[derive(Serialize, Deserialize)]
enum StoredMetric {
    Cosine,
    Dot,
    Euclidean,
    Manhattan,
}

#[derive(Serialize, Deserialize)]
enum StoredIndex {
    Hnsw,
    Flat,
}

#[derive(Serialize, Deserialize)]
enum StoredQuantization {
    Sq8,
    None,
}

impl CatalogEntry {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let config = &self.config;
        let body = CatalogBody {
            name: self.name.clone(),
            state: self.state,
            dimension: config.dimension as u32,
            metric: match config.metric {
                Metric::Cosine => StoredMetric::Cosine,
                Metric::Dot => StoredMetric::Dot,
                Metric::Euclidean => StoredMetric::Euclidean,
                Metric::Manhattan => StoredMetric::Manhattan,
            },
            normalize: config.normalize,
            created_at_ms: self.created_at_ms,
        };
        let index = IndexBody {
            index: match config.index {
                Index::Hnsw => StoredIndex::Hnsw,
                Index::Flat => StoredIndex::Flat,
            },
            m: config.m as u32,
            ef_construction: config.ef_construction as u32,
            quantization: match config.quantization {
                Quantization::Sq8 => StoredQuantization::Sq8,
                Quantization::None => StoredQuantization::None,
            },
            distance: config.distance.clone(),
        };
        let residency = match config.residency {
            Residency::Ram => StoredResidency::Ram,
            Residency::Mapped => StoredResidency::Mapped,
            Residency::Disk => StoredResidency::Disk,
        };
        let mut bytes = vec![CATALOG_VERSION];
        append_body(&mut bytes, &body);
        append_body(&mut bytes, &index);
        append_body(&mut bytes, &residency);
        let fields = FieldsBody { index_only: config.index_only.clone(), no_index: config.no_index.clone() };
        append_body(&mut bytes, &fields);
        let text = TextBody {
            index_text: config.index_text,
            text_fields: config.text_fields.clone(),
            // Names of languages always have a JSON form.
            analyzer: serde_json::to_string(&config.analyzer).expect("an analyzer is plain data"),
        };
        append_body(&mut bytes, &text);
        append_body(&mut bytes, &config.schema.as_ref().map(Schema::to_string));
        append_body(&mut bytes, &config.adapt_codes);
        // JSON can hold it: keys are strings, and floats are finite.
        append_body(&mut bytes, &serde_json::to_string(&self.metadata).expect("metadata is plain data"));
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        const WHAT: &str = "a catalog entry";
        let (version, fields) = FieldReader::versions(WHAT, bytes, CATALOG_VERSION)?;
        let (body, rest): (CatalogBody, _) = read_front(WHAT, fields.rest)?;
        let metric = match body.metric {
            StoredMetric::Cosine => Metric::Cosine,
            StoredMetric::Dot => Metric::Dot,
            StoredMetric::Euclidean => Metric::Euclidean,
            StoredMetric::Manhattan => Metric::Manhattan,
        };
        let mut config = CollectionConfig::new(body.dimension as usize).metric(metric).normalize(body.normalize);
        let (index, rest): (Option<IndexBody>, _) = match version {
            1 => (None, rest),
            _ => read_front(WHAT, rest).map(|(index, rest)| (Some(index), rest))?,
        };
        let (residency, rest) = match version {
            1 | 2 => (StoredResidency::Ram, rest),
            _ => read_front(WHAT, rest)?,
        };
        let (fields, rest) = match version {
            1..=3 => (FieldsBody::default(), rest),
            _ => read_front(WHAT, rest)?,
        };
        let (text, rest): (Option<TextBody>, _) = match version {
            1..=4 => (None, rest),
            _ => read_front(WHAT, rest).map(|(text, rest)| (Some(text), rest))?,
        };
        let (schema, rest): (Option<String>, _) = match version {
            1..=4 => (None, rest),
            _ => read_front(WHAT, rest)?,
        };
        let (adapt_codes, rest) = match version {
            1..=5 => (true, rest),
            _ => read_front(WHAT, rest)?,
        };
        let (metadata, rest): (Option<String>, _) = match version {
            1..=6 => (None, rest),
            _ => read_front(WHAT, rest).map(|(metadata, rest)| (Some(metadata), rest))?,
        };
        if !rest.is_empty() {
            return Err(Error::corruption(WHAT, format!("{} bytes too many", rest.len())));
        }
        config.adapt_codes = adapt_codes;
        if let Some(TextBody { index_text, text_fields, analyzer }) = text {
            (config.index_text, config.text_fields) = (index_text, text_fields);
            config.analyzer =
                serde_json::from_str(&analyzer).map_err(|error| Error::corruption(WHAT, error.to_string()))?;
        }
        config.residency = match residency {
            StoredResidency::Ram => Residency::Ram,
            StoredResidency::Mapped => Residency::Mapped,
            StoredResidency::Disk => Residency::Disk,
        };
        (config.index_only, config.no_index) = (fields.index_only, fields.no_index);
        let schema = schema.map(|json| json.parse()).transpose();
        config.schema = schema.map_err(|error: Error| Error::corruption(WHAT, error.to_string()))?;
        if let Some(stored) = index {
            config.index = match stored.index {
                StoredIndex::Hnsw => Index::Hnsw,
                StoredIndex::Flat => Index::Flat,
            };
            config.quantization = match stored.quantization {
                StoredQuantization::Sq8 => Quantization::Sq8,
                StoredQuantization::None => Quantization::None,
            };
            config.m = stored.m as usize;
            config.ef_construction = stored.ef_construction as usize;
            config.distance = stored.distance;
        }
        config.validate().map_err(|error| Error::corruption(WHAT, error.to_string()))?;
        let metadata = metadata.map_or_else(|| Ok(Value::object()), |json| serde_json::from_str(&json));
        let metadata = metadata.map_err(|error| Error::corruption(WHAT, error.to_string()))?;
        Ok(CatalogEntry { name: body.name, state: body.state, config, created_at_ms: body.created_at_ms, metadata })
    }
}

// ---- the store's own row

/// The row that names this store. It shows when the folder holds the rows of another store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: Uuid,
}

impl Identity {
    pub(crate) fn encode(self) -> Vec<u8> {
        [&[IDENTITY_VERSION], self.store.as_bytes().as_slice()].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut fields = FieldReader::new("the store's identity", bytes, IDENTITY_VERSION, 17)?;
        Ok(Identity { store: Uuid::from_bytes(fields.take()) })
    }
}

// ---- bodies

fn append_body(bytes: &mut Vec<u8>, body: &impl Serialize) {
    // Writing to memory fails only for sequences of unknown length, which no body has.
    bincode::serde::encode_into_std_write(body, bytes, BINCODE).expect("bodies have known lengths");
}

/// Decodes a body that takes all of the bytes.
fn read_body<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T> {
    let (body, rest) = read_front(what, bytes)?;
    if rest.is_empty() { Ok(body) } else { Err(Error::corruption(what, format!("{} bytes too many", rest.len()))) }
}

/// Decodes a body at the front, and returns the bytes after it too.
fn read_front<'a, T: DeserializeOwned>(what: &'static str, bytes: &'a [u8]) -> Result<(T, &'a [u8])> {
    let (body, length) = bincode::serde::decode_from_slice(bytes, BINCODE)
        .map_err(|error| Error::corruption(what, error.to_string()))?;
    Ok((body, bytes.get(length..).unwrap_or_default()))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
