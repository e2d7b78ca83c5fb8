//! The wrapper around RocksDB. Only this folder calls RocksDB or has `unsafe` on this floor.
//!
//! It narrows RocksDB to what the store needs, and closes its traps:
//! - Every scan reports the error that ended it.
//! - A family's handle keeps the database alive.
//! - A snapshot cannot outlive its database.
//! - Families are created several at a time. The safe bindings create them one by one, and each
//!   call rewrites the options of all.
//! - A backup carries a note and returns its number. The safe bindings wrap neither.
//!
//! [`options`] sets RocksDB up, [`backups`] wraps its backup engine, [`aftermath`] drops errors
//! that only follow others, and [`directories`] shares descriptors of folders.

#![expect(
    unsafe_code,
    reason = "RocksDB's C interface: several families in one call, views that own their database, notes in backups, errors"
)]

mod aftermath;
pub(crate) mod backups;
mod directories;
mod options;

use std::ffi::{CStr, CString, c_char};
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use librocksdb_sys as ffi;
use parking_lot::Mutex;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    AsColumnFamilyRef, AsRawPtr, BottommostLevelCompaction, BoundColumnFamily, Cache, ColumnFamilyDescriptor,
    CompactOptions, DB, DBPinnableSlice, Env, FlushOptions, Options, ReadOptions, SnapshotWithThreadMode, WriteBatch,
    WriteBufferManager, WriteOptions,
};

pub(crate) use self::options::{Access, EngineBudget, RowShape};
use self::options::{block_cache, database_options, family_options, logger};
use crate::error::Result;
use crate::{heap, process};

/// Bytes that a scan of many rows reads ahead.
const READ_AHEAD: usize = 1 << 20;

/// An error of RocksDB, as its message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EngineFault(String);

impl EngineFault {
    /// Whether the disk is full, or a quota is used up.
    pub(crate) fn is_out_of_space(&self) -> bool {
        ["No space left", "NoSpace", "Space limit", "Disk quota"].iter().any(|words| self.0.contains(words))
    }

    /// Whether RocksDB refused because of an earlier failed write, without trying.
    pub(crate) fn is_aftermath(&self) -> bool {
        self.0.contains("previous error")
    }

    /// Whether the process or the system may open no more files.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        self.0.contains("Too many open files")
    }

    /// Whether RocksDB found bytes that it did not write, or files missing.
    pub(crate) fn is_corruption(&self) -> bool {
        let is_damage = self.0.starts_with("Corruption")
            || self.0.contains("No such file")
            || self.0.starts_with("Invalid argument");
        is_damage && !self.is_out_of_descriptors()
    }
}

impl From<rocksdb::Error> for EngineFault {
    fn from(error: rocksdb::Error) -> Self {
        EngineFault(error.into_string())
    }
}

type EngineResult<T> = std::result::Result<T, EngineFault>;

/// The answer of a visitor of rows: whether to go on, or its error.
pub(crate) type Visited = Result<ControlFlow<()>>;

/// An open RocksDB.
///
/// A forked child releases nothing of it: closing waits for threads that the child does not have.
pub(crate) struct Rocks {
    // Closed first, in `drop`.
    db: ManuallyDrop<DB>,
    access: Access,
    /// The folder that RocksDB demands for an instance beside a writer, and does not use.
    _scratch: Option<ScratchFolder>,
    budget: EngineBudget,
    cache: Cache,
    /// The present capacity of the cache, in bytes.
    cache_capacity: Mutex<usize>,
    // RocksDB holds its own reference. Ours serves to ask how many bytes the buffers use.
    write_buffers: WriteBufferManager,
}

impl Rocks {
    /// Opens the database in a folder and returns the handles of `families`, in the same order.
    /// They must be all families that the database has.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        budget: EngineBudget,
        families: &[(String, RowShape)],
    ) -> EngineResult<(Arc<Rocks>, Vec<Family>)> {
        begin()?;
        let cache = block_cache(budget);
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(budget.write_buffers_bytes, false, cache.clone());
        let options = database_options(access, &write_buffers)?;
        let descriptors = families
            .iter()
            .map(|(name, shape)| {
                let mut options = family_options(*shape, budget, &cache)?;
                options.set_disable_auto_compactions(access == Access::Copy);
                Ok(ColumnFamilyDescriptor::new(name, options))
            })
            .collect::<EngineResult<Vec<_>>>()?;
        let mut scratch = None;
        let db = match access {
            Access::ReadOnly => DB::open_cf_descriptors_read_only(&options, path, descriptors, false)?,
            Access::Beside => {
                let scratch =
                    scratch.get_or_insert(ScratchFolder::make().map_err(|error| EngineFault(error.to_string()))?);
                DB::open_cf_descriptors_as_secondary(&options, path, &scratch.0, descriptors)?
            }
            Access::ReadWrite | Access::Copy | Access::Create => DB::open_cf_descriptors(&options, path, descriptors)?,
        };
        let (db, cache_capacity) = (ManuallyDrop::new(db), Mutex::new(budget.cache_bytes_for(0)));
        let rocks = Arc::new(Rocks { db, access, _scratch: scratch, budget, cache, cache_capacity, write_buffers });
        let handles = families.iter().map(|(name, _)| rocks.opened_family(name)).collect::<EngineResult<Vec<_>>>()?;
        Ok((rocks, handles))
    }

    /// The names of a database's families. Reads only its manifest.
    pub(crate) fn list_families(path: &Path) -> EngineResult<Vec<String>> {
        begin()?;
        let mut options = Options::default();
        options.set_info_logger(logger());
        Ok(DB::list_cf(&options, path)?)
    }

    fn opened_family(self: &Arc<Self>, name: &str) -> EngineResult<Family> {
        let bound = self.db.cf_handle(name).ok_or_else(|| EngineFault(format!("family {name} did not open")))?;
        // SAFETY: only the lifetime changes. The handle must not outlive the database. `Family`
        // holds an `Arc` of the database beside the handle, and drops the handle first.
        let bound =
            unsafe { std::mem::transmute::<Arc<BoundColumnFamily<'_>>, Arc<BoundColumnFamily<'static>>>(bound) };
        Ok(Family { name: name.to_owned(), handle: Handle::Opened(ManuallyDrop::new(bound)), _rocks: self.clone() })
    }

    /// Creates several families of one shape in one call.
    pub(crate) fn create_families(self: &Arc<Self>, names: &[String], shape: RowShape) -> EngineResult<Vec<Family>> {
        let options = family_options(shape, self.budget, &self.cache)?;
        let c_names = names
            .iter()
            .map(|name| {
                CString::new(name.as_str()).map_err(|_| EngineFault(format!("family name {name:?} holds a NUL")))
            })
            .collect::<EngineResult<Vec<_>>>()?;
        let pointers: Vec<*const c_char> = c_names.iter().map(|name| name.as_ptr()).collect();
        let n_names = i32::try_from(names.len()).map_err(|_| EngineFault("too many families".into()))?;
        let (mut n_created, mut error) = (0usize, ptr::null_mut());
        // SAFETY: the database and the options are alive, `pointers` holds `n_names` NUL-terminated
        // strings that live until the call returns, and both out-pointers point to locals.
        let list = unsafe {
            ffi::rocksdb_create_column_families(
                self.db.as_raw_ptr(),
                options.as_raw_ptr(),
                n_names,
                pointers.as_ptr(),
                &mut n_created,
                &mut error,
            )
        };
        let mut families = Vec::with_capacity(n_created);
        if !list.is_null() {
            for (position, name) in names.iter().take(n_created).enumerate() {
                // SAFETY: RocksDB returned an array of `n_created` handles, which we own from here
                // on.
                let handle = unsafe { *list.add(position) };
                families.extend(NonNull::new(handle).map(|handle| Family {
                    name: name.clone(),
                    handle: Handle::Created(handle),
                    _rocks: self.clone(),
                }));
            }
            // SAFETY: frees the array itself, not the handles in it.
            unsafe { ffi::rocksdb_create_column_families_destroy(list) };
        }
        take_error(error)?;
        if families.len() != names.len() {
            return Err(EngineFault(format!("created {} of {} families", families.len(), names.len())));
        }
        Ok(families)
    }

    /// Drops a family. Existing handles still read its rows; its files go with the last one.
    pub(crate) fn drop_family(&self, family: &Family) -> EngineResult<()> {
        match &family.handle {
            Handle::Opened(_) => Ok(self.db.drop_cf(&family.name)?),
            Handle::Created(handle) => {
                let mut error = ptr::null_mut();
                // SAFETY: the family keeps the database alive, and the handle is this database's.
                unsafe { ffi::rocksdb_drop_column_family(self.db.as_raw_ptr(), handle.as_ptr(), &mut error) };
                take_error(error)
            }
        }
    }

    /// Writes a batch to the log and the memtables, all or nothing, without waiting for the disk.
    pub(crate) fn write(&self, batch: WriteBatch) -> EngineResult<()> {
        let mut options = WriteOptions::default();
        options.set_sync(false);
        // A batch that names a dropped family would fail half-way, and make the database
        // unwritable.
        options.set_ignore_missing_column_families(true);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Waits until everything written so far is on the disk.
    pub(crate) fn sync(&self) -> EngineResult<()> {
        Ok(self.db.flush_wal(true)?)
    }

    /// Writes the memtables of these families to their files.
    pub(crate) fn flush<'a>(&self, families: impl Iterator<Item = &'a Family>) -> EngineResult<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        families.into_iter().try_for_each(|family| Ok(self.db.flush_cf_opt(family, &options)?))
    }

    /// The value of a key, as of `snapshot`, or as of now.
    pub(crate) fn get<'a>(
        &'a self,
        family: &Family,
        snapshot: Option<&EngineSnapshot>,
        key: &[u8],
    ) -> EngineResult<Option<DBPinnableSlice<'a>>> {
        Ok(self.db.get_pinned_cf_opt(family, key, &read_options(snapshot))?)
    }

    /// The values of many keys, in the order of `keys`, as of `snapshot`, or as of now.
    pub(crate) fn get_many<'a, K: AsRef<[u8]>>(
        &'a self,
        family: &Family,
        snapshot: Option<&EngineSnapshot>,
        keys: &[K],
    ) -> EngineResult<Vec<Option<DBPinnableSlice<'a>>>> {
        let keys = keys.iter().map(AsRef::as_ref);
        let values = self.db.batched_multi_get_cf_opt(family, keys, false, &read_options(snapshot));
        values.into_iter().map(|value| Ok(value?)).collect()
    }

    /// Visits every row from key `from` up to, not including, `to`, in order, until `visit` breaks
    /// or fails. The inner result is that of `visit`.
    pub(crate) fn scan(
        &self,
        family: &Family,
        snapshot: Option<&EngineSnapshot>,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> Visited,
    ) -> EngineResult<Result<()>> {
        self.scan_with(read_options(snapshot), family, range, visit)
    }

    /// As [`scan`](Rocks::scan), for many rows that are not read again soon: reads ahead, and
    /// leaves the block cache alone.
    pub(crate) fn scan_through(
        &self,
        family: &Family,
        snapshot: Option<&EngineSnapshot>,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> Visited,
    ) -> EngineResult<Result<()>> {
        let mut options = read_options(snapshot);
        options.set_readahead_size(READ_AHEAD);
        options.fill_cache(false);
        self.scan_with(options, family, range, visit)
    }

    /// As [`scan`](Rocks::scan), but in reverse order: the last row first.
    pub(crate) fn scan_back(
        &self,
        family: &Family,
        snapshot: Option<&EngineSnapshot>,
        (from, to): (&[u8], &[u8]),
        mut visit: impl FnMut(&[u8], &[u8]) -> Visited,
    ) -> EngineResult<Result<()>> {
        let mut options = read_options(snapshot);
        options.set_iterate_lower_bound(from);
        options.set_iterate_upper_bound(to);
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek_to_last();
        while let Some((key, value)) = rows.item() {
            match visit(key, value) {
                Ok(ControlFlow::Continue(())) => rows.prev(),
                Ok(ControlFlow::Break(())) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
        rows.status()?;
        Ok(Ok(()))
    }

    fn scan_with(
        &self,
        mut options: ReadOptions,
        family: &Family,
        (from, to): (&[u8], &[u8]),
        mut visit: impl FnMut(&[u8], &[u8]) -> Visited,
    ) -> EngineResult<Result<()>> {
        options.set_iterate_upper_bound(to);
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            match visit(key, value) {
                Ok(ControlFlow::Continue(())) => rows.next(),
                Ok(ControlFlow::Break(())) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
        // An iterator that met an error looks like one that reached the end.
        rows.status()?;
        Ok(Ok(()))
    }

    /// The last key from `from` up to, not including, `to`.
    pub(crate) fn last_key(
        &self,
        family: &Family,
        snapshot: Option<&EngineSnapshot>,
        (from, to): (&[u8], &[u8]),
    ) -> EngineResult<Option<Vec<u8>>> {
        let mut options = read_options(snapshot);
        options.set_iterate_lower_bound(from);
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek_for_prev(to);
        if rows.key() == Some(to) {
            rows.prev();
        }
        rows.status()?;
        Ok(rows.key().map(<[u8]>::to_vec))
    }

    /// A view of the database as it is now.
    pub(crate) fn snapshot(self: &Arc<Self>) -> EngineSnapshot {
        if matches!(self.access, Access::Beside | Access::ReadOnly) {
            // An instance that never changes needs no snapshots.
            return EngineSnapshot { inner: None, _rocks: self.clone() };
        }
        let snapshot = self.db.snapshot();
        // SAFETY: only the lifetime changes. The snapshot refers to the database inside the `Arc`,
        // whose address is fixed. `EngineSnapshot` holds that `Arc` and drops the snapshot first.
        let snapshot = unsafe {
            std::mem::transmute::<SnapshotWithThreadMode<'_, DB>, SnapshotWithThreadMode<'static, DB>>(snapshot)
        };
        EngineSnapshot { inner: Some(ManuallyDrop::new(snapshot)), _rocks: self.clone() }
    }

    /// Copies the database to a new folder on the same disk, by hard links where it can.
    pub(crate) fn checkpoint(&self, path: &Path) -> EngineResult<()> {
        Ok(Checkpoint::new(&self.db)?.create_checkpoint(path)?)
    }

    /// Compares the sizes of all files with those that RocksDB expects, also of files that it has
    /// not read yet. Nothing may be written meanwhile.
    pub(crate) fn check_file_sizes(&self, data: &Path) -> EngineResult<()> {
        for file in self.db.live_files()? {
            let name = file.name.trim_start_matches('/');
            let size =
                std::fs::metadata(data.join(name)).map_err(|error| EngineFault(format!("{name}: {error}")))?.len();
            if size != file.size as u64 {
                return Err(EngineFault(format!("Corruption: {name}: expected {} bytes, got {size}", file.size)));
            }
        }
        Ok(())
    }

    /// Reads every block of every file and compares checksums.
    pub(crate) fn verify_checksums(&self) -> EngineResult<()> {
        // SAFETY: both calls take pointers that are alive; the options are destroyed after their
        // use.
        let error = unsafe {
            let options = ffi::rocksdb_readoptions_create();
            let mut error = ptr::null_mut();
            ffi::rocksdb_verify_checksum_with_options(self.db.as_raw_ptr(), options, &mut error);
            ffi::rocksdb_readoptions_destroy(options);
            error
        };
        take_error(error)
    }

    /// The number of the oldest log that still holds rows which are in no other file.
    pub(crate) fn oldest_needed_log(&self) -> EngineResult<u64> {
        Ok(self.db.property_int_value("rocksdb.min-log-number-to-keep")?.unwrap_or(0))
    }

    /// Bytes of a family's files.
    pub(crate) fn family_bytes(&self, family: &Family) -> u64 {
        self.db.property_int_value_cf(family, "rocksdb.total-sst-files-size").ok().flatten().unwrap_or(0)
    }

    /// The number of errors in RocksDB's threads since the database was opened.
    fn n_background_errors(&self) -> u64 {
        self.db.property_int_value("rocksdb.background-errors").ok().flatten().unwrap_or(0)
    }

    /// Rewrites a family's files without deleted and replaced rows that no snapshot shows.
    pub(crate) fn compact(&self, family: &Family) -> EngineResult<()> {
        let n_before = self.n_background_errors();
        let mut options = CompactOptions::default();
        options.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        // Other compactions may run meanwhile.
        options.set_exclusive_manual_compaction(false);
        self.db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
        // The call itself does not report whether it failed.
        match self.n_background_errors() > n_before {
            true => Err(EngineFault("files could not be rewritten; the engine's own log says why".into())),
            false => Ok(()),
        }
    }

    /// Sets the capacity of the block cache to fit `n_bytes` of files, and the write buffers.
    pub(crate) fn fit_cache(&self, n_bytes: u64) {
        let n_bytes = usize::try_from(n_bytes).unwrap_or(usize::MAX);
        let wanted = self.budget.cache_bytes_for(n_bytes.saturating_add(self.write_buffers.get_usage()));
        let mut capacity = self.cache_capacity.lock();
        if std::mem::replace(&mut *capacity, wanted) != wanted {
            let before = self.cache.get_usage();
            self.cache.clone().set_capacity(wanted);
            heap::note_freed(before.saturating_sub(self.cache.get_usage()));
        }
    }

    /// Empties the block cache, except for blocks in use.
    pub(crate) fn clear_cache(&self) {
        let capacity = self.cache_capacity.lock();
        self.cache.clone().set_capacity(0);
        self.cache.clone().set_capacity(*capacity);
    }

    /// Bytes of memory in use: the block cache with write buffers, and the readers of open files.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let readers = self.db.property_int_value("rocksdb.estimate-table-readers-mem").ok().flatten().unwrap_or(0);
        self.cache.get_usage() as u64 + readers
    }

    /// Bytes of memory in the block cache, without write buffers.
    pub(crate) fn cache_bytes(&self) -> u64 {
        (self.cache.get_usage() as u64).saturating_sub(self.write_buffer_bytes())
    }

    /// Bytes of memory in write buffers.
    pub(crate) fn write_buffer_bytes(&self) -> u64 {
        self.write_buffers.get_usage() as u64
    }
}

impl Drop for Rocks {
    fn drop(&mut self) {
        if !process::is_forked() {
            // SAFETY: `db` is dropped here and nowhere else.
            unsafe { ManuallyDrop::drop(&mut self.db) };
        }
    }
}

/// Runs before any use of RocksDB. A forked child has to know that RocksDB's threads are missing,
/// and must not wait for them in `exit`.
fn begin() -> EngineResult<()> {
    process::watch().map_err(|error| EngineFault(format!("watching for forks: {error}")))?;
    // RocksDB's exit handler waits for its threads. Ours, registered later, runs first and ends a
    // child.
    drop(Env::new()?);
    process::end_children_quietly();
    Ok(())
}

fn read_options(snapshot: Option<&EngineSnapshot>) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(snapshot) = snapshot.and_then(|snapshot| snapshot.inner.as_ref()) {
        options.set_snapshot::<DB>(snapshot);
    }
    options
}

/// The handle of a column family.
pub(crate) struct Family {
    name: String,
    handle: Handle,
    // Declared after the handle, so that the database is still there when the handle is dropped.
    _rocks: Arc<Rocks>,
}

enum Handle {
    /// Shared with the database's own list of families.
    Opened(ManuallyDrop<Arc<BoundColumnFamily<'static>>>),
    /// Owned by us alone.
    Created(NonNull<ffi::rocksdb_column_family_handle_t>),
}

// SAFETY: a RocksDB family handle may be used from any thread, and from several at once.
unsafe impl Send for Handle {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        match self {
            // RocksDB takes a lock for this, which a thread that the child does not have may hold.
            _ if process::is_forked() => {}
            // SAFETY: `bound` is dropped here and nowhere else.
            Handle::Opened(bound) => unsafe { ManuallyDrop::drop(bound) },
            // SAFETY: we own the handle, nobody uses it after this, and the database is alive
            // because of `Family`'s field order.
            Handle::Created(handle) => unsafe { ffi::rocksdb_column_family_handle_destroy(handle.as_ptr()) },
        }
    }
}

impl Family {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl AsColumnFamilyRef for Family {
    fn inner(&self) -> *mut ffi::rocksdb_column_family_handle_t {
        match &self.handle {
            Handle::Opened(bound) => bound.inner(),
            Handle::Created(handle) => handle.as_ptr(),
        }
    }
}

/// A consistent view of all families at one moment.
pub(crate) struct EngineSnapshot {
    /// `None` for a database that does not change.
    inner: Option<ManuallyDrop<SnapshotWithThreadMode<'static, DB>>>,
    _rocks: Arc<Rocks>,
}

// SAFETY: RocksDB snapshots may be read and released from any thread; the wrapper holds pointers
// only.
unsafe impl Send for EngineSnapshot {}
// SAFETY: as above; a snapshot never changes.
unsafe impl Sync for EngineSnapshot {}

impl Drop for EngineSnapshot {
    fn drop(&mut self) {
        if let Some(snapshot) = self.inner.as_mut().filter(|_| !process::is_forked()) {
            // SAFETY: the snapshot is dropped here and nowhere else, while the next field still
            // holds the database.
            unsafe { ManuallyDrop::drop(snapshot) };
        }
    }
}

/// An empty folder among the system's temporary files, removed on drop.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("vectrove-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(ScratchFolder(path))
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // Should this fail, an empty folder stays. A forked child leaves it to its parent.
        if !process::is_forked() {
            _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn take_error(error: *mut c_char) -> EngineResult<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: RocksDB reports an error as a NUL-terminated string that the caller frees.
    let message = unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        ffi::rocksdb_free(error.cast());
        message
    };
    Err(EngineFault(message))
}
