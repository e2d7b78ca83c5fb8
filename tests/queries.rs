//! Parts of a query beside the nearest: groups, boosts, an order, a sample, an explanation. Each
//! answer is compared with a scan of all documents.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use rand::{Rng, rngs::StdRng};
use serde_json::{Value as Json, json};
use vectrove::{
    Boost, Collection, CollectionConfig, Cursor, Database, DocId, Document, Filter, Namespace, Query, StoredDocument,
    Strategy, Update, Value, field,
};

use common::{check_error, database, random, seed};

fn metadata(rng: &mut StdRng) -> Json {
    let source = ["a", "b", "c", "d", "e", "f"][rng.random_range(0..6)];
    let mut metadata = json!({
        "source": source,
        "n": rng.random_range(-20..20),
        "at": format!("2026-01-{:02}T00:00:00Z", rng.random_range(1..28)),
        "tags": (0..rng.random_range(0..3)).map(|_| rng.random_range(0..9)).collect::<Vec<_>>(),
    });
    match rng.random_range(0..16) {
        0 => metadata["source"] = Json::Null,
        1 => metadata["source"] = json!(1),
        2 => metadata["source"] = json!(1.0),
        3 => metadata["source"] = json!(["a", "b"]),
        4 => _ = metadata.as_object_mut().unwrap().remove("source"),
        5 => metadata["n"] = json!("z".repeat(rng.random_range(1..400))),
        6 => metadata["n"] = json!([5, -5, "x", null]),
        7 => metadata["n"] = json!(rng.random_range(-1.0..1.0)),
        8 => metadata["n"] = json!(format!("2026-01-{:02}T02:00:00+02:00", rng.random_range(1..9))),
        9 => metadata["n"] = json!({"deep": 1}),
        10 => metadata["many"] = json!((0..1_100).collect::<Vec<_>>()),
        _ => {}
    }
    metadata
}

fn vector(rng: &mut StdRng) -> Vec<f32> {
    (0..4).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A collection of random documents in two namespaces, and the one that is asked.
fn world(config: CollectionConfig, n: u64) -> (tempfile::TempDir, Database, Collection, Namespace, StdRng) {
    let (folder, db) = database();
    let mut rng = random(seed());
    let collection = db.create_collection("c", config).unwrap();
    let namespace = collection.namespace("here").unwrap();
    for namespace in [&collection, &namespace as &dyn AsNamespace] {
        let documents: Vec<Document> = (0..n)
            .map(|id| {
                let text = if id % 3 == 0 { "rust and more" } else { "rust" };
                Document::new(vector(&mut rng)).id(id).metadata(metadata(&mut rng)).text(text)
            })
            .collect();
        namespace.put(documents);
    }
    (folder, db, collection, namespace, rng)
}

trait AsNamespace {
    fn put(&self, documents: Vec<Document>);
}

impl AsNamespace for Collection {
    fn put(&self, documents: Vec<Document>) {
        self.upsert_many(documents).unwrap();
    }
}

impl AsNamespace for Namespace {
    fn put(&self, documents: Vec<Document>) {
        self.upsert_many(documents).unwrap();
    }
}

fn all(namespace: &Namespace) -> Vec<StoredDocument> {
    namespace.scroll().limit(usize::MAX).with_vector(true).run().unwrap().documents
}

fn configs() -> [CollectionConfig; 2] {
    [CollectionConfig::new(4), CollectionConfig::new(4).index_only::<String>([])]
}

fn filters() -> [Filter; 4] {
    [Filter::everything(), field("n").lt(0), field("tags").eq(3).or(field("tags").eq(4)), field("nowhere").eq(1)]
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// The documents that match with their plain scores, best first.
fn ranked<'d>(documents: &'d [StoredDocument], query: &[f32], filter: &Filter) -> Vec<(f64, &'d StoredDocument)> {
    let matching = documents.iter().filter(|document| filter.matches(&document.metadata));
    let mut ranked: Vec<_> = matching.map(|document| (cosine(query, &document.vector), document)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    ranked
}

#[test]
fn groups_are_those_that_all_documents_make() {
    for config in configs() {
        let (_folder, _db, _collection, namespace, mut rng) = world(config, 400);
        let documents = all(&namespace);
        for filter in filters() {
            for (limit, offset, per_group) in [(1, 0, 1), (3, 0, 2), (3, 2, 4), (100, 0, 7), (2, 0, 200), (0, 0, 3)] {
                let query = vector(&mut rng);
                let mut groups: Vec<(&Value, Vec<&DocId>)> = Vec::new();
                for (_, document) in ranked(&documents, &query, &filter) {
                    let Some(value) = document.metadata.get("source").filter(|value| value.as_array().is_none()) else {
                        continue;
                    };
                    let same = |known: &Value| field("source").eq(known.clone()).matches(&document.metadata);
                    match groups.iter_mut().find(|(known, _)| same(known)) {
                        Some((_, ids)) => ids.push(&document.id),
                        None => groups.push((value, vec![&document.id])),
                    }
                }
                let search = namespace.search(&query).filter(filter.clone()).group_by("source", per_group);
                let hits = search.limit(limit).offset(offset).exact(true).run().unwrap();
                let expected: Vec<(&Value, &DocId)> = groups
                    .iter()
                    .skip(offset)
                    .take(limit)
                    .flat_map(|(value, ids)| ids.iter().take(per_group).map(|id| (*value, *id)))
                    .collect();
                assert_eq!(hits.len(), expected.len(), "{filter}, {limit}, {offset}, {per_group}");
                for (hit, (value, id)) in hits.iter().zip(expected) {
                    assert!(hit.id == *id && hit.group.as_ref().is_some_and(|group| group == value), "{hit:?}");
                }
            }
        }
        let words = namespace.search(Query::text("rust more")).group_by("source", 2).limit(100).run().unwrap();
        let both = namespace.search([1.0; 4]).text("rust").group_by("source", 2).limit(100).run().unwrap();
        let n_groups = documents.iter().filter_map(|document| document.metadata.get("source").cloned());
        let n_groups = n_groups.filter(|value| value.as_array().is_none()).map(|value| value.to_string());
        let n_groups = n_groups.map(|value| value.replace("1.0", "1")).collect::<HashSet<_>>().len();
        assert_eq!((words.len(), both.len()), (2 * n_groups, 2 * n_groups));
    }
}

#[test]
fn boosts_are_added_before_the_best_are_cut_off() {
    let boosts: Vec<Vec<Boost>> = vec![
        vec![Boost::decay("at", Duration::from_secs(5 * 86_400)).origin("2026-01-15T00:00:00Z").weight(0.7)],
        vec![Boost::when(field("source").eq("c")).weight(3.0), Boost::when(field("tags").exists(true)).weight(-0.5)],
        vec![Boost::when(Filter::text("more")).weight(1.5)],
        vec![Boost::field("n").weight(0.1)],
        vec![Boost::field("n").log(), Boost::decay("at", Duration::from_secs(86_400)).weight(-2.0)],
    ];
    let value = |place: usize, document: &StoredDocument| -> f64 {
        let get = |key: &str| document.metadata.get(key).cloned().unwrap_or_default();
        let day = |text: &str| text.get(8..10).and_then(|day| day.parse::<f64>().ok()).unwrap_or(99.0);
        let matches = |filter: Filter| f64::from(u8::from(filter.matches(&document.metadata)));
        let number = match get("n") {
            Value::Array(items) => items.iter().find_map(Value::as_f64).unwrap_or(0.0),
            other => other.as_f64().unwrap_or(0.0),
        };
        match place {
            0 => 0.7 * 0.5f64.powf((day(get("at").as_str().unwrap()) - 15.0).abs() / 5.0),
            1 => 3.0 * matches(field("source").eq("c")) - 0.5 * matches(field("tags").exists(true)),
            2 => 1.5 * f64::from(u8::from(document.text.as_deref() == Some("rust and more"))),
            3 => 0.1 * number,
            // A time years ago has decayed to nothing.
            _ => number.max(0.0).ln_1p(),
        }
    };
    for config in configs() {
        let (_folder, _db, _collection, namespace, mut rng) = world(config, 1_500);
        let documents = all(&namespace);
        for (place, boosts) in boosts.iter().enumerate() {
            for filter in filters() {
                let query = vector(&mut rng);
                let mut expected: Vec<(f64, &DocId)> = ranked(&documents, &query, &filter)
                    .into_iter()
                    .map(|(score, document)| (score + value(place, document), &document.id))
                    .collect();
                expected.sort_by(|a, b| b.0.total_cmp(&a.0));
                let search = namespace.search(&query).filter(filter.clone()).exact(true).boosted_candidates(4_096);
                let search = boosts.iter().fold(search, |search, boost| search.boost(boost.clone()));
                // A boost without a known maximum is applied to the candidates, which are all
                // documents here. Others take any number.
                let search = if place < 3 { search.boosted_candidates(10) } else { search };
                let hits = search.clone().limit(10).run().unwrap();
                let scores: HashMap<&DocId, f64> = expected.iter().map(|(score, id)| (*id, *score)).collect();
                assert_eq!(hits.len(), expected.len().min(10));
                for (hit, (score, _)) in hits.iter().zip(&expected) {
                    assert!((f64::from(hit.score) - score).abs() < 1e-3, "{boosts:?}, {filter}: {} {score}", hit.score);
                    assert!((f64::from(hit.score) - scores[&hit.id]).abs() < 1e-3, "{boosts:?}: {hit:?}");
                }
                let least = expected.get(4).map_or(0.0, |(score, _)| *score + 1e-4);
                let bounded = search.limit(100).min_score(least as f32).run().unwrap();
                assert_eq!(bounded.len(), expected.iter().take(100).filter(|(score, _)| *score >= least).count());
            }
        }
        let boost = Boost::when(field("source").eq("d")).weight(9.0);
        let hits = namespace.search(Query::text("rust")).boost(boost.clone()).limit(5).run().unwrap();
        assert!(hits.iter().all(|hit| hit.metadata["source"].as_str() == Some("d")));
        let grouped = namespace.search([1.0; 4]).boost(boost).group_by("source", 1).limit(1).run().unwrap();
        assert_eq!(grouped[0].group, Some("d".into()));
    }
}

/// Every document in order, by pages of some length.
fn paged(namespace: &Namespace, filter: &Filter, descending: bool, limit: usize) -> Vec<DocId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let scroll = namespace.scroll().order_by("n").filter(filter.clone()).limit(limit).after(after);
        let page = if descending { scroll.descending() } else { scroll }.run().unwrap();
        assert!(page.documents.len() <= limit);
        ids.extend(page.documents.into_iter().map(|document| document.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

/// The key that orders a value: its kind, then the value.
fn order(value: &Value) -> Option<(u8, f64, String)> {
    let of_kind = |kind| Some((kind, 0.0, String::new()));
    if let Some(number) = value.as_f64() {
        return Some((4, number, String::new()));
    }
    match value.as_str() {
        Some(text) if text.starts_with("2026") => Some((6, text[8..10].parse().unwrap(), String::new())),
        Some(text) => Some((5, 0.0, text.to_owned())),
        None if *value == Value::Null => of_kind(2),
        None => None,
    }
}

#[test]
fn pages_in_order_are_what_sorting_makes() {
    for config in configs() {
        let (_folder, _db, _collection, namespace, _) = world(config, 300);
        let documents = all(&namespace);
        for filter in filters() {
            for descending in [false, true] {
                let mut expected: Vec<((u8, f64, String), &DocId)> = Vec::new();
                for document in documents.iter().filter(|document| filter.matches(&document.metadata)) {
                    let value = document.metadata.get("n").cloned().unwrap();
                    let items = value.as_array().map_or(vec![value.clone()], <[Value]>::to_vec);
                    let mut orders: Vec<_> = items.iter().filter_map(order).collect();
                    orders.sort_by(|a, b| a.partial_cmp(b).unwrap());
                    let own = if descending { orders.pop() } else { orders.into_iter().next() };
                    expected.extend(own.map(|own| (own, &document.id)));
                }
                expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
                if descending {
                    expected.reverse();
                }
                let expected: Vec<DocId> = expected.into_iter().map(|(_, id)| id.clone()).collect();
                for limit in [1, 7, 1_000] {
                    assert_eq!(paged(&namespace, &filter, descending, limit), expected, "{filter}, {limit}");
                }
            }
        }
    }
}

#[test]
fn a_page_goes_on_where_the_last_one_ended_whatever_is_written() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
    let document = |id: u64, n: u64| Document::new([1.0]).id(id).metadata(json!({ "n": n }));
    collection.insert_many((0..100).map(|id| document(id, id / 10))).unwrap();
    let page = |after: Option<Cursor>| collection.scroll().order_by("n").limit(25).after(after).run().unwrap();
    let first = page(None);
    collection.delete(24).unwrap();
    collection.insert(document(1_000, 0)).unwrap();
    collection.insert(document(1_001, 2)).unwrap();
    collection.update(Update::new(30).replace(json!({"n": 7}))).unwrap();
    let second = page(first.next);
    let ids: Vec<u64> = second.documents.iter().map(|document| document.id.to_string().parse().unwrap()).collect();
    let expected: Vec<u64> = (25..30).chain([1_001]).chain(31..50).collect();
    assert_eq!(ids, expected);
    let by_id = collection.scroll().limit(1).run().unwrap().next;
    check_error(collection.scroll().order_by("n").after(by_id).run(), "InvalidConfig");
    check_error(collection.scroll().after(second.next).run(), "InvalidConfig");
    check_error(collection.scroll().descending().run(), "InvalidConfig");
    check_error(collection.scroll().order_by("").run(), "InvalidConfig");
}

#[test]
fn a_sample_is_drawn_evenly() {
    let (_folder, _db, _collection, namespace, _) = world(CollectionConfig::new(4), 60);
    let mut counts = BTreeMap::<DocId, usize>::new();
    for seed in 0..2_000 {
        let sample = namespace.sample(6).seed(seed).run().unwrap();
        let ids: HashSet<&DocId> = sample.iter().map(|document| &document.id).collect();
        assert_eq!(ids.len(), 6);
        sample.iter().for_each(|document| *counts.entry(document.id.clone()).or_default() += 1);
        assert_eq!(sample, namespace.sample(6).seed(seed).run().unwrap());
    }
    assert_eq!(counts.len(), 60);
    assert!(counts.values().all(|n| (120..=290).contains(n)), "{counts:?}");
    for filter in filters() {
        let expected = namespace.count(filter.clone()).unwrap();
        let sample = namespace.sample(usize::MAX).filter(filter.clone()).with_vector(true).run().unwrap();
        assert!(sample.len() == expected && sample.iter().all(|document| filter.matches(&document.metadata)));
        assert!(sample.iter().all(|document| document.vector.len() == 4));
    }
    assert!(namespace.sample(0).run().unwrap().is_empty());
}

#[test]
fn an_explanation_says_what_was_done() {
    let (_folder, _db, collection, namespace, _) = world(CollectionConfig::new(4).no_index("n"), 2_000);
    collection.wait_indexed().unwrap();
    for filter in filters() {
        let hits = namespace.search([1.0; 4]).filter(filter.clone()).explain(true).run().unwrap();
        let explanation = hits.explanation.as_ref().unwrap();
        assert_eq!(explanation.stats, hits.stats);
        match &explanation.filter {
            None => assert!(filter.is_everything()),
            Some(figures) => {
                assert_eq!(figures.n_matching, namespace.count(filter.clone()).unwrap());
                assert!(figures.n_matching <= figures.n_possible);
                assert_eq!(figures.n_doubtful > 0, filter.to_string().contains("\"n\""), "{figures:?}");
            }
        }
        assert!(explanation.estimates.is_sorted_by(|a, b| a.micros.is_none() || a.micros <= b.micros));
        assert!(explanation.to_string().starts_with("strategy: "), "{explanation}");
        assert!(serde_json::to_value(explanation).unwrap()["stats"]["strategy"].is_string());
    }
    let alone = collection.namespace("nobody").unwrap();
    assert!(alone.search([1.0; 4]).explain(true).run().unwrap().explanation.is_some());
    let words = namespace.search(Query::text("rust")).explain(true).run().unwrap();
    assert_eq!(words.explanation.unwrap().estimates[0].strategy, Strategy::Words);
    assert!(namespace.search([1.0; 4]).run().unwrap().explanation.is_none());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
    collection.insert(Document::new([1.0]).metadata(json!({"n": 1e308}))).unwrap();
    let search = || collection.search([1.0]);
    check_error(search().group_by("n", 0).run(), "InvalidConfig");
    check_error(search().group_by("n", 5_000).run(), "InvalidConfig");
    check_error(search().group_by("", 1).run(), "InvalidConfig");
    check_error(search().group_by("$n", 1).run(), "InvalidConfig");
    check_error(search().group_by("n", 1).mmr(0.5, 10).run(), "InvalidConfig");
    check_error(search().boost(Boost::field("n").weight(f32::NAN)).run(), "InvalidConfig");
    check_error(search().boost(Boost::decay("n", Duration::ZERO)).run(), "InvalidConfig");
    check_error(search().boost(Boost::field("n")).mmr(0.5, 10).run(), "InvalidConfig");
    check_error(search().boost(Boost::field("n")).boosted_candidates(0).run(), "InvalidConfig");
    check_error((0..65).fold(search(), |search, _| search.boost(Boost::field("n"))).run(), "InvalidConfig");
    check_error(collection.sample(1).filter(field("").eq(1)).run(), "InvalidFilter");
    let huge = search().boost(Boost::field("n").weight(1e30)).run().unwrap();
    assert_eq!(huge[0].score, f32::MAX);
    assert_eq!(search().group_by("n", 1).limit(usize::MAX).offset(usize::MAX).run().unwrap().len(), 0);
    assert_eq!(search().group_by("n", 1).limit(usize::MAX).run().unwrap().len(), 1);
}
