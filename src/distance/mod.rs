//! Metrics and the kernels that compute them.
//!
//! A kernel compares two vectors of equal length and returns a *comparison distance*, which is
//! cheap to compute: smaller is nearer. Hits are ordered by a *measure*. It equals that, except for
//! cosine, where it is the metric's distance itself ([`Comparison::measure`]). So a vector measures
//! exactly 0 from itself, and nearly equal vectors are told apart. [`Metric::distance`] turns a
//! measure into the metric's own distance, [`Metric::score`] into a score. Vectors of a normalising
//! collection are of length one before they come here. Block kernels compare many rows of codes at
//! once.
//!
//! Every kernel exists once per instruction set. [`portable`] is the reference implementation
//! against which the others are tested. The best set of the machine is detected once. This module
//! knows nothing of slots and storage, nor what codes stand for.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod custom;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod ranker;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

#[cfg(target_arch = "x86_64")]
pub(crate) use self::avx512::prefetch;
pub use self::custom::{Distance, Distances};
pub(crate) use self::isa::Isa;
#[cfg(target_arch = "aarch64")]
pub(crate) use self::neon::prefetch;
pub(crate) use self::ranker::Comparison;

/// How similar two vectors are.
///
/// | metric | `distance` (smaller is nearer) | `score` (larger is nearer) |
/// |---|---|---|
/// | `Cosine` | 1 − cosine, 0 to 2 | the cosine, −1 to 1 |
/// | `Dot` | −dot product | the dot product |
/// | `Euclidean` | the length of the difference (not squared) | 1 / (1 + distance) |
/// | `Manhattan` | the sum of absolute differences | 1 / (1 + distance) |
///
/// A distance is never below 0, except by `Dot`. By cosine, Euclidean and Manhattan a vector's
/// distance from itself is exactly 0, and its score 1. So
/// [`max_distance(0.0)`](crate::Search::max_distance) finds copies. Vectors that differ have a
/// distance above 0, unless `f32` cannot represent the difference.
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

/// Multiplies many rows of codes with one query: `out[i]` becomes the sum of products of `rows[i]`.
///
/// A query has at most 65,536 values within -127..=127, so that no sum overflows an `i32`, in
/// whatever order it is added up. The kernel prefetches rows ahead of the one being summed.
///
/// # Safety
///
/// Every pointer of `rows` must be readable for as many bytes as the kernel's layout requires.
/// `rows` and `out` are of equal length. `query` has a length that the layout allows.
pub(crate) type BlockKernel = unsafe fn(query: &[i8], rows: &[*const u8], out: &mut [i32]);

/// Adds to each count the number of bits in which a cache line differs from the query.
pub(crate) type BitKernel = fn(query: &[u64; 8], lines: &[&[AtomicU64; 8]], counts: &mut [u32]);

/// Rows that a block kernel prefetches ahead of the one being summed. Four to twelve measure alike.
/// Without it, rows outside the nearest caches cost up to a quarter more with AVX-512, and twice as
/// much with AVX2.
const LOOKAHEAD: usize = 6;

/// Does nothing on unknown machines.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn prefetch(_row: *const u8, _n_bytes: usize) {}

/// The kernels of one instruction set. They are handed out only on machines that have it.
pub(crate) struct Kernels {
    /// The instruction set they are written for.
    pub(crate) isa: Isa,
    /// The negative inner product, so that smaller is nearer.
    pub(crate) negative_dot: Kernel,
    /// The sum of squared differences.
    pub(crate) squared_euclidean: Kernel,
    /// The sum of absolute differences.
    pub(crate) manhattan: Kernel,
    /// For rows of one byte per component, 0 to 255. The query's length is a multiple of 64.
    pub(crate) dot_u8: BlockKernel,
    /// For rows of 4 bits per component. In each block of 128 components, byte `j` of 64 holds
    /// component `j` in its low nibble and component `64 + j` in its high nibble. The query stays
    /// in plain order; its length is a multiple of 128.
    pub(crate) dot_u4: BlockKernel,
    /// For rows of 8 bits per component in two planes of the 4-bit layout: all high nibbles, then
    /// all low ones.
    pub(crate) dot_u44: BlockKernel,
    /// Counts differing bits.
    pub(crate) differing: BitKernel,
    /// Turns a row of two planes into signed steps in plain order, each 128 less than its byte.
    /// Returns their sum.
    pub(crate) join_planes: fn(row: &[u8], steps: &mut [i8]) -> i32,
    /// The fast Walsh–Hadamard transform in place, not normalised. The length is a power of two.
    /// Every instruction set adds in the same order, so all give the same bits.
    pub(crate) hadamard: fn(&mut [f32]),
    /// Whether this machine has the instructions.
    runs_here: fn() -> bool,
}

/// The kernels of this build, from the least instruction set to the most.
#[cfg(target_arch = "x86_64")]
static TABLES: [&Kernels; 3] = [&portable::KERNELS, &avx2::KERNELS, &avx512::KERNELS];
#[cfg(target_arch = "aarch64")]
static TABLES: [&Kernels; 2] = [&portable::KERNELS, &neon::KERNELS];
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
static TABLES: [&Kernels; 1] = [&portable::KERNELS];

impl Kernels {
    /// The kernels of the detected instruction set.
    pub(crate) fn detected() -> &'static Kernels {
        static DETECTED: OnceLock<&Kernels> = OnceLock::new();
        DETECTED.get_or_init(|| Kernels::of(Isa::detect()).unwrap_or(&portable::KERNELS))
    }

    /// The kernels of an instruction set, if this machine has it.
    pub(crate) fn of(isa: Isa) -> Option<&'static Kernels> {
        Kernels::runnable().find(|kernels| kernels.isa == isa)
    }

    /// The kernel that compares vectors under a metric.
    fn kernel(&self, metric: Metric) -> Kernel {
        match metric {
            Metric::Cosine | Metric::Dot => self.negative_dot,
            Metric::Euclidean => self.squared_euclidean,
            Metric::Manhattan => self.manhattan,
        }
    }

    /// All kernels that this machine can run, from the least instruction set to the most.
    fn runnable() -> impl Iterator<Item = &'static Kernels> {
        TABLES.into_iter().filter(|kernels| (kernels.runs_here)())
    }
}

impl Metric {
    /// Every metric.
    pub const ALL: [Metric; 4] = [Metric::Cosine, Metric::Dot, Metric::Euclidean, Metric::Manhattan];

    /// Whether vectors are compared at unit length, whatever the configuration says.
    pub(crate) fn normalizes(self) -> bool {
        matches!(self, Metric::Cosine)
    }

    /// Whether codes can stand for vectors under this metric. Codes keep inner products and
    /// lengths, and a sum of absolute differences is made of neither.
    pub(crate) fn has_codes(self) -> bool {
        match self {
            Metric::Cosine | Metric::Dot | Metric::Euclidean => true,
            Metric::Manhattan => false,
        }
    }

    /// The kernel that compares vectors under this metric.
    pub(crate) fn kernel(self) -> Kernel {
        Kernels::detected().kernel(self)
    }

    /// The measure of a distance. It has the rounding error of the distance, which shows in small
    /// measures.
    pub(crate) fn measure(self, distance: f32) -> f32 {
        match self {
            Metric::Cosine => (1.0 + distance).clamp(0.0, 2.0),
            Metric::Dot | Metric::Euclidean | Metric::Manhattan => distance,
        }
    }

    /// The metric's own distance, from a measure.
    pub(crate) fn distance(self, measure: f32) -> f32 {
        // Adding 0.0 turns -0.0, which users would see printed, into 0.0.
        match self {
            Metric::Cosine | Metric::Dot | Metric::Manhattan => measure + 0.0,
            Metric::Euclidean => measure.sqrt() + 0.0,
        }
    }

    /// The score, from a measure.
    pub(crate) fn score(self, measure: f32) -> f32 {
        match self {
            Metric::Cosine => 1.0 - measure,
            Metric::Dot => -measure + 0.0,
            Metric::Euclidean | Metric::Manhattan => 1.0 / (1.0 + self.distance(measure)),
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

    /// Reads a metric's name. The other usual names `l2`, `euclid`, `ip` and `l1` are accepted too.
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

/// Scales a vector of a known norm to unit length.
pub(crate) fn normalize_by(vector: &mut [f32], norm: f64) {
    let inverse = 1.0 / norm;
    for x in vector {
        *x = (f64::from(*x) * inverse) as f32;
    }
}
