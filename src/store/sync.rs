//! Group commit: one sync of the log answers everyone who waits for it.
//!
//! Who comes first syncs; who comes while that runs waits for it to end, and then one of them syncs for all.

use parking_lot::{Condvar, Mutex};

use crate::id::Commit;

#[derive(Default)]
pub(crate) struct SyncGate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    durable: Commit,
    syncing: bool,
    n_syncs: u64,
}

impl SyncGate {
    /// A gate before which everything up to `durable` is on the disk.
    pub(crate) fn new(durable: Commit) -> Self {
        SyncGate { state: Mutex::new(State { durable, ..State::default() }), changed: Condvar::new() }
    }

    /// The last commit known to be on the disk.
    pub(crate) fn durable(&self) -> Commit {
        self.state.lock().durable
    }

    /// How many syncs were done.
    pub(crate) fn n_syncs(&self) -> u64 {
        self.state.lock().n_syncs
    }

    /// Returns once `commit` is on the disk. `last_written` tells how far the log has got, `sync` puts that on the
    /// disk; an error of it goes to the one who ran it, and the others try for themselves.
    pub(crate) fn wait<E>(
        &self,
        commit: Commit,
        last_written: impl Fn() -> Commit,
        sync: impl Fn() -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.state.lock();
        while state.durable < commit {
            if state.syncing {
                self.changed.wait(&mut state);
                continue;
            }
            state.syncing = true;
            drop(state);
            let written = last_written();
            let outcome = sync();
            state = self.state.lock();
            state.syncing = false;
            state.n_syncs += 1;
            if outcome.is_ok() {
                state.durable = state.durable.max(written);
            }
            self.changed.notify_all();
            outcome?;
        }
        Ok(())
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
        assert!(gate.n_syncs() <= 320 / 5, "{} syncs for 320 commits", gate.n_syncs());
    }

    #[test]
    fn a_failed_sync_makes_nothing_durable() {
        let gate = SyncGate::new(Commit(5));
        assert_eq!(gate.wait(Commit(6), || Commit(6), || Err("disk")), Err("disk"));
        assert_eq!(gate.durable(), Commit(5));
        assert_eq!(gate.wait(Commit(5), || Commit(6), || Err("disk")), Ok(()));
    }
}
