//! Filtered search in each cell: by the share of matching documents, their place relative to the
//! query, and the form of the filter. Also the cost of a metadata index, counts and facets.
//!
//! `cargo bench --bench filters [-- cells [50% | 20% | …] | postings | counts] [--json]`. Works on
//! all rows of the data set that `VECTROVE_DATA` names, or on the sample. A cell's rate is printed
//! with its recall, beside unfiltered searches for the same queries at the same moment.

mod common;

use std::collections::HashSet;
use std::time::Instant;

use serde_json::{Map, Value as Json, json};
use vectrove::{
    Collection, CollectionConfig, Database, DocId, Document, Durability, Filter, Hits, Options, Strategy, field,
};

use common::median;

/// Parts of all documents that match.
const SHARES: [f64; 9] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001, 0.0001];
/// Hits of each search.
const K: usize = 10;
/// Places that sets of matching documents are drawn around.
const N_ANCHORS: usize = 4;
/// Queries around each anchor.
const N_QUERIES: usize = 16;
/// Rounds of the queries in a cell.
const N_ROUNDS: usize = 5;

/// Where matching documents lie.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    Anywhere,
    AtTheQuery,
    Away,
}

const LIES: [(Lie, &str); 3] = [(Lie::Anywhere, "random"), (Lie::AtTheQuery, "own"), (Lie::Away, "away")];
const SHAPES: [&str; 5] = ["term", "and", "range", "or of 5", "not"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let is_json = args.iter().any(|arg| arg == "--json");
    let parts: Vec<&String> = args.iter().filter(|arg| !arg.starts_with("--")).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|name| *name == part);
    let shares: Vec<f64> =
        SHARES.into_iter().filter(|share| parts.iter().any(|part| **part == percent(*share))).collect();
    let (name, rows) = common::rows(common::n_rows());
    let folder = tempfile::tempdir().expect("a temporary folder");
    if !is_json {
        println!("{name}, {} documents; k {K}", rows.len());
    }
    if wants("cells") || wants("counts") {
        let world = World::new(&folder.path().join("cells"), rows.clone());
        if wants("cells") {
            world.cells(if shares.is_empty() { &SHARES } else { &shares }, is_json);
        }
        if wants("counts") {
            world.counts(is_json);
        }
    }
    if wants("postings") {
        postings(folder.path(), &rows, is_json);
    }
}

fn quick() -> Options {
    Options::new().durability(Durability::Wal)
}

/// Prints figures by name.
fn line(is_json: bool, figures: &[(&str, Json)]) {
    if is_json {
        let object: Map<String, Json> =
            figures.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        println!("{}", Json::Object(object));
    } else {
        let figures: Vec<String> = figures.iter().map(|(name, value)| format!("{name} {}", text_of(value))).collect();
        println!("  {}", figures.join("  "));
    }
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => format!("{text:<8}"),
        Json::Number(number) if number.is_f64() => format!("{:<7.4}", number.as_f64().unwrap_or(f64::NAN)),
        other => format!("{other:<6}"),
    }
}

fn percent(share: f64) -> String {
    format!("{}%", share * 100.0)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A collection whose documents hold their rank by nearness to each anchor, and queries around the
/// anchors.
struct World {
    _db: Database,
    packages: Collection,
    n_documents: usize,
    queries: Vec<Vec<Vec<f32>>>,
}

impl World {
    fn new(folder: &std::path::Path, rows: Vec<common::Row>) -> Self {
        let all = common::queries();
        let n_documents = rows.len();
        let anchors: Vec<Vec<f32>> = all.iter().step_by(all.len() / N_ANCHORS).take(N_ANCHORS).cloned().collect();
        let queries = anchors.iter().map(|anchor| {
            let mut near = all.clone();
            near.sort_by(|a, b| dot(b, anchor).total_cmp(&dot(a, anchor)));
            near.truncate(N_QUERIES);
            near
        });
        let queries = queries.collect();
        let places: Vec<Vec<usize>> = anchors.iter().map(|anchor| places_by_nearness(&rows, anchor)).collect();
        let db = Database::open_with(folder, quick()).expect("opens");
        let packages =
            db.create_collection("packages", CollectionConfig::new(rows[0].vector.len())).expect("is created");
        let documents: Vec<Document> = rows
            .iter()
            .enumerate()
            .map(|(row, package)| {
                let mut metadata = package.metadata.clone();
                let near: Vec<usize> = places.iter().map(|places| places[row]).collect();
                metadata.extend(marks(&near, shuffled(row, n_documents), n_documents));
                Document::new(package.vector.as_slice()).id(&package.id).metadata(Json::Object(metadata))
            })
            .collect();
        for batch in documents.chunks(1_000) {
            packages.insert_many(batch.to_vec()).expect("is inserted");
        }
        packages.wait_indexed().expect("is linked");
        World { _db: db, packages, n_documents, queries }
    }

    fn cells(&self, shares: &[f64], is_json: bool) {
        // The first search measures the cost of comparisons.
        self.run(&self.queries[0], None, None);
        let (mut least_recall, mut least_ratio) = (1.0f64, f64::INFINITY);
        for &share in shares {
            for (lie, where_) in LIES {
                for shape in SHAPES {
                    let cell = self.cell(share, lie, shape);
                    least_recall = least_recall.min(cell.recall);
                    least_ratio = least_ratio.min(cell.rate / cell.unfiltered_rate);
                    line(
                        is_json,
                        &[
                            ("share", json!(percent(share))),
                            ("where", json!(where_)),
                            ("shape", json!(shape)),
                            ("strategy", json!(cell.strategy)),
                            ("recall", json!(cell.recall)),
                            ("qps", json!(cell.rate.round() as u64)),
                            ("unfiltered recall", json!(cell.unfiltered_recall)),
                            ("qps", json!(cell.unfiltered_rate.round() as u64)),
                            ("ratio", json!(cell.rate / cell.unfiltered_rate)),
                            ("visited", json!(cell.n_visited)),
                            ("prefiltered", json!(cell.n_prefiltered)),
                            ("matching", json!(cell.n_matching)),
                            ("short", json!(cell.n_short)),
                        ],
                    );
                }
            }
        }
        line(is_json, &[("least recall", json!(least_recall)), ("least ratio", json!(least_ratio))]);
    }

    fn cell(&self, share: f64, lie: Lie, shape: &str) -> Cell {
        let n_matching = ((share * self.n_documents as f64).round() as usize).max(1);
        let (mut times, mut bare_times) = (Vec::new(), Vec::new());
        let (mut recalls, mut bare_recalls) = (Vec::new(), Vec::new());
        let mut cell = Cell { n_matching, ..Cell::default() };
        let mut strategies = HashSet::new();
        for (anchor, queries) in self.queries.iter().enumerate() {
            let filter = filter_of(anchor, lie, shape, share, self.n_documents);
            let truth = self.run(queries, Some(&filter), Some(Strategy::Exact)).1;
            let bare_truth = self.run(queries, None, Some(Strategy::Exact)).1;
            for _ in 0..N_ROUNDS {
                let (seconds, hits) = self.run(queries, Some(&filter), None);
                times.push(seconds / queries.len() as f64);
                recalls.push(recall(&truth, &hits));
                cell.n_short += hits.iter().filter(|hits| hits.len() < n_matching.min(K)).count();
                cell.n_visited =
                    hits.iter().map(|hits| hits.stats.n_visited + hits.stats.n_scanned).sum::<usize>() / hits.len();
                cell.n_prefiltered = hits.iter().map(|hits| hits.stats.n_prefiltered).sum::<usize>() / hits.len();
                strategies.extend(hits.iter().map(|hits| format!("{:?}", hits.stats.strategy).to_lowercase()));
                let (seconds, hits) = self.run(queries, None, None);
                bare_times.push(seconds / queries.len() as f64);
                bare_recalls.push(recall(&bare_truth, &hits));
            }
        }
        let mean = |figures: &[f64]| figures.iter().sum::<f64>() / figures.len() as f64;
        let mut strategies: Vec<String> = strategies.into_iter().collect();
        strategies.sort();
        Cell {
            strategy: strategies.join("+"),
            recall: mean(&recalls),
            rate: 1.0 / median(times),
            unfiltered_recall: mean(&bare_recalls),
            unfiltered_rate: 1.0 / median(bare_times),
            ..cell
        }
    }

    /// Runs all queries, one after the other; returns the seconds, and the hits.
    fn run(&self, queries: &[Vec<f32>], filter: Option<&Filter>, strategy: Option<Strategy>) -> (f64, Vec<Hits>) {
        let start = Instant::now();
        let hits = queries.iter().map(|query| {
            let search = self.packages.search(query).limit(K).with_document(false);
            let search = filter.map_or(search.clone(), |filter| search.filter(filter.clone()));
            strategy.map_or(search.clone(), |strategy| search.strategy(strategy)).run().expect("is found")
        });
        let hits = hits.collect();
        (start.elapsed().as_secs_f64(), hits)
    }

    /// Counts, facets, and evaluating filters.
    fn counts(&self, is_json: bool) {
        let both = || field("section").eq("libs") & field("arch").eq("amd64");
        let time = |what: &str, work: &dyn Fn() -> usize| {
            let n = work();
            let rounds = (0..50).map(|_| {
                let start = Instant::now();
                assert_eq!(work(), n);
                start.elapsed().as_secs_f64() * 1e6
            });
            line(
                is_json,
                &[("what", json!(what)), ("us, median", json!(median(rounds.collect()))), ("answer", json!(n))],
            );
        };
        time("count of one term", &|| self.packages.count(field("section").eq("libs")).expect("is counted"));
        time("count of an AND of two terms", &|| self.packages.count(both()).expect("is counted"));
        time("count of a range", &|| {
            self.packages.count(field("installed_kb").between(100, 1_000)).expect("is counted")
        });
        time("count of a NOT", &|| self.packages.count(field("section").ne("libs")).expect("is counted"));
        for path in ["section", "arch", "depends", "installed_kb"] {
            let facet = |filter: Filter| self.packages.facet(path).filter(filter).run().expect("is counted").len();
            time(&format!("facet of {path}"), &|| facet(Filter::everything()));
            time(&format!("facet of {path}, filtered"), &|| facet(both()));
        }
    }
}

#[derive(Default)]
struct Cell {
    strategy: String,
    recall: f64,
    rate: f64,
    unfiltered_recall: f64,
    unfiltered_rate: f64,
    n_visited: usize,
    n_prefiltered: usize,
    n_matching: usize,
    /// Answers with fewer hits than there should be.
    n_short: usize,
}

/// For each row, the number of rows that are nearer to an anchor.
fn places_by_nearness(rows: &[common::Row], anchor: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let near: Vec<f32> = rows.iter().map(|row| dot(&row.vector, anchor)).collect();
    order.sort_by(|&a, &b| near[b].total_cmp(&near[a]));
    let mut places = vec![0; rows.len()];
    order.into_iter().enumerate().for_each(|(place, row)| places[row] = place);
    places
}

/// A place for each row that is independent of all vectors.
fn shuffled(row: usize, n_rows: usize) -> usize {
    // A prime that divides no number of rows used here.
    row * 48_271 % n_rows
}

fn lies_in(lie: Lie, near: usize, shuffled: usize, n_matching: usize, n: usize) -> bool {
    match lie {
        Lie::Anywhere => shuffled < n_matching,
        Lie::AtTheQuery => near < n_matching,
        Lie::Away => near >= n - n_matching,
    }
}

/// The metadata of a document, which has a field for the filter of each cell.
fn marks(near: &[usize], shuffled: usize, n: usize) -> Map<String, Json> {
    let mut marks = Map::new();
    let mut terms = Vec::new();
    for (anchor, &near) in near.iter().enumerate() {
        marks.insert(format!("near{anchor}"), json!(near));
        for (lie, name) in LIES {
            for share in SHARES {
                let n_matching = ((share * n as f64).round() as usize).max(1);
                if lies_in(lie, near, shuffled, n_matching, n) {
                    terms.push(format!("{name}{anchor}:{share}"));
                    terms.push(format!("{name}{anchor}:{share}:{}", (near + shuffled) % 5));
                }
            }
        }
    }
    marks.insert("shuffled".into(), json!(shuffled));
    marks.insert("marks".into(), json!(terms));
    marks
}

fn filter_of(anchor: usize, lie: Lie, shape: &str, share: f64, n: usize) -> Filter {
    let n_matching = ((share * n as f64).round() as usize).max(1);
    let name = LIES.iter().find(|(known, _)| *known == lie).map_or("", |(_, name)| name);
    let mark = |share: f64| format!("{name}{anchor}:{share}");
    let near = format!("near{anchor}");
    let range = match lie {
        Lie::Anywhere => field("shuffled").lt(n_matching),
        Lie::AtTheQuery => field(&near).lt(n_matching),
        Lie::Away => field(&near).gte(n - n_matching),
    };
    match shape {
        "term" => field("marks").eq(mark(share)),
        "and" => field("marks").eq(mark(share)) & field("marks").eq(mark(SHARES[0])),
        "range" => range,
        "or of 5" => {
            let parts = (0..5).map(|part| field("marks").eq(format!("{}:{part}", mark(share))));
            parts.reduce(Filter::or).unwrap_or_default()
        }
        _ => !match lie {
            Lie::Anywhere => field("shuffled").gte(n_matching),
            Lie::AtTheQuery => field(&near).gte(n_matching),
            Lie::Away => field(&near).lt(n - n_matching),
        },
    }
}

fn recall(truth: &[Hits], found: &[Hits]) -> f64 {
    let of = |(truth, found): (&Hits, &Hits)| {
        let truth: HashSet<&DocId> = truth.iter().map(|hit| &hit.id).collect();
        found.iter().filter(|hit| truth.contains(&hit.id)).count() as f64 / truth.len().max(1) as f64
    };
    truth.iter().zip(found).map(of).sum::<f64>() / truth.len() as f64
}

/// Bytes and time of an import with and without the metadata index.
fn postings(folder: &std::path::Path, rows: &[common::Row], is_json: bool) {
    let import = |is_indexed: bool, round: usize| {
        let config = CollectionConfig::new(rows[0].vector.len());
        let config = if is_indexed { config } else { config.index_only::<String>([]).no_text() };
        let path = folder.join(format!("import-{is_indexed}-{round}"));
        let db = Database::open_with(&path, Options::new()).expect("opens");
        let packages = db.create_collection("packages", config).expect("is created");
        let document = |row: &common::Row| {
            let metadata = Json::Object(row.metadata.clone());
            Document::new(row.vector.as_slice()).id(&row.id).text(&row.text).metadata(metadata)
        };
        let (written, start) = (common::written_bytes().unwrap_or_default(), Instant::now());
        for batch in rows.chunks(1_000) {
            packages.insert_many(batch.iter().map(document)).expect("is inserted");
        }
        let acknowledged = start.elapsed().as_secs_f64();
        packages.wait_indexed().expect("is linked");
        let linked = start.elapsed().as_secs_f64();
        db.close().expect("closes");
        let written = common::written_bytes().unwrap_or_default() - written;
        std::fs::remove_dir_all(&path).expect("is removed");
        [written as f64 / rows.len() as f64, acknowledged, linked]
    };
    let mut answers: [Vec<[f64; 3]>; 2] = Default::default();
    for round in 0..3 {
        for which in [round % 2, 1 - round % 2] {
            answers[which].push(import(which == 1, round));
        }
    }
    for (figure, what) in
        ["bytes written a document", "seconds until acknowledged", "seconds until linked"].iter().enumerate()
    {
        let of = |answers: &[[f64; 3]]| median(answers.iter().map(|answer| answer[figure]).collect());
        let (without, with) = (of(&answers[0]), of(&answers[1]));
        let ratio = ("ratio", json!(with / without));
        line(is_json, &[("what", json!(what)), ("with", json!(with)), ("without", json!(without)), ratio]);
    }
}
