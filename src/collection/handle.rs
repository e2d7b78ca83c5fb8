//! The handles [`Collection`] and [`Namespace`], and the state that all handles of a collection
//! share.
//!
//! A handle may outlive its collection, which is then dropped or closed.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::check;
use super::moment::held::Snapshots;
use super::moment::{Listing, Moment};
use super::open::OpenCollection;
use crate::config::{CollectionConfig, Durability};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::hit::Receipt;
use crate::id::CollectionId;
use crate::process;

/// Keeps the database open as long as a handle holds it.
pub(crate) type KeepAlive = Arc<dyn Any + Send + Sync>;

/// A named set of documents with one configuration, and a handle to its default namespace.
///
/// The handle is cheap to clone and to send between threads. Documents live in namespaces, and each
/// namespace has ids of its own. A `Collection` has all verbs of [`Namespace`], which act on its
/// default namespace; [`namespace`](Collection::namespace) returns a handle to another one.
#[derive(Clone)]
pub struct Collection {
    default: Namespace,
}

/// A partition of a collection, such as the documents of one agent or one session.
///
/// Namespaces share the configuration of their collection. A collection may have millions of them,
/// and an empty one costs nothing. A namespace sees only its own documents: the same id in two
/// namespaces names two documents. The first document written to a namespace creates it.
#[derive(Clone)]
pub struct Namespace {
    pub(super) state: Arc<CollectionState>,
    /// Empty for the default namespace.
    pub(super) name: Arc<str>,
    /// The durability of writes through this handle; `None` takes that of the database's `Options`.
    pub(super) durability: Option<Durability>,
    pub(super) keep_alive: KeepAlive,
}

/// The part of a collection that all its handles share.
pub(crate) struct CollectionState {
    pub(crate) id: CollectionId,
    pub(crate) config: CollectionConfig,
    pub(super) name: ArcSwap<String>,
    status: ArcSwap<CollectionStatus>,
    pub(crate) snapshots: Snapshots,
}

enum CollectionStatus {
    Open(Arc<OpenCollection>),
    Dropped,
    Closed,
}

impl Collection {
    pub(crate) fn new(state: Arc<CollectionState>, keep_alive: KeepAlive) -> Self {
        Collection { default: Namespace { state, name: "".into(), durability: None, keep_alive } }
    }

    /// The collection's current name.
    pub fn name(&self) -> String {
        self.state.name()
    }

    /// The configuration of the collection. Its indexed paths are those of the creation, and its
    /// schema is that of the last opening. [`indexed_fields`](Collection::indexed_fields) and
    /// [`schema`](Collection::schema) return the current ones.
    pub fn config(&self) -> &CollectionConfig {
        &self.state.config
    }

    /// A handle to the namespace with this name of 1 to 256 bytes. The namespace need not exist
    /// yet.
    ///
    /// # Errors
    /// `InvalidName` for an empty or overlong name.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        check::namespace_name(name)?;
        Ok(Namespace { name: name.into(), ..self.default.clone() })
    }

    /// A handle to the same collection whose writes use `durability`, also those through its
    /// namespaces; see [`Namespace::with_durability`].
    #[must_use]
    pub fn with_durability(&self, durability: Durability) -> Collection {
        Collection { default: self.default.with_durability(durability) }
    }

    /// The names of the namespaces that hold documents and begin with `prefix`, in byte order. An
    /// empty prefix lists all of them. The default namespace has no name and is not listed.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn namespaces(&self, prefix: &str) -> Result<Vec<String>> {
        let open = self.state.opened()?;
        // Documents first, names second: a namespace gets its name before its first document.
        let inhabited: std::collections::HashSet<_> = open.memory.inhabited().into_iter().collect();
        let namespaces = open.namespaces.read();
        let named = namespaces.from(prefix).take_while(|(name, _)| name.starts_with(prefix));
        let named = named.filter(|(name, number)| !name.is_empty() && inhabited.contains(number));
        Ok(named.map(|(name, _)| name.to_string()).collect())
    }

    /// Deletes every document of a namespace in one commit, and with them the namespace. A
    /// namespace without documents is no error.
    ///
    /// # Errors
    /// `InvalidName` for an empty or overlong name; otherwise as for every write.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// for agent in ["agent-1", "agent-2", "session-9"] {
    ///     notes.namespace(agent)?.insert(Document::new([1.0]).id("a"))?;
    /// }
    /// assert_eq!(notes.namespaces("agent-")?, ["agent-1", "agent-2"]);
    /// assert_eq!(notes.drop_namespace("agent-1")?.n_changed, 1);
    /// assert_eq!(notes.namespaces("")?, ["agent-2", "session-9"]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn drop_namespace(&self, name: &str) -> Result<Receipt> {
        self.namespace(name)?.delete_where(Filter::everything())
    }
}

impl AsRef<Namespace> for Namespace {
    fn as_ref(&self) -> &Namespace {
        self
    }
}

impl AsRef<Namespace> for Collection {
    fn as_ref(&self) -> &Namespace {
        &self.default
    }
}

impl Deref for Collection {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.default
    }
}

impl Namespace {
    /// The namespace's name; empty for the default namespace.
    pub fn namespace_name(&self) -> &str {
        &self.name
    }

    /// A handle to the same namespace whose writes use `durability` instead of
    /// [`Options::durability`](crate::Options::durability). This holds for its own verbs and for
    /// its [`writer`](Namespace::writer). A [`Batch`](crate::Batch) has a [durability of its
    /// own](crate::Batch::durability).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Durability};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// let scratch = notes.namespace("scratch")?.with_durability(Durability::Wal);
    /// scratch.upsert(Document::new([1.0]).id("a"))?; // survives a killed process, not a power loss
    /// notes.upsert(Document::new([1.0]).id("a"))?; // survives both
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_durability(&self, durability: Durability) -> Namespace {
        Namespace { durability: Some(durability), ..self.clone() }
    }

    pub(crate) fn state(&self) -> &Arc<CollectionState> {
        &self.state
    }

    pub(crate) fn keep_alive(&self) -> &KeepAlive {
        &self.keep_alive
    }

    /// The namespace as of the last commit.
    pub(crate) fn moment(&self, listing: Listing) -> Result<Moment> {
        Ok(Moment::last(self.state.opened()?, &self.name, listing))
    }
}

impl CollectionState {
    pub(crate) fn new(name: String, open: Arc<OpenCollection>) -> Self {
        CollectionState {
            id: open.id,
            config: open.config.clone(),
            name: ArcSwap::from_pointee(name),
            status: ArcSwap::from_pointee(CollectionStatus::Open(open)),
            snapshots: Snapshots::default(),
        }
    }

    pub(crate) fn name(&self) -> String {
        String::clone(&self.name.load())
    }

    /// Makes every handle use `open` from now on. Calls under way finish with the one they began
    /// with.
    pub(crate) fn look_at(&self, open: Arc<OpenCollection>) {
        self.status.store(Arc::new(CollectionStatus::Open(open)));
    }

    pub(crate) fn rename(&self, name: &str) {
        self.name.store(Arc::new(name.to_owned()));
    }

    /// The open collection, or the error that says why there is none. Every verb calls this before
    /// it takes a lock.
    pub(crate) fn opened(&self) -> Result<Arc<OpenCollection>> {
        process::check()?;
        match &**self.status.load() {
            CollectionStatus::Open(open) => Ok(open.clone()),
            CollectionStatus::Dropped => Err(Error::CollectionNotFound { name: self.name() }),
            CollectionStatus::Closed => Err(Error::Closed),
        }
    }

    /// Marks the collection as dropped, for every handle. Returns its parts if it was open.
    pub(crate) fn leave_dropped(&self) -> Option<Arc<OpenCollection>> {
        self.leave(CollectionStatus::Dropped)
    }

    /// Marks the database as closed, for every handle. Returns the collection's parts if it was
    /// open.
    pub(crate) fn leave_closed(&self) -> Option<Arc<OpenCollection>> {
        self.leave(CollectionStatus::Closed)
    }

    fn leave(&self, status: CollectionStatus) -> Option<Arc<OpenCollection>> {
        let before = self.status.swap(Arc::new(status));
        self.snapshots.let_go();
        match &*before {
            CollectionStatus::Open(open) => Some(open.clone()),
            CollectionStatus::Dropped | CollectionStatus::Closed => None,
        }
    }
}

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("name", &self.name()).field("config", self.config()).finish()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("collection", &self.state.name()).field("name", &self.name).finish()
    }
}
