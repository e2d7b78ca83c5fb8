//! What postings tell of a filter, held against a naive evaluator.

use serde_json::Value as Json;

use crate::filter::Filter;
use crate::value::Value;

#[path = "../../src/filter/tests/memory.rs"]
mod memory;
#[path = "../../src/filter/tests/naive.rs"]
mod naive;

/// Reads a filter in the first line and documents in the others, and looks the filter up in an index of them. If the first
/// line begins with a number, so many of the paths that the documents have are not indexed.
pub fn check(input: &str) {
    let mut lines = input.lines();
    let first = lines.next().unwrap_or_default();
    let (n_unindexed, text) = match first.split_at_checked(1).map(|(digit, rest)| (digit.parse::<usize>(), rest)) {
        Some((Ok(n), rest)) => (n, rest),
        _ => (0, first),
    };
    let Ok(filter) = text.parse::<Filter>() else { return };
    let canonical = filter.to_json();
    let again = Filter::from_json(&canonical).expect("a filter reads what it wrote");
    assert_eq!(again.to_json(), canonical, "{text}");
    let read = |line: &str| serde_json::from_str::<Json>(line).ok().filter(Json::is_object);
    let documents: Vec<(Json, Value)> = lines
        .take(64)
        .filter_map(read)
        .map(|json| (json.clone(), Value::from(json)))
        .filter(|(_, value)| value.check_metadata().is_ok())
        .collect();
    let paths = documents.iter().flat_map(|(json, _)| json.as_object().into_iter().flatten());
    let unindexed = paths.map(|(path, _)| path.clone()).take(n_unindexed).collect();
    let values: Vec<Value> = documents.iter().map(|(_, value)| value.clone()).collect();
    let index = memory::Index::new(&values, unindexed);
    let bounds = filter.bounds(&index).expect("postings in memory can be read");
    for ((json, value), slot) in documents.iter().zip(0..) {
        let expected = naive::matches(&canonical, json);
        assert_eq!(filter.matches(value), expected, "{text} on {json}");
        assert_eq!(again.matches(value), expected, "{text}, written and read, on {json}");
        assert!(expected || !bounds.sure.contains(slot), "{text} is said to match {json}");
        // Postings do not tell of words.
        let is_possible = bounds.possible().contains(slot);
        assert!(!expected || is_possible, "{text} is said not to match {json}");
    }
}
