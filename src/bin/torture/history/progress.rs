//! Counts of writes in progress. A reader uses them to know when all writes that its answer may
//! show are recorded.
//!
//! A commit can be seen before its writer has its receipt. So a reader looks, after its answer, at
//! the number of writes that each writer has begun, and waits until as many are done. No lock is
//! held across calls of the database.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts of one writer's writes.
#[derive(Default)]
struct Counter {
    n_begun: AtomicU64,
    n_done: AtomicU64,
}

/// Counts of all writers' writes.
pub(super) struct Progress {
    counters: Vec<Counter>,
}

impl Progress {
    pub(super) fn new(n_writers: usize) -> Self {
        Progress { counters: (0..n_writers).map(|_| Counter::default()).collect() }
    }

    /// A write begins; it is done when its effect has been recorded.
    pub(super) fn begin(&self, writer: usize) -> impl Drop + '_ {
        let counter = &self.counters[writer];
        counter.n_begun.fetch_add(1, Ordering::SeqCst);
        Begun(counter)
    }

    /// Waits until the writes in progress have been recorded.
    pub(super) fn wait(&self) {
        let begun: Vec<u64> = self.counters.iter().map(|counter| counter.n_begun.load(Ordering::SeqCst)).collect();
        for (counter, n_begun) in self.counters.iter().zip(begun) {
            while counter.n_done.load(Ordering::SeqCst) < n_begun {
                std::thread::sleep(Duration::from_micros(30));
            }
        }
    }
}

struct Begun<'p>(&'p Counter);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.n_done.fetch_add(1, Ordering::SeqCst);
    }
}
