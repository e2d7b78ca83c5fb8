//! Snapshots: reading one commit more than once.
//!
//! A [`Snapshot`] holds a moment. A collection that is dropped or closed takes the moments of its
//! snapshots away: closing a database does not wait for whoever holds one.

use std::fmt;
use std::sync::Arc;

use super::handle::{CollectionState, Namespace};
use super::moment::held::HeldMoment;
use super::moment::{Listing, Moment};
use crate::error::{Error, Result};
use crate::id::Commit;
use crate::process;

/// A namespace as of one commit, with every verb that reads. All answers belong together.
///
/// It shows what [`Namespace::snapshot`] found, whatever is written later. It is cheap to clone and
/// to send between threads. While it is held, documents that were deleted or replaced since keep
/// their memory and disk space. Hold it for seconds or minutes, not for days.
///
/// # Errors
/// All verbs: `CollectionNotFound` once the collection was dropped, `Closed` once the database was;
/// otherwise as the verbs of [`Namespace`].
#[derive(Clone)]
pub struct Snapshot {
    // This is dropped before the namespace, whose end may close the database.
    held: Arc<HeldMoment>,
    commit: Commit,
    namespace: Namespace,
}

impl Namespace {
    /// A snapshot of the namespace as of the last commit.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).id("a"))?;
    /// let before = notes.snapshot()?;
    /// notes.delete("a")?;
    /// assert_eq!((before.count(None)?, notes.count(None)?), (1, 0));
    /// assert_eq!(before.search([1.0]).run()?[0].id, "a".into());
    /// assert!(before.commit() < notes.snapshot()?.commit());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        let moment = self.moment(Listing::IfFew)?;
        let commit = moment.commit();
        let held = Arc::new(HeldMoment::new(Some(Arc::new(moment))));
        self.state.snapshots.add(&held);
        // If the collection was dropped or closed before `add`, nobody takes this moment away.
        self.state.opened()?;
        Ok(Snapshot { held, commit, namespace: self.clone() })
    }
}

impl Snapshot {
    /// The commit that the snapshot shows: that one and all before it, and nothing later.
    pub fn commit(&self) -> Commit {
        self.commit
    }

    pub(super) fn moment(&self) -> Result<Arc<Moment>> {
        process::check()?;
        match self.held.load_full() {
            Some(moment) => Ok(moment),
            // The collection was dropped or closed.
            None => self.namespace.state.opened().and(Err(Error::Closed)),
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("namespace", &self.namespace).field("commit", &self.commit).finish()
    }
}

/// Where a verb reads: in a namespace as it is when it runs, or in a snapshot of one.
#[derive(Debug, Clone)]
pub(super) enum ReadPoint {
    Namespace(Namespace),
    Snapshot(Snapshot),
}

impl From<&Namespace> for ReadPoint {
    fn from(namespace: &Namespace) -> Self {
        ReadPoint::Namespace(namespace.clone())
    }
}

impl From<&Snapshot> for ReadPoint {
    fn from(snapshot: &Snapshot) -> Self {
        ReadPoint::Snapshot(snapshot.clone())
    }
}

impl ReadPoint {
    /// The moment that the verb reads. A snapshot's moment keeps the listing that it was made with.
    pub(super) fn moment(&self, listing: Listing) -> Result<Arc<Moment>> {
        match self {
            ReadPoint::Namespace(namespace) => namespace.moment(listing).map(Arc::new),
            ReadPoint::Snapshot(snapshot) => snapshot.moment(),
        }
    }

    /// The name of the collection, for errors.
    pub(super) fn collection(&self) -> String {
        self.state().name()
    }

    /// The name of the namespace; empty for the default one.
    pub(super) fn namespace(&self) -> &str {
        match self {
            ReadPoint::Namespace(namespace) => &namespace.name,
            ReadPoint::Snapshot(snapshot) => &snapshot.namespace.name,
        }
    }

    fn state(&self) -> &CollectionState {
        match self {
            ReadPoint::Namespace(namespace) => &namespace.state,
            ReadPoint::Snapshot(snapshot) => &snapshot.namespace.state,
        }
    }
}
