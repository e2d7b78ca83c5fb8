//! Whether the process's limit of address space leaves room for an open database.
//!
//! C++ and Rust end the process if an allocation finds no address space. So an open first compares
//! the limit (`ulimit -v`) with its needs. Most processes have no limit.

use rustix::process::{Resource, getrlimit};

use crate::config::Options;
use crate::error::{Error, Result};

/// Address space beside caches and write buffers, in bytes: for arrays, for buffers of reads and
/// writes, and for the C library.
const BESIDE_BYTES: u64 = 256 << 20;
/// Address space for each thread, in bytes: 8 MiB for its stack, and 64 MiB that the C library
/// reserves for its allocations.
const THREAD_BYTES: u64 = (8 + 64) << 20;
/// Threads beside those that link.
const N_THREADS: u64 = 8;

/// Fails with `AddressSpace` if an open could run out of address space.
pub(in crate::store) fn check(options: &Options) -> Result<()> {
    let Some(limit) = getrlimit(Resource::As).current else { return Ok(()) };
    let used = used().unwrap_or(0);
    let needed = needed(options);
    if limit.saturating_sub(used) >= needed {
        return Ok(());
    }
    Err(Error::AddressSpace { needed, used, limit })
}

fn needed(options: &Options) -> u64 {
    let n_threads = options.link_threads as u64 + N_THREADS;
    (options.memory_bytes as u64).saturating_add(BESIDE_BYTES).saturating_add(n_threads * THREAD_BYTES)
}

/// Bytes of address space that this process uses; `None` if the system does not tell.
fn used() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').next()?.parse::<u64>().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_follows_the_options() {
        let least = needed(&Options::new().memory_bytes(8 << 20).link_threads(1));
        assert_eq!(needed(&Options::new().memory_bytes(9 << 20).link_threads(1)), least + (1 << 20));
        assert_eq!(needed(&Options::new().memory_bytes(8 << 20).link_threads(3)), least + 2 * THREAD_BYTES);
        assert_eq!(needed(&Options::new().memory_bytes(usize::MAX)), u64::MAX);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_used_is_told() {
        let before = used().unwrap();
        let map = memmap2::MmapOptions::new().len(64 << 20).map_anon().unwrap();
        assert!(used().unwrap() >= before + (32 << 20), "with {} bytes more", map.len());
    }
}
