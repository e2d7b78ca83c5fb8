//! Grouping: hits in groups that have the same value in a metadata field.
//!
//! A grouped search finds the best hits, then the best outside the groups found so far, until there
//! are enough groups. Then it fills each group that has fewer than `per_group` hits. So no group is
//! missed because candidates were cut off too early.

use std::sync::Arc;

use super::hits::Answer;
use super::round::{Asked, Best, Round};
use crate::error::Result;
use crate::filter::extract::first_scalar;
use crate::filter::{Filter, field};
use crate::id::Slot;
use crate::limits::MAX_GROUPS;
use crate::params::GroupBy;
use crate::route::Route;
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
    answers: Vec<Answer>,
}

impl Round {
    /// The best `n` groups, at most `MAX_GROUPS`; the group with the best hit comes first.
    pub(super) fn grouped(&self, asked: &Asked, group_by: &GroupBy, n: usize) -> Result<Best> {
        let n_groups = n.min(MAX_GROUPS);
        let (mut groups, mut spent) = (Vec::<Group>::new(), Route::default());
        let n_most = self.moment.n_members().max(1);
        let mut n_found = n_groups.saturating_mul(group_by.per_group.min(PER_GROUP));
        let mut is_over = n_groups == 0;
        let mut first = true;
        while !is_over {
            let known = groups.iter().map(|group| Value::clone(&group.value));
            let others = field(&*group_by.field).exists(true).and(!field(&*group_by.field).is_in(known));
            let Best { mut answers, route, is_all } = self.within(others)?.boosted(asked, n_found.min(n_most))?;
            self.keep_good(&mut answers);
            spent = if first { route } else { route.with(spent) };
            first = false;
            let (n_before, n_answers) = (groups.len(), answers.len());
            self.sort_in(answers, group_by, n_groups, &mut groups)?;
            is_over =
                groups.len() >= n_groups || is_all || n_answers == 0 || (n_found >= n_most && groups.len() == n_before);
            if groups.len() == n_before {
                n_found = n_found.saturating_mul(MORE);
            }
        }
        let is_all = groups.len() < n;
        for group in &mut groups {
            // The filter also matches documents that have the value within an array; these are
            // dropped.
            let mut n_found = group_by.per_group;
            while group.answers.len() < group_by.per_group {
                let Best { mut answers, route, is_all } =
                    self.within(group.filter.clone())?.boosted(asked, n_found.min(n_most))?;
                spent = route.with(spent);
                let n_answers = answers.len();
                self.keep_good(&mut answers);
                let is_over = is_all || n_found >= n_most || answers.len() < n_answers;
                answers.retain(|answer| group.answers.iter().all(|known| known.slot != answer.slot));
                group.answers.extend(self.of_group(answers, group_by, &group.filter)?);
                self.order(&mut group.answers)?;
                group.answers.truncate(group_by.per_group);
                if is_over {
                    break;
                }
                n_found = n_found.saturating_mul(MORE);
            }
        }
        // No group is empty: each was made for an answer.
        self.order_by(&mut groups, |group| &group.answers[0])?;
        let shown = groups.into_iter().flat_map(|group| {
            let value = group.value;
            group.answers.into_iter().map(move |answer| Answer { group: Some(value.clone()), ..answer })
        });
        Ok(Best { answers: shown.collect(), route: spent, is_all })
    }

    /// Sorts answers into their groups, and adds groups up to `n_most`.
    fn sort_in(&self, answers: Vec<Answer>, group_by: &GroupBy, n_most: usize, groups: &mut Vec<Group>) -> Result<()> {
        let slots: Vec<Slot> = answers.iter().map(|answer| answer.slot).collect();
        for (answer, (_, row)) in answers.into_iter().zip(self.moment.fetch_unless(&self.stop, &slots)?) {
            let Some(value) = first_scalar(&row.metadata, &group_by.field) else { continue };
            match groups.iter().position(|group| group.filter.matches(&row.metadata)) {
                Some(at) if groups[at].answers.len() < group_by.per_group => groups[at].answers.push(answer),
                Some(_) => {}
                None if groups.len() < n_most => {
                    let filter = field(&*group_by.field).eq(value.clone());
                    groups.push(Group { value: Arc::new(value.clone()), filter, answers: vec![answer] });
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Keeps answers whose own value is the group's, and drops those with an array that holds it.
    fn of_group(&self, answers: Vec<Answer>, group_by: &GroupBy, filter: &Filter) -> Result<Vec<Answer>> {
        let slots: Vec<Slot> = answers.iter().map(|answer| answer.slot).collect();
        let rows = self.moment.fetch_unless(&self.stop, &slots)?;
        let is_own = |metadata: &Value| first_scalar(metadata, &group_by.field).is_some() && filter.matches(metadata);
        let pairs = answers.into_iter().zip(rows);
        Ok(pairs.filter(|(_, (_, row))| is_own(&row.metadata)).map(|(answer, _)| answer).collect())
    }
}
