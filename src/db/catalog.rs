//! Creating, finding, renaming and dropping collections.
//!
//! A collection's catalog entry says `Creating` before its families exist, and `Dropping` before
//! they go. So an open after a crash finishes or undoes what was begun. Handles learn of a drop
//! before the families go: nothing ever writes to a family that is being dropped.

use std::sync::Arc;

use super::{Database, Engine};
use crate::collection::check::collection_name;
use crate::collection::handle::{Collection, CollectionState};
use crate::collection::open::{DatabaseContext, OpenCollection, comparison_of, new_memory};
use crate::collection::vectors::codes::codebook::Codebook;
use crate::config::{CollectionConfig, Durability};
use crate::error::{Error, Outcome, Result};
use crate::failpoint;
use crate::id::{CollectionId, Commit};
use crate::limits::MAX_COLLECTIONS;
use crate::schema::Schema;
use crate::store::Store;
use crate::store::commit::draft::Draft;
use crate::store::family::Families;
use crate::store::format::record::{CatalogEntry, CatalogState};
use crate::value::Value;

/// Collections.
impl Database {
    /// Creates a collection. `name` has 1 to 128 ASCII letters, digits, underscores and hyphens,
    /// and does not begin with a hyphen.
    ///
    /// # Errors
    /// `CollectionExists`; `InvalidName` or `InvalidConfig`; `LimitExceeded` beyond 256
    /// collections; `MemoryLimit`; `ReadOnly`; `Closed`: then the collection was not created.
    /// `Commit` with [`NotDurable`](crate::Outcome::NotDurable) if the disk does not confirm: then
    /// it was.
    pub fn create_collection(&self, name: &str, config: CollectionConfig) -> Result<Collection> {
        collection_name(name)?;
        config.validate()?;
        let _catalog = self.engine.lock_catalog()?;
        let store = self.engine.store()?;
        let n_collections = {
            let collections = self.engine.collections.read();
            if collections.contains_key(name) {
                return Err(Error::CollectionExists { name: name.to_owned() });
            }
            collections.len()
        };
        if n_collections >= MAX_COLLECTIONS {
            let (limit, got) = (MAX_COLLECTIONS, n_collections + 1);
            return Err(Error::LimitExceeded { what: "number of collections", limit, got });
        }
        comparison_of(&config, store.options())?;
        let (signal, budget) = (self.engine.signal.clone(), self.engine.budget.clone());
        let state = self.engine.create(DatabaseContext { store, signal, budget }, name, config)?;
        Ok(Collection::new(state, self.keep_alive()))
    }

    /// The collection with a name. Never creates one.
    ///
    /// # Errors
    /// `CollectionNotFound`; `Closed`.
    pub fn collection(&self, name: &str) -> Result<Collection> {
        self.engine.store()?;
        let state = self.engine.collections.read().get(name).cloned();
        let state = state.ok_or_else(|| Error::CollectionNotFound { name: name.chars().take(200).collect() })?;
        Ok(Collection::new(state, self.keep_alive()))
    }

    /// The collection with a name, created if there is none. An existing collection keeps its
    /// schema if `config` has none. It also keeps its indexed metadata, its residency and whether
    /// its codes adapt, whatever `config` says.
    ///
    /// # Errors
    /// `ConfigConflict` if it exists with another configuration or another schema; otherwise as
    /// [`create_collection`](Database::create_collection).
    pub fn get_or_create_collection(&self, name: &str, config: CollectionConfig) -> Result<Collection> {
        loop {
            match self.collection(name) {
                Ok(collection) => return agree(collection, name, &config),
                Err(Error::CollectionNotFound { .. }) => {}
                Err(error) => return Err(error),
            }
            match self.create_collection(name, config.clone()) {
                // Someone else was faster: look again.
                Err(Error::CollectionExists { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// Drops a collection and everything in it. Handles on it then answer `CollectionNotFound`.
    ///
    /// # Errors
    /// `CollectionNotFound`; `ReadOnly`; `Closed`. `Storage` if its files could not be dropped; it
    /// is gone all the same, and the next open finishes the rest.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        let _catalog = self.engine.lock_catalog()?;
        let store = self.engine.store()?;
        let state = self.collection(name)?.state().clone();
        let open = state.opened()?;
        let entry = CatalogEntry { state: CatalogState::Dropping, ..open.entry(name) };
        {
            let mut guard = store.begin_commit()?;
            let mut draft = Draft::default();
            draft.catalog(open.id, &entry);
            guard.commit(draft, |_| ())?;
            // Still in the committer section: no batch planned later can name the collection.
            self.engine.collections.write().remove(name);
            state.leave_dropped();
            let commit = guard.last();
            drop(guard);
            open.saver().end();
            store.acknowledge(commit, Durability::Sync)?;
        }
        failpoint::hit("drop.marked");
        store.finish_drop(open.id, Some(&open.families))
    }

    /// Gives a collection another name. Handles on it stay good.
    ///
    /// # Errors
    /// `CollectionNotFound` for the old name, `CollectionExists` or `InvalidName` for the new one;
    /// `ReadOnly`; `Closed`.
    pub fn rename_collection(&self, from: &str, to: &str) -> Result<()> {
        collection_name(to)?;
        let _catalog = self.engine.lock_catalog()?;
        let store = self.engine.store()?;
        let state = self.collection(from)?.state().clone();
        if from == to {
            return Ok(());
        }
        // A failpoint lets a test take a name that is in use.
        if self.engine.collections.read().contains_key(to) && failpoint::refuse("rename.checked").is_ok() {
            return Err(Error::CollectionExists { name: to.to_owned() });
        }
        let mut guard = store.begin_commit()?;
        let mut draft = Draft::default();
        // Read inside the committer section: setting a schema writes the same entry.
        draft.catalog(state.id, &state.opened()?.entry(to));
        guard.commit(draft, |_| ())?;
        {
            let mut collections = self.engine.collections.write();
            collections.remove(from);
            state.rename(to);
            collections.insert(to.to_owned(), state);
        }
        guard.acknowledge(Durability::Sync).map(drop)
    }

    /// The names of all collections, in order.
    ///
    /// # Errors
    /// `Closed`.
    pub fn collections(&self) -> Result<Vec<String>> {
        self.engine.store()?;
        Ok(self.engine.collections.read().keys().cloned().collect())
    }
}

impl Engine {
    /// Creates a collection; the next open removes what a failure leaves. The caller holds the
    /// catalog.
    fn create(&self, shared: DatabaseContext, name: &str, config: CollectionConfig) -> Result<Arc<CollectionState>> {
        let (store, id) = (shared.store.clone(), shared.store.next_collection());
        // First everything that may fail without leaving a trace.
        let codebook = config.has_codes().then(|| Codebook::begin(&config));
        let memory = new_memory(&config, store.options(), store.folder(), id, codebook)?;
        let (state, created_at_ms) = (CatalogState::Creating, store.now_ms());
        let entry = CatalogEntry { name: name.to_owned(), state, config, created_at_ms, metadata: Value::object() };
        failpoint::refuse("create.entry")?;
        let begun = store.write_entry(id, &entry).and_then(|()| {
            failpoint::hit("create.entered");
            failpoint::refuse("create.families")?;
            let families = store.create_families(id)?;
            failpoint::hit("create.families");
            OpenCollection::new(shared, id, entry, memory, families)
        });
        let open = Arc::new(begun.inspect_err(|_| undo(&store, id, None))?);
        let activated = open.enter_memory().and_then(|()| self.activate(&open, name));
        let (state, commit) = activated.inspect_err(|error| {
            open.saver().end();
            // A commit of unknown outcome may be there at the next open, and needs its families.
            if error.outcome() != Outcome::Unknown {
                undo(&store, id, Some(&open.families));
            }
        })?;
        self.linker.read().iter().for_each(|linker| linker.add(&open));
        store.acknowledge(commit, Durability::Sync)?;
        Ok(state)
    }

    /// Commits that a collection exists. From the same moment on its name finds it.
    fn activate(&self, open: &Arc<OpenCollection>, name: &str) -> Result<(Arc<CollectionState>, Commit)> {
        failpoint::refuse("create.active")?;
        let mut guard = open.store.begin_commit()?;
        let mut draft = Draft::default();
        draft.catalog(open.id, &open.entry(name));
        open.indexes.all().iter().for_each(|index| index.draft_state(&mut draft, &open.families));
        guard.commit(draft, |_| ())?;
        let state = Arc::new(CollectionState::new(name.to_owned(), open.clone()));
        self.collections.write().insert(name.to_owned(), state.clone());
        Ok((state, guard.last()))
    }
}

/// Removes what there is of a collection that could not be created. The next open removes what this
/// call cannot: the entry still says `Creating`.
fn undo(store: &Arc<Store>, id: CollectionId, families: Option<&Families>) {
    if let Err(error) = store.finish_drop(id, families) {
        tracing::warn!(collection = id.0, "the next open removes a collection that could not be created: {error}");
    }
}

/// Refuses a collection whose configuration is not the one asked for.
fn agree(collection: Collection, name: &str, config: &CollectionConfig) -> Result<Collection> {
    config.validate()?;
    let difference = match (collection.config().difference(config), &config.schema) {
        (None, Some(asked)) => schema_difference(&collection, asked)?,
        (difference, _) => difference,
    };
    match difference {
        None => Ok(collection),
        Some((field, expected, got)) => Err(Error::ConfigConflict { name: name.to_owned(), field, expected, got }),
    }
}

/// How the schema asked for differs from the present one.
fn schema_difference(collection: &Collection, asked: &Schema) -> Result<Option<(&'static str, String, String)>> {
    let shown = |schema: &Schema| format!("{schema:.400}");
    Ok(match collection.schema()? {
        Some(present) if present == *asked => None,
        present => Some(("schema", present.as_ref().map_or_else(|| "none".to_owned(), shown), shown(asked))),
    })
}
