//! RocksDB's backup engine: it keeps shared files once, and a note with each backup.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use librocksdb_sys as ffi;
use rocksdb::{AsRawPtr, Options};

use super::options::logger;
use super::{EngineFault, EngineResult, Rocks, begin, take_error};

/// A folder of backups, open.
pub(crate) struct BackupEngine {
    engine: NonNull<ffi::rocksdb_backup_engine_t>,
    // The engine writes to the logger that these options own.
    _options: Options,
}

/// A backup as the engine knows it.
pub(crate) struct EngineBackup {
    pub(crate) id: u32,
    pub(crate) n_bytes: u64,
    pub(crate) n_files: u32,
    /// The bytes that were given to [`BackupEngine::add`].
    pub(crate) note: Vec<u8>,
}

impl Drop for BackupEngine {
    fn drop(&mut self) {
        // SAFETY: we own the engine, nobody uses it after this, and the logger lives until the next
        // field goes.
        unsafe { ffi::rocksdb_backup_engine_close(self.engine.as_ptr()) };
    }
}

impl BackupEngine {
    /// Opens the backups in a folder, and makes the subfolders needed. The engine syncs its writes.
    pub(crate) fn open(folder: &Path) -> EngineResult<Self> {
        begin()?;
        let mut options = Options::default();
        options.set_info_logger(logger());
        let folder = c_path(folder)?;
        let mut error = ptr::null_mut();
        // SAFETY: the options and the path are alive, the out-pointer points to a local. The engine
        // keeps a pointer to the options' logger and is closed before they are dropped.
        let engine = unsafe { ffi::rocksdb_backup_engine_open(options.as_raw_ptr(), folder.as_ptr(), &mut error) };
        take_error(error)?;
        let engine = NonNull::new(engine).ok_or_else(|| EngineFault("the backups did not open".into()))?;
        Ok(BackupEngine { engine, _options: options })
    }

    /// Flushes a database, adds a backup of it, and returns the backup's number. The backup and its
    /// note appear together or not at all. The engine removes what an interrupted attempt left.
    pub(crate) fn add(&self, rocks: &Rocks, note: &[u8]) -> EngineResult<u32> {
        let (mut id, mut error) = (0, ptr::null_mut());
        // SAFETY: engine, database and note are alive until the call returns, the options are
        // destroyed after their use, and both out-pointers point to locals.
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

    /// The backups, oldest first, without those of which a file is missing.
    pub(crate) fn list(&self) -> Vec<EngineBackup> {
        let mut backups = Vec::new();
        // SAFETY: the list is ours until it is destroyed, every position asked for is below its
        // count, and a note is copied while the list that holds it is alive.
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

    /// Checks that every file of a backup exists, and its size against that at the open.
    pub(crate) fn verify(&self, id: u32) -> EngineResult<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the engine is alive, the out-pointer points to a local.
        unsafe { ffi::rocksdb_backup_engine_verify_backup(self.engine.as_ptr(), id, &mut error) };
        take_error(error)
    }

    /// Copies a backup's files into a folder, made if missing, and compares their checksums.
    pub(crate) fn restore(&self, id: u32, folder: &Path) -> EngineResult<()> {
        let folder = c_path(folder)?;
        let mut error = ptr::null_mut();
        // SAFETY: engine and path are alive, the options are destroyed after their use, the
        // out-pointer points to a local.
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

    /// Removes all backups but the newest `n_kept`, and the files that no other backup needs.
    pub(crate) fn purge(&self, n_kept: u32) -> EngineResult<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the engine is alive, the out-pointer points to a local.
        unsafe { ffi::rocksdb_backup_engine_purge_old_backups(self.engine.as_ptr(), n_kept, &mut error) };
        take_error(error)
    }
}

fn c_path(path: &Path) -> EngineResult<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| EngineFault(format!("path {} holds a NUL", path.display())))
}
