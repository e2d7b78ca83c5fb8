//! Sharing work between threads while a lock may be held.
//!
//! Not by rayon: a rayon thread that waits for its part takes up other work meanwhile, and if that work is another
//! write it waits for the lock that its own thread holds, for ever.

use std::thread;

/// From so many items on, a thread is worth its start.
const WORTH_SHARING: usize = 64;
/// More threads than this wait for memory rather than compute.
const MOST_THREADS: usize = 4;

/// Maps every item, in order, on several threads if there are many items.
pub(crate) fn map<T: Send, U: Send>(items: Vec<T>, f: impl Fn(T) -> U + Sync) -> Vec<U> {
    let n_threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let n_parts = n_threads.min(items.len() / WORTH_SHARING);
    if n_parts < 2 {
        return items.into_iter().map(f).collect();
    }
    let n_items = items.len();
    let mut items = items.into_iter();
    let mut parts: Vec<Vec<T>> =
        (0..n_parts).map(|_| items.by_ref().take(n_items.div_ceil(n_parts)).collect()).collect();
    let f = &f;
    thread::scope(|scope| {
        // The last part is for this thread.
        let own = parts.pop().unwrap_or_default();
        let others: Vec<_> =
            parts.into_iter().map(|part| scope.spawn(move || part.into_iter().map(f).collect::<Vec<U>>())).collect();
        let own: Vec<U> = own.into_iter().map(f).collect();
        let others = others.into_iter().flat_map(|thread| match thread.join() {
            Ok(mapped) => mapped,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        others.chain(own).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_number_are_kept() {
        for n_items in [0, 1, 63, 64, 127, 128, 129, 1_000, 1_001, 9_999] {
            let items: Vec<usize> = (0..n_items).collect();
            let expected: Vec<usize> = items.iter().map(|item| item * 2).collect();
            assert_eq!(map(items, |item| item * 2), expected, "{n_items}");
        }
    }
}
