//! A reader beside a writer that is killed again and again sees whole commits only, without an
//! error.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{folder, number_from_env, quick, random, seed};
use rand::Rng;
use vectrove::{CollectionConfig, Database, DocId, Document, Namespace};

/// How often the writer is killed.
const N_KILLS: u64 = 20;

/// Rows of the sample: ids and vectors.
struct Sample {
    ids: Vec<String>,
    vectors: Vec<Vec<f32>>,
}

impl Sample {
    fn read() -> Self {
        let text = std::fs::read_to_string("examples/data/debian.jsonl").unwrap();
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
        let bytes = std::fs::read("examples/data/debian.fbin").unwrap();
        let values = bytes[8..].as_chunks::<4>().0;
        let vectors = values.chunks(384).map(|row| row.iter().map(|&b| f32::from_le_bytes(b)).collect());
        Sample { ids: text.lines().map(id).collect(), vectors: vectors.collect() }
    }
}

/// Imports the sample into a namespace, in small batches.
fn import(db: &Path, namespace: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vectrove"));
    command.arg("--db").arg(db).args(["import", "packages", "examples/data/debian.jsonl"]);
    command.args(["--vectors", "examples/data/debian.fbin", "--batch", "25", "--resume", "--namespace", namespace]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Asserts that the database shows one commit: the import's place is written with its rows.
fn check(reader: &Database, sample: &Sample, namespace: &str, what: &str) -> usize {
    let packages = reader.collection("packages").unwrap();
    let (rows, places) = (packages.namespace(namespace).unwrap(), packages.namespace("vectrove-import").unwrap());
    let n_rows = rows.count(None).unwrap();
    let place = places.scroll().limit(100).run().unwrap().documents;
    let own = place.iter().find(|place| place.id.to_string().contains(&format!("\"{namespace}\"")));
    match own {
        Some(place) => {
            let said: serde_json::Value = serde_json::from_str(place.text.as_deref().unwrap()).unwrap();
            assert_eq!(said["rows"].as_u64(), Some(n_rows as u64), "{what}");
        }
        None => assert!([0, sample.ids.len()].contains(&n_rows), "{what}: {n_rows} rows"),
    }
    check_rows(&rows, sample, n_rows, what);
    n_rows
}

fn check_rows(rows: &Namespace, sample: &Sample, n_rows: usize, what: &str) {
    for row in (0..n_rows).step_by(97) {
        let hits = rows.search(&sample.vectors[row]).limit(1).run().unwrap();
        let is_same = hits[0].id == DocId::from(&sample.ids[row]) || hits[0].distance < 1e-5;
        assert!(is_same, "{what}: row {row}: {hits:?}");
        assert!(rows.contains(&sample.ids[row]).unwrap(), "{what}: row {row}");
    }
    if let Some(id) = sample.ids.get(n_rows) {
        assert!(!rows.contains(id).unwrap(), "{what}: a row after the last");
    }
}

#[test]
fn a_reader_beside_a_writer_that_is_killed_sees_whole_commits() {
    let (folder, sample, mut random) = (folder(), Sample::read(), random(seed()));
    let path = folder.path().join("db");
    let db = Database::open_with(&path, quick()).unwrap();
    let packages = db.create_collection("packages", CollectionConfig::new(384)).unwrap();
    packages.insert(Document::new(sample.vectors[0].clone()).id("first")).unwrap();
    db.close().unwrap();
    let reader = Database::open_with(&path, quick().read_only(true)).unwrap();
    let (mut n_refreshes, mut slowest, mut total) = (0u32, Duration::ZERO, Duration::ZERO);
    for kill in 0..number_from_env("READER_KILLS", N_KILLS) {
        // A complete import would begin again.
        let is_complete = |number: u64| check(&reader, &sample, &format!("n{number}"), "complete") == sample.ids.len();
        let number = (0..).find(|&number| !is_complete(number)).unwrap();
        let namespace = format!("n{number}");
        let mut writer = import(&path, &namespace);
        let until = Instant::now() + Duration::from_millis(random.random_range(30..500));
        let (mut n_before, mut last) = (0, reader.refresh().unwrap());
        while Instant::now() < until {
            let began = Instant::now();
            let commit = reader.refresh().unwrap();
            let took = began.elapsed();
            assert!(commit >= last, "kill {kill}: went back from commit {last} to {commit}");
            last = commit;
            (n_refreshes, slowest, total) = (n_refreshes + 1, slowest.max(took), total + took);
            let n_rows = check(&reader, &sample, &namespace, &format!("kill {kill}, commit {commit}"));
            assert!(n_rows >= n_before, "rows went from {n_before} to {n_rows}");
            n_before = n_rows;
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        reader.refresh().unwrap();
        let n_rows = check(&reader, &sample, &namespace, &format!("after kill {kill}"));
        assert!(n_rows >= n_before);
        if kill % 5 == 0 {
            reader.verify().unwrap();
        }
    }
    println!("{n_refreshes} refreshes beside the writer: {:?} each, the slowest {slowest:?}", total / n_refreshes);
    assert!(n_refreshes > 20);
    reader.close().unwrap();
    Database::open_with(&path, quick()).unwrap().verify().unwrap();
}
