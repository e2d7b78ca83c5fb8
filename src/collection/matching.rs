//! Which documents of a namespace match a filter, at one commit.
//!
//! Postings tell of most; those they leave in doubt are looked at themselves, all at once or when someone asks.

use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::candidates::Candidates;
use super::{Live, Scope};
use crate::error::Result;
use crate::filter::Filter;
use crate::filter::slots::{Bounds, SlotSet};
use crate::id::{NamespaceId, Slot};
use crate::store::View;
use crate::store::key;
use crate::store::record::{DocumentHeader, DocumentRow};

/// Documents that match a filter, or may.
pub(crate) struct Matching {
    /// All that may: of the namespace, where the collection has others.
    pub(crate) possible: Candidates,
    /// Of those, the ones that do; `None` where all do.
    pub(crate) sure: Option<SlotSet>,
}

/// So many documents in doubt are looked at right away.
const FEW_DOUBTS: usize = 256;
/// Documents looked at at once.
const FETCH: usize = 256;
/// A namespace is small whose documents are one in so many of its collection.
const SMALL_SHARE: usize = 8;
/// All rows are read in their order where one in so many is wanted.
const MOST_SHARE: usize = 4;

impl Scope {
    /// The documents that match a filter, as far as can be told quickly. The view is looked up again together with the
    /// namespace's documents in memory, so that both are of one commit.
    pub(crate) fn matching(&mut self, filter: &Filter) -> Result<Matching> {
        let live = self.live.clone();
        let Some(namespace) = self.namespace else { return Ok(Matching::exactly(Candidates::none())) };
        let slots = &live.memory.slots;
        let members = live.memory.with_members(namespace, |members| {
            self.view = live.store.view();
            Members::of(members, slots.n_documents())
        });
        let Bounds { sure, possible } = live.bounds(&self.view, filter);
        let within = |slots| live.within(&self.view, namespace, slots, &members);
        let Some(possible) = possible else { return Ok(Matching::exactly(Candidates::new(within(sure), slots))) };
        let matching = Matching { possible: Candidates::new(within(possible), slots), sure: Some(sure) };
        match matching.n_doubtful() <= FEW_DOUBTS {
            true => settle(&live, &self.view, filter, &matching),
            false => Ok(matching),
        }
    }

    /// The documents that match a filter, without doubt.
    pub(crate) fn settled(&mut self, filter: &Filter) -> Result<Matching> {
        let matching = self.matching(filter)?;
        match matching.sure {
            None => Ok(matching),
            Some(_) => settle(&self.live, &self.view, filter, &matching),
        }
    }

    /// Shows every document of the namespace that matches a filter.
    pub(crate) fn each_matching(
        &mut self,
        filter: &Filter,
        mut visit: impl FnMut(Slot, DocumentRow) -> Result<()>,
    ) -> Result<()> {
        let (matching, live) = (self.matching(filter)?, self.live.clone());
        self.each_of(&matching, |slot, row| match matching.is_sure_of(slot) || live.words.match_filter(filter, &row) {
            true => visit(slot, row),
            false => Ok(()),
        })
    }

    /// Shows every document that may match.
    pub(crate) fn each_of(
        &self,
        matching: &Matching,
        mut show: impl FnMut(Slot, DocumentRow) -> Result<()>,
    ) -> Result<()> {
        let (live, view) = (&self.live, &self.view);
        if matching.possible.n.saturating_mul(MOST_SHARE) >= live.memory.slots.n_documents() {
            let (from, to) = key::document_range();
            return live.scan(&view.snapshot, (&from, &to), |key, value| {
                let slot = key::read_document(key)?;
                let is_own = Some(DocumentHeader::decode(value)?.namespace) == self.namespace;
                if is_own && matching.possible.bits().contains(slot.0) {
                    show(slot, DocumentRow::decode(value)?)?;
                }
                Ok(ControlFlow::Continue(()))
            });
        }
        for slots in live.visible(view, &matching.possible.slots).chunks(FETCH) {
            live.fetch(&view.snapshot, slots)?.into_iter().try_for_each(|(slot, row)| show(slot, row))?;
        }
        Ok(())
    }
}

/// The documents of a namespace.
enum Members {
    /// All there are.
    All,
    /// A small part of them.
    Few(Vec<Slot>),
    Many,
}

impl Members {
    fn of(members: &[Slot], n_documents: usize) -> Self {
        if members.len() == n_documents {
            Members::All
        } else if members.len() * SMALL_SHARE <= n_documents {
            Members::Few(members.to_vec())
        } else {
            Members::Many
        }
    }
}

impl Matching {
    fn exactly(possible: Candidates) -> Self {
        Matching { possible, sure: None }
    }

    /// Documents of which it is not known whether they match.
    fn doubtful(&self) -> SlotSet {
        match &self.sure {
            Some(sure) => self.possible.slots.clone().and(sure.clone().complement()),
            None => SlotSet::none(),
        }
    }

    /// At most so many those are.
    pub(crate) fn n_doubtful(&self) -> usize {
        match self.doubtful() {
            SlotSet::Only(slots) => slots.len() as usize,
            SlotSet::AllBut(_) => self.possible.n,
        }
    }

    pub(crate) fn is_sure_of(&self, slot: Slot) -> bool {
        self.sure.as_ref().is_none_or(|sure| sure.contains(slot.0))
    }
}

/// Looks at every document in doubt, so that none is left.
pub(crate) fn settle(live: &Live, view: &View, filter: &Filter, matching: &Matching) -> Result<Matching> {
    let doubtful = live.visible(view, &matching.doubtful());
    let mut found = RoaringBitmap::new();
    for slots in doubtful.chunks(FETCH) {
        for (slot, row) in live.fetch(&view.snapshot, slots)? {
            if live.words.match_filter(filter, &row) {
                found.insert(slot.0);
            }
        }
    }
    let sure = matching.sure.clone().unwrap_or_else(SlotSet::all).and(matching.possible.slots.clone());
    let possible = Candidates::new(sure.or(SlotSet::Only(Arc::new(found))), &live.memory.slots);
    Ok(Matching::exactly(possible))
}

impl Live {
    /// Of the documents that match a filter, or of all of a namespace, or of all there are, those that match another too.
    pub(crate) fn matching_within(
        &self,
        view: &View,
        namespace: Option<NamespaceId>,
        matching: Option<&Matching>,
        filter: &Filter,
    ) -> Matching {
        let Bounds { sure, possible } = self.bounds(view, filter);
        let (mut all, mut certain) = (possible.clone().unwrap_or_else(|| sure.clone()), possible.map(|_| sure));
        match (matching, namespace) {
            (Some(matching), _) => {
                all = all.and(matching.possible.slots.clone());
                certain = match (certain, matching.sure.clone()) {
                    (Some(one), Some(other)) => Some(one.and(other)),
                    (one, other) => one.or(other),
                };
            }
            (None, Some(namespace)) => all = self.within(view, namespace, all, &Members::Many),
            (None, None) => {}
        }
        Matching { possible: Candidates::new(all, &self.memory.slots), sure: certain }
    }

    /// Those slots of a set that are a namespace's. Where that has all documents, a set of all but some stays one.
    fn within(&self, view: &View, namespace: NamespaceId, slots: SlotSet, members: &Members) -> SlotSet {
        let all = &self.memory.slots;
        let is_own = |slot: &u32| all.is_visible(Slot(*slot), namespace, view.commit);
        let own: RoaringBitmap = match (members, &slots) {
            (Members::All, _) => return slots,
            (Members::Few(members), _) => {
                members.iter().map(|slot| slot.0).filter(|slot| slots.contains(*slot)).collect()
            }
            (Members::Many, SlotSet::Only(some)) => some.iter().filter(is_own).collect(),
            (Members::Many, SlotSet::AllBut(some)) => {
                (0..all.n_slots() as u32).filter(|slot| !some.contains(*slot)).filter(is_own).collect()
            }
        };
        SlotSet::Only(Arc::new(own))
    }

    /// Those of some slots that have a document at a commit.
    pub(crate) fn visible_of(&self, view: &View, mut slots: Vec<Slot>) -> Vec<Slot> {
        slots.retain(|slot| self.memory.slots.exists_at(*slot, view.commit));
        slots
    }

    /// The slots of a set that have a document at a commit.
    pub(crate) fn visible(&self, view: &View, slots: &SlotSet) -> Vec<Slot> {
        let all = &self.memory.slots;
        match slots {
            SlotSet::Only(some) => self.visible_of(view, some.iter().map(Slot).collect()),
            SlotSet::AllBut(some) => {
                let each = (0..all.n_slots() as u32).map(Slot);
                each.filter(|slot| !some.contains(slot.0) && all.exists_at(*slot, view.commit)).collect()
            }
        }
    }
}
