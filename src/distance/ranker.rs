//! Comparing vectors as a collection does.

use std::sync::Arc;

use super::{Distance, Kernel, Metric};

/// Cosine distances below this, plus [`ROUNDING`] per component, are computed from the chord
/// instead of the product.
const ROUGH: f32 = 1e-5;
/// The largest rounding error of a kernel's inner product, per component.
const ROUNDING: f32 = 4e-9;

/// A collection's comparison: a metric, or a user's distance.
#[derive(Clone)]
pub(crate) enum Comparison {
    Metric(Metric, Kernel),
    Custom(Arc<dyn Distance>),
}

impl Comparison {
    pub(crate) fn of_metric(metric: Metric) -> Self {
        Comparison::Metric(metric, metric.kernel())
    }

    /// Compares two vectors; smaller is nearer. Never NaN.
    #[inline]
    pub(crate) fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Comparison::Metric(_, kernel) => kernel(a, b),
            Comparison::Custom(distance) => {
                let distance = distance.distance(a, b);
                if distance.is_nan() { f32::INFINITY } else { distance }
            }
        }
    }

    /// Measures how far apart two vectors are. By cosine, Euclidean and Manhattan a vector is
    /// exactly 0 from itself. For unit vectors close to each other, half of the squared chord is
    /// the cosine distance. Unlike 1 minus the product, the chord is not lost in rounding.
    #[inline]
    pub(crate) fn measure(&self, a: &[f32], b: &[f32]) -> f32 {
        let measure = self.measure_of(self.compare(a, b));
        match self.is_rough(measure, a.len()) {
            true => Metric::Euclidean.kernel()(a, b) / 2.0,
            false => measure,
        }
    }

    /// The measure of a distance. If it is too rough ([`is_rough`](Comparison::is_rough)), the
    /// vectors must be compared again.
    #[inline]
    pub(crate) fn measure_of(&self, distance: f32) -> f32 {
        match self {
            Comparison::Metric(metric, _) => metric.measure(distance),
            Comparison::Custom(_) => distance,
        }
    }

    /// Whether a measure from a distance of vectors of `dimension` components is so small that
    /// rounding shows. It must then be measured from the vectors.
    #[inline]
    pub(crate) fn is_rough(&self, measure: f32, dimension: usize) -> bool {
        matches!(self, Comparison::Metric(Metric::Cosine, _)) && measure < ROUGH + dimension as f32 * ROUNDING
    }

    /// The largest rounding difference of two measures from distances of `dimension` components.
    #[inline]
    pub(crate) fn rounding(&self, dimension: usize) -> f32 {
        match self {
            Comparison::Metric(Metric::Cosine, _) => 2.0 * f32::EPSILON + dimension as f32 * ROUNDING,
            Comparison::Metric(..) | Comparison::Custom(_) => 0.0,
        }
    }

    /// The largest measure that may have the same distance as this one.
    #[inline]
    pub(crate) fn reach(&self, measure: f32) -> f32 {
        match self {
            // At most four adjacent squares have the same root.
            Comparison::Metric(Metric::Euclidean, _) => measure * (1.0 + 4.0 * f32::EPSILON),
            Comparison::Metric(..) | Comparison::Custom(_) => measure,
        }
    }

    /// The distance of a measure.
    pub(crate) fn reported_distance(&self, measure: f32) -> f32 {
        match self {
            Comparison::Metric(metric, _) => metric.distance(measure),
            Comparison::Custom(_) => measure,
        }
    }

    /// The score of a measure.
    pub(crate) fn score(&self, measure: f32) -> f32 {
        match self {
            Comparison::Metric(metric, _) => metric.score(measure),
            Comparison::Custom(distance) => distance.score(measure),
        }
    }
}
