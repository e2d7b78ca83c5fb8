//! A fixed random rotation, which spreads every vector's length evenly over its components.
//!
//! After it the components of a vector of length one are nearly normally distributed with variance
//! `1 / dimension`, whatever the data. So one scale suits all, and nothing has to be trained. The
//! rotation is a randomised Hadamard transform (Ailon and Chazelle, "The fast Johnson–Lindenstrauss
//! transform", 2009): sign flips and Walsh–Hadamard transforms. Each transform spans a power of two
//! of components, at the beginning, the end or the middle of the vector; all are done twice.
//! Distances and inner products do not change.

use super::centres::Centres;
use crate::distance::Kernels;

/// Rounds of sign flips and transforms.
const N_ROUNDS: usize = 2;

pub(crate) struct Rotation {
    dimension: usize,
    /// Components of one transform: the largest power of two up to the dimension.
    span: usize,
    /// The first component of each transform, in the order of the transforms.
    places: Vec<usize>,
    /// For each transform in turn, one factor per component: a sign times the transform's scale.
    factors: Vec<f32>,
}

impl Rotation {
    /// The rotation of a dimension. It is always the same one.
    pub(crate) fn new(dimension: usize) -> Self {
        let span = 1 << dimension.ilog2();
        let rest = dimension - span;
        let places = match rest {
            0 => vec![0],
            // Both ends; if they overlap little, the middle too, so that the halves mix.
            _ if 2 * rest > span => vec![0, rest, rest / 2],
            _ => vec![0, rest],
        };
        let places = places.repeat(N_ROUNDS);
        let scale = 1.0 / (span as f32).sqrt();
        let factors = (0..places.len() * span).map(|index| if sign(index as u64) { scale } else { -scale }).collect();
        Rotation { dimension, span, places, factors }
    }

    /// Rotates a vector in place.
    pub(crate) fn apply(&self, vector: &mut [f32], kernels: &Kernels) {
        debug_assert_eq!(vector.len(), self.dimension);
        for (factors, &from) in self.factors.chunks_exact(self.span).zip(&self.places) {
            let part = &mut vector[from..from + self.span];
            part.iter_mut().zip(factors).for_each(|(component, factor)| *component *= factor);
            (kernels.hadamard)(part);
        }
    }

    /// All centres, rotated.
    pub(super) fn turn(&self, centres: &Centres, kernels: &Kernels) -> Centres {
        centres.map(|centre| {
            let mut turned = centre.to_vec();
            if !turned.is_empty() {
                self.apply(&mut turned, kernels);
            }
            turned
        })
    }

    /// Reverses the rotation of a vector.
    pub(crate) fn undo(&self, vector: &mut [f32], kernels: &Kernels) {
        for (factors, &from) in self.factors.chunks_exact(self.span).zip(&self.places).rev() {
            let part = &mut vector[from..from + self.span];
            (kernels.hadamard)(part);
            part.iter_mut().zip(factors).for_each(|(component, factor)| *component *= factor);
        }
    }
}

/// A fixed sequence of signs (SplitMix64).
fn sign(index: u64) -> bool {
    let mut state = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state ^ (state >> 31)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_products_stay() {
        for dimension in (1..70).chain([384, 1000]) {
            let rotation = Rotation::new(dimension);
            let vector =
                |seed: u64| (0..dimension as u64).map(|i| if sign(seed + 31 * i) { 1.0 } else { -0.5 }).collect();
            let (mut a, mut b): (Vec<f32>, Vec<f32>) = (vector(1), vector(2));
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
            let before = [dot(&a, &a), dot(&a, &b)];
            rotation.apply(&mut a, Kernels::detected());
            rotation.apply(&mut b, Kernels::detected());
            for (before, after) in before.into_iter().zip([dot(&a, &a), dot(&a, &b)]) {
                assert!((before - after).abs() < 1e-3 * dimension as f32, "{dimension}: {before} {after}");
            }
            rotation.undo(&mut a, Kernels::detected());
            let original: Vec<f32> = vector(1);
            assert!(a.iter().zip(&original).all(|(a, b)| (a - b).abs() < 1e-4), "{dimension}");
        }
    }

    #[test]
    fn a_single_component_is_spread_over_all() {
        for dimension in [100, 128, 384] {
            let mut vector = vec![0.0; dimension];
            vector[3] = 1.0;
            Rotation::new(dimension).apply(&mut vector, Kernels::detected());
            let largest = vector.iter().fold(0.0f32, |largest, component| largest.max(component.abs()));
            assert!(largest < 4.0 / (dimension as f32).sqrt(), "{dimension}: {largest}");
        }
    }
}
