//! The true nearest rows of each query, read or computed, and the recall of a search.
//!
//! An `.ibin` file holds the numbers of queries and columns as u32, then for each query its row of
//! ids as u32, nearest first. All numbers are little-endian.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use vectrove::{Collection, DocId, Error, Hits};

use super::data::Rows;
use super::{go_on, progress};
use crate::failure::Failure;
use crate::output::grouped;

/// Queries whose neighbours are computed at once.
const AT_ONCE: usize = 64;

/// The nearest `k` rows of each query, nearest first.
pub(super) struct Truth {
    k: usize,
    ids: Vec<u64>,
}

/// Neighbours found, of those there were to find.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recall {
    n_right: usize,
    n_wanted: usize,
}

impl Truth {
    /// Reads the nearest rows of all queries. Fails if the file does not fit `n_queries` queries
    /// among `n_rows` rows.
    pub(super) fn read(path: &Path, k: usize, n_queries: usize, n_rows: usize) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::file("reading", path, &error);
        let file = File::open(path).map_err(failed)?;
        let n_bytes = file.metadata().map_err(failed)?.len();
        let mut source = BufReader::new(file);
        let [n_lines, n_columns] = [read_word(&mut source).map_err(failed)?, read_word(&mut source).map_err(failed)?];
        check_head(n_lines, n_columns, n_bytes).map_err(|reason| failed(io::Error::other(reason)))?;
        let refused = |reason: String| Failure::failed(format!("{}: {reason}", path.display()));
        if u64::from(n_lines) != n_queries as u64 {
            return Err(refused(format!("expected a row for each of {n_queries} queries, got {n_lines}")));
        }
        if u64::from(n_columns) < k as u64 {
            return Err(refused(format!("expected at least {k} columns, as many as --k, got {n_columns}")));
        }
        let mut ids = Vec::with_capacity(n_queries * k);
        for _ in 0..n_lines {
            for column in 0..n_columns as usize {
                let id = read_word(&mut source).map_err(failed)?;
                ids.extend((column < k).then_some(u64::from(id)));
            }
        }
        match ids.iter().find(|&&id| id >= n_rows as u64) {
            Some(id) => Err(refused(format!("it names row {id}, but only {} rows are loaded", grouped(n_rows as u64)))
                .hint("without --truth the nearest of the rows that are loaded are computed")),
            None => Ok(Truth { k, ids }),
        }
    }

    /// Compares every query with every row.
    pub(super) fn compute(collection: &Collection, queries: &Rows, k: usize) -> Result<Self, Failure> {
        let bar = progress(queries.len(), "queries answered exactly");
        let mut ids = Vec::with_capacity(queries.len() * k);
        for first in (0..queries.len()).step_by(AT_ONCE) {
            go_on()?;
            let chunk = first..queries.len().min(first + AT_ONCE);
            bar.inc(chunk.len() as u64);
            let search = collection.search_many(chunk.map(|query| queries.row(query)));
            let answers = search.limit(k).exact(true).with_document(false).run();
            for hits in answers.map_err(|error| in_query(first, error))? {
                ids.extend(ids_of(&hits));
            }
        }
        bar.finish_and_clear();
        Ok(Truth { k, ids })
    }

    /// Number of known neighbours of each query.
    pub(super) fn k(&self) -> usize {
        self.k
    }

    /// How many of a query's nearest `n` are among `found`.
    pub(super) fn recall(&self, query: usize, n: usize, found: &[u64]) -> Recall {
        let expected = &self.ids[query * self.k..][..n.min(self.k)];
        Recall { n_right: expected.iter().filter(|id| found.contains(id)).count(), n_wanted: expected.len() }
    }
}

impl Recall {
    pub(super) fn add(&mut self, other: Recall) {
        self.n_right += other.n_right;
        self.n_wanted += other.n_wanted;
    }

    /// The share found, from 0 to 1.
    pub(super) fn rate(self) -> f64 {
        self.n_right as f64 / self.n_wanted.max(1) as f64
    }
}

/// The ids of hits. Every document of the benchmark has a number for an id.
pub(super) fn ids_of(hits: &Hits) -> impl Iterator<Item = u64> {
    hits.iter().filter_map(|hit| match hit.id {
        DocId::U64(id) => Some(id),
        _ => None,
    })
}

/// The failure of one of several queries, the first of which is number `first`.
fn in_query(first: usize, error: Error) -> Failure {
    match error {
        Error::InQuery { index, source } => Failure::from(*source).about(&format!("query {}", first + index + 1)),
        error => error.into(),
    }
}

fn read_word(source: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn check_head(n_lines: u32, n_columns: u32, n_bytes: u64) -> Result<(), String> {
    let expected = u128::from(n_lines) * u128::from(n_columns) * 4 + 8;
    if expected == u128::from(n_bytes) {
        return Ok(());
    }
    Err(format!("its head says {n_lines} rows of {n_columns} ids, {expected} bytes in all, but it has {n_bytes} bytes"))
}
