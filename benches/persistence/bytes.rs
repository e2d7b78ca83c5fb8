//! Bytes written for each document, and the part of the insert rate that writing the graph costs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use vectrove::Database;

use crate::Place;
use crate::common::median;
use crate::data::{Exam, N_QUERIES, NAME, Source};
use crate::import::Import;
use crate::report::{Report, figure, figures};
use crate::task::Task;

const PART: &str = "bytes";

pub(crate) fn measure(report: Report, place: &Place) {
    let source = Source::all();
    let n_rounds = crate::size("ROUNDS", 3);
    report.title(&format!(
        "bytes: {} documents in batches of 1,000, synced, until linked and closed; {n_rounds} rounds, medians",
        source.len()
    ));
    let (folder, exam) = (place.clear("bytes"), place.path.join("bytes-exam"));
    let data = source.load();
    let n_queries = N_QUERIES.min(data.queries.len());
    Exam::new(&data.rows, &data.queries[..n_queries], source.metric()).save(&exam);
    drop(data);
    // Answers with the graph on disk, and without.
    let mut answers: [Vec<Json>; 2] = Default::default();
    for round in 0..n_rounds {
        for which in [round % 2, 1 - round % 2] {
            let import = Import::new(folder.clone(), source).persist_graph(which == 0).exam(exam.clone());
            answers[which].push(Task::Import(import).run());
            if which == 0 && round == 0 {
                let (image, checkpoint) = (image_bytes(&folder), Checkpoint { folder: folder.clone() });
                let checkpoint = Task::Checkpoint(checkpoint).run();
                answers[0][0]["image_file"] = json!(image);
                answers[0][0]["all_rows"] = checkpoint["rows_bytes"].clone();
            }
            place.clear("bytes");
        }
    }
    let [with, without] = answers;
    report_bytes(report, source, &with, &without);
    report_rates(report, &with, &without);
}

fn report_bytes(report: Report, source: Source, with: &[Json], without: &[Json]) {
    let (n, raw) = (source.len() as f64, source.dimension() as f64 * 4.0);
    let line = |what: &str, bytes: f64, bar: &str| {
        let each = bytes / n;
        let mut figures = vec![
            ("bytes a document", json!(each)),
            ("percent of raw", json!(100.0 * each / raw)),
            ("times raw", json!(each / raw)),
        ];
        figures.extend((!bar.is_empty()).then(|| ("bar", json!(bar))));
        report.line(PART, what, &figures);
    };
    let of = |answers: &[Json], name: &str| median(figures(answers, name));
    let deltas = of(with, "delta_bytes");
    let (early, rows, image) = (of(with, "rows_bytes"), figure(&with[0], "all_rows"), figure(&with[0], "image_file"));
    line("raw vector", raw * n, "");
    line("deltas", deltas, "300 bytes a document");
    line("rows, at checkpoints before the close", early, "");
    line("rows, a checkpoint of all", rows, "");
    line("deltas, and a checkpoint of all rows", deltas + rows, "60 percent of raw");
    line("images, before the close", of(with, "image_bytes"), "");
    line("one image", image, "");
    let (linked, closed) = (of(with, "written_linked"), of(with, "written_closed"));
    let (linked_bare, closed_bare) = (of(without, "written_linked"), of(without, "written_closed"));
    line("system: until linked", linked, "");
    line("system: until linked, no graph on disk", linked_bare, "");
    line("system: until linked, difference", linked - linked_bare, "");
    line("system: close", closed - linked, "");
    line("system: close, no graph on disk", closed_bare - linked_bare, "");
    line("system: close, difference less an image", closed - linked - (closed_bare - linked_bare) - image, "");
    line("system: graph without image, in all", closed - closed_bare - image, "60 percent of raw");
    line("system: everything, no graph on disk", closed_bare, "");
    line("system: everything", closed, "5 times raw");
}

fn report_rates(report: Report, with: &[Json], without: &[Json]) {
    let of = |answers: &[Json], name: &str| median(figures(answers, name));
    for (what, name) in [("acknowledged inserts", "insert_rate"), ("inserts until linked", "linked_rate")] {
        let (on, off) = (of(with, name), of(without, name));
        let figures = [
            ("a second, graph on disk", json!(on)),
            ("no graph on disk", json!(off)),
            ("ratio", json!(on / off)),
            ("of the best", json!(most(with, name) / most(without, name))),
            ("bar", json!("0.9")),
            ("rounds", json!(rounded(with, name))),
            ("rounds without", json!(rounded(without, name))),
        ];
        report.line(PART, what, &figures);
    }
    let others = [
        ("processor us a document, until linked", "processor_us"),
        ("part of the processors others had", "others"),
        ("recall@10 at ef 64, when linked", "recall"),
        ("seconds to close", "close_s"),
    ];
    for (what, name) in others {
        let (on, off) = (of(with, name), of(without, name));
        report.line(
            PART,
            what,
            &[("graph on disk", json!(on)), ("no graph on disk", json!(off)), ("ratio", json!(on / off))],
        );
    }
}

fn most(answers: &[Json], name: &str) -> f64 {
    figures(answers, name).into_iter().fold(f64::NAN, f64::max)
}

fn rounded(answers: &[Json], name: &str) -> Vec<u64> {
    figures(answers, name).iter().map(|rate| rate.round() as u64).collect()
}

/// Bytes of the files that are images.
fn image_bytes(folder: &Path) -> u64 {
    let entries = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    let images = entries(folder.join("images")).flat_map(|folder| entries(folder.path()));
    images.map(|file| file.metadata().map_or(0, |file| file.len())).sum()
}

/// Rebuilds the graph of a database, which writes all of its rows: the cost of a full checkpoint.
#[derive(Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    folder: PathBuf,
}

impl Checkpoint {
    pub(crate) fn run(self) -> Json {
        let db = Database::open(&self.folder).expect("opens");
        db.collection(NAME).expect("is there").rebuild_index().expect("is made anew");
        let rows_bytes = db.stats().expect("is open").collections[0].rows_bytes_written;
        db.close().expect("closes");
        json!({ "rows_bytes": rows_bytes })
    }
}
