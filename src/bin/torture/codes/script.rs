//! The operations of one database, in order: a pure function of the seed. Each cluster is larger
//! and lies farther away than those before, so codes stop fitting with each.

use std::collections::BTreeMap;

use vectrove::{Collection, CollectionConfig, Document, Metric, Result};

use crate::rng::Rng;

/// Documents of one operation.
const BATCH: u64 = 25;
/// Every `DELETES`-th operation deletes documents instead.
const DELETES: u64 = 8;
/// Documents that one such operation deletes.
const N_DELETED: u64 = 10;
/// Operations between the insert of documents and their delete.
const BEFORE: u64 = 5;
/// Each cluster's place in all components, and the number of operations that fill it.
const CLUSTERS: [(f64, u64); 3] = [(1_000.0, 16), (-20_000.0, 36), (1_000_000.0, 80)];

/// The script of one database.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) seed: u64,
}

/// The existing documents, by number.
pub(super) type Truth = BTreeMap<u64, Vec<f32>>;

impl Script {
    pub(super) fn config(self) -> CollectionConfig {
        let dimension = Rng::of(&[self.seed, 1]).pick(&[24, 32, 48, 64]);
        CollectionConfig::new(dimension).metric(Metric::Euclidean)
    }

    pub(super) const fn n_operations() -> u64 {
        CLUSTERS[0].1 + CLUSTERS[1].1 + CLUSTERS[2].1
    }

    /// Clusters that have documents after the first `n_operations`.
    pub(super) fn clusters(n_operations: u64) -> impl Iterator<Item = f64> {
        let mut end = 0;
        let has_begun = move |(_, n): &(f64, u64)| {
            end += n;
            n_operations > end - n + 2
        };
        CLUSTERS.into_iter().filter(has_begun).map(|(away, _)| away)
    }

    fn away(operation: u64) -> f64 {
        let mut end = 0;
        let holds = |(_, n): &&(f64, u64)| {
            end += n;
            operation < end
        };
        CLUSTERS.iter().find(holds).map_or(CLUSTERS[2].0, |(away, _)| *away)
    }

    /// A vector of a cluster, with a spread of about 1.
    pub(super) fn vector(self, number: u64, away: f64) -> Vec<f32> {
        let mut rng = Rng::of(&[self.seed, 2, number]);
        (0..self.config().dimension).map(|_| (away + 2.0 * f64::from(rng.component())) as f32).collect()
    }

    fn deleted(operation: u64) -> Option<std::ops::Range<u64>> {
        let is_deleting = operation % DELETES == DELETES - 1;
        is_deleting.then(|| (operation - BEFORE) * BATCH..(operation - BEFORE) * BATCH + N_DELETED)
    }

    fn put(self, operation: u64) -> impl Iterator<Item = (u64, Vec<f32>)> {
        let away = Self::away(operation);
        (operation * BATCH..(operation + 1) * BATCH).map(move |number| (number, self.vector(number, away)))
    }

    /// Performs an operation; a second time, this changes nothing.
    pub(super) fn perform(self, operation: u64, collection: &Collection) -> Result<()> {
        match Self::deleted(operation) {
            Some(numbers) => collection.delete_many(numbers).map(drop),
            None => {
                let document = |(number, vector): (u64, Vec<f32>)| Document::new(vector).id(number);
                collection.upsert_many(self.put(operation).map(document)).map(drop)
            }
        }
    }

    /// The documents after the first `n_operations` operations.
    pub(super) fn truth(self, n_operations: u64) -> Truth {
        let mut truth = Truth::new();
        for operation in 0..n_operations {
            match Self::deleted(operation) {
                Some(numbers) => numbers.for_each(|number| drop(truth.remove(&number))),
                None => truth.extend(self.put(operation)),
            }
        }
        truth
    }
}
