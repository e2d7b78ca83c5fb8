//! The store: durable bytes. Only this floor names `rocksdb` or `bincode`.
//!
//! A [`Store`] is an open database as bytes: column families, commit log, superblock. It commits
//! [`Draft`]s one at a time and hands out [`View`]s. It knows slots, rows and commit numbers. It
//! does not know what a vector means, which documents a batch touches, or what is held in memory.
//!
//! | file | owns |
//! |---|---|
//! | [`rocks`] | the wrapper around RocksDB: options, handles, faults |
//! | [`mod@format`] | the on-disk format: every key and every value |
//! | [`files`] | images; folders that appear whole or not at all |
//! | [`family`] | which column families a collection has |
//! | [`open`] | checks at open that no commit is missing; lock and superblock |
//! | [`commit`] | drafts, group commit, health, upkeep |
//! | [`backups`] | folders of backups, and the store each belongs to |

pub(crate) mod backups;
pub(crate) mod commit;
pub(crate) mod family;
pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod open;
pub(crate) mod rocks;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use self::commit::draft::{Derived, Draft};
use self::commit::group_commit::SyncGate;
use self::commit::health::Health;
use self::commit::upkeep::Trimmer;
use self::family::Families;
use self::files::image;
use self::format::codec::read_u64;
use self::format::key;
use self::format::record::{CatalogEntry, CatalogState};
use self::open::commit_log::LogSummary;
use self::open::lock_file::Owner;
use self::open::superblock::SuperblockFile;
use self::rocks::{EngineFault, EngineSnapshot, Family, Rocks};
use crate::config::{Durability, Options};
use crate::error::{Error, Outcome, Result};
use crate::failpoint;
use crate::id::{CollectionId, Commit};

const DEFAULT_FAMILY: &str = "default";
/// The list of replaced views has spare room for this many, beside twice the views still in use.
const LEAST_REPLACED: usize = 64;

/// An open database, as bytes.
///
/// Lock order: `last` (the committer section), then a collection's memory, then `replaced`.
/// `trimmer` is taken before `last`, and `imaged` under `trimmer`. `superblock` is taken alone or
/// under `last`.
pub(crate) struct Store {
    folder: PathBuf,
    options: Options,
    rocks: Arc<Rocks>,
    default: Family,
    /// The last commit. Its lock is the committer section.
    last: Mutex<Commit>,
    /// The last commit again, readable without the lock.
    last_written: AtomicU64,
    view: ArcSwap<View>,
    /// Replaced views that may still be in use, oldest first.
    replaced: Mutex<VecDeque<Weak<View>>>,
    gate: SyncGate,
    health: Health,
    superblock: Mutex<SuperblockFile>,
    n_superblock_writes: AtomicU64,
    trimmer: Mutex<Trimmer>,
    /// The first commit that the log holds: what the trimmer says, for whoever does not wait for
    /// it.
    log_start: AtomicU64,
    /// For each collection with an image, the commit after which an open reads the log.
    imaged: Mutex<HashMap<CollectionId, Commit>>,
    next_collection: Mutex<CollectionId>,
    // Declared last, so that the lock is released after everything above. `None` in a reader.
    owner: Option<Owner>,
}

/// The database as of one commit: everything up to it, and nothing later.
pub(crate) struct View {
    pub(crate) commit: Commit,
    pub(crate) snapshot: EngineSnapshot,
}

impl Store {
    #[expect(clippy::too_many_arguments, reason = "called once, by the dry run that made each of them")]
    fn new(
        folder: PathBuf,
        options: Options,
        superblock: SuperblockFile,
        rocks: Arc<Rocks>,
        default: Family,
        summary: LogSummary,
        next_collection: CollectionId,
        owner: Option<Owner>,
    ) -> Self {
        let view = View { commit: summary.last, snapshot: rocks.snapshot() };
        Store {
            last: Mutex::new(summary.last),
            last_written: AtomicU64::new(summary.last.0),
            view: ArcSwap::from_pointee(view),
            replaced: Mutex::default(),
            gate: SyncGate::new(summary.last),
            health: Health::default(),
            superblock: Mutex::new(superblock),
            n_superblock_writes: AtomicU64::new(0),
            trimmer: Mutex::new(Trimmer::new(summary.start, summary.last)),
            log_start: AtomicU64::new(summary.start.0),
            imaged: Mutex::default(),
            next_collection: Mutex::new(next_collection),
            folder,
            options,
            rocks,
            default,
            owner,
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Milliseconds since 1970, by this opening's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.options.clock.now_ms()
    }

    pub(crate) fn rocks(&self) -> &Arc<Rocks> {
        &self.rocks
    }

    /// The database as of the last published commit. Takes no lock.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The oldest view that is still in use. Nobody sees a row that only earlier views could see.
    pub(crate) fn oldest_view(&self) -> Arc<View> {
        let mut replaced = self.replaced.lock();
        while let Some(oldest) = replaced.front() {
            match oldest.upgrade() {
                Some(view) => return view,
                None => _ = replaced.pop_front(),
            }
        }
        self.view.load_full()
    }

    /// Enters the committer section: until the guard is dropped, nobody else commits. Fails with
    /// `ReadOnly` while the database is read-only.
    pub(crate) fn begin_commit(&self) -> Result<CommitGuard<'_>> {
        self.health.check()?;
        let last = self.last.lock();
        self.health.check()?;
        Ok(CommitGuard { store: self, last })
    }

    /// Keeps commits out as long as the guard is held, also while the database is read-only. The
    /// guard shows the last commit.
    pub(crate) fn hold(&self) -> MutexGuard<'_, Commit> {
        self.last.lock()
    }

    /// As [`hold`](Store::hold), but `None` if others hold it for longer than `most`.
    pub(crate) fn hold_within(&self, most: Duration) -> Option<MutexGuard<'_, Commit>> {
        self.last.try_lock_for(most)
    }

    pub(crate) fn default_family(&self) -> &Family {
        &self.default
    }

    /// The commit that carried an operation id, as long as the log holds that commit.
    pub(crate) fn find_operation(&self, id: Uuid) -> Result<Option<Commit>> {
        let row = self.rocks.get(&self.default, None, &key::operation(id)).map_err(storage("reading the log"))?;
        Ok(row.map(|bytes| read_u64("an operation's commit", &bytes)).transpose()?.map(Commit))
    }

    /// Writes derived rows, which need no commit of their own.
    pub(crate) fn write_derived(&self, derived: Derived) -> Result<()> {
        self.health.check()?;
        self.check_space(derived.n_bytes())?;
        self.rocks.write(derived.batch).map_err(|fault| {
            self.note_failed_write(&fault);
            Error::Storage { doing: "writing what is derived", source: Box::new(fault) }
        })
    }

    /// Notes the commit `covers`, after which an open will read the log for a collection. `None`
    /// says that the open will read all rows instead.
    pub(crate) fn note_image(&self, id: CollectionId, covers: Option<Commit>) {
        let mut imaged = self.imaged.lock();
        match covers {
            Some(commit) => _ = imaged.insert(id, commit),
            None => _ = imaged.remove(&id),
        }
    }

    /// Fails with `ReadOnly` in a reader beside a writer: only the writer makes copies.
    pub(crate) fn refuse_beside(&self) -> Result<()> {
        if self.is_beside() { self.health.check() } else { Ok(()) }
    }

    /// Fails with `ReadOnly` while the database is read-only.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.health.check()
    }

    /// Whether the database takes writes.
    pub(crate) fn is_writable(&self) -> bool {
        self.health.reason().is_none()
    }

    /// Whether this is a reader: it writes nothing, and another process may be writing.
    pub(crate) fn is_beside(&self) -> bool {
        self.owner.is_none()
    }

    /// The database's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The UUID of this store.
    pub(crate) fn identity(&self) -> Uuid {
        self.superblock.lock().content().store
    }

    /// Refuses a write of `n_bytes` if less than `Options::min_free_bytes` would stay free.
    pub(crate) fn check_space(&self, n_bytes: usize) -> Result<()> {
        failpoint::refuse("space")?;
        let least = self.options.min_free_bytes;
        if least == 0 {
            return Ok(());
        }
        match self.free_bytes() {
            Some(free) if free < least.saturating_add(n_bytes as u64) => Err(Error::ReadOnly {
                reason: format!(
                    "expected at least {least} bytes free on the disk beside the {n_bytes} to write, got {free}; \
                     writes resume once there is space (`Options::min_free_bytes`)"
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Fails a commit as a full disk would, if a test set the failpoint.
    fn refuse_write(&self, commit: Commit) -> Result<()> {
        failpoint::refuse("write").map_err(|error| {
            self.health.fail(error.to_string(), true);
            Error::Commit { commit, outcome: Outcome::Unknown, reason: error.to_string() }
        })
    }

    fn note_failed_write(&self, fault: &EngineFault) {
        let cause = match fault {
            _ if fault.is_out_of_space() => "the disk is full",
            _ if fault.is_out_of_descriptors() => "out of file descriptors",
            _ => "writing failed",
        };
        self.health.fail(format!("{cause} ({fault})"), true);
    }

    /// Returns once a commit is as durable as `durability` asks, and may be acknowledged.
    pub(crate) fn acknowledge(&self, commit: Commit, durability: Durability) -> Result<()> {
        match durability {
            Durability::Wal => Ok(()),
            Durability::Sync => self.sync_through(commit),
        }
    }

    /// Acknowledges with the durability of this opening.
    pub(crate) fn acknowledge_as_configured(&self, commit: Commit) -> Result<()> {
        self.acknowledge(commit, self.options.durability)
    }

    fn sync_through(&self, commit: Commit) -> Result<()> {
        let last_written = || Commit(self.last_written.load(Ordering::Acquire));
        let sync = || {
            // After a failed sync a later one may succeed although the kernel dropped the pages. A
            // log that met a full disk is left alone until RocksDB has begun another.
            if let Some(reason) = self.health.reason() {
                return Err(reason);
            }
            failpoint::hit("sync.before");
            if let Err(error) = failpoint::refuse("sync") {
                self.health.fail(error.to_string(), true);
                return Err(error.to_string());
            }
            self.rocks.sync().map_err(|fault| {
                // After a write that met a full disk RocksDB refuses to sync this log until there
                // is space. Then it flushes everything to files and begins another log, so this
                // failure heals. Any other failed sync leaves it open which pages reached the disk.
                let heals = fault.is_out_of_space() || fault.is_aftermath();
                self.health.fail(format!("the disk did not confirm a write ({fault})"), heals);
                fault.to_string()
            })
        };
        self.gate.wait(commit, last_written, sync).map_err(|reason| Error::Commit {
            commit,
            outcome: Outcome::NotDurable,
            reason,
        })
    }

    /// Gives out the number of a new collection. An opening never gives a number twice, even if its
    /// collection could not be created.
    pub(crate) fn next_collection(&self) -> CollectionId {
        let mut next = self.next_collection.lock();
        let id = *next;
        *next = CollectionId(id.0 + 1);
        id
    }

    /// Commits a collection's catalog entry, and waits until it is on the disk.
    pub(crate) fn write_entry(&self, id: CollectionId, entry: &CatalogEntry) -> Result<()> {
        let mut guard = self.begin_commit()?;
        let mut draft = Draft::default();
        draft.catalog(id, entry);
        if entry.state == CatalogState::Creating {
            draft.catalog_next(CollectionId(id.0 + 1));
        }
        guard.commit(draft, |_| ())?;
        guard.acknowledge(Durability::Sync).map(drop)
    }

    /// Creates the families of a collection whose entry says `Creating`.
    pub(crate) fn create_families(&self, id: CollectionId) -> Result<Families> {
        Families::create(&self.rocks, id)
    }

    /// Drops what is left of a collection's families, its image, and then its catalog entry. The
    /// entry says `Creating` or `Dropping`.
    pub(crate) fn finish_drop(&self, id: CollectionId, families: Option<&Families>) -> Result<()> {
        // While writes fail, the entry on disk may be in another state, which needs the families.
        self.health.check()?;
        for family in families.iter().flat_map(|families| families.all()) {
            self.rocks.drop_family(family).map_err(storage("dropping a collection's families"))?;
        }
        self.note_image(id, None);
        image::remove(&self.folder, id).map_err(|error| Error::io("removing an image in", &self.folder, error))?;
        failpoint::hit("drop.families");
        let mut guard = self.begin_commit()?;
        let mut draft = Draft::default();
        draft.remove_catalog(id);
        guard.commit(draft, |_| ())?;
        guard.acknowledge(Durability::Sync).map(drop)
    }

    /// Free bytes on the database's disk; `None` if the system does not tell.
    fn free_bytes(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// The committer section: as long as this guard lives, nobody else commits.
pub(crate) struct CommitGuard<'s> {
    store: &'s Store,
    last: MutexGuard<'s, Commit>,
}

impl CommitGuard<'_> {
    /// The last commit.
    pub(crate) fn last(&self) -> Commit {
        *self.last
    }

    /// Makes a draft the next commit: writes it to the WAL, has `apply` bring memory to the same
    /// commit, and then makes both visible to new readers. The value that `apply` returns, such as
    /// guards of locks, is dropped once they are visible.
    ///
    /// # Errors
    /// `apply` was not called. The commit was not applied. With `Outcome::Unknown` it is not
    /// visible now, but may be there after the next open.
    pub(crate) fn commit<T>(&mut self, draft: Draft, apply: impl FnOnce(Commit) -> T) -> Result<()> {
        let view = self.write(draft)?;
        let held = apply(view.commit);
        self.publish(view);
        drop(held);
        Ok(())
    }

    /// Leaves the section, and returns the last commit once it is as durable as asked for.
    pub(crate) fn acknowledge(self, durability: Durability) -> Result<Commit> {
        let (store, commit) = (self.store, self.last());
        drop(self);
        store.acknowledge(commit, durability)?;
        Ok(commit)
    }

    /// Writes a draft as the next commit, and returns the view that shows it.
    fn write(&mut self, draft: Draft) -> Result<Arc<View>> {
        self.store.check_space(draft.n_bytes())?;
        let commit = self.last.next();
        failpoint::hit("commit.before");
        let batch = draft.into_batch(commit, self.store.now_ms());
        self.store.refuse_write(commit)?;
        self.store.rocks.write(batch).map_err(|fault| self.failed(commit, &fault))?;
        failpoint::hit("commit.written");
        *self.last = commit;
        self.store.last_written.store(commit.0, Ordering::Release);
        Ok(Arc::new(View { commit, snapshot: self.store.rocks.snapshot() }))
    }

    /// Makes a commit visible to new readers.
    fn publish(&self, view: Arc<View>) {
        // Without the lock `oldest_view` could return the new view while the old one is in use.
        let mut replaced = self.store.replaced.lock();
        let before = self.store.view.swap(view);
        if replaced.len() == replaced.capacity() {
            // One view that is held for long keeps many dead ones behind it in the list.
            replaced.retain(|view| view.strong_count() > 0);
            let n_left = replaced.len();
            replaced.shrink_to(n_left * 2 + LEAST_REPLACED);
            replaced.reserve(n_left + LEAST_REPLACED);
        }
        replaced.push_back(Arc::downgrade(&before));
    }

    fn failed(&self, commit: Commit, fault: &EngineFault) -> Error {
        self.store.note_failed_write(fault);
        Error::Commit { commit, outcome: Outcome::Unknown, reason: fault.to_string() }
    }
}

/// Wraps a fault of RocksDB that happened while `doing`. Damage becomes `Corruption`.
pub(crate) fn storage(doing: &'static str) -> impl Fn(EngineFault) -> Error {
    move |fault| {
        if fault.is_out_of_descriptors() {
            Error::out_of_descriptors(doing, fault)
        } else if fault.is_corruption() {
            Error::corruption("the storage engine's files", format!("{fault} (while {doing})"))
        } else {
            Error::Storage { doing, source: Box::new(fault) }
        }
    }
}
