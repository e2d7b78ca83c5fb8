//! Promises of the filter module: what matches, what is refused, and that a reference
//! implementation agrees.

use std::slice::from_ref;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Map, Value as Json, json};

mod index;
mod memory;
mod naive;
mod twin;

use super::{Filter, field, is_time};
use crate::error::Error;
use crate::limits::{MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_NODES, MAX_FILTER_VALUES};
use crate::value::Value;

/// Checks a filter on documents that match and on documents that do not, as read and as written
/// back.
fn check_matches(filter: Json, matching: &[Json], others: &[Json]) {
    let read = Filter::from_json(&filter).unwrap();
    let again: Filter = read.to_string().parse().unwrap();
    let opposite = !read.clone();
    for (documents, expected) in [(matching, true), (others, false)] {
        for document in documents {
            let metadata = Value::from(document.clone());
            assert_eq!(read.matches(&metadata), expected, "{filter} on {document}");
            assert_eq!(again.matches(&metadata), expected, "{again}, written from {filter}, on {document}");
            assert_eq!(opposite.matches(&metadata), !expected, "not {filter} on {document}");
        }
    }
}

#[test]
fn equality_tells_missing_from_null_and_types_apart() {
    let (zero, text, null, missing) = (json!({"a": 0}), json!({"a": "0"}), json!({"a": null}), json!({"b": 0}));
    let all = [zero.clone(), text.clone(), null.clone(), missing.clone()];
    let but = |left_out: &[&Json]| -> Vec<Json> { all.iter().filter(|d| !left_out.contains(d)).cloned().collect() };
    for (operand, equal) in [(json!(0), &zero), (json!(-0.0), &zero), (json!("0"), &text), (json!(null), &null)] {
        check_matches(json!({"a": operand}), from_ref(equal), &but(&[equal]));
        check_matches(json!({"a": {"$eq": operand}}), from_ref(equal), &but(&[equal]));
        check_matches(json!({"a": {"$ne": operand}}), &but(&[equal]), from_ref(equal));
        check_matches(json!({"a": {"$in": [operand]}}), from_ref(equal), &but(&[equal]));
        check_matches(json!({"a": {"$nin": [operand]}}), &but(&[equal]), from_ref(equal));
    }
    check_matches(json!({"a": false}), &[json!({"a": false})], &all);
    check_matches(json!({"a": {"$exists": true}}), &but(&[&missing]), from_ref(&missing));
    check_matches(json!({"a": {"$exists": false}}), from_ref(&missing), &but(&[&missing]));
    check_matches(json!({"a": {"$exists": true}}), &[json!({"a": []}), json!({"a": {}})], &[json!({}), json!(null)]);
    check_matches(json!({"a": {"$isNull": true}}), from_ref(&null), &but(&[&null]));
    check_matches(json!({"a": {"$isNull": false}}), &but(&[&null]), &[null]);
}

#[test]
fn an_array_matches_if_an_element_does() {
    let tags = json!({"tags": ["b", "c", 3, null, ["d"]]});
    let empty = json!({"tags": []});
    let one = from_ref(&tags);
    check_matches(json!({"tags": "b"}), one, &[empty.clone(), json!({"tags": {"b": 1}})]);
    check_matches(json!({"tags": "d"}), &[json!({"tags": "d"})], one);
    check_matches(json!({"tags": {"$ne": "b"}}), &[empty.clone(), json!({})], one);
    check_matches(json!({"tags": {"$gt": 2}}), one, from_ref(&empty));
    check_matches(json!({"tags": {"$in": ["x", "c"]}}), one, from_ref(&empty));
    check_matches(json!({"tags": {"$any": ["x", "c"]}}), one, from_ref(&empty));
    check_matches(json!({"tags": {"$in": []}}), &[], &[tags.clone(), empty.clone(), json!({})]);
    check_matches(json!({"tags": {"$all": ["b", 3.0, null]}}), one, &[empty.clone(), json!({"tags": ["b", 3]})]);
    check_matches(json!({"tags": {"$all": ["b"]}}), &[tags.clone(), json!({"tags": "b"})], &[json!({})]);
    check_matches(json!({"tags": {"$all": []}}), &[tags.clone(), empty.clone()], &[json!({})]);
    check_matches(json!({"tags": {"$contains": "c"}}), one, &[empty.clone(), json!({"tags": ["cc"]})]);
    check_matches(json!({"tags": {"$contains": 3}}), one, &[json!({"tags": 3})]);
    check_matches(json!({"tags": {"$prefix": ""}}), one, &[empty, json!({"tags": [1]})]);
}

#[test]
fn strings_have_prefixes_and_parts() {
    check_matches(
        json!({"s": {"$prefix": "ab"}}),
        &[json!({"s": "abc"}), json!({"s": [1, "ab"]})],
        &[json!({"s": "a"})],
    );
    check_matches(json!({"s": {"$contains": "bc"}}), &[json!({"s": "abcd"})], &[json!({"s": "b"}), json!({"s": null})]);
    check_matches(json!({"s": {"$contains": 1}}), &[json!({"s": [1.0]})], &[json!({"s": "1"}), json!({})]);
    check_matches(
        json!({"s": {"$gte": "b"}}),
        &[json!({"s": "b"}), json!({"s": "ä"})],
        &[json!({"s": "a"}), json!({"s": 9})],
    );
}

#[test]
fn numbers_compare_without_rounding() {
    let beyond = 9_007_199_254_740_993_u64;
    check_matches(json!({"n": beyond}), &[json!({"n": beyond})], &[json!({"n": 9_007_199_254_740_992.0})]);
    check_matches(json!({"n": {"$gt": 9_007_199_254_740_992.0}}), &[json!({"n": beyond})], &[json!({"n": beyond - 1})]);
    check_matches(
        json!({"n": {"$lt": 1.5}}),
        &[json!({"n": 1}), json!({"n": -1e300})],
        &[json!({"n": 2}), json!({"n": "1"})],
    );
    check_matches(json!({"n": {"$lt": -1.5}}), &[json!({"n": -2})], &[json!({"n": -1})]);
    let high = 18_446_744_073_709_551_616.0;
    check_matches(json!({"n": {"$lt": high}}), &[json!({"n": u64::MAX})], &[json!({"n": high})]);
    check_matches(
        json!({"n": {"$in": [i64::MIN, 2]}}),
        &[json!({"n": i64::MIN as f64}), json!({"n": 2.0})],
        &[json!({"n": 2.5})],
    );
    check_matches(json!({"n": {"$gte": -0.0}}), &[json!({"n": 0}), json!({"n": 0.0})], &[json!({"n": -1})]);
    check_matches(json!({"n": {"$gt": 0}}), &[json!({"n": 1})], &[json!({"n": true})]);
    assert!(!field("n").gt(0).matches(&Value::Object([("n".to_owned(), Value::F64(f64::NAN))].into())));
}

#[test]
fn a_time_without_a_zone_is_in_utc() {
    let same = [
        "2026-01-01",
        "2026-01-01T00:00",
        "2026-01-01 00:00",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.000",
        "2026-01-01 00:00:00",
        "2026-01-01t00:00:00z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00+0000",
        "2026-01-01T00:00:00-0000",
        "2026-01-01T00:00:00+00",
        "2026-01-01 00:00:00 +0000",
        "2026-01-01T02:00:00+02:00",
        "2026-01-01T02:00+02:00",
        "2026-01-01T02:00:00.0+0200",
        "2025-12-31T19:00:00-05",
        "2025-12-31T18:30-0530",
    ];
    let before = ["2025-12-31", "2025-12-31T23:59:59.999999999", "2025-12-31T18:59:59-0500", "2026-01-01T00:59+01"];
    let after =
        ["2026-01-02", "2026-01-01T00:00:00.000000001", "2025-12-31T20:00:00-05:00", "2025-12-31T20:00:00-0500"];
    let documents = |times: &[&str]| times.iter().map(|time| json!({"t": time})).collect::<Vec<_>>();
    let (befores, sames, afters) = (documents(&before), documents(&same), documents(&after));
    for time in same {
        check_matches(json!({"t": time}), &sames, &[&befores[..], &afters].concat());
        check_matches(json!({"t": {"$lt": time}}), &befores, &[&sames[..], &afters].concat());
        check_matches(json!({"t": {"$gte": time}}), &[&sames[..], &afters].concat(), &befores);
        check_matches(json!({"t": {"$in": ["x", time]}}), &sames, &befores);
    }
    // A string that is no time is a string like any other.
    let texts = [
        "2026-01",
        "2026-1-1",
        "2026-13-01",
        "2026-02-30",
        "2026-01-01T",
        "2026-01-01T24:00",
        "2026-01-01T00",
        "2026-01-01Z",
        "2026-01-01T00:00:00+1",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00 UTC",
        "2026-01-01T0000",
        "20260101",
        "2026-01-01T00:00:00.",
        "2026-01-01TT00:00",
        "+026-01-01",
        "２026-01-01",
        "2026-01-01T00:00+é1",
    ];
    for text in texts {
        assert!(!is_time(text), "{text}");
        check_matches(json!({"t": text}), &documents(&[text]), &sames);
    }
}

#[test]
fn times_compare_as_instants() {
    let noon = json!({"t": "2026-01-01T12:00:00Z"});
    let same = json!({"t": "2026-01-01T13:00:00.000+01:00"});
    let later = json!({"t": "2026-01-01T11:30:00-01:00"});
    let text = json!({"t": "2026-01-01"});
    let both = [noon.clone(), same.clone()];
    check_matches(same["t"].as_str().map(|t| json!({"t": t})).unwrap(), &both, &[later.clone(), text.clone()]);
    check_matches(json!({"t": {"$in": [same["t"], "x"]}}), &both, &[later.clone(), text.clone()]);
    check_matches(json!({"t": {"$all": [same["t"], noon["t"]]}}), &both, from_ref(&later));
    check_matches(json!({"t": {"$gt": noon["t"]}}), from_ref(&later), &both);
    check_matches(json!({"t": {"$between": [noon["t"], "2026-01-01T12:00:01Z"]}}), &both, from_ref(&later));
    check_matches(json!({"t": {"$lt": noon["t"]}}), &[text], &[json!({"t": "2027"})]);
    check_matches(json!({"t": {"$prefix": "2026-01-01T12"}}), &[noon], &[same, later]);
    let edges = [json!({"t": "0000-01-01T00:00:00+23:59"}), json!({"t": "9999-12-31T23:59:60-23:59"})];
    check_matches(json!({"t": {"$lt": "1000-01-01T00:00:00Z"}}), &edges[..1], &edges[1..]);
}

#[test]
fn a_range_holds_both_ends_and_one_element() {
    let inside = [json!({"x": 1}), json!({"x": 2.5}), json!({"x": 3}), json!({"x": [0, 2]})];
    check_matches(json!({"x": {"$between": [1, 3]}}), &inside, &[json!({"x": [0, 4]}), json!({"x": "2"}), json!({})]);
    check_matches(json!({"x": {"$gt": 1, "$lt": 3}}), &[json!({"x": [0, 4]})], &[json!({"x": [0, 1]})]);
    check_matches(json!({"x": {"$between": [3, 1]}}), &[], &inside);
}

#[test]
fn paths_reach_through_objects_and_arrays() {
    check_matches(json!({"a.b": 1}), &[json!({"a": {"b": 1}}), json!({"a.b": 1})], &[json!({"a": 1}), json!({"b": 1})]);
    check_matches(
        json!({"a.b.c": 1}),
        &[json!({"a": {"b.c": 1}}), json!({"a": [{"b": [{"c": [1]}]}]})],
        &[json!({"a.b": {"c": 1}})],
    );
    check_matches(json!({"a.b": 1}), &[json!({"a": [0, {"c": 1}, {"b": 1}]})], &[json!({"a": [[{"b": 1}]]})]);
    check_matches(json!({"a.b": 2}), &[], &[json!({"a.b": 1, "a": {"b": 2}})]);
    check_matches(json!({"a.b": {"$exists": true}}), &[json!({"a": [{}, {"b": null}]})], &[json!({"a": [{}]})]);
    check_matches(json!({"a.b": {"$all": [1, 2]}}), &[json!({"a": [{"b": 1}, {"b": 2}]})], &[json!({"a": [{"b": 1}]})]);
    check_matches(json!({"a.": 1}), &[json!({"a": {"": 1}}), json!({"a.": 1})], &[json!({"a": 1})]);
}

#[test]
fn connectives_join_filters() {
    let (ab, a, b, none) = (json!({"a": 1, "b": 1}), json!({"a": 1}), json!({"b": 1}), json!({}));
    let pair = json!([{"a": 1}, {"b": 1}]);
    let all = [ab.clone(), a.clone(), b.clone(), none.clone()];
    check_matches(json!({"a": 1, "b": 1}), &all[..1], &all[1..]);
    check_matches(json!({"$and": pair}), &all[..1], &all[1..]);
    check_matches(json!({"$or": pair}), &all[..3], &all[3..]);
    check_matches(json!({"$nor": pair}), &all[3..], &all[..3]);
    check_matches(json!({"$not": {"$and": pair}}), &all[1..], &all[..1]);
    check_matches(json!({"$not": {"a": 1}}), &[b.clone(), none.clone()], &[ab.clone(), a.clone()]);
    check_matches(json!({"a": {"$not": {"$gt": 0}}}), &[b, none, json!({"a": 0})], &[ab, a]);
    check_matches(json!({"a": {"$not": {"$not": {"$gte": 1, "$lt": 2}}}}), &all[..2], &all[2..]);
    for everything in
        [json!({}), json!({"$and": []}), json!({"$nor": []}), json!({"$not": {"$or": []}}), json!({"$and": [{}, {}]})]
    {
        check_matches(everything.clone(), &all, &[]);
        assert!(Filter::from_json(&everything).unwrap().is_everything(), "{everything}");
    }
    for nothing in [json!({"$or": []}), json!({"$not": {}}), json!({"$nor": [{}]})] {
        check_matches(nothing.clone(), &[], &all);
        assert!(!Filter::from_json(&nothing).unwrap().is_everything(), "{nothing}");
    }
}

#[test]
fn the_builder_makes_what_json_says() {
    let day = "2026-01-01T00:00:00Z";
    for (built, written) in [
        (Filter::default(), json!({})),
        (Filter::everything().and(field("a").eq(1)), json!({"a": 1})),
        (!Filter::everything(), json!({"$or": []})),
        (field("a").eq(1).and(field("b").ne("x")), json!({"$and": [{"a": 1}, {"b": {"$ne": "x"}}]})),
        (
            field("a").gt(1) | field("a").lt(0.5) | field("a").eq(Value::Null),
            json!({"$or": [{"a": {"$gt": 1}}, {"a": {"$lt": 0.5}}, {"a": null}]}),
        ),
        (
            field("a").gte(day) & !field("b").lte(2),
            json!({"$and": [{"a": {"$gte": day}}, {"$not": {"b": {"$lte": 2}}}]}),
        ),
        (field("a").eq(1) & (field("b").eq(2) & field("c").eq(3)), json!({"$and": [{"a": 1}, {"b": 2}, {"c": 3}]})),
        (!!(field("a").eq(1) & field("b").eq(2)), json!({"$and": [{"a": 1}, {"b": 2}]})),
        (field("a").is_in(["y", "x"]), json!({"a": {"$in": ["x", "y"]}})),
        (!field("a").is_in([2, 1]), json!({"a": {"$nin": [1, 2]}})),
        (!field("a").not_in([true]), json!({"a": {"$in": [true]}})),
        (field("a").any([1]) & field("a").all([2]), json!({"$and": [{"a": {"$in": [1]}}, {"a": {"$all": [2]}}]})),
        (field("a").between(1, 2), json!({"a": {"$between": [1, 2]}})),
        (
            field("a").prefix("x") & field("a").contains("y"),
            json!({"$and": [{"a": {"$prefix": "x"}}, {"a": {"$contains": "y"}}]}),
        ),
        (
            field("a").exists(false) & field("a").exists(true),
            json!({"$and": [{"a": {"$exists": false}}, {"a": {"$exists": true}}]}),
        ),
        (field("a").is_null(true) & field("a").is_null(false), json!({"$and": [{"a": null}, {"a": {"$ne": null}}]})),
    ] {
        built.check().unwrap();
        assert_eq!(built.to_json(), written);
        assert_eq!(Filter::from_json(&written).unwrap().to_json(), written);
    }
}

/// Checks that two spellings read as the same filter.
fn check_same(spelt: Json, usual: Json) {
    assert_eq!(Filter::from_json(&spelt).unwrap().to_json(), Filter::from_json(&usual).unwrap().to_json(), "{spelt}");
}

#[test]
fn dollar_signs_may_be_left_out_where_no_field_can_be_meant() {
    check_same(json!({"a": {"gt": 1, "lt": 3}}), json!({"a": {"$gt": 1, "$lt": 3}}));
    check_same(json!({"a": {"not": {"in": [1, 2]}}}), json!({"a": {"$not": {"$in": [1, 2]}}}));
    check_same(json!({"a": {"isNull": true, "exists": true}}), json!({"a": {"$isNull": true, "$exists": true}}));
    check_same(json!({"or": [{"a": 1}, {"and": [{"b": 2}]}]}), json!({"$or": [{"a": 1}, {"$and": [{"b": 2}]}]}));
    check_same(json!({"nor": [{"a": 1}], "not": {"b": 2}}), json!({"$nor": [{"a": 1}], "$not": {"b": 2}}));
    // These are fields.
    let named = json!({"and": 1, "or": {"$gt": 0}, "not": {"eq": 2}, "must": "x", "should": {"in": ["y"]}});
    let (matching, other) = (json!({"and": 1, "or": 1, "not": 2, "must": "x", "should": "y"}), json!({"and": 1}));
    check_matches(named, &[matching], &[other]);
    check_refused(json!({"a": {"$gt": 1, "In": [1]}}), "a", &["operators only", "got the key In"]);
    check_refused(json!({"a": {"or": []}}), "a", &["operators only"]);
    check_refused(json!({"not": {}}), "not", &["got an empty object"]);
}

#[test]
fn groups_of_conditions_are_filters() {
    let city = json!({"key": "city", "match": {"value": "Ulm"}});
    check_same(json!({"must": [city, {"size": {"gt": 1}}]}), json!({"$and": [{"city": "Ulm"}, {"size": {"$gt": 1}}]}));
    check_same(json!({"must": city}), json!({"city": "Ulm"}));
    check_same(json!({"should": [city, {"is_null": {"key": "a"}}]}), json!({"$or": [{"city": "Ulm"}, {"a": null}]}));
    check_same(json!({"must_not": [city, {"b": 1}]}), json!({"$nor": [{"city": "Ulm"}, {"b": 1}]}));
    check_same(
        json!({"must": [{"key": "n[].m", "match": {"any": [1, 2]}}], "must_not": [{"should": [{"a": 1}, {"b": 2}]}]}),
        json!({"$and": [{"n.m": {"$in": [1, 2]}}, {"$nor": [{"$or": [{"a": 1}, {"b": 2}]}]}]}),
    );
    check_same(
        json!({"must": [{"key": "t", "range": {"gte": "2026-01-01T00:00:00Z", "lt": 5, "gt": null}}]}),
        json!({"t": {"$gte": "2026-01-01T00:00:00Z", "$lt": 5}}),
    );
    for everything in [json!({"must": []}), json!({"should": []}), json!({"must_not": [], "must": [{}]})] {
        assert!(Filter::from_json(&everything).unwrap().is_everything(), "{everything}");
    }
    // A document may have fields of these names.
    check_matches(json!({"must": [{"key": 3, "match": 1}]}), &[json!({"key": 3, "match": 1})], &[json!({"key": 3})]);
    check_refused(json!({"must": [{}, 1]}), "must[1]", &["expected an object, got a number"]);
    let key = |rest: Json| json!({"must_not": [{"key": "a", "match": rest}]});
    check_refused(key(json!({"except": [1]})), "must_not[0].match", &["\"any\", got except"]);
    check_refused(key(json!({"value": [1]})), "must_not[0].match.value", &["got an array"]);
    check_refused(key(json!({"any": [1], "value": 1})), "must_not[0].match", &["got 2 keys"]);
    check_refused(json!({"must": {"key": "a", "range": {"from": 1}}}), "must.range", &["gt, gte, lt or lte, got from"]);
    check_refused(json!({"must": {"key": "a", "range": {"gt": true}}}), "must.range.gt", &["got a boolean"]);
    check_refused(json!({"must": {"key": "a", "range": {"gt": null}}}), "must.range", &["expected bounds, got none"]);
    check_refused(json!({"must": {"key": "", "range": {"gt": 1}}}), "must.range", &["1 to 512 bytes, got 0"]);
    let deep = (0..MAX_FILTER_DEPTH).fold(json!({"a": 1}), |inner, _| json!({"must": [inner]}));
    assert!(matches!(Filter::from_json(&deep), Err(Error::LimitExceeded { .. })));
}

/// Checks that JSON is refused at a place, for a reason that has all of the parts.
fn check_refused(filter: Json, place: &str, parts: &[&str]) {
    let Err(Error::InvalidFilter { at, reason }) = Filter::from_json(&filter) else { panic!("{filter} is read") };
    assert_eq!(at, place, "{filter}: {reason}");
    for part in parts {
        assert!(reason.contains(part), "{filter}: {reason}");
    }
}

#[test]
fn errors_say_where_and_what() {
    check_refused(json!([]), "filter", &["expected an object, got an array"]);
    check_refused(json!("a"), "filter", &["expected an object, got a string"]);
    check_refused(json!({"$and": {}}), "$and", &["expected an array of filters, got an object"]);
    check_refused(json!({"$or": [{}, 3]}), "$or[1]", &["expected an object, got a number"]);
    check_refused(json!({"$not": []}), "$not", &["expected an object, got an array"]);
    check_refused(json!({"$adn": []}), "$adn", &["perhaps $and, got $adn"]);
    check_refused(json!({"$where": 1}), "$where", &["one of $and, $or, $nor, $not, $text, got $where"]);
    check_refused(json!({"$eq": 1}), "$eq", &["inside a field"]);
    check_refused(json!({"a": {"$or": []}}), "a.$or", &["around whole filters"]);
    check_refused(json!({"a": {"$IN": []}}), "a.$IN", &["perhaps $in, got $IN"]);
    check_refused(json!({"a": {"$isnull": true}}), "a.$isnull", &["perhaps $isNull"]);
    check_refused(json!({"a": {"$regex": "x"}}), "a.$regex", &["one of $eq, $ne", "got $regex"]);
    check_refused(json!({"a": {"b": 1}}), "a", &["write a path: \"a.b\""]);
    check_refused(json!({"a": {"$gt": 1, "b": 1}}), "a", &["operators only", "got the key b"]);
    check_refused(json!({"a": {}}), "a", &["got an empty object"]);
    check_refused(json!({"a": [1]}), "a", &["$in", "got an array"]);
    check_refused(json!({"": 1}), "filter", &["1 to 512 bytes, got 0"]);
    check_refused(json!({"$and": [{"x".repeat(513): 1}]}), "$and[0]", &["1 to 512 bytes, got 513"]);
    check_refused(
        json!({"$and": [{}, {"tag": {"$gt": null}}]}),
        "$and[1].tag.$gt",
        &["expected a number or a string, got null"],
    );
    check_refused(json!({"a": {"$not": {"$lte": true}}}), "a.$not.$lte", &["got a boolean"]);
    check_refused(json!({"a": {"$not": 1}}), "a.$not", &["expected an object of operators, got a number"]);
    check_refused(
        json!({"a": {"$ne": {}}}),
        "a.$ne",
        &["expected null, a boolean, a number or a string, got an object"],
    );
    check_refused(json!({"a": {"$in": 1}}), "a.$in", &["expected an array of scalars, got a number"]);
    check_refused(json!({"a": {"$all": [1, [2]]}}), "a.$all[1]", &["got an array"]);
    check_refused(json!({"a": {"$between": [1]}}), "a.$between", &["expected two values, the low one first, got 1"]);
    check_refused(json!({"a": {"$between": [1, null]}}), "a.$between[1]", &["got null"]);
    check_refused(json!({"a": {"$prefix": 1}}), "a.$prefix", &["expected a string, got a number"]);
    check_refused(json!({"a": {"$contains": []}}), "a.$contains", &["got an array"]);
    check_refused(json!({"a": {"$exists": 1}}), "a.$exists", &["expected true or false, got a number"]);
    check_refused(json!({"a": {"$isNull": null}}), "a.$isNull", &["expected true or false, got null"]);
}

#[test]
fn text_that_is_no_json_is_refused() {
    for text in ["", "{", "{\"a\":1e999}", "{\"a\":1} x", &"{\"$not\":".repeat(100_000)] {
        let refused = text.parse::<Filter>();
        assert!(matches!(&refused, Err(Error::InvalidFilter { at, .. }) if at == "filter"), "{refused:?}");
    }
    check_too_large(format!("{}{{}}", " ".repeat(MAX_FILTER_BYTES)).parse(), MAX_FILTER_BYTES);
}

#[test]
fn a_message_shows_little_of_a_long_name() {
    for name in ["$".to_owned() + &"é".repeat(1 << 20), "$".repeat(1 << 20)] {
        for filter in [json!({name.clone(): 1}), json!({"a": {name.clone(): 1}}), json!({"a": {&name[1..]: 1}})] {
            assert!(Filter::from_json(&filter).unwrap_err().to_string().len() < 4_096);
        }
    }
}

#[test]
fn the_builder_remembers_what_it_refused() {
    let array = || Value::from(vec![1]);
    for (filter, place) in [
        (field("a").eq(array()), "a.$eq"),
        (field("a").ne(array()), "a.$ne"),
        (field("a").gt(true), "a.$gt"),
        (field("a").lte(f64::NAN), "a.$lte"),
        (field("a").contains(f64::INFINITY), "a.$contains"),
        (field("a").between(1, Value::Null), "a.$between[1]"),
        (field("a").is_in([Value::Null, array()]), "a.$in[1]"),
        (field("a").not_in([array()]), "a.$nin[0]"),
        (field("").eq(1), "filter"),
        (field("x".repeat(513)).eq(1), "filter"),
        (field("$gt").eq(1), "filter"),
    ] {
        let Err(Error::InvalidFilter { at, .. }) = filter.check() else { panic!("{filter:?} is accepted") };
        assert_eq!(at, place);
        for grown in [!filter.clone(), filter.clone() | Filter::everything(), Filter::everything() & filter] {
            assert!(grown.check().is_err() && !grown.matches(&Value::object()) && !grown.is_everything(), "{grown:?}");
            assert_eq!(grown.to_json(), json!({"$or": []}));
        }
    }
    assert!(field("x".repeat(512)).eq(1).check().is_ok());
}

fn check_too_large(filter: crate::error::Result<Filter>, exceeded: usize) {
    let checked = filter.and_then(|filter| filter.check());
    assert!(
        matches!(checked, Err(Error::LimitExceeded { limit, got, .. }) if limit == exceeded && got > limit),
        "{checked:?}"
    );
}

/// Puts JSON under `levels` connectives. `wrap` gets the level, since equal connectives dissolve.
fn nested(levels: usize, wrap: impl Fn(usize, Json) -> Json) -> Json {
    (0..levels).fold(json!({"a": 1}), |inner, level| wrap(level, inner))
}

/// Drops JSON of any depth.
fn dismantle(json: Json) {
    let mut pending = vec![json];
    while let Some(json) = pending.pop() {
        match json {
            Json::Array(items) => pending.extend(items),
            Json::Object(map) => pending.extend(map.into_iter().map(|(_, item)| item)),
            _ => {}
        }
    }
}

#[test]
fn depth_is_counted_exactly() {
    let alternate = |level: usize, inner| json!({["$and", "$or"][level % 2]: [inner, {"b": 1}]});
    let deepest = Filter::from_json(&nested(MAX_FILTER_DEPTH - 1, alternate)).unwrap();
    deepest.to_string().parse::<Filter>().unwrap().check().unwrap();
    check_too_large(Filter::from_json(&nested(MAX_FILTER_DEPTH, alternate)), MAX_FILTER_DEPTH);
    check_too_large(Ok(!deepest.clone()), MAX_FILTER_DEPTH);
    // The outermost connective is an `$and`: another one dissolves, an `$or` on either side adds a
    // level.
    for filter in [field("c").eq(1) & deepest.clone(), deepest.clone() & field("c").eq(1)] {
        filter.to_string().parse::<Filter>().unwrap().check().unwrap();
    }
    check_too_large(Ok(field("c").eq(1) | deepest.clone()), MAX_FILTER_DEPTH);
    check_too_large(Ok(deepest | field("c").eq(1)), MAX_FILTER_DEPTH);
    // A negated `$and` is two levels.
    let negated = |n: usize| (0..n).fold(field("a").eq(1), |filter, _| !(filter & field("b").gt(1)));
    negated((MAX_FILTER_DEPTH - 1) / 2).to_string().parse::<Filter>().unwrap().check().unwrap();
    check_too_large(Ok(negated(MAX_FILTER_DEPTH / 2)), MAX_FILTER_DEPTH);
}

/// Moves the value in, since `json!` would serialise it, and so recurse.
fn object(key: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), value)]))
}

#[test]
fn json_of_any_depth_is_refused() {
    let array = |inner| Json::Array(vec![inner]);
    let wraps: [&dyn Fn(usize, Json) -> Json; 5] = [
        &|_, inner| object("$and", array(inner)),
        &|_, inner| object("$not", inner),
        &|level, inner| object(["$or", "$nor"][level % 2], array(inner)),
        &|_, inner| object("a", inner),
        &|_, inner| array(inner),
    ];
    for (kind, wrap) in wraps.into_iter().enumerate() {
        let json = nested(if kind == 0 { 1_000_000 } else { 100_000 }, wrap);
        let refused = Filter::from_json(&json);
        if kind < 3 {
            check_too_large(refused, MAX_FILTER_DEPTH);
        } else {
            assert!(matches!(refused, Err(Error::InvalidFilter { .. })), "{kind}");
        }
        dismantle(json);
        for operator in ["$eq", "$gt", "$in", "$not", "$between", "$exists", "$prefix"] {
            let json = object("a", object(operator, nested(30_000, wrap)));
            assert!(Filter::from_json(&json).is_err(), "{operator} {kind}");
            dismantle(json);
        }
    }
    let json = object("a", nested(100_000, |_, inner| object("$not", inner)));
    check_too_large(Filter::from_json(&json), MAX_FILTER_DEPTH);
    dismantle(json);
}

#[test]
fn values_of_any_depth_are_refused_and_dropped() {
    let deep = || (0..1_000_000).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    assert!(field("a").eq(deep()).check().is_err());
    assert!(field("a").gt(deep()).check().is_err());
    assert!(field("a").is_in([deep(), deep()]).check().is_err());
    assert!(field("a").between(1, deep()).check().is_err());
}

#[test]
fn long_chains_stop_growing() {
    let chain = |n: i64| (0..n).fold(field("a").eq(-1), |filter, i| filter.or(field("a").eq(i)));
    let longest = chain(MAX_FILTER_NODES as i64 - 2);
    longest.check().unwrap();
    assert!(longest.matches(&Value::from(json!({"a": 4_000}))) && !longest.matches(&Value::from(json!({"a": 5_000}))));
    longest.to_string().parse::<Filter>().unwrap().check().unwrap();
    check_too_large(Ok(chain(MAX_FILTER_NODES as i64 - 1)), MAX_FILTER_NODES);
    check_too_large(Ok(chain(100_000)), MAX_FILTER_NODES);
    let backwards = (0..100_000).fold(field("a").eq(-1), |filter, i| field("a").eq(i).and(filter));
    check_too_large(Ok(backwards), MAX_FILTER_NODES);
    let flipped = (0..100_000).fold(field("a").gt(-1), |filter, _| !filter);
    assert_eq!(flipped.to_json(), json!({"a": {"$gt": -1}}));
    let towering = (0..100_000).fold(field("a").eq(-1), |filter, i| (!filter).or(field("a").eq(i)));
    check_too_large(Ok(towering), MAX_FILTER_DEPTH);
    check_too_large(Filter::from_json(&json!({"$or": vec![json!({"a": 1}); 5_000]})), MAX_FILTER_NODES);
}

#[test]
fn lists_and_strings_are_bounded_and_found_fast() {
    let numbers = |n: usize| field("a").is_in((0..n).map(|number| number * 2));
    let full = numbers(MAX_FILTER_VALUES);
    full.check().unwrap();
    for number in 0..100_000_usize {
        let expected = number % 2 == 0;
        assert_eq!(full.matches(&Value::Object([("a".to_owned(), Value::from(number))].into())), expected, "{number}");
    }
    check_too_large(Ok(numbers(MAX_FILTER_VALUES + 1)), MAX_FILTER_VALUES);
    check_too_large(Ok(full.and(field("b").all([1]))), MAX_FILTER_VALUES);
    check_too_large(Ok(field("a").not_in(std::iter::repeat("x"))), MAX_FILTER_VALUES);
    check_too_large(Ok(field("a").prefix("x".repeat(MAX_FILTER_BYTES))), MAX_FILTER_BYTES);
    let half = || field("a").ne("x".repeat(MAX_FILTER_BYTES / 2));
    check_too_large(Ok(half() & half()), MAX_FILTER_BYTES);
}
