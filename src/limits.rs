//! All bounds that the database enforces.
//!
//! A call with a value beyond a bound is refused before it changes anything, with an error of the
//! kind [`InvalidArgument`](crate::ErrorKind::InvalidArgument), mostly
//! [`Error::LimitExceeded`](crate::Error). Counts of results (`limit`, `offset`) are lowered to the
//! number of documents instead. A number is checked here before memory is allocated by it.

/// Most components a vector may have.
pub const MAX_DIMENSION: usize = 65_536;

/// Largest Euclidean norm of a vector. Up to this norm, no metric's distance overflows an `f32`.
pub const MAX_NORM: f64 = 9.0e18;

/// Smallest norm of a vector that is normalised (cosine, or `normalize`). Below it, the direction
/// is rounding noise.
pub const MIN_NORM: f64 = 1.0e-30;

/// Smallest norm, apart from 0, of a vector compared without normalising by the Euclidean distance
/// or the dot product. Below it, squares of differences leave the range of an `f32`. To stay above,
/// scale all vectors of a collection by one factor.
pub const MIN_LENGTH: f64 = 1.0e-12;

/// Most bytes of a string [`DocId`](crate::DocId).
pub const MAX_ID_BYTES: usize = 512;

/// Most bytes of a collection's name.
pub const MAX_NAME_BYTES: usize = 128;

/// Most bytes of a namespace's name.
pub const MAX_NAMESPACE_BYTES: usize = 256;

/// Most collections in one database. Separate agents and sessions by namespaces, of which there may
/// be millions.
pub const MAX_COLLECTIONS: usize = 256;

/// Most bytes of one document's metadata, counted as stored.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

/// Deepest nesting of one document's metadata; the metadata object itself is level 1.
pub const MAX_METADATA_DEPTH: usize = 32;

/// Most bytes of one document's text.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Bytes of a word that are indexed; further bytes are ignored.
pub const MAX_WORD_BYTES: usize = 64;

/// Most bytes of a query in words.
pub const MAX_TEXT_QUERY_BYTES: usize = 64 << 10;

/// Most paths of metadata whose words are indexed with a document's text.
pub const MAX_TEXT_FIELDS: usize = 64;

/// Most operations in one batch.
pub const MAX_BATCH_OPERATIONS: usize = 100_000;

/// Most bytes of vectors, metadata and text in one batch.
pub const MAX_BATCH_BYTES: usize = 256 << 20;

/// Deepest nesting of a filter; a single comparison is level 1.
pub const MAX_FILTER_DEPTH: usize = 32;

/// Most comparisons and connectives (`$and`, `$or`, …) in one filter.
pub const MAX_FILTER_NODES: usize = 4_096;

/// Most values that the lists of one filter (`$in`, `$nin`, `$any`, `$all`) may hold together.
pub const MAX_FILTER_VALUES: usize = 65_536;

/// Most bytes of one filter, as JSON.
pub const MAX_FILTER_BYTES: usize = 4 << 20;

/// Most bytes of a path of metadata.
pub const MAX_PATH_BYTES: usize = 512;

/// Most metadata paths with postings in one collection. A document with a further path is still
/// found: filters read it.
pub const MAX_INDEXED_FIELDS: usize = 4_096;

/// Most fields that a schema may declare.
pub const MAX_SCHEMA_FIELDS: usize = 1_024;

/// Most values in the list of choices of one schema field.
pub const MAX_CHOICES: usize = 1_024;

/// Most bytes of a schema, as JSON.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// Most bytes of a collection's own metadata, as JSON.
pub const MAX_COLLECTION_METADATA_BYTES: usize = 64 << 10;

/// Fewest links of a document at each level of a graph: HNSW's M.
pub const MIN_M: usize = 2;

/// Most links of a document at each level of a graph; level 0 has up to twice as many.
pub const MAX_M: usize = 128;

/// Largest beam of a graph, in points: HNSW's efConstruction and ef.
pub const MAX_EF: usize = 4_096;

/// Most candidates from which maximal marginal relevance (MMR) chooses hits.
pub const MAX_CANDIDATES: usize = 4_096;

/// Most hits, or groups of hits, that the pages of one search may give by a cursor
/// ([`Search::after`](crate::Search::after)).
pub const MAX_PAGED: usize = 4_096;

/// Most groups of hits, counting those that `offset` skips.
pub const MAX_GROUPS: usize = 4_096;

/// Most hits of a group.
pub const MAX_GROUP: usize = 4_096;

/// Most examples in one query, positive and negative together.
pub const MAX_EXAMPLES: usize = 1_024;

/// Most metadata fields that a search read from JSON may ask for in its hits.
pub const MAX_FIELDS: usize = 1_024;

/// Most boosts of one search.
pub const MAX_BOOSTS: usize = 64;

/// Most threads that link documents.
pub const MAX_LINK_THREADS: usize = 256;

/// Most documents of a collection that may wait to be linked; at the bound, writers wait.
pub const MAX_TAIL: usize = 1 << 24;

/// Most documents of a collection, replaced versions included.
pub const MAX_DOCUMENTS: usize = 1 << 31;
