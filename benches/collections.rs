//! A hundred collections: creating them, reopening them, and what an idle one costs in memory.

mod common;

use std::time::Instant;

use common::resident_bytes;
use vectrove::{CollectionConfig, Database};

const N_COLLECTIONS: usize = 100;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("db");
    let db = Database::open(&path).expect("opens");
    let (before, start) = (resident_bytes(), Instant::now());
    let mut slowest = 0.0f64;
    for number in 0..N_COLLECTIONS {
        let one = Instant::now();
        db.create_collection(&format!("collection-{number}"), CollectionConfig::new(384)).expect("is created");
        slowest = slowest.max(one.elapsed().as_secs_f64());
    }
    let seconds = start.elapsed().as_secs_f64();
    let each = before.zip(resident_bytes()).map_or(f64::NAN, |(before, after)| after.saturating_sub(before) as f64);
    println!("collections: {N_COLLECTIONS} created in {seconds:.2} s, the slowest in {slowest:.3} s");
    println!("             {:.0} KiB of memory for each idle one", each / N_COLLECTIONS as f64 / 1024.0);
    let start = Instant::now();
    db.close().expect("closes");
    println!("             closed in {:.2} s", start.elapsed().as_secs_f64());
    let start = Instant::now();
    let db = Database::open(&path).expect("opens");
    println!("             reopened in {:.2} s", start.elapsed().as_secs_f64());
    assert_eq!(db.collections().expect("lists").len(), N_COLLECTIONS);
}
