//! Evaluates filters: whether a document's metadata matches.
//!
//! Owns the reach of paths and the meaning of every test. Knows neither how a filter was written
//! nor its limits, but relies on them: no tree is deeper than
//! [`MAX_FILTER_DEPTH`](crate::limits::MAX_FILTER_DEPTH).

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::compare::Scalar;
use super::tree::{Bound, Check, Connective, FilterNode, Test, subtrees};
use crate::value::Value;

/// Whether a document has everything that a text query asks for.
pub(super) type HasText<'d> = &'d dyn Fn(&str) -> bool;

/// Whether a document matches the tree with these nodes.
pub(super) fn matches(nodes: &[FilterNode], metadata: &Value, has_text: HasText<'_>) -> bool {
    let Some((root, below)) = nodes.split_first() else { return false };
    let holds = |subtree| matches(subtree, metadata, has_text);
    match root {
        FilterNode::Test(Test { check: Check::Text(text), negated, .. }) => has_text(text) != *negated,
        FilterNode::Test(test) => passes(test, metadata) != test.negated,
        FilterNode::Join { rule: Connective::All, .. } => subtrees(below).all(holds),
        FilterNode::Join { rule: Connective::Any, .. } => subtrees(below).any(holds),
        FilterNode::Join { rule: Connective::Not, .. } => !holds(below),
    }
}

/// Whether the check of a test succeeds on some value of its field.
fn passes(test: &Test, metadata: &Value) -> bool {
    let mut found = PathValues::new(metadata, &test.path);
    match &test.check {
        Check::Exists => found.next().is_some(),
        Check::Equal(wanted) => found.flat_map(elements).any(|value| wanted.equals(value)),
        Check::Order(bound, limit) => {
            found.flat_map(elements).any(|value| limit.order_of(value).is_some_and(|order| bound.admits(order)))
        }
        Check::Between(low, high) => found.flat_map(elements).any(|value| {
            low.order_of(value).is_some_and(Ordering::is_ge) && high.order_of(value).is_some_and(Ordering::is_le)
        }),
        Check::In(set) => found.flat_map(elements).any(|value| set.contains(value)),
        Check::All(set) => {
            let mut found = found.peekable();
            found.peek().is_some() && set.is_within(found.flat_map(elements))
        }
        Check::Prefix(prefix) => {
            found.flat_map(elements).any(|value| value.as_str().is_some_and(|text| text.starts_with(&**prefix)))
        }
        Check::Contains(part) => found.any(|value| contains(value, part)),
        Check::Text(_) => false,
    }
}

/// The values that a test checks one by one: an array's elements, or the value itself.
pub(super) fn elements(value: &Value) -> &[Value] {
    value.as_array().unwrap_or(std::slice::from_ref(value))
}

/// Whether a string contains a part, or an array contains an element.
fn contains(value: &Value, part: &Scalar<'_>) -> bool {
    match value {
        Value::String(text) => part.text().is_some_and(|part| text.contains(part)),
        Value::Array(items) => items.iter().any(|item| part.equals(item)),
        _ => false,
    }
}

impl Bound {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Bound::Gt => order.is_gt(),
            Bound::Gte => order.is_ge(),
            Bound::Lt => order.is_lt(),
            Bound::Lte => order.is_le(),
        }
    }
}

/// The values that a path reaches, in the order of the document.
///
/// If an object has the whole path as a key, that key counts, so that keys with dots can be named.
/// Otherwise the part before the first dot leads on. If it leads to an array, the path goes on in
/// each object of the array.
pub(super) struct PathValues<'a> {
    /// The object to look into next. It is kept apart from the others, so that a path through
    /// objects allocates nothing.
    next: Option<PathStep<'a>>,
    others: Vec<PathStep<'a>>,
}

/// An object, and the path from there.
type PathStep<'a> = (&'a BTreeMap<String, Value>, &'a str);

impl<'a> PathValues<'a> {
    pub(super) fn new(metadata: &'a Value, path: &'a str) -> Self {
        PathValues { next: metadata.as_object().map(|object| (object, path)), others: Vec::new() }
    }
}

impl<'a> Iterator for PathValues<'a> {
    type Item = &'a Value;

    fn next(&mut self) -> Option<&'a Value> {
        while let Some((object, path)) = self.next.take().or_else(|| self.others.pop()) {
            if let Some(value) = object.get(path) {
                return Some(value);
            }
            let Some((key, rest)) = path.split_once('.') else { continue };
            match object.get(key) {
                Some(Value::Object(inner)) => self.next = Some((inner, rest)),
                Some(Value::Array(items)) => {
                    let objects = items.iter().rev().filter_map(Value::as_object);
                    self.others.extend(objects.map(|inner| (inner, rest)));
                }
                _ => {}
            }
        }
        None
    }
}
