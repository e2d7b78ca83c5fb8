//! Comparing a database's content with the ledger.

use std::collections::{BTreeMap, HashSet};

use vectrove::StoredDocument;

use super::{Ledger, Pending, Retry, n_commits};
use crate::deed::Deed;
use crate::inspect::Found;
use crate::state::{Doc, Effect, UNSEEN};
use crate::world::{CHURN, CHURN_THREAD, FIXED, Spot, Stamp, fixed_config, known};

/// The documents found, by spot.
type Docs<'f> = BTreeMap<Spot, &'f StoredDocument>;

impl Ledger {
    /// Goes back to the state at a commit; acknowledged later operations are lost.
    pub(crate) fn rewind(&mut self, commit: u64) {
        self.history.sort_by_key(|entry| entry.commit);
        self.history.retain(|entry| entry.commit <= commit);
        self.state.docs.clear();
        for entry in &self.history {
            let deed = Deed::draw(self.profile, self.seed, entry.stamp);
            if let Ok(effect) = self.state.plan(&deed, entry.stamp.code(), entry.read, entry.commit) {
                self.state.apply(&effect);
            }
        }
        self.commit = self.base.unwrap_or(0) + self.history.len() as u64;
    }

    /// Compares the database's content with the required content. Operations without an answer are
    /// taken over if they are found to have happened. Returns those that can be tried again.
    pub(crate) fn settle(&mut self, found: &Found) -> Vec<Retry> {
        if self.base.is_none() {
            return self.settle_beginning(found);
        }
        self.slack = 0;
        let mut docs = self.sort(found);
        let mut retries = Vec::new();
        for (stamp, pending) in std::mem::take(&mut self.pending) {
            let made = self.settle_one(stamp, pending, found, &docs);
            if self.deed(stamp).has_operation_id() {
                retries.push(Retry { stamp, read: pending.read, made });
            }
        }
        self.settle_strays(&mut docs);
        self.compare(found, &docs);
        self.settle_commit(found.commit);
        retries
    }

    /// A database on which no worker was ready: empty, perhaps with some of its collections.
    fn settle_beginning(&mut self, found: &Found) -> Vec<Retry> {
        let foreign = found
            .collections
            .iter()
            .find(|(name, config)| !FIXED.contains(&name.as_str()) || fixed_config(name) != **config);
        if foreign.is_some() || !found.rooms.is_empty() {
            self.violation(format!("a database that nothing was written to holds {:?}", found.collections));
        }
        Vec::new()
    }

    /// The documents found, by spot. A document that no worker wrote is a violation.
    fn sort<'f>(&mut self, found: &'f Found) -> Docs<'f> {
        let mut docs = BTreeMap::new();
        for ((collection, namespace), documents) in &found.rooms {
            for document in documents {
                let names = known(collection).zip(known(namespace));
                let spot = names.and_then(|(collection, namespace)| Spot::of(collection, namespace, &document.id));
                let place = format!("{collection}/{namespace} id {}", document.id);
                match spot {
                    Some(spot) if docs.insert(spot, document).is_none() => {}
                    Some(_) => self.violation(format!("found twice: {place}")),
                    None => self.violation(format!("found what no one wrote: {place}")),
                }
            }
        }
        docs
    }

    /// Decides whether an unanswered operation happened, and takes it over if so. Returns the
    /// commit it made.
    fn settle_one(&mut self, stamp: Stamp, pending: Pending, found: &Found, docs: &Docs<'_>) -> Option<u64> {
        if pending.made.is_some() {
            return pending.made;
        }
        let deed = self.deed(stamp);
        let effect = self.state.plan(&deed, stamp.code(), pending.read, UNSEEN).ok()?;
        let (n_docs, after) = (effect.docs.len(), |spot: &&Spot| self.agrees(spot, effect.docs[spot].as_ref(), docs));
        let n_applied = effect.docs.keys().filter(after).count();
        let before = |spot: &&Spot| self.agrees(spot, self.state.docs.get(spot), docs);
        let n_unchanged = effect.docs.keys().filter(before).count();
        let collection = effect.collection.as_ref();
        if n_applied == n_docs
            && collection.is_none_or(|(name, config)| found.collections.get(*name) == config.as_ref())
        {
            return self.take_over(stamp, effect, docs);
        }
        if n_unchanged != n_docs {
            self.violation(format!(
                "{stamp:?} {deed:?}: happened in part: {n_applied} of {n_docs} documents as after it, {n_unchanged} as \
                 before"
            ));
        }
        if effect.collection.is_some() {
            self.slack += 2;
        }
        None
    }

    /// Whether the document found at a spot is the expected one.
    fn agrees(&self, spot: &Spot, expected: Option<&Doc>, docs: &Docs<'_>) -> bool {
        match (expected, docs.get(spot)) {
            (None, None) => true,
            (Some(doc), Some(stored)) => {
                // A change without effect, such as removing an absent text, shows in the version
                // alone.
                let old = self.state.docs.get(spot).map(|old| old.version);
                let is_new = doc.version != UNSEEN || old != Some(stored.version.0);
                is_new && doc.difference(spot, self.profile.text_bytes(), stored).is_none()
            }
            _ => false,
        }
    }

    /// Takes over an operation without an answer.
    fn take_over(&mut self, stamp: Stamp, mut effect: Effect, docs: &Docs<'_>) -> Option<u64> {
        let put = effect.docs.iter().filter(|(_, doc)| doc.is_some());
        let versions: HashSet<u64> = put.map(|(spot, _)| docs[spot].version.0).collect();
        if versions.len() > 1 {
            self.violation(format!("{stamp:?}: one batch, several versions {versions:?}"));
        }
        let commit = versions.into_iter().next().unwrap_or(UNSEEN);
        if commit != UNSEEN && !self.seen.insert(commit) {
            self.violation(format!("commit {commit} of the unanswered {stamp:?} was given out before"));
        }
        effect.docs.values_mut().flatten().for_each(|doc| doc.version = commit);
        self.commit += n_commits(&effect);
        self.state.apply(&effect);
        // A batch without changes makes no commit. A batch that only deletes leaves no version that
        // would show its commit.
        (effect.n_changed > 0).then_some(commit)
    }

    /// Removes strays from the documents found. Each must be whole, and none may be of a refused
    /// batch.
    fn settle_strays(&mut self, docs: &mut Docs<'_>) {
        let is_stray = |spot: &Spot| CHURN.contains(&spot.collection) && spot.thread != CHURN_THREAD;
        let strays: Vec<Spot> = docs.keys().filter(|spot| is_stray(spot)).copied().collect();
        for spot in strays {
            let Some(stored) = docs.remove(&spot) else { continue };
            let stamp = stored.metadata["stamp"].as_u64().unwrap_or(0);
            let difference = Doc::put(stamp, UNSEEN).difference(&spot, self.profile.text_bytes(), stored);
            if let Some(difference) = difference {
                self.violation(format!("stray {spot:?}: {difference}"));
            }
            if self.refused_strays.contains(&stamp) {
                self.violation(format!("stray {spot:?} is there, but its batch was refused"));
            }
        }
    }

    fn compare(&mut self, found: &Found, docs: &Docs<'_>) {
        let mut violations = Vec::new();
        let (expected, got) = (&self.state.collections, &found.collections);
        if !expected.iter().map(|(name, config)| (*name, config)).eq(got.iter().map(|(name, config)| (&**name, config)))
        {
            violations.push(format!("collections: expected {expected:?}, got {got:?}"));
        }
        for (spot, doc) in &self.state.docs {
            match docs.get(spot) {
                None => violations.push(format!("lost: {spot:?} {doc:?}")),
                Some(stored) => violations.extend(
                    doc.difference(spot, self.profile.text_bytes(), stored)
                        .map(|difference| format!("{spot:?} {doc:?} differs: {difference}")),
                ),
            }
        }
        let phantoms = docs.iter().filter(|(spot, _)| !self.state.docs.contains_key(spot));
        violations.extend(phantoms.map(|(spot, stored)| format!("deleted or never acknowledged: {spot:?} {stored:?}")));
        for text in violations {
            self.violation(format!("at commit {}: {text}", found.commit));
        }
    }

    fn settle_commit(&mut self, found: u64) {
        let expected = self.commit..=self.commit + self.slack;
        if !expected.contains(&found) {
            self.violation(format!("expected commit {} (or up to {} more), got {found}", self.commit, self.slack));
        }
        self.commit = found;
    }
}
