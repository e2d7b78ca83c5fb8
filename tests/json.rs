//! JSON: written values read back equal, the format does not change, and no input does harm.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use vectrove::json::{self, Action, FromJson, Operation, Row, ScrollRequest, SearchRequest, Vector, WriteRequest};
use vectrove::limits::{
    MAX_BATCH_OPERATIONS, MAX_BOOSTS, MAX_DIMENSION, MAX_EXAMPLES, MAX_FIELDS, MAX_FILTER_BYTES, MAX_METADATA_BYTES,
};
use vectrove::{
    Boost, Collection, CollectionConfig, Commit, Cursor, Database, DocId, Document, Error, ErrorKind, Fusion, GroupBy,
    Mmr, Outcome, Query, SearchCursor, Strategy, Update, Uuid, Value, field,
};

fn database() -> (TempDir, Database, Collection) {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::open(folder.path()).unwrap();
    let notes = db.create_collection("notes", CollectionConfig::new(2)).unwrap();
    (folder, db, notes)
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// Reads text, and compares its written form with it, from bytes and from a parsed value.
#[track_caller]
fn check_same<T: FromJson + Serialize>(written: &str) {
    let read: T = json::from_str(written).unwrap();
    assert_eq!(text(&read), written);
    let parsed: Json = serde_json::from_str(written).unwrap();
    let again = serde_json::to_value(json::from_value::<T>(&parsed).unwrap()).unwrap();
    assert_eq!(again, serde_json::to_value(&read).unwrap());
}

#[test]
fn documents_and_updates_are_written_as_they_are_read() {
    check_same::<Document>(r#"{"vector":[1.0,-0.5]}"#);
    check_same::<Document>(
        r#"{"id":18446744073709551615,"vector":[0.1],"metadata":{"a":[null,{"b":-9223372036854775808}],"n":18446744073709551615,"x":0.1},"text":"é\n"}"#,
    );
    check_same::<Document>(r#"{"id":"67e55044-10b1-426f-9247-bb680e5fe0c8","vector":[]}"#);
    check_same::<Update>(r#"{"id":"a"}"#);
    check_same::<Update>(
        r#"{"id":7,"vector":[1.0],"metadata":[{"merge":{"a":null}},{"remove":["b","c"]},{"replace":{}}],"text":""}"#,
    );
    check_same::<Update>(r#"{"id":"a","remove_text":true}"#);
    let built = Update::new("a").merge(json!({"read": true})).remove(["draft"]).remove_text();
    let expected = r#"{"id":"a","metadata":[{"merge":{"read":true}},{"remove":["draft"]}],"remove_text":true}"#;
    assert_eq!(text(&built), expected);
    let null = json::from_str::<Document>(r#"{"id":null,"vector":[1],"metadata":null,"text":null}"#).unwrap();
    assert_eq!(text(&null), r#"{"vector":[1.0]}"#);
}

#[test]
fn batches_are_written_as_they_are_read() {
    check_same::<WriteRequest>(r#"{"operations":[]}"#);
    check_same::<WriteRequest>(
        r#"{"operations":[{"insert":{"id":1,"vector":[1.0]},"collection":"notes","namespace":"agent","must_not_exist":true},{"upsert":{"vector":[1.0]}},{"update":{"id":1},"expect_version":18446744073709551615},{"delete":"a","must_exist":true}],"operation_id":"67e55044-10b1-426f-9247-bb680e5fe0c8","durability":"wal"}"#,
    );
    let mut built = WriteRequest::new(vec![Operation::new(Action::Delete("a".into()))]);
    built.operation_id = Some(Uuid::nil());
    let expected = r#"{"operations":[{"delete":"a"}],"operation_id":"00000000-0000-0000-0000-000000000000"}"#;
    assert_eq!(text(&built), expected);
}

#[test]
fn searches_are_written_as_they_are_read() {
    check_same::<SearchRequest>(r#"{"vector":[0.1,0.2]}"#);
    check_same::<SearchRequest>(
        r#"{"vector":[0.1],"text":"strict borrow","fusion":{"by":"scores","vector_weight":0.5,"text_weight":1.0,"candidates":64}}"#,
    );
    check_same::<SearchRequest>(r#"{"text":"\"strict mothers\" lend*","k1":0.5,"b":0.0}"#);
    check_same::<SearchRequest>(r#"{"like":7,"fusion":{"by":"rrf","k":60.0,"vector_weight":1.0,"text_weight":2.0}}"#);
    check_same::<SearchRequest>(r#"{"recommend":{"negative":[[1.0],8],"positive":["a",[0.5]]},"text":"a"}"#);
    check_same::<SearchRequest>(
        r#"{"vector":[1.0],"limit":18446744073709551615,"offset":3,"filter":{"$and":[{"n":{"$gt":9007199254740993}},{"tag":{"$in":["a","b"]}}]},"min_score":0.1,"max_distance":-1.0,"with_vector":true,"fields":["a"],"with_document":false,"ef":64,"strategy":"codes","oversampling":2.0,"explain":true,"mmr":{"lambda":0.5,"candidates":50},"group_by":{"field":"n","per_group":2},"boosts":[{"decay":{"field":"at","half_life_ms":604800000,"origin":"2026-01-01T00:00:00Z"},"weight":0.5},{"number":{"field":"n","log":true}},{"number":{"field":"n"},"weight":-1.0},{"when":{"pinned":true}}],"boosted_candidates":100,"pages":true}"#,
    );
    let mut built = SearchRequest::new(Query::recommend(["a"]).negative(["b"]));
    built.params.filter = field("n").eq(1);
    built.params.mmr = Some(Mmr::new(0.25, 9));
    built.params.group_by = Some(GroupBy::new("n", 1));
    built.params.fusion = Fusion::rrf().k(7.0);
    built.params.strategy = Some(Strategy::Exact);
    built.params.boosts = vec![Boost::decay("at", Duration::from_micros(1500))];
    assert_eq!(
        text(&built),
        r#"{"recommend":{"negative":["b"],"positive":["a"]},"filter":{"n":1},"strategy":"exact","mmr":{"lambda":0.25,"candidates":9},"group_by":{"field":"n","per_group":1},"boosts":[{"decay":{"field":"at","half_life_ms":1.5}}],"fusion":{"by":"rrf","k":7.0,"vector_weight":1.0,"text_weight":1.0}}"#
    );
    let exact: SearchRequest = json::from_str(r#"{"vector":[1],"exact":true,"limit":null,"strategy":null}"#).unwrap();
    assert_eq!(text(&exact), r#"{"vector":[1.0],"strategy":"exact"}"#);
}

#[test]
fn scrolls_and_cursors_are_written_as_they_are_read() {
    let after = Cursor::after("note 17").to_string();
    check_same::<ScrollRequest>("{}");
    check_same::<ScrollRequest>(&format!(
        r#"{{"filter":{{"a":1}},"limit":3,"with_vector":true,"order_by":"n","descending":true,"after":"{after}"}}"#
    ));
    assert_eq!(after, "gQACBwBub3RlIDE3Ui4cWQ");
}

#[test]
fn rows_are_written_as_they_are_read() {
    for line in [
        r#"{"id":1,"a":2,"vector":[1.0]}"#,
        r#"{"id":"x","text":"t","metadata":{"id":2,"vector":"v"},"vector":[1.0]}"#,
        r#"{"id":1,"metadata":{"metadata":{"deep":1}}}"#,
        r#"{"a":[1,2.5,"b"]}"#,
        "{}",
    ] {
        let row = Row::read(line.as_bytes(), "id").unwrap();
        assert_eq!(text(&row), line);
    }
    let metadata = |line: &str| text(&Row::read(line.as_bytes(), "id").unwrap().metadata);
    assert_eq!(metadata(r#"{"id": 1, "metadata": {"id": 2}}"#), r#"{"id":2}"#);
    assert_eq!(metadata(r#"{"id": 1, "metadata": {"id": 2}, "a": 3}"#), r#"{"a":3,"metadata":{"id":2}}"#);
    assert_eq!(metadata(r#"{"id": 1, "metadata": [2]}"#), r#"{"metadata":[2]}"#);
    let named = Row::read(br#"{"name": "x", "id": 3}"#, "name").unwrap();
    assert_eq!((named.id, text(&named.metadata)), (Some("x".into()), r#"{"id":3}"#.into()));
}

#[test]
fn components_read_as_the_nearest_single() {
    let twice_rounded = f32::from_bits(0x15ae_43fd);
    let bits: Vec<u32> = (0..MAX_DIMENSION as u32).map(|n| n.wrapping_mul(0x9e37_79b1)).collect();
    let others = bits.into_iter().map(f32::from_bits).filter(|component| component.is_finite());
    let components: Vec<f32> =
        [f32::MIN_POSITIVE, f32::MAX, 1e-45, 0.1, -0.0, twice_rounded].into_iter().chain(others).collect();
    let bits = |vector: &[f32]| vector.iter().map(|component| component.to_bits()).collect::<Vec<_>>();
    for components in components.chunks(1 << 12) {
        let displayed: Vec<String> = components.iter().map(f32::to_string).collect();
        for written in [text(&components), format!("[{}]", displayed.join(","))] {
            let Vector(read) = serde_json::from_str(&written).unwrap();
            assert_eq!(bits(&read), bits(components));
            let row = Row::read(format!("{{\"vector\":{written}}}").as_bytes(), "id").unwrap();
            assert_eq!(bits(&row.vector.unwrap()), bits(components));
        }
    }
    // Numbers for which rounding to 64 bits first would change the result.
    for (written, component) in [
        ("7.038531e-26", twice_rounded),
        ("16777217", 16_777_216.0),
        ("9007199791611905", 9_007_200_328_482_816.0),
        ("-9007199791611905", -9_007_200_328_482_816.0),
        ("1.00000005960464477540", 1.000_000_1),
        ("340282356779733661637539395458142568447", f32::MAX),
    ] {
        let Vector(read) = serde_json::from_str(&format!("[{written}]")).unwrap();
        assert_eq!(read[0].to_bits(), f32::to_bits(component), "{written}");
    }
    assert!(serde_json::from_str::<Vector>("[340282356779733661637539395458142568448]").is_err());
    let request: SearchRequest = json::from_str(r#"{"vector": [1], "min_score": 7.038531e-26}"#).unwrap();
    assert_eq!(request.params.min_score, Some(twice_rounded));
    let parsed: SearchRequest = json::from_value(&json!({"vector": [1], "min_score": 7.038531e-26})).unwrap();
    assert_eq!(parsed.params.min_score.map(f32::to_bits), Some(0x15ae_43fe), "the nearest to what was parsed");
}

/// Readers of these answers rely on their keys, the order of keys, and the spelling of values.
#[test]
fn answers_are_written_as_they_always_were() {
    let (_folder, db, notes) = database();
    let request = r#"{"operations": [
        {"insert": {"id": 1, "vector": [1, 0], "metadata": {"n": 1}, "text": "rust"}},
        {"insert": {"id": "b", "vector": [0.5, 0.5], "metadata": {"n": 2}}}
    ]}"#;
    let receipt = json::from_str::<WriteRequest>(request).unwrap().batch(&db, Some("notes")).unwrap().commit().unwrap();
    let version = receipt.commit;
    assert_eq!(text(&receipt), format!(r#"{{"commit":{version},"n_changed":2,"ids":[1,"b"],"repeated":false}}"#));

    let search = |request: &str| json::from_str::<SearchRequest>(request).unwrap().run(&notes).unwrap();
    let hits = search(r#"{"vector": [2, 0], "limit": 1, "filter": {"m": {"$exists": false}}, "with_vector": true}"#);
    let search_stats = text(&hits.stats);
    assert_eq!(
        text(&hits),
        format!(
            r#"{{"hits":[{{"id":1,"score":1.0,"distance":0.0,"metadata":{{"n":1}},"text":"rust","vector":[1.0,0.0],"version":{version}}}],"absent_fields":["m"],"commit":{version},"stats":{search_stats}}}"#
        )
    );
    assert!(search_stats.starts_with(r#"{"strategy":"exact","n_scanned":"#), "{search_stats}");
    let both = search(r#"{"vector": [2, 0], "text": "rust", "pages": true, "limit": 1, "explain": true}"#);
    let both = serde_json::to_value(&both).unwrap();
    assert_eq!(both["hits"][0]["parts"]["text"]["rank"], json!(1));
    assert!(both["next"].is_string() && both["explanation"]["stats"]["strategy"].is_string());
    let words = search(r#"{"text": "rust", "group_by": {"field": "n"}}"#);
    let words = serde_json::to_value(&words).unwrap();
    assert_eq!((&words["hits"][0]["group"], &words["hits"][0]["distance"]), (&json!(1), &Json::Null));

    let page = json::from_str::<ScrollRequest>(r#"{"limit": 1}"#).unwrap().run(&notes).unwrap();
    let at = page.documents[0].created_at_ms;
    let next = Cursor::after(1);
    assert_eq!(
        text(&page),
        format!(
            r#"{{"documents":[{{"id":1,"metadata":{{"n":1}},"text":"rust","version":{version},"created_at_ms":{at},"updated_at_ms":{at}}}],"next":"{next}","commit":{version}}}"#
        )
    );
    let stats = serde_json::to_value(db.stats().unwrap()).unwrap();
    assert_eq!(
        (&stats["collections"][0]["name"], &stats["collections"][0]["n_documents"]),
        (&json!("notes"), &json!(2))
    );
    assert_eq!(serde_json::to_value(notes.namespace_stats().unwrap()).unwrap()["n_documents"], json!(2));
}

#[test]
fn errors_are_written_with_their_data() {
    let mismatch = || Error::DimensionMismatch { collection: "docs".into(), expected: 768, got: 384 };
    let batch = Error::InBatch { index: 3, id: "id a".into(), source: Box::new(mismatch()) };
    assert_eq!(
        text(&batch),
        r#"{"kind":"invalid_argument","code":"dimension_mismatch","message":"operation 3 of the batch (id a): dimension mismatch: collection \"docs\" expects 768, got 384","outcome":"not_applied","index":3,"details":{"collection":"docs","expected":768,"got":384}}"#
    );
    assert_eq!(
        text(&Error::Closed),
        r#"{"kind":"unavailable","code":"closed","message":"database is closed","outcome":"not_applied"}"#
    );
    let commit = Error::Commit { commit: Commit(7), outcome: Outcome::Unknown, reason: "io".into() };
    let told = serde_json::to_value(&commit).unwrap();
    assert_eq!((&told["outcome"], &told["details"]), (&json!("unknown"), &json!({"commit": 7, "reason": "io"})));
    let conflict = Error::VersionMismatch { collection: "c".into(), id: 1.into(), expected: Commit(2), got: None };
    let shared = Error::InQuery { index: 1, source: Box::new(Error::Shared(conflict.into())) };
    let told = serde_json::to_value(&shared).unwrap();
    assert_eq!(
        (&told["kind"], &told["code"], &told["index"]),
        (&json!("conflict"), &json!("version_mismatch"), &json!(1))
    );
    assert_eq!(told["details"], json!({"collection": "c", "id": 1, "expected": 2, "got": null}));
    let io = Error::Io { doing: "reading", path: "a".into(), source: std::io::Error::other("no") };
    let told = serde_json::to_value(&io).unwrap();
    assert_eq!(told["details"], json!({"doing": "reading", "path": "a", "source": "no"}));
}

#[track_caller]
fn refusal<T: FromJson>(text: &str) -> (String, String) {
    match json::from_str::<T>(text).err().unwrap() {
        Error::InvalidJson { at, reason } | Error::InvalidFilter { at, reason } => (at, reason),
        other => panic!("{other}"),
    }
}

#[track_caller]
fn check_refused<T: FromJson>(text: &str, at: &str, reason: &str) {
    let got = refusal::<T>(text);
    assert_eq!(got.0, at, "{text}: {got:?}");
    assert!(got.1.starts_with(reason), "{text}: {got:?}");
}

#[test]
fn refusals_say_where_and_what_was_expected_and_got() {
    check_refused::<Document>("[1]", "document", "expected an object, got an array");
    check_refused::<Document>("{}", "document", "expected a vector, got none");
    check_refused::<Document>(
        r#"{"vectro": [1]}"#,
        "vectro",
        "expected one of the keys id, vector, metadata, text, got",
    );
    check_refused::<Document>(
        r#"{"id": -1, "vector": [1]}"#,
        "id",
        "expected a string or a whole number from 0, got -1",
    );
    check_refused::<Document>(
        r#"{"id": 1.0, "vector": [1]}"#,
        "id",
        "expected a string or a whole number from 0, got 1.0",
    );
    check_refused::<Document>(r#"{"vector": 3}"#, "vector", "expected an array of numbers, got 3");
    check_refused::<Document>(r#"{"vector": [1, "a"]}"#, "vector", r#"expected a number, got "a" at position 1"#);
    check_refused::<Document>(r#"{"vector": [1, null]}"#, "vector", "expected a number, got null at position 1");
    check_refused::<Document>(r#"{"vector": [1e39]}"#, "vector", "number out of range at position 0");
    check_refused::<Document>(r#"{"vector": [1e400]}"#, "vector", "number out of range at position 0");
    check_refused::<Document>(r#"{"vector": [NaN]}"#, "vector", "expected value");
    check_refused::<Document>(r#"{"vector": [1], "metadata": [1]}"#, "metadata", "expected an object, got an array");
    check_refused::<Document>(r#"{"vector": [1], "text": 3}"#, "text", "expected a string, got 3");
    check_refused::<Document>(
        r#"{"vector": [1], "vector": [2]}"#,
        "vector",
        r#"expected each key once, got "vector" twice"#,
    );
    check_refused::<Document>(
        r#"{"metadata": {"a": [{"b": 1, "b": 2}]}}"#,
        "metadata.a[0].b",
        "expected each key once",
    );
    check_refused::<Document>(r#"{"metadata": {"a": 1e400}}"#, "metadata.a", "number out of range");
    check_refused::<Document>(r#"{"vector": [1]} x"#, "document", "trailing characters at column 17");
    check_refused::<Document>("{\n\"vector\": [1", "vector", "EOF while parsing a list");

    check_refused::<Update>(r#"{"id": 1, "metadata": {"a": 1}}"#, "metadata", "expected an array, got an object");
    check_refused::<Update>(
        r#"{"id": 1, "metadata": [{"put": 1}]}"#,
        "metadata[0].put",
        "expected one of the keys merge",
    );
    check_refused::<Update>(r#"{"id": 1, "metadata": [{}]}"#, "metadata[0]", "expected merge, replace or remove");
    check_refused::<Update>(r#"{"id": 1, "text": "a", "remove_text": true}"#, "update", "expected text or remove_text");
    check_refused::<Update>("{}", "update", "expected an id, got none");

    check_refused::<WriteRequest>("{}", "batch", "expected operations, got none");
    check_refused::<WriteRequest>(r#"{"operations": [{"delete": 1}, {}]}"#, "operations[1]", "expected insert, upsert");
    check_refused::<WriteRequest>(
        r#"{"operations": [{"insert": {"id": 1, "vector": ["x"]}}]}"#,
        "operations[0].insert.vector",
        r#"expected a number, got "x" at position 0"#,
    );
    check_refused::<WriteRequest>(
        r#"{"operations": [{"delete": 1, "upsert": {"vector": []}}]}"#,
        "operations[0]",
        "expected one of insert, upsert, update and delete, got several",
    );
    check_refused::<WriteRequest>(
        r#"{"operations": [], "operation_id": "1"}"#,
        "operation_id",
        "expected a UUID, got \"1\"",
    );
    check_refused::<WriteRequest>(
        r#"{"operations": [], "durability": "none"}"#,
        "durability",
        r#"expected one of "sync", "wal", got "none""#,
    );
    check_refused::<WriteRequest>(
        r#"{"operations": [{"delete": 1, "expect_version": 18446744073709551616}]}"#,
        "operations[0].expect_version",
        "expected a whole number from 0, got 1.8446744073709552e",
    );

    check_refused::<SearchRequest>("{}", "search", "expected vector, like, recommend or text, got none of them");
    check_refused::<SearchRequest>(
        r#"{"vector": [1], "like": 1}"#,
        "search",
        "expected one of vector, like and recommend",
    );
    check_refused::<SearchRequest>(
        r#"{"vector": [1], "limit": 1e3}"#,
        "limit",
        "expected a whole number from 0, got 1000.0",
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "explain": "yes"}"#,
        "explain",
        r#"expected true or false, got "yes""#,
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "strategy": "fast"}"#,
        "strategy",
        r#"expected one of "exact", "graph""#,
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "strategy": "words"}"#,
        "strategy",
        r#"expected one of "exact", "graph", "codes", got "words""#,
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "strategy": "graph", "exact": true}"#,
        "search",
        "expected exact or another",
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "fusion": {"by": "scores", "k": 1}}"#,
        "fusion",
        "expected k with rrf",
    );
    check_refused::<SearchRequest>(r#"{"text": "a", "mmr": {"lambda": 1}}"#, "mmr", "expected lambda and candidates");
    check_refused::<SearchRequest>(
        r#"{"recommend": {"positive": [[1], {}]}}"#,
        "recommend.positive[1]",
        "expected an id or",
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "boosts": [{"decay": {"field": "at", "half_life_ms": -1}}]}"#,
        "boosts[0].decay",
        "expected a half_life_ms of more than 0, got -1e0",
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "boosts": [{"decay": {"field": "at", "half_life_ms": 1e300}}]}"#,
        "boosts[0].decay",
        "expected a half_life_ms of at most 1.8e22, got 1e300",
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "filter": {"$and": [{"tag": {"$inn": []}}]}}"#,
        "filter.$and[0].tag.$inn",
        "expected a known operator, perhaps $in",
    );
    check_refused::<SearchRequest>(
        r#"{"text": "a", "filter": {"n": 1, "n": 2}}"#,
        "filter.n",
        "expected each key once",
    );
    check_refused::<SearchRequest>(r#"{"text": "a", "filter": []}"#, "filter", "expected an object, got an array");
    check_refused::<SearchRequest>(
        r#"{"text": "a", "boosts": [{"when": {"a": {"$gt": null}}}]}"#,
        "boosts[0].when.a.$gt",
        "expected",
    );
    check_refused::<SearchRequest>(r#"{"text": "a", "after": "x"}"#, "after", "expected a cursor as a page had it");
    check_refused::<ScrollRequest>(r#"{"after": 7}"#, "after", "expected a string, got 7");
    for (line, at, reason) in [
        ("[1]", "row", "expected an object, got an array"),
        (r#"{"id": null}"#, "id", "expected a string or a whole number from 0, got null"),
        (r#"{"a": 1"#, "row", "EOF while parsing an object at column 7"),
        (r#"{"id": 1, "id": 2}"#, "id", "expected each key once"),
    ] {
        let Err(Error::InvalidJson { at: place, reason: told }) = Row::read(line.as_bytes(), "id") else {
            panic!("{line}")
        };
        assert!(place == at && told.starts_with(reason), "{line}: {place}: {told}");
    }
}

#[test]
fn a_parsed_value_is_refused_as_its_text_is() {
    let deep = (0..5_000).fold(json!(1), |inner, _| json!([inner]));
    let refused = json::from_value::<Document>(&json!({"vector": [1], "metadata": {"a": deep}})).err().unwrap();
    assert!(refused.to_string().contains("expected at most 127 levels"), "{refused}");
    for (value, reason) in [
        (json!({"vector": [1e39]}), "vector: number out of range at position 0"),
        (json!({"vector": [1], "id": -1}), "id: expected a string or a whole number from 0, got -1"),
        (json!({"vector": [1], "text": "a at line 1 column 2", "b": 1}), "b: expected one of the keys"),
    ] {
        let refused = json::from_value::<Document>(&value).err().unwrap().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn hostile_input_is_refused_and_does_no_harm() {
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(100_000);
        let texts = [deep.clone(), format!("{{\"metadata\":{{\"a\":{deep}"), format!("{{\"filter\":{deep}")];
        for text in &texts {
            assert!(json::from_str::<Document>(text).is_err());
            assert!(json::from_str::<SearchRequest>(text).is_err());
            assert!(json::from_str::<WriteRequest>(&format!("{{\"operations\":[{{\"insert\":{text}")).is_err());
            assert!(Row::read(text.as_bytes(), "id").is_err());
        }
    }
    let components = format!("{{\"vector\":[{}1]}}", "1,".repeat(MAX_DIMENSION));
    check_refused::<Document>(&components, "vector", "expected at most 65536 components, got more");
    let keys: Vec<String> = (0..1_000_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let keys = format!("{{{}}}", keys.join(","));
    check_refused::<Document>(&keys, "k0", "expected one of the keys");
    let metadata = format!("{{\"vector\":[1,0],\"metadata\":{keys}}}");
    assert!(matches!(json::from_str::<Document>(&metadata), Err(Error::LimitExceeded { .. })));
    let (_folder, db, notes) = database();
    let filter = json::from_str::<SearchRequest>(&format!("{{\"text\":\"a\",\"filter\":{keys}}}"));
    assert!(matches!(filter, Err(Error::LimitExceeded { .. })));

    let operations = format!("{{\"operations\":[{}{{\"delete\":1}}]}}", "{\"delete\":1},".repeat(MAX_BATCH_OPERATIONS));
    let refused = json::from_str::<WriteRequest>(&operations).err().unwrap();
    assert!(matches!(refused, Error::LimitExceeded { limit: MAX_BATCH_OPERATIONS, .. }), "{refused}");
    let boosts = format!("{{\"text\":\"a\",\"boosts\":[{}{{\"when\":{{}}}}]}}", "{\"when\":{}},".repeat(MAX_BOOSTS));
    assert!(matches!(json::from_str::<SearchRequest>(&boosts), Err(Error::LimitExceeded { limit: MAX_BOOSTS, .. })));

    let examples = |n: usize| format!("[{}1]", "1,".repeat(n - 1));
    for sign in ["positive", "negative"] {
        let request = format!("{{\"recommend\":{{\"{sign}\":{}}}}}", examples(MAX_EXAMPLES + 1));
        let refused = json::from_str::<SearchRequest>(&request).err().unwrap();
        assert!(matches!(refused, Error::LimitExceeded { limit: MAX_EXAMPLES, .. }), "{refused}");
    }
    let (some, others) = (examples(MAX_EXAMPLES), examples(1));
    let request = format!("{{\"recommend\":{{\"positive\":{some},\"negative\":{others}}}}}");
    let refused = json::from_str::<SearchRequest>(&request).unwrap().run(&notes).unwrap_err();
    assert!(matches!(refused, Error::LimitExceeded { limit: MAX_EXAMPLES, .. }), "{refused}");
    let refused = json::from_str::<SearchRequest>(&format!("{{\"recommend\":{{\"positive\":{some}}}}}")).unwrap();
    assert!(matches!(refused.run(&notes), Err(Error::DocumentNotFound { .. })), "so many are looked up");
    let fields = format!("{{\"text\":\"a\",\"fields\":[{}\"a\"]}}", "\"a\",".repeat(MAX_FIELDS));
    assert!(matches!(json::from_str::<SearchRequest>(&fields), Err(Error::LimitExceeded { limit: MAX_FIELDS, .. })));

    let long = "x".repeat(1 << 20);
    for text in [format!("{{\"{long}\":1}}"), format!("{{\"vector\":\"{long}\"}}"), format!("\"{long}\"")] {
        let refused = json::from_str::<Document>(&text).err().unwrap().to_string();
        assert!(refused.len() < 1_000, "a message of {} bytes", refused.len());
    }
    for bytes in [&b"\xff\xfe"[..], b"", b"{\"vector\":[1],\"text\":\"\xff\"}", b"{\"id\":\"\\ud800\",\"vector\":[1]}"]
    {
        assert!(matches!(json::from_slice::<Document>(bytes), Err(Error::InvalidJson { .. })));
    }
    // The database refuses well-formed values without a meaning, by name.
    for request in [
        r#"{"vector": [1, 0], "ef": 18446744073709551615}"#,
        r#"{"vector": [1, 0], "boosts": [{"number": {"field": ""}}]}"#,
        r#"{"vector": [1, 0], "mmr": {"lambda": 3, "candidates": 10}}"#,
        r#"{"recommend": {"negative": [[1, 0]]}}"#,
        r#"{"vector": [], "limit": 1}"#,
    ] {
        let refused = json::from_str::<SearchRequest>(request).unwrap().run(&notes).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{request}: {refused}");
    }
    let all = json::from_str::<SearchRequest>(r#"{"vector": [1, 0], "limit": 18446744073709551615}"#).unwrap();
    assert_eq!(all.run(&notes).unwrap().len(), 0);
    drop(db);
}

#[test]
fn cursors_lead_from_page_to_page_and_no_further() {
    let (_folder, _db, notes) = database();
    let document = |n: u64| {
        let metadata =
            json!({"n": n % 7, "t": format!("2026-01-{:02}T00:00:00Z", n + 1), "long": "x".repeat(n as usize * 40)});
        Document::new([1.0, n as f32]).id(n).metadata(metadata)
    };
    notes.insert_many((0..20).map(document)).unwrap();
    for order_by in [None, Some("n"), Some("t"), Some("long")] {
        for descending in [false, true].into_iter().filter(|descending| !descending || order_by.is_some()) {
            let (mut request, mut ids) = (json!({"limit": 3}), Vec::new());
            if let Some(field) = order_by {
                request["order_by"] = json!(field);
                request["descending"] = json!(descending);
            }
            loop {
                let page = json::from_value::<ScrollRequest>(&request).unwrap().run(&notes).unwrap();
                let page = serde_json::to_value(&page).unwrap();
                ids.extend(
                    page["documents"].as_array().unwrap().iter().map(|document| document["id"].as_u64().unwrap()),
                );
                request["after"] = page["next"].clone();
                if page["next"].is_null() {
                    break;
                }
            }
            let mut expected: Vec<u64> = (0..20).collect();
            if order_by == Some("n") {
                expected.sort_by_key(|n| (n % 7, *n));
            }
            if descending {
                expected.reverse();
            }
            assert_eq!(ids, expected, "{order_by:?} {descending}");
        }
    }
    let scroll = |request: Json| json::from_value::<ScrollRequest>(&request).unwrap().run(&notes);
    let next = text(&scroll(json!({"order_by": "n", "limit": 3})).unwrap().next.unwrap());
    let next: Json = serde_json::from_str(&next).unwrap();
    for (request, reason) in [
        (json!({"order_by": "t", "after": next}), "expected a cursor of this order, got one of another"),
        (
            json!({"order_by": "n", "descending": true, "after": next}),
            "expected a cursor of this order, got one of another",
        ),
        (json!({"after": next}), "expected a field to order by, got none"),
        (json!({"order_by": "n", "after": Cursor::after(1).to_string()}), "got one of ids alone"),
    ] {
        let refused = scroll(request.clone()).unwrap_err().to_string();
        assert!(refused.contains(reason), "{request}: {refused}");
    }
    let search = r#"{"vector": [1, 0], "limit": 2, "pages": true}"#;
    let hits = json::from_str::<SearchRequest>(search).unwrap().run(&notes).unwrap();
    let next = hits.next.unwrap().to_string();
    check_refused::<ScrollRequest>(&json!({"after": next}).to_string(), "after", "expected a cursor as a page had it");
    assert!(Cursor::after(1).to_string().parse::<SearchCursor>().is_err());
    let other = json!({"vector": [1, 1], "after": next});
    let refused = json::from_value::<SearchRequest>(&other).unwrap().run(&notes).unwrap_err();
    assert!(refused.to_string().contains("expected a cursor of this search"), "{refused}");
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The bytes of a cursor without its checksum.
fn opened(cursor: &str) -> Vec<u8> {
    let digits = cursor.bytes().map(|digit| DIGITS.iter().position(|known| *known == digit).unwrap());
    let bits: Vec<bool> = digits.flat_map(|digit| (0..6).rev().map(move |place| digit >> place & 1 == 1)).collect();
    let bytes = bits.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
    let mut bytes: Vec<u8> = bytes.collect();
    bytes.truncate(bytes.len() - 4);
    bytes
}

/// A cursor with a right checksum.
fn with_checksum(mut bytes: Vec<u8>) -> String {
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let mut bits: Vec<bool> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1 == 1)).collect();
    bits.resize(bits.len().next_multiple_of(6), false);
    let digit = |bits: &[bool]| bits.iter().fold(0, |digit, bit| digit << 1 | usize::from(*bit));
    bits.chunks(6).map(|bits| char::from(DIGITS[digit(bits)])).collect()
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let mut deep = Value::Null;
    for _ in 0..1_000_000 {
        deep = Value::Array(vec![deep]);
    }
    let metadata = Value::Object([("a".to_owned(), deep)].into());
    let fault = |value: &dyn Fn() -> serde_json::Result<String>| value().unwrap_err().to_string();
    let too_deep = |told: String| assert!(told.contains("depth in levels") || told.contains("32 levels"), "{told}");
    let document = Document::new([1.0]).metadata(metadata);
    too_deep(fault(&|| serde_json::to_string(&document)));
    let nest = |n: usize| (0..n).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
    let nested = |n: usize| Value::Object([("a".to_owned(), nest(n))].into());
    for change in [Update::new(1).merge(nested(40)), Update::new(1).replace(nested(40))] {
        too_deep(fault(&|| serde_json::to_string(&change)));
    }
    let row = |value: Value| {
        let mut row = Row::default();
        row.metadata.insert("a".into(), value);
        row
    };
    too_deep(fault(&|| serde_json::to_string(&row(nest(31)))));
    assert!(serde_json::to_string(&row(nest(30))).is_ok());
    assert!(serde_json::to_string(&Document::new([1.0]).metadata(nested(30))).is_ok());

    for number in [f64::NAN, f64::INFINITY] {
        let metadata = Value::Object([("a".to_owned(), Value::F64(number))].into());
        let told = fault(&|| serde_json::to_string(&Document::new([1.0]).metadata(metadata.clone())));
        assert!(told.contains("expected a finite number, got"), "{told}");
        let told = fault(&|| serde_json::to_string(&row(Value::from(vec![number]))));
        assert!(told.contains("expected a finite number, got"), "{told}");
    }
    assert!(serde_json::to_string(&Document::new([1.0]).metadata(json!([1]))).is_err());

    let refused = || field("a").gt(f64::NAN);
    let mut search = SearchRequest::new([1.0]);
    search.params.filter = refused();
    assert!(fault(&|| serde_json::to_string(&search)).contains("invalid filter"));
    search.params.filter = Default::default();
    search.params.boosts = vec![Boost::when(refused())];
    assert!(fault(&|| serde_json::to_string(&search)).contains("invalid filter"));
    let mut scroll = ScrollRequest::default();
    scroll.filter = refused();
    assert!(fault(&|| serde_json::to_string(&scroll)).contains("invalid filter"));

    let mut search = SearchRequest::new([1.0]);
    search.params.min_score = Some(f32::NEG_INFINITY);
    assert!(fault(&|| serde_json::to_string(&search)).contains("expected a finite number as min_score, got -inf"));
    search.params.min_score = None;
    search.params.max_distance = Some(f32::INFINITY);
    assert!(fault(&|| serde_json::to_string(&search)).contains("expected a finite number as max_distance, got inf"));
    let mut search = SearchRequest::new([1.0]);
    search.params.strategy = Some(Strategy::Words);
    assert!(fault(&|| serde_json::to_string(&search)).contains("expected a strategy that a search can be told to use"));
}

#[test]
fn metadata_and_filters_are_counted_while_they_are_read() {
    let many = format!("[{}{{}}]", "{\"\":0},".repeat(1 << 19));
    let limit_of = |error: Option<Error>| match error {
        Some(Error::LimitExceeded { limit, got, .. }) if got <= limit + 10 => limit,
        other => panic!("{other:?}"),
    };
    let document = |metadata: &str| format!("{{\"vector\":[1,0],\"metadata\":{metadata}}}");
    let nested = format!("{{\"a\":{many}}}");
    for text in [document(&many), document(&nested)] {
        assert_eq!(limit_of(json::from_str::<Document>(&text).err()), MAX_METADATA_BYTES);
        let batch = format!("{{\"operations\":[{{\"upsert\":{text}}}]}}");
        assert_eq!(limit_of(json::from_str::<WriteRequest>(&batch).err()), MAX_METADATA_BYTES);
    }
    let update = format!("{{\"id\":1,\"metadata\":[{{\"merge\":{nested}}}]}}");
    assert_eq!(limit_of(json::from_str::<Update>(&update).err()), MAX_METADATA_BYTES);
    for row in [nested.clone(), format!("{{\"metadata\":{nested}}}")] {
        assert_eq!(limit_of(Row::read(row.as_bytes(), "id").err()), MAX_METADATA_BYTES);
    }
    for filter in [&many, &nested, &format!("{{\"a\":{{\"$in\":{many}}}}}")] {
        let search = format!("{{\"text\":\"a\",\"filter\":{filter}}}");
        assert_eq!(limit_of(json::from_str::<SearchRequest>(&search).err()), MAX_FILTER_BYTES);
        let scroll = format!("{{\"filter\":{filter}}}");
        assert_eq!(limit_of(json::from_str::<ScrollRequest>(&scroll).err()), MAX_FILTER_BYTES);
    }
    let parsed: Json = serde_json::from_str(&document(&nested)).unwrap();
    assert_eq!(limit_of(json::from_value::<Document>(&parsed).err()), MAX_METADATA_BYTES);

    // Objects and strings count 10 bytes and their own, keys their own: this is the limit, and one
    // more.
    let (_folder, _db, notes) = database();
    for (n_bytes, is_read) in [(MAX_METADATA_BYTES - 21, true), (MAX_METADATA_BYTES - 20, false)] {
        let metadata = format!("{{\"a\":\"{}\"}}", "x".repeat(n_bytes));
        let read = json::from_str::<Document>(&document(&metadata));
        assert_eq!(read.is_ok(), is_read);
        assert!(read.is_err() || notes.insert(read.unwrap()).is_ok());
        let row = Row::read(format!("{{\"metadata\":{metadata}}}").as_bytes(), "id");
        assert_eq!(row.is_ok(), is_read);
    }
}

#[test]
fn an_id_that_spells_a_uuid_and_is_none_ends_pages_too() {
    let (_folder, _db, notes) = database();
    let spelled = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let ids = [DocId::from(7), DocId::from(spelled), DocId::Str("a".into()), DocId::Str(spelled.into()), "z".into()];
    notes.insert_many(ids.iter().map(|id| Document::new([1.0, 0.5]).id(id).metadata(json!({"n": 1})))).unwrap();
    for order_by in [None, Some("n")] {
        let (mut found, mut after) = (Vec::new(), Json::Null);
        while found.len() <= ids.len() {
            let request = json!({"limit": 1, "order_by": order_by, "after": after});
            let page = json::from_value::<ScrollRequest>(&request).unwrap().run(&notes).unwrap();
            after = serde_json::to_value(&page).unwrap()["next"].clone();
            found.extend(page.documents.into_iter().map(|document| document.id));
            if after.is_null() {
                break;
            }
        }
        found.sort();
        let mut expected = ids.to_vec();
        expected.sort();
        assert_eq!(found, expected, "{order_by:?}");
    }
    let (mut found, mut after) = (Vec::new(), Json::Null);
    while found.len() <= ids.len() {
        let request = json!({"vector": [1, 0], "limit": 1, "pages": true, "after": after});
        let hits = json::from_value::<SearchRequest>(&request).unwrap().run(&notes).unwrap();
        after = serde_json::to_value(&hits).unwrap()["next"].clone();
        found.extend(hits.into_iter().map(|hit| hit.id));
        if after.is_null() {
            break;
        }
    }
    found.sort();
    let mut expected = ids.to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn forged_cursors_do_no_harm() {
    let (_folder, _db, notes) = database();
    let metadata = |n: u64| if n.is_multiple_of(2) { json!({"n": n}) } else { json!({"n": format!("text {n}")}) };
    notes.insert_many((0..20).map(|n| Document::new([1.0, n as f32]).id(n).metadata(metadata(n)))).unwrap();
    for descending in [false, true] {
        let request = |after: Option<String>| {
            let request = json!({"order_by": "n", "descending": descending, "limit": 3, "after": after});
            json::from_value::<ScrollRequest>(&request)
        };
        let next = request(None).unwrap().run(&notes).unwrap().next.unwrap().to_string();
        let content = opened(&next);
        assert_eq!(with_checksum(content.clone()), next);
        // Version, kind, a number as id, and the digest of the order.
        let head = &content[..2 + 9 + 16];
        let values: [&[u8]; 9] = [&[], &[0], &[1, 2], &[2], &[4], &[4; 5], &[5, 255, 255], &[6, 1], &[255; 40]];
        let long = vec![5; 1 << 20];
        for value in values.into_iter().chain([&long[..]]) {
            match request(Some(with_checksum([head, value].concat()))).unwrap().run(&notes) {
                Ok(page) => assert!(page.documents.len() <= 3, "{value:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{value:?}: {error}"),
            }
        }
        for end in 0..head.len() {
            assert!(request(Some(with_checksum(content[..end].to_vec()))).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn batches_write_where_they_say_and_as_they_expect() {
    let (_folder, db, notes) = database();
    db.create_collection("done", CollectionConfig::new(2)).unwrap();
    let commit = |request: Json, collection: Option<&str>| {
        json::from_value::<WriteRequest>(&request).unwrap().batch(&db, collection)?.commit()
    };
    let receipt = commit(
        json!({"operations": [
            {"insert": {"id": "a", "vector": [1, 0], "metadata": {"draft": true}, "text": "x"}, "must_not_exist": true},
            {"upsert": {"id": "a", "vector": [0, 1]}, "collection": "done"},
            {"upsert": {"vector": [0, 1]}, "namespace": "agent"},
            {"update": {"id": "a", "metadata": [{"merge": {"read": true}}, {"remove": ["draft"]}], "remove_text": true}},
        ], "durability": "sync"}),
        Some("notes"),
    )
    .unwrap();
    assert_eq!((receipt.n_changed, receipt.ids.len()), (3, 4), "one document is inserted and changed");
    let stored = notes.get("a").unwrap().unwrap();
    assert_eq!((text(&stored.metadata), stored.text), (r#"{"read":true}"#.into(), None));
    assert!(db.collection("done").unwrap().contains("a").unwrap());
    assert_eq!(notes.namespace("agent").unwrap().count(None).unwrap(), 1);

    let code = |request: Json, collection: Option<&str>| {
        let told = serde_json::to_value(commit(request, collection).unwrap_err()).unwrap();
        (told["code"].as_str().unwrap().to_owned(), told["index"].as_u64())
    };
    let delete = |more: Json| {
        let mut operation = json!({"delete": "a"});
        operation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"operations": [{"delete": "nobody"}, operation]})
    };
    let version = receipt.commit.0;
    assert_eq!(
        code(delete(json!({"expect_version": version + 1})), Some("notes")),
        ("version_mismatch".into(), Some(1))
    );
    assert_eq!(code(delete(json!({"must_not_exist": true})), Some("notes")), ("document_exists".into(), Some(1)));
    assert_eq!(code(delete(json!({"collection": "none"})), Some("notes")), ("collection_not_found".into(), Some(1)));
    assert_eq!(code(delete(json!({"collection": "notes"})), None), ("invalid_json".into(), Some(0)));
    assert_eq!(code(delete(json!({"namespace": "x".repeat(300)})), Some("notes")), ("invalid_name".into(), Some(1)));
    assert_eq!(commit(delete(json!({"expect_version": version})), Some("notes")).unwrap().n_changed, 1);
    let id = DocId::from("a");
    assert!(!notes.contains(&id).unwrap());
    let once =
        json!({"operations": [{"upsert": {"id": 1, "vector": [1, 1]}}], "operation_id": Uuid::nil().to_string()});
    assert!(!commit(once.clone(), Some("notes")).unwrap().repeated);
    assert!(commit(once, Some("notes")).unwrap().repeated);
}
