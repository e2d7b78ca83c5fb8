//! When a slot's document exists: from the commit that put it up to the one that takes it away.
//!
//! One thread at a time begins and ends lives; any number ask, without a lock. Whoever asks about a commit has acquired
//! what was written up to it, and is answered alike however much of later commits is applied meanwhile.
//!
//! When a slot may be used again is not known here: whoever lets a life begin sees to it that no one looks any more at
//! a commit at which the slot's last document existed.

use crate::sync::{AtomicU64, Ordering};

/// A commit that has not come: when a document that exists will be gone.
const NEVER: u64 = u64::MAX;

/// When a slot's document exists. The default, zeros, is that of a slot without a document, at any commit.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Life {
    /// The commit that put the document.
    born: AtomicU64,
    /// The commit that took it away, or [`NEVER`].
    died: AtomicU64,
}

/// The numbers of a document that exists at every commit.
pub(crate) const FOR_EVER: [u64; 2] = [0, NEVER];

impl Life {
    /// Lets a document exist from a commit on.
    pub(crate) fn begin(&self, commit: u64) {
        // In this order: a slot that is being used again is born later before it ceases to be dead.
        self.born.store(commit, Ordering::Release);
        self.died.store(NEVER, Ordering::Release);
    }

    /// Lets the document be gone from a commit on.
    pub(crate) fn end(&self, commit: u64) {
        // Whoever sees this end sees the beginning that belongs to it.
        self.died.store(commit, Ordering::Release);
    }

    /// Whether the document exists at a commit.
    #[inline(always)]
    pub(crate) fn exists_at(&self, commit: u64) -> bool {
        // In the order opposite to `begin`: who sees that a slot ceased to be dead sees that it was born later.
        commit < self.died.load(Ordering::Acquire) && self.born.load(Ordering::Acquire) <= commit
    }

    /// Whether the document exists at a commit or, as far as is known now, at a later one.
    pub(crate) fn goes_beyond(&self, commit: u64) -> bool {
        commit < self.died.load(Ordering::Acquire)
    }

    /// Whether the document was put by a commit.
    pub(crate) fn began_by(&self, commit: u64) -> bool {
        self.born.load(Ordering::Acquire) <= commit
    }

    /// Whether the document exists as far as is known now.
    pub(crate) fn goes_on(&self) -> bool {
        self.died.load(Ordering::Acquire) == NEVER
    }
}
