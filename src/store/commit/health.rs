//! Whether the database takes writes, and why not.
//!
//! A failed write or sync makes the database read-only. A full disk heals: a trial write, the
//! canary, finds out when. A disk that refused to confirm a sync does not heal. The kernel marks
//! pages that it lost as clean, so only a reopen tells what is on the disk.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};

#[derive(Default)]
pub(crate) struct Health {
    // Read before every write; the mutex guards the details.
    failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

#[derive(Debug, Clone)]
struct Failure {
    reason: String,
    heals: bool,
}

impl Health {
    /// Fails with `ReadOnly` while the database is read-only.
    pub(crate) fn check(&self) -> Result<()> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(Error::ReadOnly { reason }),
        }
    }

    /// Why the database is read-only, with advice; `None` while it takes writes.
    pub(crate) fn reason(&self) -> Option<String> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        let advice = |heals| if heals { "writes resume once this is mended" } else { "close and reopen the database" };
        self.failure.lock().as_ref().map(|failure| format!("{}; {}", failure.reason, advice(failure.heals)))
    }

    /// Whether a trial write may end the read-only state.
    pub(crate) fn may_heal(&self) -> bool {
        self.failure.lock().as_ref().is_some_and(|failure| failure.heals)
    }

    /// Makes the database read-only. A failure that heals does not replace one that cannot.
    pub(crate) fn fail(&self, reason: String, heals: bool) {
        tracing::warn!("database is read-only: {reason}");
        let mut failure = self.failure.lock();
        if failure.as_ref().is_none_or(|known| known.heals) {
            *failure = Some(Failure { reason, heals });
        }
        self.failed.store(true, Ordering::Release);
    }

    /// Takes writes again, unless a failure that cannot heal came meanwhile.
    pub(crate) fn heal(&self) {
        let mut failure = self.failure.lock();
        if failure.as_ref().is_some_and(|known| known.heals) {
            *failure = None;
            self.failed.store(false, Ordering::Release);
            tracing::info!("database takes writes again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_heals_heals() {
        let health = Health::default();
        assert!(health.check().is_ok());
        health.fail("disk full".into(), true);
        assert!(matches!(health.check(), Err(Error::ReadOnly { .. })) && health.may_heal());
        health.heal();
        assert!(health.check().is_ok());
        health.fail("sync failed".into(), false);
        health.fail("disk full".into(), true);
        health.heal();
        assert!(health.check().unwrap_err().to_string().contains("reopen") && !health.may_heal());
    }
}
