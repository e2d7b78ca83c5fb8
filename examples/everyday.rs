//! Calls that a program needs from day to day: durability of each write, pages, figures, and
//! waiting for background work.
//!
//! `cargo run --release --example everyday [FOLDER]`.

use serde_json::json;
use vectrove::{CollectionConfig, Database, Document, Durability, Options, SearchParams, field};

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or_else(|| temporary.path().join("notes"), Into::into);

    // A misspelt path is an error, not a new database.
    let only_if_there = Options::new().create_if_missing(false);
    let db = match Database::open_with(&folder, only_if_there) {
        Err(vectrove::Error::DatabaseNotFound { .. }) => Database::open(&folder)?,
        opened => opened?,
    };
    let notes = db.get_or_create_collection("notes", CollectionConfig::new(4))?;

    // A power loss may lose most of these writes, but not the one synced batch.
    let quick = notes.with_durability(Durability::Wal);
    for n in 0..200u64 {
        let (x, y) = (n as f32).sin_cos();
        quick.upsert(Document::new([x, y, 1.0, 0.5]).id(n).metadata(json!({"even": n % 2 == 0})))?;
    }
    let writer = quick.writer()?;
    let ticket = writer.send(Document::new([0.0, 1.0, 1.0, 0.5]).id("from the stream"))?;
    println!("written by commit {}", ticket.wait()?.commit);
    let mut batch = db.batch();
    batch.upsert(&notes, Document::new([0.0, 1.0, 1.0, 0.5]).id("precious"));
    batch.durability(Durability::Sync);
    let receipt = batch.commit()?;
    assert!(db.stats()?.durable_commit >= receipt.commit);

    // A filter by reference serves many searches. Pages repeat no hit, even while other threads
    // write.
    let even = field("even").eq(true);
    let (mut after, mut n_hits) = (None, 0);
    loop {
        let page = notes.search([0.0, 1.0, 1.0, 0.5]).filter(&even).limit(30).after(after).run()?;
        n_hits += page.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(n_hits, notes.count(&even)?);

    // The `ef` of a search, and the number of documents it compared one by one because they wait to
    // be linked.
    let hits = notes.search([0.0, 1.0, 1.0, 0.5]).max_distance(0.0).run()?;
    println!("{} copies; ef {}, {} waiting", hits.len(), hits.stats.ef, hits.stats.n_tail);
    println!("ef without one: {}", SearchParams::default_ef(10));
    println!("ef at least: {}", SearchParams::default().least_ef(10));

    // Ids by their types, and documents without their vectors.
    let numbers: Vec<u64> = hits.iter().filter_map(|hit| hit.id.as_u64()).collect();
    let names: Vec<&str> = hits.iter().filter_map(|hit| hit.id.as_str()).collect();
    println!("{numbers:?} {names:?}, {} by UUID", hits.iter().filter_map(|hit| hit.id.as_uuid()).count());
    let documents = notes.get_many_without_vectors(["precious", "missing"])?;
    assert!(documents[0].as_ref().is_some_and(|document| document.vector.is_empty()) && documents[1].is_none());

    // Waiting is never required; a measurement needs it.
    notes.wait_indexed()?;
    let residency = notes.wait_resident()?;
    let stats = notes.stats()?;
    println!("{} documents, {} waiting, vectors in {residency:?}", stats.n_documents, stats.tail_length);
    Ok(())
}
