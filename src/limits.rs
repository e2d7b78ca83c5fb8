//! Every bound the database enforces, in one place.
//!
//! A value outside its bound is refused with [`Error::LimitExceeded`](crate::Error) before anything is touched, except
//! for counts of results (`limit`, `offset`), which are clamped to what exists. Nothing is ever allocated from a
//! number that has not been checked here.

/// Most components a vector may have.
pub const MAX_DIMENSION: usize = 65_536;

/// Largest Euclidean length (norm) of a vector. Below it no distance of any metric can overflow an `f32`.
pub const MAX_NORM: f64 = 9.0e18;

/// Smallest norm of a vector that is normalised (cosine, or `normalize`): below it the direction is rounding noise.
pub const MIN_NORM: f64 = 1.0e-30;

/// Smallest norm, but for 0, of a vector that is compared by Euclidean distance or by the dot product as it is: of
/// smaller ones the squares of differences leave the range of an `f32`. Scale all vectors of a collection alike to stay
/// above.
pub const MIN_LENGTH: f64 = 1.0e-12;

/// Most bytes of a string [`DocId`](crate::DocId).
pub const MAX_ID_BYTES: usize = 512;

/// Most bytes of a collection's name.
pub const MAX_NAME_BYTES: usize = 128;

/// Most bytes of a namespace's name.
pub const MAX_NAMESPACE_BYTES: usize = 256;

/// Most collections in one database. Partition agents and sessions by namespaces, of which there may be millions.
pub const MAX_COLLECTIONS: usize = 256;

/// Most bytes of one document's metadata, counted as stored.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

/// Deepest nesting of one document's metadata; the metadata object itself is level 1.
pub const MAX_METADATA_DEPTH: usize = 32;

/// Most bytes of one document's text.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Bytes of a word that count; of a longer one the rest does not.
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

/// Most comparisons and connectives in one filter.
pub const MAX_FILTER_NODES: usize = 4_096;

/// Most values that the lists of one filter (`$in`, `$nin`, `$any`, `$all`) may hold together.
pub const MAX_FILTER_VALUES: usize = 65_536;

/// Most bytes of one filter, as JSON.
pub const MAX_FILTER_BYTES: usize = 4 << 20;

/// Most bytes of a path of metadata.
pub const MAX_PATH_BYTES: usize = 512;

/// Most paths of metadata that a collection has postings of. A document with a path beyond that is still found: it is
/// looked at itself.
pub const MAX_INDEXED_FIELDS: usize = 4_096;

/// Most fields that a schema may declare.
pub const MAX_SCHEMA_FIELDS: usize = 1_024;

/// Most values that one field of a schema may be chosen from.
pub const MAX_CHOICES: usize = 1_024;

/// Most bytes of a schema, as JSON.
pub const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// Most bytes of a collection's own metadata, as JSON.
pub const MAX_COLLECTION_METADATA_BYTES: usize = 64 << 10;

/// Fewest links of a document in a graph.
pub const MIN_M: usize = 2;

/// Most links of a document in a graph.
pub const MAX_M: usize = 128;

/// Most points that building or walking a graph keeps.
pub const MAX_EF: usize = 4_096;

/// Most of the nearest that hits which are to differ are chosen from.
pub const MAX_CANDIDATES: usize = 4_096;

/// Most hits, or groups of hits, that the pages of one search may give by a cursor
/// ([`Search::after`](crate::Search::after)).
pub const MAX_PAGED: usize = 4_096;

/// Most groups of hits, those that are left out first included.
pub const MAX_GROUPS: usize = 4_096;

/// Most hits of a group.
pub const MAX_GROUP: usize = 4_096;

/// Most examples of one query, of what is wanted and of what is not together.
pub const MAX_EXAMPLES: usize = 1_024;

/// Most metadata fields that a search that is read from JSON may name for its hits to carry.
pub const MAX_FIELDS: usize = 1_024;

/// Most boosts of one search.
pub const MAX_BOOSTS: usize = 64;

/// Most threads that link documents.
pub const MAX_LINK_THREADS: usize = 256;

/// Most documents of a collection that may wait to be linked before writers have to wait.
pub const MAX_TAIL: usize = 1 << 24;

/// Most documents of a collection, those being replaced included.
pub const MAX_DOCUMENTS: usize = 1 << 31;
