//! Measures how long work takes on this machine.

use std::hint::black_box;
use std::time::Instant;

/// Rounds of each measurement; the fastest counts.
const N_ROUNDS: usize = 4;

/// Nanoseconds per item of `n`, in the fastest of `N_ROUNDS` rounds.
pub(super) fn fastest<T>(n: usize, mut work: impl FnMut() -> T) -> f64 {
    let rounds = (0..N_ROUNDS).map(|_| {
        let start = Instant::now();
        black_box(work());
        start.elapsed().as_nanos() as f64
    });
    rounds.fold(f64::INFINITY, f64::min).max(1.0) / n as f64
}
