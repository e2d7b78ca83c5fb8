//! Pages: parts of an answer that follow each other, so that nothing stands on two of them.
//!
//! A search that finds what is nearest by a walk need not find for few hits what it finds for more. So the hits before
//! a page are found again as they were: those for `limit` hits, then for twice as many those that are not among them,
//! and so on. A cursor knows them instead, and leaves them out.

use std::collections::HashSet;

use super::hits::Answer;
use super::round::{Asked, Best, Round};
use crate::collection::query::Query;
use crate::document::Hit;
use crate::error::{Error, Result};
use crate::filter::extract::key_of;
use crate::limits::{MAX_GROUPS, MAX_PAGED};
use crate::paging::{Digest, Given, SearchCursor};
use crate::params::SearchParams;
use crate::route::{Route, Way};

/// How many times more is found for what comes after.
const MORE: usize = 2;

/// What tells a hit from others of the same commit, or a group.
type Key = u128;

/// The pages before one that is asked for.
pub(super) struct Pages {
    cursor: SearchCursor,
    /// What they gave and is still there.
    keys: HashSet<Key>,
}

impl Pages {
    /// The cursor after a page of these hits, or groups.
    pub(super) fn next(self, hits: &[Hit], keys: Vec<Key>) -> SearchCursor {
        let SearchCursor { digest, mut given } = self.cursor;
        match &mut given {
            Given::Hits(ids) => ids.extend(hits.iter().map(|hit| hit.id.clone())),
            Given::Groups(groups) => groups.extend(keys),
        }
        SearchCursor { digest, given }
    }
}

impl Answer {
    /// Whether both are of one group.
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

/// The hits of an answer each for itself, or its groups.
fn units(answers: &[Answer]) -> impl Iterator<Item = &[Answer]> {
    answers.chunk_by(Answer::is_with)
}

impl Round {
    /// The best `n` hits, or groups, in order, but for those that are too bad.
    fn seek(&self, asked: &Asked, n: usize) -> Result<Best> {
        match &self.params.group_by {
            Some(group_by) => self.grouped(asked, group_by, n),
            None => {
                let mut best = self.boosted(asked, n)?;
                self.keep_good(&mut best.answers);
                Ok(best)
            }
        }
    }

    /// The page that `offset` and `limit` say.
    pub(super) fn page(&self, asked: &Asked) -> Result<(Vec<Answer>, Route)> {
        let SearchParams { limit, offset, .. } = self.params;
        // Beyond the last there is nothing to be found.
        let limit = if offset >= self.moment.n_members() { 0 } else { limit };
        let slice = |Best { answers, route, .. }: Best| {
            let page = units(&answers).skip(offset).take(limit).flatten().cloned().collect();
            (page, route)
        };
        if limit == 0 || offset == 0 || self.is_nested(asked) {
            let n = if limit == 0 { 0 } else { self.params.n_hits() };
            return Ok(slice(self.seek(asked, n)?));
        }
        let end = offset.saturating_add(limit);
        let (mut keys, mut page, mut route, mut n) = (HashSet::new(), Vec::new(), Route::default(), limit);
        loop {
            let Best { answers, route: own, is_all } = self.seek(asked, n)?;
            let all_are_compared = own.way == Way::Exact && matches!(asked, Asked::Near(_));
            let may_be_cut = !is_all && answers.len() >= n && !own.gave_up;
            if n == limit && all_are_compared && may_be_cut && self.is_plain() {
                // Where all are compared, those for fewer hits are the first of those for more.
                let best = self.seek(asked, end)?;
                if best.route.way == Way::Exact && !best.route.gave_up {
                    let (page, route) = slice(best);
                    return Ok((page, route.with(own)));
                }
            }
            route = match route {
                _ if n == limit => own,
                // The hits are the nearest if they are so in all parts.
                Route { way, .. } if own.way == Way::Exact => Route { way, ..own.with(route) },
                _ => own.with(route),
            };
            // Those that are too bad are left out, and what comes after them is no better.
            let is_all = is_all || units(&answers).count() < n;
            for unit in units(&answers) {
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
        // What was found late may be nearer.
        self.order_by(&mut page, |unit| &unit[0])?;
        Ok((page.into_iter().flatten().collect(), route))
    }

    /// Whether what is found for fewer hits is the beginning of what is found for more.
    fn is_nested(&self, asked: &Asked) -> bool {
        let SearchParams { mmr, way, .. } = &self.params;
        self.is_plain()
            && match asked {
                Asked::Near(_) => mmr.is_some() || *way == Some(Way::Exact) || self.moment.index().is_none(),
                Asked::Words(_) => true,
                Asked::Both(..) => false,
            }
    }

    /// Whether hits are in the order in which they are found.
    fn is_plain(&self) -> bool {
        self.params.group_by.is_none() && self.params.boosts.is_empty()
    }

    /// Goes to the page after a cursor, or to the first.
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
            // What was deleted since is not found again, and its slot may have another document.
            Given::Hits(ids) => {
                self.moment.find_slots(ids)?.into_iter().flatten().map(|slot| Key::from(slot.0)).collect()
            }
        };
        Ok(Pages { cursor, keys })
    }

    /// The best that pages before have not given. What else it is to be known by for the next, if there is more.
    ///
    /// # Errors
    /// `LimitExceeded` if there is more, and a cursor cannot carry what was given with this page.
    pub(super) fn next_page(&self, asked: &Asked, pages: &Pages) -> Result<(Vec<Answer>, Route, Option<Vec<Key>>)> {
        // One more than fits: there is a next page.
        let n = self.params.limit.saturating_add(pages.keys.len()).saturating_add(1);
        let Best { answers, route, .. } = self.seek(asked, n)?;
        let mut others = units(&answers).filter(|unit| !pages.keys.contains(&unit[0].key()));
        let page: Vec<&[Answer]> = others.by_ref().take(self.params.limit).collect();
        let mut is_more = others.next().is_some();
        let n_groups = if self.params.group_by.is_some() { units(&answers).count() } else { 0 };
        if n > MAX_GROUPS && n_groups >= MAX_GROUPS {
            // More may be there, which are not looked for.
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
        Ok((page.concat(), route, keys))
    }

    /// What tells this search from others, but for how many hits are wanted and what they carry.
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
            way,
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
        let near = (min_score, max_distance, ef, way, oversampling, mmr);
        let others = (group_by, boosts, boosted_candidates, k1, b, fusion);
        digest.add(format!("{near:?} {others:?}").as_bytes());
        query.add_to(&mut digest);
        digest.finish()
    }
}
