//! Running a model in every order in which its threads can meet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Runs a model in every order, with at most so many switches that no thread asked for. Returns all that came out of
/// it, so that a model can show that it meets what it is about.
///
/// The checker begins with the order in which the main thread goes on until it waits, and looks for accesses that may
/// change places by the last access of each word alone. So writers are in the main thread, and readers come later:
/// otherwise a writer's look at the lock hides the reader's from the checker.
pub(crate) fn check<T: Ord + Send + 'static>(model: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T> {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    let outcomes = Arc::new(Mutex::new(BTreeSet::new()));
    let met = outcomes.clone();
    builder.check(move || _ = met.lock().unwrap().insert(model()));
    std::mem::take(&mut outcomes.lock().unwrap())
}
