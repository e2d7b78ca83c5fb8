//! Evaluates filters on postings instead of documents: which slots match.
//!
//! Owns which postings a test needs and what they tell. Postings cannot decide some tests: on the
//! middle of a string, or on values too long to be indexed. [`Bounds`] keep the slots in doubt as
//! possible matches. Knows neither where postings come from nor how the answer is used.

use std::ops::Bound as Limit;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::compare::Scalar;
use super::slots::{Bounds, SlotSet};
use super::term::{Term, TermKind, TermRange};
use super::tree::{Bound, Check, Connective, FilterNode, Test, subtrees};
use crate::error::Result;
use crate::id::FieldId;

/// Parts of a disjunction that are united at once.
const AT_ONCE: usize = 64;

/// How an index covers a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// The path has postings of all documents; those with unindexed values are marked.
    Indexed(FieldId),
    /// No indexed document has the path.
    Absent,
    /// The path has no postings, or not of all documents.
    Unindexed,
}

/// An index at one commit.
pub(crate) trait Postings {
    fn coverage(&self, path: &str) -> Coverage;

    /// The slots of a field's term.
    fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>>;

    /// The slots of all of a field's terms in a range.
    fn range(&self, field: FieldId, range: &TermRange) -> Result<Arc<RoaringBitmap>>;

    /// The slots whose documents have everything that a text query asks for.
    fn text(&self, text: &str) -> Result<Bounds>;

    /// The slots of documents that have more terms than are indexed.
    fn overflowing(&self) -> Result<Arc<RoaringBitmap>>;
}

/// The slots that match the tree with these nodes.
pub(super) fn bounds(nodes: &[FilterNode], index: &dyn Postings) -> Result<Bounds> {
    let Some((root, below)) = nodes.split_first() else { return Ok(Bounds::exactly(SlotSet::none())) };
    match root {
        FilterNode::Test(test) => {
            let bounds = test_bounds(test, index)?;
            Ok(if test.negated { bounds.complement() } else { bounds })
        }
        FilterNode::Join { rule: Connective::All, .. } => {
            subtrees(below).try_fold(Bounds::exactly(SlotSet::all()), |all, subtree| {
                // No further condition can add to an empty set.
                if all.possible().is_none() { Ok(all) } else { Ok(all.and(bounds(subtree, index)?)) }
            })
        }
        FilterNode::Join { rule: Connective::Any, .. } => {
            let mut any = Vec::new();
            for subtree in subtrees(below) {
                if any.len() == AT_ONCE {
                    any = vec![Bounds::any(&any)];
                }
                any.push(bounds(subtree, index)?);
            }
            Ok(Bounds::any(&any))
        }
        FilterNode::Join { rule: Connective::Not, .. } => Ok(bounds(below, index)?.complement()),
    }
}

fn test_bounds(test: &Test, index: &dyn Postings) -> Result<Bounds> {
    if let Check::Text(text) = &test.check {
        return index.text(text);
    }
    let field = match index.coverage(&test.path) {
        Coverage::Unindexed => return Ok(Bounds::at_most(SlotSet::all())),
        Coverage::Absent => return Ok(Bounds::at_most(SlotSet::Only(index.overflowing()?))),
        Coverage::Indexed(id) => IndexedField { index, id },
    };
    let bounds = field.check(&test.check)?;
    let incomplete = field.term(&Term::incomplete())?.or(SlotSet::Only(index.overflowing()?));
    Ok(match test.check {
        // The existence of a field is indexed even where its values are not.
        Check::Exists => bounds.or_perhaps(SlotSet::Only(index.overflowing()?)),
        _ => bounds.or_perhaps(incomplete),
    })
}

/// A field that has postings.
struct IndexedField<'i> {
    index: &'i dyn Postings,
    id: FieldId,
}

impl IndexedField<'_> {
    fn check(&self, check: &Check) -> Result<Bounds> {
        Ok(match check {
            Check::Exists => Bounds::exactly(self.term(&Term::exists())?),
            Check::Equal(scalar) => Bounds::exactly(self.equal(scalar)?),
            Check::In(set) => {
                let each = set.values().iter().map(|scalar| self.equal(scalar)).collect::<Result<Vec<_>>>()?;
                Bounds::exactly(SlotSet::any(each))
            }
            Check::All(set) => {
                let mut all = self.term(&Term::exists())?;
                for scalar in set.values() {
                    all = all.and(self.equal(scalar)?);
                }
                Bounds::exactly(all)
            }
            Check::Order(bound, limit) => {
                let (low, high) = match bound {
                    Bound::Gt => (Limit::Excluded(limit), Limit::Unbounded),
                    Bound::Gte => (Limit::Included(limit), Limit::Unbounded),
                    Bound::Lt => (Limit::Unbounded, Limit::Excluded(limit)),
                    Bound::Lte => (Limit::Unbounded, Limit::Included(limit)),
                };
                self.between(low, high)?
            }
            Check::Between(low, high) => self.between(Limit::Included(low), Limit::Included(high))?,
            Check::Prefix(prefix) => self.prefix(prefix)?,
            Check::Contains(part) => match part.text() {
                // A string matches if it contains the part, an array's element only if it equals
                // the part.
                Some(_) => Bounds::at_most(self.strings()?),
                // A scalar that is no string matches only as an element of an array.
                None => Bounds::at_most(self.equal(part)?),
            },
            Check::Text(text) => self.index.text(text)?,
        })
    }

    fn between(&self, low: Limit<&Scalar<'_>>, high: Limit<&Scalar<'_>>) -> Result<Bounds> {
        let limits = [low, high].into_iter().filter_map(|limit| match limit {
            Limit::Included(scalar) | Limit::Excluded(scalar) => Some(scalar),
            Limit::Unbounded => None,
        });
        let kinds: Vec<TermKind> = limits.map(kind_of).collect();
        if kinds.iter().all(|kind| *kind == TermKind::Number) {
            return Ok(Bounds::exactly(self.range(&TermRange::between(TermKind::Number, low, high))?));
        }
        if kinds.contains(&TermKind::Number) {
            // No value is comparable to both a number and a string.
            return Ok(Bounds::exactly(SlotSet::none()));
        }
        let texts = Bounds::exactly(self.range(&TermRange::between(TermKind::Text, low, high))?);
        let times = match kinds.contains(&TermKind::Text) {
            // Times then compare by their spelling, and postings do not order them so.
            true => Bounds::at_most(self.range(&TermRange::all(TermKind::Time))?),
            false => Bounds::exactly(self.range(&TermRange::between(TermKind::Time, low, high))?),
        };
        Ok(texts.or(times))
    }

    fn prefix(&self, prefix: &str) -> Result<Bounds> {
        let texts = Bounds::exactly(self.range(&TermRange::prefix(prefix))?);
        match prefix.bytes().next() {
            None => Ok(Bounds::exactly(self.strings()?)),
            // A time begins with its year, so its spelling may have the prefix.
            Some(first) if first.is_ascii_digit() => {
                Ok(texts.or(Bounds::at_most(self.range(&TermRange::all(TermKind::Time))?)))
            }
            Some(_) => Ok(texts),
        }
    }

    /// The documents that have a string in the field.
    fn strings(&self) -> Result<SlotSet> {
        Ok(self.range(&TermRange::all(TermKind::Text))?.or(self.range(&TermRange::all(TermKind::Time))?))
    }

    fn equal(&self, scalar: &Scalar<'_>) -> Result<SlotSet> {
        match scalar {
            // A time is found in any spelling.
            Scalar::Time(..) => {
                self.range(&TermRange::between(TermKind::Time, Limit::Included(scalar), Limit::Included(scalar)))
            }
            _ => Term::of(scalar).map_or_else(|| Ok(SlotSet::none()), |term| self.term(&term)),
        }
    }

    fn term(&self, term: &Term) -> Result<SlotSet> {
        self.index.term(self.id, term).map(SlotSet::Only)
    }

    fn range(&self, range: &TermRange) -> Result<SlotSet> {
        self.index.range(self.id, range).map(SlotSet::Only)
    }
}

fn kind_of(scalar: &Scalar<'_>) -> TermKind {
    match scalar {
        Scalar::Null => TermKind::Null,
        Scalar::Bool(_) => TermKind::Bool,
        Scalar::Integer(_) | Scalar::Float(_) => TermKind::Number,
        Scalar::Text(_) => TermKind::Text,
        Scalar::Time(..) => TermKind::Time,
    }
}
