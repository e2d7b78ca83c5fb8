//! The bell that wakes the linker, and whether the linker still runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::{Error, Result};

/// Wakes the linker.
#[derive(Default)]
pub(crate) struct LinkerSignal {
    notified: Mutex<bool>,
    changed: Condvar,
    pub(in crate::collection) stopped: AtomicBool,
    pub(in crate::collection) panicked: AtomicBool,
}

impl LinkerSignal {
    pub(crate) fn notify(&self) {
        *self.notified.lock() = true;
        self.changed.notify_one();
    }

    /// Whether the linker has stopped, so that nothing will be linked any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Fails once the linker has stopped: nothing will be linked any more.
    pub(crate) fn check(&self) -> Result<()> {
        let gone = || Error::Storage { doing: "working in the background", source: "the linker had panicked".into() };
        match self.is_stopped() {
            false => Ok(()),
            true if self.panicked.load(Ordering::Acquire) => Err(gone()),
            true => Err(Error::Closed),
        }
    }

    /// Sleeps until it is notified, for at most `most`.
    pub(in crate::collection) fn wait(&self, most: Option<Duration>) {
        let until = most.map(|most| Instant::now() + most);
        let mut notified = self.notified.lock();
        while !*notified && !self.is_stopped() {
            match until {
                None => self.changed.wait(&mut notified),
                Some(until) if self.changed.wait_until(&mut notified, until).timed_out() => break,
                Some(_) => {}
            }
        }
        *notified = false;
    }
}
