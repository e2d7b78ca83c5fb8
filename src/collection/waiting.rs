//! Waiting for work that others do in the background.

use parking_lot::{Condvar, Mutex};

/// Where to wait, and where to ring.
#[derive(Default)]
pub(super) struct Waiting {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Waiting {
    /// Waits while something is so. Looks again whenever it is rung.
    pub(super) fn wait_while(&self, is_so: impl Fn() -> bool) {
        let mut guard = self.lock.lock();
        while is_so() {
            self.changed.wait(&mut guard);
        }
    }

    /// Has those who wait look again.
    pub(super) fn ring(&self) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}
