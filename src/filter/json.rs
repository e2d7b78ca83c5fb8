//! The JSON grammar of filters, read and written.
//!
//! Owns the operators' names, and where each may stand; [`dialect`] reads other spellings. The tree
//! and the scalars refuse operands that do not fit. Knows nothing of evaluation. Reading goes no
//! deeper than [`MAX_FILTER_DEPTH`](crate::limits::MAX_FILTER_DEPTH), whatever the input.

use serde_json::Value as Json;

use super::compare::{Scalar, ScalarSet};
use super::dialect;
use super::field::between;
use super::refusal::{Refusal, shown};
use super::tree::{Bound, Check, Connective, FilterNode, Test, Tree, check_depth, check_path, subtrees};
use crate::value::{Unchecked, Value};

/// Operators that stand outside fields: those that join filters, and `$text`.
const CONNECTIVES: &[&str] = &["$and", "$or", "$nor", "$not", "$text"];

/// Operators that stand inside a field.
const OPERATORS: &[&str] = &[
    "$eq",
    "$ne",
    "$gt",
    "$gte",
    "$lt",
    "$lte",
    "$in",
    "$nin",
    "$any",
    "$all",
    "$between",
    "$prefix",
    "$contains",
    "$exists",
    "$isNull",
    "$not",
];

/// Reads a filter.
pub(super) fn read(json: &Json) -> Result<Tree, Refusal> {
    filter(json, 1)
}

/// Reads an object, each key of which is a clause.
pub(super) fn filter(json: &Json, level: usize) -> Result<Tree, Refusal> {
    check_depth(level)?;
    let Json::Object(clauses) = json else { return Err(Refusal::expected("an object", type_name(json))) };
    join(Connective::All, clauses.iter().map(|(key, operand)| clause(key, operand, level)))
}

/// Reads a clause: a connective with its filters, or a field with its tests.
fn clause(key: &str, operand: &Json, level: usize) -> Result<Tree, Refusal> {
    let tree = match dialect::connective(key, operand) {
        "$and" => filters(Connective::All, operand, level + 1),
        "$or" => filters(Connective::Any, operand, level + 1),
        "$nor" => filters(Connective::Any, operand, level + 1).and_then(Tree::negate),
        "$not" => filter(operand, level + 1).and_then(Tree::negate),
        "$text" => string(operand).and_then(Tree::text),
        "must" | "should" | "must_not" if dialect::holds_filters(operand) => dialect::group(key, operand, level + 1),
        _ if OPERATORS.contains(&key) => Err(Refusal::expected(
            format_args!("{key} inside a field, as in {{\"tag\": {{\"{key}\": …}}}}"),
            "no field",
        )),
        _ if key.starts_with('$') => Err(unknown(key, CONNECTIVES)),
        path => {
            // A bad path would not help to name the place, so the refusal names the object around
            // it.
            check_path(path)?;
            tests(path, operand, level)
        }
    };
    tree.map_err(|refusal| refusal.within_key(key))
}

/// Reads an array of filters under one connective.
fn filters(rule: Connective, json: &Json, level: usize) -> Result<Tree, Refusal> {
    let read = |(position, json)| filter(json, level).map_err(|refusal| refusal.within_item(position));
    join(rule, array(json, "filters")?.iter().enumerate().map(read))
}

/// Reads a field's operand: a scalar to equal, or an object of operators.
fn tests(path: &str, json: &Json, level: usize) -> Result<Tree, Refusal> {
    match json {
        Json::Object(_) => operators(path, json, level),
        Json::Array(_) => Err(Refusal::expected("a scalar, or {\"$in\": […]} to match any of several", "an array")),
        scalar => Tree::test(path, Check::Equal(Scalar::operand(value(scalar))?)),
    }
}

/// Reads an object, each key of which is an operator.
fn operators(path: &str, json: &Json, level: usize) -> Result<Tree, Refusal> {
    check_depth(level)?;
    let Json::Object(operators) = json else {
        return Err(Refusal::expected("an object of operators", type_name(json)));
    };
    if let Some(key) = operators.keys().find(|key| !key.starts_with('$') && !is_operator(key)) {
        let hint = format_args!("operators only (to reach into an object, write a path: \"{path}.{}\")", shown(key));
        return Err(Refusal::expected(hint, format_args!("the key {}", shown(key))));
    }
    if operators.is_empty() {
        return Err(Refusal::expected("an object of operators", "an empty object"));
    }
    let read = |(name, operand): (&String, &Json)| {
        operator(path, bare(name), operand, level).map_err(|refusal| refusal.within_key(name))
    };
    join(Connective::All, operators.iter().map(read))
}

/// Whether a key names an operator of a field, with the dollar sign or without.
pub(super) fn is_operator(key: &str) -> bool {
    OPERATORS.iter().any(|operator| bare(operator) == bare(key))
}

/// An operator's name without the dollar sign.
fn bare(name: &str) -> &str {
    name.strip_prefix('$').unwrap_or(name)
}

/// Reads one operator of a field, by its name without the dollar sign.
fn operator(path: &str, name: &str, operand: &Json, level: usize) -> Result<Tree, Refusal> {
    let test = |check| Tree::test(path, check);
    let scalar = || Scalar::operand(value(operand));
    let order = |bound| Scalar::ordered(value(operand)).map(|limit| Check::Order(bound, limit));
    match name {
        "eq" => test(Check::Equal(scalar()?)),
        "ne" => test(Check::Equal(scalar()?))?.negate(),
        "gt" => test(order(Bound::Gt)?),
        "gte" => test(order(Bound::Gte)?),
        "lt" => test(order(Bound::Lt)?),
        "lte" => test(order(Bound::Lte)?),
        "in" | "any" => test(Check::In(set(operand)?)),
        "nin" => test(Check::In(set(operand)?))?.negate(),
        "all" => test(Check::All(set(operand)?)),
        "between" => test(range(operand)?),
        "prefix" => test(Check::Prefix(string(operand)?.into())),
        "contains" => test(Check::Contains(scalar()?)),
        "exists" => test(Check::Exists)?.negate_unless(flag(operand)?),
        "isNull" => test(Check::Equal(Scalar::Null))?.negate_unless(flag(operand)?),
        "not" => operators(path, operand, level + 1)?.negate(),
        _ if CONNECTIVES.iter().any(|connective| bare(connective) == name) => Err(Refusal::expected(
            format_args!("${name} around whole filters, not inside a field"),
            "a field around it",
        )),
        _ => Err(unknown(&format!("${name}"), OPERATORS)),
    }
}

pub(super) fn join(rule: Connective, mut trees: impl Iterator<Item = Result<Tree, Refusal>>) -> Result<Tree, Refusal> {
    trees.try_fold(Tree::empty(rule), |joined, tree| joined.join(rule, tree?))
}

pub(super) fn set(json: &Json) -> Result<ScalarSet, Refusal> {
    ScalarSet::operand(array(json, "scalars")?.iter().map(value))
}

fn range(json: &Json) -> Result<Check, Refusal> {
    match array(json, "two values, the low one first")? {
        [low, high] => between(value(low), value(high)),
        others => Err(Refusal::expected("two values, the low one first", others.len())),
    }
}

fn array<'a>(json: &'a Json, of: &str) -> Result<&'a [Json], Refusal> {
    match json {
        Json::Array(items) => Ok(items),
        other => Err(Refusal::expected(format_args!("an array of {of}"), type_name(other))),
    }
}

fn string(json: &Json) -> Result<&str, Refusal> {
    json.as_str().ok_or_else(|| Refusal::expected("a string", type_name(json)))
}

fn flag(json: &Json) -> Result<bool, Refusal> {
    json.as_bool().ok_or_else(|| Refusal::expected("true or false", type_name(json)))
}

/// An operand as a value. Arrays and objects lose their contents, since no operand may be one.
pub(super) fn value(json: &Json) -> Unchecked {
    Unchecked(match json {
        Json::Array(_) => Value::Array(Vec::new()),
        Json::Object(_) => Value::object(),
        scalar => Value::from(scalar.clone()),
    })
}

pub(super) fn type_name(json: &Json) -> &'static str {
    value(json).0.type_name()
}

/// Refuses an unknown operator, and names the one that was probably meant.
fn unknown(name: &str, known: &[&str]) -> Refusal {
    let expected = match known.iter().min_by_key(|known| n_edits(name, known)) {
        Some(nearest) if n_edits(name, nearest) <= 2 => format!("a known operator, perhaps {nearest}"),
        _ => format!("one of {}", known.join(", ")),
    };
    Refusal::expected(expected, shown(name))
}

/// The edit distance (Levenshtein) of two names, whatever their case.
fn n_edits(name: &str, known: &str) -> usize {
    let mut row: Vec<usize> = (0..=known.len()).collect();
    // Names much longer than any operator are far from all of them, so the exact distance does not
    // matter.
    for (i, letter) in name.bytes().take(32).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in known.bytes().enumerate() {
            let changed = diagonal + usize::from(!letter.eq_ignore_ascii_case(&other));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[known.len()]
}

/// Writes the tree with these nodes.
pub(super) fn write(nodes: &[FilterNode]) -> Json {
    let Some((root, below)) = nodes.split_first() else { return nothing() };
    match root {
        FilterNode::Test(Test { check: Check::Text(text), .. }) => object("$text", Json::from(&**text)),
        FilterNode::Test(test) => object(&test.path, write_test(test)),
        FilterNode::Join { rule: Connective::All, .. } if below.is_empty() => Json::Object(serde_json::Map::new()),
        FilterNode::Join { rule: Connective::All, .. } => object("$and", subtrees(below).map(write).collect()),
        FilterNode::Join { rule: Connective::Any, .. } => object("$or", subtrees(below).map(write).collect()),
        FilterNode::Join { rule: Connective::Not, .. } => object("$not", write(below)),
    }
}

/// The filter that matches no document.
pub(super) fn nothing() -> Json {
    object("$or", Json::Array(Vec::new()))
}

fn write_test(test: &Test) -> Json {
    let list = |set: &ScalarSet| set.values().iter().map(write_scalar).collect();
    match &test.check {
        Check::Exists => object("$exists", Json::Bool(!test.negated)),
        Check::Equal(scalar) if test.negated => object("$ne", write_scalar(scalar)),
        Check::Equal(scalar) => write_scalar(scalar),
        Check::In(set) => object(if test.negated { "$nin" } else { "$in" }, list(set)),
        Check::All(set) => object("$all", list(set)),
        Check::Order(bound, limit) => object(bound_name(*bound), write_scalar(limit)),
        Check::Between(low, high) => object("$between", [low, high].into_iter().map(write_scalar).collect()),
        Check::Prefix(prefix) => object("$prefix", Json::from(&**prefix)),
        Check::Contains(part) => object("$contains", write_scalar(part)),
        Check::Text(text) => Json::from(&**text),
    }
}

fn bound_name(bound: Bound) -> &'static str {
    match bound {
        Bound::Gt => "$gt",
        Bound::Gte => "$gte",
        Bound::Lt => "$lt",
        Bound::Lte => "$lte",
    }
}

fn write_scalar(scalar: &Scalar<'_>) -> Json {
    match scalar {
        Scalar::Null => Json::Null,
        Scalar::Bool(flag) => Json::Bool(*flag),
        Scalar::Integer(number) => i64::try_from(*number).map_or_else(|_| Json::from(*number as u64), Json::from),
        Scalar::Float(number) => Json::from(*number),
        Scalar::Text(text) | Scalar::Time(_, text) => Json::from(&**text),
    }
}

fn object(key: &str, value: Json) -> Json {
    Json::Object([(key.to_owned(), value)].into_iter().collect())
}
