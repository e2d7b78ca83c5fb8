//! Searches in words, and by words and a vector: latency, BM25 scores, hits that only both find
//! together, and the cost of indexing words.
//!
//! `cargo bench --bench text [-- words | both | index | large | dump FOLDER] [--json]`. All but
//! `large` work on all rows of the data set that `VECTROVE_DATA` names. `index` measures the time
//! and disk space of indexing them. `large` writes the largest texts that are admitted, and the
//! same rows to a bare RocksDB. `dump` writes words, queries and scores for `benches/reference.py`,
//! which compares them with another implementation.

mod common;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use vectrove::{
    Analyzer, Collection, CollectionConfig, Database, DocId, Document, Durability, Fusion, Hits, Index, Language,
    Options, Query,
};

use common::Row;

/// Number of queries.
const N_QUERIES: usize = 200;
/// Hits of each search.
const K: usize = 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_json = args.iter().any(|arg| arg == "--json");
    let parts: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|name| *name == part);
    if parts.iter().any(|part| *part == "large") {
        return large(is_json);
    }
    if common::full().is_none() {
        println!("skipped: set VECTROVE_DATA to the folder of the full data set, whose queries have texts");
        return;
    }
    let (name, rows) = common::rows(common::n_rows());
    if parts.iter().any(|part| *part == "index") {
        return index(&rows, is_json);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Database::open_with(folder.path(), Options::new().durability(Durability::Wal)).expect("opens");
    let packages = db.create_collection("packages", CollectionConfig::new(rows[0].vector.len())).expect("is created");
    for chunk in rows.chunks(1_000) {
        let document = |row: &Row| Document::new(row.vector.clone()).id(&*row.id).text(&*row.text);
        packages.insert_many(chunk.iter().map(document)).expect("is inserted");
    }
    packages.wait_indexed().expect("is indexed");
    if !is_json {
        println!("{name}, {} documents; k {K}", rows.len());
    }
    if let Some(at) = parts.iter().position(|part| *part == "dump") {
        let folder = parts.get(at + 1).expect("a folder to write to");
        dump(&packages, &rows, Path::new(folder));
        return;
    }
    if wants("words") {
        words(&packages, rows.len(), is_json);
    }
    if wants("both") {
        both(&packages, &rows, is_json);
    }
}

/// Cost of indexing all texts, beyond storing them, in documents of one component.
fn index(rows: &[Row], is_json: bool) {
    let plain = CollectionConfig::new(1).index(Index::Flat);
    let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
    let ways = [("no words", plain.clone().no_text()), ("words", plain.clone()), ("English", plain.analyzer(english))];
    for (name, config) in ways {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let db = Database::open_with(folder.path(), Options::new().durability(Durability::Wal)).expect("opens");
        let packages = db.create_collection("packages", config).expect("is created");
        let began = Instant::now();
        for chunk in rows.chunks(1_000) {
            packages.insert_many(chunk.iter().map(|row| Document::new([1.0]).text(&*row.text))).expect("is inserted");
        }
        let seconds = began.elapsed().as_secs_f64();
        drop(packages);
        db.close().expect("closes");
        let mib = folder_bytes(&folder.path().join("data")) as f64 / f64::from(1 << 20);
        match is_json {
            true => println!("{}", json!({"index": name, "seconds": seconds, "mib": mib})),
            false => println!("  {name:<12} {seconds:>6.2} s  {mib:>6.1} MiB"),
        }
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
}

/// Number of texts of the largest size. Hardly any word occurs in two of them.
const N_LARGE: u64 = 20;
const N_WORDS: usize = 699_000;

fn large_text(number: u64) -> String {
    let mut random = StdRng::seed_from_u64(number);
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(N_WORDS * 6);
    for _ in 0..N_WORDS {
        text.extend((0..5).map(|_| char::from(letters[random.random_range(0..letters.len())])));
        text.push(' ');
    }
    text
}

/// The largest texts, one by one; and the same rows in their order, as puts of a bare RocksDB, one
/// batch for each text.
fn large(is_json: bool) {
    const MIB: f64 = (1 << 20) as f64;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Database::open_with(folder.path().join("db"), Options::new().durability(Durability::Wal)).expect("opens");
    let texts = db.create_collection("texts", CollectionConfig::new(1)).expect("is created");
    let (mut seconds, before) = (0.0, common::resident_bytes().unwrap_or(0) as f64 / MIB);
    for number in 0..N_LARGE {
        let document = Document::new([1.0]).text(large_text(number));
        let began = Instant::now();
        texts.insert(document).expect("is inserted");
        seconds += began.elapsed().as_secs_f64();
    }
    let peak = common::peak_resident_bytes().unwrap_or(0) as f64 / MIB;
    drop(texts);
    db.close().expect("closes");

    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    let bare = rocksdb::DB::open(&options, folder.path().join("bare")).expect("opens");
    let mut bare_seconds = 0.0;
    for number in 0..N_LARGE {
        let text = large_text(number);
        let mut words: Vec<&str> = text.split_whitespace().collect();
        words.sort_unstable();
        words.dedup();
        let began = Instant::now();
        let mut batch = rocksdb::WriteBatch::default();
        for word in words {
            batch.put([b"t", word.as_bytes(), &[0; 5]].concat(), [1, 3, 0, 0, number as u8, 0x10, 0xf8, 0xd4, 0x2a]);
        }
        bare.write(batch).expect("is written");
        bare_seconds += began.elapsed().as_secs_f64();
    }
    match is_json {
        true => println!(
            "{}",
            json!({"large": N_LARGE, "seconds": seconds, "peak_mib": peak, "bare_seconds": bare_seconds})
        ),
        false => {
            println!(
                "  {N_LARGE} texts of {N_WORDS} words: {seconds:.1} s, resident {before:.0} MiB, at most {peak:.0} MiB"
            );
            println!("  a bare RocksDB with the same rows: {bare_seconds:.1} s");
        }
    }
}

/// Words as the reference splits text too: letters, digits and underscores.
fn split(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Three words of each text that is not among the rows.
fn three_words() -> Vec<String> {
    let texts = common::query_rows();
    let three = |row: &Row| {
        let mut words = split(row.text.split_once(':').map_or(&row.text, |(_, description)| description));
        words.sort_by_key(|word| std::cmp::Reverse(word.len().min(4)));
        words.dedup();
        words.truncate(3);
        (words.len() == 3).then(|| words.join(" "))
    };
    texts.iter().filter_map(three).take(N_QUERIES).collect()
}

fn words(packages: &Collection, n_documents: usize, is_json: bool) {
    let mut kinds = vec![("three words", three_words())];
    let frequent = |text: &str| vec![text.to_owned(); N_QUERIES];
    kinds.push(("for the of", frequent("for the of")));
    kinds.push(("library for c*", frequent("library for c*")));
    kinds.push(("\"development files\" for", frequent("\"development files\" for")));
    for (name, queries) in kinds {
        let ask = |query: &String| packages.search(Query::text(query)).limit(K).run().expect("is found");
        queries.iter().for_each(|query| _ = ask(query));
        let mut micros = Vec::new();
        let mut n_scored = 0;
        for query in &queries {
            let began = Instant::now();
            let hits = ask(query);
            micros.push(began.elapsed().as_secs_f64() * 1e6);
            n_scored += hits.stats.n_visited;
        }
        micros.sort_by(f64::total_cmp);
        let (median, high) = (micros[micros.len() / 2], micros[micros.len() * 99 / 100]);
        let scored = n_scored as f64 / (queries.len() * n_documents) as f64;
        if is_json {
            println!("{}", json!({"query": name, "p50_us": median, "p99_us": high, "scored": scored}));
        } else {
            println!("  {name:<26} p50 {median:>7.0} µs  p99 {high:>7.0} µs  scored {:>5.1} % of all", scored * 100.0);
        }
    }
}

/// The name of packages of one origin, without the part or version.
fn stem(name: &str) -> &str {
    const PARTS: [&str; 12] = [
        "-dev",
        "-doc",
        "-dbg",
        "-common",
        "-data",
        "-bin",
        "-utils",
        "-tools",
        "-perl",
        "-java",
        "-examples",
        "-plugins",
    ];
    let mut name = name;
    while let Some(shorter) = PARTS.iter().find_map(|part| name.strip_suffix(part)) {
        name = shorter;
    }
    let name = name.strip_prefix("lib").unwrap_or(name);
    let shorter = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    if shorter.is_empty() { name } else { shorter }
}

/// Relatives found of a package that is not among the rows, by its name and by its embedding.
/// Relatives have names with the same stem.
fn both(packages: &Collection, rows: &[Row], is_json: bool) {
    let mut families: HashMap<&str, HashSet<DocId>> = HashMap::new();
    rows.iter().for_each(|row| _ = families.entry(stem(&row.id)).or_default().insert(DocId::from(&*row.id)));
    let asked = common::query_rows();
    let asked: Vec<(&Row, &HashSet<DocId>)> =
        asked.iter().filter_map(|row| Some((row, families.get(stem(&row.id))?))).collect();
    if !is_json {
        println!("  {} packages that have relatives, searched by name and embedding", asked.len());
    }
    let vector = |row: &Row| packages.search(&row.vector).limit(K).run().expect("is found");
    let text = |row: &Row| packages.search(Query::text(&row.id)).limit(K).run().expect("is found");
    let fused = |row: &Row, fusion: Fusion| {
        let search = packages.search(&row.vector).text(&row.id);
        search.fusion(fusion).limit(K).run().expect("is found")
    };
    type Ask<'a> = Box<dyn Fn(&Row) -> Hits + 'a>;
    let ways: [(&str, Ask<'_>); 9] = [
        ("embedding", Box::new(vector)),
        ("name", Box::new(text)),
        ("both, by RRF", Box::new(move |row| fused(row, Fusion::rrf()))),
        ("both, by RRF 2:1", Box::new(move |row| fused(row, Fusion::rrf().weights(2.0, 1.0)))),
        ("both, by RRF k 2", Box::new(move |row| fused(row, Fusion::rrf().k(2.0)))),
        ("both, by RRF k 5", Box::new(move |row| fused(row, Fusion::rrf().k(5.0)))),
        ("both, by RRF k 20", Box::new(move |row| fused(row, Fusion::rrf().k(20.0)))),
        ("both, by scores", Box::new(move |row| fused(row, Fusion::scores()))),
        ("both, by scores 2:1", Box::new(move |row| fused(row, Fusion::scores().weights(2.0, 1.0)))),
    ];
    for (name, ask) in ways {
        let (mut found, mut reciprocal, began) = (0.0, 0.0, Instant::now());
        for (row, relatives) in &asked {
            let hits = ask(row);
            let n = hits.iter().filter(|hit| relatives.contains(&hit.id)).count();
            found += n as f64 / relatives.len().min(K) as f64;
            let first = hits.iter().position(|hit| relatives.contains(&hit.id));
            reciprocal += first.map_or(0.0, |at| 1.0 / (at + 1) as f64);
        }
        let n = asked.len() as f64;
        let (found, reciprocal, micros) = (found / n, reciprocal / n, began.elapsed().as_secs_f64() * 1e6 / n);
        if is_json {
            println!("{}", json!({"by": name, "recall_at_10": found, "mrr": reciprocal, "us": micros}));
        } else {
            println!("  {name:<20} recall@10 {found:.4}  MRR {reciprocal:.4}  {micros:>6.0} µs");
        }
    }
}

/// Writes the input and the scores for another implementation.
fn dump(packages: &Collection, rows: &[Row], folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder to write to");
    let file = |name: &str| BufWriter::new(File::create(folder.join(name)).expect("a file to write to"));
    let (mut texts, mut answers) = (file("texts.jsonl"), file("answers.jsonl"));
    for row in rows {
        writeln!(texts, "{}", json!({"id": row.id, "words": packages.config().analyzer.words(&row.text)}))
            .expect("is written");
    }
    for query in three_words() {
        let hits = packages.search(Query::text(&query)).limit(100).run().expect("is found");
        let hits: Vec<_> = hits.iter().map(|hit| json!([hit.id.to_string(), hit.score])).collect();
        let words = packages.config().analyzer.words(&query);
        writeln!(answers, "{}", json!({"words": words, "hits": hits})).expect("is written");
    }
}
