//! Which documents may be hits: all of a namespace, or those that match a filter.

use crate::collection::Scope;
use crate::collection::matching::Matching;
use crate::error::Result;
use crate::id::Slot;
use crate::params::SearchParams;

/// What may be a hit.
pub(super) enum Field {
    /// Every document of the namespace, and those are all there are.
    All,
    /// Every document of the namespace, which has so many.
    Members(usize),
    /// These and no others; they exist at the commit that is looked at.
    Listed(Vec<Slot>),
    /// Those that match the filter, as far as postings tell.
    Matching(Matching),
}

/// Looks up where a search looks. Takes a lock only if there are other namespaces: then the view is looked up again under
/// it, so that members and view are of one commit.
pub(super) fn choose(scope: &mut Scope, params: &SearchParams, walks: impl Fn(&Scope, usize) -> bool) -> Result<Field> {
    let Some(namespace) = scope.namespace else { return Ok(Field::Listed(Vec::new())) };
    if !params.filter.is_everything() {
        return scope.matching(&params.filter).map(Field::Matching);
    }
    let live = scope.live.clone();
    if live.memory.slots.n_inhabited() <= 1 {
        return Ok(Field::All);
    }
    Ok(live.memory.with_members(namespace, |members| {
        scope.view = live.store.view();
        match walks(scope, members.len()) {
            true => Field::Members(members.len()),
            false => Field::Listed(members.to_vec()),
        }
    }))
}
