//! Runs a model in each order in which its threads can meet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Runs a model in each order, with a bounded number of preemptions (switches that no thread asked
/// for). Returns all results, so that a model can show that it meets its subject.
///
/// The checker begins with the order in which the main thread runs until it waits. It looks for
/// accesses that may change places by the last access of each word alone. So writers run in the
/// main thread, and readers start later. Otherwise a writer's look at the lock hides the reader's
/// from the checker.
pub(crate) fn check<T: Ord + Send + 'static>(model: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let met = outcomes.clone();
    builder.check(move || _ = met.lock().unwrap().insert(model()));
    std::mem::take(&mut outcomes.lock().unwrap())
}
