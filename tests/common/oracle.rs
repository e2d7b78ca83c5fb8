//! The twin: a database made of `BTreeMap`s, slow and obvious, which gives the right answer of each
//! call.
//!
//! It has documents, commits and errors, but no files. An error is its [`label`](super::label).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use vectrove::{CollectionConfig, DocId, Metric, Value};

use super::condition;

/// A whole database.
#[derive(Debug, Clone, Default)]
pub(crate) struct Twin {
    pub(crate) collections: BTreeMap<String, TwinCollection>,
    pub(crate) commit: u64,
    pub(crate) operation_ids: BTreeMap<uuid::Uuid, u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct TwinCollection {
    pub(crate) config: CollectionConfig,
    pub(crate) namespaces: BTreeMap<String, Documents>,
}

pub(crate) type Documents = BTreeMap<DocId, TwinDocument>;

#[derive(Debug, Clone)]
pub(crate) struct TwinDocument {
    pub(crate) vector: Vec<f32>,
    pub(crate) metadata: Map<String, Json>,
    pub(crate) text: Option<String>,
    pub(crate) version: u64,
}

/// One operation of a batch.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) collection: String,
    pub(crate) namespace: String,
    pub(crate) action: Action,
    pub(crate) expectations: Vec<Expectation>,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Insert(Draft),
    Upsert(Draft),
    Update(Change),
    Delete(DocId),
}

/// A document to be written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) id: Option<DocId>,
    pub(crate) vector: Vec<f32>,
    pub(crate) metadata: Json,
    pub(crate) text: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: DocId,
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) steps: Vec<Step>,
    pub(crate) text: Option<Option<String>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Merge(Json),
    Replace(Json),
    Remove(Vec<String>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Expectation {
    MustExist,
    MustNotExist,
    Version(u64),
}

/// The result of a commit.
#[derive(Debug, PartialEq)]
pub(crate) struct TwinReceipt {
    pub(crate) commit: u64,
    pub(crate) n_changed: usize,
    pub(crate) repeated: bool,
}

/// A document found by a search, with its true distance.
#[derive(Debug, Clone)]
pub(crate) struct Near {
    pub(crate) id: DocId,
    pub(crate) distance: f64,
}

impl Twin {
    /// The documents of a namespace; empty for one that never had any.
    pub(crate) fn documents(&self, collection: &str, namespace: &str) -> Documents {
        self.collections[collection].namespaces.get(namespace).cloned().unwrap_or_default()
    }

    /// The named namespaces that hold documents.
    pub(crate) fn namespaces(&self, collection: &str) -> Vec<String> {
        let inhabited = self.collections[collection].namespaces.iter().filter(|(_, documents)| !documents.is_empty());
        inhabited.map(|(name, _)| name.clone()).filter(|name| !name.is_empty()).collect()
    }

    /// Commits writes, all or none. `ids` are those of the writes in order, generated ones
    /// included.
    pub(crate) fn commit(
        &mut self,
        writes: &[Write],
        ids: &[DocId],
        operation_id: Option<uuid::Uuid>,
    ) -> Result<TwinReceipt, String> {
        for (index, write) in writes.iter().enumerate() {
            let config = &self.collections[&write.collection].config;
            write.check(config).map_err(|error| format!("{index} {error}"))?;
        }
        if let Some(&commit) = operation_id.and_then(|id| self.operation_ids.get(&id)) {
            return Ok(TwinReceipt { commit, n_changed: 0, repeated: true });
        }
        let before = self.clone();
        let mut changed = BTreeSet::new();
        for (index, (write, id)) in writes.iter().zip(ids).enumerate() {
            match self.apply(write, id) {
                Ok(true) => _ = changed.insert((&write.collection, &write.namespace, id)),
                Ok(false) => {}
                Err(error) => {
                    *self = before;
                    return Err(format!("{index} {error}"));
                }
            }
        }
        let exists = |twin: &Twin, (collection, namespace, id): &(&String, &String, &DocId)| {
            twin.documents(collection, namespace).contains_key(id)
        };
        let n_changed = changed.iter().filter(|key| exists(self, key) || exists(&before, key)).count();
        if n_changed > 0 {
            self.commit += 1;
            self.operation_ids.extend(operation_id.map(|id| (id, self.commit)));
        }
        Ok(TwinReceipt { commit: self.commit, n_changed, repeated: false })
    }

    /// Applies one write; returns whether it changed anything.
    fn apply(&mut self, write: &Write, id: &DocId) -> Result<bool, String> {
        let version = self.commit + 1;
        let collection = self.collections.get_mut(&write.collection).unwrap();
        let documents = collection.namespaces.entry(write.namespace.clone()).or_default();
        let found = documents.get(id).map(|document| document.version);
        write.expectations.iter().try_for_each(|expectation| expectation.check(found))?;
        match &write.action {
            Action::Insert(_) if found.is_some() => return Err("DocumentExists".into()),
            Action::Insert(draft) | Action::Upsert(draft) => _ = documents.insert(id.clone(), draft.stored(version)),
            Action::Update(change) => change.apply(documents.get_mut(id).ok_or("DocumentNotFound")?, version),
            Action::Delete(_) => return Ok(documents.remove(id).is_some()),
        }
        Ok(true)
    }
}

impl TwinCollection {
    pub(crate) fn new(config: CollectionConfig) -> Self {
        TwinCollection { config, namespaces: BTreeMap::new() }
    }

    /// Every document of a namespace that matches, nearest first.
    pub(crate) fn nearest(&self, namespace: &str, query: &[f32], filter: Option<&Json>) -> Vec<Near> {
        let mut nearest: Vec<Near> = (self.namespaces.get(namespace).into_iter().flatten())
            .filter(|(_, document)| document.matches(filter))
            .map(|(id, document)| Near { id: id.clone(), distance: distance(&self.config, query, &document.vector) })
            .collect();
        nearest.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        nearest
    }
}

impl TwinDocument {
    pub(crate) fn matches(&self, filter: Option<&Json>) -> bool {
        filter.is_none_or(|filter| condition::matches(filter, &Json::Object(self.metadata.clone())))
    }

    pub(crate) fn value(&self) -> Value {
        Value::from(Json::Object(self.metadata.clone()))
    }
}

impl Write {
    pub(crate) fn id(&self) -> Option<&DocId> {
        match &self.action {
            Action::Insert(draft) | Action::Upsert(draft) => draft.id.as_ref(),
            Action::Update(change) => Some(&change.id),
            Action::Delete(id) => Some(id),
        }
    }

    /// Refuses a write that is wrong for each state of the database.
    fn check(&self, config: &CollectionConfig) -> Result<(), String> {
        if let Some(DocId::Str(text)) = self.id()
            && !(1..=512).contains(&text.len())
        {
            return Err("InvalidId".into());
        }
        match &self.action {
            Action::Insert(draft) | Action::Upsert(draft) => {
                check_vector(config, &draft.vector)?;
                check_metadata(&draft.metadata)
            }
            Action::Update(change) => {
                change.vector.iter().try_for_each(|vector| check_vector(config, vector))?;
                change.steps.iter().try_for_each(|step| match step {
                    Step::Merge(metadata) | Step::Replace(metadata) => check_metadata(metadata),
                    Step::Remove(_) => Ok(()),
                })
            }
            Action::Delete(_) => Ok(()),
        }
    }
}

/// Refuses a vector that can be neither stored nor searched for.
pub(crate) fn check_vector(config: &CollectionConfig, vector: &[f32]) -> Result<(), String> {
    let is_zero = vector.iter().all(|&component| component == 0.0);
    if vector.len() != config.dimension {
        return Err("DimensionMismatch".into());
    }
    if vector.iter().any(|component| !component.is_finite()) || (is_zero && compares_directions(config)) {
        return Err("InvalidVector".into());
    }
    Ok(())
}

fn check_metadata(metadata: &Json) -> Result<(), String> {
    if metadata.is_object() || metadata.is_null() { Ok(()) } else { Err("InvalidMetadata".into()) }
}

impl Expectation {
    fn check(self, found: Option<u64>) -> Result<(), String> {
        match self {
            Expectation::MustExist if found.is_none() => Err("DocumentNotFound".into()),
            Expectation::MustNotExist if found.is_some() => Err("DocumentExists".into()),
            Expectation::Version(version) if found != Some(version) => Err("VersionMismatch".into()),
            _ => Ok(()),
        }
    }
}

impl Draft {
    fn stored(&self, version: u64) -> TwinDocument {
        let metadata = self.metadata.as_object().cloned().unwrap_or_default();
        TwinDocument { vector: self.vector.clone(), metadata, text: self.text.clone(), version }
    }
}

impl Change {
    fn apply(&self, document: &mut TwinDocument, version: u64) {
        for step in &self.steps {
            match step {
                Step::Merge(new) => document.metadata.extend(new.as_object().cloned().unwrap_or_default()),
                Step::Replace(new) => document.metadata = new.as_object().cloned().unwrap_or_default(),
                Step::Remove(keys) => document.metadata.retain(|key, _| !keys.contains(key)),
            }
        }
        if let Some(vector) = &self.vector {
            document.vector.clone_from(vector);
        }
        if let Some(text) = &self.text {
            document.text.clone_from(text);
        }
        document.version = version;
    }
}

pub(crate) fn compares_directions(config: &CollectionConfig) -> bool {
    config.normalize || config.metric == Metric::Cosine
}

/// The distance between two vectors as they were put, in double precision.
pub(crate) fn distance(config: &CollectionConfig, a: &[f32], b: &[f32]) -> f64 {
    let scaled = |vector: &[f32]| -> Vec<f64> {
        let scale = if compares_directions(config) { norm(vector) } else { 1.0 };
        vector.iter().map(|&component| f64::from(component) / scale).collect()
    };
    let (a, b) = (scaled(a), scaled(b));
    let pairs = || a.iter().zip(&b);
    match config.metric {
        Metric::Cosine => 1.0 - pairs().map(|(a, b)| a * b).sum::<f64>(),
        Metric::Dot => -pairs().map(|(a, b)| a * b).sum::<f64>(),
        Metric::Euclidean => pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt(),
        Metric::Manhattan => pairs().map(|(a, b)| (a - b).abs()).sum(),
        other => panic!("the twin does not know {other}"),
    }
}

/// The score that belongs to a distance.
pub(crate) fn score(metric: Metric, distance: f64) -> f64 {
    match metric {
        Metric::Cosine => 1.0 - distance,
        Metric::Dot => -distance,
        _ => 1.0 / (1.0 + distance),
    }
}

/// Whether two distances are the same but for rounding.
pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * (1.0 + a.abs().max(b.abs()))
}

fn norm(vector: &[f32]) -> f64 {
    vector.iter().map(|&component| f64::from(component).powi(2)).sum::<f64>().sqrt()
}
