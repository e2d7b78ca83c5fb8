//! Recall, latency and memory by the residency of exact vectors.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vectrove::{Database, Options, Residency};

use crate::Place;
use crate::common::{anonymous_bytes, median, resident_bytes};
use crate::data::{Exam, NAME, Source, wait_until_loaded};
use crate::import::Import;
use crate::report::{Report, figure, figures};
use crate::task::Task;

const PART: &str = "residency";
/// Memory for caches and write buffers under a limit of the whole: the least that options admit.
const LEAST_ENGINE: usize = 8 << 20;
/// Searches for each query. The first reads from disk what later ones find in caches.
const N_PASSES: usize = 3;

/// Opens a database, waits until vectors are where its residency keeps them, and searches.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Search {
    folder: PathBuf,
    exam: PathBuf,
    residency: Option<Residency>,
    memory_bytes: Option<usize>,
    memory_limit: Option<usize>,
}

impl Search {
    fn of(place: &Place) -> Self {
        let (folder, exam) = (place.path.join("residency"), place.path.join("residency-exam"));
        Search { folder, exam, residency: None, memory_bytes: None, memory_limit: None }
    }

    pub(crate) fn run(self) -> Json {
        let exam = Exam::read(&self.exam);
        let mut options = Options::new();
        (options.residency, options.memory_limit) = (self.residency, self.memory_limit);
        options.memory_bytes = self.memory_bytes.unwrap_or(options.memory_bytes);
        let db = match Database::open_with(&self.folder, options) {
            Ok(db) => db,
            Err(error) => return json!({ "error": error.to_string() }),
        };
        let collection = db.collection(NAME).expect("is there");
        wait_until_loaded(&db);
        let passes: Vec<(f64, Vec<f64>)> = (0..N_PASSES).map(|_| exam.sit(&collection)).collect();
        let (first, last) = (&passes[0], &passes[N_PASSES - 1]);
        let (resident, anonymous) = (resident_bytes(), anonymous_bytes());
        let stats = db.stats().expect("is open");
        let memory = (stats.memory_bytes, stats.engine_memory_bytes);
        let stats = &stats.collections[0];
        let answer = json!({
            "recall": last.0,
            "first_p50": percentile(&first.1, 50), "first_p95": percentile(&first.1, 95),
            "p50": percentile(&last.1, 50), "p95": percentile(&last.1, 95),
            "residency": stats.residency, "documents": stats.n_documents,
            "vectors": stats.vectors_bytes, "mapped": stats.mapped_bytes, "codes": stats.codes_bytes,
            "links": stats.links_bytes, "slots": stats.slots_bytes, "counted": memory.0, "engine": memory.1,
            "resident": resident, "anonymous": anonymous,
        });
        drop(collection);
        db.close().expect("closes");
        answer
    }
}

fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() * percent / 100).min(figures.len() - 1)]
}

pub(crate) fn measure(report: Report, place: &Place) {
    let source = Source::all();
    let n_rounds = crate::size("ROUNDS", 3);
    let search = build(place, source);
    report.title(&format!(
        "residency: {} documents, ef 64, one thread, ids and distances only; {n_rounds} rounds, medians",
        source.len()
    ));
    let ways = [Residency::Ram, Residency::Mapped, Residency::Disk];
    let mut answers: [Vec<Json>; 3] = Default::default();
    for _ in 0..n_rounds {
        for (way, answers) in ways.iter().zip(&mut answers) {
            answers.push(Task::Search(Search { residency: Some(*way), ..search.clone() }).run());
        }
    }
    for (way, round) in ways.iter().zip(&answers) {
        report_latency(report, &format!("{way:?}").to_lowercase(), round, Some(&answers[0]));
    }
    for (way, round) in ways.iter().zip(&answers) {
        report_memory(report, &format!("{way:?}").to_lowercase(), &round[n_rounds - 1]);
    }
    measure_limits(report, &search, &answers[0][0]);
    if place._temporary.is_some() {
        place.clear("residency");
    }
}

/// The part that can be run alone where memory is limited from outside.
pub(crate) fn measure_disk(report: Report, place: &Place) {
    let memory_bytes = Some(crate::size("MEMORY_MIB", 64) << 20);
    let search = Search { residency: Some(Residency::Disk), memory_bytes, ..Search::of(place) };
    assert!(search.exam.exists(), "the part residency makes the database, with the same FOLDER");
    let answer = search.run();
    report_latency(report, "disk", std::slice::from_ref(&answer), None);
    report_memory(report, "disk", &answer);
}

fn build(place: &Place, source: Source) -> Search {
    let search = Search { folder: place.clear("residency"), ..Search::of(place) };
    Task::Import(Import::new(search.folder.clone(), source)).run();
    let data = source.load();
    Exam::new(&data.rows, &data.queries, source.metric()).save(&search.exam);
    search
}

/// Prints recall and latency, and the ratio to a reference if there is one.
fn report_latency(report: Report, what: &str, answers: &[Json], reference: Option<&[Json]>) {
    let of = |answers: &[Json], name: &str| median(figures(answers, name));
    let mut line = Vec::new();
    for (name, label, ratio) in
        [("recall", "recall@10", "recall to ram"), ("p50", "p50 us", "p50 to ram"), ("p95", "p95 us", "p95 to ram")]
    {
        line.push((label, json!(of(answers, name))));
        line.extend(reference.map(|reference| (ratio, json!(of(answers, name) / of(reference, name)))));
    }
    line.push(("first pass p50", json!(of(answers, "first_p50"))));
    line.push(("first pass p95", json!(of(answers, "first_p95"))));
    report.line(PART, what, &line);
}

fn report_memory(report: Report, what: &str, answer: &Json) {
    if let Some(error) = answer["error"].as_str() {
        return report.line(PART, what, &[("error", json!(error))]);
    }
    const NAMES: [&str; 9] =
        ["vectors", "mapped", "codes", "links", "slots", "counted", "engine", "resident", "anonymous"];
    let mebibytes = NAMES.map(|name| (name, json!(figure(answer, name) / f64::from(1 << 20))));
    let figures =
        [vec![("documents", answer["documents"].clone()), ("held", answer["residency"].clone())], mebibytes.to_vec()]
            .concat();
    report.line(PART, &format!("{what}, MiB"), &figures);
}

/// Opens with less and less memory; `unlimited` is the answer without a limit.
fn measure_limits(report: Report, search: &Search, unlimited: &Json) {
    let of = |name: &str| figure(unlimited, name);
    let least = of("codes") + of("links") + of("slots");
    report.title("residency: all memory limited, 8 MiB of it for the storage engine");
    let limits = [
        ("all, and 10 %", 1.1 * (least + of("vectors"))),
        ("all but vectors, and 10 %", 1.1 * least),
        ("all but vectors, less 10 %", 0.9 * least),
    ];
    for (what, bytes) in limits {
        let memory_limit = LEAST_ENGINE + bytes as usize;
        let limited = Search { memory_bytes: Some(LEAST_ENGINE), memory_limit: Some(memory_limit), ..search.clone() };
        let answer = Task::Search(limited).run();
        let limit = memory_limit as f64 / f64::from(1 << 20);
        report.line(PART, what, &[("limit MiB", json!(limit))]);
        if answer["error"].is_null() {
            report_latency(report, "  searches", std::slice::from_ref(&answer), Some(std::slice::from_ref(unlimited)));
        }
        report_memory(report, "  memory", &answer);
    }
}
