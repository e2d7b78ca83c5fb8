//! Facets: how many documents have each value of a metadata field.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Instant;

use crate::cancel::{Cancel, Stop};
use crate::collection::handle::Namespace;
use crate::collection::matching::Matching;
use crate::collection::metadata::lookup::Lookup;
use crate::collection::moment::{Listing, Moment};
use crate::collection::snapshot::ReadPoint;
use crate::error::Result;
use crate::filter::Filter;
use crate::filter::extract::values_of;
use crate::filter::slots::{Bits, SlotSet};
use crate::filter::term::{Term, value_of};
use crate::hit::FacetCount;
use crate::id::{FieldId, Slot};
use crate::store::format::postings::{n_slots, n_slots_among};

impl Namespace {
    /// Counts how many documents have each value of a metadata field. `field` is its path.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # let db = vectrove::Database::open(folder.path())?;
    /// # use vectrove::{CollectionConfig, Document, field};
    /// # use serde_json::json;
    /// # let notes = db.get_or_create_collection("notes", CollectionConfig::new(1))?;
    /// notes.insert(Document::new([1.0]).metadata(json!({"tags": ["red", "round"]})))?;
    /// notes.insert(Document::new([1.0]).metadata(json!({"tags": ["red"]})))?;
    /// let counts = notes.facet("tags").run()?;
    /// assert_eq!((counts[0].value.as_str(), counts[0].n_documents), (Some("red"), 2));
    /// let counts = notes.facet("tags").filter(field("tags").eq("round")).run()?;
    /// assert_eq!((counts.len(), counts[0].n_documents), (2, 1));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn facet(&self, field: impl Into<String>) -> Facet {
        Facet::of(self.into(), field.into())
    }
}

/// A facet count to be run; made by [`Namespace::facet`].
#[must_use = "nothing is counted until `run`"]
#[derive(Debug, Clone)]
pub struct Facet {
    place: ReadPoint,
    field: String,
    filter: Filter,
    limit: usize,
    stop: Stop,
}

impl Facet {
    pub(in crate::collection) fn of(place: ReadPoint, field: String) -> Self {
        Facet { place, field, filter: Filter::everything(), limit: 100, stop: Stop::default() }
    }

    /// Counts only documents that match `filter`. Default: all of the namespace.
    pub fn filter(mut self, filter: impl Into<Filter>) -> Self {
        self.filter = filter.into();
        self
    }

    /// The most values to return. Default: 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Ends the count with `Deadline`, and no partial answer, at `deadline`. Default: never.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.stop.set_deadline(deadline);
        self
    }

    /// Ends the count with `Cancelled`, and no partial answer, once the flag is set. Default:
    /// never.
    pub fn cancel(mut self, cancel: &Cancel) -> Self {
        self.stop.set_cancel(cancel);
        self
    }

    /// Runs the count. The values that most documents have come first, equally frequent ones in the
    /// order of values. A document counts once for each different element of an array. Equal
    /// numbers are one value however they are written; times count as they are spelled.
    ///
    /// # Errors
    /// `InvalidFilter` or `LimitExceeded` for the filter; `Deadline` or `Cancelled` if one of these
    /// ended the count; otherwise as for every read.
    pub fn run(self) -> Result<Vec<FacetCount>> {
        self.filter.check()?;
        self.stop.check()?;
        let moment = self.place.moment(Listing::IfFew)?;
        let matching = moment.settled(&self.filter, &self.stop)?;
        let count = |lookup: &Lookup<'_>, field| self.count_by_postings(&moment, &matching, lookup, field);
        let told = moment.told_of_field(&self.field, count)?;
        let best = match told {
            Some(best) => best,
            None => {
                let mut counts = Counts::new();
                moment.each_of(&matching, &self.stop, |_, row| {
                    count_values(&mut counts, values_of(&row.metadata, &self.field));
                    Ok(())
                })?;
                let mut best = TopTerms { n_most: self.limit, found: BinaryHeap::new() };
                counts.into_iter().for_each(|(term, n)| best.offer(&term, n));
                best
            }
        };
        let values = best.found.into_sorted_vec().into_iter();
        Ok(values.filter_map(|(n, term)| Some(FacetCount { value: value_of(&term)?, n_documents: n.0 })).collect())
    }

    fn count_by_postings(
        &self,
        moment: &Moment,
        matching: &Matching,
        lookup: &Lookup<'_>,
        field: FieldId,
    ) -> Result<TopTerms> {
        // Documents with values that are not indexed are read and counted themselves.
        let incomplete = &*lookup.term(field, &Term::incomplete())? | &*lookup.overflowing()?;
        let doubtful: Vec<Slot> =
            incomplete.iter().filter(|slot| matching.possible.bits().contains(*slot)).map(Slot).collect();
        let (visible, mut counts) = (moment.those_of(doubtful), Counts::new());
        for (_, row) in moment.fetch_unless(&self.stop, &visible)? {
            count_values(&mut counts, values_of(&row.metadata, &self.field));
        }
        let others = matching.possible.slots().clone().and(SlotSet::AllBut(Arc::new(incomplete)));
        let mut best = TopTerms { n_most: self.limit, found: BinaryHeap::new() };
        each_count(lookup, field, &others, |term, n| {
            best.offer(term, n + counts.remove(term).unwrap_or_default());
            self.stop.check()
        })?;
        counts.into_iter().for_each(|(term, n)| best.offer(&term, n));
        Ok(best)
    }
}

/// How many documents have each term.
type Counts = BTreeMap<Box<[u8]>, usize>;

fn count_values(counts: &mut Counts, values: impl IntoIterator<Item = Term>) {
    values.into_iter().for_each(|term| *counts.entry(term.bytes().into()).or_default() += 1);
}

/// The `n_most` terms that most documents have, of those offered.
struct TopTerms {
    n_most: usize,
    /// The term to drop first is on top.
    found: BinaryHeap<(Reverse<usize>, Box<[u8]>)>,
}

impl TopTerms {
    fn offer(&mut self, term: &[u8], n: usize) {
        let is_full = self.found.len() >= self.n_most;
        let is_better = self.found.peek().is_some_and(|(worst, last)| (Reverse(n), term) < (*worst, &**last));
        if n == 0 || is_full && !is_better {
            return;
        }
        if is_full {
            self.found.pop();
        }
        self.found.push((Reverse(n), term.into()));
    }
}

/// Shows every value of a field in the order of terms, with the number of `slots` that have it.
fn each_count(
    lookup: &Lookup<'_>,
    field: FieldId,
    slots: &SlotSet,
    mut show: impl FnMut(&[u8], usize) -> Result<()>,
) -> Result<()> {
    let (is_everything, bits) = (*slots == SlotSet::all(), Bits::new(slots));
    if let Some(value_counts) = lookup.value_counts(field)? {
        for (term, slots) in value_counts.iter() {
            let n = if is_everything { slots.len() } else { slots.iter().filter(|slot| bits.contains(**slot)).count() };
            show(term, n)?;
        }
        return Ok(());
    }
    let mut last = None::<(Box<[u8]>, usize)>;
    lookup.each_value(field, |term, chunk, row| {
        let n = if is_everything { n_slots(row)? } else { n_slots_among(row, chunk, |slot| bits.contains(slot))? };
        match &mut last {
            // Chunks of one term follow each other.
            Some((before, n_before)) if **before == *term => *n_before += n,
            _ => {
                if let Some((before, n)) = last.replace((term.into(), n)) {
                    show(&before, n)?;
                }
            }
        }
        Ok(())
    })?;
    if let Some((term, n)) = last {
        show(&term, n)?;
    }
    Ok(())
}
