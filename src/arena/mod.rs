//! Growable arrays whose elements never move, so that readers need no lock.
//!
//! An array is a list of chunks, each twice as long as the one before. Growing adds a chunk and
//! touches nothing else. [`Rows`] holds rows of plain numbers or atomics, in pages that the
//! operating system provides on first use, empty or from a file. [`Cells`] holds elements of any
//! type that synchronises itself. This module does not know what a row means, or who may write it.

mod rows;

use std::sync::OnceLock;

pub(crate) use self::rows::{Plain, Rows, Shared, let_go, view};

/// Elements of the first chunk.
const FIRST: usize = 1_024;
/// Chunks enough for [`MAX_ROWS`].
const N_CHUNKS: usize = 22;
/// The most elements of an array.
pub(crate) const MAX_ROWS: usize = 1 << 31;

/// The chunk of an element, and its place there.
#[inline(always)]
fn locate(index: usize) -> (usize, usize) {
    let shifted = index + FIRST;
    let chunk = (shifted.ilog2() - FIRST.ilog2()) as usize;
    (chunk, shifted - (FIRST << chunk))
}

/// Elements of a type that synchronises itself, such as atomics. `Default` makes them.
pub(crate) struct Cells<T> {
    chunks: [OnceLock<Box<[T]>>; N_CHUNKS],
}

impl<T: Default> Cells<T> {
    pub(crate) fn new() -> Self {
        Cells { chunks: [const { OnceLock::new() }; N_CHUNKS] }
    }

    /// Makes room for the element at `index`.
    pub(crate) fn reserve(&self, index: usize) {
        let (chunk, _) = locate(index);
        if let Some(elements) = self.chunks.get(chunk) {
            elements.get_or_init(|| std::iter::repeat_with(T::default).take(FIRST << chunk).collect());
        }
    }

    /// The element at `index`; `None` beyond what was reserved.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (chunk, place) = locate(index);
        self.chunks.get(chunk)?.get()?.get(place)
    }

    /// Bytes of memory.
    pub(crate) fn n_bytes(&self) -> usize {
        self.chunks.iter().filter_map(OnceLock::get).map(|chunk| size_of_val::<[T]>(chunk)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn chunks_follow_each_other_without_a_gap() {
        let mut expected = (0, 0);
        for index in 0..300_000 {
            assert_eq!(locate(index), expected, "{index}");
            expected =
                if expected.1 + 1 == FIRST << expected.0 { (expected.0 + 1, 0) } else { (expected.0, expected.1 + 1) };
        }
        assert_eq!(locate(MAX_ROWS - 1).0, N_CHUNKS - 1);
    }

    #[test]
    fn cells_stay_where_they_are() {
        let cells = Cells::<AtomicU32>::new();
        assert!(cells.get(0).is_none());
        cells.reserve(0);
        let first = cells.get(0).unwrap();
        first.store(7, Ordering::Relaxed);
        cells.reserve(99_999);
        assert!(cells.get(5_000).is_none(), "only what is needed is made");
        assert!(std::ptr::eq(first, cells.get(0).unwrap()));
        assert_eq!(cells.get(99_999).unwrap().load(Ordering::Relaxed), 0);
        assert!(cells.get(1 << 30).is_none());
    }
}
