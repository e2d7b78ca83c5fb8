//! Chooses the settings of a collection by measured recall and time.
//!
//! `cargo run --release --example ann`. For your own data, replace `vectors` by your vectors, and
//! the last of them by queries of your users: the data determine how hard neighbours are to find.

use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};
use vectrove::{Collection, CollectionConfig, Database, DocId, Document, Hits, Quantization, Result};

const DIMENSION: usize = 96;
const N_ROWS: usize = 8_000;
const N_QUERIES: usize = 200;
const K: usize = 10;

/// The figures of one setting.
struct Measured {
    collection: Collection,
    name: String,
    ef: usize,
    recall: f64,
    micros: f64,
    bytes: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let db = Database::open(folder.path())?;
    let mut rows = vectors(N_ROWS + N_QUERIES);
    // Queries must not be rows: a stored vector is found too easily.
    let queries = rows.split_off(N_ROWS);

    println!("{N_ROWS} rows of {DIMENSION} components\n");
    println!("{:12}  {:>4}  {:>9}  {:>9}  {:>12}", "collection", "ef", "recall@10", "µs/search", "bytes/vector");
    let mut curve = Vec::new();
    // `m` and the codes cannot be changed later: another choice needs another collection. More
    // links find more, and take more memory and time. Codes make each step of the graph search
    // cheaper, and take one byte for each component beside the exact vectors.
    for m in [8, 16, 32] {
        for codes in [Quantization::Sq8, Quantization::None] {
            let name = format!("m{m}-{codes:?}").to_lowercase();
            let config = CollectionConfig::new(DIMENSION).m(m).quantization(codes);
            let collection = load(&db, &name, config, &rows)?;
            curve.extend(measure(&db, &collection, &name, &queries)?);
        }
    }

    for target in [0.95, 0.99] {
        // Here time decides. Where memory is short, compare `bytes` first.
        let enough = curve.iter().filter(|measured| measured.recall >= target);
        let Some(best) = enough.min_by(|a, b| a.micros.total_cmp(&b.micros)) else {
            println!("\nnothing finds {target} of the nearest: try a larger ef, then a larger m");
            continue;
        };
        let Measured { collection, name, ef, micros, bytes, .. } = best;
        println!("\n{target} of the nearest: {name} with ef {ef}, {micros:.0} µs a search, {bytes} bytes a vector");
        for hit in &collection.search(&queries[0]).limit(3).ef(*ef).run()? {
            println!("  {:.3}  row {}", hit.score, hit.id);
        }
    }
    db.close()?;
    Ok(())
}

/// A collection with all rows, linked. Documents that are not linked yet are found too, but more
/// slowly.
fn load(db: &Database, name: &str, config: CollectionConfig, rows: &[Vec<f32>]) -> Result<Collection> {
    let collection = db.create_collection(name, config)?;
    for (batch, rows) in (0..).zip(rows.chunks(1_000)) {
        let ids = batch * 1_000..;
        collection.insert_many(ids.zip(rows).map(|(id, row)| Document::new(row.clone()).id(id)))?;
    }
    collection.wait_indexed()?;
    Ok(collection)
}

/// Recall and time of searches for several `ef`. `ef` belongs to a search, so one collection gives
/// a whole curve: a larger `ef` finds more and takes longer.
fn measure(db: &Database, collection: &Collection, name: &str, queries: &[Vec<f32>]) -> Result<Vec<Measured>> {
    // The truth: an exact search compares every vector.
    let truth = collection.search_many(queries).limit(K).exact(true).run()?;
    let stats = db.stats()?;
    let figures = stats.collections.iter().find(|collection| collection.name == name);
    let bytes = figures.map_or(0, |figures| figures.memory_bytes / figures.n_documents.max(1));
    let mut curve = Vec::new();
    for ef in [16, 32, 64, 128] {
        let mut micros = f64::INFINITY;
        let mut found = Vec::new();
        // The fastest of a few rounds: other work of the machine can only slow a search down.
        for _ in 0..3 {
            let begin = Instant::now();
            // Without documents a search reads nothing from disk, so only the search is timed.
            let search = |query| collection.search(query).limit(K).ef(ef).with_document(false).run();
            found = queries.iter().map(search).collect::<Result<Vec<Hits>>>()?;
            micros = micros.min(begin.elapsed().as_secs_f64() * 1e6 / queries.len() as f64);
        }
        let n_found: usize = found.iter().zip(&truth).map(|(found, truth)| n_common(found, truth)).sum();
        let recall = n_found as f64 / (queries.len() * K) as f64;
        println!("{name:12}  {ef:>4}  {recall:>9.3}  {micros:>9.1}  {bytes:>12}");
        curve.push(Measured { collection: collection.clone(), name: name.to_owned(), ef, recall, micros, bytes });
    }
    Ok(curve)
}

fn n_common(found: &Hits, truth: &Hits) -> usize {
    let ids: Vec<&DocId> = truth.iter().map(|hit| &hit.id).collect();
    found.iter().filter(|hit| ids.contains(&&hit.id)).count()
}

/// Vectors like those of an embedding model: many components, but few directions with much spread.
fn vectors(n: usize) -> Vec<Vec<f32>> {
    const N_DIRECTIONS: usize = 24;
    let mut random = StdRng::seed_from_u64(7);
    let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| random.random_range(-1.0..1.0)).collect() };
    let directions: Vec<Vec<f32>> = (0..N_DIRECTIONS).map(|_| draw(DIMENSION)).collect();
    let row = |_| {
        let mut row = draw(DIMENSION);
        for (direction, weight) in directions.iter().zip(draw(N_DIRECTIONS)) {
            row.iter_mut().zip(direction).for_each(|(x, step)| *x += 2.0 * weight * step);
        }
        row
    };
    (0..n).map(row).collect()
}
