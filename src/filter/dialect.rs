//! Other spellings of filters, read into the same tree.
//!
//! Operators may lack their dollar sign, and conditions may come in Qdrant's groups: `must`,
//! `should`, `must_not`. Owns the distinction between such names and fields of the same name. A
//! field takes no array, and no object except one of operators; any other operand belongs to such a
//! name. Knows nothing of evaluation.

use serde_json::{Map, Value as Json};

use super::compare::Scalar;
use super::json::{filter, is_operator, join, set, type_name, value};
use super::refusal::Refusal;
use super::tree::{Bound, Check, Connective, Tree, check_depth};

/// A connective's name with its dollar sign; any other key as it is.
pub(super) fn connective<'k>(key: &'k str, operand: &Json) -> &'k str {
    match key {
        "and" if operand.is_array() => "$and",
        "or" if operand.is_array() => "$or",
        "nor" if operand.is_array() => "$nor",
        "not" if is_filter(operand) => "$not",
        key => key,
    }
}

/// Whether an operand is one filter or several, which no field takes.
pub(super) fn holds_filters(operand: &Json) -> bool {
    operand.is_array() || is_filter(operand)
}

fn is_filter(operand: &Json) -> bool {
    operand.as_object().is_some_and(|object| object.keys().any(|key| !is_operator(key)))
}

/// Reads a group: conditions of which all, some or none must match. A group without conditions
/// matches everything.
pub(super) fn group(name: &str, operand: &Json, level: usize) -> Result<Tree, Refusal> {
    check_depth(level)?;
    let conditions = operand.as_array().map_or(std::slice::from_ref(operand), Vec::as_slice);
    let rule = if name == "must" || conditions.is_empty() { Connective::All } else { Connective::Any };
    let read = |(position, json)| {
        let tree = condition(json, level);
        if operand.is_array() { tree.map_err(|refusal| refusal.within_item(position)) } else { tree }
    };
    let joined = join(rule, conditions.iter().enumerate().map(read))?;
    joined.negate_unless(name != "must_not" || conditions.is_empty())
}

/// Reads a condition on the field that `key` names, or a filter in any spelling.
fn condition(json: &Json, level: usize) -> Result<Tree, Refusal> {
    let Json::Object(parts) = json else { return Err(Refusal::expected("an object", type_name(json))) };
    let key = |parts: &Map<String, Json>| parts.get("key").and_then(Json::as_str).map(|key| key.replace("[]", ""));
    let mut names: Vec<&str> = parts.keys().map(String::as_str).collect();
    names.sort_unstable();
    match (&names[..], key(parts)) {
        (["key", "match"], Some(path)) => {
            matched(&path, &parts["match"]).map_err(|refusal| refusal.within_key("match"))
        }
        (["key", "range"], Some(path)) => range(&path, &parts["range"]).map_err(|refusal| refusal.within_key("range")),
        (["is_null"], _) => match parts["is_null"].as_object().and_then(key) {
            Some(path) => Tree::test(&path, Check::Equal(Scalar::Null)),
            None => filter(json, level),
        },
        _ => filter(json, level),
    }
}

/// Reads `match`: a field equals a value, or one of several.
fn matched(path: &str, json: &Json) -> Result<Tree, Refusal> {
    let expected = "an object with a \"value\", or with values in \"any\"";
    let Json::Object(parts) = json else { return Err(Refusal::expected(expected, type_name(json))) };
    let within = |name: &'static str| move |refusal: Refusal| refusal.within_key(name);
    let check = match parts.iter().next() {
        _ if parts.len() != 1 => return Err(Refusal::expected(expected, format_args!("{} keys", parts.len()))),
        Some((name, operand)) if name == "value" => {
            Check::Equal(Scalar::operand(value(operand)).map_err(within("value"))?)
        }
        Some((name, operand)) if name == "any" => Check::In(set(operand).map_err(within("any"))?),
        other => {
            return Err(Refusal::expected(expected, other.map_or("none", |(name, _)| super::refusal::shown(name))));
        }
    };
    Tree::test(path, check)
}

/// Reads `range`: a field lies within bounds. Bounds that are null do not count.
fn range(path: &str, json: &Json) -> Result<Tree, Refusal> {
    let Json::Object(bounds) = json else { return Err(Refusal::expected("an object of bounds", type_name(json))) };
    let read = |(name, limit): (&String, &Json)| {
        let bound = match &**name {
            "gt" => Bound::Gt,
            "gte" => Bound::Gte,
            "lt" => Bound::Lt,
            "lte" => Bound::Lte,
            other => return Err(Refusal::expected("gt, gte, lt or lte", super::refusal::shown(other))),
        };
        let limit = Scalar::ordered(value(limit)).map_err(|refusal| refusal.within_key(name))?;
        Tree::test(path, Check::Order(bound, limit))
    };
    let bounds: Vec<(&String, &Json)> = bounds.iter().filter(|(_, limit)| !limit.is_null()).collect();
    if bounds.is_empty() {
        return Err(Refusal::expected("bounds", "none"));
    }
    join(Connective::All, bounds.into_iter().map(read))
}
