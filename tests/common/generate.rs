//! Random ids, vectors, metadata and filters. All come from small sets, so that equal ones are
//! frequent.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value as Json, json};
use vectrove::DocId;

use super::condition::TIMES;

/// One of a few things.
pub(crate) fn pick<'a, T>(random: &mut StdRng, from: &'a [T]) -> &'a T {
    &from[random.random_range(0..from.len())]
}

/// True in one of `n` cases.
pub(crate) fn one_in(random: &mut StdRng, n: u32) -> bool {
    random.random_range(0..n) == 0
}

/// An id out of about thirty, of every kind.
pub(crate) fn id(random: &mut StdRng) -> DocId {
    const UUIDS: [&str; 3] = [
        "00000000-0000-0000-0000-000000000000",
        "67e55044-10b1-426f-9247-bb680e5fe0c8",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    ];
    const NAMES: [&str; 9] = ["a", "b", "a\0", "a\0b", "A", "7", "ß", "\u{10FFFF}", "note/17 and more"];
    match random.random_range(0..8) {
        0..4 => DocId::from(random.random_range(0..14u64)),
        4 => DocId::from(*pick(random, &[u64::MAX, 255, 256, 1 << 63])),
        5 => DocId::from(*pick(random, &UUIDS)),
        _ => DocId::from(*pick(random, &NAMES)),
    }
}

/// A vector that every metric takes. Half of them lie on a coarse grid, so that distances are equal
/// often.
pub(crate) fn vector(random: &mut StdRng, dimension: usize) -> Vec<f32> {
    let coarse = random.random::<bool>();
    let component = |random: &mut StdRng| match coarse {
        true => random.random_range(-2..=2) as f32,
        false => random.random_range(-3.0..3.0),
    };
    let mut vector: Vec<f32> = (0..dimension).map(|_| component(random)).collect();
    if vector.iter().all(|&component| component == 0.0) {
        vector[random.random_range(0..dimension)] = 1.0;
    }
    vector
}

/// A metadata object. Fields are missing, null, of different types, nested, and in arrays.
pub(crate) fn metadata(random: &mut StdRng) -> Json {
    let mut map = Map::new();
    for field in ["tag", "n", "at", "author", "list", "a.b", "a", "odd\0key"] {
        if !one_in(random, 3) {
            map.insert(field.to_owned(), field_value(random, field));
        }
    }
    Json::Object(map)
}

fn field_value(random: &mut StdRng, field: &str) -> Json {
    match field {
        "author" => json!({"name": scalar(random), "age": scalar(random)}),
        "list" => (0..random.random_range(0..4)).map(|_| list_item(random)).collect(),
        "a" if random.random() => json!({"b": scalar(random)}),
        _ if one_in(random, 3) => (0..random.random_range(0..4)).map(|_| scalar(random)).collect(),
        _ => scalar(random),
    }
}

fn list_item(random: &mut StdRng) -> Json {
    match random.random_range(0..3) {
        0 => json!({"x": scalar(random)}),
        1 => json!([scalar(random)]),
        _ => scalar(random),
    }
}

/// Any scalar.
pub(crate) fn scalar(random: &mut StdRng) -> Json {
    match random.random_range(0..10) {
        0 => Json::Null,
        1 => random.random::<bool>().into(),
        _ => ordered(random),
    }
}

/// A number or a string.
fn ordered(random: &mut StdRng) -> Json {
    match random.random_range(0..10) {
        0..3 => random.random_range(-3..4).into(),
        3 => pick(random, &[json!(0.5), json!(-2.5), json!(1.0), json!(1e300), json!(9007199254740992.0)]).clone(),
        4 => pick(random, &[json!(u64::MAX), json!(i64::MIN), json!(9007199254740993u64), json!(1u64 << 63)]).clone(),
        5 => pick(random, &TIMES).0.into(),
        _ => (*pick(random, &["rust", "ruby", "r", "", "lsm", "2026", "ß"])).into(),
    }
}

/// A filter that the grammar allows, at most `levels` levels deep.
pub(crate) fn filter(random: &mut StdRng, levels: usize) -> Json {
    let n_below = random.random_range(0..4);
    let mut below = |n: usize| -> Json { (0..n).map(|_| filter(random, levels - 1)).collect() };
    match if levels > 1 { n_below } else { 9 } {
        0 => json!({"$and": below(2)}),
        1 => json!({"$or": below(3)}),
        2 => json!({"$nor": below(2)}),
        3 => json!({"$not": below(1)[0]}),
        _ => clause(random),
    }
}

fn clause(random: &mut StdRng) -> Json {
    const PATHS: [&str; 10] =
        ["tag", "n", "at", "author.name", "author.age", "list", "list.x", "a.b", "odd\0key", "absent"];
    let path = *pick(random, &PATHS);
    let condition = if one_in(random, 4) { scalar(random) } else { condition(random) };
    json!({path: condition})
}

fn condition(random: &mut StdRng) -> Json {
    const NAMES: [&str; 16] = [
        "$eq",
        "$ne",
        "$gt",
        "$gte",
        "$lt",
        "$lte",
        "$between",
        "$in",
        "$any",
        "$nin",
        "$all",
        "$prefix",
        "$contains",
        "$exists",
        "$isNull",
        "$not",
    ];
    let name = *pick(random, &NAMES);
    let operand = match name {
        "$eq" | "$ne" | "$contains" => scalar(random),
        "$gt" | "$gte" | "$lt" | "$lte" => ordered(random),
        "$between" => json!([ordered(random), ordered(random)]),
        "$prefix" => json!(pick(random, &["r", "ru", "", "2026", "x"])),
        "$exists" | "$isNull" => random.random::<bool>().into(),
        "$not" => json!({"$gt": ordered(random), "$ne": scalar(random)}),
        _ => (0..random.random_range(0..4)).map(|_| scalar(random)).collect(),
    };
    json!({name: operand})
}
