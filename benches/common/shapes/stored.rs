//! A data set in a collection with the default configuration.

use vectrove::{Collection, CollectionConfig, Database, DocId, Document, Metric, Strategy};

use super::Data;
use super::truth::Truth;

/// Rows stored and linked, each under its number as id.
pub(crate) struct Stored<'a> {
    data: &'a Data,
    collection: Collection,
}

impl<'a> Stored<'a> {
    pub(crate) fn new(db: &Database, metric: Metric, data: &'a Data) -> Self {
        let config = CollectionConfig::new(data.rows[0].len()).metric(metric);
        let collection = db.create_collection("rows", config).expect("is created");
        let document = |(n, row): (usize, &Vec<f32>)| Document::new(row.as_slice()).id(n as u64);
        let documents: Vec<Document> = data.rows.iter().enumerate().map(document).collect();
        for batch in documents.chunks(1_000) {
            collection.insert_many(batch.to_vec()).expect("is inserted");
        }
        collection.wait_indexed().expect("is linked");
        Stored { data, collection }
    }

    /// The rows that a search finds for a query: the default one, or one that goes this way.
    pub(crate) fn find(&self, query: usize, strategy: Option<Strategy>) -> Vec<usize> {
        let mut search = self.collection.search(&self.data.queries[query]).limit(Truth::K).with_document(false);
        if let Some(strategy) = strategy {
            search = search.strategy(strategy);
        }
        let row = |id: &DocId| match id {
            DocId::U64(row) => *row as usize,
            other => panic!("nobody stored {other}"),
        };
        search.run().expect("finds").iter().map(|hit| row(&hit.id)).collect()
    }
}
