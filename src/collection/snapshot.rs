//! Snapshots: reading one commit more than once.
//!
//! A [`Snapshot`] holds a moment. A collection that is dropped or closed takes the moments of its
//! snapshots away: closing a database does not wait for whoever holds one.

use std::fmt;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::facet::Facet;
use super::moment::{Listing, Moment};
use super::query::Query;
use super::read::Scroll;
use super::sample::Sample;
use super::search::Search;
use super::{CollectionState, Namespace};
use crate::document::StoredDocument;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::id::{Commit, DocId};
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

/// A moment, until its collection takes it away.
type HeldMoment = ArcSwapOption<Moment>;

/// The snapshots of a collection.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<Vec<Weak<HeldMoment>>>);

/// Snapshots that are gone leave the list only when it has at least this length.
const LEAST_LISTED: usize = 64;

impl Snapshots {
    fn add(&self, held: &Arc<HeldMoment>) {
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
    pub(super) fn let_go(&self) {
        self.0.lock().drain(..).filter_map(|held| held.upgrade()).for_each(|held| held.store(None));
    }
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

    /// The document with an id, vector included; `None` if there is none. See [`Namespace::get`].
    pub fn get(&self, id: impl Into<DocId>) -> Result<Option<StoredDocument>> {
        self.moment()?.document(&id.into(), true)
    }

    /// The documents with these ids, in their order; `None` where there is none. See
    /// [`Namespace::get_many`].
    pub fn get_many<I: Into<DocId>>(&self, ids: impl IntoIterator<Item = I>) -> Result<Vec<Option<StoredDocument>>> {
        let moment = self.moment()?;
        ids.into_iter().map(|id| moment.document(&id.into(), true)).collect()
    }

    /// As [`get_many`](Snapshot::get_many), without vectors. See
    /// [`Namespace::get_many_without_vectors`].
    pub fn get_many_without_vectors<I: Into<DocId>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Result<Vec<Option<StoredDocument>>> {
        let moment = self.moment()?;
        ids.into_iter().map(|id| moment.document(&id.into(), false)).collect()
    }

    /// Whether there is a document with an id. See [`Namespace::contains`].
    pub fn contains(&self, id: impl Into<DocId>) -> Result<bool> {
        self.moment()?.contains(&id.into())
    }

    /// How many documents match a filter; `None` counts all. See [`Namespace::count`].
    pub fn count(&self, filter: impl Into<Option<Filter>>) -> Result<usize> {
        self.moment()?.count(filter.into())
    }

    /// Goes through documents in the order of ids, or of a field. See [`Namespace::scroll`].
    pub fn scroll(&self) -> Scroll {
        Scroll::of(self.into())
    }

    /// How many documents have each value of a metadata field. See [`Namespace::facet`].
    pub fn facet(&self, field: impl Into<String>) -> Facet {
        Facet::of(self.into(), field.into())
    }

    /// `n` documents drawn at random. See [`Namespace::sample`].
    pub fn sample(&self, n: usize) -> Sample {
        Sample::of(self.into(), n)
    }

    /// The documents nearest to a vector or to examples, or with words. See [`Namespace::search`].
    pub fn search(&self, query: impl Into<Query>) -> Search {
        Search::of(self.into(), query.into())
    }

    /// As [`search`](Snapshot::search) for each of several queries, on all cores. See
    /// [`Namespace::search_many`].
    pub fn search_many<Q: Into<Query>>(&self, queries: impl IntoIterator<Item = Q>) -> Search<Vec<Query>> {
        Search::of(self.into(), queries.into_iter().map(Into::into).collect())
    }

    fn moment(&self) -> Result<Arc<Moment>> {
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
