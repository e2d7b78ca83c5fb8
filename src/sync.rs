//! Atomics, and what stands in for them where a model checker runs the code.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Waits for another thread to go on: first a moment, then by giving up the processor.
#[cfg(not(loom))]
pub(crate) fn wait(backoff: &crossbeam::utils::Backoff) {
    backoff.snooze();
}

#[cfg(loom)]
pub(crate) fn wait(_: &crossbeam::utils::Backoff) {
    loom::thread::yield_now();
}
