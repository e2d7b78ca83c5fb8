//! Ending long work early: by a flag, or by a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// A flag that ends long work early.
///
/// The work that checks it: opening, verifying, copying and restoring a database, searches,
/// scrolls, facets, samples, and a batch that waits. Any thread may set the flag, and so may a
/// signal handler. The work then ends with [`Error::Cancelled`], at most a few hundred rows or
/// distances later. It leaves behind what a failure of the same work would leave.
///
/// A `Cancel` is cheap to clone, and all clones share one flag. A flag that is set stays set.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// use vectrove::{Cancel, Database, ErrorKind};
/// let db = Database::open(folder.path())?;
/// let cancel = Cancel::new();
/// cancel.cancel();
/// assert_eq!(db.verify_with(&cancel).unwrap_err().kind(), ErrorKind::Cancelled);
/// assert!(db.verify().is_ok());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    flag: Arc<AtomicBool>,
}

impl Cancel {
    /// A flag that is not set.
    pub fn new() -> Self {
        Cancel::default()
    }

    /// Sets the flag.
    pub fn cancel(&self) {
        self.flag.store(true, Ordering::Relaxed);
    }

    /// Whether the flag is set.
    pub fn is_cancelled(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Refuses with `Cancelled` once the flag is set.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl From<Arc<AtomicBool>> for Cancel {
    /// Wraps a flag that other code sets, such as a signal handler.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Cancel { flag }
    }
}

impl PartialEq for Cancel {
    /// Clones of one flag are equal. Two flags are equal too if neither is set or has a clone.
    fn eq(&self, other: &Self) -> bool {
        let is_plain = |cancel: &Cancel| !cancel.is_cancelled() && Arc::strong_count(&cancel.flag) == 1;
        Arc::ptr_eq(&self.flag, &other.flag) || is_plain(self) && is_plain(other)
    }
}

impl Eq for Cancel {}

/// The conditions that end a call early: a flag, a deadline, both or neither.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    cancel: Option<Cancel>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Rows read, or distances computed, between two checks.
    pub(crate) const EVERY: usize = 256;

    /// The conditions of a call that runs to its end.
    pub(crate) const NEVER: &'static Stop = &Stop { cancel: None, deadline: None };

    pub(crate) fn set_cancel(&mut self, cancel: &Cancel) {
        self.cancel = Some(cancel.clone());
    }

    pub(crate) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// Time left until the deadline; `None` without a deadline.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the call has to end. Once this is true it stays true.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let is_late = || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.cancel.as_ref().is_some_and(Cancel::is_cancelled) || is_late()
    }

    /// Refuses with `Cancelled` or `Deadline` once the call has to end.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        self.cancel.as_ref().map_or(Ok(()), Cancel::check)?;
        Err(Error::Deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_by_the_flag_or_the_time() {
        assert!(Stop::NEVER.check().is_ok());
        let (cancel, mut stop) = (Cancel::new(), Stop::default());
        stop.set_cancel(&cancel);
        stop.set_deadline(Instant::now() + Duration::from_secs(3_600));
        assert!(stop.check().is_ok() && !stop.is_due());
        cancel.cancel();
        assert!(matches!(stop.check(), Err(Error::Cancelled)) && stop.is_due());
        let mut stop = Stop::default();
        stop.set_deadline(Instant::now());
        assert!(matches!(stop.check(), Err(Error::Deadline)) && stop.is_due());
    }
}
