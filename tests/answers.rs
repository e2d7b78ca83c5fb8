//! Hits are in one order, however they are found: by score and distance, and by id where both are
//! equal.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cmp::Ordering;

use common::{database, random, seed};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;
use vectrove::{
    Boost, Collection, CollectionConfig, DocId, Document, Fusion, Hit, Index, Metric, Quantization, Query, Search,
    Strategy, field,
};

/// Ids of every kind, in no order.
fn ids(random: &mut StdRng, n: usize) -> Vec<DocId> {
    let mut ids: Vec<DocId> = (0..n as u64)
        .map(|n| match n % 3 {
            0 => DocId::from(n),
            1 => DocId::from(vectrove::Uuid::from_u64_pair(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n)),
            _ => DocId::from(format!("name {}", n * 7_919 % 10_007)),
        })
        .collect();
    ids.shuffle(random);
    ids
}

/// Documents on a coarse grid, so that many are equally far from a query. Some were replaced and
/// some deleted, so that they lie in memory in another order.
fn fill(collection: &Collection, random: &mut StdRng, n: usize) {
    let dimension = collection.config().dimension;
    let mut document = |id: &DocId| {
        let mut vector: Vec<f32> = (0..dimension).map(|_| random.random_range(-1..=1) as f32).collect();
        vector[0] += 2.0;
        let words = ["red", "red green", "green green", "blue"][random.random_range(0..4)];
        let metadata = json!({"kind": random.random_range(0..9), "half": random.random_range(0..2)});
        Document::new(vector).id(id).text(words).metadata(metadata)
    };
    let ids = ids(&mut common::random(7), n);
    let documents: Vec<Document> = ids.iter().map(&mut document).collect();
    documents.chunks(1_000).for_each(|documents| _ = collection.insert_many(documents.to_vec()).unwrap());
    let (gone, replaced) = ids.split_at(n / 10);
    collection.delete_many(gone).unwrap();
    collection.upsert_many(replaced.iter().step_by(5).map(&mut document).collect::<Vec<_>>()).unwrap();
    collection.insert_many(gone.iter().rev().map(&mut document).collect::<Vec<_>>()).unwrap();
}

fn by_distance(a: &Hit, b: &Hit) -> Ordering {
    a.distance.total_cmp(&b.distance).then(a.id.cmp(&b.id))
}

fn by_score(a: &Hit, b: &Hit) -> Ordering {
    b.score.total_cmp(&a.score).then(a.distance.total_cmp(&b.distance)).then(a.id.cmp(&b.id))
}

#[track_caller]
fn check_order(hits: &[Hit], order: fn(&Hit, &Hit) -> Ordering, what: &str) {
    for pair in hits.windows(2) {
        assert!(order(&pair[0], &pair[1]).is_lt(), "{what}: {:?} before {:?}", pair[0], pair[1]);
        assert!(pair[0].score >= pair[1].score, "{what}: {:?} before {:?}", pair[0], pair[1]);
    }
}

fn all_configs(dimension: usize) -> Vec<CollectionConfig> {
    let mut configs = Vec::new();
    for metric in Metric::ALL {
        let config = || CollectionConfig::new(dimension).metric(metric);
        configs.push(config());
        configs.push(config().quantization(Quantization::None));
        configs.push(config().index(Index::Flat));
    }
    configs
}

#[test]
fn hits_carry_what_is_theirs_however_many_they_are() {
    let mut random = random(seed());
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(3).metric(Metric::Euclidean)).unwrap();
    let mut document = |n: u64| {
        let vector: Vec<f32> = (0..3).map(|_| random.random_range(-1.0..1.0)).collect();
        Document::new(vector).id(n).metadata(json!({"n": n, "kind": n % 400})).text("word")
    };
    collection.insert_many((0..1_200).map(&mut document).collect::<Vec<_>>()).unwrap();
    let query = [0.1f32, 0.2, 0.3];
    for n in [1, 255, 256, 257, 513, 700, 1_200] {
        let near = || collection.search(query).limit(n);
        for (what, search) in [
            ("as is fastest", near()),
            ("one by one", near().exact(true)),
            ("by words", collection.search(Query::text("word")).limit(n)),
            ("by both", near().text("word").fusion(Fusion::rrf())),
            ("among all", near().filter(field("n").gte(0))),
            ("without documents", near().with_document(false)),
        ] {
            let hits = search.with_vector(true).run().unwrap();
            assert_eq!(hits.len(), n, "{what}");
            let ids: std::collections::BTreeSet<&DocId> = hits.iter().map(|hit| &hit.id).collect();
            assert_eq!(ids.len(), n, "{what}");
            for hit in &hits {
                let stored = collection.get(&hit.id).unwrap().unwrap();
                assert_eq!(hit.vector.as_ref(), Some(&stored.vector), "{what}, {n}: {}", hit.id);
                let square: f32 = stored.vector.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum();
                let is_near = what == "by words" || (hit.distance - square.sqrt()).abs() < 1e-5;
                assert!(is_near, "{what}, {n}: {} at {}, not {}", hit.id, square.sqrt(), hit.distance);
                assert!(what == "without documents" || hit.metadata == stored.metadata, "{what}, {n}: {}", hit.id);
            }
        }
        let hits = near().group_by("kind", 3).run().unwrap();
        assert_eq!(hits.len(), (n * 3).min(1_200), "in groups");
        assert!(hits.iter().all(|hit| hit.group.as_ref() == hit.metadata.get("kind")), "in groups, {n}");
    }
}

#[test]
fn hits_stand_in_the_order_of_distance_and_id_by_every_strategy() {
    let mut random = random(seed());
    for dimension in [4, 24] {
        for config in all_configs(dimension) {
            let (_folder, db) = database();
            let collection = db.create_collection("c", config.clone()).unwrap();
            fill(&collection, &mut random, 3_000);
            for is_linked in [false, true] {
                if is_linked {
                    collection.wait_indexed().unwrap();
                }
                for _ in 0..8 {
                    let query: Vec<f32> = (0..dimension).map(|_| random.random_range(-1..=1) as f32 + 0.25).collect();
                    check_query(&collection, &query);
                }
            }
        }
    }
}

fn check_query(collection: &Collection, query: &[f32]) {
    let what = format!("{:?}", collection.config());
    let search = || collection.search(query).with_document(false);
    let all = search().exact(true).limit(10_000).run().unwrap();
    assert_eq!(all.len(), 3_000);
    check_order(&all, by_distance, &what);
    for n in [1, 2, 10, 33, 400] {
        // Ids also decide which of equally near documents are the last.
        assert_eq!(search().exact(true).limit(n).run().unwrap().items, all[..n], "{what}: the first {n}");
        let late = search().exact(true).offset(n).limit(n).run().unwrap();
        assert_eq!(late.items, all[n..2 * n], "{what}: {n} after {n}");
    }
    for strategy in [None, Some(Strategy::Graph), Some(Strategy::Codes)] {
        let with = |search: Search| strategy.map_or(search.clone(), |strategy| search.strategy(strategy));
        check_order(&with(search().limit(50)).run().unwrap(), by_distance, &what);
        for filter in [field("half").eq(1), field("kind").eq(3), field("kind").lt(8)] {
            check_order(&with(search().filter(&filter).limit(50)).run().unwrap(), by_distance, &what);
        }
    }
    let matching = field("half").eq(1);
    let exact = search().filter(&matching).exact(true).limit(10_000).run().unwrap();
    check_order(&exact, by_distance, &what);
    assert_eq!(search().filter(&matching).exact(true).limit(20).run().unwrap().items, exact[..20], "{what}");
    check_order(&collection.search(query).boost(Boost::when(field("half").eq(1))).run().unwrap(), by_score, &what);
    let words = || Query::from(query).with_text("green");
    for fusion in [Fusion::rrf(), Fusion::scores()] {
        check_order(&collection.search(words()).fusion(fusion).limit(60).run().unwrap(), by_score, &what);
        let exact = collection.search(words()).fusion(fusion).exact(true).limit(60);
        check_order(&exact.filter(&matching).run().unwrap(), by_score, &what);
    }
    let named = |n| collection.search(Query::text("red green")).limit(n).run().unwrap();
    let all = named(10_000);
    check_order(&all, by_score, &what);
    for n in [1, 7, 100] {
        assert_eq!(named(n).items, all[..n], "{what}: the first {n} by words");
    }
    for strategy in [Strategy::Exact, Strategy::Graph] {
        let grouped = search().strategy(strategy).group_by("kind", 5).limit(4).run().unwrap();
        let groups: Vec<&[Hit]> = grouped.chunk_by(|a, b| a.group == b.group).collect();
        assert_eq!(groups.len(), 4, "{what}: {grouped:?}");
        groups.iter().for_each(|group| check_order(group, by_distance, &what));
        assert!(groups.windows(2).all(|pair| by_distance(&pair[0][0], &pair[1][0]).is_lt()), "{what}: {grouped:?}");
    }
}

#[test]
fn of_many_copies_those_with_the_least_ids_come_first() {
    let (_folder, db) = database();
    for (dimension, metric) in [(20, Metric::Cosine), (4, Metric::Cosine), (4, Metric::Manhattan), (40, Metric::Dot)] {
        let config = CollectionConfig::new(dimension).metric(metric);
        let collection = db.create_collection(&format!("{metric}-{dimension}"), config).unwrap();
        let vector = |kind: usize| -> Vec<f32> {
            let mut random = common::random(kind as u64);
            (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect()
        };
        let ids = ids(&mut random(seed()), 2_000);
        let documents = ids.iter().enumerate().map(|(n, id)| Document::new(vector(n % 50)).id(id));
        collection.insert_many(documents.collect::<Vec<_>>()).unwrap();
        collection.wait_indexed().unwrap();
        for kind in 0..50 {
            let mut own: Vec<&DocId> = ids.iter().skip(kind).step_by(50).collect();
            own.sort();
            let nearest = &collection.search(vector(kind)).exact(true).limit(1).run().unwrap()[0];
            if metric == Metric::Dot && !own.contains(&&nearest.id) {
                // A longer one in about the same direction is nearer.
                continue;
            }
            for strategy in [Strategy::Exact, Strategy::Graph] {
                for n in [1, 5, 40] {
                    let hits = collection.search(vector(kind)).strategy(strategy).limit(n).run().unwrap();
                    let found: Vec<&DocId> = hits.iter().map(|hit| &hit.id).collect();
                    assert_eq!(found, own[..n], "{metric} {dimension} {kind} {strategy:?} {n}");
                }
            }
        }
    }
}
