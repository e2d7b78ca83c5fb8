//! The derived indexes of a collection, and the list of them.

use super::derived::index::DerivedIndex;
use super::derived::source::RowSource;
use super::fulltext::FullTextIndex;
use super::metadata::MetadataIndex;
use crate::config::CollectionConfig;

/// The derived indexes of a collection.
pub(crate) struct Indexes {
    pub(crate) fields: MetadataIndex,
    pub(crate) words: FullTextIndex,
}

impl Indexes {
    /// The indexes of a collection without documents. They cache nothing yet.
    pub(crate) fn new(config: &CollectionConfig) -> Self {
        Indexes { fields: MetadataIndex::begin(config), words: FullTextIndex::begin(config) }
    }

    /// The indexes as they are stored. An index whose state cannot be read is rebuilt. They cache
    /// nothing yet.
    pub(crate) fn read(source: RowSource<'_>) -> Self {
        Indexes { fields: MetadataIndex::read(source), words: FullTextIndex::read(source) }
    }

    /// Gives the cache of each index `most_bytes` bytes.
    pub(crate) fn with_caches(self, most_bytes: usize) -> Self {
        Indexes { fields: self.fields.with_cache(most_bytes), words: self.words.with_cache(most_bytes) }
    }

    /// Every index. Whoever treats them alike goes through this list.
    pub(crate) fn all(&self) -> [&dyn DerivedIndex; 2] {
        [&self.fields, &self.words]
    }
}
