//! What metadata the collection admits, and changing that while documents are written.
//!
//! A schema that may refuse what the present one admits is announced first: from then on writers have to satisfy both.
//! So the documents that are there can be looked at as of that moment, without anyone waiting, and none that the new
//! schema refuses can come after. Only then is it committed, as part of the catalog entry.

use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{Collection, Live, State};
use crate::config::{CollectionConfig, Durability};
use crate::error::{Error, Result, Violation};
use crate::id::DocId;
use crate::schema::Schema;
use crate::schema::check::Fault;
use crate::store::draft::Draft;
use crate::store::record::{CatalogEntry, CollectionState, DocumentRow};
use crate::store::{View, key};
use crate::value::Value;

/// What a collection asks of metadata.
pub(crate) struct Admission {
    rules: RwLock<Rules>,
    /// Held by whoever changes the schema, from the first look until the change is on the disk.
    changing: Mutex<()>,
}

/// The schemas that metadata has to satisfy.
#[derive(Clone, Default)]
pub(crate) struct Rules {
    /// The one that is written down.
    present: Option<Arc<Schema>>,
    /// The one that has been announced.
    next: Option<Arc<Schema>>,
}

impl Rules {
    pub(crate) fn check(&self, metadata: &Value) -> Result<(), Fault> {
        [&self.present, &self.next].into_iter().flatten().try_for_each(|schema| schema.check(metadata))
    }
}

impl Admission {
    pub(crate) fn new(schema: Option<Schema>) -> Self {
        Admission { rules: Rules { present: schema.map(Arc::new), next: None }.into(), changing: Mutex::default() }
    }

    /// What has to be satisfied. Nobody changes it as long as the caller is in the committer section.
    pub(crate) fn rules(&self) -> Rules {
        self.rules.read().clone()
    }

    /// The schema that is written down.
    pub(crate) fn present(&self) -> Option<Arc<Schema>> {
        self.rules.read().present.clone()
    }
}

/// An announced schema, which is forgotten with this unless it was committed.
struct Announced<'a>(&'a Admission);

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.0.rules.write().next = None;
    }
}

/// The schema.
impl Collection {
    /// What metadata the collection admits; `None` if all.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn schema(&self) -> Result<Option<Schema>> {
        Ok(self.state().live()?.admission.present().map(Arc::unwrap_or_clone))
    }

    /// Has the collection admit what a schema says, and nothing else, or with `None` everything.
    ///
    /// One that admits all that the present one does takes effect at once. With any other, all documents are looked at
    /// first, those of all namespaces: if one does not satisfy it, the error names it and nothing has changed. Searches
    /// and writes go on meanwhile, but writes have to satisfy both schemas. A change that returned is on the disk.
    ///
    /// # Errors
    /// `SchemaViolation` with the first document that does not satisfy it; `InvalidConfig` for a schema that is too
    /// large or contradicts itself; otherwise as for every write.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Error, Schema, Type};
    /// # use serde_json::json;
    /// let schema = Schema::new().field("kind", Type::String.one_of(["note", "task"]).required()).field("at", Type::Time);
    /// let notes = db.get_or_create_collection("notes", CollectionConfig::new(1).schema(schema.clone()))?;
    /// notes.insert(Document::new([1.0]).id("a").metadata(json!({"kind": "note", "size": 7})))?;
    /// let refused = notes.insert(Document::new([1.0]).id("b").metadata(json!({"kind": "nota"}))).unwrap_err();
    /// let Error::SchemaViolation(violation) = refused else { panic!("{refused}") };
    /// assert_eq!((&*violation.field, &*violation.got), ("kind", "\"nota\""));
    ///
    /// let wider = schema.clone().field("kind", Type::String);
    /// notes.set_schema(wider)?;
    /// assert!(notes.set_schema(schema.strict()).is_err(), "document a has a size");
    /// notes.set_schema(None)?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_schema(&self, schema: impl Into<Option<Schema>>) -> Result<()> {
        let schema: Option<Schema> = schema.into();
        schema.as_ref().map_or(Ok(()), Schema::validate)?;
        self.state().set_schema(schema.map(Arc::new))
    }
}

impl State {
    fn set_schema(&self, schema: Option<Arc<Schema>>) -> Result<()> {
        let live = self.live()?;
        live.store.check_writable()?;
        let _changing = live.admission.changing.lock();
        let present = live.admission.present();
        if present == schema {
            return Ok(());
        }
        let _announced = match &schema {
            Some(schema) if !is_wider(schema, present.as_deref()) => Some(self.announce(&live, schema)?),
            _ => None,
        };
        self.commit_schema(&live, schema)
    }

    /// Has writers satisfy a schema too, and refuses it if a document does not that was there before.
    fn announce<'l>(&self, live: &'l Live, schema: &Arc<Schema>) -> Result<Announced<'l>> {
        let turn = live.store.turn()?;
        live.admission.rules.write().next = Some(schema.clone());
        let (announced, view) = (Announced(&live.admission), live.store.view());
        drop(turn);
        match live.first_violation(&view, schema)? {
            Some((namespace, id, fault)) => Err(fault.of(self.name(), &namespace, id)),
            None => Ok(announced),
        }
    }

    fn commit_schema(&self, live: &Live, schema: Option<Arc<Schema>>) -> Result<()> {
        let mut turn = live.store.turn()?;
        // It may have been dropped before the section was entered.
        self.live()?;
        let (mut draft, mut entry) = (Draft::default(), live.entry(&self.name()));
        entry.config.schema = schema.as_deref().cloned();
        draft.catalog(live.id, &entry);
        turn.commit(draft, |_| *live.admission.rules.write() = Rules { present: schema, next: None })?;
        turn.acknowledge(Durability::Sync).map(drop)
    }
}

/// Whether a schema admits all that another does; without another, all there is.
fn is_wider(schema: &Schema, present: Option<&Schema>) -> bool {
    schema.includes(present.unwrap_or(&Schema::default()))
}

impl Live {
    /// The configuration with the schema there is now.
    pub(crate) fn present_config(&self) -> CollectionConfig {
        CollectionConfig { schema: self.admission.present().map(Arc::unwrap_or_clone), ..self.config.clone() }
    }

    /// The collection as the catalog knows it, by this name.
    pub(crate) fn entry(&self, name: &str) -> CatalogEntry {
        CatalogEntry {
            name: name.to_owned(),
            state: CollectionState::Active,
            config: self.present_config(),
            created_at_ms: self.created_at_ms,
            metadata: Value::clone(&self.metadata.load()),
        }
    }

    /// The first document of a view that does not satisfy a schema, and its namespace.
    fn first_violation(&self, view: &View, schema: &Schema) -> Result<Option<(String, DocId, Fault)>> {
        let (mut found, (from, to)) = (None, key::document_range());
        self.scan(&view.snapshot, (&from, &to), |_, row| {
            let row = DocumentRow::decode(row)?;
            found = schema.check(&row.metadata).err().map(|fault| (row.namespace, row.id, fault));
            Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(found.map(|(namespace, id, fault)| {
            let names = self.namespaces.read();
            let name = names.iter().find(|(_, number)| *number == namespace).map_or("", |(name, _)| name);
            (name.to_owned(), id, fault)
        }))
    }
}

impl Fault {
    /// The error of the document that has this fault.
    pub(crate) fn of(self, collection: String, namespace: &str, id: DocId) -> Error {
        let Fault { field, expected, got } = self;
        let namespace = namespace.to_owned();
        Error::SchemaViolation(Box::new(Violation { collection, namespace, id, field, expected, got }))
    }
}
