//! Planning: folding a batch into one draft.
//!
//! Operations apply one after another to the documents they name, starting from the stored ones.
//! Only the difference between the first and the last state of each document is written. Planning
//! reads, inside the committer section, and changes no document: a plan that fails or is dropped
//! leaves no trace.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::operation::{CheckedAction, CheckedOperation, Expectation};
use crate::collection::check::{CheckedDocument, CheckedVector, change_metadata};
use crate::collection::fulltext::changes::{self, WordEntries};
use crate::collection::handle::Namespace;
use crate::collection::memory::{Changes, NewRow};
use crate::collection::metadata::admission::Rules;
use crate::collection::metadata::changes::{AppliedPostings, Entries};
use crate::collection::open::OpenCollection;
use crate::error::{Error, Result};
use crate::id::{CollectionId, Commit, DocId, NamespaceId, Slot};
use crate::store::commit::draft::{Draft, EncodedPut};
use crate::store::format::record::DocumentRow;
use crate::text::counts::WordCounts;
use crate::value::Value;

/// A batch as far as it has been planned.
pub(crate) struct BatchPlan {
    commit: Commit,
    now_ms: u64,
    /// Approximate bytes of the draft.
    n_bytes: usize,
    collections: BTreeMap<CollectionId, CollectionPlan>,
}

/// A batch ready to be written, and the changes to apply to memory.
pub(crate) struct Planned {
    pub(crate) draft: Draft,
    pub(crate) changes: Vec<CollectionChanges>,
    pub(crate) n_changed: usize,
}

/// The changes to apply to one collection in memory.
pub(crate) struct CollectionChanges {
    pub(crate) open: Arc<OpenCollection>,
    pub(crate) memory: Changes,
    pub(crate) fields: AppliedPostings,
    pub(crate) words: changes::AppliedWords,
    pub(crate) new_namespaces: Vec<(Arc<str>, NamespaceId)>,
}

struct CollectionPlan {
    open: Arc<OpenCollection>,
    rules: Rules,
    new_namespaces: HashMap<Arc<str>, NamespaceId>,
    touched: Vec<Touched>,
    by_id: HashMap<(NamespaceId, DocId), usize>,
}

/// A document that the batch names.
struct Touched {
    namespace: NamespaceId,
    id: DocId,
    /// The document as it is stored.
    before: Option<(Slot, DocumentRow)>,
    /// The document as the operations so far leave it.
    after: Option<After>,
    changed: bool,
}

/// A document as operations leave it.
struct After {
    /// The new vector; `None` while it is the stored one.
    vector: Option<CheckedVector>,
    metadata: Value,
    text: Option<String>,
    /// The words; `None` while they are the stored ones, or until they are counted.
    words: Option<WordCounts>,
    /// Whether the words may differ from the stored ones.
    has_new_words: bool,
    created_at_ms: u64,
    version: Commit,
}

impl BatchPlan {
    /// A plan for the commit number `commit`, made at `now_ms`, with a draft of about `n_bytes`.
    pub(crate) fn new(commit: Commit, now_ms: u64, n_bytes: usize) -> Self {
        BatchPlan { commit, now_ms, n_bytes, collections: BTreeMap::new() }
    }

    /// Applies one operation to the plan.
    pub(crate) fn add(&mut self, operation: CheckedOperation) -> Result<()> {
        let CheckedOperation { namespace, prepared, expectations } = operation;
        let open = namespace.state().opened()?;
        let name = || namespace.state().name();
        let (commit, now_ms) = (self.commit, self.now_ms);
        let collection = self.collections.entry(open.id).or_insert_with(|| CollectionPlan::new(open.clone()));
        let rules = collection.rules.clone();
        let admit = |id: &DocId, metadata: &Value| {
            rules.check(metadata).map_err(|fault| fault.of(name(), &namespace.name, id.clone()))
        };
        let touched = collection.touch(&namespace, prepared.id())?;
        touched.check(&expectations, name)?;
        match prepared {
            CheckedAction::Insert(document) => {
                if touched.after.is_some() {
                    return Err(Error::DocumentExists { collection: name(), id: document.id });
                }
                admit(&document.id, &document.metadata)?;
                touched.replace(document, commit, now_ms);
            }
            CheckedAction::Upsert(document) => {
                admit(&document.id, &document.metadata)?;
                touched.replace(document, commit, now_ms);
            }
            CheckedAction::Update(update) => {
                let id = update.id;
                let Some(after) = touched.after.as_mut() else {
                    return Err(Error::DocumentNotFound { collection: name(), id });
                };
                if update.text.is_some() || (open.indexes.words.reads_metadata() && !update.metadata.is_empty()) {
                    (after.words, after.has_new_words) = (None, true);
                }
                if !update.metadata.is_empty() {
                    change_metadata(&mut after.metadata, update.metadata)?;
                    admit(&id, &after.metadata)?;
                }
                if update.vector.is_some() {
                    after.vector = update.vector;
                }
                if let Some(text) = update.text {
                    after.text = text;
                }
                after.version = commit;
                touched.changed = true;
            }
            CheckedAction::Delete(_) => {
                touched.changed |= touched.after.is_some();
                touched.after = None;
            }
        }
        Ok(())
    }

    /// Allocates slots and drafts the difference.
    pub(crate) fn finish(self) -> Result<Planned> {
        let BatchPlan { commit, now_ms, n_bytes, collections } = self;
        let mut planned = Planned { draft: Draft::with_capacity(n_bytes), changes: Vec::new(), n_changed: 0 };
        for (_, collection) in collections {
            collection.draft_into(&mut planned, commit, now_ms)?;
        }
        Ok(planned)
    }
}

impl CollectionPlan {
    fn new(open: Arc<OpenCollection>) -> Self {
        let rules = open.admission.rules();
        CollectionPlan { open, rules, new_namespaces: HashMap::new(), touched: Vec::new(), by_id: HashMap::new() }
    }

    /// The document an operation names, as the operations before left it.
    fn touch(&mut self, namespace: &Namespace, id: &DocId) -> Result<&mut Touched> {
        let number = self.namespace(&namespace.name);
        let position = match self.by_id.get(&(number, id.clone())) {
            Some(&position) => position,
            None => {
                let before = self.open.source(None).find(number, id)?;
                let after = before.as_ref().map(|(_, row)| After::stored(row));
                self.by_id.insert((number, id.clone()), self.touched.len());
                self.touched.push(Touched { namespace: number, id: id.clone(), before, after, changed: false });
                self.touched.len() - 1
            }
        };
        Ok(&mut self.touched[position])
    }

    /// A namespace's number, or a new one. A new number is written only if the batch puts a
    /// document there.
    fn namespace(&mut self, name: &Arc<str>) -> NamespaceId {
        let names = self.open.namespaces.read();
        let free = names.free(self.new_namespaces.len());
        names.find(name).unwrap_or_else(|| *self.new_namespaces.entry(name.clone()).or_insert(free))
    }

    fn draft_into(self, planned: &mut Planned, commit: Commit, now_ms: u64) -> Result<()> {
        let CollectionPlan { open, new_namespaces, mut touched, .. } = self;
        // Searches stay within a namespace: its documents share pages of memory if their slots are
        // neighbours.
        touched.sort_by_key(|document| document.namespace.0);
        let here = (open.id, &open.families);
        let (draft, mut changes, mut puts) = (&mut planned.draft, Changes::default(), Vec::new());
        let (fields, mut entries) = (&open.indexes.fields, Entries::default());
        let (words, mut word_entries) = (&open.indexes.words, WordEntries::default());
        open.memory.reclaim(open.store.oldest_view().commit);
        let mut slots = open.memory.allocate();
        for document in touched.into_iter().filter(|document| document.changed) {
            let Touched { namespace, id, before, after, .. } = document;
            let moves = after.as_ref().is_none_or(|after| after.vector.is_some());
            if let Some((slot, row)) = &before
                && moves
            {
                draft.free(here, *slot, row.generation, (namespace, &id));
                entries.remove(fields, *slot, &row.metadata);
                word_entries.remove(*slot, &words.count(row.text.as_deref(), &row.metadata));
                changes.freed.push(*slot);
            }
            planned.n_changed += usize::from(before.is_some() || after.is_some());
            let Some(After { vector, metadata, text, words: counts, has_new_words, created_at_ms, .. }) = after else {
                continue;
            };
            let has_moved = vector.is_some();
            let counts =
                (has_moved || has_new_words).then(|| counts.unwrap_or_else(|| words.count(text.as_deref(), &metadata)));
            let row = |generation, metadata| DocumentRow {
                generation,
                namespace,
                commit,
                id,
                metadata,
                text,
                created_at_ms,
                updated_at_ms: now_ms,
            };
            match (vector, before) {
                (Some(vector), _) => {
                    let tenancy = slots.take()?;
                    entries.add(fields, tenancy.slot, &metadata);
                    counts.iter().for_each(|counts| word_entries.put(tenancy.slot, counts));
                    puts.push((tenancy, row(tenancy.generation, metadata), vector));
                }
                (None, Some((slot, before))) => {
                    entries.replace(fields, slot, &before.metadata, Some(&metadata));
                    if let Some(counts) = counts {
                        word_entries.remove(slot, &words.count(before.text.as_deref(), &before.metadata));
                        word_entries.put(slot, &counts);
                    }
                    draft.change(here, slot, &row(before.generation, metadata));
                    changes.touched.push(slot);
                }
                // A document that is not stored got its vector from the operation that put it.
                (None, None) => {}
            }
        }
        drop(slots);
        if let Some(last) = puts.iter().map(|(tenancy, ..)| tenancy.slot.0 as usize + 1).max() {
            open.admit(last)?;
        }
        open.memory.reserve(puts.iter().map(|(tenancy, ..)| tenancy.slot))?;
        for (tenancy, row, CheckedVector { vector, norm, comparable }) in puts {
            draft.put(here, tenancy.slot, &EncodedPut::new(&row, &vector, norm));
            changes.put.push(NewRow { tenancy, namespace: row.namespace, id: row.id, comparable });
        }
        let inhabited: HashSet<NamespaceId> = changes.put.iter().map(|new| new.namespace).collect();
        let new_namespaces: Vec<_> = new_namespaces.into_iter().filter(|(_, id)| inhabited.contains(id)).collect();
        for (name, id) in &new_namespaces {
            draft.namespace(open.id, &open.families, name, *id);
        }
        let fields = entries.draft_into(draft, &open.families);
        let words = word_entries.draft_into(draft, &open.families);
        planned.changes.push(CollectionChanges { open, memory: changes, fields, words, new_namespaces });
        Ok(())
    }
}

impl Touched {
    fn replace(&mut self, document: CheckedDocument, commit: Commit, now_ms: u64) {
        let CheckedDocument { vector, metadata, text, words, .. } = document;
        let created_at_ms = self.after.as_ref().map_or(now_ms, |after| after.created_at_ms);
        let (vector, words) = (Some(vector), Some(words));
        self.after = Some(After { vector, metadata, text, words, has_new_words: true, created_at_ms, version: commit });
        self.changed = true;
    }

    fn check(&self, expectations: &[Expectation], collection: impl Fn() -> String) -> Result<()> {
        let (id, found) = (|| self.id.clone(), self.after.as_ref().map(|after| after.version));
        for expectation in expectations {
            match *expectation {
                Expectation::MustExist if found.is_none() => {
                    return Err(Error::DocumentNotFound { collection: collection(), id: id() });
                }
                Expectation::MustNotExist if found.is_some() => {
                    return Err(Error::DocumentExists { collection: collection(), id: id() });
                }
                Expectation::Version(expected) if found != Some(expected) => {
                    return Err(Error::VersionMismatch { collection: collection(), id: id(), expected, got: found });
                }
                Expectation::MustExist | Expectation::MustNotExist | Expectation::Version(_) => {}
            }
        }
        Ok(())
    }
}

impl After {
    fn stored(row: &DocumentRow) -> Self {
        After {
            vector: None,
            metadata: row.metadata.clone(),
            text: row.text.clone(),
            words: None,
            has_new_words: false,
            created_at_ms: row.created_at_ms,
            version: row.commit,
        }
    }
}
