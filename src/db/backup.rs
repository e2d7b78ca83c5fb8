//! Backups: made of an open database, and restored to a database that is verified first.

use std::path::Path;
use std::sync::Arc;

use super::{Database, Engine, reader};
use crate::cancel::Cancel;
use crate::config::{Options, Residency};
use crate::error::{Error, Result};
use crate::id::Commit;
use crate::store::Store;
use crate::store::backups::folder::{Adding, Backup, BackupFolder};
use crate::store::files::atomic_dir::make_whole;
use crate::store::open::dry_open::{DryRun, clear_draft, draft_of_copy};
use crate::{failpoint, process};

/// Memory for RocksDB while a copy is verified, in bytes. Documents take memory on top.
const MEMORY_BYTES: usize = 64 << 20;

impl Database {
    /// Adds a backup to a folder of backups of this database, without stopping reads or writes.
    /// Makes a missing folder. Files that an earlier backup has are not copied again. The backup
    /// appears whole or not at all.
    ///
    /// The copy that it is made of is first opened and verified, as by
    /// [`verify`](Database::verify). That reads all of the database, and takes the memory of a
    /// database opened read-only, without exact vectors where graphs are walked by codes. Creating,
    /// dropping and renaming collections waits while files are linked or copied.
    ///
    /// # Errors
    /// `Corruption` or `DataLoss` if the database is damaged; `InvalidConfig` if the folder holds
    /// anything else, or backups of another database; `Busy` if another backup is being added to
    /// it; `Corruption` if files of a backup in it are missing; `Io` or `Storage` if it cannot be
    /// written; [`Commit`](crate::Error::Commit) if the disk of the database does not confirm;
    /// `Closed`.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path().join("db"))?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// let first = db.backup(folder.path().join("backups"))?;
    /// notes.insert(Document::new([2.0]).id("b"))?;
    /// let second = db.backup(folder.path().join("backups"))?;
    /// assert!(second.id > first.id && second.commit > first.commit);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, folder: impl AsRef<Path>) -> Result<Backup> {
        self.backup_with(folder, &Cancel::default())
    }

    /// As [`backup`](Database::backup), until `cancel` is set: then no backup is added. The flag
    /// has no effect while the engine copies files.
    ///
    /// # Errors
    /// `Cancelled`; otherwise as [`backup`](Database::backup).
    pub fn backup_with(&self, folder: impl AsRef<Path>, cancel: &Cancel) -> Result<Backup> {
        self.engine.backup(folder.as_ref(), cancel)
    }

    /// The backups in a folder, oldest first. Opens no database.
    ///
    /// # Errors
    /// `BackupNotFound` if it is no folder of backups; `Corruption` if files of backups in it are
    /// missing, with their numbers; `UnsupportedFormat` if a newer version wrote it; `Io` or
    /// `Storage` if it cannot be read.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("backups");
    /// # let db = vectrove::Database::open(folder.with_file_name("db"))?;
    /// # use vectrove::Database;
    /// db.backup(&folder)?;
    /// for backup in Database::backups(&folder)? {
    ///     println!("{}: up to commit {}, {} bytes", backup.id, backup.commit, backup.n_bytes);
    /// }
    /// # assert_eq!(Database::backups(&folder)?.len(), 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn backups(folder: impl AsRef<Path>) -> Result<Vec<Backup>> {
        process::check()?;
        BackupFolder::open(folder.as_ref())?.into_backups()
    }

    /// Restores a backup as a database in a folder that does not exist yet: the backup with number
    /// `id`, or the newest. Returns the last commit in it.
    ///
    /// The restored database is opened and verified, as by [`verify`](Database::verify), before the
    /// folder appears. That takes the memory of an open database. The folder appears whole or not
    /// at all.
    ///
    /// # Errors
    /// `BackupNotFound` if it is no folder of backups, or has none with this number; `Corruption`
    /// or `DataLoss` if the backup is damaged; `UnsupportedFormat` if a newer version wrote it;
    /// `Io` if the target exists; `Io` or `Storage` if reading the backup or writing the target
    /// fails.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let (backups, restored) = (folder.path().join("backups"), folder.path().join("restored"));
    /// # let db = vectrove::Database::open(folder.path().join("db"))?;
    /// # use vectrove::{CollectionConfig, Database, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// db.backup(&backups)?;
    /// notes.delete("a")?;
    /// Database::restore(&backups, &restored, None)?;
    /// assert!(Database::open(&restored)?.collection("notes")?.contains("a")?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn restore(folder: impl AsRef<Path>, target: impl AsRef<Path>, id: Option<u32>) -> Result<Commit> {
        Database::restore_with(folder, target, id, &Cancel::default())
    }

    /// As [`restore`](Database::restore), until `cancel` is set: then the target does not appear.
    /// The flag has no effect while the engine copies files.
    ///
    /// # Errors
    /// `Cancelled`; otherwise as [`restore`](Database::restore).
    pub fn restore_with(
        folder: impl AsRef<Path>,
        target: impl AsRef<Path>,
        id: Option<u32>,
        cancel: &Cancel,
    ) -> Result<Commit> {
        process::check()?;
        cancel.check()?;
        let folder = BackupFolder::open(folder.as_ref())?;
        let backup = folder.find(id)?;
        make_whole(target.as_ref(), |draft| {
            folder.restore(&backup, draft)?;
            let commit = verify_copy(draft, cancel)?;
            failpoint::hit("restore.filled");
            Ok(commit)
        })
    }

    /// Removes all backups in a folder but the newest `keep`, and files that none of these needs.
    ///
    /// # Errors
    /// `BackupNotFound` if it is no folder of backups; `Busy` if a backup is being added to it;
    /// `Corruption` if files of a backup in it are missing; `UnsupportedFormat` if a newer version
    /// wrote it; `Io` or `Storage` if it cannot be written.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("backups");
    /// # let db = vectrove::Database::open(folder.with_file_name("db"))?;
    /// # use vectrove::Database;
    /// db.backup(&folder)?;
    /// let newest = db.backup(&folder)?;
    /// Database::purge_backups(&folder, 1)?;
    /// assert_eq!(Database::backups(&folder)?, [newest]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn purge_backups(folder: impl AsRef<Path>, keep: usize) -> Result<()> {
        process::check()?;
        BackupFolder::purge(folder.as_ref(), keep)
    }
}

/// Opens and verifies a copy that nobody else uses, without changing a file. Returns its last
/// commit.
fn verify_copy(path: &Path, cancel: &Cancel) -> Result<Commit> {
    cancel.check()?;
    let options = Options::new().read_only(true).memory_bytes(MEMORY_BYTES).residency(Residency::Disk);
    let options = options.cancel(cancel.clone());
    let dry_run = DryRun::begin_copy(path, &options)?;
    let named = dry_run.collections.iter().filter_map(|collection| collection.entry.config.distance.clone());
    // Only the program that made the collections has the distances that they name. Verifying needs
    // no result of them, so any function will do.
    let options = named.fold(options, |options, name| {
        options.distance(name, |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum())
    });
    drop(dry_run);
    let db = Database::open_by(path, options, reader::open_copy)?;
    let found = db.verify_with(cancel)?;
    db.close()?;
    Ok(found.commit)
}

impl Engine {
    /// Copies the database into a folder that does not exist yet, and verifies the copy before the
    /// folder appears. Returns the copy's last commit.
    pub(super) fn checkpoint(&self, target: &Path, cancel: &Cancel) -> Result<Commit> {
        process::check()?;
        cancel.check()?;
        let _copying = self.copying.lock();
        make_whole(target, |draft| {
            let _store = self.while_no_family_changes(|store| store.copy_to(draft))?;
            verify_copy(draft, cancel)
        })
    }

    fn backup(&self, folder: &Path, cancel: &Cancel) -> Result<Backup> {
        process::check()?;
        cancel.check()?;
        let _copying = self.copying.lock();
        // The copy lies within the database's folder, so that files are linked and not copied.
        let draft = draft_of_copy(&self.path);
        let (store, adding) = self.while_no_family_changes(|store| {
            store.refuse_beside()?;
            let adding = Adding::begin(folder, store.identity())?;
            clear_draft(&self.path)?;
            std::fs::create_dir(&draft).map_err(|error| Error::io("creating", &draft, error))?;
            store.copy_to(&draft).inspect_err(|_| self.clear_copy())?;
            Ok(adding)
        })?;
        let added = verify_copy(&draft, cancel).and_then(|commit| adding.add(&draft, commit, store.now_ms()));
        self.clear_copy();
        // Dropped only now: until then nobody else opens the folder and clears the copy.
        drop(store);
        added
    }

    fn clear_copy(&self) {
        if let Err(error) = clear_draft(&self.path) {
            tracing::warn!("the next open clears a copy away: {error}");
        }
    }

    /// Runs `work` while no family is created or dropped, and returns the store. The caller has to
    /// drop the store before it takes the catalog: a closing thread holds the catalog while it
    /// waits for the store.
    fn while_no_family_changes<T>(&self, work: impl FnOnce(&Store) -> Result<T>) -> Result<(Arc<Store>, T)> {
        let _catalog = self.lock_catalog()?;
        let store = self.store()?;
        let done = work(&store)?;
        Ok((store, done))
    }
}
