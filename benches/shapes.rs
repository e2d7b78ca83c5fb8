//! Recall and rate of the default search on data sets that codes or graphs find awkward, beside
//! hnswlib's recall.
//!
//! `cargo bench --bench shapes [-- NAME … --rows N --queries N --fbin FOLDER --json --list]`.
//! Without `--rows` each set has 100, 500, 2,000 rows and its own number. `--fbin` writes the sets
//! instead, as `NAME.base.fbin` and `NAME.query.fbin`. hnswlib has `m` 16, `ef_construction` 200
//! and `ef` 68, the defaults for ten hits here. Rates are of one thread, for hits with ids and
//! scores.

#[path = "common/shapes/mod.rs"]
mod shapes;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use shapes::truth::Truth;
use shapes::{Data, SEED, SHAPES, Shape, Stored, hnswlib};
use vectrove::{CodeStats, Database, Durability, Options, Strategy};

const SIZES: [usize; 3] = [100, 500, 2_000];
/// Least recall of an exact search.
const EXACT_BAR: f64 = 0.999;
/// Rounds of all queries; the fastest counts.
const N_ROUNDS: usize = 3;

struct Asked {
    names: Vec<String>,
    rows: Option<usize>,
    queries: usize,
    fbin: Option<PathBuf>,
    json: bool,
    list: bool,
}

/// The figures of one set at one size.
struct Measured {
    recall: f64,
    exact: f64,
    rate: f64,
    codes: Option<CodeStats>,
}

fn main() {
    let asked = asked();
    let unknown = asked.names.iter().find(|name| Shape::named(name).is_none());
    assert!(unknown.is_none(), "no set {unknown:?}: --list names them");
    let wanted = SHAPES.iter().filter(|shape| asked.names.is_empty() || asked.names.iter().any(|n| n == shape.name));
    if !asked.json && !asked.list && asked.fbin.is_none() {
        println!("{:16}{:>7}{:>8}{:>9}{:>9}{:>9}{:>9}", "set", "dims", "rows", "recall", "hnswlib", "exact", "QPS");
    }
    for shape in wanted {
        if asked.list {
            println!("{:16}{:11}{:6}  {}", shape.name, format!("{:?}", shape.metric), shape.n_rows, shape.about);
            continue;
        }
        let n_rows = asked.rows.unwrap_or(shape.n_rows);
        if let Some(folder) = &asked.fbin {
            write(folder, shape.name, &shape.draw(n_rows, asked.queries, SEED));
            continue;
        }
        let sizes = if asked.rows.is_some() { &[] } else { &SIZES[..] };
        for n_rows in sizes.iter().copied().chain([n_rows]) {
            tell(shape, n_rows, &measure(shape, &shape.draw(n_rows, asked.queries, SEED)), asked.json);
        }
    }
}

fn asked() -> Asked {
    let mut asked = Asked { names: Vec::new(), rows: None, queries: 1_000, fbin: None, json: false, list: false };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap_or_else(|| panic!("{arg} wants a value"));
        match arg.as_str() {
            "--rows" => asked.rows = Some(value().parse().expect("a number of rows")),
            "--queries" => asked.queries = value().parse().expect("a number of queries"),
            "--fbin" => asked.fbin = Some(value().into()),
            "--json" => asked.json = true,
            "--list" => asked.list = true,
            _ => asked.names.push(arg),
        }
    }
    asked
}

fn measure(shape: &Shape, data: &Data) -> Measured {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options::new().durability(Durability::Wal);
    let db = Database::open_with(folder.path().join("db"), options).expect("opens");
    let stored = Stored::new(&db, shape.metric, data);
    let truth = Truth::of(shape.metric, data);
    let recall = |strategy| truth.recall(0..data.queries.len(), |query| stored.find(query, strategy));
    let round = || {
        let began = Instant::now();
        (0..data.queries.len()).for_each(|query| drop(stored.find(query, None)));
        data.queries.len() as f64 / began.elapsed().as_secs_f64()
    };
    let rate = (0..N_ROUNDS).map(|_| round()).fold(0.0, f64::max);
    let codes = db.stats().expect("tells").collections[0].codes;
    Measured { recall: recall(None), exact: recall(Some(Strategy::Exact)), rate, codes }
}

fn tell(shape: &Shape, n_rows: usize, measured: &Measured, is_json: bool) {
    let (Shape { name, dimension, .. }, Measured { recall, exact, rate, codes }) = (shape, measured);
    let theirs = hnswlib::recall(name, n_rows);
    let (is_low, is_inexact) = (hnswlib::bar(name, n_rows).is_some_and(|bar| *recall < bar), *exact < EXACT_BAR);
    if is_json {
        let figures = json!({"name": name, "dimension": dimension, "rows": n_rows, "recall": recall, "hnswlib": theirs,
            "exact": exact, "qps": rate.round(), "below": is_low, "inexact": is_inexact,
            "codes": codes});
        println!("{figures}");
        return;
    }
    let theirs = theirs.map_or("-".to_owned(), |recall| format!("{recall:.4}"));
    let marks = format!("{}{}", if is_low { "  < hnswlib" } else { "" }, if is_inexact { "  inexact" } else { "" });
    let share = |share: Option<f32>| share.map_or("-".to_owned(), |share| format!("{share:.3}"));
    let codes = codes.map_or(String::new(), |codes| {
        format!("  {:?}, {} by codes, {} sampled", codes.kind, share(codes.code_recall), share(codes.sampled_recall))
    });
    println!("{name:16}{dimension:7}{n_rows:8}{recall:9.4}{theirs:>9}{exact:9.4}{rate:9.0}{codes}{marks}");
}

/// Both files: rows and columns as `u32`, then the components as `f32`.
fn write(folder: &Path, name: &str, data: &Data) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (part, rows) in [("base", &data.rows), ("query", &data.queries)] {
        let file = File::create(folder.join(format!("{name}.{part}.fbin"))).expect("a file");
        let mut file = BufWriter::new(file);
        let mut put = |bytes: [u8; 4]| file.write_all(&bytes).expect("is written");
        [rows.len(), rows[0].len()].into_iter().for_each(|n| put((n as u32).to_le_bytes()));
        rows.iter().flatten().for_each(|x| put(x.to_le_bytes()));
        file.flush().expect("is written");
    }
}
