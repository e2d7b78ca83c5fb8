//! Comparing vectors by whatever a collection compares them with.

use std::sync::Arc;

use super::{Distance, Kernel, Metric};

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

    /// The distance a rank stands for.
    pub(crate) fn distance(&self, rank: f32) -> f32 {
        match self {
            Ranker::Metric(metric, _) => metric.distance(rank),
            Ranker::Custom(_) => rank,
        }
    }

    /// The score a rank stands for.
    pub(crate) fn score(&self, rank: f32) -> f32 {
        match self {
            Ranker::Metric(metric, _) => metric.score(rank),
            Ranker::Custom(distance) => distance.score(rank),
        }
    }
}
