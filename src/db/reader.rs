//! Reading beside a writer: opening, and moving on to later commits.
//!
//! A reader opens RocksDB as a secondary instance, and never lets that catch up. Each instance
//! shows one moment, so that nobody sees a mix of two. To move on, a reader opens everything again
//! beside the old instance, and then turns all handles to the new one. Calls under way finish with
//! the old.
//!
//! The writer does not know its readers. It may delete a file between the moment a reader learns of
//! the file and the moment the reader opens it. Files of different families may be of different
//! moments. A reader compares all that it opens with the commit log, like any open. If something
//! does not fit, it tries again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, Opened};
use crate::collection::budget::MemoryBudget;
use crate::collection::derived::bell::LinkerSignal;
use crate::collection::handle::CollectionState;
use crate::config::Options;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{CollectionId, Commit};
use crate::store::open::dry_open::DryRun;

/// An open beside a writer is tried at most this many times.
const MOST_TRIES: u32 = 80;
/// The pause before the second try. Each further pause is longer by this much, up to `MOST_PAUSE`.
const PAUSE: Duration = Duration::from_millis(5);
const MOST_PAUSE: Duration = Duration::from_millis(100);

/// Opens a database beside whoever writes to it.
pub(super) fn open(
    path: &Path,
    options: &Options,
    signal: &Arc<LinkerSignal>,
    budget: &Arc<MemoryBudget>,
) -> Result<Opened> {
    let mut n_tries = 1;
    loop {
        let settle = |dry_run: DryRun| Ok(dry_run.settle_beside());
        match super::load_collections(path, options, signal, budget, DryRun::begin_beside, settle) {
            Err(error) if may_pass(&error) && n_tries < MOST_TRIES => {
                tracing::debug!("the writer was faster, trying again: {error}");
                std::thread::sleep((PAUSE * n_tries).min(MOST_PAUSE));
                n_tries += 1;
            }
            outcome => return outcome,
        }
    }
}

/// Opens a copy that nobody else uses, to read it.
pub(super) fn open_copy(
    path: &Path,
    options: &Options,
    signal: &Arc<LinkerSignal>,
    budget: &Arc<MemoryBudget>,
) -> Result<Opened> {
    let settle = |dry_run: DryRun| Ok(dry_run.settle_beside());
    super::load_collections(path, options, signal, budget, DryRun::begin_copy, settle)
}

/// Whether an error may come from what the writer did meanwhile.
fn may_pass(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Internal)
        && !matches!(error, Error::UnsupportedFormat { .. } | Error::ForeignRecords { .. })
}

impl Engine {
    pub(super) fn refresh(&self) -> Result<Commit> {
        let _catalog = self.lock_catalog()?;
        let before = self.store()?;
        if !before.is_beside() {
            return Ok(before.view().commit);
        }
        let (store, open_collections) = open(&self.path, before.options(), &self.signal, &self.budget)?;
        self.budget.fit_cache(&store);
        let commit = store.view().commit;
        let mut collections = self.collections.write();
        let mut states: BTreeMap<CollectionId, Arc<CollectionState>> =
            std::mem::take(&mut *collections).into_values().map(|state| (state.id, state)).collect();
        for (name, open) in open_collections {
            self.linker.read().iter().for_each(|linker| linker.add(&open));
            let state = match states.remove(&open.id) {
                Some(state) => {
                    state.rename(&name);
                    state.look_at(open);
                    state
                }
                None => Arc::new(CollectionState::new(name.clone(), open)),
            };
            collections.insert(name, state);
        }
        states.into_values().for_each(|gone| drop(gone.leave_dropped()));
        *self.store.write() = Some(store);
        Ok(commit)
    }
}
