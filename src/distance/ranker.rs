//! Comparing vectors by whatever a collection compares them with.

use std::sync::Arc;

use super::{Distance, Kernel, Metric};

/// Cosine distances below this are measured by the chord; and below so much more for each component, by which kernels
/// may be wrong at most.
const ROUGH: f32 = 1e-5;
const ROUNDING: f32 = 4e-9;

/// A collection's comparison: a metric, or a distance of the user's.
#[derive(Clone)]
pub(crate) enum Ranker {
    Metric(Metric, Kernel),
    Custom(Arc<dyn Distance>),
}

impl Ranker {
    pub(crate) fn of_metric(metric: Metric) -> Self {
        Ranker::Metric(metric, metric.kernel())
    }

    /// Compares two vectors; smaller is nearer. Never NaN.
    #[inline]
    pub(crate) fn rank(&self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Ranker::Metric(_, kernel) => kernel(a, b),
            Ranker::Custom(distance) => {
                let rank = distance.distance(a, b);
                if rank.is_nan() { f32::INFINITY } else { rank }
            }
        }
    }

    /// Measures how far two vectors are from each other: exactly 0 for a vector and itself, if the metric is cosine,
    /// Euclidean or Manhattan. Of unit vectors that lie close the square of the chord is twice the cosine distance, and
    /// is not rounded away as the difference of their product from 1 is.
    #[inline]
    pub(crate) fn measure(&self, a: &[f32], b: &[f32]) -> f32 {
        let measure = self.measure_of(self.rank(a, b));
        match self.is_rough(measure, a.len()) {
            true => Metric::Euclidean.kernel()(a, b) / 2.0,
            false => measure,
        }
    }

    /// The measure that a rank stands for; see [`is_rough`](Ranker::is_rough).
    #[inline]
    pub(crate) fn measure_of(&self, rank: f32) -> f32 {
        match self {
            Ranker::Metric(metric, _) => metric.measure(rank),
            Ranker::Custom(_) => rank,
        }
    }

    /// Whether a measure that was made of a rank, of vectors with so many components, is so small that rounding shows:
    /// it is to be measured again by the vectors.
    #[inline]
    pub(crate) fn is_rough(&self, measure: f32, dimension: usize) -> bool {
        matches!(self, Ranker::Metric(Metric::Cosine, _)) && measure < ROUGH + dimension as f32 * ROUNDING
    }

    /// The largest difference that rounding makes between two measures computed from ranks of `dimension` components.
    #[inline]
    pub(crate) fn rounding(&self, dimension: usize) -> f32 {
        match self {
            Ranker::Metric(Metric::Cosine, _) => 2.0 * f32::EPSILON + dimension as f32 * ROUNDING,
            Ranker::Metric(..) | Ranker::Custom(_) => 0.0,
        }
    }

    /// No measure beyond this one stands for the same distance.
    #[inline]
    pub(crate) fn reach(&self, measure: f32) -> f32 {
        match self {
            // At most four squares next to each other have the same root.
            Ranker::Metric(Metric::Euclidean, _) => measure * (1.0 + 4.0 * f32::EPSILON),
            Ranker::Metric(..) | Ranker::Custom(_) => measure,
        }
    }

    /// The distance a measure stands for.
    pub(crate) fn distance(&self, measure: f32) -> f32 {
        match self {
            Ranker::Metric(metric, _) => metric.distance(measure),
            Ranker::Custom(_) => measure,
        }
    }

    /// The score a measure stands for.
    pub(crate) fn score(&self, measure: f32) -> f32 {
        match self {
            Ranker::Metric(metric, _) => metric.score(measure),
            Ranker::Custom(distance) => distance.score(measure),
        }
    }
}
