//! Single operations: what one call costs.

mod common;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use vectrove::{Collection, CollectionConfig, Database, Document, Durability, Options, field};

const N_DOCUMENTS: usize = 10_000;

fn document(row: &common::Row) -> Document {
    let metadata = serde_json::Value::Object(row.metadata.clone());
    Document::new(row.vector.as_slice()).id(&row.id).text(&row.text).metadata(metadata)
}

fn fill(db: &Database, rows: &[common::Row]) -> Collection {
    let collection = db.create_collection("packages", CollectionConfig::new(384)).expect("is created");
    collection.insert_many(rows.iter().map(document)).expect("is inserted");
    collection
}

fn operations(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, rows) = common::rows(N_DOCUMENTS);
    let options = Options::new().durability(Durability::Wal);
    let db = Database::open_with(folder.path().join("db"), options).expect("opens");
    let collection = fill(&db, &rows);
    let query = &rows[7].vector;

    criterion.bench_function("upsert, handed to the operating system", |bencher| {
        let mut next = rows.iter().cycle();
        let setup = || document(next.next().expect("a cycle has no end"));
        bencher.iter_batched(setup, |document| collection.upsert(document), BatchSize::SmallInput);
    });
    criterion.bench_function("get", |bencher| bencher.iter(|| collection.get(&rows[7].id)));
    criterion.bench_function("exact search over 10,000 documents, recall 1", |bencher| {
        bencher.iter(|| collection.search(query).limit(10).run());
    });
    criterion.bench_function("exact filtered search over 10,000 documents, recall 1", |bencher| {
        bencher.iter(|| collection.search(query).limit(10).filter(field("section").eq("net")).run());
    });
}

criterion_group!(benches, operations);
criterion_main!(benches);
