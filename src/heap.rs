//! Giving memory that was freed back to the operating system.
//!
//! The C library's allocator keeps what is freed for later, in pieces between what is still in use: after much work that
//! can be as much again as all that is held. [`trim`] has it give back every page that nothing is on. That walks through
//! all it has, so it is done by whoever asks for it, and otherwise at most once a minute, where much was freed. The
//! allocator is the whole process's: its settings are left alone. With another one than glibc's, nothing is done.
#![expect(unsafe_code, reason = "the C library alone can give back what its allocator keeps")]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Seconds for which memory is left where it is after some was given back.
const PATIENCE: u64 = 60;
/// Bytes that have to be freed since for that to be worth it.
const LEAST_BYTES: usize = 4 << 20;

/// Bytes freed, by the word of those who did, since memory was last given back.
static FREED: AtomicUsize = AtomicUsize::new(0);
/// When that may be done again, in seconds after [`BEGAN`].
static DUE: AtomicU64 = AtomicU64::new(0);
static BEGAN: OnceLock<Instant> = OnceLock::new();

// As glibc declares it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn malloc_trim(pad: usize) -> c_int;
}

/// Takes note of about so many bytes that were freed, or soon will be.
pub(crate) fn note_freed(n_bytes: usize) {
    FREED.fetch_add(n_bytes, Ordering::Relaxed);
}

/// Gives back what nothing is on.
pub(crate) fn trim() {
    DUE.store(seconds() + PATIENCE, Ordering::Relaxed);
    FREED.store(0, Ordering::Relaxed);
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it may be called at any time, from any thread, and moves nothing.
    let _ = unsafe { malloc_trim(0) };
}

/// The same, if much was freed and it was not done within the last minute.
pub(crate) fn trim_if_due() {
    if FREED.load(Ordering::Relaxed) >= LEAST_BYTES && seconds() >= DUE.load(Ordering::Relaxed) {
        trim();
    }
}

fn seconds() -> u64 {
    BEGAN.get_or_init(Instant::now).elapsed().as_secs()
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn freed_memory_is_given_back() {
        let resident_bytes = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
        };
        // Small pieces, and every thousandth stays: the allocator gives nothing back by itself.
        let mut pieces: Vec<Option<Box<[u8; 1_000]>>> = (0..100_000).map(|_| Some(Box::new([1; 1_000]))).collect();
        let full = resident_bytes();
        for (at, piece) in pieces.iter_mut().enumerate() {
            *piece = piece.take().filter(|_| at % 1_000 == 0);
        }
        super::trim();
        let left = resident_bytes();
        assert!(left + (60 << 20) < full, "{left} bytes of {full} are left");
        assert_eq!(pieces.iter().flatten().count(), 100);
    }
}
