//! The reference implementation: evaluates a filter as it is written, by recursion, without
//! preparing anything.

use std::cmp::Ordering;

use serde_json::Value as Json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub(crate) fn matches(filter: &Json, metadata: &Json) -> bool {
    filter.as_object().unwrap().iter().all(|(key, operand)| match key.as_str() {
        "$and" => operand.as_array().unwrap().iter().all(|part| matches(part, metadata)),
        "$or" => operand.as_array().unwrap().iter().any(|part| matches(part, metadata)),
        "$nor" => !operand.as_array().unwrap().iter().any(|part| matches(part, metadata)),
        "$not" => !matches(operand, metadata),
        // Metadata alone has no text.
        "$text" => false,
        path => field(&reach(metadata, path), operand),
    })
}

fn reach<'a>(value: &'a Json, path: &str) -> Vec<&'a Json> {
    let Some(object) = value.as_object() else { return Vec::new() };
    if let Some(value) = object.get(path) {
        return vec![value];
    }
    let Some(dot) = path.find('.') else { return Vec::new() };
    match object.get(&path[..dot]) {
        Some(Json::Array(items)) => items.iter().flat_map(|item| reach(item, &path[dot + 1..])).collect(),
        Some(inner) => reach(inner, &path[dot + 1..]),
        None => Vec::new(),
    }
}

fn field(found: &[&Json], condition: &Json) -> bool {
    match condition {
        Json::Object(operators) => operators.iter().all(|(name, operand)| operator(found, name, operand)),
        scalar => operator(found, "$eq", scalar),
    }
}

fn operator(found: &[&Json], name: &str, operand: &Json) -> bool {
    let single: Vec<&Json> = found
        .iter()
        .flat_map(|value| match value {
            Json::Array(items) => items.iter().collect(),
            other => vec![*other],
        })
        .collect();
    let some = |holds: &dyn Fn(Option<Ordering>) -> bool| single.iter().any(|value| holds(compare(value, operand)));
    let list = || operand.as_array().unwrap().iter();
    match name {
        "$eq" => single.iter().any(|value| equal(value, operand)),
        "$ne" => !operator(found, "$eq", operand),
        "$gt" => some(&|order| order == Some(Ordering::Greater)),
        "$gte" => some(&|order| matches!(order, Some(Ordering::Greater | Ordering::Equal))),
        "$lt" => some(&|order| order == Some(Ordering::Less)),
        "$lte" => some(&|order| matches!(order, Some(Ordering::Less | Ordering::Equal))),
        "$between" => single.iter().any(|value| {
            operator(&[value], "$gte", &operand[0]) && operator(&[value], "$lte", &operand[1]) && !value.is_array()
        }),
        "$in" | "$any" => list().any(|wanted| operator(found, "$eq", wanted)),
        "$nin" => !operator(found, "$in", operand),
        "$all" => !found.is_empty() && list().all(|wanted| operator(found, "$eq", wanted)),
        "$prefix" => single.iter().any(|v| v.as_str().is_some_and(|text| text.starts_with(operand.as_str().unwrap()))),
        "$contains" => found.iter().any(|value| match value {
            Json::Array(items) => items.iter().any(|item| equal(item, operand)),
            Json::String(text) => operand.as_str().is_some_and(|part| text.contains(part)),
            _ => false,
        }),
        "$exists" => found.is_empty() != operand.as_bool().unwrap(),
        "$isNull" => single.iter().any(|value| value.is_null()) == operand.as_bool().unwrap(),
        "$not" => !field(found, operand),
        other => panic!("{other}"),
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    a.is_null() && b.is_null() || a.is_boolean() && b.is_boolean() && a == b || compare(a, b) == Some(Ordering::Equal)
}

fn compare(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::String(a), Json::String(b)) => match (time(a), time(b)) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => Some(a.as_bytes().cmp(b.as_bytes())),
        },
        (Json::Number(a), Json::Number(b)) => {
            let integer = |n: &serde_json::Number| n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
            let float = |n: &serde_json::Number| n.as_f64().unwrap();
            match (integer(a), integer(b)) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                (Some(a), None) => Some(mixed(a, float(b))),
                (None, Some(b)) => Some(mixed(b, float(a)).reverse()),
                (None, None) => float(a).partial_cmp(&float(b)),
            }
        }
        _ => None,
    }
}

/// Reads a time in RFC 3339, or number by number with its missing parts put in.
fn time(text: &str) -> Option<OffsetDateTime> {
    let parse = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    parse(text).or_else(|| parse(&spelled_out(text)?))
}

fn spelled_out(text: &str) -> Option<String> {
    let mut rest = text;
    let (year, month, day) = (take(&mut rest, "", 4)?, take(&mut rest, "-", 2)?, take(&mut rest, "-", 2)?);
    if rest.is_empty() {
        return Some(format!("{year}-{month}-{day}T00:00:00Z"));
    }
    let hour = ["T", "t", " "].into_iter().find_map(|sign| take(&mut rest, sign, 2))?;
    let minute = take(&mut rest, ":", 2)?;
    let mut second = "00".to_owned();
    if let Some(whole) = take(&mut rest, ":", 2) {
        let n_digits = rest.strip_prefix('.').map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
        let n_bytes = if n_digits > 0 { n_digits + 1 } else { 0 };
        second = format!("{whole}{}", &rest[..n_bytes]);
        rest = &rest[n_bytes..];
    }
    let zone = if rest.is_empty() { "Z" } else { rest.strip_prefix(' ').unwrap_or(rest) };
    let zone = match zone.get(..1)? {
        "Z" | "z" if zone.len() == 1 => "Z".to_owned(),
        sign @ ("+" | "-") => {
            let mut rest = &zone[1..];
            let hours = take(&mut rest, "", 2)?;
            let minutes = match rest {
                "" => "00".to_owned(),
                _ => take(&mut rest, ":", 2).or_else(|| take(&mut rest, "", 2))?,
            };
            if !rest.is_empty() {
                return None;
            }
            format!("{sign}{hours}:{minutes}")
        }
        _ => return None,
    };
    Some(format!("{year}-{month}-{day}T{hour}:{minute}:{second}{zone}"))
}

/// Takes `n_digits` digits that follow `sign`.
fn take(rest: &mut &str, sign: &str, n_digits: usize) -> Option<String> {
    let digits = rest.strip_prefix(sign)?.get(..n_digits)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| {
        *rest = &rest[sign.len() + n_digits..];
        digits.to_owned()
    })
}

/// Compares the whole parts, then looks at the fraction.
fn mixed(integer: i128, float: f64) -> Ordering {
    integer.cmp(&(float.trunc() as i128)).then(0.0_f64.partial_cmp(&float.fract()).unwrap())
}
