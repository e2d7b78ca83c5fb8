//! Grouping: hits in groups that have the same value in a metadata field.
//!
//! A grouped search finds the best hits, then the best outside the groups found so far, until there
//! are enough groups. Then it fills each group that has fewer than `per_group` hits. So no group is
//! missed because candidates were cut off too early.

use std::sync::Arc;

use super::answer::ScoredHit;
use super::session::{PreparedQuery, SearchResults, Session};
use crate::error::Result;
use crate::filter::extract::first_scalar;
use crate::filter::{Filter, field};
use crate::id::Slot;
use crate::limits::MAX_GROUPS;
use crate::params::GroupBy;
use crate::route::SearchStats;
use crate::value::Value;

/// Candidates found at first for each group; `per_group` of them if that is less.
const PER_GROUP: usize = 4;
/// Factor by which the number of candidates grows while they show no new group or do not fill a
/// group.
const MORE: usize = 4;

/// Hits that have the same value.
struct Group {
    value: Arc<Value>,
    /// Matches the group's documents.
    filter: Filter,
    hits: Vec<ScoredHit>,
}

impl Session {
    /// The best `n` groups, at most `MAX_GROUPS`; the group with the best hit comes first.
    pub(super) fn grouped(&self, prepared: &PreparedQuery, group_by: &GroupBy, n: usize) -> Result<SearchResults> {
        let n_groups = n.min(MAX_GROUPS);
        let (mut groups, mut spent) = (Vec::<Group>::new(), SearchStats::default());
        let n_most = self.moment.n_members().max(1);
        let mut n_found = n_groups.saturating_mul(group_by.per_group.min(PER_GROUP));
        let mut is_over = n_groups == 0;
        let mut first = true;
        while !is_over {
            let known = groups.iter().map(|group| Value::clone(&group.value));
            let others = field(&*group_by.field).exists(true).and(!field(&*group_by.field).is_in(known));
            let SearchResults { mut hits, stats, is_all } =
                self.within(others)?.boosted(prepared, n_found.min(n_most))?;
            self.keep_good(&mut hits);
            spent = if first { stats } else { stats.with(spent) };
            first = false;
            let (n_before, n_hits) = (groups.len(), hits.len());
            self.sort_in(hits, group_by, n_groups, &mut groups)?;
            is_over =
                groups.len() >= n_groups || is_all || n_hits == 0 || (n_found >= n_most && groups.len() == n_before);
            if groups.len() == n_before {
                n_found = n_found.saturating_mul(MORE);
            }
        }
        let is_all = groups.len() < n;
        for group in &mut groups {
            // The filter also matches documents that have the value within an array; these are
            // dropped.
            let mut n_found = group_by.per_group;
            while group.hits.len() < group_by.per_group {
                let SearchResults { mut hits, stats, is_all } =
                    self.within(group.filter.clone())?.boosted(prepared, n_found.min(n_most))?;
                spent = stats.with(spent);
                let n_hits = hits.len();
                self.keep_good(&mut hits);
                let is_over = is_all || n_found >= n_most || hits.len() < n_hits;
                hits.retain(|hit| group.hits.iter().all(|known| known.slot != hit.slot));
                group.hits.extend(self.of_group(hits, group_by, &group.filter)?);
                self.order(&mut group.hits)?;
                group.hits.truncate(group_by.per_group);
                if is_over {
                    break;
                }
                n_found = n_found.saturating_mul(MORE);
            }
        }
        // No group is empty: each was made for an answer.
        self.order_by(&mut groups, |group| &group.hits[0])?;
        let shown = groups.into_iter().flat_map(|group| {
            let value = group.value;
            group.hits.into_iter().map(move |hit| ScoredHit { group: Some(value.clone()), ..hit })
        });
        Ok(SearchResults { hits: shown.collect(), stats: spent, is_all })
    }

    /// Sorts answers into their groups, and adds groups up to `n_most`.
    fn sort_in(&self, hits: Vec<ScoredHit>, group_by: &GroupBy, n_most: usize, groups: &mut Vec<Group>) -> Result<()> {
        let slots: Vec<Slot> = hits.iter().map(|hit| hit.slot).collect();
        for (hit, (_, row)) in hits.into_iter().zip(self.moment.fetch_unless(&self.stop, &slots)?) {
            let Some(value) = first_scalar(&row.metadata, &group_by.field) else { continue };
            match groups.iter().position(|group| group.filter.matches(&row.metadata)) {
                Some(at) if groups[at].hits.len() < group_by.per_group => groups[at].hits.push(hit),
                Some(_) => {}
                None if groups.len() < n_most => {
                    let filter = field(&*group_by.field).eq(value.clone());
                    groups.push(Group { value: Arc::new(value.clone()), filter, hits: vec![hit] });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Keeps answers whose own value is the group's, and drops those with an array that holds it.
    fn of_group(&self, hits: Vec<ScoredHit>, group_by: &GroupBy, filter: &Filter) -> Result<Vec<ScoredHit>> {
        let slots: Vec<Slot> = hits.iter().map(|hit| hit.slot).collect();
        let rows = self.moment.fetch_unless(&self.stop, &slots)?;
        let is_own = |metadata: &Value| first_scalar(metadata, &group_by.field).is_some() && filter.matches(metadata);
        let pairs = hits.into_iter().zip(rows);
        Ok(pairs.filter(|(_, (_, row))| is_own(&row.metadata)).map(|(hit, _)| hit).collect())
    }
}
