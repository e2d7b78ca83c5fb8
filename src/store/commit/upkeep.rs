//! The store's work beside commits: background ticks, trimming the log, copies, closing.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::Commit;
use crate::store::format::key;
use crate::store::format::record::LogRecord;
use crate::store::open::dry_open::sync_manifest;
use crate::store::open::superblock::{Superblock, SuperblockFile};
use crate::store::{Families, Store, storage};

/// The log keeps at most this many commits for an image's sake. With an older image an open reads
/// all rows.
const MOST_KEPT: u64 = 1 << 18;

/// Finds out how far the log may be trimmed. A commit must stay until its rows are in files: until
/// then only the log can tell that rows are missing.
pub(in crate::store) struct Trimmer {
    /// The first commit the log holds.
    start: Commit,
    /// For each of RocksDB's logs, in order: its number, and a commit. This commit and all before
    /// it are in that log or an earlier one.
    marks: VecDeque<(u64, Commit)>,
    /// Every commit up to this one is in files.
    in_files: Commit,
}

impl Trimmer {
    /// For a database just opened, which has written everything up to `in_files` to files.
    pub(in crate::store) fn new(start: Commit, in_files: Commit) -> Self {
        Trimmer { start, marks: VecDeque::new(), in_files }
    }

    /// Notes the newest log, the last commit before that was looked up, and the oldest log needed.
    fn observe(&mut self, newest_log: u64, last: Commit, oldest_needed: u64) {
        match self.marks.back_mut() {
            Some((log, commit)) if *log == newest_log => *commit = last,
            _ => self.marks.push_back((newest_log, last)),
        }
        while let Some(&(log, commit)) = self.marks.front()
            && log < oldest_needed
        {
            self.in_files = self.in_files.max(commit);
            self.marks.pop_front();
        }
    }

    /// The commit below which to trim; `None` if that is not worth it yet.
    fn due(&self, last: Commit, retention: u64) -> Option<Commit> {
        let below = Commit(self.in_files.0.min(last.0.saturating_sub(retention)));
        // A trim is a write of its own; trimming hundreds of commits costs as much as trimming one.
        (below.0 >= self.start.0 + 256).then_some(below)
    }
}

impl Store {
    /// Syncs commits that nobody waited for. The background worker calls this every 100 ms.
    pub(crate) fn sync_tick(&self) {
        let last = Commit(self.last_written.load(Ordering::Acquire));
        if self.gate.durable() < last
            && self.health.reason().is_none()
            && let Err(error) = self.sync_through(last)
        {
            tracing::error!("background sync failed: {error}");
        }
    }

    /// Advances the superblock, trims the log, tries to heal. The worker calls this once a second.
    pub(crate) fn slow_tick(&self) {
        if self.health.reason().is_some() {
            if self.health.may_heal() {
                self.try_to_heal();
            }
            return;
        }
        if let Err(error) = self.advance_superblock().and_then(|()| self.trim_log()) {
            // Both are retried in a second, and no acknowledged write depends on them.
            tracing::warn!("upkeep failed: {error}");
        }
    }

    fn advance_superblock(&self) -> Result<()> {
        let durable = self.gate.durable();
        let mut superblock = self.superblock.lock();
        if superblock.content().durable >= durable {
            return Ok(());
        }
        let manifest = sync_manifest(&self.folder.join("data"))?;
        failpoint::hit("superblock.before");
        let content = Superblock { durable, manifest, ..superblock.content() };
        superblock.write(content)?;
        self.n_superblock_writes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn trim_log(&self) -> Result<()> {
        let last = Commit(self.last_written.load(Ordering::Acquire));
        let newest_log = newest_log(&self.folder.join("data"))?;
        let oldest_needed = self.rocks.oldest_needed_log().map_err(storage("trimming the log"))?;
        let mut trimmer = self.trimmer.lock();
        trimmer.observe(newest_log, last, oldest_needed);
        let oldest_image = self.imaged.lock().values().min().copied();
        let kept = oldest_image.map_or(0, |image| last.0.saturating_sub(image.0)).min(MOST_KEPT);
        let Some(below) = trimmer.due(last, self.options.log_retention.max(kept)) else { return Ok(()) };
        let mut batch = rocksdb::WriteBatch::default();
        let (from, to) = (key::log(trimmer.start), key::log(below));
        let scanned = self.rocks.scan(&self.default, None, (&from, &to), |_, value| {
            LogRecord::decode(value)?.operation_id.inspect(|id| batch.delete(key::operation(*id)));
            Ok(ControlFlow::Continue(()))
        });
        scanned.map_err(storage("trimming the log"))??;
        batch.delete_range(from, to);
        batch.put(key::LOG_START, below.0.to_le_bytes());
        let guard = self.begin_commit()?;
        self.rocks.write(batch).map_err(|fault| guard.failed(guard.last().next(), &fault))?;
        trimmer.start = below;
        self.log_start.store(below.0, Ordering::Relaxed);
        tracing::debug!("trimmed the commit log below {below}");
        Ok(())
    }

    /// Writes, syncs and flushes a row, the canary. If all of that works, commits will too. A
    /// failed commit that was half written then lies before the flushed files, and is not replayed.
    fn try_to_heal(&self) {
        let last = self.last.lock();
        let healed = self.canary().and_then(|()| {
            let ghost = self.rocks.get(&self.default, None, &key::log(last.next())).map_err(storage("healing"))?;
            Ok(ghost.is_none())
        });
        match healed {
            Ok(true) => self.health.heal(),
            Ok(false) => self.health.fail("a commit that failed has appeared after all".into(), false),
            Err(error) => tracing::debug!("still read-only: {error}"),
        }
    }

    fn canary(&self) -> Result<()> {
        ["space", "write", "sync"].into_iter().try_for_each(failpoint::refuse)?;
        let mut batch = rocksdb::WriteBatch::default();
        batch.put(key::CANARY, self.now_ms().to_le_bytes());
        self.rocks.write(batch).map_err(storage("trying to write"))?;
        self.rocks.sync().map_err(storage("trying to sync"))?;
        self.rocks.flush(std::iter::once(&self.default)).map_err(storage("trying to flush"))
    }

    /// Puts everything committed on the disk, whatever its durability.
    pub(crate) fn sync_all(&self) -> Result<()> {
        self.sync_through(Commit(self.last_written.load(Ordering::Acquire)))?;
        self.advance_superblock()
    }

    /// Writes all memtables of these collections to files, so that the next open replays nothing.
    pub(crate) fn flush_families<'a>(&'a self, collections: impl Iterator<Item = &'a Families>) -> Result<()> {
        let families = collections.flat_map(Families::all).chain(std::iter::once(&self.default));
        self.rocks.flush(families).map_err(storage("flushing"))
    }

    /// Trims the log as far as it may be, and rewrites its files without the trimmed commits.
    pub(crate) fn vacuum_log(&self) -> Result<()> {
        self.rocks.flush(std::iter::once(&self.default)).map_err(storage("flushing"))?;
        self.trim_log()?;
        self.rocks.compact(&self.default).map_err(storage("rewriting files"))?;
        self.check_writable()
    }

    /// Copies the database into an empty folder, as of the last commit now or a later one. No
    /// family may be created or dropped meanwhile: RocksDB copies its list of families before the
    /// end of its log.
    pub(crate) fn copy_to(&self, folder: &Path) -> Result<()> {
        self.refuse_beside()?;
        self.sync_all()?;
        let (durable, data) = (self.gate.durable(), folder.join("data"));
        self.rocks.checkpoint(&data).map_err(storage("making a checkpoint"))?;
        let manifest = sync_manifest(&data)?;
        let content = self.superblock.lock().content();
        SuperblockFile::create(folder, Superblock { durable, manifest, clean: true, ..content })?;
        failpoint::hit("checkpoint.filled");
        Ok(())
    }

    /// Closes RocksDB, marks the superblock as clean, and releases the lock. A read-only database
    /// is not marked. The caller has synced and flushed, and nobody else holds the store.
    pub(crate) fn close(self) -> Result<()> {
        let durable = self.gate.durable();
        let writable = self.health.reason().is_none();
        let Store { folder, superblock, rocks, default, view, owner, .. } = self;
        let mut superblock = superblock.into_inner();
        drop((view, default));
        // A view still in use keeps RocksDB open. Nobody else may open it before that is gone.
        while Arc::strong_count(&rocks) > 1 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(rocks);
        failpoint::hit("close.closed");
        if writable {
            let manifest = sync_manifest(&folder.join("data"))?;
            let content = Superblock { durable, manifest, clean: true, ..superblock.content() };
            superblock.write(content)?;
        }
        // Only now may another process open the database.
        drop(owner);
        Ok(())
    }

    /// Figures of the store, at this moment.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            last: Commit(self.last_written.load(Ordering::Acquire)),
            durable: self.gate.durable(),
            log_start: Commit(self.log_start.load(Ordering::Relaxed)),
            n_syncs: self.gate.n_syncs() + self.n_superblock_writes.load(Ordering::Relaxed),
            read_only: self.health.reason(),
            engine_memory_bytes: self.rocks.memory_bytes(),
            write_buffer_bytes: self.rocks.write_buffer_bytes(),
            cache_bytes: self.rocks.cache_bytes(),
        }
    }
}

/// Figures of a store, at one moment.
pub(crate) struct Figures {
    pub(crate) last: Commit,
    pub(crate) durable: Commit,
    pub(crate) log_start: Commit,
    pub(crate) n_syncs: u64,
    pub(crate) read_only: Option<String>,
    pub(crate) engine_memory_bytes: u64,
    pub(crate) write_buffer_bytes: u64,
    pub(crate) cache_bytes: u64,
}

/// The number of RocksDB's newest log.
fn newest_log(data: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(data).map_err(|error| Error::io("reading", data, error))?;
    let numbers = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_suffix(".log")?.parse::<u64>().ok()
    });
    Ok(numbers.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_trimmed_only_below_what_is_in_files() {
        let mut trimmer = Trimmer::new(Commit(1), Commit(0));
        trimmer.observe(4, Commit(1_000), 4);
        trimmer.observe(4, Commit(2_000), 4);
        assert_eq!(trimmer.due(Commit(2_000), 0), None);
        trimmer.observe(9, Commit(2_500), 4);
        assert_eq!(trimmer.due(Commit(2_500), 0), None);
        trimmer.observe(9, Commit(3_000), 9);
        assert_eq!(trimmer.due(Commit(3_000), 0), Some(Commit(2_000)));
        assert_eq!(trimmer.due(Commit(3_000), 1_500), Some(Commit(1_500)));
        assert_eq!(trimmer.due(Commit(3_000), 2_900), None);
    }
}
