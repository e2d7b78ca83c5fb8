//! Atomics, and the model checker's (loom) stand-ins for them.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Waits for another thread: first briefly, then by yielding the processor.
#[cfg(not(loom))]
pub(crate) fn wait(backoff: &crossbeam::utils::Backoff) {
    backoff.snooze();
}

#[cfg(loom)]
pub(crate) fn wait(_: &crossbeam::utils::Backoff) {
    loom::thread::yield_now();
}
