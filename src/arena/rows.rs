//! Rows of plain numbers, or of atomics, in anonymous memory maps.
#![expect(
    unsafe_code,
    reason = "rows are handed out from raw pages; every row is initialised, because pages begin as zeros"
)]

use std::marker::PhantomData;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use memmap2::{MmapMut, MmapOptions};
use parking_lot::Mutex;

use super::{FIRST, MAX_ROWS};

/// Chunks of this size and more ask for huge pages: below it, one would be mostly empty.
const HUGE_FROM: usize = 4 << 20;

/// Types for which any bytes are a value, zeros included.
pub(crate) trait Plain: Sized {}

impl Plain for u8 {}
impl Plain for f32 {}
impl Plain for [f32; 4] {}
impl Plain for AtomicU32 {}

/// Rows of `width` numbers each.
///
/// Rows are shared without a lock. Atomics may be read and written by anyone; for plain numbers the owner of the array
/// sees to it that a row is written only while nobody reads it: [`write`](Rows::write) is unsafe for that.
pub(crate) struct Rows<T> {
    width: usize,
    /// By the power of two that begins a chunk, where row `-FIRST` would lie if the chunk went back that far: rows are
    /// found without knowing where their chunk begins.
    origins: [AtomicPtr<T>; 32],
    n_rows: AtomicUsize,
    maps: Mutex<Vec<MmapMut>>,
    _numbers: PhantomData<T>,
}

impl<T: Plain> Rows<T> {
    pub(crate) fn new(width: usize) -> Self {
        assert!(width > 0, "a row has at least one number");
        Rows {
            width,
            origins: [const { AtomicPtr::new(std::ptr::null_mut()) }; 32],
            n_rows: AtomicUsize::new(0),
            maps: Mutex::default(),
            _numbers: PhantomData,
        }
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Makes sure that the first so many rows are there, zeros at first. On an error those that were there stay.
    pub(crate) fn reserve(&self, n: usize) -> std::io::Result<()> {
        if n <= self.n_rows.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut maps = self.maps.lock();
        while self.n_rows.load(Ordering::Relaxed) < n {
            let chunk = maps.len();
            let n_bytes = (FIRST << chunk).checked_mul(self.width * size_of::<T>()).filter(|_| n <= MAX_ROWS);
            let n_bytes = n_bytes.ok_or_else(|| std::io::Error::other("expected at most 2^31 rows"))?;
            let mut map = MmapOptions::new().len(n_bytes).no_reserve_swap().map_anon()?;
            #[cfg(target_os = "linux")]
            if n_bytes >= HUGE_FROM {
                // Advice: where there are no huge pages, small ones do.
                _ = map.advise(memmap2::Advice::HugePage);
            }
            let begin: *mut T = map.as_mut_ptr().cast();
            let origin = begin.wrapping_sub((FIRST << chunk) * self.width);
            self.origins[FIRST.ilog2() as usize + chunk].store(origin, Ordering::Release);
            maps.push(map);
            self.n_rows.store(FIRST * ((1 << maps.len()) - 1), Ordering::Release);
        }
        Ok(())
    }

    /// Where a row begins.
    #[inline(always)]
    pub(crate) fn start(&self, row: u32) -> *const T {
        let shifted = row as usize + FIRST;
        let origin = self.origins[shifted.ilog2() as usize % 32].load(Ordering::Acquire);
        assert!(!origin.is_null(), "row {row} is not reserved");
        // Within the chunk: `shifted` lies between the power of two that begins it and the next.
        origin.wrapping_add(shifted * self.width)
    }

    /// A row.
    ///
    /// # Safety
    /// Unless `T` is atomic, nobody writes the row while the reference is held.
    #[inline(always)]
    pub(crate) unsafe fn row(&self, row: u32) -> &[T] {
        // SAFETY: a chunk lives as long as `self`, and its pages hold values from the beginning.
        unsafe { std::slice::from_raw_parts(self.start(row), self.width) }
    }

    /// Writes the beginning of a row.
    ///
    /// # Safety
    /// Nobody else reads or writes the row meanwhile.
    pub(crate) unsafe fn write(&self, row: u32, numbers: &[T])
    where
        T: Copy,
    {
        assert!(numbers.len() <= self.width, "expected at most {} numbers, got {}", self.width, numbers.len());
        // SAFETY: the row is reserved, long enough, and by the caller's promise ours alone.
        unsafe { self.start(row).cast_mut().copy_from_nonoverlapping(numbers.as_ptr(), numbers.len()) }
    }

    /// Bytes that so many rows take.
    pub(crate) fn bytes_of(&self, n_rows: usize) -> usize {
        n_rows * self.width * size_of::<T>()
    }
}

impl Rows<AtomicU32> {
    /// A row of atomics, which anyone may read and write.
    #[inline(always)]
    pub(crate) fn atomics(&self, row: u32) -> &[AtomicU32] {
        // SAFETY: atomics may be shared.
        unsafe { self.row(row) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_grow_in_place() {
        let rows = Rows::<f32>::new(3);
        rows.reserve(1).unwrap();
        // SAFETY: one thread.
        unsafe { rows.write(5, &[1.0, 2.0, 3.0]) };
        let start = rows.start(5);
        rows.reserve(50_000).unwrap();
        assert_eq!(rows.start(5), start);
        // SAFETY: one thread.
        unsafe {
            rows.write(49_999, &[4.0]);
            assert_eq!(rows.row(5), [1.0, 2.0, 3.0]);
            assert_eq!(rows.row(49_999), [4.0, 0.0, 0.0]);
        }
        assert!(rows.reserve(MAX_ROWS + 1).is_err());
    }
}
