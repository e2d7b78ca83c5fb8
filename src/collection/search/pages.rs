//! Pages: parts of an answer that follow each other, with no hit on two of them.
//!
//! A graph walk for few hits need not find what a walk for more hits finds. So a search finds the
//! hits before a page again as they were: first `limit` hits, then those that a search for twice as
//! many adds, and so on. A cursor names the earlier hits instead, and the search leaves them out.

use std::collections::HashSet;

use super::answer::ScoredHit;
use super::query::Query;
use super::session::{PreparedQuery, SearchResults, Session};
use crate::error::{Error, Result};
use crate::filter::extract::key_of;
use crate::hit::Hit;
use crate::limits::{MAX_GROUPS, MAX_PAGED};
use crate::paging::{Digest, Given, SearchCursor};
use crate::params::SearchParams;
use crate::route::{SearchStats, Strategy};

/// Factor by which the number of hits grows from one search of a page to the next.
const MORE: usize = 2;

/// Identifies a hit among those of one commit by its slot, or a group by a digest of its value.
type Key = u128;

/// The pages that come before the one asked for.
pub(super) struct Pages {
    cursor: SearchCursor,
    /// The keys of what these pages gave, except hits deleted since.
    keys: HashSet<Key>,
}

impl Pages {
    /// The cursor that continues after a page of `hits`, or of the groups with `keys`.
    pub(super) fn next(self, hits: &[Hit], keys: Vec<Key>) -> SearchCursor {
        let SearchCursor { digest, mut given } = self.cursor;
        match &mut given {
            Given::Hits(ids) => ids.extend(hits.iter().map(|hit| hit.id.clone())),
            Given::Groups(groups) => groups.extend(keys),
        }
        SearchCursor { digest, given }
    }
}

impl ScoredHit {
    /// Whether both answers are in one group.
    fn is_with(&self, other: &Self) -> bool {
        self.group.is_some() && self.group == other.group
    }

    fn key(&self) -> Key {
        let Some(value) = &self.group else { return Key::from(self.slot.0) };
        let mut digest = Digest::new();
        digest.add(&key_of(value).unwrap_or_default());
        digest.finish()
    }
}

/// Each hit of an answer by itself, or each of its groups.
fn units(hits: &[ScoredHit]) -> impl Iterator<Item = &[ScoredHit]> {
    hits.chunk_by(ScoredHit::is_with)
}

impl Session {
    /// The best `n` hits or groups in order, without those below `min_score`.
    fn find_best(&self, prepared: &PreparedQuery, n: usize) -> Result<SearchResults> {
        match &self.params.group_by {
            Some(group_by) => self.grouped(prepared, group_by, n),
            None => {
                let mut best = self.boosted(prepared, n)?;
                self.keep_good(&mut best.hits);
                Ok(best)
            }
        }
    }

    /// The page of `limit` hits or groups after the first `offset`.
    pub(super) fn page(&self, prepared: &PreparedQuery) -> Result<(Vec<ScoredHit>, SearchStats)> {
        let SearchParams { limit, offset, .. } = self.params;
        // An offset past the last document leaves nothing to find.
        let limit = if offset >= self.moment.n_members() { 0 } else { limit };
        let slice = |SearchResults { hits, stats, .. }: SearchResults| {
            let page = units(&hits).skip(offset).take(limit).flatten().cloned().collect();
            (page, stats)
        };
        if limit == 0 || offset == 0 || self.is_nested(prepared) {
            let n = if limit == 0 { 0 } else { self.params.n_hits() };
            return Ok(slice(self.find_best(prepared, n)?));
        }
        let end = offset.saturating_add(limit);
        let (mut keys, mut page, mut stats, mut n) = (HashSet::new(), Vec::new(), SearchStats::default(), limit);
        loop {
            let SearchResults { hits, stats: own, is_all } = self.find_best(prepared, n)?;
            let all_are_compared = own.strategy == Strategy::Exact && matches!(prepared, PreparedQuery::Near(_));
            let may_be_cut = !is_all && hits.len() >= n && !own.gave_up;
            if n == limit && all_are_compared && may_be_cut && self.is_plain() {
                // If all vectors are compared, the hits for a smaller `n` are the first for a
                // larger `n`.
                let best = self.find_best(prepared, end)?;
                if best.stats.strategy == Strategy::Exact && !best.stats.gave_up {
                    let (page, stats) = slice(best);
                    return Ok((page, stats.with(own)));
                }
            }
            stats = match stats {
                _ if n == limit => own,
                // The way is `Exact` only if every part was.
                SearchStats { strategy, .. } if own.strategy == Strategy::Exact => {
                    SearchStats { strategy, ..own.with(stats) }
                }
                _ => own.with(stats),
            };
            // Bounds such as `min_score` left fewer than `n`; later hits are no better.
            let is_all = is_all || units(&hits).count() < n;
            for unit in units(&hits) {
                if (keys.len() >= n && !is_all) || keys.len() >= end {
                    break;
                }
                let place = keys.len();
                if keys.insert(unit[0].key()) && place >= offset {
                    page.push(unit.to_vec());
                }
            }
            if is_all || keys.len() >= end {
                break;
            }
            n = n.saturating_mul(MORE);
        }
        // A hit that was found late may be nearer than others.
        self.order_by(&mut page, |unit| &unit[0])?;
        Ok((page.into_iter().flatten().collect(), stats))
    }

    /// Whether the hits found for a smaller `n` are the first of those found for a larger `n`.
    fn is_nested(&self, prepared: &PreparedQuery) -> bool {
        let SearchParams { mmr, strategy, .. } = &self.params;
        self.is_plain()
            && match prepared {
                PreparedQuery::Near(_) => {
                    mmr.is_some() || *strategy == Some(Strategy::Exact) || self.moment.index().is_exhaustive()
                }
                PreparedQuery::Words(_) => true,
                PreparedQuery::Both(..) => false,
            }
    }

    /// Whether hits stay in the order in which they are found: no groups, no boosts.
    fn is_plain(&self) -> bool {
        self.params.group_by.is_none() && self.params.boosts.is_empty()
    }

    /// Begins the page after the cursor `after`, or the first page without one.
    pub(super) fn turn_to(&self, query: &Query, after: Option<SearchCursor>) -> Result<Pages> {
        if self.params.offset > 0 {
            let reason = format!("expected 0 beside `after`, which says where to go on, got {}", self.params.offset);
            return Err(Error::InvalidConfig { field: "offset", reason });
        }
        let digest = self.digest(query);
        let none = || match self.params.group_by.is_some() {
            true => Given::Groups(Vec::new()),
            false => Given::Hits(Vec::new()),
        };
        let cursor = after.unwrap_or_else(|| SearchCursor { digest, given: none() });
        if cursor.digest != digest {
            let reason =
                "expected a cursor of this search, got one of another query, other parameters or another namespace";
            return Err(Error::InvalidConfig { field: "after", reason: reason.into() });
        }
        let keys = match &cursor.given {
            Given::Groups(groups) => groups.iter().copied().collect(),
            // A document deleted since is not found again, and its slot may hold another one.
            Given::Hits(ids) => {
                self.moment.find_slots(ids)?.into_iter().flatten().map(|slot| Key::from(slot.0)).collect()
            }
        };
        Ok(Pages { cursor, keys })
    }

    /// The best hits or groups that `pages` have not given. If there are more, also the keys of
    /// these, for the next cursor.
    ///
    /// # Errors
    /// `LimitExceeded` if there are more, and a cursor cannot hold what the pages up to this one
    /// gave.
    pub(super) fn next_page(
        &self,
        prepared: &PreparedQuery,
        pages: &Pages,
    ) -> Result<(Vec<ScoredHit>, SearchStats, Option<Vec<Key>>)> {
        // One more than fits shows whether there is a next page.
        let n = self.params.limit.saturating_add(pages.keys.len()).saturating_add(1);
        let SearchResults { hits, stats, .. } = self.find_best(prepared, n)?;
        let mut others = units(&hits).filter(|unit| !pages.keys.contains(&unit[0].key()));
        let page: Vec<&[ScoredHit]> = others.by_ref().take(self.params.limit).collect();
        let mut is_more = others.next().is_some();
        let n_groups = if self.params.group_by.is_some() { units(&hits).count() } else { 0 };
        if n > MAX_GROUPS && n_groups >= MAX_GROUPS {
            // There may be more groups than `MAX_GROUPS`, which no search looks for.
            is_more = true;
        }
        if is_more && page.len() < self.params.limit {
            return Err(Error::LimitExceeded {
                what: "groups given by the pages of a search",
                limit: MAX_GROUPS,
                got: n,
            });
        }
        let got = pages.cursor.n_given() + page.len();
        if is_more && got > MAX_PAGED {
            return Err(Error::LimitExceeded { what: "hits given by the pages of a search", limit: MAX_PAGED, got });
        }
        let keys = is_more.then(|| page.iter().map(|unit| unit[0].key()).collect());
        Ok((page.concat(), stats, keys))
    }

    /// A digest that tells this search from others, except for how many hits it returns and what
    /// they carry.
    fn digest(&self, query: &Query) -> u128 {
        let SearchParams {
            limit: _,
            offset: _,
            filter,
            min_score,
            max_distance,
            with_vector: _,
            fields: _,
            with_document: _,
            ef,
            strategy,
            oversampling,
            explain: _,
            mmr,
            group_by,
            boosts,
            boosted_candidates,
            k1,
            b,
            fusion,
        } = &self.params;
        let (number, created_at_ms) = self.moment.origin();
        let mut digest = Digest::new();
        digest.add(&number.to_le_bytes());
        digest.add(&created_at_ms.to_le_bytes());
        digest.add(self.place.namespace().as_bytes());
        digest.add(filter.to_json().to_string().as_bytes());
        let near = (min_score, max_distance, ef, strategy, oversampling, mmr);
        let others = (group_by, boosts, boosted_candidates, k1, b, fusion);
        digest.add(format!("{near:?} {others:?}").as_bytes());
        query.add_to(&mut digest);
        digest.finish()
    }
}
