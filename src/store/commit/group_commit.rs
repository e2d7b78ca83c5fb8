//! Group commit: one sync of the log answers every writer who waits for it.
//!
//! The first writer syncs. Writers who come during that sync wait for its end; then one of them
//! syncs for all. Writers who were answered together are likely to come back together. So a sync
//! first waits for them, for at most half as long as the last sync took.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::id::Commit;

/// The longest time that a sync waits for the writers whom the last one answered.
const MOST_PATIENCE: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(crate) struct SyncGate {
    state: Mutex<SyncState>,
    synced: Condvar,
    came: Condvar,
}

#[derive(Default)]
struct SyncState {
    durable: Commit,
    syncing: bool,
    n_syncs: u64,
    /// The commits that writers wait for.
    waiting: Vec<Commit>,
    last: Option<LastSync>,
}

struct LastSync {
    ended: Instant,
    took: Duration,
    n_answered: usize,
}

impl SyncGate {
    /// A gate for a log of which every commit up to `durable` is on the disk.
    pub(crate) fn new(durable: Commit) -> Self {
        SyncGate { state: Mutex::new(SyncState { durable, ..SyncState::default() }), ..SyncGate::default() }
    }

    /// The last commit known to be on the disk.
    pub(crate) fn durable(&self) -> Commit {
        self.state.lock().durable
    }

    /// The number of syncs, failed ones included.
    pub(crate) fn n_syncs(&self) -> u64 {
        self.state.lock().n_syncs
    }

    /// Returns once `commit` is on the disk. `last_written` returns the last commit in the log, and
    /// `sync` puts the log on the disk. An error of `sync` goes to the writer who ran it; the
    /// others try for themselves.
    pub(crate) fn wait<E>(
        &self,
        commit: Commit,
        last_written: impl Fn() -> Commit,
        sync: impl Fn() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.state.lock();
        if state.durable >= commit {
            return Ok(());
        }
        state.waiting.push(commit);
        self.came.notify_one();
        while state.durable < commit {
            if state.syncing {
                self.synced.wait(&mut state);
                continue;
            }
            state.syncing = true;
            self.gather(&mut state);
            drop(state);
            let (written, began) = (last_written(), Instant::now());
            let outcome = {
                let _syncing = Syncing(self);
                sync()
            };
            state = self.state.lock();
            state.end_sync(outcome.is_ok().then_some(written), began);
            self.synced.notify_all();
            if outcome.is_err() {
                state.give_up(commit);
                return outcome;
            }
        }
        Ok(())
    }

    /// Waits for the writers whom the last sync answered, until they are back or have had the time.
    fn gather(&self, state: &mut MutexGuard<'_, SyncState>) {
        let Some(last) = &state.last else { return };
        let until = last.ended + (last.took / 2).min(MOST_PATIENCE);
        let n_expected = state.waiting.len() + last.n_answered;
        while state.waiting.len() < n_expected && !self.came.wait_until(state, until).timed_out() {}
    }
}

/// Lets other writers sync if the one who syncs panics.
struct Syncing<'g>(&'g SyncGate);

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().syncing = false;
            self.0.synced.notify_all();
        }
    }
}

impl SyncState {
    fn end_sync(&mut self, written: Option<Commit>, began: Instant) {
        self.syncing = false;
        self.n_syncs += 1;
        self.durable = self.durable.max(written.unwrap_or_default());
        let n_before = self.waiting.len();
        self.waiting.retain(|commit| *commit > self.durable);
        let n_answered = n_before - self.waiting.len();
        self.last = Some(LastSync { ended: Instant::now(), took: began.elapsed(), n_answered });
    }

    fn give_up(&mut self, commit: Commit) {
        if let Some(place) = self.waiting.iter().position(|waiting| *waiting == commit) {
            self.waiting.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[test]
    fn waiters_share_syncs() {
        let (gate, written) = (SyncGate::default(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let commit = Commit(written.fetch_add(1, Ordering::SeqCst) + 1);
                        let sync = || -> Result<(), ()> {
                            std::thread::sleep(Duration::from_millis(2));
                            Ok(())
                        };
                        gate.wait(commit, || Commit(written.load(Ordering::SeqCst)), sync).unwrap();
                        assert!(gate.durable() >= commit);
                    }
                });
            }
        });
        assert!(gate.n_syncs() <= 320 / 8, "{} syncs for 320 commits", gate.n_syncs());
    }

    #[test]
    fn a_failed_sync_makes_nothing_durable() {
        let gate = SyncGate::new(Commit(5));
        assert_eq!(gate.wait(Commit(6), || Commit(6), || Err("disk")), Err("disk"));
        assert_eq!(gate.durable(), Commit(5));
        assert_eq!(gate.wait(Commit(5), || Commit(6), || Err("disk")), Ok(()));
    }
}
