//! The true nearest rows, computed in `f64` from the stored `f32` values.

use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;

use vectrove::Metric;

use super::Data;

/// Queries that share one pass through the rows.
const BLOCK: usize = 32;

/// The distance of the tenth nearest row from each query. A row no farther counts as one of the
/// nearest, so ties count.
pub(crate) struct Truth<'a> {
    metric: Metric,
    data: &'a Data,
    limits: Vec<f64>,
}

impl<'a> Truth<'a> {
    /// Hits that are judged.
    pub(crate) const K: usize = 10;

    pub(crate) fn of(metric: Metric, data: &'a Data) -> Self {
        let n_threads = thread::available_parallelism().map_or(1, usize::from);
        let part = data.queries.len().div_ceil(n_threads).max(1);
        let limits = thread::scope(|scope| {
            let parts = data.queries.chunks(part);
            let limits =
                |queries: &'a [Vec<f32>]| queries.chunks(BLOCK).flat_map(move |block| limits(metric, data, block));
            let parts: Vec<_> = parts.map(|part| scope.spawn(move || limits(part).collect::<Vec<f64>>())).collect();
            parts.into_iter().flat_map(|part| part.join().expect("distances")).collect()
        });
        Truth { metric, data, limits }
    }

    /// How many of the rows that were found for a query are among the nearest. A row found twice
    /// counts once.
    pub(crate) fn n_right(&self, query: usize, found: impl IntoIterator<Item = usize>) -> usize {
        let (limit, query) = (self.limits[query], scaled(self.metric, &self.data.queries[query]));
        let distance = |row: usize| distance(self.metric, &query, &scaled(self.metric, &self.data.rows[row]));
        let found: BTreeSet<usize> = found.into_iter().collect();
        found.into_iter().filter(|&row| distance(row) <= limit).count()
    }

    /// Recall at 10: the share of the nearest that `search` finds, given the numbers of these
    /// queries.
    pub(crate) fn recall<I: IntoIterator<Item = usize>>(
        &self,
        queries: Range<usize>,
        mut search: impl FnMut(usize) -> I,
    ) -> f64 {
        let n = queries.len();
        let n_right: usize = queries.map(|query| self.n_right(query, search(query))).sum();
        n_right as f64 / (Self::K * n) as f64
    }
}

/// The distance of the tenth nearest row to each of a few queries, and a little more for rounding.
fn limits(metric: Metric, data: &Data, queries: &[Vec<f32>]) -> Vec<f64> {
    let queries: Vec<Vec<f64>> = queries.iter().map(|query| scaled(metric, query)).collect();
    let mut distances = vec![Vec::with_capacity(data.rows.len()); queries.len()];
    for row in &data.rows {
        let row = scaled(metric, row);
        for (query, distances) in queries.iter().zip(&mut distances) {
            distances.push(distance(metric, query, &row));
        }
    }
    let tenth = |mut distances: Vec<f64>| *distances.select_nth_unstable_by(Truth::K - 1, f64::total_cmp).1;
    let limit = |tenth: f64| tenth + if metric == Metric::Cosine { 1e-7 } else { 1e-6 * tenth.abs() };
    distances.into_iter().map(tenth).map(limit).collect()
}

/// The vector in `f64`, of length 1 where only directions are compared.
fn scaled(metric: Metric, row: &[f32]) -> Vec<f64> {
    let mut row: Vec<f64> = row.iter().map(|&x| f64::from(x)).collect();
    if metric == Metric::Cosine {
        let length = sum(&row, &row, |x, y| x * y).sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    row
}

fn distance(metric: Metric, query: &[f64], row: &[f64]) -> f64 {
    match metric {
        Metric::Euclidean => sum(query, row, |x, y| (x - y) * (x - y)),
        Metric::Cosine => 1.0 - sum(query, row, |x, y| x * y),
        Metric::Dot => -sum(query, row, |x, y| x * y),
        Metric::Manhattan => sum(query, row, |x, y| (x - y).abs()),
        other => panic!("no data set is compared by {other:?}"),
    }
}

/// The sum over all components, in eight sums that the processor adds side by side.
pub(crate) fn sum(a: &[f64], b: &[f64], term: impl Fn(f64, f64) -> f64) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for n in 0..8 {
            sums[n] += term(a[n], b[n]);
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(x, y)| term(*x, *y)).sum::<f64>()
}
