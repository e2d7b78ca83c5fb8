//! Time from an open to the answer of the first search: after a close, without an image, and after
//! a kill.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vectrove::{Database, Durability, Options};

use crate::Place;
use crate::common::median;
use crate::data::{EF, Exam, K, N_QUERIES, NAME, Source};
use crate::import::Import;
use crate::report::{Report, best, figure, figures, fit};
use crate::task::{Task, copy, settle_disk};

const PART: &str = "open";
/// Openings without an image: each writes one when it closes.
const N_WITHOUT: usize = 3;
/// Openings after a kill, each of a copy.
const N_KILLED: usize = 5;

/// Opens a database and searches once; then, if `is_examined`, measures recall.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Open {
    folder: PathBuf,
    exam: PathBuf,
    /// The query to begin with.
    query: usize,
    with_document: bool,
    /// Whether to measure recall, at once and when all is linked.
    is_examined: bool,
}

impl Open {
    pub(crate) fn run(self) -> Json {
        let exam = Exam::read(&self.exam);
        let query = exam.queries[self.query % exam.queries.len()].clone();
        let begin = Instant::now();
        let db = Database::open_with(&self.folder, Options::new().durability(Durability::Wal)).expect("opens");
        let open_ms = begin.elapsed().as_secs_f64() * 1e3;
        let collection = db.collection(NAME).expect("is there");
        let hits =
            collection.search(query).limit(K).ef(EF).with_document(self.with_document).run().expect("is searched");
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        let stats = db.stats().expect("is open").collections.remove(0);
        let mut answer = json!({
            "ms": ms, "open_ms": open_ms, "opening": stats.opening, "search": hits.stats.strategy,
            "documents": stats.n_documents,
        });
        if self.is_examined {
            answer["recall"] = json!(exam.recall(&collection));
            let begin = Instant::now();
            collection.wait_indexed().expect("is linked");
            answer["linked_s"] = json!(begin.elapsed().as_secs_f64());
            answer["recall_linked"] = json!(exam.recall(&collection));
            let stats = db.stats().expect("is open").collections.remove(0);
            answer["links_added"] = json!(stats.n_links_added);
            answer["rows_replaced"] = json!(stats.n_rows_replaced);
            answer["to_repair"] = json!(stats.n_to_repair);
        }
        db.close().expect("closes");
        answer
    }
}

pub(crate) fn measure(report: Report, place: &Place) {
    report
        .title("open: from the call of open to the answer of the first search, each in a new process, warm page cache");
    let all = Source::all().len();
    let (folder, mut points, mut from) = (place.clear("open"), Vec::new(), 0);
    for n in sizes(all) {
        Task::Import(Import::new(folder.clone(), Source::Packages(n)).from(from)).run();
        let median = measure_size(report, place, Source::Packages(n));
        points.push((n as f64 / 10_000.0, median));
        from = n;
    }
    if points.len() > 1 {
        let (fixed, each) = fit(&points);
        report.line(PART, "line through the medians", &[("fixed ms", json!(fixed)), ("ms per 10,000", json!(each))]);
    }
    measure_kills(report, place, Source::Packages(all));
    let synthetic = Source::Clusters(crate::size("SYNTHETIC", 500_000));
    if synthetic.len() > 0 {
        place.clear("open");
        report.title(&format!("open: {} made-up rows: {}", synthetic.len(), synthetic.name()));
        let built = Task::Import(Import::new(folder, synthetic)).run();
        let built = ["insert_rate", "linked_rate", "close_s"].map(|name| (name, built[name].clone()));
        report.line(PART, "import", &built);
        measure_size(report, place, synthetic);
    }
    place.clear("open");
}

fn sizes(all: usize) -> Vec<usize> {
    let wanted = std::env::var("SIZES").unwrap_or_else(|_| "10000,20000,40000".into());
    let wanted = wanted.split(',').filter(|size| !size.is_empty()).map(|size| size.parse().expect("sizes, as numbers"));
    let mut sizes: Vec<usize> = wanted.filter(|&size| size < all).collect();
    sizes.push(all);
    sizes
}

/// Opens a cleanly closed database many times, with an image and without. Returns the median with
/// an image, in ms.
fn measure_size(report: Report, place: &Place, source: Source) -> f64 {
    let open = examination(place, source);
    settle_disk();
    let first = Task::Open(Open { is_examined: true, ..open.clone() }).run();
    let images = open.folder.join("images");
    let n_opens = crate::size("OPENS", 15);
    let clean = |with_document| -> Vec<Json> {
        (0..n_opens).map(|query| Task::Open(Open { query, with_document, ..open.clone() }).run()).collect()
    };
    let (bare, full) = (clean(false), clean(true));
    let without: Vec<Json> = (0..N_WITHOUT)
        .map(|query| {
            std::fs::remove_dir_all(&images).expect("images");
            Task::Open(Open { query, is_examined: query == 0, ..open.clone() }).run()
        })
        .collect();
    let n = source.len();
    let line = |what: &str, answers: &[Json], recall: &Json| {
        let (all, open) = (figures(answers, "ms"), figures(answers, "open_ms"));
        let figures = [
            ("median ms", json!(median(all.clone()))),
            ("best ms", json!(best(&all))),
            ("of that open", json!(median(open))),
            ("of that reading", json!(median(answers.iter().map(reading_ms).collect()))),
            ("way", answers[0]["opening"]["way"].clone()),
            ("search", answers[0]["search"].clone()),
            ("recall@10", recall["recall"].clone()),
        ];
        report.line(PART, &format!("{n}, {what}"), &figures);
    };
    line("closed", &bare, &first);
    line("closed, with documents", &full, &first);
    line("no image", &without, &without[0]);
    median(figures(&bare, "ms"))
}

/// The part of an opening that reading the collection took, in ms.
fn reading_ms(answer: &Json) -> f64 {
    figure(&answer["opening"], "micros") / 1e3
}

/// An opening, and the exam for the opened collection.
fn examination(place: &Place, source: Source) -> Open {
    let (folder, exam, data) = (place.path.join("open"), place.path.join("open-exam"), source.load());
    let n_queries = N_QUERIES.min(data.queries.len());
    Exam::new(&data.rows, &data.queries[..n_queries], source.metric()).save(&exam);
    Open { folder, exam, query: 0, with_document: false, is_examined: false }
}

/// Opens the databases that killed processes left. The folder holds all rows, cleanly closed.
fn measure_kills(report: Report, place: &Place, all: Source) {
    let n_inserts = crate::size("INSERTS", 10_000);
    report.title("open: after kill -9");
    let more = Source::Packages(all.len() + n_inserts);
    let folder = place.path.join("open");
    Task::Import(Import::new(folder.clone(), more).from(all.len()).one_by_one().dies()).run_to_its_death();
    let open = examination(place, more);
    measure_killed(report, place, &open, &format!("{n_inserts} single inserts after an open"), "200 ms");
    place.clear("open");
    let half = Source::Packages(all.len() / 2);
    Task::Import(Import::new(folder, half).dies()).run_to_its_death();
    let open = examination(place, half);
    measure_killed(report, place, &open, &format!("an import of {}, at {}", all.len(), half.len()), "");
}

/// Opens copies of such a database, each once.
fn measure_killed(report: Report, place: &Place, open: &Open, what: &str, bar: &str) {
    let answers: Vec<Json> = (0..N_KILLED).map(|query| open_copy(place, &open.folder, open, query)).collect();
    let all = figures(&answers, "ms");
    let mut line = vec![
        ("median ms", json!(median(all.clone()))),
        ("best ms", json!(best(&all))),
        ("worst ms", json!(all.iter().copied().fold(0.0, f64::max))),
        ("of that open", json!(median(figures(&answers, "open_ms")))),
        ("of that reading", json!(median(answers.iter().map(reading_ms).collect()))),
        ("documents", answers[0]["documents"].clone()),
    ];
    line.extend((!bar.is_empty()).then(|| ("bar", json!(bar))));
    report.line(PART, what, &line);
    for answer in &answers {
        let opening = &answer["opening"];
        let n_relinked = figure(opening, "n_waiting") + figure(opening, "n_repaired");
        let line = [
            ("ms", answer["ms"].clone()),
            ("opening", opening.clone()),
            ("search", answer["search"].clone()),
            ("relinked", json!(n_relinked as u64)),
            ("recall@10", answer["recall"].clone()),
            ("when linked", answer["recall_linked"].clone()),
            ("after s", answer["linked_s"].clone()),
            ("links added", answer["links_added"].clone()),
            ("rows replaced", answer["rows_replaced"].clone()),
            ("left to repair", answer["to_repair"].clone()),
        ];
        report.line(PART, "  each", &line);
    }
}

fn open_copy(place: &Place, folder: &Path, open: &Open, query: usize) -> Json {
    let target = place.clear("open-copy");
    copy(folder, &target);
    settle_disk();
    let answer = Task::Open(Open { folder: target, query, is_examined: true, ..open.clone() }).run();
    place.clear("open-copy");
    answer
}
