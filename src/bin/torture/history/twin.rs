//! The twin: the effects of all commits in their order, and copies that replay them.
//!
//! A [`Lifetime`] is a collection from its creation to its drop. Writers add an [`Entry`] for each
//! commit. Each thread has a [`Replica`], and replays entries up to the commit of the answer that
//! it checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use vectrove::CollectionConfig;

use super::condition::Condition;
use super::document::{Content, Facts, N_TERMS, Stored};

/// Namespaces that documents are put into; the first is the default one.
pub(super) const NAMESPACES: [&str; 4] = ["", "agent-1", "agent-2", "session"];
/// A namespace that never has a document.
pub(super) const NOBODY: &str = "nobody";

/// A change of one document, or of all documents that match.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Put { namespace: usize, index: u32, stored: Arc<Stored> },
    Update { namespace: usize, index: u32, patch: Arc<Patch> },
    Delete { namespace: usize, index: u32 },
    DeleteWhere { namespace: usize, condition: Condition },
}

/// The changes of an update.
#[derive(Debug, Clone, Default)]
pub(super) struct Patch {
    pub(super) vector: Option<Vec<f32>>,
    pub(super) metadata: Option<Step>,
    /// The words of the new text; an inner `None` removes the text.
    pub(super) words: Option<Option<Vec<u8>>>,
}

/// How an update changes metadata.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Merge { tag: u8, n: u8 },
    RemoveTag,
    Replace(Facts),
}

impl Patch {
    fn apply(&self, before: &Stored, version: u64) -> Stored {
        let mut content: Content = before.content.clone();
        match &self.metadata {
            Some(Step::Merge { tag, n }) => (content.facts.tag, content.facts.n) = (Some(*tag), Some(*n)),
            Some(Step::RemoveTag) => content.facts.tag = None,
            Some(Step::Replace(facts)) => content.facts.clone_from(facts),
            None => {}
        }
        self.vector.iter().for_each(|vector| content.vector.clone_from(vector));
        self.words.iter().for_each(|words| content.words.clone_from(words));
        Stored::new(content, version)
    }
}

/// The effects of one commit on a collection.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) commit: u64,
    pub(super) effects: Vec<Effect>,
    /// Documents changed, by the receipt; `None` if the commit also changed other collections.
    pub(super) n_changed: Option<usize>,
}

/// A collection from its creation to its drop.
pub(super) struct Lifetime {
    pub(super) number: u64,
    pub(super) config: CollectionConfig,
    /// Bounds on the numbers of documents, in the default namespace and in each other one.
    capacities: (u32, u32),
    /// The state before the first entry.
    base: Mutex<Replica>,
    /// Effects committed since then, in the order of commits.
    log: Mutex<Vec<Arc<Entry>>>,
    /// Whether the collection was dropped, or a drop is in progress.
    is_dropping: AtomicBool,
    /// The namespaces that writers put documents into, one bit each.
    inhabited: AtomicU32,
}

impl Lifetime {
    pub(super) fn new(number: u64, config: CollectionConfig, capacities: (u32, u32)) -> Self {
        Lifetime {
            number,
            config,
            capacities,
            base: Mutex::default(),
            log: Mutex::default(),
            is_dropping: AtomicBool::new(false),
            inhabited: AtomicU32::new(1),
        }
    }

    /// Bound on the numbers of a namespace's documents.
    pub(super) fn capacity(&self, namespace: usize) -> u32 {
        if namespace == 0 { self.capacities.0 } else { self.capacities.1 }
    }

    /// Whether the collection is large, and only simple questions are asked of it.
    pub(super) fn is_large(&self) -> bool {
        self.capacities.0 > 5_000
    }

    pub(super) fn inhabited(&self) -> Vec<usize> {
        let bits = self.inhabited.load(Ordering::SeqCst);
        (0..NAMESPACES.len()).filter(|namespace| bits >> namespace & 1 == 1).collect()
    }

    pub(super) fn set_inhabited(&self, bits: u32) {
        self.inhabited.store(bits, Ordering::SeqCst);
    }

    pub(super) fn begin_drop(&self) {
        self.is_dropping.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_dropping(&self) -> bool {
        self.is_dropping.load(Ordering::SeqCst)
    }

    /// Records a commit. Entries of different writers may arrive out of order.
    pub(super) fn record(&self, entry: Entry) {
        let mut log = self.log.lock();
        let at = log.partition_point(|other| other.commit <= entry.commit);
        log.insert(at, Arc::new(entry));
    }

    /// A copy that replays from the beginning of the log.
    pub(super) fn replica(&self) -> Replica {
        self.base.lock().clone()
    }

    /// Replays all entries and forgets the log, once no replica is left. Returns the receipts that
    /// were wrong.
    pub(super) fn settle(&self) -> Vec<String> {
        let (mut base, mut wrong) = (self.base.lock(), Vec::new());
        for entry in std::mem::take(&mut *self.log.lock()) {
            let n_changed = base.apply(&entry);
            if let Some(told) = entry.n_changed.filter(|told| *told != n_changed) {
                wrong.push(format!("commit {}: expected {n_changed} documents changed, got {told}", entry.commit));
            }
        }
        base.n_applied = 0;
        wrong
    }

    /// The next entry that a replica has to apply, unless it is of a later commit.
    fn next(&self, n_applied: usize, most: u64) -> Option<Arc<Entry>> {
        self.log.lock().get(n_applied).filter(|entry| entry.commit <= most).cloned()
    }
}

/// Totals over all documents of a collection that have words, for BM25.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) n_documents: u64,
    pub(super) n_words: u64,
    /// Documents that have each term.
    pub(super) of_terms: [u64; N_TERMS],
}

impl Totals {
    fn add(&mut self, stored: &Stored) {
        self.change(stored, |total, n| *total += n);
    }

    fn subtract(&mut self, stored: &Stored) {
        self.change(stored, |total, n| *total -= n);
    }

    fn change(&mut self, stored: &Stored, change: fn(&mut u64, u64)) {
        let n_words = stored.words().len() as u64;
        if n_words > 0 {
            change(&mut self.n_documents, 1);
            change(&mut self.n_words, n_words);
            let has = |term: &usize| stored.terms >> term & 1 == 1;
            (0..N_TERMS).filter(has).for_each(|term| change(&mut self.of_terms[term], 1));
        }
    }
}

/// The documents of a namespace, by their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    by_index: Vec<Option<Arc<Stored>>>,
    n: usize,
}

impl Documents {
    pub(super) fn len(&self) -> usize {
        self.n
    }

    /// Bound on the numbers of documents.
    pub(super) fn bound(&self) -> u32 {
        self.by_index.len() as u32
    }

    pub(super) fn get(&self, index: u32) -> Option<&Stored> {
        self.by_index.get(index as usize)?.as_deref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Stored)> {
        (0..).zip(&self.by_index).filter_map(|(index, stored)| Some((index, stored.as_deref()?)))
    }

    /// Number of matching documents.
    pub(super) fn count(&self, condition: &Condition) -> usize {
        match condition.is_everything() {
            true => self.n,
            false => self.iter().filter(|(_, stored)| condition.matches(stored)).count(),
        }
    }

    /// Puts or removes a document. Returns the one that it replaces.
    fn set(&mut self, index: u32, stored: Option<Arc<Stored>>) -> Option<Arc<Stored>> {
        let at = index as usize;
        if self.by_index.len() <= at {
            self.by_index.resize(at + 1, None);
        }
        self.n += usize::from(stored.is_some());
        let before = std::mem::replace(&mut self.by_index[at], stored);
        self.n -= usize::from(before.is_some());
        before
    }
}

/// A copy of a collection at one commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Replica {
    n_applied: usize,
    /// The last one never has a document.
    namespaces: [Documents; NAMESPACES.len() + 1],
    pub(super) totals: Totals,
}

impl Replica {
    /// A namespace's documents; the number after those of [`NAMESPACES`] stands for [`NOBODY`].
    pub(super) fn documents(&self, namespace: usize) -> &Documents {
        &self.namespaces[namespace]
    }

    /// Replays entries up to a commit.
    pub(super) fn advance(&mut self, lifetime: &Lifetime, commit: u64) {
        while self.step(lifetime, commit) {}
    }

    /// Replays the next commit that changed the collection, if it is at most `most`.
    pub(super) fn step(&mut self, lifetime: &Lifetime, most: u64) -> bool {
        let Some(entry) = lifetime.next(self.n_applied, most) else { return false };
        self.apply(&entry);
        true
    }

    /// Applies an entry. Returns the number of changed documents.
    fn apply(&mut self, entry: &Entry) -> usize {
        self.n_applied += 1;
        // Documents that were changed, and whether each existed before.
        let mut touched = std::collections::BTreeMap::new();
        for effect in &entry.effects {
            match effect {
                Effect::Put { namespace, index, stored } => {
                    let was = self.set(*namespace, *index, Some(stored.clone()));
                    touched.entry((*namespace, *index)).or_insert(was);
                }
                Effect::Update { namespace, index, patch } => {
                    let before = self.documents(*namespace).get(*index);
                    let after = before.map(|before| Arc::new(patch.apply(before, entry.commit)));
                    let was = self.set(*namespace, *index, after);
                    touched.entry((*namespace, *index)).or_insert(was);
                }
                Effect::Delete { namespace, index } => {
                    let was = self.set(*namespace, *index, None);
                    touched.entry((*namespace, *index)).or_insert(was);
                }
                Effect::DeleteWhere { namespace, condition } => {
                    let matching = self.documents(*namespace).iter().filter(|(_, stored)| condition.matches(stored));
                    let indexes: Vec<u32> = matching.map(|(index, _)| index).collect();
                    for index in indexes {
                        let was = self.set(*namespace, index, None);
                        touched.entry((*namespace, index)).or_insert(was);
                    }
                }
            }
        }
        let is_there = |(namespace, index): (usize, u32)| self.documents(namespace).get(index).is_some();
        touched.into_iter().filter(|(place, was)| *was || is_there(*place)).count()
    }

    /// Puts or removes a document. Returns whether there was one.
    fn set(&mut self, namespace: usize, index: u32, stored: Option<Arc<Stored>>) -> bool {
        stored.iter().for_each(|stored| self.totals.add(stored));
        let before = self.namespaces[namespace].set(index, stored);
        before.iter().for_each(|before| self.totals.subtract(before));
        before.is_some()
    }
}
