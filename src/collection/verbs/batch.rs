//! Batches: operations that are gathered, and then committed together or not at all.

use std::sync::{Arc, Weak};
use std::time::Instant;

use uuid::Uuid;

use crate::cancel::{Cancel, Stop};
use crate::collection::commit::operation::{CheckedAction, CheckedOperation, Expectation, Work};
use crate::collection::handle::{KeepAlive, Namespace};
use crate::collection::{check, commit};
use crate::config::Durability;
use crate::document::{Document, Update};
use crate::error::{Error, Result};
use crate::hit::Receipt;
use crate::id::{Commit, DocId};
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_OPERATIONS};
use crate::process;
use crate::store::Store;

/// An atomic batch of writes to any collections and namespaces of one database.
///
/// Operations take effect in order: a later one sees what an earlier one did. If an operation fails
/// or an expectation does not hold, nothing happens. The error is [`Error::InBatch`], with the
/// position of the operation.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let db = vectrove::Database::open(folder.path())?;
/// use vectrove::{CollectionConfig, Document};
/// let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
/// let done = db.get_or_create_collection("done", CollectionConfig::new(2))?;
/// notes.insert(Document::new(vec![1.0, 0.0]).id("a"))?;
///
/// let mut batch = db.batch();
/// batch.delete(&notes, "a").must_exist();
/// batch.insert(&done, Document::new(vec![1.0, 0.0]).id("a"));
/// let receipt = batch.commit()?;
/// assert_eq!((receipt.n_changed, notes.contains("a")?, done.contains("a")?), (2, false, true));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    store: Weak<Store>,
    writes: Vec<Write>,
    /// Approximate bytes of vectors, metadata and text in the writes.
    n_bytes: usize,
    operation_id: Option<Uuid>,
    durability: Option<Durability>,
    /// The deadline or flag that ends the wait before the commit.
    stop: Stop,
    _keep_alive: KeepAlive,
}

/// One write of a [`Batch`], to which expectations can be added.
pub struct Write {
    namespace: Namespace,
    action: WriteAction,
    expectations: Vec<Expectation>,
}

enum WriteAction {
    Insert(Document),
    Upsert(Document),
    Update(Update),
    Delete(DocId),
}

impl WriteAction {
    /// Approximate bytes of the action.
    fn size_hint(&self) -> usize {
        match self {
            WriteAction::Insert(document) | WriteAction::Upsert(document) => document.size_hint(),
            WriteAction::Update(update) => update.size_hint(),
            WriteAction::Delete(_) => 64,
        }
    }
}

impl Batch {
    pub(crate) fn new(store: Weak<Store>, keep_alive: KeepAlive) -> Self {
        Batch {
            store,
            writes: Vec::new(),
            n_bytes: 0,
            operation_id: None,
            durability: None,
            stop: Stop::default(),
            _keep_alive: keep_alive,
        }
    }

    /// Adds an insert. The batch fails with `DocumentExists` if the document's id exists.
    pub fn insert(&mut self, namespace: &Namespace, document: Document) -> &mut Write {
        self.add(namespace, WriteAction::Insert(document))
    }

    /// Adds an upsert: an insert, or the replacement of the document with its id.
    pub fn upsert(&mut self, namespace: &Namespace, document: Document) -> &mut Write {
        self.add(namespace, WriteAction::Upsert(document))
    }

    /// Adds an update. The batch fails with `DocumentNotFound` if the document does not exist.
    pub fn update(&mut self, namespace: &Namespace, update: Update) -> &mut Write {
        self.add(namespace, WriteAction::Update(update))
    }

    /// Adds a delete. A document that does not exist is no error.
    pub fn delete(&mut self, namespace: &Namespace, id: impl Into<DocId>) -> &mut Write {
        self.add(namespace, WriteAction::Delete(id.into()))
    }

    /// Makes a retry harmless (idempotency key). If a batch with this id was committed before,
    /// nothing is written, and the receipt names that commit. The id is remembered for the newest
    /// [`Options::log_retention`](crate::Options) commits. A batch that had nothing to change is
    /// not remembered: the retry has nothing to change either.
    pub fn operation_id(&mut self, id: Uuid) -> &mut Self {
        self.operation_id = Some(id);
        self
    }

    /// When the batch is acknowledged, whatever durability its handles have. Default:
    /// [`Options::durability`](crate::Options::durability).
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Durability};
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// let mut batch = db.batch();
    /// batch.insert(&notes, Document::new([1.0]).id("a"));
    /// batch.durability(Durability::Wal);
    /// assert_eq!(batch.commit()?.n_changed, 1);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn durability(&mut self, durability: Durability) -> &mut Self {
        self.durability = Some(durability);
        self
    }

    /// Ends the commit with `Deadline`, and nothing written, if its turn to write comes later than
    /// `deadline`. A commit first waits while too many documents wait to be linked, and then for
    /// the commits before it; the second wait is not cut short. A batch that was written is
    /// acknowledged, however late. So is a batch whose [`operation_id`](Batch::operation_id) was
    /// committed before. Default: never.
    pub fn deadline(&mut self, deadline: Instant) -> &mut Self {
        self.stop.set_deadline(deadline);
        self
    }

    /// Ends the commit with `Cancelled`, and nothing written, once the flag is set; otherwise as
    /// [`deadline`](Batch::deadline). Default: never.
    pub fn cancel(&mut self, cancel: &Cancel) -> &mut Self {
        self.stop.set_cancel(cancel);
        self
    }

    /// How many operations the batch holds.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether the batch holds no operation.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Commits everything, or nothing.
    ///
    /// # Errors
    /// [`Error::InBatch`] for an operation that cannot be done; `LimitExceeded` for more than
    /// 100,000 operations or 256 MiB; `Deadline` or `Cancelled` if one of these ended the commit;
    /// `ReadOnly`, `Closed` and [`Error::Commit`] as for every write.
    pub fn commit(self) -> Result<Receipt> {
        process::check()?;
        let store = self.store.upgrade().ok_or(Error::Closed)?;
        self.check_size()?;
        let operations = prepare(&store, self.writes)?;
        let work = Work { operations, n_bytes: self.n_bytes };
        commit::commit(&store, work, self.operation_id, self.durability, &self.stop)
    }

    /// Refuses a batch over its limits. Callers that gather many operations check after each one,
    /// before memory is spent on the rest.
    pub(crate) fn check_size(&self) -> Result<()> {
        let bounds = [
            ("operations in the batch", MAX_BATCH_OPERATIONS, self.writes.len()),
            ("batch in bytes", MAX_BATCH_BYTES, self.n_bytes),
        ];
        match bounds.into_iter().find(|(_, limit, got)| got > limit) {
            Some((what, limit, got)) => Err(Error::LimitExceeded { what, limit, got }),
            None => Ok(()),
        }
    }

    fn add(&mut self, namespace: &Namespace, action: WriteAction) -> &mut Write {
        self.n_bytes = self.n_bytes.saturating_add(action.size_hint());
        self.writes.push(Write { namespace: namespace.clone(), action, expectations: Vec::new() });
        self.writes.last_mut().expect("just pushed")
    }
}

impl Write {
    /// Fails the batch with `DocumentNotFound` if the document does not exist.
    pub fn must_exist(&mut self) -> &mut Self {
        self.expect(Expectation::MustExist)
    }

    /// Fails the batch with `DocumentExists` if the document exists.
    pub fn must_not_exist(&mut self) -> &mut Self {
        self.expect(Expectation::MustNotExist)
    }

    /// Fails the batch with `VersionMismatch` if the document does not exist, or was last changed
    /// by another commit than `version`.
    pub fn expect_version(&mut self, version: Commit) -> &mut Self {
        self.expect(Expectation::Version(version))
    }

    fn expect(&mut self, expectation: Expectation) -> &mut Self {
        self.expectations.push(expectation);
        self
    }
}

/// Checks every write, without locks and without reading.
fn prepare(store: &Arc<Store>, writes: Vec<Write>) -> Result<Vec<CheckedOperation>> {
    let check = |(index, write): (usize, Write)| {
        let id = write.id().cloned();
        write.prepare(store).map_err(|error| error.in_batch(index, id.as_ref()))
    };
    writes.into_iter().enumerate().map(check).collect()
}

impl Write {
    fn id(&self) -> Option<&DocId> {
        match &self.action {
            WriteAction::Insert(document) | WriteAction::Upsert(document) => document.id.as_ref(),
            WriteAction::Update(update) => Some(&update.id),
            WriteAction::Delete(id) => Some(id),
        }
    }

    fn prepare(self, store: &Arc<Store>) -> Result<CheckedOperation> {
        let Write { namespace, action, expectations } = self;
        let open = namespace.state.opened()?;
        if !Arc::ptr_eq(&open.store, store) {
            let reason =
                format!("collection \"{}\" belongs to another database than the batch", namespace.state.name());
            return Err(Error::InvalidConfig { field: "batch", reason });
        }
        let (name, number) = (|| namespace.state.name(), open.find_namespace(&namespace.name));
        let prepared = match action {
            WriteAction::Insert(document) => CheckedAction::Insert(check::document(name, &open, number, document)?),
            WriteAction::Upsert(document) => CheckedAction::Upsert(check::document(name, &open, number, document)?),
            WriteAction::Update(update) => CheckedAction::Update(check::update(name, &open, number, update)?),
            WriteAction::Delete(id) => {
                check::id(&id)?;
                CheckedAction::Delete(id)
            }
        };
        Ok(CheckedOperation { namespace, prepared, expectations })
    }
}
