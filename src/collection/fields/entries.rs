//! The changes that a commit makes to the metadata index. They are gathered document by document,
//! and written as one change for each chunk of each term.

use std::collections::{BTreeSet, HashMap};

use super::Fields;
use super::rule::{Known, is_building, wants};
use crate::filter::extract::{Terms, all_terms_of, terms_of};
use crate::filter::term::Term;
use crate::id::{FieldId, Slot};
use crate::store::draft::Draft;
use crate::store::family::Families;
use crate::store::postings::{ChunkChange, Rule, split};
use crate::value::Value;

/// The changes of a commit that is being made.
#[derive(Default)]
pub(crate) struct Entries {
    new_fields: HashMap<Box<str>, FieldId>,
    changes: HashMap<Entry, SlotChange>,
}

/// A term of a field.
pub(super) type Entry = (FieldId, Term);

/// Slots that gain a term, and slots that lose it.
#[derive(Debug, Default)]
pub(super) struct SlotChange {
    pub(super) added: Vec<u32>,
    pub(super) removed: Vec<u32>,
}

/// The changes that memory takes over from a commit.
#[derive(Default)]
pub(crate) struct Applied {
    pub(super) new_fields: Vec<(Box<str>, FieldId)>,
    pub(super) changes: HashMap<Entry, SlotChange>,
}

/// The entry of every document that has more terms than are indexed.
fn overflow() -> Entry {
    (FieldId::default(), Term::incomplete())
}

impl Entries {
    /// Adds the entries of a slot's document with this metadata.
    pub(crate) fn add(&mut self, fields: &Fields, slot: Slot, metadata: &Value) {
        let known = fields.known.read();
        let entries = self.entries_of(&known, metadata);
        self.add_all(slot, entries);
    }

    /// Adds entries for the fields that are being built. The document may have been indexed before.
    pub(super) fn build(&mut self, known: &Known, slot: Slot, metadata: &Value) {
        let mut terms = terms_of(metadata, |path| wants(&known.row.rule, path));
        terms.by_path.retain(|path, _| is_building(&known.row.rule, path));
        let entries = self.number_all(known, terms);
        self.add_all(slot, entries);
    }

    /// Removes the entries of a slot's document.
    pub(crate) fn remove(&mut self, fields: &Fields, slot: Slot, metadata: &Value) {
        self.replace(fields, slot, metadata, None);
    }

    /// Changes the entries of a slot from those of metadata `before` to those of `after`, if any.
    pub(crate) fn replace(&mut self, fields: &Fields, slot: Slot, before: &Value, after: Option<&Value>) {
        let known = fields.known.read();
        let new = after.map_or_else(BTreeSet::new, |after| self.entries_of(&known, after));
        let is_plain = known.row.rule == Rule::default();
        let old = if is_plain { self.entries_of(&known, before) } else { self.entries_under_any_rule(&known, before) };
        for entry in old.difference(&new) {
            self.changes.entry(entry.clone()).or_default().removed.push(slot.0);
        }
        // Under another rule some old entries may be missing, so all new ones are added.
        let added: Vec<Entry> = new.into_iter().filter(|entry| !is_plain || !old.contains(entry)).collect();
        self.add_all(slot, added);
    }

    fn add_all(&mut self, slot: Slot, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            self.changes.entry(entry).or_default().added.push(slot.0);
        }
    }

    /// The entries of a document. Paths without a number are given one.
    fn entries_of(&mut self, known: &Known, metadata: &Value) -> BTreeSet<Entry> {
        let terms = terms_of(metadata, |path| wants(&known.row.rule, path));
        self.number_all(known, terms)
    }

    /// All entries that a document may have, whatever the rule was when it was indexed. Documents
    /// with too many terms then may not have too many now, and the other way round.
    fn entries_under_any_rule(&mut self, known: &Known, metadata: &Value) -> BTreeSet<Entry> {
        let terms = all_terms_of(metadata, |path| wants(&known.row.rule, path) && known.find(path).is_some());
        let mut entries = self.number_all(known, terms);
        entries.insert(overflow());
        entries
    }

    fn number_all(&mut self, known: &Known, terms: Terms) -> BTreeSet<Entry> {
        let mut entries = BTreeSet::new();
        if terms.overflows {
            entries.insert(overflow());
        }
        for (path, terms) in terms.by_path {
            match self.number(known, path) {
                Some(field) => entries.extend(terms.into_iter().map(|term| (field, term))),
                None => _ = entries.insert(overflow()),
            }
        }
        entries
    }

    fn number(&mut self, known: &Known, path: Box<str>) -> Option<FieldId> {
        if let Some(number) = known.find(&path).or_else(|| self.new_fields.get(&path).copied()) {
            return Some(number);
        }
        let number = known.free(self.new_fields.len())?;
        self.new_fields.insert(path, number);
        Some(number)
    }

    /// Writes the changes to `draft`, and returns them for memory.
    pub(crate) fn draft_into(self, draft: &mut Draft, families: &Families) -> Applied {
        for (path, id) in &self.new_fields {
            draft.field(families, path, *id);
        }
        for ((field, term), change) in &self.changes {
            let mut chunks: HashMap<u16, ChunkChange> = HashMap::new();
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
        Applied { new_fields: self.new_fields.into_iter().collect(), changes: self.changes }
    }
}
