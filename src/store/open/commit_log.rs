//! Reads the commit log: is it whole, and which rows must the other families hold because of it?
//!
//! RocksDB opens a log with a hole in it without an error. Commit numbers have no gaps, so a hole
//! shows here. The rows that a commit logged are compared with those on disk, so rows that one
//! family alone lost show too.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::error::Error;
use crate::id::{CollectionId, Commit, NamespaceId, Slot};
use crate::store::format::codec::read_u64;
use crate::store::format::key;
use crate::store::format::record::{LogKind, LogRecord};
use crate::store::rocks::{Family, Rocks};
use crate::store::{Result, storage};

/// A summary of the log: what the store must hold.
#[derive(Debug, Default)]
pub(crate) struct LogSummary {
    /// The first commit that the log still holds; one after `last` if it holds none.
    pub(crate) start: Commit,
    /// The last commit.
    pub(crate) last: Commit,
    /// The last commit of each catalog entry, and its checksum; `None` if it was removed.
    pub(crate) catalog: HashMap<CollectionId, (Commit, Option<u32>)>,
    /// The slots and namespaces that the log mentions, by collection.
    pub(crate) collections: HashMap<CollectionId, Expected>,
}

/// What a collection must hold: the last state of each slot and namespace that the log mentions.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) slots: HashMap<Slot, ExpectedSlot>,
    pub(crate) namespaces: HashMap<NamespaceId, Commit>,
}

/// The last state of one slot in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpectedSlot {
    pub(crate) commit: Commit,
    pub(crate) generation: u32,
    /// The document row's checksum; `None` if the slot was freed.
    pub(crate) row_crc: Option<u32>,
    /// The vector row's checksum, if the log still holds the commit that wrote the vector.
    pub(crate) vector_crc: Option<u32>,
}

impl LogSummary {
    /// Reads the log from commit `from` on, or all of it if it does not reach back beyond `from`.
    /// Fails with `DataLoss` if a commit is missing between others. If the log ends before `from`,
    /// `last` is the commit before `from`.
    pub(crate) fn read(rocks: &Rocks, default: &Family, from: Commit) -> Result<Self> {
        let start = rocks.get(default, None, key::LOG_START).map_err(storage("reading the commit log"))?;
        let start = Commit(start.map(|bytes| read_u64("the log's start", &bytes)).transpose()?.unwrap_or(1));
        // No record should lie before the start; a read of the whole log looks for one.
        let (first, scanned) = if from > start { (from, from) } else { (start, Commit(0)) };
        let mut summary = LogSummary { start, last: Commit(first.0.saturating_sub(1)), ..LogSummary::default() };
        let (from, to) = key::log_range(scanned);
        let scanned = rocks.scan(default, None, (&from, &to), |key, value| {
            summary.add(key, value)?;
            Ok(ControlFlow::Continue(()))
        });
        scanned.map_err(storage("reading the commit log"))??;
        Ok(summary)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (commit, record) = (key::read_log(key)?, LogRecord::decode(value)?);
        if record.commit != commit {
            return Err(Error::corruption(
                "the commit log",
                format!("expected commit {commit}, got {}", record.commit),
            ));
        }
        let expected = self.last.next();
        if commit > expected {
            return Err(Error::DataLoss { from: expected, to: Commit(commit.0 - 1) });
        }
        if commit < expected {
            return Err(Error::corruption(
                "the commit log",
                format!("commit {commit} before its start {}", self.start),
            ));
        }
        self.last = commit;
        self.apply(record);
        Ok(())
    }

    fn apply(&mut self, record: LogRecord) {
        let commit = record.commit;
        for operation in record.operations {
            let expected = self.collections.entry(operation.collection).or_default();
            let before = expected.slots.get(&operation.slot).copied();
            let slot =
                |row_crc, vector_crc| ExpectedSlot { commit, generation: operation.generation, row_crc, vector_crc };
            match operation.kind {
                LogKind::Put => {
                    let both = slot(Some(operation.row_crc), Some(operation.vector_crc));
                    expected.slots.insert(operation.slot, both);
                }
                LogKind::Change => {
                    let vector_crc = before.and_then(|before| before.vector_crc);
                    expected.slots.insert(operation.slot, slot(Some(operation.row_crc), vector_crc));
                }
                LogKind::Free => {
                    expected.slots.insert(operation.slot, slot(None, None));
                }
                LogKind::Namespace => {
                    expected.namespaces.insert(NamespaceId(operation.slot.0), commit);
                }
                LogKind::Catalog => {
                    self.catalog.insert(operation.collection, (commit, Some(operation.row_crc)));
                }
                LogKind::CatalogRemoved => {
                    self.catalog.insert(operation.collection, (commit, None));
                    self.collections.remove(&operation.collection);
                }
            }
        }
    }
}

impl Expected {
    /// Forgets states of commits up to `commit`.
    pub(crate) fn keep_after(&mut self, commit: Commit) {
        self.slots.retain(|_, slot| slot.commit > commit);
        self.namespaces.retain(|_, named| *named > commit);
    }

    /// The number of slots that the log says were changed after `commit`.
    pub(crate) fn n_after(&self, commit: Commit) -> usize {
        self.slots.values().filter(|slot| slot.commit > commit).count()
    }

    /// The last commit that changed a slot of the collection; `None` if the log mentions no slot.
    pub(crate) fn last_change(&self) -> Option<Commit> {
        self.slots.values().map(|slot| slot.commit).max()
    }

    /// Compares a slot on disk with its state in the log, and forgets that state.
    pub(crate) fn confirm(&mut self, slot: Slot, found: &FoundSlot) -> Result<()> {
        let Some(expected) = self.slots.remove(&slot) else { return Ok(()) };
        let agrees = expected.generation == found.generation
            && expected.row_crc == found.row_crc
            && (expected.vector_crc.is_none() || expected.vector_crc == found.vector_crc);
        if agrees {
            return Ok(());
        }
        Err(Error::corruption(
            format!("slot {}", slot.0),
            format!("its rows are not those that commit {} wrote", expected.commit),
        ))
    }

    /// The earliest commit of which a slot or namespace was not confirmed; `None` if all were.
    pub(crate) fn first_missing(&self) -> Option<Commit> {
        let slots = self.slots.values().map(|slot| slot.commit);
        slots.chain(self.namespaces.values().copied()).min()
    }
}

/// The state of one slot on disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundSlot {
    pub(crate) generation: u32,
    /// `None` for a free slot.
    pub(crate) row_crc: Option<u32>,
    pub(crate) vector_crc: Option<u32>,
}
