//! Chooses the settings of a collection from what searches find and take, measured rather than guessed.
//!
//! `cargo run --release --example ann`. For your own data put your vectors in the place of `vectors`, and queries such
//! as your users ask in the place of the last of them: how hard neighbours are to find is a property of the data.

use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};
use vectrove::{Collection, CollectionConfig, Database, DocId, Document, Hits, Quantization, Result};

const DIMENSION: usize = 96;
const N_ROWS: usize = 8_000;
const N_QUERIES: usize = 200;
const K: usize = 10;

/// What one setting comes to.
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
    // Queries are no rows: a vector that is stored is found too easily.
    let queries = rows.split_off(N_ROWS);

    println!("{N_ROWS} rows of {DIMENSION} components\n");
    println!("{:12}  {:>4}  {:>9}  {:>9}  {:>12}", "collection", "ef", "recall@10", "µs/search", "bytes/vector");
    let mut curve = Vec::new();
    // `m` and the codes are for ever: another choice is another collection. More links find more and take more memory
    // and time. Codes make a step of the walk cheaper, and take a byte a component beside the exact vectors.
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

/// A collection with all rows, linked: what is not linked yet is found too, but not as fast.
fn load(db: &Database, name: &str, config: CollectionConfig, rows: &[Vec<f32>]) -> Result<Collection> {
    let collection = db.create_collection(name, config)?;
    for (batch, rows) in (0..).zip(rows.chunks(1_000)) {
        let ids = batch * 1_000..;
        collection.insert_many(ids.zip(rows).map(|(id, row)| Document::new(row.clone()).id(id)))?;
    }
    collection.wait_indexed()?;
    Ok(collection)
}

/// `ef` belongs to a search, so that one collection gives a whole curve: the larger, the more is found, and the longer
/// it takes.
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
        // The fastest of a few rounds: what else the machine does only ever slows a search down.
        for _ in 0..3 {
            let begin = Instant::now();
            // Without documents a search reads nothing from the disk, and what is timed is the search alone.
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

/// Vectors like those of an embedding model: many components, but few directions in which they differ much.
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
