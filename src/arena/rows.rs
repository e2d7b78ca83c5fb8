//! Rows of plain numbers or atomics, in memory maps.
#![expect(
    unsafe_code,
    reason = "rows are handed out from raw pages; every row is initialised, because pages begin as zeros or as a file's"
)]

use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use memmap2::{Mmap, MmapMut, MmapOptions};
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{MapFlags, ProtFlags};

use super::{FIRST, MAX_ROWS};

/// The least number of bytes for which a file gets disk blocks at once. Large files get an eighth
/// of their size.
const FEWEST_BLOCKS: u64 = 64 << 10;
/// The most bytes that a file gets ahead of need.
const MOST_BLOCKS: u64 = 1 << 20;
/// Bytes from which on a chunk asks for huge pages. In smaller chunks one would be mostly empty.
const HUGE_FROM: usize = 4 << 20;

/// Types without padding for which any bytes are a value, zeros included.
pub(crate) trait Plain: Sized {}

/// Plain types that synchronise themselves, such as atomics.
pub(crate) trait Shared: Plain + Sync {}

impl Plain for u8 {}
impl Plain for f32 {}
impl Plain for [f32; 4] {}
impl Plain for AtomicU32 {}
impl Shared for AtomicU32 {}
impl Plain for [AtomicU64; 8] {}
impl Shared for [AtomicU64; 8] {}

/// Rows of `width` numbers each.
///
/// Threads share rows without a lock. Anyone may read and write atomics. For plain numbers the
/// owner of the array makes sure that nobody reads a row while it is written; therefore
/// [`write`](Rows::write) is unsafe.
pub(crate) struct Rows<T> {
    width: usize,
    /// By the power of two that begins a chunk: the address that row `-FIRST` would have if the
    /// chunk extended that far back. So a row is found without the number of its chunk's first row.
    origins: [AtomicPtr<T>; 32],
    n_rows: AtomicUsize,
    maps: Mutex<Vec<MmapMut>>,
    backing: Backing,
    _numbers: PhantomData<T>,
}

/// The storage behind the pages.
enum Backing {
    /// Anonymous memory.
    Memory,
    /// A file that holds the rows one after the other. Writes to rows go to the file.
    File {
        file: File,
        /// Bytes from the file's beginning that have disk blocks.
        n_backed: AtomicU64,
    },
}

impl<T: Plain> Rows<T> {
    pub(crate) fn new(width: usize) -> Self {
        Rows::backed(width, Backing::Memory)
    }

    /// Rows that live in a file; the operating system decides which of them are in memory. The rows
    /// begin with the contents of the file. Nobody else may change or truncate it.
    pub(crate) fn in_file(width: usize, file: File) -> Self {
        Rows::backed(width, Backing::File { file, n_backed: AtomicU64::new(0) })
    }

    fn backed(width: usize, backing: Backing) -> Self {
        assert!(width > 0, "a row has at least one number");
        Rows {
            width,
            origins: [const { AtomicPtr::new(std::ptr::null_mut()) }; 32],
            n_rows: AtomicUsize::new(0),
            maps: Mutex::default(),
            backing,
            _numbers: PhantomData,
        }
    }

    /// The number of rows there is room for.
    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows.load(Ordering::Acquire)
    }

    /// Makes room for `n` rows, new ones with zeros. After an error the rows from before stay.
    pub(crate) fn reserve(&self, n: usize) -> std::io::Result<()> {
        if n <= self.n_rows() && self.n_unbacked(n).is_none() {
            return Ok(());
        }
        let mut maps = self.maps.lock();
        while self.n_rows.load(Ordering::Relaxed) < n {
            let map = self.new_chunk(maps.len(), n)?;
            self.add_chunk(&mut maps, map);
        }
        self.back(n)
    }

    /// If the file lacks blocks for `n` rows: the file, where its blocks end, and the bytes to add.
    fn n_unbacked(&self, n: usize) -> Option<(&File, &AtomicU64, u64, u64)> {
        let Backing::File { file, n_backed } = &self.backing else { return None };
        let (from, wanted) = (n_backed.load(Ordering::Acquire), (n * self.row_bytes()) as u64);
        let ahead = (from / 8).clamp(FEWEST_BLOCKS, MOST_BLOCKS);
        let n_bytes = wanted.saturating_sub(from).max(ahead).next_multiple_of(FEWEST_BLOCKS);
        (from < wanted).then_some((file, n_backed, from, n_bytes))
    }

    /// Gives the file blocks for `n` rows. A write to a page without a block kills the process.
    fn back(&self, n: usize) -> std::io::Result<()> {
        let Some((file, n_backed, from, n_bytes)) = self.n_unbacked(n) else { return Ok(()) };
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), from, n_bytes)) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_again(file, from, n_bytes)?,
            Err(error) => return Err(error.into()),
        }
        n_backed.store(from + n_bytes, Ordering::Release);
        Ok(())
    }

    /// Maps the pages of the next chunk. `n` is the number of rows wanted in all.
    fn new_chunk(&self, chunk: usize, n: usize) -> std::io::Result<MmapMut> {
        let n_bytes = (FIRST << chunk).checked_mul(self.row_bytes()).filter(|_| n <= MAX_ROWS);
        let n_bytes = n_bytes.ok_or_else(|| std::io::Error::other("expected at most 2^31 rows"))?;
        if let Backing::File { file, .. } = &self.backing {
            let offset = self.chunk_offset(chunk);
            let end = offset + n_bytes as u64;
            if file.metadata()?.len() < end {
                file.set_len(end)?;
            }
            // SAFETY: by the promise of `in_file` nobody else changes or truncates the file.
            return unsafe { MmapOptions::new().offset(offset).len(n_bytes).map_mut(file) };
        }
        let map = MmapOptions::new().len(n_bytes).no_reserve_swap().map_anon()?;
        #[cfg(target_os = "linux")]
        if n_bytes >= HUGE_FROM {
            // This is advice only: without huge pages the kernel uses small ones.
            _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(map)
    }

    fn add_chunk(&self, maps: &mut Vec<MmapMut>, mut map: MmapMut) {
        let chunk = maps.len();
        let begin: *mut T = map.as_mut_ptr().cast();
        let origin = begin.wrapping_sub((FIRST << chunk) * self.width);
        self.origins[FIRST.ilog2() as usize + chunk].store(origin, Ordering::Release);
        maps.push(map);
        self.n_rows.store(FIRST * ((1 << maps.len()) - 1), Ordering::Release);
    }

    /// Takes over the first `n` rows from a file. They stand there one after the other from byte
    /// `offset` on, which begins a page, with zeros after them up to the next page. Rows are read
    /// on first use; writes stay in memory. Only for an array without rows. Nobody may change or
    /// truncate the file.
    pub(crate) fn adopt(&self, file: &File, offset: u64, n: usize) -> std::io::Result<()> {
        let mut maps = self.maps.lock();
        if !maps.is_empty() {
            return Err(std::io::Error::other("expected an array without rows"));
        }
        while self.n_rows.load(Ordering::Relaxed) < n {
            let chunk = maps.len();
            let n_rows = (n - self.n_rows.load(Ordering::Relaxed)).min(FIRST << chunk);
            let mut map = self.new_chunk(chunk, n)?;
            let from = offset + self.chunk_offset(chunk);
            if !overlay(&mut map, file, from, n_rows * self.row_bytes()) {
                file.read_exact_at(&mut map[..n_rows * self.row_bytes()], from)?;
            }
            self.add_chunk(&mut maps, map);
        }
        Ok(())
    }

    fn row_bytes(&self) -> usize {
        self.width * size_of::<T>()
    }

    /// Bytes of all rows before a chunk.
    fn chunk_offset(&self, chunk: usize) -> u64 {
        (FIRST * ((1 << chunk) - 1) * self.row_bytes()) as u64
    }

    /// The address of a row.
    #[inline(always)]
    pub(crate) fn start(&self, row: u32) -> *const T {
        let shifted = row as usize + FIRST;
        // `shifted` lies between the power of two that begins its chunk and the next one.
        self.origin(shifted.ilog2()).wrapping_add(shifted.wrapping_mul(self.width))
    }

    #[inline(always)]
    fn origin(&self, chunk: u32) -> *const T {
        let origin = self.origins[chunk as usize % 32].load(Ordering::Acquire);
        assert!(!origin.is_null(), "a row that is not reserved");
        origin
    }

    /// The numbers of a row.
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
        // SAFETY: the row is reserved and long enough. By the caller's promise nobody else uses it.
        unsafe { self.start(row).cast_mut().copy_from_nonoverlapping(numbers.as_ptr(), numbers.len()) }
    }

    /// Bytes of `n_rows` rows.
    pub(crate) fn bytes_of(&self, n_rows: usize) -> usize {
        n_rows * self.row_bytes()
    }
}

/// Gives a part of a file disk blocks where the file system has no call for it: reads the part and
/// writes it back, with zeros beyond the old end. Nobody changes that part meanwhile.
fn write_again(file: &File, from: u64, n_bytes: u64) -> std::io::Result<()> {
    let end = from + n_bytes;
    if file.metadata()?.len() < end {
        file.set_len(end)?;
    }
    let mut page = vec![0; 1 << 16];
    for at in (from..end).step_by(page.len()) {
        let page = &mut page[..(end - at).min(1 << 16) as usize];
        file.read_exact_at(page, at)?;
        file.write_all_at(page, at)?;
    }
    Ok(())
}

/// Maps a file for reading. Nobody may change or truncate it meanwhile.
pub(crate) fn view(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: by the caller's promise the bytes do not change: images are replaced, never changed.
    unsafe { Mmap::map(file) }
}

/// Drops the whole pages within `bytes`, part of a [`view`], from memory. An access reads them
/// again.
///
/// # Safety
/// The bytes belong to a `view`. Pages without a file would lose their contents.
pub(crate) unsafe fn let_go(bytes: &[u8]) {
    #[cfg(target_os = "linux")]
    {
        let page = rustix::param::page_size();
        let skipped = bytes.as_ptr().align_offset(page).min(bytes.len());
        let n_bytes = (bytes.len() - skipped) / page * page;
        let begin = bytes[skipped..].as_ptr().cast_mut().cast();
        // SAFETY: these are whole pages of a file's map that nobody writes. They equal the file.
        let gone = unsafe { rustix::mm::madvise(begin, n_bytes, rustix::mm::Advice::LinuxDontNeed) };
        if let Err(error) = gone {
            tracing::debug!("pages of a file stay in memory: {error}");
        }
    }
}

/// Maps a part of a file over the beginning of a map, privately. False if that is not possible.
fn overlay(map: &mut MmapMut, file: &File, offset: u64, n_bytes: usize) -> bool {
    let page = rustix::param::page_size();
    if !offset.is_multiple_of(page as u64) || n_bytes == 0 || n_bytes.next_multiple_of(page) > map.len() {
        return false;
    }
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
    // SAFETY: the pages belong to the map, nothing refers to them yet, and dropping the map unmaps
    // them. By the promise of `adopt` nobody changes or truncates the file.
    let laid = unsafe { rustix::mm::mmap(map.as_mut_ptr().cast(), n_bytes, protection, flags, file, offset) };
    laid.is_ok()
}

impl<T: Shared> Rows<T> {
    /// A row of numbers that anyone may read and write.
    #[inline(always)]
    pub(crate) fn shared(&self, row: u32) -> &[T] {
        // SAFETY: such numbers synchronise themselves.
        unsafe { self.row(row) }
    }

    /// Calls `show` with each row of `rows` and its place there. Fastest in ascending order.
    #[inline(always)]
    pub(crate) fn each_shared<'r>(&'r self, rows: &[u32], mut show: impl FnMut(usize, &'r [T])) {
        // Most rows follow one of the same chunk, so that chunk's origin is kept.
        let (mut power, mut origin) = (0, std::ptr::null());
        for (place, &row) in rows.iter().enumerate() {
            let shifted = row as usize + FIRST;
            if shifted.wrapping_sub(power) >= power {
                power = 1 << shifted.ilog2();
                origin = self.origin(shifted.ilog2());
            }
            let start = origin.wrapping_add(shifted.wrapping_mul(self.width));
            // SAFETY: as in `row`: `origin` belongs to the row's chunk, and such numbers
            // synchronise themselves.
            show(place, unsafe { std::slice::from_raw_parts(start, self.width) });
        }
    }

    /// The first number of a row; `None` beyond what was reserved.
    #[inline(always)]
    pub(crate) fn get(&self, row: u32) -> Option<&T> {
        if row as usize >= self.n_rows() {
            return None;
        }
        self.shared(row).first()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

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

    #[test]
    fn rows_of_a_file_are_adopted_and_left_as_they_were() {
        let file = tempfile::tempfile().unwrap();
        for (width, n_rows) in [(1, 1), (1, 5_000), (48, 1_024), (48, 9_000), (3, 100_000)] {
            let offset = 8_192u64;
            let words: Vec<u32> = (0..width * n_rows).map(|at| at as u32 * 7 + 1).collect();
            let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            bytes.resize(bytes.len().next_multiple_of(4_096), 0);
            file.set_len(0).unwrap();
            file.write_all_at(&bytes, offset).unwrap();
            let rows = Rows::<AtomicU32>::new(width);
            rows.adopt(&file, offset, n_rows).unwrap();
            let read = |row: usize| -> Vec<u32> {
                rows.shared(row as u32).iter().map(|word| word.load(Ordering::Relaxed)).collect()
            };
            for row in (0..n_rows).step_by(n_rows / 100 + 1).chain([n_rows - 1]) {
                assert_eq!(read(row), words[row * width..][..width], "row {row} of {n_rows}");
            }
            assert!(rows.get(n_rows as u32).is_none_or(|word| word.load(Ordering::Relaxed) == 0));
            rows.reserve(n_rows + 5_000).unwrap();
            rows.shared(n_rows as u32 + 4_999)[0].store(9, Ordering::Relaxed);
            rows.shared(0)[0].store(9, Ordering::Relaxed);
            let mut first = [0; 4];
            file.read_exact_at(&mut first, offset).unwrap();
            assert_eq!(u32::from_ne_bytes(first), 1, "what is written stays in memory");
            assert!(rows.adopt(&file, offset, n_rows).is_err());
        }
    }

    #[test]
    fn rows_in_a_file_are_there_the_next_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(file.path()).unwrap();
        let rows = Rows::<f32>::in_file(5, open());
        rows.reserve(3_000).unwrap();
        // SAFETY: one thread.
        unsafe { rows.write(2_999, &[1.0, 2.0, 3.0, 4.0, 5.0]) };
        drop(rows);
        let rows = Rows::<f32>::in_file(5, open());
        rows.reserve(3_000).unwrap();
        // SAFETY: one thread.
        assert_eq!(unsafe { rows.row(2_999) }, [1.0, 2.0, 3.0, 4.0, 5.0]);
        let n_bytes = file.path().metadata().unwrap().len();
        write_again(file.as_file(), 0, n_bytes + (1 << 20)).unwrap();
        let written = file.path().metadata().unwrap();
        assert!(written.len() == n_bytes + (1 << 20) && written.blocks() * 512 >= written.len());
        // SAFETY: one thread.
        assert_eq!(unsafe { rows.row(2_999) }, [1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn rows_in_a_file_have_blocks_before_they_are_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let rows = Rows::<f32>::in_file(256, File::options().read(true).write(true).open(file.path()).unwrap());
        for n in [1, 900, 1_100, 5_000, 40_000] {
            rows.reserve(n).unwrap();
            let n_backed = file.path().metadata().unwrap().blocks() * 512;
            assert!(n_backed >= rows.bytes_of(n) as u64, "{n_backed} bytes for {n} rows");
            assert!(n_backed < rows.bytes_of(n) as u64 + 2 * MOST_BLOCKS, "{n_backed} bytes for {n} rows");
        }
    }
}
