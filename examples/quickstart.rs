//! The program of the README: opens a database, inserts documents, searches, changes, deletes.
//!
//! `cargo run --release --example quickstart [FOLDER]`; without a folder it uses a temporary one.

use serde_json::json;
use vectrove::{CollectionConfig, Database, Document, Update, field};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let temporary = tempfile::tempdir()?;
    let folder = std::env::args_os().nth(1).map_or_else(|| temporary.path().join("memories"), Into::into);

    let db = Database::open(&folder)?;
    // Three components, instead of the hundreds of an embedding model. The default metric is
    // cosine.
    let notes = db.get_or_create_collection("notes", CollectionConfig::new(3))?;

    // Each call returns once its write is on disk, and the next search sees it.
    notes.upsert(
        Document::new([0.9, 0.1, 0.3])
            .id("note-17")
            .text("LSM trees like big batches")
            .metadata(json!({"tag": "rust", "at": "2026-11-22T10:00:00Z"})),
    )?;
    notes.upsert_many([
        Document::new([0.8, 0.3, 0.1])
            .id("note-18")
            .text("Borrow checkers like small scopes")
            .metadata(json!({"tag": "rust", "at": "2026-11-23T09:30:00Z"})),
        Document::new([0.1, 0.9, 0.2])
            .id("note-19")
            .text("Bread likes a long rest")
            .metadata(json!({"tag": "kitchen", "at": "2026-11-24T18:00:00Z"})),
    ])?;

    let query = [1.0, 0.0, 0.2];
    println!("Nearest to the query, tagged rust:");
    let hits = notes.search(query).limit(10).filter(field("tag").eq("rust")).run()?;
    for hit in &hits {
        println!("{:.3}  {}  {}", hit.score, hit.id, hit.metadata["tag"]);
    }

    println!("Since the 23rd, whatever the tag:");
    for hit in &notes.search(query).filter(field("at").gte("2026-11-23T00:00:00Z")).run()? {
        println!("{:.3}  {}  {}", hit.score, hit.id, hit.text.as_deref().unwrap_or_default());
    }

    // An update keeps all that it does not name.
    notes.update(Update::new("note-17").merge(json!({"read": true})))?;
    println!("note-17 now: {}", notes.get("note-17")?.ok_or("note-17 is gone")?.metadata);

    // Several writes, which happen together or not at all.
    let done = db.get_or_create_collection("done", CollectionConfig::new(3))?;
    let mut batch = db.batch();
    batch.delete(&notes, "note-19").must_exist();
    batch.upsert(&done, Document::new([0.1, 0.9, 0.2]).id("note-19").text("Bread likes a long rest"));
    let receipt = batch.commit()?;
    println!("commit {} moved note-19: {} notes left, {} done", receipt.commit, notes.count(None)?, done.count(None)?);

    db.close()?;
    Ok(())
}
