//! Loads rows with their embeddings in batches, prints the rate, and checks the result with a
//! search.
//!
//! `cargo run --release --example bulk_load [ROWS.jsonl VECTORS.fbin [FOLDER]]`. Without arguments
//! it loads the sample beside it into a temporary folder.
//!
//! Each line of the `.jsonl` file is one object. Its `id` and `text` become the document's, its
//! other fields the metadata. The `.fbin` file holds rows and columns as u32, then the rows as f32,
//! little-endian, in the same order. Neither file is held in memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Lines, Read};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value};
use vectrove::{CollectionConfig, Database, Document};

/// Rows of one commit: enough to share one wait for the disk, and few enough to be small in memory.
const BATCH: usize = 1_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let temporary = tempfile::tempdir()?;
    let sample = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data").join(name);
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let rows = arguments.next().unwrap_or_else(|| sample("debian.jsonl"));
    let vectors = arguments.next().unwrap_or_else(|| sample("debian.fbin"));
    let folder = arguments.next().unwrap_or_else(|| temporary.path().join("db"));

    let mut rows = Rows::open(&rows, &vectors)?;
    let db = Database::open(folder)?;
    let collection = db.create_collection("rows", CollectionConfig::new(rows.dimension))?;

    let begin = Instant::now();
    let mut n_loaded = 0;
    loop {
        let documents = rows.by_ref().take(BATCH).collect::<Outcome<Vec<Document>>>()?;
        if documents.is_empty() {
            break;
        }
        n_loaded += collection.insert_many(documents)?.n_changed;
        print!("\r{n_loaded} of {} rows", rows.n_rows);
        io::Write::flush(&mut io::stdout())?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "\r{n_loaded} rows of {} components in {seconds:.2} s: {:.0} rows a second, each batch on the disk",
        rows.dimension,
        n_loaded as f64 / seconds
    );

    // The nearest document to a stored row's own vector is this row.
    let first = collection.scroll().limit(1).with_vector(true).run()?.documents.pop().ok_or("no rows were loaded")?;
    let hits = collection.search(&first.vector).limit(5).run()?;
    if n_loaded != rows.n_rows || !hits.iter().any(|hit| hit.id == first.id && hit.score > 0.999) {
        return Err(
            format!("expected {} rows and to find {}, got {n_loaded} and {hits:?}", rows.n_rows, first.id).into()
        );
    }
    println!("nearest to {}:", first.id);
    for hit in &hits {
        println!("  {:.3}  {}", hit.score, hit.text.as_deref().unwrap_or_default());
    }
    db.close()?;
    Ok(())
}

/// Both files, read side by side.
struct Rows {
    lines: Lines<BufReader<File>>,
    vectors: BufReader<File>,
    n_rows: usize,
    n_read: usize,
    dimension: usize,
}

impl Rows {
    fn open(rows: &Path, vectors: &Path) -> Outcome<Self> {
        let open = |path: &Path| File::open(path).map_err(|error| format!("{}: {error}", path.display()));
        let mut vectors = BufReader::new(open(vectors)?);
        let [n_rows, dimension] = [read_word(&mut vectors)?, read_word(&mut vectors)?].map(u32::from_le_bytes);
        let lines = BufReader::new(open(rows)?).lines();
        Ok(Rows { lines, vectors, n_rows: n_rows as usize, n_read: 0, dimension: dimension as usize })
    }

    fn document(&mut self) -> Outcome<Document> {
        let line = self.lines.next().ok_or("fewer rows than vectors")??;
        let mut row: Map<String, Value> = serde_json::from_str(&line)?;
        let mut take = |key: &str| match row.remove(key) {
            Some(Value::String(text)) => Ok(text),
            other => Err(format!("row {}: expected {key} to be a string, got {other:?}", self.n_read)),
        };
        let (id, text) = (take("id")?, take("text")?);
        let components = (0..self.dimension).map(|_| read_word(&mut self.vectors).map(f32::from_le_bytes));
        let vector = components.collect::<io::Result<Vec<f32>>>()?;
        self.n_read += 1;
        Ok(Document::new(vector).id(id).text(text).metadata(Value::Object(row)))
    }
}

impl Iterator for Rows {
    type Item = Outcome<Document>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.n_read < self.n_rows).then(|| self.document())
    }
}

fn read_word(from: &mut impl Read) -> io::Result<[u8; 4]> {
    let mut word = [0; 4];
    from.read_exact(&mut word)?;
    Ok(word)
}
