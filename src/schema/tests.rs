use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value as Json, json};

use super::*;
use crate::value::Value;

/// The fault of metadata, as `field: expected, got`; empty if there is none.
fn fault(schema: &Schema, metadata: &Json) -> String {
    match schema.check(&Value::from(metadata.clone())) {
        Ok(()) => String::new(),
        Err(check::SchemaFault { field, expected, got }) => format!("{field}: {expected}, {got}"),
    }
}

#[track_caller]
fn check_fault(schema: Schema, metadata: Json, expected: &str) {
    schema.validate().unwrap();
    assert_eq!(fault(&schema, &metadata), expected, "{schema} of {metadata}");
}

#[test]
fn every_type_admits_its_own() {
    let values = [
        json!(true),
        json!(7),
        json!(u64::MAX),
        json!(7.0),
        json!(0.5),
        json!("x"),
        json!("2026-11-22T10:00:00Z"),
        json!({"a": [1]}),
        json!([]),
        json!(["x"]),
    ];
    for (kind, admitted) in [
        (Type::Any, "1111111111"),
        (Type::Boolean, "1000000000"),
        (Type::Integer, "0111000000"),
        (Type::Number, "0111100000"),
        (Type::String, "0000011000"),
        (Type::Time, "0000001000"),
        (Type::Object, "0000000100"),
    ] {
        let schema = Schema::new().field("a", kind);
        let found: String = values
            .iter()
            .map(|value| if fault(&schema, &json!({"a": value})).is_empty() { '1' } else { '0' })
            .collect();
        assert_eq!(found, admitted, "{kind:?}");
        let array = Schema::new().field("a", kind.array());
        for value in &values[..8] {
            let alone = fault(&schema, &json!({"a": value})).is_empty();
            assert_eq!(fault(&array, &json!({"a": [value, value]})).is_empty(), alone, "{kind:?} {value}");
            assert!(!fault(&array, &json!({"a": value})).is_empty(), "{value} is no array");
        }
        assert_eq!(fault(&array, &json!({"a": []})), "");
        assert_eq!(fault(&schema, &json!({"a": null})), "", "null is missing");
        assert_eq!(fault(&schema, &json!({"b": [null]})), "", "what is not declared");
    }
}

#[test]
fn faults_name_field_expectation_and_value() {
    let of = |kind| Schema::new().field("a", kind);
    check_fault(of(Type::Integer.into()), json!({"a": "7"}), "a: an integer, \"7\"");
    check_fault(of(Type::Time.into()), json!({"a": "7"}), "a: a time in RFC 3339 form, \"7\"");
    check_fault(of(Type::String.into()), json!({"a": {"b": 1}}), "a: a string, an object");
    check_fault(of(Type::String.array()), json!({"a": ["x", 1.5]}), "a: an array of strings, 1.5 at position 1");
    check_fault(of(Type::String.array()), json!({"a": [null]}), "a: an array of strings, null at position 0");
    check_fault(of(Type::String.array()), json!({"a": "x"}), "a: an array of strings, \"x\"");
    check_fault(of(Type::Any.required()), json!({}), "a: a value, nothing");
    check_fault(of(Type::Any.required()), json!({"a": null}), "a: a value, null");
    check_fault(of(Type::String.one_of(["y", "x"])), json!({"a": "z"}), "a: one of \"x\", \"y\", \"z\"");
    check_fault(of(Type::Integer.one_of([2, 1])), json!({"a": 3}), "a: one of 1, 2, 3");
    check_fault(of(Type::Integer.one_of([2, 1])), json!({"a": 1.0}), "");
    check_fault(of(Type::Integer.one_of([1])), json!({"a": u64::MAX}), &format!("a: one of 1, {}", u64::MAX));
    let each = of(Type::String.one_of(["x"]).array());
    check_fault(each, json!({"a": ["x", "y"]}), "a: an array of strings, each one of \"x\", \"y\" at position 1");
    let long = format!("\"{}…\"", "ü".repeat(60));
    check_fault(of(Type::Integer.into()), json!({"a": "ü".repeat(1_000_000)}), &format!("a: an integer, {long}"));
}

#[test]
fn paths_reach_into_objects_alone() {
    let schema = || Schema::new().field("a.b", Type::Integer.required());
    check_fault(schema(), json!({"a": {"b": 1, "c": 2}, "d": 3}), "");
    check_fault(schema(), json!({"a.b": 1}), "");
    check_fault(schema(), json!({"a.b": "x"}), "a.b: an integer, \"x\"");
    check_fault(schema(), json!({"a.b": 1, "a": {"b": "x"}}), "a.b: an integer, \"x\"");
    check_fault(schema(), json!({"a": {"b": "x"}}), "a.b: an integer, \"x\"");
    check_fault(schema(), json!({"a": 1}), "a: an object, 1");
    check_fault(schema(), json!({"a": [{"b": 1}]}), "a: an object, an array");
    check_fault(schema(), json!({"a": null}), "a.b: an integer, nothing");
    check_fault(schema(), json!({}), "a.b: an integer, nothing");
}

#[test]
fn strict_schemas_refuse_what_they_do_not_know() {
    let schema = || Schema::new().field("a.b", Type::Integer).field("o", Type::Object).field("x", Type::Any).strict();
    check_fault(schema(), json!({}), "");
    check_fault(schema(), json!({"a": {"b": 1}, "o": {"p": {"q": [1]}}, "x": {"y": 1}, "o.r": 1}), "");
    check_fault(schema(), json!({"c": null}), "c: no undeclared field, null");
    check_fault(schema(), json!({"a": {"b": 1, "c": 2}}), "a.c: no undeclared field, 2");
    check_fault(schema(), json!({"a.b.c": 1}), "a.b.c: no undeclared field, 1");
    check_fault(schema(), json!({"": 1}), ": no undeclared field, 1");
    check_fault(schema().field("o.p", Type::String), json!({"o": {"q": 1, "p": "x"}}), "");
    check_fault(schema().field("o.p", Type::String), json!({"o": {"p": 1}}), "o.p: a string, 1");
    check_fault(Schema::new().strict(), json!({"a": 1}), "a: no undeclared field, 1");
    let deep = (0..30).fold(json!(1), |inner, _| json!({"k": inner}));
    check_fault(Schema::new().field("a", Type::Object).strict(), json!({"a": deep}), "");
}

#[test]
fn schemas_that_contradict_themselves_or_are_too_large_are_refused() {
    let of = |path: &str| Schema::new().field(path, Type::String);
    let many = (0..2_000).fold(Schema::new(), |schema, n| schema.field(format!("f{n}"), Type::Any));
    let choices = |n: i64| Schema::new().field("a", Type::Integer.one_of(0..n));
    let large = (0..3).map(|n| format!("{n}{}", "x".repeat(500_000)));
    for (schema, reason) in [
        (of(""), "a path of 1 to 512 bytes, got 0"),
        (of(&"x".repeat(513)), "a path of 1 to 512 bytes, got 513"),
        (of("a..b"), "without empty parts"),
        (of("."), "without empty parts"),
        (of(&["a"; 32].join(".")), "at most 31 parts"),
        (of("a").field("a.b", Type::String), "no field below \"a\", which is no object, got \"a.b\""),
        (of("a.b.c").field("a", Type::Object.array()), "no field below \"a\""),
        (of("a.b.c").field("a", Type::Any), "no field below \"a\""),
        (many, "at most 1024 fields, got 2000"),
        (choices(0), "1 to 1024 values to choose from, got 0"),
        (choices(1_000_000), "1 to 1024 values to choose from, got 1000000"),
        (Schema::new().field("a", Type::Integer.one_of(["x"])), "got \"x\" of an integer"),
        (Schema::new().field("a", Type::Number.one_of([1])), "got 1 of a number"),
        (Schema::new().field("a", Type::String.one_of(large)), "at most 1048576 bytes"),
    ] {
        let message = schema.validate().unwrap_err().to_string();
        assert!(message.starts_with("invalid schema: ") && message.contains(reason), "{message}");
    }
    for schema in [
        of(&["a"; 31].join(".")),
        of("a.b").field("a", Type::Object).field("ab", Type::Integer),
        of("a").field("a!", Type::Integer).field("a-b.c", Type::Integer),
        choices(1_024),
    ] {
        schema.validate().unwrap();
    }
}

#[test]
fn json_reads_back_and_strange_json_is_refused() {
    let schema = Schema::new()
        .field("a", Type::String.one_of(["x", "y"]).array().required())
        .field("b", Type::Integer.one_of([1, -1]))
        .field("c.d", Type::Any)
        .strict();
    assert_eq!(schema.to_string().parse::<Schema>().unwrap(), schema);
    assert_eq!(Schema::from_json(&schema.to_json()).unwrap(), schema);
    assert_eq!(Schema::from_json(&json!({"fields": {"c.d": {}}})).unwrap(), Schema::new().field("c.d", Type::Any));
    assert_eq!(Schema::from_json(&json!({})).unwrap(), Schema::new());
    for (json, reason) in [
        (json!([]), "expected an object, got []"),
        (json!({"fields": {"a": ["string"]}}), "expected an object, got [\"string\"]"),
        (json!({"fields": {"a": "string"}}), "expected an object, got \"string\""),
        (json!({"fields": ["a"]}), "expected a map"),
        (json!({"field": {}}), "unknown field `field`"),
        (json!({"fields": {"a": {"type": "text"}}}), "unknown variant `text`"),
        (json!({"fields": {"a": {"type": "string", "requierd": true}}}), "unknown field `requierd`"),
        (json!({"fields": {"a": {"type": "integer", "one_of": [0.5]}}}), "strings or integers"),
        (json!({"fields": {"": {}}}), "a path of 1 to 512 bytes"),
    ] {
        let message = Schema::from_json(&json).unwrap_err().to_string();
        assert!(message.starts_with("invalid schema: ") && message.contains(reason), "{json}: {message}");
    }
    assert!(" ".repeat(MAX_SCHEMA_BYTES + 1).parse::<Schema>().is_err());
    assert!("[".repeat(100_000).parse::<Schema>().is_err());
}

#[track_caller]
fn check_widening(old: &Schema, new: &Schema, expected: bool) {
    assert_eq!(new.includes(old), expected, "{old} to {new}");
}

#[test]
fn widenings_are_told_from_schemas_alone() {
    let of = |rule: FieldRule| Schema::new().field("a", rule);
    let anything = Schema::new();
    for (old, new) in [
        (of(Type::String.required()), of(Type::String.into())),
        (of(Type::Integer.into()), of(Type::Number.into())),
        (of(Type::Time.into()), of(Type::String.into())),
        (of(Type::Integer.array()), of(Type::Number.array())),
        (of(Type::Integer.array()), of(Type::Any.into())),
        (of(Type::String.one_of(["x"])), of(Type::String.one_of(["x", "y"]))),
        (of(Type::String.one_of(["x"])), of(Type::String.into())),
        (of(Type::String.into()), anything.clone()),
        (of(Type::String.into()).strict(), of(Type::String.into())),
        (of(Type::String.into()).strict(), of(Type::String.into()).field("b.c", Type::Integer).strict()),
        (anything.clone().field("a.b", Type::Integer), of(Type::Object.into())),
        (anything.clone().field("a.b", Type::Integer).strict(), of(Type::Object.into()).strict()),
    ] {
        check_widening(&old, &new, true);
        check_widening(&new, &old, false);
        check_widening(&old, &old, true);
    }
    check_widening(&of(Type::String.into()).strict(), &anything.clone().strict(), false);
    check_widening(&anything, &of(Type::Any.into()), true);
    check_widening(&of(Type::Object.into()).strict(), &anything.field("a.b", Type::Any).strict(), false);
    check_widening(&of(Type::String.into()), &of(Type::Integer.into()), false);
    check_widening(&of(Type::String.into()).strict(), &of(Type::String.into()).field("b", Type::Any.required()), false);
}

const PATHS: [&str; 5] = ["a", "a.b", "a.b.c", "d", "d.b"];

fn random_schema(rng: &mut StdRng) -> Schema {
    loop {
        let mut schema = Schema { strict: rng.random_bool(0.5), ..Schema::new() };
        for path in PATHS.into_iter().filter(|_| rng.random_bool(0.4)).collect::<Vec<_>>() {
            let kinds = [Type::Any, Type::Boolean, Type::Integer, Type::Number, Type::String, Type::Time, Type::Object];
            let mut rule = FieldRule::from(*kinds.choose(rng).unwrap());
            (rule.array, rule.required) = (rng.random_bool(0.2), rng.random_bool(0.2));
            rule = match rule.kind {
                Type::String if rng.random() => rule.one_of(["x", "y"].into_iter().take(rng.random_range(1..=2))),
                Type::Integer if rng.random() => rule.one_of(1..rng.random_range(2..4i64)),
                _ => rule,
            };
            schema.fields.insert(path.to_owned(), rule);
        }
        if schema.validate().is_ok() {
            return schema;
        }
    }
}

fn random_value(rng: &mut StdRng, depth: u32) -> Json {
    match rng.random_range(0..if depth < 3 { 12 } else { 9 }) {
        0 => Json::Null,
        1 => json!(true),
        2 => json!(1),
        3 => json!(2.0),
        4 => json!(0.5),
        5 => json!("x"),
        6 => json!("y"),
        7 => json!("2026-11-22T10:00:00Z"),
        8 => [json!([]), json!([1]), json!(["x"]), json!([{"b": 1}]), json!([null])].choose(rng).unwrap().clone(),
        _ => random_object(rng, depth + 1),
    }
}

fn random_object(rng: &mut StdRng, depth: u32) -> Json {
    let keys = ["a", "b", "c", "d", "a.b", "b.c"];
    let chosen: Vec<_> = keys.into_iter().filter(|_| rng.random_bool(0.25)).collect();
    Json::Object(chosen.into_iter().map(|key| (key.to_owned(), random_value(rng, depth))).collect())
}

/// Checks `includes` on random schemas and metadata.
#[test]
fn whatever_satisfies_a_schema_satisfies_a_wider_one() {
    let mut rng = StdRng::seed_from_u64(20_261_122);
    let (mut n_wider, mut n_admitted, mut n_other) = (0, 0, 0);
    for _ in 0..20_000 {
        let (old, mut new) = (random_schema(&mut rng), random_schema(&mut rng));
        if rng.random() {
            // A schema that differs in one field at most.
            let path = *PATHS.choose(&mut rng).unwrap();
            let rule = new.fields.remove(path);
            (new.fields, new.strict) = (old.fields.clone(), old.strict && new.strict);
            new.fields.remove(path);
            new.fields.extend(rule.map(|rule| (path.to_owned(), rule)));
            if new.validate().is_err() {
                continue;
            }
        }
        let is_wider = new.includes(&old);
        n_wider += usize::from(is_wider);
        for _ in 0..30 {
            let metadata = random_object(&mut rng, 0);
            if !fault(&old, &metadata).is_empty() {
                continue;
            }
            let refused = fault(&new, &metadata);
            assert!(!is_wider || refused.is_empty(), "{old} to {new}: {metadata}: {refused}");
            n_admitted += usize::from(is_wider);
            n_other += usize::from(!refused.is_empty());
        }
    }
    assert!(n_wider > 1_000 && n_admitted > 5_000 && n_other > 5_000, "{n_wider} {n_admitted} {n_other}");
}
