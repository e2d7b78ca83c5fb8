//! Filters give right answers with the asked number of hits, in each state of the metadata index
//! and for each share of matching documents.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashSet};

use rand::{Rng, rngs::StdRng};
use serde_json::{Value as Json, json};
use vectrove::{
    Collection, CollectionConfig, Database, DocId, Document, Filter, Hits, Quantization, Strategy, Update, Value, field,
};

use common::{check_error, quick, random, seed};

const N_DIMENSIONS: usize = 16;

fn vector(rng: &mut StdRng) -> Vec<f32> {
    (0..N_DIMENSIONS).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Metadata of few values, so that many documents share them; now and then with a value that an
/// index does not keep.
fn metadata(rng: &mut StdRng) -> Json {
    let mut metadata = json!({
        "n": rng.random_range(0..50),
        "tag": (0..rng.random_range(0..4)).map(|_| ["a", "b", "c", "d"][rng.random_range(0..4)]).collect::<Vec<_>>(),
        "at": format!("2026-01-{:02}T00:00:00Z", rng.random_range(1..28)),
        "in": {"depth": rng.random_range(0..3) as f64 / 2.0, "flag": rng.random::<bool>()},
    });
    match rng.random_range(0..20) {
        0 => metadata["tag"] = json!("x".repeat(300)),
        1 => metadata["n"] = Json::Null,
        2 => metadata["n"] = json!("not a number"),
        3 => _ = metadata.as_object_mut().unwrap().remove("at"),
        4 => metadata["many"] = json!((0..1_100).collect::<Vec<_>>()),
        _ => {}
    }
    metadata
}

fn filters() -> Vec<Filter> {
    [
        json!({"n": 7}),
        json!({"n": {"$gte": 10, "$lt": 30}}),
        json!({"n": {"$ne": 3}}),
        json!({"n": null}),
        json!({"tag": {"$in": ["a", "zz"]}}),
        json!({"tag": {"$all": ["a", "b"]}}),
        json!({"tag": {"$prefix": "x"}}),
        json!({"tag": {"$contains": "x"}}),
        json!({"at": {"$gt": "2026-01-10T00:00:00Z", "$lte": "2026-01-20T01:00:00+01:00"}}),
        json!({"at": {"$exists": false}}),
        json!({"at": {"$prefix": "2026-01-1"}}),
        json!({"in.depth": {"$between": [0.25, 1]}, "in.flag": true}),
        json!({"$or": [{"n": {"$lt": 2}}, {"$and": [{"tag": "d"}, {"in.flag": false}]}]}),
        json!({"$nor": [{"n": {"$gt": 25}}, {"tag": "a"}]}),
        json!({"many": 1_099}),
        json!({"many": {"$exists": true}}),
        json!({"nowhere": 1}),
        json!({"nowhere": {"$ne": 1}}),
        json!({}),
    ]
    .iter()
    .map(|json| Filter::from_json(json).unwrap())
    .collect()
}

type Twin = BTreeMap<u64, Value>;

/// Compares counts, pages, facets and exact searches with a scan of all documents.
fn check_all(collection: &Collection, twin: &Twin) {
    for filter in filters() {
        let expected: Vec<DocId> =
            twin.iter().filter(|(_, metadata)| filter.matches(metadata)).map(|(id, _)| DocId::from(*id)).collect();
        assert_eq!(collection.count(filter.clone()).unwrap(), expected.len(), "{filter}");
        let page = collection.scroll().filter(filter.clone()).limit(usize::MAX).run().unwrap();
        assert_eq!(page.documents.into_iter().map(|document| document.id).collect::<Vec<_>>(), expected, "{filter}");
        let hits = collection.search(vec![1.0; N_DIMENSIONS]).filter(filter.clone()).limit(usize::MAX).run().unwrap();
        let ids: HashSet<DocId> = hits.iter().map(|hit| hit.id.clone()).collect();
        assert_eq!(ids, expected.into_iter().collect(), "{filter}");
        for path in ["n", "tag", "in.depth", "many", "nowhere"] {
            let mut counts = BTreeMap::<String, usize>::new();
            for metadata in twin.values().filter(|metadata| filter.matches(metadata)) {
                values_at(metadata, path).into_iter().for_each(|value| *counts.entry(value).or_default() += 1);
            }
            let facet = collection.facet(path).filter(filter.clone()).limit(usize::MAX).run().unwrap();
            assert!(facet.is_sorted_by_key(|count| usize::MAX - count.n_documents));
            let facet = facet.into_iter().map(|count| (count.value.to_string(), count.n_documents)).collect();
            assert_eq!(counts, facet, "{path} where {filter}");
        }
    }
}

/// The distinct scalars at a path, as JSON; a whole number without its fraction.
fn values_at(metadata: &Value, path: &str) -> HashSet<String> {
    let found = path.split('.').try_fold(metadata, |value, key| value.get(key));
    let values = found.map_or(&[][..], |value| value.as_array().unwrap_or(std::slice::from_ref(value)));
    let spelled = values.iter().map(|value| match value.as_f64() {
        Some(number) if number.fract() == 0.0 => format!("{}", number as i64),
        _ => value.to_string(),
    });
    spelled.collect()
}

fn change(collection: &Collection, twin: &mut Twin, rng: &mut StdRng) {
    let id = rng.random_range(0..400u64);
    let new = metadata(rng);
    if rng.random_bool(0.1) {
        collection.delete(id).unwrap();
        twin.remove(&id);
    } else if twin.contains_key(&id) && rng.random_bool(0.8) {
        collection.update(Update::new(id).replace(new.clone())).unwrap();
        twin.insert(id, new.into());
    } else {
        collection.upsert(Document::new(vector(rng)).id(id).metadata(new.clone())).unwrap();
        twin.insert(id, new.into());
    }
}

#[test]
fn postings_agree_with_documents_after_ten_thousand_changes() {
    let mut rng = random(seed());
    let folder = common::folder();
    let (mut twin, path) = (Twin::new(), folder.path().join("db"));
    for round in 0..5 {
        let db = Database::open_with(&path, quick()).unwrap();
        let collection = db.get_or_create_collection("c", CollectionConfig::new(N_DIMENSIONS)).unwrap();
        for step in 0..2_000 {
            change(&collection, &mut twin, &mut rng);
            if step % 500 == 499 {
                check_all(&collection, &twin);
            }
        }
        assert_eq!(db.verify().unwrap().n_documents, twin.len(), "round {round}");
    }
}

#[test]
fn a_field_is_indexed_and_dropped_while_others_write() {
    let mut rng = random(seed());
    let folder = common::folder();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    let config = CollectionConfig::new(N_DIMENSIONS).no_index("n").no_index("in");
    let collection = db.create_collection("c", config.clone()).unwrap();
    let mut twin = Twin::new();
    let documents: Vec<(u64, Json)> = (0..3_000).map(|id| (id, metadata(&mut rng))).collect();
    let insert = |(id, metadata): &(u64, Json)| Document::new(vector(&mut rng)).id(*id).metadata(metadata.clone());
    collection.insert_many(documents.iter().map(insert).collect::<Vec<_>>()).unwrap();
    twin.extend(documents.into_iter().map(|(id, metadata)| (id, metadata.into())));
    assert_eq!(collection.indexed_fields().unwrap(), ["at", "tag"]);
    check_all(&collection, &twin);

    collection.add_index("n").unwrap();
    (0..300).for_each(|_| change(&collection, &mut twin, &mut rng));
    check_all(&collection, &twin);
    collection.wait_indexed().unwrap();
    assert_eq!(collection.indexed_fields().unwrap(), ["at", "n", "tag"]);
    check_all(&collection, &twin);
    db.verify().unwrap();

    collection.drop_index("tag").unwrap();
    collection.add_index("in").unwrap();
    // The next opening does the rest.
    db.close().unwrap();
    let db = Database::open_with(folder.path().join("db"), quick()).unwrap();
    let collection = db.get_or_create_collection("c", config).unwrap();
    check_all(&collection, &twin);
    collection.wait_indexed().unwrap();
    assert_eq!(collection.indexed_fields().unwrap(), ["at", "in", "in.depth", "in.flag", "n"]);
    (0..300).for_each(|_| change(&collection, &mut twin, &mut rng));
    check_all(&collection, &twin);
    db.verify().unwrap();

    collection.rebuild_index().unwrap();
    check_all(&collection, &twin);
    db.verify().unwrap();
    check_error(collection.add_index(""), "InvalidConfig");
    check_error(collection.drop_index(&"x".repeat(600)), "InvalidConfig");
    collection.add_index("tag").unwrap();
    collection.drop_index("in").unwrap();
    check_error(collection.add_index("in.depth"), "InvalidConfig");
}

#[test]
fn filtered_searches_starve_at_no_share() {
    const N: usize = 6_000;
    let mut rng = random(seed());
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(N_DIMENSIONS).no_index("hidden")).unwrap();
    let pivot = vector(&mut rng);
    let vectors: Vec<Vec<f32>> = (0..N).map(|_| vector(&mut rng)).collect();
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let cosine = |a: &[f32]| dot(a, &pivot) / dot(a, a).sqrt();
    let mut order: Vec<usize> = (0..N).collect();
    order.sort_by(|&a, &b| cosine(&vectors[b]).total_cmp(&cosine(&vectors[a])));
    let mut place = vec![0; N];
    order.iter().enumerate().for_each(|(at, &row)| place[row] = at);
    let documents = vectors.iter().zip(0u64..).map(|(vector, id)| {
        let (near, shuffled) = (place[id as usize], id as usize * 4_001 % N);
        let metadata = json!({"near": near, "shuffled": shuffled, "hidden": shuffled, "even": near % 2 == 0});
        Document::new(vector.clone()).id(id).metadata(metadata)
    });
    collection.insert_many(documents.collect::<Vec<_>>()).unwrap();
    collection.wait_indexed().unwrap();
    let queries: Vec<Vec<f32>> =
        (0..10).map(|_| pivot.iter().map(|x| x + rng.random_range(-0.2f32..0.2)).collect()).collect();
    let mut strategies = HashSet::new();
    for n_matching in [N / 2, N / 5, N / 10, N / 20, N / 50, N / 100, 30, 6, 1] {
        let away = N - n_matching;
        for filter in [
            field("shuffled").lt(n_matching),
            field("near").lt(n_matching),
            field("near").gte(away),
            !field("near").lt(away),
            field("near").lt(n_matching * 2) & field("even").eq(true),
            field("hidden").lt(n_matching),
            field("hidden").lt(n_matching * 2) & field("near").lt(N / 2),
        ] {
            for strategy in [None, Some(Strategy::Graph), Some(Strategy::Codes)] {
                let (mut n_found, mut n_expected) = (0, 0);
                for query in &queries {
                    let search = || collection.search(query).filter(filter.clone()).with_document(false);
                    let truth = search().exact(true).run().unwrap();
                    let hits = strategy.map_or(search(), |strategy| search().strategy(strategy)).run().unwrap();
                    assert_eq!(hits.len(), truth.len(), "{filter} {strategy:?}");
                    let expected: HashSet<&DocId> = truth.iter().map(|hit| &hit.id).collect();
                    n_found += hits.iter().filter(|hit| expected.contains(&hit.id)).count();
                    n_expected += expected.len();
                    strategies.insert(hits.stats.strategy);
                    assert!(hits.stats.n_matching.unwrap() >= truth.len());
                }
                // A graph search among very few is possible, but never chosen.
                let is_sensible = strategy != Some(Strategy::Graph) || n_matching * 50 >= N;
                let is_enough = n_found * 100 >= n_expected * 95;
                assert!(is_enough || !is_sensible, "{filter} {strategy:?}: {n_found} of {n_expected}");
            }
        }
    }
    assert_eq!(strategies, [Strategy::Exact, Strategy::Graph, Strategy::Codes].into());
}

/// Sketches are made when codes of many candidates, of enough components, are first compared one by
/// one. Graph searches that begin at documents of one vector meet some of them again.
#[test]
fn documents_of_the_same_vector_take_one_place_each() {
    let (mut rng, folder) = (random(seed()), tempfile::tempdir().unwrap());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    for (name, quantization) in [("exact", Quantization::None), ("codes", Quantization::Sq8)] {
        let config = CollectionConfig::new(N_DIMENSIONS).quantization(quantization);
        let collection = db.create_collection(name, config).unwrap();
        let vectors: Vec<Vec<f32>> = (0..50).map(|_| vector(&mut rng)).collect();
        let documents = (0..2_000u64).map(|id| {
            let metadata = json!({"mark": rng.random_range(0..40)});
            Document::new(vectors[id as usize % 50].as_slice()).id(id).metadata(metadata)
        });
        collection.insert_many(documents).unwrap();
        collection.wait_indexed().unwrap();
        for (mark, vector) in vectors.iter().take(40).enumerate() {
            let search = collection.search(vector.as_slice()).filter(field("mark").eq(mark)).limit(30);
            let (found, truth) = (
                search.clone().strategy(Strategy::Graph).run().unwrap(),
                search.strategy(Strategy::Exact).run().unwrap(),
            );
            assert!(found.stats.strategy == Strategy::Graph && !found.stats.gave_up, "{name}: {:?}", found.stats);
            let distances = |hits: &Hits| hits.iter().map(|hit| hit.distance).collect::<Vec<_>>();
            assert_eq!(distances(&found), distances(&truth), "{name}");
        }
    }
}

#[test]
fn what_the_prefilter_leaves_is_what_is_nearest() {
    const N: u64 = 4_000;
    const N_COMPONENTS: usize = 300;
    let mut rng = random(seed());
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(N_COMPONENTS).no_index("hidden")).unwrap();
    let other = collection.namespace("other").unwrap();
    let wide = |rng: &mut StdRng| -> Vec<f32> { (0..N_COMPONENTS).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let centres: Vec<Vec<f32>> = (0..40).map(|_| wide(&mut rng)).collect();
    let near = |n: u64, rng: &mut StdRng| -> Vec<f32> {
        let centre = &centres[(n % 40) as usize];
        centre.iter().zip(wide(rng)).map(|(x, noise)| x + noise).collect()
    };
    let document = |n: u64, vector: Vec<f32>| {
        Document::new(vector).id(n).metadata(json!({"half": n / 40 % 2, "hidden": n / 40 % 4, "centre": n % 40}))
    };
    let mut insert = |from: u64, to: u64| {
        collection.upsert_many((from..to).map(|n| document(n, near(n, &mut rng))).collect::<Vec<_>>()).unwrap();
        collection.wait_indexed().unwrap();
    };
    let check = |what: &str, is_prefiltered: bool| {
        for filter in [
            field("half").eq(1),
            !field("half").eq(1),
            field("hidden").lt(2),
            field("half").eq(0) & field("hidden").ne(3),
            field("centre").gte(20),
        ] {
            let (mut n_found, mut n_expected) = (0, 0);
            for query in centres.iter().step_by(3) {
                let search = || collection.search(query).filter(filter.clone()).with_document(false);
                let truth = search().exact(true).run().unwrap();
                let hits = search().strategy(Strategy::Codes).run().unwrap();
                assert_eq!(hits.len(), truth.len(), "{what} {filter}");
                let expected: HashSet<&DocId> = truth.iter().map(|hit| &hit.id).collect();
                n_found += hits.iter().filter(|hit| expected.contains(&hit.id)).count();
                n_expected += expected.len();
                assert!(
                    !is_prefiltered || hits.stats.n_prefiltered > hits.stats.n_visited,
                    "{what} {filter}: {:?}",
                    hits.stats
                );
            }
            assert!(n_found * 100 >= n_expected * 95, "{what} {filter}: {n_found} of {n_expected}");
        }
    };
    insert(0, N / 2);
    other.insert_many((0..500).map(|n| document(n, centres[7].clone())).collect::<Vec<_>>()).unwrap();
    let bytes_per_code = || {
        let stats = db.stats().unwrap();
        stats.collections[0].codes_bytes / stats.collections[0].n_documents
    };
    let bytes_before = bytes_per_code();
    check("by codes alone", false);
    // Earlier tasks of the linker are done once these are linked.
    insert(N / 2, N / 2 + 1);
    insert(N / 2 + 1, N);
    assert_eq!(bytes_per_code(), bytes_before + N_COMPONENTS.next_multiple_of(512) / 8);
    check("prefiltered", true);
    collection.delete_many((0..N).step_by(7)).unwrap();
    insert(N / 4, N / 2);
    insert(N, N + 500);
    check("after changes", true);
    db.verify().unwrap();
}

#[test]
fn namespaces_are_searched_whole_however_many_there_are() {
    let n_namespaces = common::number_from_env("NAMESPACES", 1_500);
    let mut rng = random(seed());
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(4)).unwrap();
    let name = |number: u64| format!("agent-{number:06}");
    for first in (0..n_namespaces).step_by(500) {
        let mut batch = db.batch();
        for number in first..(first + 500).min(n_namespaces) {
            let namespace = collection.namespace(&name(number)).unwrap();
            for id in 0..10u64 {
                let vector: Vec<f32> = (0..4).map(|_| rng.random_range(-1.0..1.0)).collect();
                batch.insert(&namespace, Document::new(vector).id(id).metadata(json!({"even": id % 2 == 0})));
            }
        }
        batch.commit().unwrap();
    }
    for _ in 0..200 {
        let number = rng.random_range(0..n_namespaces);
        let namespace = collection.namespace(&name(number)).unwrap();
        let hits = namespace.search([1.0, 0.0, 0.0, 0.0]).limit(100).run().unwrap();
        assert_eq!((hits.len(), hits.stats.strategy), (10, Strategy::Exact));
        let even = namespace.search([1.0, 0.0, 0.0, 0.0]).limit(100).filter(field("even").eq(true)).run().unwrap();
        assert_eq!(even.len(), 5);
        assert_eq!(namespace.count(field("even").ne(true)).unwrap(), 5);
        assert_eq!(namespace.facet("even").run().unwrap()[0].n_documents, 5);
    }
    assert_eq!(collection.namespaces("agent-00000").unwrap().len(), 10);
    assert_eq!(collection.namespaces("agent-").unwrap().len() as u64, n_namespaces);
    assert_eq!(collection.drop_namespace(&name(7)).unwrap().n_changed, 10);
    assert_eq!(collection.drop_namespace("no such").unwrap().n_changed, 0);
    assert_eq!(collection.namespaces("agent-00000").unwrap().len(), 9);
    assert!(collection.namespace(&name(7)).unwrap().search([1.0; 4]).run().unwrap().is_empty());
    assert_eq!(db.verify().unwrap().n_documents as u64, n_namespaces * 10 - 10);
}

#[test]
fn hostile_filters_get_right_answers_or_errors() {
    let (_folder, db) = common::database();
    let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
    let mixed =
        [json!(9_007_199_254_740_993u64), json!(9_007_199_254_740_992u64), json!("9"), json!(null), json!([9, "9"])];
    for (value, id) in mixed.iter().zip(0u64..) {
        collection.insert(Document::new([1.0]).id(id).metadata(json!({"v": value}))).unwrap();
    }
    let count = |filter: &str| collection.count(filter.parse::<Filter>().unwrap()).unwrap();
    assert_eq!(count(r#"{"v": 9007199254740993}"#), 1);
    assert_eq!(count(r#"{"v": {"$gt": 9007199254740992}}"#), 1);
    assert_eq!(count(r#"{"v": {"$lt": 9007199254740993}}"#), 2);
    assert_eq!(count(r#"{"v": "9"}"#), 2);
    assert_eq!(count(r#"{"v": {"$gte": ""}}"#), 2);
    assert_eq!(count(r#"{"v": {"$prefix": "^9.*$"}}"#), 0);
    let many: Vec<String> = (0..60_000).map(|n| n.to_string()).collect();
    assert_eq!(count(&format!(r#"{{"v": {{"$in": [{}]}}}}"#, many.join(","))), 1);
    let too_many: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let filter = format!(r#"{{"v": {{"$in": [{}]}}}}"#, too_many.join(",")).parse::<Filter>();
    check_error(filter, "LimitExceeded");
    check_error(r#"{"v": 1e400}"#.parse::<Filter>(), "InvalidFilter");
}
