//! How RocksDB is set up, and why.
//!
//! | option | value | why |
//! |---|---|---|
//! | `sync` of a write | false | the store syncs the log itself, once for all writers who wait |
//! | `wal_recovery_mode` | point in time | the strict modes refuse a torn tail, which was never acknowledged as durable; the commit log catches what this mode would lose silently |
//! | `track_and_verify_wals_in_manifest` | true | a closed log that is missing or short is refused by RocksDB itself |
//! | `recycle_log_file_num`, pipelined, unordered, two-queue, manual or mmapped writes | off | each weakens recovery or snapshots |
//! | `paranoid_file_checks`, `memtable_protection_bytes_per_key` | true, 8 | bit flips between memory and file are caught |
//! | `max_total_wal_size` | 16 MiB | bounds replay, which an open after a kill does twice, and the disk space that recovery needs |
//! | capacity of the block cache | 8 MiB, then as the files grow, up to the budget | a small database takes little memory |
//! | shards of the block cache | at most 8 | each shard must have room for the filter of any file |
//! | `uncache_aggressiveness` | 10,000 | blocks of deleted files leave the cache at once; `paranoid_file_checks` puts all blocks of a new file there |
//! | `max_file_opening_threads` | 1 | RocksDB starts further threads for each family at every open |
//! | table `format_version` | 6 | fixed, so that an upgrade of RocksDB does not change it unseen |
//! | `max_successive_merges` | 16 | bounds the cost of reading a row of postings that changes all the time; small, since each merge counts the merges before it |
//! | compression | vectors none; else LZ4, zstd at the bottom | vectors do not compress, and their files move instead of being rewritten |
//! | `max_open_files` | a quarter of the process's limit, 20 to 4,096 | the program has files of its own |
//! | `env` | folders share descriptors | otherwise each new family opens the folder once more ([`directories`]) |
//! | listeners | one | RocksDB must not take a refusal that follows an error for another error ([`aftermath`]) |
//! | `info_log` | to `tracing` | no log files beside the data |

use std::ffi::{CStr, CString};
use std::ptr;

use librocksdb_sys as ffi;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use rocksdb::{
    AsRawPtr, BlockBasedOptions, Cache, CompactionDecision, DBCompressionType, DBRecoveryMode, InfoLogger, LogLevel,
    LruCacheOptions, MergeOperands, Options, WriteBufferManager,
};

use super::{EngineFault, EngineResult, aftermath, directories, take_error};
use crate::store::format::key::{is_postings, is_word};
use crate::store::format::{postings, words};

/// RocksDB writes memtables to files once its logs exceed this many bytes.
const LOG_BYTES: u64 = 16 << 20;

/// Lower bound of the files that RocksDB keeps open. RocksDB accepts no fewer.
const FEWEST_OPEN_FILES: u64 = 20;
/// Upper bound of the files that RocksDB keeps open.
const MOST_OPEN_FILES: u64 = 4_096;
/// Each shard of the table of open files has room for this many files.
const FILES_OF_A_PART: u32 = 16;

/// Merges of one row in a write buffer before RocksDB folds them into the row.
const MOST_MERGES: usize = 16;

/// How RocksDB's memory is divided.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EngineBudget {
    pub(super) cache_bytes: usize,
    pub(super) write_buffers_bytes: usize,
    largest_write_buffer_bytes: usize,
}

/// Capacity of the block cache for an empty database, in bytes: the least that an [`EngineBudget`]
/// may be.
const LEAST_CACHE: usize = 8 << 20;
/// A shard of a full block cache has at least this many bytes.
const CACHE_PART: usize = 8 << 20;
/// Base-2 logarithm of the largest number of shards of the block cache; each has a lock of its own.
/// The filter of a file is one block, of 1.25 bytes for each row. A filter that does not fit into
/// its shard is read again for every row that is looked up. The cache grows with the files, so an
/// eighth of it has room for the filter of any file.
const MOST_CACHE_PARTS_LOG2: u32 = 3;
/// Base-2 logarithm of the largest number of shards of the table of open files.
const MOST_PARTS_LOG2: u32 = 6;

impl EngineBudget {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let write_buffers_bytes = (memory_bytes / 2).min(256 << 20);
        EngineBudget {
            cache_bytes: memory_bytes,
            write_buffers_bytes,
            largest_write_buffer_bytes: (write_buffers_bytes / 4).min(64 << 20),
        }
    }

    /// Capacity of the block cache in bytes, for `n_bytes` of files and write buffers.
    pub(super) fn cache_bytes_for(&self, n_bytes: usize) -> usize {
        n_bytes.max(LEAST_CACHE).min(self.cache_bytes)
    }
}

/// The kind of rows that a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowShape {
    /// Large rows of random-looking bytes, written once: no compression, and large buffers.
    Vectors,
    /// All other rows. Only postings are ever merged, but all have the same options: families of
    /// one shape are created in one call.
    Rows,
}

/// How a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Replays the log in memory and changes nothing on disk.
    ReadOnly,
    /// As `ReadOnly`, while another process writes. Files that it deletes stay readable.
    Beside,
    ReadWrite,
    /// As `ReadWrite`, for a copy that only serves to make another copy: RocksDB merges no files.
    Copy,
    /// Makes a new database.
    Create,
}

pub(super) fn database_options(access: Access, write_buffers: &WriteBufferManager) -> EngineResult<Options> {
    let mut options = Options::default();
    options.create_if_missing(access == Access::Create);
    options.create_missing_column_families(access == Access::Create);
    options.set_error_if_exists(access == Access::Create);
    options.set_info_logger(logger());
    aftermath::ignore_in(&mut options);
    directories::share_in(&mut options);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(LOG_BYTES);
    options.set_write_buffer_manager(write_buffers);
    options.set_max_background_jobs(4);
    let n_open = match access {
        // All files are opened at once, so that a writer's deletions do not take them away.
        Access::Beside => -1,
        // The database that is copied may be open in this process too.
        Access::ReadOnly | Access::Copy => (max_open_files() / 4).max(FEWEST_OPEN_FILES as i32),
        Access::ReadWrite | Access::Create => max_open_files(),
    };
    options.set_max_open_files(n_open);
    options.set_table_cache_num_shard_bits(table_cache_parts_log2(n_open));
    options.set_skip_stats_update_on_db_open(true);
    // RocksDB would start further threads for each family, whether it has files to open or not.
    options.set_max_file_opening_threads(1);
    Ok(options)
}

/// Base-2 logarithm of the number of shards of the table of open files. Each shard keeps at least
/// one file, however small `max_open_files` is.
fn table_cache_parts_log2(max_open_files: i32) -> i32 {
    let n_parts = u32::try_from(max_open_files).map_or(u32::MAX, |n| (n / FILES_OF_A_PART).max(1));
    n_parts.ilog2().min(MOST_PARTS_LOG2) as i32
}

/// The number of files that RocksDB keeps open: a quarter of those that this process may open.
fn max_open_files() -> i32 {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    i32::try_from((allowed / 4).clamp(FEWEST_OPEN_FILES, MOST_OPEN_FILES)).unwrap_or(i32::MAX)
}

pub(super) fn block_cache(budget: EngineBudget) -> Cache {
    let mut options = LruCacheOptions::default();
    options.set_capacity(budget.cache_bytes_for(0));
    let n_parts = (budget.cache_bytes / CACHE_PART).max(1);
    options.set_num_shard_bits(n_parts.ilog2().min(MOST_CACHE_PARTS_LOG2) as i32);
    Cache::new_lru_cache_opts(&options)
}

pub(super) fn family_options(shape: RowShape, budget: EngineBudget, cache: &Cache) -> EngineResult<Options> {
    let mut options = options_from_string(
        "paranoid_file_checks=true;memtable_protection_bytes_per_key=8;uncache_aggressiveness=10000",
    )?;
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    table.set_format_version(6);
    match shape {
        RowShape::Vectors => {
            options.set_write_buffer_size(budget.largest_write_buffer_bytes);
            options.set_compression_type(DBCompressionType::None);
            table.set_block_size(16 << 10);
        }
        RowShape::Rows => {
            options.set_write_buffer_size(budget.largest_write_buffer_bytes / 2);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
            // Most ids that an insert looks up do not exist, so memtables have a Bloom filter.
            // Filters and arena blocks are small because every idle family has its own.
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(0.002);
            options.set_arena_block_size(128 << 10);
            table.set_block_size(8 << 10);
        }
    }
    options.set_block_based_table_factory(&table);
    if shape == RowShape::Rows {
        merge_postings(&mut options);
    }
    Ok(options)
}

/// Sets the merge operator of postings, and drops rows that have become empty.
fn merge_postings(options: &mut Options) {
    options.set_merge_operator(
        "vectrove.postings",
        |key: &[u8], row: Option<&[u8]>, changes: &MergeOperands| {
            let changes: Vec<&[u8]> = changes.iter().collect();
            Some(if is_word(key) { words::merge(row, &changes) } else { postings::merge(row, &changes) })
        },
        |key: &[u8], _: Option<&[u8]>, changes: &MergeOperands| match is_word(key) {
            true => words::merge_changes(changes.iter()),
            false => postings::merge_changes(changes.iter()),
        },
    );
    options.set_max_successive_merges(MOST_MERGES);
    options.set_compaction_filter_factory(Emptied);
}

/// Drops rows of postings without slots when files are rewritten: they mean the same as no row.
struct Emptied;

impl CompactionFilterFactory for Emptied {
    type Filter = Emptied;

    fn create(&mut self, _: CompactionFilterContext) -> Emptied {
        Emptied
    }

    fn name(&self) -> &CStr {
        c"vectrove.emptied"
    }
}

impl CompactionFilter for Emptied {
    fn filter(&mut self, _level: u32, key: &[u8], row: &[u8]) -> CompactionDecision {
        let is_empty = is_postings(key) && postings::is_empty(row) || is_word(key) && words::is_empty(row);
        if is_empty { CompactionDecision::Remove } else { CompactionDecision::Keep }
    }

    fn name(&self) -> &CStr {
        c"vectrove.emptied"
    }
}

/// Makes options for which the safe bindings have no setter, from RocksDB's text form.
fn options_from_string(text: &str) -> EngineResult<Options> {
    let (base, options) = (Options::default(), Options::default());
    let text = CString::new(text).map_err(|_| EngineFault("options hold a NUL".into()))?;
    let mut error = ptr::null_mut();
    // SAFETY: both options are alive, the string ends in NUL, the out-pointer points to a local.
    unsafe {
        ffi::rocksdb_get_options_from_string(base.as_raw_ptr(), text.as_ptr(), options.as_raw_ptr(), &mut error);
    }
    take_error(error)?;
    Ok(options)
}

pub(super) fn logger() -> InfoLogger {
    InfoLogger::new_callback_logger(LogLevel::Warn, |level, message| match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "vectrove::rocksdb", "{message}"),
        _ => tracing::warn!(target: "vectrove::rocksdb", "{message}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_grows_with_the_files_up_to_the_budget() {
        let budget = EngineBudget::new(64 << 20);
        assert_eq!(budget.cache_bytes_for(0), LEAST_CACHE);
        assert_eq!(budget.cache_bytes_for(30 << 20), 30 << 20);
        assert_eq!(budget.cache_bytes_for(usize::MAX), 64 << 20);
        assert_eq!(EngineBudget::new(1 << 20).cache_bytes_for(0), 1 << 20);
    }
}
