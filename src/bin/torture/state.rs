//! The oracle: the content that the database must have, and the effect of each operation. It never
//! asks the database.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use vectrove::{CollectionConfig, ErrorKind, StoredDocument, Value};

use crate::deed::{Change, Deed, Expectation, Step};
use crate::world::{Spot, churn_config};

/// The version of a document whose commit number was never reported.
pub(crate) const UNSEEN: u64 = u64::MAX;

/// A document, as the stamps of the operations that put its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doc {
    vector: u64,
    metadata: u64,
    merged: Option<u64>,
    text: Option<u64>,
    pub(crate) version: u64,
}

/// The full content of a document.
pub(crate) struct Content {
    pub(crate) vector: Vec<f32>,
    pub(crate) metadata: Value,
    pub(crate) text: Option<String>,
}

/// The content of the database.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) collections: BTreeMap<&'static str, CollectionConfig>,
    pub(crate) docs: BTreeMap<Spot, Doc>,
}

/// The effect of an operation on the state. Strays are left out.
#[derive(Debug, Default)]
pub(crate) struct Effect {
    pub(crate) docs: BTreeMap<Spot, Option<Doc>>,
    /// A collection that is created, or, with `None`, dropped.
    pub(crate) collection: Option<(&'static str, Option<CollectionConfig>)>,
    pub(crate) n_changed: usize,
}

impl Doc {
    /// The document that an insert or upsert with this stamp writes.
    pub(crate) fn put(stamp: u64, version: u64) -> Self {
        Doc { vector: stamp, metadata: stamp, merged: None, text: has_text(stamp).then_some(stamp), version }
    }

    fn updated(mut self, change: Change, stamp: u64, version: u64) -> Self {
        if matches!(change, Change::Vector | Change::All) {
            self.vector = stamp;
        }
        if matches!(change, Change::Replace | Change::All) {
            (self.metadata, self.merged) = (stamp, None);
        }
        if matches!(change, Change::Merge | Change::All) {
            self.merged = Some(stamp);
        }
        match change {
            Change::Text | Change::All => self.text = Some(stamp),
            Change::RemoveText => self.text = None,
            _ => {}
        }
        self.version = version;
        self
    }

    pub(crate) fn content(&self, spot: &Spot, dimension: usize, text_bytes: u64) -> Content {
        let mut metadata = spot.metadata(self.metadata);
        if let Some(merged) = self.merged {
            metadata["merged"] = json!(merged);
        }
        Content {
            vector: spot.vector(self.vector, dimension),
            metadata: metadata.into(),
            text: self.text.map(|stamp| spot.text(stamp, text_bytes)),
        }
    }

    /// The difference between a stored document and this one, if any. An unseen version equals each
    /// version.
    pub(crate) fn difference(&self, spot: &Spot, text_bytes: u64, stored: &StoredDocument) -> Option<String> {
        let Content { vector, metadata, text } = self.content(spot, stored.vector.len(), text_bytes);
        let mut differences = Vec::new();
        if vector.iter().map(|x| x.to_bits()).ne(stored.vector.iter().map(|x| x.to_bits())) {
            differences.push(format!("vector: expected {vector:?}, got {:?}", stored.vector));
        }
        if metadata != stored.metadata {
            differences.push(format!("metadata: expected {metadata}, got {}", stored.metadata));
        }
        if text != stored.text {
            differences.push(format!("text: expected {text:?}, got {:?}", stored.text));
        }
        if self.version != UNSEEN && self.version != stored.version.0 {
            differences.push(format!("version: expected {}, got {}", self.version, stored.version));
        }
        (!differences.is_empty()).then(|| differences.join("; "))
    }
}

/// Whether a document put with this stamp has a text.
pub(crate) fn has_text(stamp: u64) -> bool {
    !stamp.is_multiple_of(3)
}

impl State {
    /// The effect of an operation, or the kind of error that must refuse it. `read` is the version
    /// that the worker read before a batch that expects one.
    pub(crate) fn plan(&self, deed: &Deed, stamp: u64, read: u64, version: u64) -> Result<Effect, ErrorKind> {
        match deed {
            Deed::Create(name) if self.collections.contains_key(name) => Err(ErrorKind::AlreadyExists),
            Deed::Create(name) => {
                Ok(Effect { collection: Some((name, Some(churn_config(stamp)))), ..Effect::default() })
            }
            Deed::Drop(name) if !self.collections.contains_key(name) => Err(ErrorKind::NotFound),
            Deed::Drop(name) => {
                let docs = self.docs.keys().filter(|spot| spot.collection == *name).map(|spot| (*spot, None));
                Ok(Effect { docs: docs.collect(), collection: Some((name, None)), n_changed: 0 })
            }
            Deed::DeleteWhere { collection, namespace, bucket } => {
                let thread = (stamp >> 32) as u8;
                let matches = |spot: &&Spot| {
                    (spot.collection, spot.namespace, spot.thread) == (*collection, *namespace, thread)
                        && spot.bucket() == *bucket
                };
                let docs: BTreeMap<_, _> = self.docs.keys().filter(matches).map(|spot| (*spot, None)).collect();
                Ok(Effect { n_changed: docs.len(), docs, collection: None })
            }
            Deed::Alone(_) | Deed::Many(_) | Deed::Batch { .. } => self.plan_steps(deed.steps(), stamp, read, version),
        }
    }

    fn plan_steps(&self, steps: &[Step], stamp: u64, read: u64, version: u64) -> Result<Effect, ErrorKind> {
        let here = |step: &Step| step.is_stray() || self.collections.contains_key(step.spot.collection);
        if !steps.iter().all(here) {
            return Err(ErrorKind::NotFound);
        }
        let (mut effect, mut changed) = (Effect::default(), BTreeSet::new());
        for step in steps {
            if step.is_stray() {
                effect.n_changed += 1;
                continue;
            }
            let before = effect.docs.get(&step.spot).copied().unwrap_or_else(|| self.docs.get(&step.spot).copied());
            let after = outcome(step, before, stamp, read, version)?;
            if before.is_some() || after.is_some() {
                changed.insert(step.spot);
            }
            effect.docs.insert(step.spot, after);
        }
        let counts = |spot: &&Spot| self.docs.contains_key(spot) || effect.docs[spot].is_some();
        effect.n_changed += changed.iter().filter(counts).count();
        Ok(effect)
    }

    pub(crate) fn apply(&mut self, effect: &Effect) {
        for (spot, doc) in &effect.docs {
            match doc {
                Some(doc) => self.docs.insert(*spot, *doc),
                None => self.docs.remove(spot),
            };
        }
        match &effect.collection {
            Some((name, Some(config))) => drop(self.collections.insert(name, config.clone())),
            Some((name, None)) => drop(self.collections.remove(name)),
            None => {}
        }
    }
}

/// The document after a step, or the kind of error that refuses it.
fn outcome(step: &Step, before: Option<Doc>, stamp: u64, read: u64, version: u64) -> Result<Option<Doc>, ErrorKind> {
    match step.expectation {
        Some(Expectation::MustExist) if before.is_none() => return Err(ErrorKind::NotFound),
        Some(Expectation::MustNotExist) if before.is_some() => return Err(ErrorKind::AlreadyExists),
        Some(Expectation::Version(more)) if before.map(|doc| doc.version) != Some(read + more) => {
            return Err(ErrorKind::Conflict);
        }
        _ => {}
    }
    match (step.change, before) {
        (Change::Insert, Some(_)) => Err(ErrorKind::AlreadyExists),
        (Change::Insert | Change::Upsert, _) => Ok(Some(Doc::put(stamp, version))),
        (Change::Delete, _) => Ok(None),
        (_, None) => Err(ErrorKind::NotFound),
        (change, Some(doc)) => Ok(Some(doc.updated(change, stamp, version))),
    }
}
