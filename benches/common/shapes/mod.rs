//! Data sets that people store and that codes or graphs find awkward. Each is drawn from its name
//! and a seed.
//!
//! `sets` lists them; `euclidean`, `cosine` and `dot` draw them. `stored` puts a set into a
//! collection, `truth` computes the nearest rows, and `hnswlib` holds the recall of hnswlib.

#![allow(dead_code, unused_imports, reason = "tests and benchmarks each use a part")]

mod clusters;
mod cosine;
mod dice;
mod dot;
mod euclidean;
pub(crate) mod hnswlib;
mod sets;
mod stored;
pub(crate) mod truth;

use vectrove::Metric;

pub(crate) use dice::Dice;
pub(crate) use sets::SHAPES;
pub(crate) use stored::Stored;

/// The seed of every set, unless another is asked for.
pub(crate) const SEED: u64 = 7;

/// A data set, before it is drawn.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) metric: Metric,
    pub(crate) dimension: usize,
    /// Rows, where no other number is asked for.
    pub(crate) n_rows: usize,
    /// The data that it stands for.
    pub(crate) about: &'static str,
    world: fn(&mut Dice) -> World,
}

/// A data set: rows to store, and queries to search them with.
pub(crate) struct Data {
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
}

/// The rows drawn so far, of `n_rows` in all.
#[derive(Clone, Copy)]
struct Place<'a> {
    rows: &'a [Vec<f32>],
    n_rows: usize,
}

type Draw = Box<dyn Fn(&mut Dice, Place) -> Vec<f64>>;

/// Draws the rows and queries of one set, which share centres, directions and weights.
struct World {
    row: Draw,
    /// `None`: queries are drawn as rows are.
    query: Option<Draw>,
}

impl World {
    /// Queries are like rows.
    fn alike(draw: impl Fn(&mut Dice) -> Vec<f64> + 'static) -> Self {
        World { row: Box::new(move |dice, _| draw(dice)), query: None }
    }

    /// Queries are of another kind.
    fn apart(row: impl Fn(&mut Dice) -> Vec<f64> + 'static, query: impl Fn(&mut Dice) -> Vec<f64> + 'static) -> Self {
        World { row: Box::new(move |dice, _| row(dice)), query: Some(Box::new(move |dice, _| query(dice))) }
    }

    /// Each row depends on those before it, and queries on all.
    fn in_order(
        row: impl Fn(&mut Dice, Place) -> Vec<f64> + 'static,
        query: impl Fn(&mut Dice, Place) -> Vec<f64> + 'static,
    ) -> Self {
        World { row: Box::new(row), query: Some(Box::new(query)) }
    }
}

impl Shape {
    pub(crate) fn named(name: &str) -> Option<&'static Shape> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// Draws the set. Its first queries do not depend on `n_queries`.
    pub(crate) fn draw(&self, n_rows: usize, n_queries: usize, seed: u64) -> Data {
        let [mut common, mut dice, mut query_dice] = [0, 1, 2].map(|part| Dice::new(3 * seed + part));
        let world = (self.world)(&mut common);
        let mut rows = Vec::with_capacity(n_rows);
        while rows.len() < n_rows {
            rows.push(rounded((world.row)(&mut dice, Place { rows: &rows, n_rows })));
        }
        let (draw, place) = (world.query.as_ref().unwrap_or(&world.row), Place { rows: &rows, n_rows });
        let queries = (0..n_queries).map(|_| rounded(draw(&mut query_dice, place))).collect();
        Data { rows, queries }
    }
}

fn rounded(row: Vec<f64>) -> Vec<f32> {
    row.into_iter().map(|x| x as f32).collect()
}
