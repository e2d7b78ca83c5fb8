//! Asking long work to end early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// A flag that ends long work early: opening a database, verifying, copying and restoring it. Set it from any thread,
/// or from a signal's handler; the work then ends with [`Error::Cancelled`] at its next row, and leaves what a failure
/// of it leaves.
///
/// Cheap to clone; all clones are one flag. Once set it stays set.
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

    /// Refuses to go on once the flag is set.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl From<Arc<AtomicBool>> for Cancel {
    /// A flag that someone else sets, such as a signal's handler.
    fn from(flag: Arc<AtomicBool>) -> Self {
        Cancel { flag }
    }
}

impl PartialEq for Cancel {
    /// Equal are clones of one flag, and flags of which neither is set and nobody else has a clone.
    fn eq(&self, other: &Self) -> bool {
        let is_plain = |cancel: &Cancel| !cancel.is_cancelled() && Arc::strong_count(&cancel.flag) == 1;
        Arc::ptr_eq(&self.flag, &other.flag) || is_plain(self) && is_plain(other)
    }
}

impl Eq for Cancel {}
