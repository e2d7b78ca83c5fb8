//! The schema of a collection: which metadata it admits, and changing that while documents are
//! written.
//!
//! A schema that may refuse what the present one admits is announced first: from then on writers
//! have to satisfy both. So the documents of that moment can be checked while nobody waits, and
//! none that the new schema refuses can come after. Only then is the schema committed, as part of
//! the catalog entry.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::collection::handle::{Collection, CollectionState};
use crate::collection::metadata::admission::{Announced, Rules};
use crate::collection::open::OpenCollection;
use crate::config::{CollectionConfig, Durability};
use crate::error::Result;
use crate::id::DocId;
use crate::schema::Schema;
use crate::schema::check::SchemaFault;
use crate::store::View;
use crate::store::commit::draft::Draft;
use crate::store::format::key;
use crate::store::format::record::{CatalogEntry, CatalogState, DocumentRow};
use crate::value::Value;

/// The schema verbs.
impl Collection {
    /// The schema that metadata has to satisfy; `None` if all metadata is admitted.
    ///
    /// # Errors
    /// `CollectionNotFound` if the collection was dropped, `Closed` if the database was.
    pub fn schema(&self) -> Result<Option<Schema>> {
        Ok(self.state().opened()?.admission.present().map(Arc::unwrap_or_clone))
    }

    /// Replaces the schema. With `None` the collection admits all metadata.
    ///
    /// A schema that admits all that the present one does takes effect at once. For any other, all
    /// documents of all namespaces are checked first. If one violates it, the error names that
    /// document and nothing has changed. Searches and writes go on meanwhile, but writes have to
    /// satisfy both schemas. When the call returns, the change is on the disk.
    ///
    /// # Errors
    /// `SchemaViolation` with the first document that violates the schema; `InvalidConfig` for a
    /// schema that is too large or contradicts itself; otherwise as for every write.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, Error, Schema, Type};
    /// # use serde_json::json;
    /// let schema = Schema::new().field("kind", Type::String.one_of(["note",
    /// "task"]).required()).field("at", Type::Time);
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

impl CollectionState {
    fn set_schema(&self, schema: Option<Arc<Schema>>) -> Result<()> {
        let open = self.opened()?;
        open.store.check_writable()?;
        let _changing = open.admission.changing.lock();
        let present = open.admission.present();
        if present == schema {
            return Ok(());
        }
        let _announced = match &schema {
            Some(schema) if !is_wider(schema, present.as_deref()) => Some(self.announce(&open, schema)?),
            _ => None,
        };
        self.commit_schema(&open, schema)
    }

    /// Announces a schema to writers, and refuses it if a document from before violates it.
    fn announce<'l>(&self, open: &'l OpenCollection, schema: &Arc<Schema>) -> Result<Announced<'l>> {
        let guard = open.store.begin_commit()?;
        open.admission.rules.write().next = Some(schema.clone());
        let (announced, view) = (Announced(&open.admission), open.store.view());
        drop(guard);
        match open.first_violation(&view, schema)? {
            Some((namespace, id, fault)) => Err(fault.of(self.name(), &namespace, id)),
            None => Ok(announced),
        }
    }

    fn commit_schema(&self, open: &OpenCollection, schema: Option<Arc<Schema>>) -> Result<()> {
        let mut guard = open.store.begin_commit()?;
        // The collection may have been dropped before the section was entered.
        self.opened()?;
        let (mut draft, mut entry) = (Draft::default(), open.entry(&self.name()));
        entry.config.schema = schema.as_deref().cloned();
        draft.catalog(open.id, &entry);
        guard.commit(draft, |_| *open.admission.rules.write() = Rules { present: schema, next: None })?;
        guard.acknowledge(Durability::Sync).map(drop)
    }
}

/// Whether `schema` admits all that `present` does. Without `present`, all metadata is admitted.
fn is_wider(schema: &Schema, present: Option<&Schema>) -> bool {
    schema.includes(present.unwrap_or(&Schema::default()))
}

impl OpenCollection {
    /// The configuration with the present schema.
    pub(crate) fn present_config(&self) -> CollectionConfig {
        CollectionConfig { schema: self.admission.present().map(Arc::unwrap_or_clone), ..self.config.clone() }
    }

    /// The collection's catalog entry under this name.
    pub(crate) fn entry(&self, name: &str) -> CatalogEntry {
        CatalogEntry {
            name: name.to_owned(),
            state: CatalogState::Active,
            config: self.present_config(),
            created_at_ms: self.created_at_ms,
            metadata: Value::clone(&self.metadata.load()),
        }
    }

    /// The first document of a view that violates a schema, with its namespace.
    fn first_violation(&self, view: &View, schema: &Schema) -> Result<Option<(String, DocId, SchemaFault)>> {
        let (mut found, (from, to)) = (None, key::document_range());
        self.source(Some(&view.snapshot)).each_document((&from, &to), |_, row| {
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
