//! Batched import, beside a bare RocksDB that writes the same bytes in the same run.
//!
//! Prints documents per second of both and their ratio, and bytes written per document by the
//! operating system's count, from opening an empty folder until it is closed. Rounds are
//! interleaved; figures are medians.

mod common;

use std::path::Path;
use std::time::Instant;

use common::{Row, median, rows, written_bytes};
use rocksdb::{BlockBasedOptions, Cache, DB, Options as RocksOptions, WriteBatch, WriteOptions};
use vectrove::{CollectionConfig, Database, Document, Index};

const BATCH: usize = 1_000;
const ROUNDS: usize = 3;

struct Round {
    documents_per_second: f64,
    written_per_document: f64,
}

fn main() {
    let (name, rows) = rows(40_000);
    let raw = rows.iter().map(Row::raw_bytes).sum::<usize>() as f64 / rows.len() as f64;
    println!("import: {} documents, {name}, batches of {BATCH}, synced; {raw:.0} raw bytes a document", rows.len());
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(measure(&rows, import_bare));
        ours.push(measure(&rows, import_ours));
    }
    let rate = |rounds: &[Round]| median(rounds.iter().map(|round| round.documents_per_second).collect());
    let written = |rounds: &[Round]| median(rounds.iter().map(|round| round.written_per_document).collect());
    for (who, rounds) in [("bare RocksDB", &bare), ("vectrove", &ours)] {
        let (rate, written) = (rate(rounds), written(rounds));
        println!(
            "{who:>14}: {rate:>8.0} documents/s   {written:>6.0} bytes written a document ({:.2}× raw)",
            written / raw
        );
    }
    println!("{:>14}: {:.0} % of bare RocksDB's rate", "ratio", 100.0 * rate(&ours) / rate(&bare));
}

fn measure(rows: &[Row], import: impl Fn(&Path, &[Row]) -> f64) -> Round {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let before = written_bytes();
    let seconds = import(folder.path(), rows);
    // Data in the page cache counts once it is written to disk; `sync` writes it.
    let _ = std::process::Command::new("sync").status();
    let written = before.zip(written_bytes()).map_or(f64::NAN, |(before, after)| (after - before) as f64);
    Round { documents_per_second: rows.len() as f64 / seconds, written_per_document: written / rows.len() as f64 }
}

/// Seconds for the batches; closing is not counted.
fn import_ours(folder: &Path, rows: &[Row]) -> f64 {
    let db = Database::open(folder.join("db")).expect("opens");
    // Measures writing; `vectrove bench` measures linking.
    let config = CollectionConfig::new(rows[0].vector.len()).index(Index::Flat);
    let collection = db.create_collection("packages", config).expect("is created");
    let documents: Vec<Document> = rows.iter().map(document).collect();
    let start = Instant::now();
    let mut documents = documents.into_iter();
    loop {
        let batch: Vec<_> = documents.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        collection.insert_many(batch).expect("is inserted");
    }
    let seconds = start.elapsed().as_secs_f64();
    db.close().expect("closes");
    seconds
}

fn document(row: &Row) -> Document {
    let metadata = serde_json::Value::Object(row.metadata.clone());
    Document::new(row.vector.as_slice()).id(&row.id).text(&row.text).metadata(metadata)
}

/// The least that stores the same: three rows for each document, one synced batch for each
/// thousand.
fn import_bare(folder: &Path, rows: &[Row]) -> f64 {
    let mut options = RocksOptions::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_size(64 << 20);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(512 << 20));
    table.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&table);
    let db = DB::open_cf(&options, folder.join("db"), ["vectors", "documents"]).expect("opens");
    let encoded: Vec<(Vec<u8>, Vec<u8>)> = rows.iter().map(encode_bare).collect();
    let start = Instant::now();
    {
        let family = |name| db.cf_handle(name).expect("the family was opened");
        let (vectors, documents) = (family("vectors"), family("documents"));
        let mut sync = WriteOptions::default();
        sync.set_sync(true);
        for (first, (batch_rows, batch_bytes)) in rows.chunks(BATCH).zip(encoded.chunks(BATCH)).enumerate() {
            let mut batch = WriteBatch::default();
            for (position, (row, (vector, document))) in batch_rows.iter().zip(batch_bytes).enumerate() {
                let slot = ((first * BATCH + position) as u32).to_be_bytes();
                batch.put_cf(&vectors, slot, vector);
                batch.put_cf(&documents, [b"d", slot.as_slice()].concat(), document);
                batch.put_cf(&documents, [b"i", row.id.as_bytes()].concat(), slot);
            }
            db.write_opt(batch, &sync).expect("writes");
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    for name in ["vectors", "documents"] {
        db.flush_cf(&db.cf_handle(name).expect("the family was opened")).expect("flushes");
    }
    seconds
}

fn encode_bare(row: &Row) -> (Vec<u8>, Vec<u8>) {
    let vector = row.vector.iter().flat_map(|component| component.to_le_bytes()).collect();
    let metadata = serde_json::to_vec(&row.metadata).expect("JSON");
    (vector, [row.id.as_bytes(), row.text.as_bytes(), &metadata].concat())
}
