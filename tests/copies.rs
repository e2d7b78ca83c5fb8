//! A vector's distance from itself is exactly 0 by cosine, Euclidean and Manhattan, in each kind of
//! search, so that `max_distance(0.0)` finds copies.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{database, folder, quick, random, seed};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, Database, DocId, Document, Hit, Index, Metric, Quantization, Query, Residency,
    Strategy, field,
};

const ZERO_TO_ITSELF: [Metric; 3] = [Metric::Cosine, Metric::Euclidean, Metric::Manhattan];

/// Vectors of length one, some others of any length, some copies, and some that are nearly the
/// same.
fn vectors(random: &mut StdRng, n: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut vectors: Vec<Vec<f32>> = Vec::new();
    for at in 0..n {
        let mut vector: Vec<f32> = (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect();
        match at % 10 {
            7 => vector = vectors[at - 1].clone(),
            8 => {
                vector = vectors[at - 2].clone();
                vector.iter_mut().for_each(|x| *x += random.random_range(-1e-4..1e-4));
            }
            9 => vector.iter_mut().for_each(|x| *x *= 3.0),
            _ => {
                let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|x| *x /= norm);
            }
        }
        vectors.push(vector);
    }
    vectors
}

fn fill(collection: &Collection, vectors: &[Vec<f32>]) {
    let documents = vectors.iter().enumerate().map(|(n, vector)| {
        let text = if n % 2 == 0 { "even" } else { "odd" };
        Document::new(vector.clone()).id(n as u64).text(text).metadata(json!({"half": n % 2, "few": n % 97}))
    });
    let documents: Vec<Document> = documents.collect();
    documents.chunks(1_000).for_each(|documents| _ = collection.insert_many(documents.to_vec()).unwrap());
}

/// Asserts that a search by a document's own vector finds the document and its copies at distance
/// 0. False if the document is not found.
fn check_copy(hits: &[Hit], n: usize, metric: Metric, what: &str) -> bool {
    assert!(hits.iter().all(|hit| hit.distance == 0.0 && hit.distance.is_sign_positive()), "{metric} {what}: {hits:?}");
    let own = hits.iter().find(|hit| hit.id == DocId::from(n as u64));
    assert!(own.is_none_or(|own| own.parts.is_some() || own.score == 1.0), "{metric} {what}: document {n}");
    own.is_some()
}

/// Searches for some vectors by themselves in each way. A graph search may miss one in a hundred,
/// as it may miss any.
fn check_each(collection: &Collection, vectors: &[Vec<f32>], step: usize) {
    let metric = collection.config().metric;
    let (mut n_missed, mut n_asked) = (0, 0);
    for (n, vector) in vectors.iter().enumerate().step_by(step) {
        let search = || collection.search(vector).max_distance(0.0).with_document(false);
        let half = field("half").eq((n % 2) as u64);
        let exact = || search().exact(true);
        for (what, search) in [("exact", exact()), ("half, exact", exact().filter(&half))] {
            assert!(check_copy(&search.run().unwrap(), n, metric, what), "{metric} {what}: document {n} is not found");
        }
        let words = Query::from(vector).with_text(if n % 2 == 0 { "even" } else { "odd" });
        for (what, search) in [
            ("as is fastest", search()),
            ("graph", search().strategy(Strategy::Graph)),
            ("codes", search().strategy(Strategy::Codes)),
            ("half, graph", search().strategy(Strategy::Graph).filter(&half)),
            ("half, codes", search().strategy(Strategy::Codes).filter(&half)),
            ("few", search().filter(field("few").eq((n % 97) as u64))),
            ("with words", collection.search(words).max_distance(0.0)),
            ("unlike each other", search().mmr(1.0, 20)),
            ("in groups", search().group_by("half", 10)),
        ] {
            n_asked += 1;
            n_missed += usize::from(!check_copy(&search.run().unwrap(), n, metric, what));
        }
    }
    assert!(n_missed * 100 <= n_asked, "{:?}: {n_missed} of {n_asked} are not found", collection.config());
}

#[test]
fn every_vector_finds_itself_at_no_distance() {
    let mut random = random(seed());
    for metric in ZERO_TO_ITSELF {
        for dimension in [3, 16, 17, 100, 384] {
            let vectors = vectors(&mut random, 2_500, dimension);
            for quantization in [Quantization::Sq8, Quantization::None] {
                let (_folder, db) = database();
                let config = CollectionConfig::new(dimension).metric(metric).quantization(quantization);
                let collection = db.create_collection("c", config).unwrap();
                fill(&collection, &vectors);
                // Some wait to be linked.
                check_each(&collection, &vectors, 101);
                collection.wait_indexed().unwrap();
                check_each(&collection, &vectors, 11);
            }
        }
    }
}

#[test]
fn a_copy_is_found_among_many_that_are_nearly_the_same() {
    let mut random = random(seed());
    for (dimension, quantization, n_near) in
        [(8, Quantization::Sq8, 60), (40, Quantization::None, 60), (40, Quantization::None, 400)]
    {
        let (_folder, db) = database();
        let config = CollectionConfig::new(dimension).quantization(quantization);
        let collection = db.create_collection("c", config).unwrap();
        let vectors = vectors(&mut random, 2_000, dimension);
        fill(&collection, &vectors);
        // Each is nearer to the first than rounding of a product resolves.
        let wanted = &vectors[1_000];
        let near = |n: u64| {
            let vector: Vec<f32> = wanted.iter().map(|x| x * (1.0 + random.random_range(-1e-6..1e-6))).collect();
            Document::new(vector).id(10_000 + n).metadata(json!({"half": 0}))
        };
        let near: Vec<Document> = (0..n_near).map(near).collect();
        collection.insert_many(near).unwrap();
        for is_linked in [false, true] {
            if is_linked {
                collection.wait_indexed().unwrap();
            }
            let half = field("half").eq(0);
            for limit in [1, 5] {
                let search = || collection.search(wanted).limit(limit).max_distance(0.0).with_document(false);
                for (what, search) in [
                    ("as is fastest", search()),
                    ("graph", search().strategy(Strategy::Graph)),
                    ("codes", search().strategy(Strategy::Codes)),
                    ("exact", search().exact(true)),
                    ("half", search().filter(&half)),
                    ("half, graph", search().filter(&half).strategy(Strategy::Graph)),
                    ("half, codes", search().filter(&half).strategy(Strategy::Codes)),
                ] {
                    let hits = search.run().unwrap();
                    let first = hits.first().map(|hit| hit.id.clone());
                    assert_eq!(first, Some(DocId::from(1_000)), "{dimension}, {n_near}, {is_linked}, {limit}, {what}");
                    assert!(hits.iter().all(|hit| hit.distance == 0.0), "{hits:?}");
                }
            }
        }
    }
}

#[test]
fn copies_are_found_wherever_vectors_are() {
    let mut random = random(seed());
    let vectors = vectors(&mut random, 2_000, 48);
    for metric in [Metric::Cosine, Metric::Euclidean] {
        let folder = folder();
        for residency in [Residency::Ram, Residency::Mapped, Residency::Disk] {
            // One opening normalises the vectors, and the next reads them.
            let db = Database::open_with(folder.path(), quick().residency(residency)).unwrap();
            let collection = match db.collection("c") {
                Ok(collection) => collection,
                Err(_) => {
                    let collection = db.create_collection("c", CollectionConfig::new(48).metric(metric)).unwrap();
                    fill(&collection, &vectors);
                    collection
                }
            };
            check_each(&collection, &vectors, 37);
            collection.wait_indexed().unwrap();
            assert_eq!(collection.wait_resident().unwrap(), residency);
            check_each(&collection, &vectors, 37);
            db.close().unwrap();
        }
        let flat = Database::open_with(folder.path(), quick()).unwrap();
        let flat = flat.create_collection("flat", CollectionConfig::new(48).metric(metric).index(Index::Flat)).unwrap();
        fill(&flat, &vectors);
        check_each(&flat, &vectors, 37);
    }
}

#[test]
fn stored_vectors_are_copies_of_those_given_also_where_lengths_do_not_count() {
    let (_folder, db) = database();
    let mut random = random(seed());
    let config = CollectionConfig::new(100).metric(Metric::Euclidean).normalize(true);
    for (name, config) in [("cosine", CollectionConfig::new(100)), ("euclidean", config)] {
        let collection = db.create_collection(name, config).unwrap();
        let vectors = vectors(&mut random, 300, 100);
        fill(&collection, &vectors);
        for (n, vector) in vectors.iter().enumerate() {
            // By its stored vector, and as an example.
            let stored = collection.get(n as u64).unwrap().unwrap().vector;
            let own = collection.search(&stored).max_distance(0.0).run().unwrap();
            assert!(own.iter().any(|hit| hit.id == DocId::from(n as u64)), "{name} {n}");
            // A vector of twice the length has the same direction, to the last digit.
            let twice: Vec<f32> = vector.iter().map(|x| x * 2.0).collect();
            assert_eq!(collection.search(twice).limit(1).run().unwrap()[0].distance, 0.0, "{name} {n}");
        }
        let like = collection.search(Query::like(6u64)).max_distance(0.0).run().unwrap();
        assert_eq!(like.iter().map(|hit| &hit.id).collect::<Vec<_>>(), [&DocId::from(7u64)], "{name}");
    }
}

#[test]
fn what_is_nearly_the_same_is_told_apart() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(64)).unwrap();
    let mut random = random(seed());
    let first: Vec<f32> = (0..64).map(|_| random.random_range(-1.0..1.0)).collect();
    // Later documents are nearer.
    let shifted = |n: u64| {
        let mut vector = first.clone();
        vector[5] += 1e-2 / (1 << n) as f32;
        vector
    };
    collection.insert_many((0..12).map(|n| Document::new(shifted(n)).id(n))).unwrap();
    collection.insert(Document::new(first.clone()).id("itself")).unwrap();
    for strategy in [Strategy::Exact, Strategy::Graph, Strategy::Codes] {
        let hits = collection.search(&first).strategy(strategy).limit(13).run().unwrap();
        let ids: Vec<String> = hits.iter().map(|hit| hit.id.to_string()).collect();
        let expected: Vec<String> =
            std::iter::once("itself".to_owned()).chain((0..12u64).rev().map(|n| n.to_string())).collect();
        assert_eq!(ids, expected, "{strategy:?}: {hits:?}");
        assert!(hits[1].distance > 0.0 && hits.windows(2).all(|pair| pair[0].distance < pair[1].distance));
    }
}

#[test]
fn dot_products_are_what_they_were() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2).metric(Metric::Dot)).unwrap();
    collection.insert(Document::new([3.0, 4.0]).id("long")).unwrap();
    collection.insert(Document::new([0.0, 0.0]).id("zero")).unwrap();
    let hits = collection.search([3.0, 4.0]).run().unwrap();
    let found: Vec<(f32, f32)> = hits.iter().map(|hit| (hit.distance, hit.score)).collect();
    assert_eq!(found, [(-25.0, 25.0), (0.0, 0.0)]);
    assert_eq!(collection.search([3.0, 4.0]).max_distance(-25.0).run().unwrap().len(), 1);
}
