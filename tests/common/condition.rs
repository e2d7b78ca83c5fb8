//! The meaning of a filter, a second time: plain, recursive, over JSON.
//!
//! Strings that are times must come from [`TIMES`], as this module does not parse times.

use std::cmp::Ordering;

use serde_json::Value as Json;

/// Spellings of times, and their seconds since 1970.
pub(crate) const TIMES: [(&str, i64); 5] = [
    ("2026-01-01T00:00:00Z", 1_767_225_600),
    ("2026-01-01T02:00:00+02:00", 1_767_225_600),
    ("2025-12-31T23:59:59.000Z", 1_767_225_599),
    ("2026-06-30T12:00:00-05:00", 1_782_838_800),
    ("1969-12-31T23:59:59Z", -1),
];

/// Whether metadata matches a filter.
pub(crate) fn matches(filter: &Json, metadata: &Json) -> bool {
    let filters = |operand: &Json| operand.as_array().unwrap().clone();
    filter.as_object().unwrap().iter().all(|(key, operand)| match key.as_str() {
        "$and" => filters(operand).iter().all(|filter| matches(filter, metadata)),
        "$or" => filters(operand).iter().any(|filter| matches(filter, metadata)),
        "$nor" => !filters(operand).iter().any(|filter| matches(filter, metadata)),
        "$not" => !matches(operand, metadata),
        path => holds(operand, &reach(metadata, path)),
    })
}

/// Whether the values at a path satisfy a condition.
fn holds(condition: &Json, found: &[&Json]) -> bool {
    match condition {
        Json::Object(operators) => operators.iter().all(|(name, operand)| operator(name, operand, found)),
        scalar => operator("$eq", scalar, found),
    }
}

fn operator(name: &str, operand: &Json, found: &[&Json]) -> bool {
    let opened: Vec<&Json> = found.iter().flat_map(|value| elements(value)).collect();
    let some = |test: &dyn Fn(&Json) -> bool| opened.iter().any(|value| test(value));
    let listed = || operand.as_array().unwrap().iter();
    let side = |admits: fn(Ordering) -> bool| some(&|value| order(value, operand).is_some_and(admits));
    match name {
        "$eq" => some(&|value| same(value, operand)),
        "$ne" => !some(&|value| same(value, operand)),
        "$gt" => side(Ordering::is_gt),
        "$gte" => side(Ordering::is_ge),
        "$lt" => side(Ordering::is_lt),
        "$lte" => side(Ordering::is_le),
        "$between" => some(&|value| {
            order(value, &operand[0]).is_some_and(Ordering::is_ge)
                && order(value, &operand[1]).is_some_and(Ordering::is_le)
        }),
        "$in" | "$any" => some(&|value| listed().any(|wanted| same(value, wanted))),
        "$nin" => !some(&|value| listed().any(|wanted| same(value, wanted))),
        "$all" => !found.is_empty() && listed().all(|wanted| some(&|value| same(value, wanted))),
        "$prefix" => some(&|value| value.as_str().is_some_and(|text| text.starts_with(operand.as_str().unwrap()))),
        "$contains" => found.iter().any(|value| contains(value, operand)),
        "$exists" => found.is_empty() != (*operand == Json::Bool(true)),
        "$isNull" => some(&Json::is_null) == (*operand == Json::Bool(true)),
        "$not" => !holds(operand, found),
        other => panic!("no operator {other}"),
    }
}

/// The values at a path. A key equal to the whole path comes first; otherwise the path goes through
/// objects, and through arrays into the objects they hold.
fn reach<'a>(value: &'a Json, path: &str) -> Vec<&'a Json> {
    if let Some(found) = value.get(path) {
        return vec![found];
    }
    let Some((key, rest)) = path.split_once('.') else { return Vec::new() };
    match value.get(key) {
        Some(inner @ Json::Object(_)) => reach(inner, rest),
        Some(Json::Array(items)) => {
            items.iter().filter(|item| item.is_object()).flat_map(|item| reach(item, rest)).collect()
        }
        _ => Vec::new(),
    }
}

fn elements(value: &Json) -> Vec<&Json> {
    match value {
        Json::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

fn contains(value: &Json, part: &Json) -> bool {
    match value {
        Json::String(text) => part.as_str().is_some_and(|part| text.contains(part)),
        Json::Array(items) => items.iter().any(|item| same(item, part)),
        _ => false,
    }
}

fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        _ => order(a, b) == Some(Ordering::Equal),
    }
}

/// The order of two numbers or two strings; other values have none.
fn order(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::Number(_), Json::Number(_)) => Some(match (whole(a), whole(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64()?.total_cmp(&b.as_f64()?),
        }),
        (Json::String(a), Json::String(b)) => Some(match (instant(a), instant(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.cmp(b),
        }),
        _ => None,
    }
}

/// The exact value of a whole number.
fn whole(number: &Json) -> Option<i128> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e30);
    (number.as_i64().map(i128::from)).or(number.as_u64().map(i128::from)).or(float().map(|float| float as i128))
}

fn instant(text: &str) -> Option<i64> {
    TIMES.iter().find(|(spelling, _)| *spelling == text).map(|(_, seconds)| *seconds)
}
