//! The documents of a namespace that match a filter, at one commit.
//!
//! Postings of the metadata index decide most documents. Those left in doubt are read and tested,
//! all at once or on demand.
//!
//! | file | owns |
//! |---|---|
//! | [`candidates`] | sets of documents to search |

pub(super) mod candidates;

use std::ops::ControlFlow;
use std::sync::Arc;

use roaring::RoaringBitmap;

use self::candidates::Candidates;
use super::moment::Moment;
use crate::cancel::Stop;
use crate::error::Result;
use crate::filter::Filter;
use crate::filter::slots::{Bounds, SlotSet};
use crate::id::Slot;
use crate::store::format::key;
use crate::store::format::record::{DocumentHeader, DocumentRow};

/// Possible and definite matches of a filter in a namespace.
pub(crate) struct Matching {
    /// All possible matches.
    pub(crate) possible: Candidates,
    /// The definite matches; `None` if all possible ones are.
    sure: Option<SlotSet>,
    /// Documents that were read to tell.
    pub(crate) n_read: usize,
}

/// Up to this number of documents in doubt, all are tested right away.
const FEW_DOUBTS: usize = 256;
/// Documents read at once.
const FETCH: usize = 256;
/// All rows are scanned in order if at least one document in `MOST_SHARE` is wanted.
const MOST_SHARE: usize = 4;

impl Moment {
    /// The documents that match a filter, as postings tell. Up to [`FEW_DOUBTS`] documents in doubt
    /// are tested.
    pub(crate) fn matching(&self, filter: &Filter, stop: &Stop) -> Result<Matching> {
        let matching = self.matching_within(None, filter);
        match matching.is_settled() || matching.n_doubtful() > FEW_DOUBTS {
            true => Ok(matching),
            false => self.settle(filter, &matching, stop),
        }
    }

    /// The documents of `matching`, or of the namespace, that match `filter` too, as postings tell.
    pub(crate) fn matching_within(&self, matching: Option<&Matching>, filter: &Filter) -> Matching {
        let Bounds { sure, possible } = self.bounds(filter);
        let (all, certain) = (possible.clone().unwrap_or_else(|| sure.clone()), possible.map(|_| sure));
        let Some(matching) = matching else {
            return Matching { possible: Candidates::new(all, self), sure: certain, n_read: 0 };
        };
        let sure = match (certain, matching.sure.clone()) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        Matching { possible: matching.possible.narrowed(all, self), sure, n_read: 0 }
    }

    /// The documents that match a filter, with none left in doubt.
    pub(crate) fn settled(&self, filter: &Filter, stop: &Stop) -> Result<Matching> {
        let matching = self.matching(filter, stop)?;
        if matching.is_settled() { Ok(matching) } else { self.settle(filter, &matching, stop) }
    }

    /// Tests every document in doubt.
    pub(crate) fn settle(&self, filter: &Filter, matching: &Matching, stop: &Stop) -> Result<Matching> {
        let doubtful: Vec<Slot> = matching.possible.narrowed(matching.doubtful(), self).each(self).collect();
        let mut found = RoaringBitmap::new();
        for slots in doubtful.chunks(FETCH) {
            stop.check()?;
            for (slot, row) in self.fetch(slots)? {
                if self.words().match_filter(filter, &row) {
                    found.insert(slot.0);
                }
            }
        }
        let sure = matching.sure.clone().unwrap_or_else(SlotSet::all);
        let possible = matching.possible.narrowed(sure.or(SlotSet::Only(Arc::new(found))), self);
        Ok(Matching { possible, sure: None, n_read: doubtful.len() })
    }

    /// Shows every document of the namespace that matches a filter.
    pub(crate) fn each_matching(
        &self,
        filter: &Filter,
        mut visit: impl FnMut(Slot, DocumentRow) -> Result<()>,
    ) -> Result<()> {
        let matching = self.matching(filter, Stop::NEVER)?;
        self.each_of(&matching, Stop::NEVER, |slot, row| {
            match matching.is_sure_of(slot) || self.words().match_filter(filter, &row) {
                true => visit(slot, row),
                false => Ok(()),
            }
        })
    }

    /// Shows every possible match.
    pub(crate) fn each_of(
        &self,
        matching: &Matching,
        stop: &Stop,
        mut show: impl FnMut(Slot, DocumentRow) -> Result<()>,
    ) -> Result<()> {
        if matching.possible.n().saturating_mul(MOST_SHARE) >= self.n_documents() {
            let ((from, to), mut n_read) = (key::document_range(), 0);
            return self.scan((&from, &to), |key, value| {
                if n_read % FETCH == 0 {
                    stop.check()?;
                }
                n_read += 1;
                let slot = key::read_document(key)?;
                let is_own = DocumentHeader::decode(value)?.namespace == self.namespace();
                if is_own && matching.possible.bits().contains(slot.0) {
                    show(slot, DocumentRow::decode(value)?)?;
                }
                Ok(ControlFlow::Continue(()))
            });
        }
        let slots: Vec<Slot> = matching.possible.each(self).collect();
        for slots in slots.chunks(FETCH) {
            stop.check()?;
            self.fetch(slots)?.into_iter().try_for_each(|(slot, row)| show(slot, row))?;
        }
        Ok(())
    }
}

impl Matching {
    /// Whether no document is left in doubt.
    pub(crate) fn is_settled(&self) -> bool {
        self.sure.is_none()
    }

    /// The slots of documents in doubt. Some may be no candidates.
    fn doubtful(&self) -> SlotSet {
        self.sure.clone().map_or_else(SlotSet::none, SlotSet::complement)
    }

    /// An upper bound of the number of documents in doubt.
    pub(crate) fn n_doubtful(&self) -> usize {
        match self.possible.slots().clone().and(self.doubtful()) {
            SlotSet::Only(slots) => slots.len() as usize,
            SlotSet::AllBut(_) => self.possible.n(),
        }
    }

    pub(crate) fn is_sure_of(&self, slot: Slot) -> bool {
        self.sure.as_ref().is_none_or(|sure| sure.contains(slot.0))
    }
}
