//! One row of links.
//!
//! ```text
//! word 0   bits 0–15 number of links · bit 16 the slot is a point of the graph · bit 31 lock
//! word 1…  a slot in bits 0–30; bit 31: the link is kept when the row is pruned
//! ```
//!
//! Readers load words and never wait. A writer holds the lock bit. Kept links make points reachable
//! that no other link led to.

use crate::sync::{self, AtomicU32, Ordering};

use crossbeam::utils::Backoff;

const COUNT: u32 = 0xffff;
const POINT: u32 = 1 << 16;
const LOCKED: u32 = 1 << 31;
const KEPT: u32 = 1 << 31;

#[derive(Clone, Copy)]
pub(super) struct LinkRow<'g> {
    words: &'g [AtomicU32],
}

/// A row locked by this thread: no other thread changes it.
pub(super) struct LockedRow<'g> {
    row: LinkRow<'g>,
}

/// A link, and whether pruning spares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) slot: u32,
    pub(crate) kept: bool,
}

impl<'g> LinkRow<'g> {
    #[inline(always)]
    pub(super) fn new(words: &'g [AtomicU32]) -> Self {
        LinkRow { words }
    }

    /// The address and the bytes of the row, for prefetching.
    #[inline(always)]
    pub(super) fn start(self) -> (*const u8, usize) {
        (self.words.as_ptr().cast(), size_of_val(self.words))
    }

    /// The most links that fit.
    pub(super) fn capacity(self) -> usize {
        self.words.len() - 1
    }

    #[inline(always)]
    fn n_links(self) -> usize {
        ((self.words[0].load(Ordering::Acquire) & COUNT) as usize).min(self.words.len() - 1)
    }

    /// The slots linked to. Each load is `Acquire`: a reader that sees a link also sees the rows of
    /// the point it leads to.
    #[inline(always)]
    pub(super) fn iter(self) -> impl ExactSizeIterator<Item = u32> + 'g {
        self.words[1..=self.n_links()].iter().map(|word| word.load(Ordering::Acquire) & !KEPT)
    }

    /// Whether the slot is a point of the graph.
    pub(super) fn is_point(self) -> bool {
        self.words[0].load(Ordering::Acquire) & POINT != 0
    }

    /// Waits until no other thread holds the lock, and takes it.
    pub(super) fn lock(self) -> LockedRow<'g> {
        let backoff = Backoff::new();
        // A waiting thread writes nothing, because the header belongs to the lock's holder.
        while !self.try_lock() {
            sync::wait(&backoff);
        }
        LockedRow { row: self }
    }

    fn try_lock(self) -> bool {
        let header = self.words[0].load(Ordering::Relaxed);
        let lock = || self.words[0].compare_exchange(header, header | LOCKED, Ordering::Acquire, Ordering::Relaxed);
        header & LOCKED == 0 && lock().is_ok()
    }
}

impl LockedRow<'_> {
    pub(super) fn links(&self) -> impl Iterator<Item = Link> {
        let words = &self.row.words[1..=self.row.n_links()];
        words
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .map(|word| Link { slot: word & !KEPT, kept: word & KEPT != 0 })
    }

    /// Adds a link at the end. False if the row is full.
    pub(super) fn append(&self, link: Link) -> bool {
        let n_links = self.row.n_links();
        if n_links == self.row.capacity() {
            return false;
        }
        self.row.words[1 + n_links].store(link.word(), Ordering::Release);
        self.set_count(n_links + 1);
        true
    }

    /// Replaces all links, by as many of `links` as fit.
    pub(super) fn replace(&self, links: &[Link]) {
        let links = &links[..links.len().min(self.row.capacity())];
        for (word, link) in self.row.words[1..].iter().zip(links) {
            word.store(link.word(), Ordering::Release);
        }
        self.set_count(links.len());
    }

    /// Makes pruning spare a link. False if the row does not have the link.
    pub(super) fn keep(&self, slot: u32) -> bool {
        let words = &self.row.words[1..=self.row.n_links()];
        let found = words.iter().find(|word| word.load(Ordering::Relaxed) & !KEPT == slot);
        found.inspect(|word| word.store(Link { slot, kept: true }.word(), Ordering::Release)).is_some()
    }

    /// Records whether the slot is a point of the graph.
    pub(super) fn set_point(&self, is_point: bool) {
        let header = self.row.words[0].load(Ordering::Relaxed);
        self.row.words[0].store(if is_point { header | POINT } else { header & !POINT }, Ordering::Release);
    }

    fn set_count(&self, n_links: usize) {
        let header = self.row.words[0].load(Ordering::Relaxed) & !COUNT;
        self.row.words[0].store(header | n_links as u32, Ordering::Release);
    }
}

impl Drop for LockedRow<'_> {
    fn drop(&mut self) {
        let header = self.row.words[0].load(Ordering::Relaxed);
        self.row.words[0].store(header & !LOCKED, Ordering::Release);
    }
}

impl Link {
    fn word(self) -> u32 {
        self.slot | if self.kept { KEPT } else { 0 }
    }
}
