//! The default search reaches hnswlib's recall on each kind of data, and the exact search finds the
//! nearest.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../benches/common/shapes/mod.rs"]
mod shapes;

use std::time::Instant;

use common::{database, seed};
use shapes::truth::{Truth, sum};
use shapes::{Data, Dice, SEED, SHAPES, Shape, Stored, hnswlib};
use vectrove::{Metric, Strategy, limits};

/// Queries of the stored table. The recall of their first 200 may differ by up to .012.
const N_QUERIES: usize = 1_000;
/// Queries of each set that is moved.
const N_MOVED: usize = 400;
/// Difference of `N_MOVED` queries from the table's thousand, by chance.
const CHANCE: f64 = 0.005;
/// Queries of exact searches, which are slow.
const N_EXACT: usize = 500;
/// Sets that are searched while they are small.
const FEW: &str = "uni1 geo2d uni3 uni4 uni8 uni16 tabular24 mips_bias offset100 cone0.99 binary256 neardup d4096";
/// Least recall of an exact search.
const EXACT_BAR: f64 = 0.999;

/// Recall of the default search, of a graph search, and of an exact one.
struct Recalls {
    default: f64,
    walk: f64,
    exact: f64,
}

impl Recalls {
    fn of(truth: &Truth, metric: Metric, data: &Data) -> Self {
        let (_folder, db) = database();
        let stored = Stored::new(&db, metric, data);
        let recall = |n_queries, strategy| truth.recall(0..n_queries, |query| stored.find(query, strategy));
        let n = data.queries.len();
        Recalls {
            default: recall(n, None),
            walk: recall(n, Some(Strategy::Graph)),
            exact: recall(n.min(N_EXACT), Some(Strategy::Exact)),
        }
    }
}

/// The sets whose recall is too low, one a line.
struct Complaints {
    lines: Vec<String>,
    n_sets: usize,
    began: Instant,
}

impl Complaints {
    fn new() -> Self {
        Complaints { lines: Vec::new(), n_sets: 0, began: Instant::now() }
    }

    /// Prints the recalls of a set, and keeps the line if one is too low.
    fn check(&mut self, set: &str, recalls: &Recalls, least: f64, least_exact: f64) {
        let Recalls { default, walk, exact } = *recalls;
        let wanted = format!("at least {least:.4}; exact {exact:.4}, at least {least_exact:.4}");
        let line = format!("{set:24} default {default:.4}, walk {walk:.4}, {wanted}");
        println!("{line}");
        self.n_sets += 1;
        if default.min(walk) < least || exact < least_exact {
            self.lines.push(line);
        }
    }

    #[track_caller]
    fn settle(self) {
        let (n_low, seconds) = (self.lines.len(), self.began.elapsed().as_secs_f64());
        println!("{n_low} of {} sets have too low a recall, {seconds:.1} s", self.n_sets);
        assert!(self.lines.is_empty(), "too low:\n{}", self.lines.join("\n"));
    }
}

fn check_set(complaints: &mut Complaints, shape: &Shape, n_rows: usize) {
    let data = shape.draw(n_rows, N_QUERIES, SEED);
    let recalls = Recalls::of(&Truth::of(shape.metric, &data), shape.metric, &data);
    let least = hnswlib::bar(shape.name, n_rows).unwrap();
    complaints.check(&format!("{} ({n_rows} rows)", shape.name), &recalls, least, EXACT_BAR);
}

#[test]
fn every_set_is_found_as_by_hnswlib() {
    let mut complaints = Complaints::new();
    for shape in &SHAPES {
        check_set(&mut complaints, shape, if shape.dimension > 2_000 { 1_000 } else { 5_000 });
    }
    complaints.settle();
}

#[test]
fn few_rows_are_found_as_by_hnswlib() {
    let mut complaints = Complaints::new();
    for name in FEW.split(' ') {
        for n_rows in [100, 500, 2_000] {
            check_set(&mut complaints, Shape::named(name).unwrap(), n_rows);
        }
    }
    complaints.settle();
}

#[test]
fn moved_turned_and_scaled_rows_are_found_again() {
    check_moved(Metric::Euclidean, |dice, data| {
        let (scale, shift) = (10f64.powf(dice.uniform(-6.0, 6.0)), 10f64.powf(dice.uniform(0.0, 4.0)));
        moved(dice, data, scale, shift)
    });
}

#[test]
fn turned_rows_are_found_again() {
    check_moved(Metric::Cosine, |dice, data| moved(dice, data, 1.0, 0.0));
}

/// Shortest and longest vectors, under each metric.
#[test]
fn rows_at_both_ends_of_the_range_are_found() {
    let (mut complaints, mut dice) = (Complaints::new(), Dice::new(seed()));
    for (metric, least) in [
        (Metric::Cosine, limits::MIN_NORM),
        (Metric::Dot, limits::MIN_LENGTH),
        (Metric::Euclidean, limits::MIN_LENGTH),
        (Metric::Manhattan, 1e-30),
    ] {
        for dimension in [3, 24, 100] {
            // Lengths lie between the scale and twice that, about.
            let mut row = |scale: f64| -> Vec<f32> {
                let direction = dice.normals(dimension);
                let length = sum(&direction, &direction, |x, y| x * y).sqrt();
                let factor = scale * dice.uniform(1.0, 2.0) / length;
                direction.iter().map(|x| (x * factor) as f32).collect()
            };
            for scale in [1.01 * least, 0.49 * limits::MAX_NORM] {
                let mut some = |n: usize| -> Vec<Vec<f32>> { (0..n).map(|_| row(scale)).collect() };
                let data = Data { rows: some(1_500), queries: some(100) };
                let recalls = Recalls::of(&Truth::of(metric, &data), metric, &data);
                // Random directions are hard to find in many dimensions, at each length.
                complaints.check(&format!("{metric} {dimension} {scale:.1e}"), &recalls, 0.95, EXACT_BAR);
            }
        }
    }
    complaints.settle();
}

/// Moving a set changes only the rounding of its values. So recall must reach that of a plain scan
/// of the moved values, or that of hnswlib on the unmoved set where this is lower. Of walks with
/// few queries it may be a little less by chance.
#[track_caller]
fn check_moved(metric: Metric, move_all: fn(&mut Dice, &Data) -> Data) {
    const N_ROWS: usize = 2_000;
    let (mut complaints, mut dice) = (Complaints::new(), Dice::new(seed()));
    for shape in SHAPES.iter().filter(|shape| shape.metric == metric && shape.dimension <= 2_000) {
        let data = move_all(&mut dice, &shape.draw(N_ROWS, N_MOVED, SEED));
        let truth = Truth::of(metric, &data);
        let lengths: Vec<f32> = data.rows.iter().map(|row| dot(row, row).sqrt()).collect();
        let plain = truth.recall(0..N_MOVED, |query| plain_scan(metric, &data, &lengths, query));
        let least = (plain - hnswlib::TOLERANCE).min(hnswlib::bar(shape.name, N_ROWS).unwrap() - CHANCE);
        let recalls = Recalls::of(&truth, metric, &data);
        complaints.check(&format!("{} moved", shape.name), &recalls, least, plain.min(EXACT_BAR));
    }
    complaints.settle();
}

/// The nearest rows by `f32` alone, in the plainest way; `lengths` are those of the rows.
fn plain_scan(metric: Metric, data: &Data, lengths: &[f32], query: usize) -> Vec<usize> {
    let query = &data.queries[query];
    let distance = |(row, length): (&Vec<f32>, &f32)| match metric {
        Metric::Cosine => -dot(query, row) / length,
        _ => query.iter().zip(row).map(|(x, y)| (x - y) * (x - y)).sum::<f32>(),
    };
    let distances: Vec<f32> = data.rows.iter().zip(lengths).map(distance).collect();
    let mut nearest: Vec<usize> = (0..distances.len()).collect();
    nearest.sort_by(|&a, &b| distances[a].total_cmp(&distances[b]));
    nearest.truncate(Truth::K);
    nearest
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// All vectors turned at random, scaled, and moved by `shift` times the spread of the rows.
fn moved(dice: &mut Dice, data: &Data, scale: f64, shift: f64) -> Data {
    let shift = shift * spread(&data.rows);
    let length = |row: &Vec<f32>| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let longest = shift + data.rows.iter().chain(&data.queries).map(length).fold(0.0, f64::max);
    // No vector may be longer than the database admits.
    let scale = scale.min(0.9 * limits::MAX_NORM / longest);
    let axes = directions(dice, data.rows[0].len());
    let by: Vec<f64> = axes[dice.below(axes.len())].iter().map(|x| shift * x).collect();
    let one = |row: &Vec<f32>| -> Vec<f32> {
        let mut sum = by.clone();
        for (axis, &length) in axes.iter().zip(row) {
            sum.iter_mut().zip(axis).for_each(|(sum, x)| *sum += f64::from(length) * x);
        }
        sum.into_iter().map(|x| (scale * x) as f32).collect()
    };
    Data { rows: data.rows.iter().map(one).collect(), queries: data.queries.iter().map(one).collect() }
}

/// The root of the mean squared distance from the mean.
fn spread(rows: &[Vec<f32>]) -> f64 {
    let n = rows.len() as f64;
    let variance = |at: usize| {
        let column = rows.iter().map(|row| f64::from(row[at]));
        let mean = column.clone().sum::<f64>() / n;
        column.map(|x| (x - mean).powi(2)).sum::<f64>() / n
    };
    (0..rows[0].len()).map(variance).sum::<f64>().sqrt()
}

/// A random orthonormal basis (Gram and Schmidt).
fn directions(dice: &mut Dice, dimension: usize) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = Vec::with_capacity(dimension);
    let dot = |a: &[f64], b: &[f64]| sum(a, b, |x, y| x * y);
    while all.len() < dimension {
        let mut next = dice.normals(dimension);
        for other in &all {
            let along = dot(&next, other);
            next.iter_mut().zip(other).for_each(|(x, y)| *x -= along * y);
        }
        let length = dot(&next, &next).sqrt();
        next.iter_mut().for_each(|x| *x /= length);
        all.push(next);
    }
    all
}
