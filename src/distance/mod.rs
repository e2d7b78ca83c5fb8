//! Metrics and the kernels that compute them.
//!
//! A kernel compares two rows of equal length and returns a *rank*: smaller is nearer, always, and cheap to compute.
//! [`Metric::distance`] turns a rank into the metric's own distance, [`Metric::score`] into a score. Rows of a
//! normalising collection are of unit length before they come here. This module knows nothing of slots or storage.

mod portable;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How similar two vectors are.
///
/// | metric | `distance` (smaller is nearer) | `score` (larger is nearer) |
/// |---|---|---|
/// | `Cosine` | 1 − cosine, 0 to 2 | the cosine, −1 to 1 |
/// | `Dot` | −dot product | the dot product |
/// | `Euclidean` | the length of the difference (not squared) | 1 / (1 + distance) |
/// | `Manhattan` | the sum of absolute differences | 1 / (1 + distance) |
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Metric {
    /// The angle between vectors; their lengths do not matter. The default.
    #[default]
    Cosine,
    /// The inner product.
    Dot,
    /// Straight-line distance.
    Euclidean,
    /// Sum of absolute differences.
    Manhattan,
}

/// Compares two rows of equal length; smaller is nearer.
pub(crate) type Kernel = fn(&[f32], &[f32]) -> f32;

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 4] = [Metric::Cosine, Metric::Dot, Metric::Euclidean, Metric::Manhattan];

    /// Whether vectors are compared at unit length whatever the configuration says.
    pub(crate) fn normalizes(self) -> bool {
        matches!(self, Metric::Cosine)
    }

    /// The function that ranks rows under this metric.
    pub(crate) fn kernel(self) -> Kernel {
        match self {
            Metric::Cosine | Metric::Dot => portable::negative_dot,
            Metric::Euclidean => portable::squared_euclidean,
            Metric::Manhattan => portable::manhattan,
        }
    }

    /// The metric's own distance, from a rank.
    pub(crate) fn distance(self, rank: f32) -> f32 {
        // Adding zero turns a negative zero, which a caller would see printed, into a plain one.
        match self {
            Metric::Cosine => (1.0 + rank).clamp(0.0, 2.0) + 0.0,
            Metric::Dot | Metric::Manhattan => rank + 0.0,
            Metric::Euclidean => rank.sqrt() + 0.0,
        }
    }

    /// The score, from a rank.
    pub(crate) fn score(self, rank: f32) -> f32 {
        match self {
            Metric::Cosine => (-rank).clamp(-1.0, 1.0) + 0.0,
            Metric::Dot => -rank + 0.0,
            Metric::Euclidean | Metric::Manhattan => 1.0 / (1.0 + self.distance(rank)),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::Euclidean => "euclidean",
            Metric::Manhattan => "manhattan",
        })
    }
}

impl FromStr for Metric {
    type Err = Error;

    /// Reads a metric's name; the usual other names (`l2`, `euclid`, `ip`, `l1`) are understood too.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "cosine" => Ok(Metric::Cosine),
            "dot" | "ip" => Ok(Metric::Dot),
            "euclidean" | "euclid" | "l2" => Ok(Metric::Euclidean),
            "manhattan" | "l1" => Ok(Metric::Manhattan),
            _ => Err(Error::InvalidConfig {
                field: "metric",
                reason: format!("expected cosine, dot, euclidean or manhattan, got {text:?}"),
            }),
        }
    }
}

/// The Euclidean length of a vector, summed in double precision.
pub(crate) fn norm(vector: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0f64; LANES];
    let (blocks, tail) = vector.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += f64::from(block[lane]) * f64::from(block[lane]);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(tail) {
        *sum += f64::from(x) * f64::from(x);
    }
    sums.iter().sum::<f64>().sqrt()
}

/// Scales a vector to unit length. Its norm must be within [`limits`](crate::limits).
pub(crate) fn normalize(vector: &mut [f32]) {
    normalize_by(vector, norm(vector));
}

/// Scales a vector whose norm is known to unit length.
pub(crate) fn normalize_by(vector: &mut [f32], norm: f64) {
    let inverse = 1.0 / norm;
    for x in vector {
        *x = (f64::from(*x) * inverse) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// The obvious twin, in double precision.
    fn twin(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
        let pairs = || a.iter().zip(b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
        match metric {
            Metric::Cosine | Metric::Dot => -pairs().map(|(x, y)| x * y).sum::<f64>(),
            Metric::Euclidean => pairs().map(|(x, y)| (x - y) * (x - y)).sum(),
            Metric::Manhattan => pairs().map(|(x, y)| (x - y).abs()).sum(),
        }
    }

    #[test]
    fn kernels_agree_with_their_twin_at_every_dimension() {
        let mut rng = StdRng::seed_from_u64(1);
        for dimension in (1..=130).chain([255, 384, 769, 1537]) {
            let mut row = || (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect::<Vec<f32>>();
            let (a, b) = (row(), row());
            for metric in Metric::ALL {
                let got = f64::from(metric.kernel()(&a, &b));
                let want = twin(metric, &a, &b);
                let bound = 1e-6 * dimension as f64;
                assert!((got - want).abs() <= bound, "{metric} d={dimension}: expected {want}, got {got}");
            }
        }
    }

    #[test]
    fn the_largest_allowed_vectors_do_not_overflow() {
        let component = (crate::limits::MAX_NORM / (65_536f64).sqrt()) as f32;
        let (a, b) = (vec![component; 65_536], vec![-component; 65_536]);
        for metric in Metric::ALL {
            assert!(metric.kernel()(&a, &b).is_finite(), "{metric}");
            assert!(metric.kernel()(&a, &a).is_finite(), "{metric}");
        }
    }

    #[test]
    fn scores_grow_as_distances_shrink() {
        for metric in Metric::ALL {
            let (near, far) = (-0.9, -0.1);
            let (near, far) = if metric.kernel()(&[1.0], &[3.0]) < 0.0 { (near, far) } else { (0.1, 0.9) };
            assert!(metric.distance(near) < metric.distance(far), "{metric}");
            assert!(metric.score(near) > metric.score(far), "{metric}");
        }
        assert_eq!(Metric::Cosine.score(-1.0000001), 1.0);
        assert!(Metric::Dot.distance(-0.0).is_sign_positive());
        assert_eq!(Metric::Euclidean.distance(9.0), 3.0);
    }

    #[test]
    fn names_round_trip() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
        assert_eq!("L2".parse::<Metric>().unwrap(), Metric::Euclidean);
        assert!("hamming".parse::<Metric>().is_err());
    }
}
