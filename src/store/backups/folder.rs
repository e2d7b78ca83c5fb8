//! Folders of backups: which backups they hold, and whether those are whole.
//!
//! RocksDB's backup engine copies the files and counts the backups that need each: a file of an
//! earlier backup is not copied again. With every backup it stores a note of ours, which appears
//! together with the backup or not at all:
//!
//! ```text
//! OFFSET SIZE FIELD
//!      0    1 version = 1
//!      1    8 the last commit that the backup has
//!      9    8 when it was made, in ms since 1970
//!     17    4 CRC32C of all before
//! ```
//!
//! The engine's list leaves out backups whose files are missing. The next time it tidies up, it
//! removes files that only such backups need. So its list is compared with the files in the folder,
//! and a folder with damage is read but no longer written. The engine compares the checksums of
//! files only when it restores them.
//!
//! A writing process holds the folder's lock. Reading takes none, so the disk may be read-only.

use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::marker;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::Commit;
use crate::store::format::codec::{FieldReader, append_checksum, verify_checksum};
use crate::store::open::dry_open::{open_copy, sync_manifest};
use crate::store::open::lock_file::Owner;
use crate::store::open::superblock::{Superblock, SuperblockFile};
use crate::store::rocks::EngineFault;
use crate::store::rocks::backups::{BackupEngine, EngineBackup};
use crate::store::storage;

const NOTE_VERSION: u8 = 1;
const NOTE_BYTES: usize = 17;

/// One backup of a database: everything in it as of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backup {
    /// The backup's number in its folder. Later backups have larger numbers.
    pub id: u32,
    /// The last commit in the backup.
    pub commit: Commit,
    /// When the backup was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// Size of the backup's files in bytes, including files that it shares with other backups.
    pub n_bytes: u64,
    /// Number of the backup's files, including files that it shares with other backups.
    pub n_files: u32,
}

/// An open folder of backups.
pub(crate) struct BackupFolder {
    path: PathBuf,
    store: Uuid,
    engine: BackupEngine,
    /// Backups of which no file is missing, oldest first.
    backups: Vec<Backup>,
    /// The numbers of all other backups.
    damaged: Vec<u32>,
}

impl BackupFolder {
    /// Opens a folder of backups.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let store = marker::find(path)?;
        let before = numbers(path)?;
        let engine = BackupEngine::open(path).map_err(storage("opening the backups"))?;
        let backups: Vec<Backup> = engine.list().iter().filter_map(described).collect();
        // A backup that came or went between the two listings belongs to another process.
        let after = numbers(path)?;
        let is_whole = |id: &u32| backups.iter().any(|backup| backup.id == *id);
        let damaged = before.into_iter().filter(|id| after.contains(id) && !is_whole(id)).collect();
        Ok(BackupFolder { path: path.to_owned(), store, engine, backups, damaged })
    }

    /// Removes all backups in a folder but the newest `n_kept`.
    pub(crate) fn purge(path: &Path, n_kept: usize) -> Result<()> {
        // A folder without our mark must stay untouched: even the lock would write a file there.
        marker::find(path)?;
        let _owner = Owner::take(path)?;
        let folder = BackupFolder::open(path)?;
        folder.check_whole()?;
        folder.engine.purge(u32::try_from(n_kept).unwrap_or(u32::MAX)).map_err(storage("purging backups"))
    }

    /// All backups, oldest first. Fails if one is damaged: the list would hide it.
    pub(crate) fn into_backups(self) -> Result<Vec<Backup>> {
        self.check_whole()?;
        Ok(self.backups)
    }

    /// The backup with number `id`, or the newest.
    pub(crate) fn find(&self, id: Option<u32>) -> Result<Backup> {
        let newest = || self.backups.iter().map(|backup| backup.id).chain(self.damaged.iter().copied()).max();
        let wanted = id.or_else(newest);
        if wanted.is_some_and(|wanted| self.damaged.contains(&wanted)) {
            self.check_whole()?;
        }
        let found = self.backups.iter().find(|backup| Some(backup.id) == wanted).cloned();
        found.ok_or_else(|| Error::BackupNotFound { path: self.path.clone(), id })
    }

    /// Restores a backup as a database in an empty folder. The caller has to open it to check it.
    pub(crate) fn restore(self, backup: &Backup, folder: &Path) -> Result<()> {
        let (store, durable, data) = (self.store, backup.commit, folder.join("data"));
        let damage = |fault: EngineFault| Error::corruption(format!("backup {}", backup.id), fault.to_string());
        let verified = self.engine.verify(backup.id).map_err(damage);
        let restored = verified.and_then(|()| {
            self.engine.restore(backup.id, &data).map_err(|fault| match fault.is_corruption() {
                true => damage(fault),
                false => storage("restoring a backup")(fault),
            })
        });
        // When one file proves damaged, others are still being copied. Closing waits for those.
        drop(self);
        restored?;
        let manifest = sync_manifest(&data)?;
        // The database was not closed cleanly: the last writes before the backup are only in a log.
        SuperblockFile::create(folder, Superblock { store, durable, manifest, clean: false, creating: false })?;
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        if self.damaged.is_empty() {
            return Ok(());
        }
        let (damaged, whole) = (&self.damaged, self.backups.iter().map(|backup| backup.id).collect::<Vec<_>>());
        let detail = format!(
            "files of backups {damaged:?} are missing or not what was written; {whole:?} can be restored; make new \
             backups in another folder"
        );
        Err(Error::corruption(format!("the backups in {}", self.path.display()), detail))
    }
}

/// A folder of backups while a backup is added. The lock keeps other processes from adding too.
pub(crate) struct Adding {
    folder: BackupFolder,
    _owner: Owner,
}

impl Adding {
    /// Locks a folder of backups of a store, to add one. Makes a missing folder.
    pub(crate) fn begin(path: &Path, store: Uuid) -> Result<Self> {
        let owner = marker::claim(path, store)?;
        let folder = BackupFolder::open(path)?;
        folder.check_whole()?;
        Ok(Adding { folder, _owner: owner })
    }

    /// Adds a backup of `copy`, a copy of the database that nobody else uses. The copy was checked
    /// to end with `commit`. `now_ms` becomes the backup's time.
    pub(crate) fn add(self, copy: &Path, commit: Commit, now_ms: u64) -> Result<Backup> {
        let (folder, rocks) = (&self.folder, open_copy(copy, commit)?);
        let id = folder.engine.add(&rocks, &encode_note(commit, now_ms)).map_err(storage("making a backup"))?;
        failpoint::hit("backup.filled");
        let made = folder.engine.list().into_iter().find(|made| made.id == id);
        let missing = || Error::BackupNotFound { path: folder.path.clone(), id: Some(id) };
        made.as_ref().and_then(described).ok_or_else(missing)
    }
}

/// The numbers of the backups that have a list of files in a folder, in order.
fn numbers(folder: &Path) -> Result<Vec<u32>> {
    let lists = folder.join("meta");
    let entries = match std::fs::read_dir(&lists) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("reading", lists, error)),
    };
    let mut numbers: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Describes a backup; `None` if its note cannot be read.
fn described(found: &EngineBackup) -> Option<Backup> {
    let (commit, time_ms) = decode_note(&found.note).ok()?;
    Some(Backup { id: found.id, commit, time_ms, n_bytes: found.n_bytes, n_files: found.n_files })
}

fn encode_note(commit: Commit, time_ms: u64) -> Vec<u8> {
    append_checksum([[NOTE_VERSION].as_slice(), &commit.0.to_le_bytes(), &time_ms.to_le_bytes()].concat())
}

fn decode_note(bytes: &[u8]) -> Result<(Commit, u64)> {
    const WHAT: &str = "a backup's note";
    let mut fields = FieldReader::new(WHAT, verify_checksum(WHAT, bytes)?, NOTE_VERSION, NOTE_BYTES)?;
    Ok((Commit(fields.u64()), fields.u64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let note = encode_note(Commit(300), 1_700_000_000_000);
        let expected = b"\x01\x2c\x01\0\0\0\0\0\0\x00\x68\xe5\xcf\x8b\x01\0\0\xf6\x84\xb3\x15";
        assert_eq!(note, expected);
        assert_eq!(decode_note(&note).unwrap(), (Commit(300), 1_700_000_000_000));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let whole = encode_note(Commit(300), 1_700_000_000_000);
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_note(&damaged).is_err(), "bit {bit}");
        }
    }
}
