//! Giving freed memory back to the operating system.
//!
//! The C library's allocator keeps freed memory for later, in pieces between blocks that are in
//! use. After much work the freed pieces can take as much memory as the blocks. [`trim`] returns
//! each page without a block to the system. Since it walks through the whole heap, only two callers
//! use it. A vacuum always does; the worker does at most once a minute, and only after much was
//! freed. The allocator serves the whole process, so its settings are left alone. With an allocator
//! other than glibc's, nothing happens.
//!
//! Threads allocate from arenas of their own. `malloc_trim` does not return the free end of another
//! thread's arena, which can be tens of megabytes. So threads that free much call [`answer`]
//! between two pieces of work, and return this memory once after each [`trim`].
#![expect(unsafe_code, reason = "the C library alone can give back what its allocator keeps")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Seconds from one return of memory to the next.
const PATIENCE: u64 = 60;
/// Bytes freed since the last return that make another one worth its time.
const LEAST_BYTES: usize = 4 << 20;
/// Bytes of each block by which [`empty_arena`] takes a thread's free memory. From 128 KiB on,
/// glibc may map a block apart from the arena.
const BLOCK: usize = 120 << 10;
/// Most blocks that [`empty_arena`] takes.
const MOST_BLOCKS: usize = 2_048;
/// Blocks in a row without a page in memory, after which [`empty_arena`] stops.
const MOST_EMPTY: usize = 256;

/// Bytes freed since memory was last returned, as reported through [`note_freed`].
static FREED: AtomicUsize = AtomicUsize::new(0);
/// Time of the next permitted return, in seconds after [`BEGAN`].
static DUE: AtomicU64 = AtomicU64::new(0);
static BEGAN: OnceLock<Instant> = OnceLock::new();
/// Number of requests to threads to return what their arenas keep.
static N_ASKED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The value of [`N_ASKED`] that this thread last answered.
    static N_ANSWERED: Cell<usize> = const { Cell::new(0) };
}

// Declared as in glibc and POSIX.
unsafe extern "C" {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn malloc_trim(pad: usize) -> c_int;
    fn malloc(n_bytes: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    #[cfg(target_os = "linux")]
    fn mincore(begin: *mut c_void, n_bytes: usize, pages: *mut u8) -> c_int;
}

/// Counts about `n_bytes` bytes that were freed, or will be soon.
pub(crate) fn note_freed(n_bytes: usize) {
    FREED.fetch_add(n_bytes, Ordering::Relaxed);
}

/// Returns unused pages to the system, and asks other threads to return theirs.
pub(crate) fn trim() {
    DUE.store(seconds() + PATIENCE, Ordering::Relaxed);
    FREED.store(0, Ordering::Relaxed);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` may be called at any time, from any thread, and moves no block.
    let _ = unsafe { malloc_trim(0) };
    ask();
}

/// Whether much was freed and [`trim`] was not called within the last minute. True at most once a
/// minute.
pub(crate) fn is_due() -> bool {
    let (now, due) = (seconds(), DUE.load(Ordering::Relaxed));
    FREED.load(Ordering::Relaxed) >= LEAST_BYTES
        && now >= due
        && DUE.compare_exchange(due, now + PATIENCE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Asks threads to return what their arenas keep, each at its next call of [`answer`].
pub(crate) fn ask() {
    N_ASKED.fetch_add(1, Ordering::Relaxed);
}

/// Returns what this thread's arena keeps, if there was a request since the last call. Tells
/// whether there was.
pub(crate) fn answer() -> bool {
    let n_asked = N_ASKED.load(Ordering::Relaxed);
    let is_asked = N_ANSWERED.replace(n_asked) != n_asked;
    // Under a limit of address space, the blocks taken meanwhile may be missing to another thread.
    if is_asked && cfg!(all(target_os = "linux", target_env = "gnu")) && !is_bounded() {
        empty_arena();
    }
    is_asked
}

/// Takes the free memory of this thread's arena block by block, lets the pages of each leave
/// memory, and frees all blocks.
fn empty_arena() {
    let (mut blocks, mut n_empty) = (Vec::with_capacity(MOST_BLOCKS), 0);
    while blocks.len() < MOST_BLOCKS && n_empty < MOST_EMPTY {
        // SAFETY: `malloc` accepts each size.
        let block = unsafe { malloc(BLOCK) };
        if block.is_null() {
            break;
        }
        blocks.push(block);
        // SAFETY: the block is ours, has `BLOCK` bytes, and nothing was written to it.
        n_empty = if unsafe { empty(block.cast(), BLOCK) } { 0 } else { n_empty + 1 };
    }
    for block in blocks {
        // SAFETY: the block came from `malloc` and is not used afterwards.
        unsafe { free(block) };
    }
}

/// Lets the whole pages of a block leave memory. False if none of them is in memory.
///
/// # Safety
/// The block belongs to the caller, who does not need its content.
unsafe fn empty(block: *mut u8, n_bytes: usize) -> bool {
    #[cfg(target_os = "linux")]
    {
        let page = rustix::param::page_size();
        let skipped = block.align_offset(page).min(n_bytes);
        let (begin, n_bytes) = (block.wrapping_add(skipped).cast::<c_void>(), (n_bytes - skipped) / page * page);
        let mut pages = [0; BLOCK.div_ceil(4 << 10)];
        // SAFETY: the range is whole pages of the block. A page has at least 4 KiB, so `pages` has
        // a byte for each.
        let is_told =
            n_bytes.div_ceil(4 << 10) <= pages.len() && unsafe { mincore(begin, n_bytes, pages.as_mut_ptr()) } == 0;
        if is_told && pages.iter().any(|page| page & 1 == 1) {
            // SAFETY: the caller gives up the content, and zeros replace it.
            return unsafe { rustix::mm::madvise(begin, n_bytes, rustix::mm::Advice::LinuxDontNeed) }.is_ok();
        }
    }
    let _ = (block, n_bytes);
    false
}

/// Whether the process has a limit of address space.
fn is_bounded() -> bool {
    rustix::process::getrlimit(rustix::process::Resource::As).current.is_some()
}

fn seconds() -> u64 {
    BEGAN.get_or_init(Instant::now).elapsed().as_secs()
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    /// Number of the given addresses whose pages are in memory.
    fn n_resident(places: &[usize]) -> usize {
        let page = rustix::param::page_size();
        let is_there = |place: &&usize| {
            let (begin, mut told) = ((*place / page * page) as *mut super::c_void, 0u8);
            // SAFETY: nothing is read or written at the address; an unmapped page is reported as an
            // error.
            (unsafe { super::mincore(begin, page, &mut told) }) == 0 && told & 1 == 1
        };
        places.iter().filter(is_there).count()
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_lies_between_is_given_back() {
        // Small pieces, of which each thousandth stays.
        let mut pieces: Vec<Option<Box<[u8; 1_000]>>> = (0..50_000).map(|_| Some(Box::new([1; 1_000]))).collect();
        let places: Vec<usize> = pieces.iter().flatten().map(|piece| piece.as_ptr() as usize).collect();
        for (at, piece) in pieces.iter_mut().enumerate() {
            *piece = piece.take().filter(|_| at % 1_000 == 0);
        }
        super::trim();
        let n_left = n_resident(&places);
        assert!(n_left * 5 < places.len(), "{n_left} of {} are left", places.len());
        assert_eq!(pieces.iter().flatten().count(), 50);
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_lies_at_the_end_of_an_arena_is_given_back() {
        // After large blocks were freed, the allocator keeps twice their size at the end of each
        // arena.
        drop(vec![1u8; 30 << 20]);
        let arena = std::thread::spawn(|| {
            let pieces: Vec<Vec<u8>> = (0..400).map(|_| vec![1; 50 << 10]).collect();
            let places: Vec<usize> = pieces.iter().map(|piece| piece.as_ptr() as usize + (20 << 10)).collect();
            drop(pieces);
            super::ask();
            assert!(super::answer() && !super::answer());
            (n_resident(&places), places.len())
        });
        let (n_left, n_places) = arena.join().unwrap();
        assert!(n_left * 5 < n_places, "{n_left} of {n_places} are left");
    }
}
