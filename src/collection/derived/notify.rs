//! Waiting for background work.
//!
//! A waiting thread looks again after [`LOOK_AGAIN`] at the latest, whether or not anyone notifies
//! it.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::cancel::Stop;

/// How long a waiting thread sleeps at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A condition that threads wait for and others ring.
#[derive(Default)]
pub(crate) struct Waiting {
    lock: Mutex<()>,
    changed: Condvar,
}

impl Waiting {
    /// Waits until `look` returns something. It also looks at the time at which `stop` ends the
    /// call.
    pub(crate) fn wait<T>(&self, stop: &Stop, look: impl Fn() -> Option<T>) -> T {
        let mut guard = self.lock.lock();
        loop {
            if let Some(found) = look() {
                return found;
            }
            let pause = stop.left().map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN));
            _ = self.changed.wait_for(&mut guard, pause);
        }
    }

    /// Makes waiting threads look again.
    pub(crate) fn notify(&self) {
        drop(self.lock.lock());
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn whoever_waits_looks_again_although_nobody_notifies() {
        let (waiting, began) = (Waiting::default(), Instant::now());
        waiting.wait(Stop::NEVER, || (began.elapsed() > LOOK_AGAIN / 2).then_some(()));
    }
}
