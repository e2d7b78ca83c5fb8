//! The moments that snapshots hold. A collection lets go of them when it is dropped or closed.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::Moment;
use crate::id::Commit;

/// A moment, until its collection takes it away.
pub(crate) type HeldMoment = ArcSwapOption<Moment>;

/// The snapshots of a collection.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<Vec<Weak<HeldMoment>>>);

/// Snapshots that are gone leave the list only when it has at least this length.
const LEAST_LISTED: usize = 64;

impl Snapshots {
    pub(in crate::collection) fn add(&self, held: &Arc<HeldMoment>) {
        let mut all = self.0.lock();
        if all.len() >= LEAST_LISTED && all.len() == all.capacity() {
            all.retain(|held| held.strong_count() > 0);
        }
        all.push(Arc::downgrade(held));
    }

    /// The number of snapshots held, and the earliest commit that one of them shows.
    pub(crate) fn held(&self) -> (usize, Option<Commit>) {
        let all = self.0.lock();
        let commits = all.iter().filter_map(|held| Some(held.upgrade()?.load().as_ref()?.commit()));
        commits.fold((0, None), |(n, first), commit| (n + 1, Some(first.map_or(commit, |first| commit.min(first)))))
    }

    /// Takes the moments of all snapshots away. Calls under way finish with theirs.
    pub(in crate::collection) fn let_go(&self) {
        self.0.lock().drain(..).filter_map(|held| held.upgrade()).for_each(|held| held.store(None));
    }
}
