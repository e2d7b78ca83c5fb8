//! Batches as JSON: writes that happen together or not at all, with their expectations.

use std::result::Result as StdResult;

use serde::de::{Deserializer, Error as _, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};
use uuid::Uuid;

use super::FromJson;
use super::read::{FieldValue, ObjectFields, Read, Trace, object};
use super::search::entry;
use crate::collection::handle::Namespace;
use crate::collection::verbs::batch::Batch;
use crate::config::Durability;
use crate::db::Database;
use crate::document::{Document, Update};
use crate::error::{Error, Result};
use crate::id::{Commit, DocId};
use crate::limits::MAX_BATCH_OPERATIONS;

const DURABILITIES: [(&str, Durability); 2] = [("sync", Durability::Sync), ("wal", Durability::Wal)];

/// A batch as JSON: operations on any collections of a database.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let db = vectrove::Database::open(folder.path())?;
/// use vectrove::json::{self, WriteRequest};
/// # use vectrove::{CollectionConfig, Document};
/// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(2))?;
/// let request: WriteRequest = json::from_str(
///     r#"{"operations": [
///         {"insert": {"id": "a", "vector": [1, 0], "metadata": {"draft": true}}},
///         {"update": {"id": "a", "metadata": [{"merge": {"read": true}}, {"remove": ["draft"]}]}},
///         {"delete": "b", "must_exist": true, "namespace": "agent-1"}
///     ]}"#,
/// )?;
/// let refused = request.batch(&db, Some("notes"))?.commit().unwrap_err();
/// let error = serde_json::to_value(&refused)?;
/// assert_eq!((&error["code"], &error["index"]), (&"document_not_found".into(), &2.into()));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WriteRequest {
    /// The writes, in order.
    pub operations: Vec<Operation>,
    /// The batch's operation id, which makes a second try harmless ([`Batch::operation_id`]).
    pub operation_id: Option<Uuid>,
    /// When the batch is acknowledged. Default: as in the options of the database.
    pub durability: Option<Durability>,
}

/// One write of a [`WriteRequest`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Operation {
    /// The write.
    pub action: Action,
    /// The collection's name. Default: the `collection` given to [`WriteRequest::batch`].
    pub collection: Option<String>,
    /// The namespace's name. Default: the collection's default namespace.
    pub namespace: Option<String>,
    /// Whether the document must exist.
    pub must_exist: bool,
    /// Whether the document must not exist.
    pub must_not_exist: bool,
    /// The commit that must be the last to have changed the document.
    pub expect_version: Option<Commit>,
}

/// The write of an [`Operation`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Inserts a document, whose id must not exist.
    Insert(Document),
    /// Inserts a document, or replaces the one with its id.
    Upsert(Document),
    /// Changes a document, which must exist.
    Update(Update),
    /// Deletes a document, if it exists.
    Delete(DocId),
}

impl WriteRequest {
    /// A request of these operations.
    pub fn new(operations: Vec<Operation>) -> Self {
        WriteRequest { operations, ..WriteRequest::default() }
    }

    /// The batch, ready to commit. Operations that name no collection write to `collection`.
    ///
    /// # Errors
    /// `InBatch` with `CollectionNotFound` or `InvalidName`. `InBatch` with `InvalidJson` for an
    /// operation without a collection if `collection` is `None`. `Closed`.
    pub fn batch(self, db: &Database, collection: Option<&str>) -> Result<Batch> {
        let mut batch = db.batch();
        if let Some(id) = self.operation_id {
            batch.operation_id(id);
        }
        if let Some(durability) = self.durability {
            batch.durability(durability);
        }
        let mut places = Places { db, collection, last: None };
        for (index, operation) in self.operations.into_iter().enumerate() {
            let namespace = places.namespace(&operation).map_err(|error| error.in_batch(index, operation.id()))?;
            operation.add_to(&mut batch, namespace);
        }
        Ok(batch)
    }
}

/// Finds the namespaces of operations. The last one is kept, as most operations write where the one
/// before did.
struct Places<'a> {
    db: &'a Database,
    collection: Option<&'a str>,
    last: Option<Place>,
}

/// A namespace, under the names by which an operation gave it.
struct Place {
    collection: Option<String>,
    namespace: Option<String>,
    handle: Namespace,
}

impl Places<'_> {
    fn namespace(&mut self, operation: &Operation) -> Result<&Namespace> {
        let Operation { collection, namespace, .. } = operation;
        let is_same = |last: &Place| (&last.collection, &last.namespace) == (collection, namespace);
        let place = match self.last.take().filter(is_same) {
            Some(last) => last,
            None => {
                let handle = self.find(operation)?;
                Place { collection: collection.clone(), namespace: namespace.clone(), handle }
            }
        };
        Ok(&self.last.insert(place).handle)
    }

    fn find(&self, operation: &Operation) -> Result<Namespace> {
        let name = operation.collection.as_deref().or(self.collection).ok_or_else(|| Error::InvalidJson {
            at: "collection".into(),
            reason: "expected the name of a collection, got none".into(),
        })?;
        let collection = self.db.collection(name)?;
        match &operation.namespace {
            Some(name) => collection.namespace(name),
            None => Ok(Namespace::clone(&collection)),
        }
    }
}

impl Operation {
    /// An operation in the default namespace of the batch's `collection`, with no expectations.
    pub fn new(action: Action) -> Self {
        let (collection, namespace, expect_version) = (None, None, None);
        Operation { action, collection, namespace, must_exist: false, must_not_exist: false, expect_version }
    }

    fn id(&self) -> Option<&DocId> {
        match &self.action {
            Action::Insert(document) | Action::Upsert(document) => document.id.as_ref(),
            Action::Update(update) => Some(&update.id),
            Action::Delete(id) => Some(id),
        }
    }

    fn add_to(self, batch: &mut Batch, namespace: &Namespace) {
        let write = match self.action {
            Action::Insert(document) => batch.insert(namespace, document),
            Action::Upsert(document) => batch.upsert(namespace, document),
            Action::Update(update) => batch.update(namespace, update),
            Action::Delete(id) => batch.delete(namespace, id),
        };
        if self.must_exist {
            write.must_exist();
        }
        if self.must_not_exist {
            write.must_not_exist();
        }
        if let Some(version) = self.expect_version {
            write.expect_version(version);
        }
    }
}

impl FromJson for WriteRequest {
    const NAME: &'static str = "batch";
}

impl FromJson for Operation {
    const NAME: &'static str = "operation";
}

impl Read for WriteRequest {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> StdResult<Self, D::Error> {
        object::<WriteFields, _>(from, trace)
    }
}

impl Read for Operation {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> StdResult<Self, D::Error> {
        object::<OperationFields, _>(from, trace)
    }
}

/// A UUID in any of its spellings.
struct OperationId(Uuid);

impl Read for OperationId {
    fn read<'de, D: Deserializer<'de>>(from: D, trace: &Trace) -> StdResult<Self, D::Error> {
        let text = String::read(from, trace)?;
        let refusal = || {
            let shown: String = text.chars().take(60).collect();
            D::Error::custom(format_args!("expected a UUID, got {shown:?}"))
        };
        Uuid::try_parse(&text).map(OperationId).map_err(|_| refusal())
    }
}

#[derive(Default)]
struct WriteFields {
    operations: Option<Vec<Operation>>,
    operation_id: Option<OperationId>,
    durability: Option<Durability>,
}

impl ObjectFields for WriteFields {
    type Of = WriteRequest;
    const KEYS: &'static [&'static str] = &["operations", "operation_id", "durability"];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> StdResult<(), A::Error> {
        match key {
            "operations" => self.operations = value.read_at_most(MAX_BATCH_OPERATIONS, "operations in the batch")?,
            "operation_id" => self.operation_id = value.read()?,
            _ => self.durability = value.choose(&DURABILITIES)?,
        }
        Ok(())
    }

    fn finish(self) -> StdResult<WriteRequest, String> {
        let Some(operations) = self.operations else { return Err("expected operations, got none".into()) };
        let operation_id = self.operation_id.map(|OperationId(id)| id);
        Ok(WriteRequest { operations, operation_id, durability: self.durability })
    }
}

#[derive(Default)]
struct OperationFields {
    insert: Option<Document>,
    upsert: Option<Document>,
    update: Option<Update>,
    delete: Option<DocId>,
    collection: Option<String>,
    namespace: Option<String>,
    must_exist: Option<bool>,
    must_not_exist: Option<bool>,
    expect_version: Option<u64>,
}

impl ObjectFields for OperationFields {
    type Of = Operation;
    const KEYS: &'static [&'static str] = &[
        "insert",
        "upsert",
        "update",
        "delete",
        "collection",
        "namespace",
        "must_exist",
        "must_not_exist",
        "expect_version",
    ];

    fn take<'de, A: MapAccess<'de>>(&mut self, key: &'static str, value: FieldValue<'_, A>) -> StdResult<(), A::Error> {
        match key {
            "insert" => self.insert = value.read()?,
            "upsert" => self.upsert = value.read()?,
            "update" => self.update = value.read()?,
            "delete" => self.delete = value.read()?,
            "collection" => self.collection = value.read()?,
            "namespace" => self.namespace = value.read()?,
            "must_exist" => self.must_exist = value.read()?,
            "must_not_exist" => self.must_not_exist = value.read()?,
            _ => self.expect_version = value.read()?,
        }
        Ok(())
    }

    fn finish(self) -> StdResult<Operation, String> {
        let actions = [
            self.insert.map(Action::Insert),
            self.upsert.map(Action::Upsert),
            self.update.map(Action::Update),
            self.delete.map(Action::Delete),
        ];
        let mut actions = actions.into_iter().flatten();
        let action = match (actions.next(), actions.next()) {
            (Some(action), None) => action,
            (Some(_), Some(_)) => return Err("expected one of insert, upsert, update and delete, got several".into()),
            (None, _) => return Err("expected insert, upsert, update or delete, got none of them".into()),
        };
        Ok(Operation {
            action,
            collection: self.collection,
            namespace: self.namespace,
            must_exist: self.must_exist == Some(true),
            must_not_exist: self.must_not_exist == Some(true),
            expect_version: self.expect_version.map(Commit),
        })
    }
}

impl Serialize for WriteRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> StdResult<S::Ok, S::Error> {
        let WriteRequest { operations, operation_id, durability } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("operations", operations)?;
        entry(&mut map, "operation_id", operation_id.map(|id| id.to_string()).as_ref())?;
        let name = durability.and_then(|own| DURABILITIES.iter().find(|(_, known)| *known == own));
        entry(&mut map, "durability", name.map(|(name, _)| name))?;
        map.end()
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> StdResult<S::Ok, S::Error> {
        let Operation { action, collection, namespace, must_exist, must_not_exist, expect_version } = self;
        let mut map = serializer.serialize_map(None)?;
        match action {
            Action::Insert(document) => map.serialize_entry("insert", document)?,
            Action::Upsert(document) => map.serialize_entry("upsert", document)?,
            Action::Update(update) => map.serialize_entry("update", update)?,
            Action::Delete(id) => map.serialize_entry("delete", id)?,
        }
        entry(&mut map, "collection", collection.as_ref())?;
        entry(&mut map, "namespace", namespace.as_ref())?;
        entry(&mut map, "must_exist", Some(must_exist).filter(|flag| **flag))?;
        entry(&mut map, "must_not_exist", Some(must_not_exist).filter(|flag| **flag))?;
        entry(&mut map, "expect_version", expect_version.as_ref())?;
        map.end()
    }
}
