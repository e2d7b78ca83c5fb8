//! Clusters, and spread along few directions: the parts of many data sets.

use super::dice::{Dice, Shares};

/// Vectors that lie along few random directions, with a little noise in all.
pub(crate) struct LowRank {
    directions: Vec<Vec<f64>>,
    dimension: usize,
}

impl LowRank {
    pub(crate) fn new(dice: &mut Dice, dimension: usize, rank: usize) -> Self {
        LowRank { directions: (0..rank).map(|_| dice.normals(dimension)).collect(), dimension }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> Vec<f64> {
        const NOISE: f64 = 0.3;
        let root = (self.directions.len() as f64).sqrt();
        let mut row: Vec<f64> = (0..self.dimension).map(|_| NOISE * dice.normal()).collect();
        for direction in &self.directions {
            let length = dice.normal() / root;
            row.iter_mut().zip(direction).for_each(|(x, component)| *x += length * component);
        }
        row
    }
}

/// Clusters of unequal size, all spread in the same few directions.
pub(crate) struct Clusters {
    centres: Vec<Vec<f64>>,
    shares: Shares,
    spread: f64,
    within: LowRank,
}

impl Clusters {
    pub(crate) fn new(dice: &mut Dice, dimension: usize, n: usize, spread: f64, rank: usize) -> Self {
        let centres = (0..n).map(|_| dice.normals(dimension)).collect();
        Clusters { centres, shares: dice.shares(n, 0.5), spread, within: LowRank::new(dice, dimension, rank) }
    }

    /// 200 clusters that are well apart.
    pub(crate) fn plain(dice: &mut Dice, dimension: usize) -> Self {
        Clusters::new(dice, dimension, 200, 0.5, 24)
    }

    /// The same clusters, spread in other directions.
    pub(crate) fn turned(&self, dice: &mut Dice) -> Self {
        let (dimension, rank) = (self.within.dimension, self.within.directions.len());
        let within = LowRank::new(dice, dimension, rank);
        Clusters { centres: self.centres.clone(), shares: self.shares.clone(), spread: self.spread, within }
    }

    pub(crate) fn draw(&self, dice: &mut Dice) -> Vec<f64> {
        let centre = &self.centres[dice.pick(&self.shares)];
        let spread = self.within.draw(dice);
        centre.iter().zip(spread).map(|(centre, spread)| centre + self.spread * spread).collect()
    }
}

/// The vector of this direction and length 1.
pub(crate) fn unit(row: Vec<f64>) -> Vec<f64> {
    let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
    scaled(row, 1.0 / length)
}

pub(crate) fn scaled(mut row: Vec<f64>, by: f64) -> Vec<f64> {
    row.iter_mut().for_each(|x| *x *= by);
    row
}

/// `a` times one row and `b` times another.
pub(crate) fn mixed(a: f64, one: &[f64], b: f64, other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(x, y)| a * x + b * y).collect()
}
