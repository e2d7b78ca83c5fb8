//! Reading the commit log: is it whole, and what must the other families hold because of it?
//!
//! RocksDB opens a log with a hole in it without a word. Commit numbers have no gaps, so a hole shows here; and what a
//! commit says it wrote is compared with what is there, so rows lost from one family alone show too.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::record::{LogKind, LogRecord, read_u64};
use super::rocks::{Family, Rocks};
use super::{Result, key, storage};
use crate::error::Error;
use crate::id::{CollectionId, Commit, NamespaceId, Slot};

/// What the log says the store holds.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The first commit the log still holds; one after the last if it holds none.
    pub(crate) start: Commit,
    /// The last commit.
    pub(crate) last: Commit,
    /// The checksum of each catalog entry the log saw written, or `None` where it saw it removed.
    pub(crate) catalog: HashMap<CollectionId, (Commit, Option<u32>)>,
    /// What the log says of slots, by collection.
    pub(crate) collections: HashMap<CollectionId, Expected>,
}

/// What the log says a collection holds: the last word on each slot and namespace it mentions.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) slots: HashMap<Slot, ExpectedSlot>,
    pub(crate) namespaces: HashMap<NamespaceId, Commit>,
}

/// What the log says of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ExpectedSlot {
    pub(crate) commit: Commit,
    pub(crate) generation: u32,
    /// The document row's checksum; `None` if the slot was freed.
    pub(crate) row_crc: Option<u32>,
    /// The vector row's checksum, where the log still holds the commit that wrote it.
    pub(crate) vector_crc: Option<u32>,
}

impl Account {
    /// Reads the log, from a commit on if it still holds that, else all of it. Fails with `DataLoss` if a commit is
    /// missing between others; if the first is missing already, the last is told to be the one before.
    pub(crate) fn read(rocks: &Rocks, default: &Family, from: Commit) -> Result<Self> {
        let start = rocks.get(default, None, key::LOG_START).map_err(storage("reading the commit log"))?;
        let start = Commit(start.map(|bytes| read_u64("the log's start", &bytes)).transpose()?.unwrap_or(1));
        // What is before the start should not be there; it is looked for where all is read.
        let (first, scanned) = if from > start { (from, from) } else { (start, Commit(0)) };
        let mut account = Account { start, last: Commit(first.0.saturating_sub(1)), ..Account::default() };
        let (from, to) = key::log_range(scanned);
        let scanned = rocks.scan(default, None, (&from, &to), |key, value| {
            account.add(key, value)?;
            Ok(ControlFlow::Continue(()))
        });
        scanned.map_err(storage("reading the commit log"))??;
        Ok(account)
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
    /// Forgets what the log says up to a commit.
    pub(crate) fn keep_after(&mut self, commit: Commit) {
        self.slots.retain(|_, slot| slot.commit > commit);
        self.namespaces.retain(|_, named| *named > commit);
    }

    /// How many slots the log says were changed after a commit.
    pub(crate) fn n_after(&self, commit: Commit) -> usize {
        self.slots.values().filter(|slot| slot.commit > commit).count()
    }

    /// The last commit that the log says changed the collection; `None` if it speaks of none.
    pub(crate) fn last_change(&self) -> Option<Commit> {
        self.slots.values().map(|slot| slot.commit).max()
    }

    /// Compares a slot that was found with what the log says of it, and strikes it off.
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

    /// The earliest commit something of which was not found; `None` if all was.
    pub(crate) fn first_missing(&self) -> Option<Commit> {
        let slots = self.slots.values().map(|slot| slot.commit);
        slots.chain(self.namespaces.values().copied()).min()
    }
}

/// What was found in one slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundSlot {
    pub(crate) generation: u32,
    /// `None` for a free slot.
    pub(crate) row_crc: Option<u32>,
    pub(crate) vector_crc: Option<u32>,
}
