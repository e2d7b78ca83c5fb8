//! The changes that a commit makes to the metadata index. They are gathered document by document,
//! and written as one change for each chunk of each term.

use std::collections::{BTreeSet, HashMap};

use super::MetadataIndex;
use super::catalog::{FieldCatalog, is_building, wants};
use crate::filter::extract::{Terms, all_terms_of, terms_of};
use crate::filter::term::Term;
use crate::id::{FieldId, Slot};
use crate::store::commit::draft::Draft;
use crate::store::family::Families;
use crate::store::format::postings::{IndexRule, PostingsChange, split};
use crate::value::Value;

/// The changes of a commit that is being made.
#[derive(Default)]
pub(crate) struct Entries {
    new_fields: HashMap<Box<str>, FieldId>,
    changes: HashMap<FieldTerm, SlotChange>,
}

/// A term of a field.
pub(super) type FieldTerm = (FieldId, Term);

/// Slots that gain a term, and slots that lose it.
#[derive(Debug, Default)]
pub(super) struct SlotChange {
    pub(super) added: Vec<u32>,
    pub(super) removed: Vec<u32>,
}

/// The changes that memory takes over from a commit.
#[derive(Default)]
pub(crate) struct AppliedPostings {
    pub(super) new_fields: Vec<(Box<str>, FieldId)>,
    pub(super) changes: HashMap<FieldTerm, SlotChange>,
}

/// The entry of every document that has more terms than are indexed.
fn overflow() -> FieldTerm {
    (FieldId::default(), Term::incomplete())
}

impl Entries {
    /// Adds the entries of a slot's document with this metadata.
    pub(crate) fn add(&mut self, fields: &MetadataIndex, slot: Slot, metadata: &Value) {
        let catalog = fields.catalog.read();
        let entries = self.entries_of(&catalog, metadata);
        self.add_all(slot, entries);
    }

    /// Adds entries for the fields that are being built. The document may have been indexed before.
    pub(super) fn build(&mut self, catalog: &FieldCatalog, slot: Slot, metadata: &Value) {
        let mut terms = terms_of(metadata, |path| wants(&catalog.row.rule, path));
        terms.by_path.retain(|path, _| is_building(&catalog.row.rule, path));
        let entries = self.number_all(catalog, terms);
        self.add_all(slot, entries);
    }

    /// Removes the entries of a slot's document.
    pub(crate) fn remove(&mut self, fields: &MetadataIndex, slot: Slot, metadata: &Value) {
        self.replace(fields, slot, metadata, None);
    }

    /// Changes the entries of a slot from those of metadata `before` to those of `after`, if any.
    pub(crate) fn replace(&mut self, fields: &MetadataIndex, slot: Slot, before: &Value, after: Option<&Value>) {
        let catalog = fields.catalog.read();
        let new = after.map_or_else(BTreeSet::new, |after| self.entries_of(&catalog, after));
        let is_plain = catalog.row.rule == IndexRule::default();
        let old =
            if is_plain { self.entries_of(&catalog, before) } else { self.entries_under_any_rule(&catalog, before) };
        for entry in old.difference(&new) {
            self.changes.entry(entry.clone()).or_default().removed.push(slot.0);
        }
        // Under another rule some old entries may be missing, so all new ones are added.
        let added: Vec<FieldTerm> = new.into_iter().filter(|entry| !is_plain || !old.contains(entry)).collect();
        self.add_all(slot, added);
    }

    fn add_all(&mut self, slot: Slot, entries: impl IntoIterator<Item = FieldTerm>) {
        for entry in entries {
            self.changes.entry(entry).or_default().added.push(slot.0);
        }
    }

    /// The entries of a document. Paths without a number are given one.
    fn entries_of(&mut self, catalog: &FieldCatalog, metadata: &Value) -> BTreeSet<FieldTerm> {
        let terms = terms_of(metadata, |path| wants(&catalog.row.rule, path));
        self.number_all(catalog, terms)
    }

    /// All entries that a document may have, whatever the rule was when it was indexed. Documents
    /// with too many terms then may not have too many now, and the other way round.
    fn entries_under_any_rule(&mut self, catalog: &FieldCatalog, metadata: &Value) -> BTreeSet<FieldTerm> {
        let terms = all_terms_of(metadata, |path| wants(&catalog.row.rule, path) && catalog.find(path).is_some());
        let mut entries = self.number_all(catalog, terms);
        entries.insert(overflow());
        entries
    }

    fn number_all(&mut self, catalog: &FieldCatalog, terms: Terms) -> BTreeSet<FieldTerm> {
        let mut entries = BTreeSet::new();
        if terms.overflows {
            entries.insert(overflow());
        }
        for (path, terms) in terms.by_path {
            match self.number(catalog, path) {
                Some(field) => entries.extend(terms.into_iter().map(|term| (field, term))),
                None => _ = entries.insert(overflow()),
            }
        }
        entries
    }

    fn number(&mut self, catalog: &FieldCatalog, path: Box<str>) -> Option<FieldId> {
        if let Some(number) = catalog.find(&path).or_else(|| self.new_fields.get(&path).copied()) {
            return Some(number);
        }
        let number = catalog.free(self.new_fields.len())?;
        self.new_fields.insert(path, number);
        Some(number)
    }

    /// Writes the changes to `draft`, and returns them for memory.
    pub(crate) fn draft_into(self, draft: &mut Draft, families: &Families) -> AppliedPostings {
        for (path, id) in &self.new_fields {
            draft.field(families, path, *id);
        }
        for ((field, term), change) in &self.changes {
            let mut chunks: HashMap<u16, PostingsChange> = HashMap::new();
            for &slot in &change.added {
                let (chunk, place) = split(slot);
                chunks.entry(chunk).or_default().added.push(place);
            }
            for &slot in &change.removed {
                let (chunk, place) = split(slot);
                chunks.entry(chunk).or_default().removed.push(place);
            }
            chunks.iter().for_each(|(chunk, change)| draft.postings(families, *field, term.bytes(), *chunk, change));
        }
        AppliedPostings { new_fields: self.new_fields.into_iter().collect(), changes: self.changes }
    }
}
