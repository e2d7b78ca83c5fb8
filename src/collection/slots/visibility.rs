//! The visibility interval of a slot's document: from the commit that puts it up to the commit that
//! takes it away.
//!
//! One thread at a time begins and ends lives; any number of threads ask, without a lock. A thread
//! that asks about a commit has acquired what was written up to it. Its answer is the same however
//! much of later commits is applied meanwhile.
//!
//! This module does not know when a slot may be used again. Whoever begins a life makes sure that
//! no view shows the slot's last document any more.

use crate::sync::{AtomicU64, Ordering};

/// A commit number that is never reached: the end of a document that still exists.
const NEVER: u64 = u64::MAX;

/// The visibility interval of a slot's document: the commits from `born` up to but not including
/// `died`. The default, zeros, is an empty interval.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Life {
    /// The commit that put the document.
    born: AtomicU64,
    /// The commit that took it away, or [`NEVER`].
    died: AtomicU64,
}

/// `born` and `died` of a document that exists at every commit.
pub(crate) const FOR_EVER: [u64; 2] = [0, NEVER];

impl Life {
    /// Begins the document's interval at `commit`.
    pub(crate) fn begin(&self, commit: u64) {
        // `born` goes first: a slot that is used again gets its later birth before it ceases to be
        // dead.
        self.born.store(commit, Ordering::Release);
        self.died.store(NEVER, Ordering::Release);
    }

    /// Ends the document's interval: it is gone from `commit` on.
    pub(crate) fn end(&self, commit: u64) {
        // A thread that sees this end also sees the birth that belongs to it.
        self.died.store(commit, Ordering::Release);
    }

    /// Whether the document exists at a commit.
    #[inline(always)]
    pub(crate) fn exists_at(&self, commit: u64) -> bool {
        // The order is opposite to `begin`: a thread that sees a slot alive again also sees its
        // later birth.
        commit < self.died.load(Ordering::Acquire) && self.born.load(Ordering::Acquire) <= commit
    }

    /// Whether the document exists at `commit` or, as of the newest commit applied, at a later one.
    pub(crate) fn goes_beyond(&self, commit: u64) -> bool {
        commit < self.died.load(Ordering::Acquire)
    }

    /// Whether the document was put at `commit` or before.
    pub(crate) fn began_by(&self, commit: u64) -> bool {
        self.born.load(Ordering::Acquire) <= commit
    }

    /// Whether the document exists as of the newest commit applied.
    pub(crate) fn goes_on(&self) -> bool {
        self.died.load(Ordering::Acquire) == NEVER
    }
}
