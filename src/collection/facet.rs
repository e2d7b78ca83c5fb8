//! Counting the documents that have each value of a field.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::fields::lookup::Lookup;
use super::matching::Matching;
use super::{Namespace, Scope};
use crate::document::FacetCount;
use crate::error::Result;
use crate::filter::Filter;
use crate::filter::extract::values_of;
use crate::filter::lookup::{Coverage, Postings};
use crate::filter::slots::SlotSet;
use crate::filter::term::{Kind, Term, kind_of, value_of};
use crate::id::{FieldId, Slot};
use crate::store::postings::{n_slots, n_slots_among};

impl Namespace {
    /// How many documents have each value of a metadata field, given by its path.
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
        Facet { namespace: self.clone(), field: field.into(), filter: Filter::everything(), limit: 100 }
    }
}

/// Values to be counted; made by [`Namespace::facet`].
#[must_use = "nothing is counted until `run`"]
#[derive(Debug, Clone)]
pub struct Facet {
    namespace: Namespace,
    field: String,
    filter: Filter,
    limit: usize,
}

impl Facet {
    /// Only documents that match. Default: all of the namespace.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Most values to return. Default: 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Counts: the values that most documents have come first, equally frequent ones in the order of values. A document
    /// counts once for each different element of an array. Equal numbers are one value however they are written; times are
    /// counted as they are spelled.
    ///
    /// # Errors
    /// `InvalidFilter` or `LimitExceeded` for the filter; otherwise as for every read.
    pub fn run(self) -> Result<Vec<FacetCount>> {
        self.filter.check()?;
        let mut scope = self.namespace.scope()?;
        let counts = count(&mut scope, &self.field, &self.filter)?;
        let mut counts: Vec<(Box<[u8]>, usize)> = counts.into_iter().filter(|(_, n)| *n > 0).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let values = counts.into_iter().filter_map(|(term, n)| Some((value_of(&term)?, n)));
        Ok(values.map(|(value, n_documents)| FacetCount { value, n_documents }).take(self.limit).collect())
    }
}

/// How many documents have each term.
type Counts = BTreeMap<Box<[u8]>, usize>;

fn count(scope: &mut Scope, path: &str, filter: &Filter) -> Result<Counts> {
    let matching = scope.settled(filter)?;
    let lookup = Lookup { live: &scope.live, view: &scope.view };
    let mut counts = Counts::new();
    let field = match lookup.coverage(path) {
        Coverage::Indexed(field) => field,
        Coverage::Absent | Coverage::Unindexed => {
            scope.each_of(&matching, |_, row| {
                count_values(&mut counts, values_of(&row.metadata, path));
                Ok(())
            })?;
            return Ok(counts);
        }
    };
    // Those with values that are not indexed are looked at themselves.
    let incomplete = &*lookup.term(field, &Term::incomplete())? | &*lookup.overflowing()?;
    let doubtful: Vec<Slot> =
        incomplete.iter().filter(|slot| matching.possible.bits().contains(*slot)).map(Slot).collect();
    for (_, row) in scope.live.fetch(&scope.view.snapshot, &scope.live.visible_of(&scope.view, doubtful))? {
        count_values(&mut counts, values_of(&row.metadata, path));
    }
    count_rows(&lookup, field, &matching, &incomplete, &mut counts)?;
    Ok(counts)
}

fn count_values(counts: &mut Counts, values: impl IntoIterator<Item = Term>) {
    values.into_iter().for_each(|term| *counts.entry(term.bytes().into()).or_default() += 1);
}

/// Counts the postings of a field, but for those slots that were counted before.
fn count_rows(
    lookup: &Lookup<'_>,
    field: FieldId,
    matching: &Matching,
    but: &RoaringBitmap,
    counts: &mut Counts,
) -> Result<()> {
    let is_everything = but.is_empty() && matching.possible.slots == SlotSet::all();
    let (bits, mut last) = (matching.possible.bits(), None::<(Box<[u8]>, usize)>);
    lookup.each_row(field, &[], |term, chunk, row| {
        if kind_of(term).is_none_or(|kind| kind <= Kind::Incomplete) {
            return Ok(ControlFlow::Continue(()));
        }
        let n = match is_everything {
            true => n_slots(row)?,
            false => n_slots_among(row, chunk, |slot| bits.contains(slot) && !but.contains(slot))?,
        };
        // Chunks of one term follow each other.
        match &mut last {
            Some((before, n_before)) if **before == *term => *n_before += n,
            _ => {
                let before = last.replace((term.into(), n));
                before.into_iter().for_each(|(term, n)| *counts.entry(term).or_default() += n);
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    last.into_iter().for_each(|(term, n)| *counts.entry(term).or_default() += n);
    Ok(())
}
