//! Random numbers of the distributions that the data sets need.

use std::f64::consts::TAU;

use rand::distr::{Distribution, weighted::WeightedIndex};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng, seq::index};

/// A seeded source of random numbers.
pub(crate) struct Dice(StdRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(StdRng::seed_from_u64(seed))
    }

    /// Uniform from `low` up to `high`.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.0.random::<f64>()
    }

    /// A whole number from 0 up to `n - 1`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.0.random_bool(probability)
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        // Above 0: the logarithm of 0 is infinite.
        let radius = 1.0 - self.0.random::<f64>();
        (-2.0 * radius.ln()).sqrt() * (TAU * self.0.random::<f64>()).cos()
    }

    /// `n` independent standard normals.
    pub(crate) fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// `exp` of a normal of this mean and deviation.
    pub(crate) fn lognormal(&mut self, mean: f64, deviation: f64) -> f64 {
        (mean + deviation * self.normal()).exp()
    }

    /// Student's t: a normal over the root mean square of `freedom` normals.
    pub(crate) fn student_t(&mut self, freedom: u32) -> f64 {
        let squares: f64 = (0..freedom).map(|_| self.normal().powi(2)).sum();
        self.normal() / (squares / f64::from(freedom)).sqrt()
    }

    /// Pareto of the second kind (Lomax), from 0.
    pub(crate) fn pareto(&mut self, shape: f64) -> f64 {
        (1.0 - self.0.random::<f64>()).powf(-1.0 / shape) - 1.0
    }

    /// Poisson, for a small mean: uniforms are multiplied until they are below `exp(-mean)`
    /// (Knuth).
    pub(crate) fn poisson(&mut self, mean: f64) -> u32 {
        let (least, mut product, mut n) = ((-mean).exp(), self.0.random::<f64>(), 0);
        while product > least {
            product *= self.0.random::<f64>();
            n += 1;
        }
        n
    }

    /// Gamma of scale 1 (Marsaglia and Tsang 2000). A shape below 1 is drawn through the shape one
    /// greater.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let root = (1.0 - self.0.random::<f64>()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * root;
        }
        let d = shape - 1.0 / 3.0;
        loop {
            let x = self.normal();
            let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && (1.0 - self.0.random::<f64>()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// `n` shares of a Dirichlet distribution whose parameters are all equal.
    pub(crate) fn shares(&mut self, n: usize, parameter: f64) -> Shares {
        Shares::new((0..n).map(|_| self.gamma(parameter)).collect())
    }

    /// A place, in proportion to the shares.
    pub(crate) fn pick(&mut self, shares: &Shares) -> usize {
        shares.0.sample(&mut self.0)
    }

    /// `n` places in proportion to the weights, none twice.
    pub(crate) fn pick_apart(&mut self, weights: &[f64], n: usize) -> Vec<usize> {
        let picked = index::sample_weighted(&mut self.0, weights.len(), |place| weights[place], n);
        picked.expect("as many weights above 0").into_vec()
    }
}

/// Unequal shares of the places `0..n`.
#[derive(Clone)]
pub(crate) struct Shares(WeightedIndex<f64>);

impl Shares {
    /// Shares in proportion to these weights.
    pub(crate) fn new(weights: Vec<f64>) -> Self {
        Shares(WeightedIndex::new(weights).expect("weights, some of them above 0"))
    }
}
