//! Folders of backups: what they hold, and whether that is whole.
//!
//! RocksDB's backup engine copies the files and counts who needs each: a file that an earlier backup has is not copied
//! again. With every backup it keeps a note of ours, written with it or not at all:
//!
//! ```text
//! OFFSET SIZE FIELD
//!      0    1 version = 1
//!      1    8 the last commit that the backup has
//!      9    8 when it was made, in ms since 1970
//!     17    4 CRC32C of all before
//! ```
//!
//! The engine passes over backups whose files are missing, and removes what only such a backup needs when it next
//! tidies up. So its list is held against what lies in the folder, and a folder with damage is read and no longer
//! written. What is in the files it looks at only when it restores them; then it compares all checksums.
//!
//! Whoever writes holds the folder's lock. Reading takes none, so that backups may lie on a disk that takes no writes.

use std::path::{Path, PathBuf};

use serde::Serialize;
use uuid::Uuid;

use super::owner::Owner;
use super::record::{Fields, seal, unseal};
use super::rehearse::open_copy;
use super::rehearse::sync_manifest;
use super::rocks::Fault;
use super::rocks::backups::{BackupEngine, EngineBackup};
use super::superblock::{Superblock, SuperblockFile};
use super::{mark, storage};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::Commit;

const NOTE_VERSION: u8 = 1;
const NOTE_BYTES: usize = 17;

/// One backup of a database: all that was in it at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Backup {
    /// Its number in the folder. Backups made later have larger ones.
    pub id: u32,
    /// The last commit that the backup has.
    pub commit: Commit,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: u64,
    /// Bytes of its files, those it has in common with other backups included.
    pub n_bytes: u64,
    /// Files it is made of, those it has in common with other backups included.
    pub n_files: u32,
}

/// A folder of backups, open.
pub(crate) struct BackupFolder {
    path: PathBuf,
    store: Uuid,
    engine: BackupEngine,
    /// Those whose files are all there, oldest first.
    backups: Vec<Backup>,
    /// The numbers of all others.
    damaged: Vec<u32>,
}

impl BackupFolder {
    /// Opens the backups in a folder.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let store = mark::find(path)?;
        let before = numbers(path)?;
        let engine = BackupEngine::open(path).map_err(storage("opening the backups"))?;
        let backups: Vec<Backup> = engine.list().iter().filter_map(described).collect();
        // One that came or went meanwhile is another process's.
        let after = numbers(path)?;
        let is_whole = |id: &u32| backups.iter().any(|backup| backup.id == *id);
        let damaged = before.into_iter().filter(|id| after.contains(id) && !is_whole(id)).collect();
        Ok(BackupFolder { path: path.to_owned(), store, engine, backups, damaged })
    }

    /// Opens the backups in a folder and removes all but the newest.
    pub(crate) fn purge(path: &Path, n_kept: usize) -> Result<()> {
        // What is no folder of backups is not touched, not even by the lock.
        mark::find(path)?;
        let _owner = Owner::take(path)?;
        let folder = BackupFolder::open(path)?;
        folder.check_whole()?;
        folder.engine.purge(u32::try_from(n_kept).unwrap_or(u32::MAX)).map_err(storage("purging backups"))
    }

    /// All backups, oldest first. Refused if one is damaged, which would be missing without a word.
    pub(crate) fn into_backups(self) -> Result<Vec<Backup>> {
        self.check_whole()?;
        Ok(self.backups)
    }

    /// The backup with a number, or the newest.
    pub(crate) fn find(&self, id: Option<u32>) -> Result<Backup> {
        let newest = || self.backups.iter().map(|backup| backup.id).chain(self.damaged.iter().copied()).max();
        let wanted = id.or_else(newest);
        if wanted.is_some_and(|wanted| self.damaged.contains(&wanted)) {
            self.check_whole()?;
        }
        let found = self.backups.iter().find(|backup| Some(backup.id) == wanted).cloned();
        found.ok_or_else(|| Error::BackupNotFound { path: self.path.clone(), id })
    }

    /// Makes a database of a backup, in an empty folder. Whether all is in it, the caller has to prove by opening it.
    pub(crate) fn restore(self, backup: &Backup, folder: &Path) -> Result<()> {
        let (store, durable, data) = (self.store, backup.commit, folder.join("data"));
        let damage = |fault: Fault| Error::corruption(format!("backup {}", backup.id), fault.to_string());
        let verified = self.engine.verify(backup.id).map_err(damage);
        let restored = verified.and_then(|()| {
            self.engine.restore(backup.id, &data).map_err(|fault| match fault.is_corruption() {
                true => damage(fault),
                false => storage("restoring a backup")(fault),
            })
        });
        // When one file is found damaged, others are still being copied; closing waits for them.
        drop(self);
        restored?;
        let manifest = sync_manifest(&data)?;
        // Not clean: what was written while the backup was made is only in a log.
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

/// A folder of backups that one is being added to. Nobody else adds to it meanwhile.
pub(crate) struct Adding {
    folder: BackupFolder,
    _owner: Owner,
}

impl Adding {
    /// Takes a folder, made if missing, to add a backup of a store to it.
    pub(crate) fn begin(path: &Path, store: Uuid) -> Result<Self> {
        let owner = mark::claim(path, store)?;
        let folder = BackupFolder::open(path)?;
        folder.check_whole()?;
        Ok(Adding { folder, _owner: owner })
    }

    /// Adds a backup of a copy of the database, which is proved to be as of a commit and no one else's. It is made now.
    pub(crate) fn add(self, copy: &Path, commit: Commit, now_ms: u64) -> Result<Backup> {
        let (folder, rocks) = (&self.folder, open_copy(copy, commit)?);
        let id = folder.engine.add(&rocks, &encode_note(commit, now_ms)).map_err(storage("making a backup"))?;
        failpoint::hit("backup.filled");
        let made = folder.engine.list().into_iter().find(|made| made.id == id);
        let missing = || Error::BackupNotFound { path: folder.path.clone(), id: Some(id) };
        made.as_ref().and_then(described).ok_or_else(missing)
    }
}

/// The numbers of the backups whose lists of files lie in a folder, in order.
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

/// A backup whose note can be read.
fn described(found: &EngineBackup) -> Option<Backup> {
    let (commit, time_ms) = decode_note(&found.note).ok()?;
    Some(Backup { id: found.id, commit, time_ms, n_bytes: found.n_bytes, n_files: found.n_files })
}

fn encode_note(commit: Commit, time_ms: u64) -> Vec<u8> {
    seal([[NOTE_VERSION].as_slice(), &commit.0.to_le_bytes(), &time_ms.to_le_bytes()].concat())
}

fn decode_note(bytes: &[u8]) -> Result<(Commit, u64)> {
    const WHAT: &str = "a backup's note";
    let mut fields = Fields::new(WHAT, unseal(WHAT, bytes)?, NOTE_VERSION, NOTE_BYTES)?;
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
