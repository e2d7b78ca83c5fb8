//! The rows, the queries, and the true neighbours.

use std::path::Path;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use vectrove::{Collection, CollectionConfig, Database, Document, Hits, Metric, Strategy};

use crate::common::{self, Row};

/// The name of every collection.
pub(crate) const NAME: &str = "rows";
/// Hits of a search.
pub(crate) const K: usize = 10;
/// Beam of the graph search.
pub(crate) const EF: usize = 64;
/// Queries that recall is measured with, where nothing is timed.
pub(crate) const N_QUERIES: usize = 200;

/// Rows of the data set where only the sample is present.
const FEW: usize = 20_000;
const SYNTHETIC_DIMENSION: usize = 128;
/// Synthetic rows of a cluster.
const CLUSTER: usize = 500;
/// Spread of each direction of a cluster, as a part of the spread of the one before.
const FALL: f32 = 0.9;
/// Difference of two distances whose terms were added in different orders.
const TOLERANCE: f32 = 3e-6;

/// Where rows come from, and how many.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Source {
    /// The data set. At its end it begins again under other ids, each row moved halfway to another
    /// one.
    Packages(usize),
    /// Synthetic clusters, compared by Euclidean distance.
    Clusters(usize),
}

/// Rows, and what to search for.
pub(crate) struct Data {
    pub(crate) rows: Vec<Row>,
    pub(crate) queries: Vec<Vec<f32>>,
}

impl Source {
    /// The whole data set, or the part that `ROWS` asks for.
    pub(crate) fn all() -> Self {
        Source::Packages(crate::size("ROWS", if common::full().is_some() { common::n_rows() } else { FEW }))
    }

    pub(crate) fn name(self) -> String {
        let (n, dimension) = (self.len(), self.dimension());
        match self {
            Source::Packages(_) if common::full().is_some() => format!("package descriptions, {dimension} dimensions"),
            Source::Packages(_) => format!("the sample, repeated and moved, {dimension} dimensions"),
            Source::Clusters(_) => format!("{} clusters, {dimension} dimensions, Euclidean", n.div_ceil(CLUSTER)),
        }
    }

    pub(crate) fn len(self) -> usize {
        let (Source::Packages(n) | Source::Clusters(n)) = self;
        n
    }

    pub(crate) fn dimension(self) -> usize {
        match self {
            Source::Packages(_) => common::queries().first().map_or(0, Vec::len),
            Source::Clusters(_) => SYNTHETIC_DIMENSION,
        }
    }

    pub(crate) fn metric(self) -> Metric {
        match self {
            Source::Packages(_) => Metric::Cosine,
            Source::Clusters(_) => Metric::Euclidean,
        }
    }

    pub(crate) fn config(self) -> CollectionConfig {
        CollectionConfig::new(self.dimension()).metric(self.metric())
    }

    pub(crate) fn load(self) -> Data {
        match self {
            Source::Packages(n) => packages(n),
            Source::Clusters(n) => clusters(n),
        }
    }
}

fn packages(n: usize) -> Data {
    let (mut rows, n_base) = (common::rows(n).1, common::n_rows());
    for at in n_base..rows.len() {
        // The same vector again would make linking too easy.
        let other = rows[(at % n_base + at / n_base) % n_base].vector.clone();
        rows[at].vector.iter_mut().zip(other).for_each(|(x, other)| *x += other);
    }
    Data { rows, queries: common::queries() }
}

fn clusters(n: usize) -> Data {
    let mut random = StdRng::seed_from_u64(7);
    let n_clusters = n.div_ceil(CLUSTER);
    let mut draw = || -> Vec<f32> { (0..SYNTHETIC_DIMENSION).map(|_| random.random_range(-1.0..1.0)).collect() };
    let centres: Vec<Vec<f32>> = (0..n_clusters).map(|_| draw()).collect();
    let mut vectors: Vec<Vec<f32>> = (0..n + N_QUERIES)
        .map(|number| {
            let (mut row, mut spread) = (draw(), 1.0);
            for (x, centre) in row.iter_mut().zip(&centres[number % n_clusters]) {
                (*x, spread) = (centre + *x * spread, spread * FALL);
            }
            row
        })
        .collect();
    let queries = vectors.split_off(n);
    let row = |(number, vector): (usize, Vec<f32>)| Row {
        id: number.to_string(),
        text: String::new(),
        metadata: serde_json::Map::new(),
        vector,
    };
    Data { rows: vectors.into_iter().enumerate().map(row).collect(), queries }
}

pub(crate) fn document(row: &Row) -> Document {
    let metadata = serde_json::Value::Object(row.metadata.clone());
    Document::new(row.vector.as_slice()).id(&row.id).text(&row.text).metadata(metadata)
}

/// Queries, and for each the distance of the last of its true neighbours.
#[derive(Serialize, Deserialize)]
pub(crate) struct Exam {
    pub(crate) queries: Vec<Vec<f32>>,
    farthest: Vec<f32>,
}

impl Exam {
    /// Compares every row with every query.
    pub(crate) fn new(rows: &[Row], queries: &[Vec<f32>], metric: Metric) -> Self {
        let farthest = |query: &Vec<f32>| {
            let mut distances: Vec<f32> = rows.iter().map(|row| distance(query, &row.vector, metric)).collect();
            *distances.select_nth_unstable_by(K.min(rows.len()) - 1, f32::total_cmp).1
        };
        Exam { queries: queries.to_vec(), farthest: queries.par_iter().map(farthest).collect() }
    }

    pub(crate) fn save(&self, path: &Path) {
        std::fs::write(path, serde_json::to_vec(self).expect("JSON")).expect("a file");
    }

    pub(crate) fn read(path: &Path) -> Self {
        serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("an exam")
    }

    /// Recall of graph searches.
    pub(crate) fn recall(&self, collection: &Collection) -> f64 {
        self.sit(collection).0
    }

    /// Searches once for each query. Returns recall, and the time of each search in microseconds.
    pub(crate) fn sit(&self, collection: &Collection) -> (f64, Vec<f64>) {
        let (mut n_found, mut micros) = (0, Vec::with_capacity(self.queries.len()));
        for (query, farthest) in self.queries.iter().zip(&self.farthest) {
            let begin = Instant::now();
            let hits = walk(collection, query);
            micros.push(begin.elapsed().as_secs_f64() * 1e6);
            let bound = farthest + TOLERANCE * farthest.max(1.0);
            n_found += hits.iter().filter(|hit| hit.distance <= bound).count().min(K);
        }
        (n_found as f64 / (self.queries.len() * K) as f64, micros)
    }
}

/// Searches through the graph.
pub(crate) fn walk(collection: &Collection, query: &[f32]) -> Hits {
    let search = collection.search(query).limit(K).ef(EF).strategy(Strategy::Graph).with_document(false);
    search.run().expect("is searched")
}

/// The distance as the library defines it, by the plainest of sums.
fn distance(a: &[f32], b: &[f32], metric: Metric) -> f32 {
    let sum = |term: fn(f32, f32) -> f32| {
        let mut sums = [0.0f32; 16];
        let (a_parts, _) = a.as_chunks::<16>();
        let (b_parts, _) = b.as_chunks::<16>();
        for (a, b) in a_parts.iter().zip(b_parts) {
            sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (&a, &b))| *sum += term(a, b));
        }
        let n_summed = a_parts.len() * 16;
        let rest: f32 = a[n_summed..].iter().zip(&b[n_summed..]).map(|(&a, &b)| term(a, b)).sum();
        sums.iter().sum::<f32>() + rest
    };
    match metric {
        Metric::Cosine => 1.0 - sum(|a, b| a * b) / (sum(|a, _| a * a) * sum(|_, b| b * b)).sqrt(),
        _ => sum(|a, b| (a - b) * (a - b)).sqrt(),
    }
}

/// Waits until all exact vectors are in memory or mapped, where a residency asks for this.
pub(crate) fn wait_until_loaded(db: &Database) {
    loop {
        let stats = db.stats().expect("is open");
        let collection = &stats.collections[0];
        let is_held = collection.vectors_bytes + collection.mapped_bytes > 0;
        if !is_held || collection.n_vectors_loaded >= collection.n_documents {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
