//! Full-text search: the best documents by words (BM25), under the same filter as by vectors.
//!
//! Postings cannot decide some filters and phrases. Such documents are read, but only those that
//! would be among the best.

use super::answer::ScoredHit;
use super::scope::SearchScope;
use super::session::{SearchResults, Session};
use crate::collection::fulltext::lookup::QueryLists;
use crate::collection::matching::Matching;
use crate::error::{Error, Result};
use crate::id::Slot;
use crate::limits::MAX_TEXT_QUERY_BYTES;
use crate::route::{SearchStats, Strategy};
use crate::text::query::Parsed;
use crate::text::rank::{Bm25, Ranking, Scored};

/// Candidates are scored one by one if `FEW_SHARE` times their number is less than the number of
/// postings of the query's words.
const FEW_SHARE: usize = 16;
/// Most candidates of a filter that are scored one by one.
const MOST_FEW: u64 = 16_384;

/// The best documents by words, in order.
pub(super) struct ByWords {
    pub(super) ranking: Ranking,
    pub(super) best: Vec<Scored>,
    /// Documents that were scored.
    pub(super) n_scored: usize,
    /// Documents that were read, for the filter or for phrases.
    pub(super) n_checked: usize,
}

impl Session {
    /// Parses a query in words.
    pub(super) fn parse(&self, text: &str) -> Result<Parsed> {
        let (what, limit, got) = ("query in words, in bytes", MAX_TEXT_QUERY_BYTES, text.len());
        match got > limit {
            true => Err(Error::LimitExceeded { what, limit, got }),
            false => Ok(Parsed::new(&self.moment.words().analysis, text)),
        }
    }

    /// The best `n` answers by words alone.
    pub(super) fn best_by_words(&self, parsed: &Parsed, n: usize) -> Result<SearchResults> {
        if self.params.mmr.is_some() {
            self.refuse_with_words("mmr")?;
        }
        if self.params.max_distance.is_some() {
            self.refuse_with_words("max_distance")?;
        }
        let ByWords { best, n_scored, n_checked, .. } = self.find_by_words(parsed, n, &[])?;
        let hit = |Scored { slot, score }: Scored| {
            let (score, distance) = (score as f32, f32::INFINITY);
            ScoredHit { slot: Slot(slot), score, distance, parts: None, group: None }
        };
        let is_all = best.len() < n;
        let hits = best.into_iter().map(hit).collect();
        let n_matching = self.matching().map(|matching| matching.possible.n());
        let stats = SearchStats {
            strategy: Strategy::Words,
            n_visited: n_scored,
            n_checked,
            n_matching,
            ..SearchStats::default()
        };
        Ok(SearchResults { hits, stats, is_all })
    }

    /// The best `n` documents by words, without the `excluded` slots, which are in order.
    pub(super) fn find_by_words(&self, parsed: &Parsed, n: usize, excluded: &[Slot]) -> Result<ByWords> {
        let (moment, words) = (&self.moment, self.moment.words());
        let QueryLists { lists, totals, required } = moment.ask(parsed, &self.stop)?;
        let bm25 = Bm25 { k1: self.params.k1.into(), b: self.params.b.into() };
        let ranking = Ranking::new(lists, totals, bm25);
        let (matching, mut n_checked, has_long_phrases) = (self.matching(), 0, parsed.has_long_phrases());
        let may_be = |slot: u32| {
            moment.has(Slot(slot))
                && excluded.binary_search(&Slot(slot)).is_err()
                && required.as_ref().is_none_or(|required| required.contains(slot))
                && matching.is_none_or(|matching| matching.possible.bits().contains(slot))
        };
        let mut admits = |Scored { slot, .. }: Scored| -> Result<bool> {
            self.stop.check()?;
            let slot = Slot(slot);
            let is_doubtful = matching.is_some_and(|matching| !matching.is_sure_of(slot));
            if !is_doubtful && !has_long_phrases {
                return Ok(true);
            }
            n_checked += 1;
            let rows = self.moment.fetch(&[slot])?;
            let is_hit = |row| {
                let matches = !is_doubtful || words.match_filter(&self.params.filter, row);
                matches && (!has_long_phrases || parsed.has_phrases_in(&words.tokens(row)))
            };
            Ok(rows.iter().all(|(_, row)| is_hit(row)))
        };
        let n = n.min(moment.n_members());
        let few = self.few().filter(|few| few.len().saturating_mul(FEW_SHARE) < ranking.n_postings());
        let top = match few {
            Some(few) => ranking.best_of(&few, n, may_be, &mut admits)?,
            None => ranking.best(n, may_be, &mut admits, &self.stop)?,
        };
        let n_scored = top.n_scored;
        let sort = |tied: &mut [Scored]| self.sort_by_ids(tied, |scored| Slot(scored.slot));
        let best = top.in_order(sort, &mut admits)?;
        Ok(ByWords { ranking, best, n_scored, n_checked })
    }

    /// The slots that may be hits, if they are listed and few.
    fn few(&self) -> Option<Vec<u32>> {
        match &self.scope {
            SearchScope::Listed => Some(self.moment.members()?.iter().map(|slot| slot.0).collect()),
            SearchScope::Matching(_) => {
                let slots = self.matching().and_then(|matching| matching.possible.listed())?;
                (slots.len() <= MOST_FEW).then(|| slots.iter().collect())
            }
            SearchScope::All => None,
        }
    }

    /// The definite and possible matches of the filter; `None` without one.
    pub(super) fn matching(&self) -> Option<&Matching> {
        match &self.scope {
            SearchScope::Matching(matching) => Some(self.settled.get().unwrap_or(matching)),
            SearchScope::All | SearchScope::Listed => None,
        }
    }
}
