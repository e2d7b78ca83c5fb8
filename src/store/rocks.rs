//! The wrapper around RocksDB: the only file that calls it, and the only one on this floor with `unsafe`.
//!
//! It narrows RocksDB to what the store needs and closes its traps: every scan reports the error that ended it, a
//! family's handle keeps the database alive, a view cannot outlive what it looks at, families are created several at a
//! time (the safe bindings make them one by one, each at the cost of rewriting the options of all), and a backup carries
//! a note and tells its number (the safe bindings wrap neither).
//!
//! | option | value | why |
//! |---|---|---|
//! | `sync` of a write | false | the store syncs the log itself, once for all who wait |
//! | `wal_recovery_mode` | point in time | the strict modes refuse a torn tail that no one was promised; what this mode would lose silently is caught by the commit log |
//! | `track_and_verify_wals_in_manifest` | true | a closed log that is missing or short is refused by RocksDB itself |
//! | `recycle_log_file_num`, pipelined, unordered, two-queue, manual or mmapped writes | off | each weakens recovery or snapshots |
//! | `paranoid_file_checks`, `memtable_protection_bytes_per_key` | true, 8 | bit flips between memory and file are caught |
//! | `max_total_wal_size` | 16 MiB | bounds replay, which an open after a kill does twice, and the space that recovery needs |
//! | `max_file_opening_threads` | 1 | more are started for each family at every open |
//! | table `format_version` | 6 | said, so that an upgrade does not change it unseen |
//! | compression | vectors none; else LZ4, zstd at the bottom | vectors do not compress, and their files move instead of being rewritten |
//! | `info_log` | to `tracing` | no log files beside the data |

#![expect(
    unsafe_code,
    reason = "RocksDB's C interface: several families in one call, views that own their database, notes in backups"
)]

use std::ffi::{CStr, CString, c_char};
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use librocksdb_sys as ffi;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    AsColumnFamilyRef, AsRawPtr, BlockBasedOptions, BoundColumnFamily, Cache, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBPinnableSlice, DBRecoveryMode, FlushOptions, InfoLogger, LogLevel, Options, ReadOptions,
    SnapshotWithThreadMode, WriteBatch, WriteBufferManager, WriteOptions,
};

/// Bytes of logs beyond which memtables are written to files.
const LOG_BYTES: u64 = 16 << 20;
/// Bytes read at once where many rows are gone through.
const READ_AHEAD: usize = 1 << 20;

/// What RocksDB said went wrong.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(String);

impl Fault {
    /// Whether the disk is full, or a quota is used up.
    pub(crate) fn is_out_of_space(&self) -> bool {
        ["No space left", "NoSpace", "Space limit", "Disk quota"].iter().any(|words| self.0.contains(words))
    }

    /// Whether an earlier failed write is why this one was not even tried.
    pub(crate) fn is_aftermath(&self) -> bool {
        self.0.contains("previous error")
    }

    /// Whether RocksDB found bytes that are not what it wrote, or files missing.
    pub(crate) fn is_corruption(&self) -> bool {
        self.0.starts_with("Corruption") || self.0.contains("No such file") || self.0.starts_with("Invalid argument")
    }
}

impl From<rocksdb::Error> for Fault {
    fn from(error: rocksdb::Error) -> Self {
        Fault(error.into_string())
    }
}

type Outcome<T> = std::result::Result<T, Fault>;

/// How the memory given to RocksDB is divided, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    cache_bytes: usize,
    write_buffers_bytes: usize,
    largest_write_buffer_bytes: usize,
}

impl Budget {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        let write_buffers_bytes = (memory_bytes / 2).min(256 << 20);
        Budget {
            cache_bytes: memory_bytes,
            write_buffers_bytes,
            largest_write_buffer_bytes: (write_buffers_bytes / 4).min(64 << 20),
        }
    }
}

/// What a family's rows are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Large, random to the eye, written once: not compressed, large buffers.
    Vectors,
    /// Everything else.
    Rows,
}

/// How a database is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Replays the log in memory and changes nothing on disk.
    ReadOnly,
    /// The same, while another process writes: files that it deletes meanwhile can still be read.
    Beside,
    ReadWrite,
    /// Makes a new database.
    Create,
}

/// An open RocksDB.
pub(crate) struct Rocks {
    db: DB,
    access: Access,
    /// A folder that an instance beside a writer asks for, and does not use.
    _scratch: Option<Scratch>,
    budget: Budget,
    cache: Cache,
    // RocksDB holds its own reference; ours is kept to ask how much the buffers use.
    write_buffers: WriteBufferManager,
}

impl Rocks {
    /// Opens the database in a folder with these families, which must be all it has, and returns their handles in
    /// the same order.
    pub(crate) fn open(
        path: &Path,
        access: Access,
        budget: Budget,
        families: &[(String, Shape)],
    ) -> Outcome<(Arc<Rocks>, Vec<Family>)> {
        let cache = Cache::new_lru_cache(budget.cache_bytes);
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(budget.write_buffers_bytes, false, cache.clone());
        let options = database_options(access, &write_buffers)?;
        let descriptors = families
            .iter()
            .map(|(name, shape)| Ok(ColumnFamilyDescriptor::new(name, family_options(*shape, budget, &cache)?)))
            .collect::<Outcome<Vec<_>>>()?;
        let mut scratch = None;
        let db = match access {
            Access::ReadOnly => DB::open_cf_descriptors_read_only(&options, path, descriptors, false)?,
            Access::Beside => {
                let scratch = scratch.get_or_insert(Scratch::make().map_err(|error| Fault(error.to_string()))?);
                DB::open_cf_descriptors_as_secondary(&options, path, &scratch.0, descriptors)?
            }
            Access::ReadWrite | Access::Create => DB::open_cf_descriptors(&options, path, descriptors)?,
        };
        let rocks = Arc::new(Rocks { db, access, _scratch: scratch, budget, cache, write_buffers });
        let handles = families.iter().map(|(name, _)| rocks.opened_family(name)).collect::<Outcome<Vec<_>>>()?;
        Ok((rocks, handles))
    }

    /// The names of the families of the database in a folder; reads only its manifest.
    pub(crate) fn list_families(path: &Path) -> Outcome<Vec<String>> {
        let mut options = Options::default();
        options.set_info_logger(logger());
        Ok(DB::list_cf(&options, path)?)
    }

    fn opened_family(self: &Arc<Self>, name: &str) -> Outcome<Family> {
        let bound = self.db.cf_handle(name).ok_or_else(|| Fault(format!("family {name} did not open")))?;
        // SAFETY: only the lifetime changes. The handle must not outlive the database; the family holds an `Arc` of
        // it beside the handle and lets go of the handle first.
        let bound =
            unsafe { std::mem::transmute::<Arc<BoundColumnFamily<'_>>, Arc<BoundColumnFamily<'static>>>(bound) };
        Ok(Family { name: name.to_owned(), handle: Handle::Opened(bound), _rocks: self.clone() })
    }

    /// Creates families of one shape in one step.
    pub(crate) fn create_families(self: &Arc<Self>, names: &[String], shape: Shape) -> Outcome<Vec<Family>> {
        let options = family_options(shape, self.budget, &self.cache)?;
        let c_names = names
            .iter()
            .map(|name| CString::new(name.as_str()).map_err(|_| Fault(format!("family name {name:?} holds a NUL"))))
            .collect::<Outcome<Vec<_>>>()?;
        let pointers: Vec<*const c_char> = c_names.iter().map(|name| name.as_ptr()).collect();
        let n_names = i32::try_from(names.len()).map_err(|_| Fault("too many families".into()))?;
        let (mut n_created, mut error) = (0usize, ptr::null_mut());
        // SAFETY: the database and the options are alive, `pointers` holds `n_names` NUL-terminated strings that live
        // until the call returns, and both out-pointers point to locals.
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
                // SAFETY: RocksDB returned an array of `n_created` handles, which we own from here on.
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
            return Err(Fault(format!("created {} of {} families", families.len(), names.len())));
        }
        Ok(families)
    }

    /// Drops a family. Its rows stay readable through handles that exist; its files go with the last of them.
    pub(crate) fn drop_family(&self, family: &Family) -> Outcome<()> {
        match &family.handle {
            Handle::Opened(_) => Ok(self.db.drop_cf(&family.name)?),
            Handle::Created(handle) => {
                let mut error = ptr::null_mut();
                // SAFETY: the family holds the database alive, and the handle came from this database.
                unsafe { ffi::rocksdb_drop_column_family(self.db.as_raw_ptr(), handle.as_ptr(), &mut error) };
                take_error(error)
            }
        }
    }

    /// Writes a batch to the log and the memtables, all or nothing, without waiting for the disk.
    pub(crate) fn write(&self, batch: WriteBatch) -> Outcome<()> {
        let mut options = WriteOptions::default();
        options.set_sync(false);
        // A batch that names a dropped family would otherwise fail half-way and leave the whole database unwritable.
        options.set_ignore_missing_column_families(true);
        Ok(self.db.write_opt(batch, &options)?)
    }

    /// Waits until everything written so far is on the disk.
    pub(crate) fn sync(&self) -> Outcome<()> {
        Ok(self.db.flush_wal(true)?)
    }

    /// Writes the memtables of these families to their files.
    pub(crate) fn flush<'a>(&self, families: impl Iterator<Item = &'a Family>) -> Outcome<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        families.into_iter().try_for_each(|family| Ok(self.db.flush_cf_opt(family, &options)?))
    }

    /// The value under a key, as of a snapshot, or now.
    pub(crate) fn get<'a>(
        &'a self,
        family: &Family,
        snapshot: Option<&Snapshot>,
        key: &[u8],
    ) -> Outcome<Option<DBPinnableSlice<'a>>> {
        Ok(self.db.get_pinned_cf_opt(family, key, &read_options(snapshot))?)
    }

    /// The values under many keys, in their order, as of a snapshot, or now.
    pub(crate) fn get_many<'a, K: AsRef<[u8]>>(
        &'a self,
        family: &Family,
        snapshot: Option<&Snapshot>,
        keys: &[K],
    ) -> Outcome<Vec<Option<DBPinnableSlice<'a>>>> {
        let keys = keys.iter().map(AsRef::as_ref);
        let values = self.db.batched_multi_get_cf_opt(family, keys, false, &read_options(snapshot));
        values.into_iter().map(|value| Ok(value?)).collect()
    }

    /// Shows every row from key `from` up to, not including, `to`, in order, until `visit` breaks.
    pub(crate) fn scan<B>(
        &self,
        family: &Family,
        snapshot: Option<&Snapshot>,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Outcome<Option<B>> {
        self.scan_with(read_options(snapshot), family, range, visit)
    }

    /// The same where there are many rows, which will not be read again soon.
    pub(crate) fn scan_through<B>(
        &self,
        family: &Family,
        snapshot: Option<&Snapshot>,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Outcome<Option<B>> {
        let mut options = read_options(snapshot);
        options.set_readahead_size(READ_AHEAD);
        options.fill_cache(false);
        self.scan_with(options, family, range, visit)
    }

    fn scan_with<B>(
        &self,
        mut options: ReadOptions,
        family: &Family,
        (from, to): (&[u8], &[u8]),
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<B>,
    ) -> Outcome<Option<B>> {
        options.set_iterate_upper_bound(to);
        let mut rows = self.db.raw_iterator_cf_opt(family, options);
        rows.seek(from);
        while let Some((key, value)) = rows.item() {
            if let ControlFlow::Break(found) = visit(key, value) {
                return Ok(Some(found));
            }
            rows.next();
        }
        // An iterator that met an error looks like one that reached the end.
        rows.status()?;
        Ok(None)
    }

    /// The last key from `from` up to, not including, `to`.
    pub(crate) fn last_key(
        &self,
        family: &Family,
        snapshot: Option<&Snapshot>,
        (from, to): (&[u8], &[u8]),
    ) -> Outcome<Option<Vec<u8>>> {
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
    pub(crate) fn snapshot(self: &Arc<Self>) -> Snapshot {
        if self.access == Access::Beside {
            // It knows no snapshots, and never changes.
            return Snapshot { inner: None, _rocks: self.clone() };
        }
        let snapshot = self.db.snapshot();
        // SAFETY: only the lifetime changes. The snapshot refers to the database inside the `Arc`, whose address is
        // fixed; the view holds that `Arc` and releases the snapshot before it.
        let snapshot = unsafe {
            std::mem::transmute::<SnapshotWithThreadMode<'_, DB>, SnapshotWithThreadMode<'static, DB>>(snapshot)
        };
        Snapshot { inner: Some(ManuallyDrop::new(snapshot)), _rocks: self.clone() }
    }

    /// Makes a copy of the database in a new folder on the same disk, by hard links where it can.
    pub(crate) fn checkpoint(&self, path: &Path) -> Outcome<()> {
        Ok(Checkpoint::new(&self.db)?.create_checkpoint(path)?)
    }

    /// Reads every block of every file and compares checksums.
    pub(crate) fn verify_checksums(&self) -> Outcome<()> {
        // SAFETY: both calls take pointers that are alive; the options are destroyed after their use.
        let error = unsafe {
            let options = ffi::rocksdb_readoptions_create();
            let mut error = ptr::null_mut();
            ffi::rocksdb_verify_checksum_with_options(self.db.as_raw_ptr(), options, &mut error);
            ffi::rocksdb_readoptions_destroy(options);
            error
        };
        take_error(error)
    }

    /// The oldest log file that still holds rows which are in no other file.
    pub(crate) fn oldest_needed_log(&self) -> Outcome<u64> {
        Ok(self.db.property_int_value("rocksdb.min-log-number-to-keep")?.unwrap_or(0))
    }

    /// Bytes of a family's files.
    pub(crate) fn family_bytes(&self, family: &Family) -> u64 {
        self.db.property_int_value_cf(family, "rocksdb.total-sst-files-size").ok().flatten().unwrap_or(0)
    }

    /// Bytes of memory in use: cache with write buffers, and what open files take beside.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let readers = self.db.property_int_value("rocksdb.estimate-table-readers-mem").ok().flatten().unwrap_or(0);
        self.cache.get_usage() as u64 + readers
    }

    /// Bytes of memory in write buffers.
    pub(crate) fn write_buffer_bytes(&self) -> u64 {
        self.write_buffers.get_usage() as u64
    }
}

fn read_options(snapshot: Option<&Snapshot>) -> ReadOptions {
    let mut options = ReadOptions::default();
    if let Some(snapshot) = snapshot.and_then(|snapshot| snapshot.inner.as_ref()) {
        options.set_snapshot::<DB>(snapshot);
    }
    options
}

/// A column family's handle.
pub(crate) struct Family {
    name: String,
    handle: Handle,
    // Declared after the handle, so that the database is there when the handle is let go.
    _rocks: Arc<Rocks>,
}

enum Handle {
    /// Owned together with the database's own list of families.
    Opened(Arc<BoundColumnFamily<'static>>),
    /// Owned by us alone.
    Created(NonNull<ffi::rocksdb_column_family_handle_t>),
}

// SAFETY: a RocksDB family handle may be used from any thread, and from several at once.
unsafe impl Send for Handle {}
// SAFETY: as above; nothing is changed through a shared reference.
unsafe impl Sync for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Handle::Created(handle) = self {
            // SAFETY: we own the handle, nobody uses it after this, and the database is alive (`Family`'s field order).
            unsafe { ffi::rocksdb_column_family_handle_destroy(handle.as_ptr()) };
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
pub(crate) struct Snapshot {
    /// `None` of a database that does not change.
    inner: Option<ManuallyDrop<SnapshotWithThreadMode<'static, DB>>>,
    _rocks: Arc<Rocks>,
}

// SAFETY: RocksDB snapshots may be read and released from any thread; the wrapper holds pointers only.
unsafe impl Send for Snapshot {}
// SAFETY: as above; a snapshot never changes.
unsafe impl Sync for Snapshot {}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let Some(snapshot) = &mut self.inner {
            // SAFETY: dropped here and nowhere else, while the database is still held by the next field.
            unsafe { ManuallyDrop::drop(snapshot) };
        }
    }
}

/// A folder of backups, open.
pub(crate) struct BackupEngine {
    engine: NonNull<ffi::rocksdb_backup_engine_t>,
    // The engine writes to the logger that these own.
    _options: Options,
}

/// A backup as the engine knows it.
pub(crate) struct EngineBackup {
    pub(crate) id: u32,
    pub(crate) n_bytes: u64,
    pub(crate) n_files: u32,
    /// What was given with it.
    pub(crate) note: Vec<u8>,
}

impl Drop for BackupEngine {
    fn drop(&mut self) {
        // SAFETY: we own the engine, nobody uses it after this, and the logger lives until the next field goes.
        unsafe { ffi::rocksdb_backup_engine_close(self.engine.as_ptr()) };
    }
}

impl BackupEngine {
    /// Opens the backups in a folder, and makes what folders the engine needs in it. What it writes it syncs.
    pub(crate) fn open(folder: &Path) -> Outcome<Self> {
        let mut options = Options::default();
        options.set_info_logger(logger());
        let folder = c_path(folder)?;
        let mut error = ptr::null_mut();
        // SAFETY: the options and the path are alive, the out-pointer points to a local. The engine keeps a pointer to
        // the options' logger and is closed before they are dropped.
        let engine = unsafe { ffi::rocksdb_backup_engine_open(options.as_raw_ptr(), folder.as_ptr(), &mut error) };
        take_error(error)?;
        let engine = NonNull::new(engine).ok_or_else(|| Fault("the backups did not open".into()))?;
        Ok(BackupEngine { engine, _options: options })
    }

    /// Adds a backup of a database as it is now, flushed before, and returns its number. It is there, with its note,
    /// whole or not at all; what an attempt that was cut short left is removed.
    pub(crate) fn add(&self, rocks: &Rocks, note: &[u8]) -> Outcome<u32> {
        let (mut id, mut error) = (0, ptr::null_mut());
        // SAFETY: engine, database and note are alive until the call returns, the options are destroyed after their
        // use, and both out-pointers point to locals.
        unsafe {
            let options = ffi::rocksdb_create_backup_options_create();
            ffi::rocksdb_create_backup_options_set_flush_before_backup(options, 1);
            ffi::rocksdb_backup_engine_create_new_backup_with_metadata(
                self.engine.as_ptr(),
                rocks.db.as_raw_ptr(),
                options,
                note.as_ptr().cast(),
                note.len(),
                &mut id,
                &mut error,
            );
            ffi::rocksdb_create_backup_options_destroy(options);
        }
        take_error(error)?;
        Ok(id)
    }

    /// The backups, oldest first. Those of which a file is missing are not among them.
    pub(crate) fn list(&self) -> Vec<EngineBackup> {
        let mut backups = Vec::new();
        // SAFETY: the list is ours until it is destroyed, every position asked for is below its count, and a note is
        // copied while the list that holds it is alive.
        unsafe {
            let list = ffi::rocksdb_backup_engine_get_backup_info(self.engine.as_ptr());
            for position in 0..ffi::rocksdb_backup_engine_info_count(list) {
                let mut n_bytes = 0;
                let note = ffi::rocksdb_backup_engine_info_app_metadata(list, position, &mut n_bytes);
                backups.push(EngineBackup {
                    id: ffi::rocksdb_backup_engine_info_backup_id(list, position),
                    n_bytes: ffi::rocksdb_backup_engine_info_size(list, position),
                    n_files: ffi::rocksdb_backup_engine_info_number_files(list, position),
                    note: std::slice::from_raw_parts(note.cast(), n_bytes).to_vec(),
                });
            }
            ffi::rocksdb_backup_engine_info_destroy(list);
        }
        backups
    }

    /// Looks whether every file of a backup is there, and as long as when the backups were opened.
    pub(crate) fn verify(&self, id: u32) -> Outcome<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the engine is alive, the out-pointer points to a local.
        unsafe { ffi::rocksdb_backup_engine_verify_backup(self.engine.as_ptr(), id, &mut error) };
        take_error(error)
    }

    /// Copies a backup's files into a folder, made if missing, and compares the checksum of each.
    pub(crate) fn restore(&self, id: u32, folder: &Path) -> Outcome<()> {
        let folder = c_path(folder)?;
        let mut error = ptr::null_mut();
        // SAFETY: engine and path are alive, the options are destroyed after their use, the out-pointer points to a
        // local.
        unsafe {
            let options = ffi::rocksdb_restore_options_create();
            ffi::rocksdb_backup_engine_restore_db_from_backup(
                self.engine.as_ptr(),
                folder.as_ptr(),
                folder.as_ptr(),
                options,
                id,
                &mut error,
            );
            ffi::rocksdb_restore_options_destroy(options);
        }
        take_error(error)
    }

    /// Removes all but the newest so many backups, and the files that no other needs.
    pub(crate) fn purge(&self, n_kept: u32) -> Outcome<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the engine is alive, the out-pointer points to a local.
        unsafe { ffi::rocksdb_backup_engine_purge_old_backups(self.engine.as_ptr(), n_kept, &mut error) };
        take_error(error)
    }
}

fn c_path(path: &Path) -> Outcome<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Fault(format!("path {} holds a NUL", path.display())))
}

fn database_options(access: Access, write_buffers: &WriteBufferManager) -> Outcome<Options> {
    let mut options = Options::default();
    options.create_if_missing(access == Access::Create);
    options.create_missing_column_families(access == Access::Create);
    options.set_error_if_exists(access == Access::Create);
    options.set_info_logger(logger());
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_max_total_wal_size(LOG_BYTES);
    options.set_write_buffer_manager(write_buffers);
    options.set_max_background_jobs(4);
    // Beside a writer all files are opened at once, so that they stay there.
    options.set_max_open_files(if access == Access::Beside { -1 } else { max_open_files() });
    options.set_skip_stats_update_on_db_open(true);
    // More are started anew for each family, whether it has files to open or not.
    options.set_max_file_opening_threads(1);
    Ok(options)
}

/// An empty folder among the system's temporary files, as long as it is needed.
struct Scratch(PathBuf);

impl Scratch {
    fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("vectrove-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is an empty folder among temporary files.
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A share of the descriptors this process may open; at the limit RocksDB would stop for good.
fn max_open_files() -> i32 {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(65_536);
    i32::try_from((allowed / 2).clamp(64, 4_096)).unwrap_or(4_096)
}

fn family_options(shape: Shape, budget: Budget, cache: &Cache) -> Outcome<Options> {
    let mut options = options_from_string("paranoid_file_checks=true;memtable_protection_bytes_per_key=8")?;
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    table.set_format_version(6);
    match shape {
        Shape::Vectors => {
            options.set_write_buffer_size(budget.largest_write_buffer_bytes);
            options.set_compression_type(DBCompressionType::None);
            table.set_block_size(16 << 10);
        }
        Shape::Rows => {
            options.set_write_buffer_size(budget.largest_write_buffer_bytes / 2);
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
            // Most ids looked up by an insert do not exist. Both are small because every idle family has its own.
            options.set_memtable_whole_key_filtering(true);
            options.set_memtable_prefix_bloom_ratio(0.002);
            options.set_arena_block_size(128 << 10);
            table.set_block_size(8 << 10);
        }
    }
    options.set_block_based_table_factory(&table);
    Ok(options)
}

/// Options that the safe bindings have no setter for.
fn options_from_string(text: &str) -> Outcome<Options> {
    let (base, options) = (Options::default(), Options::default());
    let text = CString::new(text).map_err(|_| Fault("options hold a NUL".into()))?;
    let mut error = ptr::null_mut();
    // SAFETY: both options are alive, the string ends in NUL, the out-pointer points to a local.
    unsafe {
        ffi::rocksdb_get_options_from_string(base.as_raw_ptr(), text.as_ptr(), options.as_raw_ptr(), &mut error);
    }
    take_error(error)?;
    Ok(options)
}

fn logger() -> InfoLogger {
    InfoLogger::new_callback_logger(LogLevel::Warn, |level, message| match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "vectrove::rocksdb", "{message}"),
        _ => tracing::warn!(target: "vectrove::rocksdb", "{message}"),
    })
}

fn take_error(error: *mut c_char) -> Outcome<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: RocksDB reports an error as a NUL-terminated string that the caller frees.
    let message = unsafe {
        let message = CStr::from_ptr(error).to_string_lossy().into_owned();
        ffi::rocksdb_free(error.cast());
        message
    };
    Err(Fault(message))
}
