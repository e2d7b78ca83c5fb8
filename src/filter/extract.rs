//! Extracts what an index keeps of a document's metadata: every path that a filter can name, with
//! the values that the path reaches.
//!
//! The values come from [`eval`](super::eval), so that an index and a filter never mean different
//! things. Knows nothing of how fields are numbered or postings stored.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::instant;
use super::eval::{PathValues, elements};
use super::term::{Term, order_of};
use crate::limits::MAX_PATH_BYTES;
use crate::value::Value;

/// Most terms of one document that are indexed. Searches read a document with more.
pub(crate) const MAX_TERMS: usize = 1_024;

/// The terms of each path of a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) by_path: BTreeMap<Box<str>, BTreeSet<Term>>,
    /// Whether the document has too many terms; then none are kept.
    pub(crate) overflows: bool,
}

/// The terms of metadata, for the wanted paths; none if they are more than [`MAX_TERMS`].
pub(crate) fn terms_of(metadata: &Value, wants: impl Fn(&str) -> bool) -> Terms {
    terms_up_to(MAX_TERMS, metadata, wants)
}

/// As [`terms_of`], however many terms there are.
pub(crate) fn all_terms_of(metadata: &Value, wants: impl Fn(&str) -> bool) -> Terms {
    terms_up_to(usize::MAX, metadata, wants)
}

fn terms_up_to(most: usize, metadata: &Value, wants: impl Fn(&str) -> bool) -> Terms {
    let mut paths = BTreeSet::new();
    collect_paths(metadata, None, &mut paths);
    let (mut terms, mut n_terms) = (Terms::default(), 0);
    for path in paths.into_iter().filter(|path| wants(path)) {
        let mut own = BTreeSet::new();
        let mut n_found = 0;
        for value in PathValues::new(metadata, &path) {
            n_found += 1;
            for element in elements(value) {
                if element.as_array().is_none() && element.as_object().is_none() {
                    own.insert(Term::of_value(element).unwrap_or_else(Term::incomplete));
                }
            }
        }
        if n_found > 0 {
            own.insert(Term::exists());
        }
        n_terms += own.len();
        if n_terms > most {
            return Terms { by_path: BTreeMap::new(), overflows: true };
        }
        if !own.is_empty() {
            terms.by_path.insert(path.into(), own);
        }
    }
    terms
}

/// The different values of one path, of any length.
pub(crate) fn values_of(metadata: &Value, path: &str) -> BTreeSet<Term> {
    PathValues::new(metadata, path).flat_map(elements).filter_map(Term::of_long_value).collect()
}

/// The strings of one path, those of arrays in their order.
pub(crate) fn strings_of<'m>(metadata: &'m Value, path: &'m str) -> impl Iterator<Item = &'m str> {
    PathValues::new(metadata, path).flat_map(elements).filter_map(Value::as_str)
}

/// The first number that a path leads to.
pub(crate) fn first_number(metadata: &Value, path: &str) -> Option<f64> {
    PathValues::new(metadata, path).flat_map(elements).find_map(Value::as_f64)
}

/// The first time that a path leads to, in nanoseconds since 1970.
pub(crate) fn first_instant(metadata: &Value, path: &str) -> Option<i128> {
    strings_of(metadata, path).find_map(instant)
}

/// The first value that a path leads to, unless it is an array or an object.
pub(crate) fn first_scalar<'m>(metadata: &'m Value, path: &'m str) -> Option<&'m Value> {
    let value = PathValues::new(metadata, path).next()?;
    (value.as_array().is_none() && value.as_object().is_none()).then_some(value)
}

/// Bytes that are equal for two scalars if a filter calls these equal; `None` for arrays and
/// objects.
pub(crate) fn key_of(value: &Value) -> Option<Box<[u8]>> {
    Term::of_long_value(value).and_then(|term| order_of(term.bytes()).map(Into::into))
}

/// Collects every spelling of a path below an object. Some may lead elsewhere, where keys contain
/// dots, or nowhere.
fn collect_paths(value: &Value, above: Option<&str>, paths: &mut BTreeSet<String>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        let path = above.map_or_else(|| key.clone(), |above| format!("{above}.{key}"));
        // No filter can name a longer path, nor one below it.
        if path.len() > MAX_PATH_BYTES {
            continue;
        }
        collect_paths(inner, Some(&path), paths);
        inner.as_array().into_iter().flatten().for_each(|item| collect_paths(item, Some(&path), paths));
        if !path.is_empty() {
            paths.insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spelled(json: serde_json::Value) -> Vec<(String, usize)> {
        let terms = terms_of(&Value::from(json), |_| true);
        terms.by_path.into_iter().map(|(path, terms)| (path.into(), terms.len())).collect()
    }

    #[test]
    fn every_path_that_leads_somewhere_is_kept() {
        let metadata =
            json!({"a": {"b": [1, 2, 2.0], "c": {}}, "d": [{"e": null}, {"e": [[3]]}], "f.g": 1, "f": {"g": 2}});
        let expected = [("a", 1), ("a.b", 3), ("a.c", 1), ("d", 1), ("d.e", 2), ("f", 1), ("f.g", 2)];
        assert_eq!(spelled(metadata), expected.map(|(path, n_terms)| (path.to_owned(), n_terms)));
        let empty = json!({"": {"b": 1}, "a": {"": 2}});
        assert_eq!(spelled(empty), [(".b", 2), ("a", 1), ("a.", 2)].map(|(path, n_terms)| (path.to_owned(), n_terms)));
    }

    #[test]
    fn what_is_too_much_is_said_to_be_incomplete() {
        let terms = terms_of(&Value::from(json!({"long": "x".repeat(300)})), |_| true);
        assert_eq!(terms.by_path["long"], BTreeSet::from([Term::exists(), Term::incomplete()]));
        let many: Vec<i64> = (0..MAX_TERMS as i64).collect();
        let overflowing = terms_of(&Value::from(json!({ "many": many })), |_| true);
        assert_eq!(overflowing, Terms { by_path: BTreeMap::new(), overflows: true });
        assert!(!terms_of(&Value::from(json!({ "many": many })), |path| path != "many").overflows);
    }
}
