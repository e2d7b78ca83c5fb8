//! The metadata index: an inverted index from the values of fields to the slots that have them.
//!
//! Postings are written in the batch of their documents, and read as of the commit that a search
//! sees. Postings that are asked for are cached. The index is derived data: where a field is not
//! indexed, or postings are damaged, the documents themselves are read. An unindexed value never
//! counts as missing.
//!
//! | file | owns |
//! |---|---|
//! | [`catalog`] | which fields are indexed, and their numbers |
//! | [`changes`] | the changes of a commit |
//! | [`cache`], [`mod@column`], [`value_counts`] | cached postings; ordered values; value counts |
//! | [`lookup`] | which documents match a filter |
//! | [`build`] | building the index; choosing what is indexed |
//! | [`verify`] | verifying postings against documents |
//! | [`admission`] | the schemas that writes must satisfy |
//!
//! It knows metadata, slots and rows of the store, but neither vectors nor the graph.

pub(super) mod admission;
mod build;
mod cache;
mod catalog;
pub(super) mod changes;
mod column;
pub(crate) mod lookup;
mod value_counts;
mod verify;

use parking_lot::RwLock;

use self::cache::PostingsCache;
use self::catalog::FieldCatalog;
use self::changes::AppliedPostings;
use super::derived::index::Condition;
use super::derived::source::RowSource;
use crate::config::CollectionConfig;
use crate::filter::lookup::Coverage;
use crate::id::Commit;

/// The in-memory part of a collection's metadata index.
pub(crate) struct MetadataIndex {
    catalog: RwLock<FieldCatalog>,
    cache: PostingsCache,
    condition: Condition,
}

impl MetadataIndex {
    /// The index of a collection without documents.
    pub(super) fn begin(config: &CollectionConfig) -> Self {
        MetadataIndex::new(Some(FieldCatalog::begin(config)), config)
    }

    /// The index as it is stored; without a readable catalog it is rebuilt.
    pub(super) fn read(source: RowSource<'_>) -> Self {
        let catalog = source.fields().inspect_err(|error| tracing::warn!("the metadata index is rebuilt: {error}"));
        MetadataIndex::new(catalog.ok(), source.config)
    }

    fn new(catalog: Option<FieldCatalog>, config: &CollectionConfig) -> Self {
        let condition = Condition::new(catalog.is_none());
        let catalog = RwLock::new(catalog.unwrap_or_else(|| FieldCatalog::begin(config)));
        MetadataIndex { catalog, cache: PostingsCache::new(0), condition }
    }

    /// The index with a cache of `most_bytes` bytes.
    pub(super) fn with_cache(self, most_bytes: usize) -> Self {
        MetadataIndex { cache: PostingsCache::new(most_bytes), ..self }
    }

    /// Takes over the changes of a commit that is not published yet.
    pub(crate) fn apply(&self, applied: AppliedPostings, commit: Commit) {
        if !applied.new_fields.is_empty() {
            let mut catalog = self.catalog.write();
            applied.new_fields.into_iter().for_each(|(path, id)| catalog.insert(path, id));
        }
        self.cache.apply(&applied.changes, commit);
    }

    /// The paths whose postings are complete, in order.
    pub(crate) fn indexed(&self) -> Vec<String> {
        let catalog = self.catalog.read();
        let is_whole = |path: &str| matches!(catalog.coverage(path, Commit(u64::MAX)), Coverage::Indexed(_));
        let mut paths: Vec<String> = match self.condition.is_damaged() {
            true => Vec::new(),
            false => catalog.iter().map(|(path, _)| path.to_owned()).filter(|path| is_whole(path)).collect(),
        };
        paths.sort_unstable();
        paths
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use serde_json::json;

    use crate::store::commit::draft::Derived;
    use crate::store::format::key;
    use crate::{Collection, CollectionConfig, Database, Document, field};

    /// Makes all rows of a field unreadable.
    fn damage(collection: &Collection, path: &str) {
        let open = collection.state().opened().unwrap();
        let (from, to) = key::postings_range(open.indexes.fields.catalog.read().find(path).unwrap(), &[]);
        let (family, mut derived) = (&open.families.postings, Derived::default());
        let scanned = open.store.rocks().scan(family, None, (&from, &to), |key, _| {
            derived.put(family, key, &[1, 0]);
            Ok(ControlFlow::Continue(()))
        });
        assert!(scanned.unwrap().is_ok() && derived.n_bytes() > 0);
        open.store.write_derived(derived).unwrap();
        open.indexes.fields.cache.clear(open.store.view().commit);
        // The next commit makes the damaged rows visible.
        collection.insert(Document::new([0.5])).unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_told_by_documents_and_rebuilt() {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(folder.path()).unwrap();
        let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
        for n in 0..100u64 {
            collection.insert(Document::new([1.0]).id(n).metadata(json!({"n": n % 10}))).unwrap();
        }
        let questions: [&dyn Fn() -> String; 4] = [
            &|| format!("{:?}", collection.count(field("n").gt(4))),
            &|| format!("{:?}", collection.facet("n").run()),
            &|| format!("{:?}", collection.facet("n").filter(field("n").lt(3)).run()),
            &|| format!("{:?}", collection.scroll().order_by("n").descending().limit(12).run().unwrap().documents),
        ];
        for (n, ask) in questions.iter().enumerate() {
            let expected = ask();
            damage(&collection, "n");
            assert_eq!(ask(), expected, "question {n}");
            collection.wait_indexed().unwrap();
            assert!(!collection.state().opened().unwrap().indexes.fields.condition.is_damaged(), "question {n}");
            assert_eq!(ask(), expected, "question {n}");
            db.verify().unwrap();
        }
    }
}
