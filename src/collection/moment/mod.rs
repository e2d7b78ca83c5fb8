//! One namespace of a collection as of one commit: all that a reader may ask for.
//!
//! A [`Moment`] takes its view and its counts together, and holds exactly one namespace. It gives
//! no access to the collection's present state. So an answer cannot mix two commits or two
//! namespaces.
//!
//! | file | owns |
//! |---|---|
//! | [`postings`] | what the derived indexes tell |
//! | [`held`] | moments that snapshots hold |

pub(super) mod held;
mod postings;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::derived::source::RowSource;
use super::fulltext::FullTextIndex;
use super::memory::Slots;
use super::open::OpenCollection;
use super::slots::census::Census;
use super::vectors::full::Reader;
use super::vectors::regions::least_linked;
use super::vectors::{Sight, VectorIndex};
use crate::cancel::Stop;
use crate::config::CollectionConfig;
use crate::distance::Comparison;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::id::{Commit, DocId, NamespaceId, Slot};
use crate::store::View;
use crate::store::format::record::DocumentRow;

/// A namespace is small if it has at most one in `SMALL_SHARE` of its collection's documents.
const SMALL_SHARE: usize = 8;

/// One namespace of an open collection at one commit.
pub(crate) struct Moment {
    // The view is dropped before `open`: closing waits until nobody holds the collection, and by
    // then no view may hold the storage engine.
    view: Arc<View>,
    open: Arc<OpenCollection>,
    namespace: NamespaceId,
    n_members: usize,
    n_documents: usize,
    n_slots: usize,
    /// The slots of the namespace, in no order, if they were listed.
    members: Option<Box<[Slot]>>,
}

/// When a moment lists the slots of its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    Never,
    /// If the collection has other documents, and the namespace has at most `least_linked()` of its
    /// own.
    IfSmall,
    /// As `IfSmall`, and if the namespace has at most one in `SMALL_SHARE` of the collection's
    /// documents.
    IfFew,
    /// If the collection has other documents.
    IfShared,
}

impl Listing {
    fn lists(self, n_members: usize, n_documents: usize) -> bool {
        match self {
            Listing::Never => false,
            Listing::IfSmall => n_members <= least_linked() && n_members < n_documents,
            Listing::IfFew => n_members * SMALL_SHARE <= n_documents || Listing::IfSmall.lists(n_members, n_documents),
            Listing::IfShared => n_members < n_documents,
        }
    }
}

impl Moment {
    /// A namespace as of the last commit. Takes no lock for the default namespace if that has all
    /// documents of the collection, unless two commits come between its view and its counts.
    pub(super) fn last(open: Arc<OpenCollection>, name: &str, listing: Listing) -> Moment {
        // Namespaces that share documents are counted under the lock in any case.
        if open.memory.hints_at_several() {
            return Moment::last_still(open, name, listing);
        }
        // The view comes first. A namespace found after it has documents from a later commit on at
        // the earliest.
        let view = open.store.view();
        failpoint::hit("moment.viewed");
        let (namespace, census) = (open.find_namespace(name), open.memory.census_at(view.commit));
        let counted = census.and_then(|census| Some((census, census.n_members(namespace)?)));
        match counted {
            Some((census, n_members)) if n_members == 0 || !listing.lists(n_members, census.n_documents) => {
                Moment::new(open, view, namespace, census, n_members, None)
            }
            _ => Moment::last_still(open, name, listing),
        }
    }

    /// As [`Moment::last`], under the lock that commits are applied under.
    fn last_still(open: Arc<OpenCollection>, name: &str, listing: Listing) -> Moment {
        let still = open.memory.still();
        // No commit is half applied now: view, names and counts are of one commit.
        let (view, namespace, census) = (open.store.view(), open.find_namespace(name), still.census());
        let members = still.members(namespace);
        let n_members = members.len();
        let listed = listing.lists(n_members, census.n_documents).then(|| members.into());
        drop(still);
        Moment::new(open, view, namespace, census, n_members, listed)
    }

    fn new(
        open: Arc<OpenCollection>,
        view: Arc<View>,
        namespace: NamespaceId,
        Census { n_documents, n_slots, .. }: Census,
        n_members: usize,
        members: Option<Box<[Slot]>>,
    ) -> Moment {
        Moment { view, open, namespace, n_members, n_documents, n_slots, members }
    }

    pub(super) fn commit(&self) -> Commit {
        self.view.commit
    }

    pub(super) fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    /// How many documents the namespace has.
    pub(super) fn n_members(&self) -> usize {
        self.n_members
    }

    /// How many documents the collection has.
    pub(super) fn n_documents(&self) -> usize {
        self.n_documents
    }

    /// Every slot that holds a document is below this.
    pub(super) fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Whether the namespace has all documents of the collection.
    pub(super) fn has_all(&self) -> bool {
        self.n_members == self.n_documents
    }

    /// The slots of the namespace, in no order, if they were listed.
    pub(super) fn members(&self) -> Option<&[Slot]> {
        self.members.as_deref()
    }

    /// Whether a slot holds a document of the namespace.
    #[inline(always)]
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.slots().is_visible(slot, self.namespace, self.view.commit)
    }

    /// The slots that hold a document of the namespace.
    pub(super) fn those_of(&self, mut slots: Vec<Slot>) -> Vec<Slot> {
        slots.retain(|slot| self.has(*slot));
        slots
    }

    /// Whether a walk finds every document of the namespace.
    pub(super) fn is_linked(&self) -> bool {
        self.index().is_linked(self.namespace, self.commit())
    }

    /// The number of documents in the part of the graph that a walk in the namespace covers.
    pub(super) fn n_walked(&self) -> usize {
        if self.index().is_undivided() { self.n_documents } else { self.n_members }
    }

    /// The slots of the namespace, in no order. If commits came since, they are found by looking at
    /// all slots.
    pub(super) fn list(&self) -> Vec<Slot> {
        if let Some(members) = self.members() {
            return members.to_vec();
        }
        let still = self.open.memory.still();
        if self.open.store.view().commit == self.commit() {
            return still.members(self.namespace).to_vec();
        }
        drop(still);
        self.each_member().collect()
    }

    /// Every slot that holds a document of the namespace, in order, found by looking at all slots.
    pub(super) fn each_member(&self) -> impl Iterator<Item = Slot> {
        (0..self.n_slots as u32).map(Slot).filter(|slot| self.has(*slot))
    }

    /// The id and version of a slot's document, if it has not changed since the moment's commit.
    pub(super) fn unchanged(&self, slot: Slot) -> Option<(DocId, Commit)> {
        self.slots().identity(slot, self.view.commit)
    }

    pub(super) fn config(&self) -> &CollectionConfig {
        &self.open.config
    }

    pub(super) fn comparison(&self) -> &Comparison {
        &self.open.memory.vectors().comparison
    }

    pub(super) fn words(&self) -> &FullTextIndex {
        &self.open.indexes.words
    }

    pub(super) fn index(&self) -> &VectorIndex {
        &self.open.memory.vectors().index
    }

    /// A vector as it is compared: at unit length where only directions count. `norm` is its
    /// length.
    pub(super) fn comparable_by(&self, vector: Vec<f32>, norm: f64) -> Vec<f32> {
        self.open.comparable_by(vector, norm)
    }

    /// Reads exact vectors as of the commit.
    pub(super) fn reader(&self) -> Reader<'_> {
        self.open.reader(&self.view)
    }

    /// What a search of the index sees.
    pub(super) fn sight<'m>(&'m self, exact: &'m Reader<'m>) -> Sight<'m> {
        let (slots, comparison) = (self.slots(), self.comparison());
        let Moment { n_documents, n_members, n_slots, .. } = *self;
        let trusts_codes = self.index().trusts_codes_of(self.namespace);
        Sight { slots, exact, comparison, n_documents, n_members, trusts_codes, n_slots, commit: self.view.commit }
    }

    fn slots(&self) -> &Slots {
        &self.open.memory.slots
    }

    fn source(&self) -> RowSource<'_> {
        self.open.source(Some(&self.view.snapshot))
    }

    /// The time of the database's clock in nanoseconds, as filters compare times.
    pub(super) fn now_ns(&self) -> i128 {
        self.open.store.options().clock.now_ns()
    }

    /// Wakes the linker.
    pub(super) fn notify(&self) {
        self.open.signal.notify();
    }

    /// The slot of an id of the namespace.
    pub(super) fn find_slot(&self, id: &DocId) -> Result<Option<Slot>> {
        self.source().find_slot(self.namespace, id)
    }

    /// The slots of ids of the namespace, in their order.
    pub(super) fn find_slots(&self, ids: &[DocId]) -> Result<Vec<Option<Slot>>> {
        self.source().find_slots(self.namespace, ids)
    }

    /// The id of a slot that holds a document.
    pub(super) fn id_of(&self, slot: Slot) -> Result<DocId> {
        match self.slots().id(slot) {
            Some(id) => Ok(id),
            None => {
                let row = self.fetch(&[slot])?.pop().map(|(_, row)| row.id);
                row.ok_or_else(|| Error::corruption(format!("slot {}", slot.0), "expected a document, found none"))
            }
        }
    }

    /// The collection's number and its time of creation, which tell it from all others.
    pub(super) fn origin(&self) -> (u32, u64) {
        (self.open.id.0, self.open.created_at_ms)
    }

    /// The slot and row of an id of the namespace.
    pub(super) fn find(&self, id: &DocId) -> Result<Option<(Slot, DocumentRow)>> {
        self.source().find(self.namespace, id)
    }

    /// The rows of slots that hold a document, in their order.
    pub(super) fn fetch(&self, slots: &[Slot]) -> Result<Vec<(Slot, DocumentRow)>> {
        self.source().fetch(slots)
    }

    /// As [`fetch`](Moment::fetch), unless `stop` ends the call.
    pub(super) fn fetch_unless(&self, stop: &Stop, slots: &[Slot]) -> Result<Vec<(Slot, DocumentRow)>> {
        let mut rows = Vec::with_capacity(slots.len());
        for slots in slots.chunks(Stop::EVERY) {
            stop.check()?;
            rows.extend(self.fetch(slots)?);
        }
        Ok(rows)
    }

    /// A slot's vector as it was put.
    pub(super) fn vector(&self, slot: Slot) -> Result<Vec<f32>> {
        self.source().vector(slot, self.open.memory.vectors().id)
    }

    /// Shows rows of the `documents` family, of all namespaces, until `visit` breaks or fails.
    pub(super) fn scan(
        &self,
        range: (&[u8], &[u8]),
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.source().each_document(range, visit)
    }
}
