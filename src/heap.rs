//! Giving memory that was freed back to the operating system.
//!
//! The C library's allocator keeps freed memory for later, in pieces between blocks that are in use. After much work the
//! freed pieces can take as much memory as the blocks. [`trim`] returns every page without a block to the system. It
//! walks through the whole heap, so a vacuum calls it, and otherwise the worker, at most once a minute and only where
//! much was freed. The allocator serves the whole process: its settings are left alone. With an allocator other than
//! glibc's nothing is done.
//!
//! Threads allocate from arenas of their own. What lies free at the end of another thread's arena is not given back by
//! `malloc_trim`, and can be tens of megabytes. So threads that free much come by [`answer`] between two pieces of work,
//! and give that back once after each [`trim`].
#![expect(unsafe_code, reason = "the C library alone can give back what its allocator keeps")]

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Seconds for which memory is left where it is after some was given back.
const PATIENCE: u64 = 60;
/// Bytes that have to be freed since for that to be worth it.
const LEAST_BYTES: usize = 4 << 20;
/// Bytes of the blocks in which a thread takes what is free in its arena. Larger ones, from 128 KiB on, glibc may map
/// apart.
const BLOCK: usize = 120 << 10;
/// At most so many blocks are taken...
const MOST_BLOCKS: usize = 2_048;
/// ...and no more after so many in a row of which nothing is in memory.
const MOST_EMPTY: usize = 256;

/// Bytes freed, by the word of those who did, since memory was last given back.
static FREED: AtomicUsize = AtomicUsize::new(0);
/// When that may be done again, in seconds after [`BEGAN`].
static DUE: AtomicU64 = AtomicU64::new(0);
static BEGAN: OnceLock<Instant> = OnceLock::new();
/// How often threads were asked to give back what their arenas keep.
static N_ASKED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Up to which of these this thread has done so.
    static N_ANSWERED: Cell<usize> = const { Cell::new(0) };
}

// As glibc and POSIX declare them.
unsafe extern "C" {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn malloc_trim(pad: usize) -> c_int;
    fn malloc(n_bytes: usize) -> *mut c_void;
    fn free(block: *mut c_void);
    #[cfg(target_os = "linux")]
    fn mincore(begin: *mut c_void, n_bytes: usize, pages: *mut u8) -> c_int;
}

/// Takes note of about so many bytes that were freed, or soon will be.
pub(crate) fn note_freed(n_bytes: usize) {
    FREED.fetch_add(n_bytes, Ordering::Relaxed);
}

/// Gives back what nothing is on, and asks other threads to do so.
pub(crate) fn trim() {
    DUE.store(seconds() + PATIENCE, Ordering::Relaxed);
    FREED.store(0, Ordering::Relaxed);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread, and moves nothing.
    let _ = unsafe { malloc_trim(0) };
    ask();
}

/// Whether much was freed and [`trim`] was not called within the last minute. Says so once a minute.
pub(crate) fn is_due() -> bool {
    let (now, due) = (seconds(), DUE.load(Ordering::Relaxed));
    FREED.load(Ordering::Relaxed) >= LEAST_BYTES
        && now >= due
        && DUE.compare_exchange(due, now + PATIENCE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Asks threads to give back what their arenas keep, each when it next comes by [`answer`].
pub(crate) fn ask() {
    N_ASKED.fetch_add(1, Ordering::Relaxed);
}

/// Gives back what this thread's arena keeps, if it was asked for since the last time. Returns whether it was.
pub(crate) fn answer() -> bool {
    let n_asked = N_ASKED.load(Ordering::Relaxed);
    let is_asked = N_ANSWERED.replace(n_asked) != n_asked;
    // Where the address space is bounded, what is taken meanwhile may be what another thread needs.
    if is_asked && cfg!(all(target_os = "linux", target_env = "gnu")) && !is_bounded() {
        empty_arena();
    }
    is_asked
}

/// Takes what is free in this thread's arena, block by block, has the pages of each leave memory, and frees all again.
fn empty_arena() {
    let (mut blocks, mut n_empty) = (Vec::with_capacity(MOST_BLOCKS), 0);
    while blocks.len() < MOST_BLOCKS && n_empty < MOST_EMPTY {
        // SAFETY: any size may be asked for.
        let block = unsafe { malloc(BLOCK) };
        if block.is_null() {
            break;
        }
        blocks.push(block);
        // SAFETY: the block is ours, has so many bytes, and nothing was written to it.
        n_empty = if unsafe { empty(block.cast(), BLOCK) } { 0 } else { n_empty + 1 };
    }
    for block in blocks {
        // SAFETY: it came from `malloc` and is used no more.
        unsafe { free(block) };
    }
}

/// Has the whole pages of a block leave memory; false if none is there.
///
/// # Safety
/// The block is the caller's, who does not need what it holds.
unsafe fn empty(block: *mut u8, n_bytes: usize) -> bool {
    #[cfg(target_os = "linux")]
    {
        let page = rustix::param::page_size();
        let skipped = block.align_offset(page).min(n_bytes);
        let (begin, n_bytes) = (block.wrapping_add(skipped).cast::<c_void>(), (n_bytes - skipped) / page * page);
        let mut pages = [0; BLOCK.div_ceil(4 << 10)];
        // SAFETY: whole pages of the block, and room for one byte for each: none is smaller than 4 KiB.
        let is_told =
            n_bytes.div_ceil(4 << 10) <= pages.len() && unsafe { mincore(begin, n_bytes, pages.as_mut_ptr()) } == 0;
        if is_told && pages.iter().any(|page| page & 1 == 1) {
            // SAFETY: by the caller's promise. Zeros take the place of what the pages hold.
            return unsafe { rustix::mm::madvise(begin, n_bytes, rustix::mm::Advice::LinuxDontNeed) }.is_ok();
        }
    }
    let _ = (block, n_bytes);
    false
}

/// Whether the process may have only so much address space.
fn is_bounded() -> bool {
    rustix::process::getrlimit(rustix::process::Resource::As).current.is_some()
}

fn seconds() -> u64 {
    BEGAN.get_or_init(Instant::now).elapsed().as_secs()
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    /// Of places in memory, how many are in pages that are there.
    fn n_resident(places: &[usize]) -> usize {
        let page = rustix::param::page_size();
        let is_there = |place: &&usize| {
            let (begin, mut told) = ((*place / page * page) as *mut super::c_void, 0u8);
            // SAFETY: nothing is read or written there; what is not mapped any more is told as an error.
            (unsafe { super::mincore(begin, page, &mut told) }) == 0 && told & 1 == 1
        };
        places.iter().filter(is_there).count()
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn what_lies_between_is_given_back() {
        // Small pieces, of which every thousandth stays.
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
        // Once large blocks were freed, the allocator keeps twice as much at the end of each arena.
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
