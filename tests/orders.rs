//! Recall depends neither on the order of rows, nor on the lengths of vectors.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{database, random, seed};
use rand::seq::SliceRandom;
use rand::{Rng, rngs::StdRng};
use vectrove::{Collection, CollectionConfig, Database, Document, Metric, Quantization, Strategy};

fn noise(random: &mut StdRng) -> f32 {
    (0..4).map(|_| random.random_range(-0.87..0.87f32)).sum()
}

fn row(random: &mut StdRng, dimension: usize, spread: f32) -> Vec<f32> {
    (0..dimension).map(|_| spread * noise(random)).collect()
}

/// The recall at 10 of default searches; each of equally near rows counts.
fn recall(collection: &Collection, queries: &[Vec<f32>]) -> f64 {
    let found = |query: &Vec<f32>| {
        let truth = collection.search(query).exact(true).with_document(false).run().unwrap();
        let walked = collection.search(query).strategy(Strategy::Graph).with_document(false).run().unwrap();
        walked.iter().filter(|hit| hit.distance <= truth[9].distance).count()
    };
    queries.iter().map(found).sum::<usize>() as f64 / (10 * queries.len()) as f64
}

fn insert(db: &Database, name: &str, config: CollectionConfig, rows: &[Vec<f32>]) -> Collection {
    let collection = db.create_collection(name, config).unwrap();
    for (batch, rows) in rows.chunks(1_000).enumerate() {
        let ids = (batch * 1_000) as u64..;
        let documents = ids.zip(rows).map(|(id, row)| Document::new(row.clone()).id(id));
        collection.insert_many(documents).unwrap();
    }
    collection.wait_indexed().unwrap();
    collection
}

/// Rows of a slow walk, and queries between them.
fn drifting(random: &mut StdRng, n: usize, dimension: usize) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let paces: Vec<(f32, f32)> =
        (0..dimension).map(|_| (6.0 * noise(random), random.random_range(0.0..std::f32::consts::TAU))).collect();
    let mut at = |step: f32| -> Vec<f32> {
        paces.iter().map(|(pace, phase)| 3.0 * (pace * step + phase).sin() + 0.4 * noise(random)).collect()
    };
    let rows = (0..n).map(|step| at(step as f32 / n as f32)).collect();
    (rows, (0..150).map(|step| at(step as f32 / 150.0)).collect())
}

#[test]
fn rows_of_a_slow_walk_are_found_as_if_shuffled() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let (rows, queries) = drifting(&mut random, 10_000, 48);
    for codes in [Quantization::Sq8, Quantization::None] {
        let config = CollectionConfig::new(48).metric(Metric::Euclidean).quantization(codes);
        let in_order = recall(&insert(&db, &format!("{codes:?}-in-order"), config.clone(), &rows), &queries);
        let mut mixed = rows.clone();
        mixed.shuffle(&mut random);
        let shuffled = recall(&insert(&db, &format!("{codes:?}-shuffled"), config, &mixed), &queries);
        assert!(in_order >= shuffled - 0.01, "{codes:?}: {in_order} in order, {shuffled} shuffled");
    }
}

#[test]
fn what_comes_after_many_nearly_equal_rows_is_found() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let centres: Vec<Vec<f32>> = (0..60).map(|_| row(&mut random, 48, 1.0)).collect();
    let near = |spread: f32, random: &mut StdRng| -> Vec<f32> {
        let centre = &centres[random.random_range(0..60)];
        centre.iter().zip(row(random, 48, spread)).map(|(centre, off)| centre + off).collect()
    };
    let others: Vec<Vec<f32>> = (0..4_000).map(|_| near(0.5, &mut random)).collect();
    let queries: Vec<Vec<f32>> = (0..150).map(|_| near(0.5, &mut random)).collect();
    let mut rows: Vec<Vec<f32>> = (0..6_000)
        .map(|n| others[n % 8].iter().zip(row(&mut random, 48, 1e-3)).map(|(x, off)| x + off).collect())
        .collect();
    rows.extend(others);
    let first = recall(&insert(&db, "first", CollectionConfig::new(48), &rows), &queries);
    rows.shuffle(&mut random);
    let shuffled = recall(&insert(&db, "shuffled", CollectionConfig::new(48), &rows), &queries);
    assert!(first >= shuffled - 0.03, "{first} with the nearly equal ones first, {shuffled} shuffled");
}

#[test]
fn inner_products_are_found_whatever_the_lengths() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let check = |name: &str, rows: &[Vec<f32>], queries: &[Vec<f32>], least: f64| {
        for codes in [Quantization::Sq8, Quantization::None] {
            let config = CollectionConfig::new(rows[0].len()).metric(Metric::Dot).quantization(codes);
            let recall = recall(&insert(&db, &format!("{name}-{codes:?}"), config, rows), queries);
            assert!(recall >= least, "{name}, {codes:?}: {recall}");
        }
    };
    let biased: Vec<Vec<f32>> =
        (0..6_000).map(|_| [row(&mut random, 23, 0.5), row(&mut random, 1, 2.0)].concat()).collect();
    let asked: Vec<Vec<f32>> = (0..150).map(|_| [row(&mut random, 23, 1.0), vec![0.5]].concat()).collect();
    check("bias", &biased, &asked, 0.88);
    let lengths: Vec<f32> = (0..6_000).map(|_| noise(&mut random).exp()).collect();
    let scaled: Vec<Vec<f32>> = lengths.iter().map(|&length| row(&mut random, 32, length)).collect();
    let asked: Vec<Vec<f32>> = (0..150).map(|_| row(&mut random, 32, 1.0)).collect();
    check("lengths", &scaled, &asked, 0.95);
}
