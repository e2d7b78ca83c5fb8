//! Benchmarks: time and memory of building, and the rate of searches at each recall.
//!
//! | file | owns |
//! |---|---|
//! | [`data`] | rows and queries, held in memory |
//! | [`truth`] | the nearest rows of each query, and recall |
//! | [`folder`] | the database's folder, which is removed at the end |
//! | [`build`] | loading the rows, and their memory |
//! | [`sweep`] | rate and recall of searches, one `ef` after the other |
//! | [`inserts`] | inserting and searching at the same time |
//! | [`report`] | printing figures |
//!
//! All figures are measured from outside, as a program that calls the library sees them.

mod build;
mod data;
mod folder;
mod inserts;
mod report;
mod sweep;
mod truth;

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use vectrove::{Collection, CollectionConfig, Database, Options, Search};

use self::data::Rows;
use self::folder::Folder;
use self::truth::Truth;
use crate::args;
use crate::failure::Failure;
use crate::interrupt;
use crate::output::Output;

const COLLECTION: &str = "bench";

/// The collection, the queries, and their true neighbours.
struct Exam {
    collection: Collection,
    queries: Rows,
    truth: Truth,
}

/// Measures as the arguments ask.
pub(crate) fn bench(args: &args::Bench, output: &mut Output) -> Result<(), Failure> {
    interrupt::watch()?;
    let queries = Rows::read(&args.query, None)?;
    let shape = data::check(args, &queries)?;
    let told = args.truth.as_deref().map(|path| Truth::read(path, args.k, queries.len(), shape.n_rows)).transpose()?;
    let folder = Folder::create(args.path.as_deref())?;
    let db = Database::open_with(folder.path(), options(args))?;
    let collection = db.create_collection(COLLECTION, config(args, shape.dimension))?;

    report::heading(args, &db, shape, output)?;
    report::built(args, &build::build(args, &db, &collection)?, output)?;
    let truth = told.map_or_else(|| Truth::compute(&collection, &queries, args.k), Ok)?;
    let exam = Exam { collection, queries, truth };
    report::rates(&sweep::sweep(args, &exam, |point| report::point(point, output))?, output)?;
    let bound = inserts::tail_bound(&db)?;
    db.close()?;
    match args.insert_rate {
        true => report::inserts(&inserts::measure(args, &folder, exam, bound)?, output),
        false => Ok(()),
    }
}

impl Exam {
    /// A search for the nearest of a query, returning ids alone.
    fn search(&self, query: usize, ef: usize) -> Search {
        self.collection.search(self.queries.row(query)).limit(self.truth.k()).ef(ef).with_document(false)
    }
}

fn options(args: &args::Bench) -> Options {
    let options = Options::new();
    match args.link_threads {
        Some(n_threads) => options.link_threads(n_threads),
        None => options,
    }
}

fn config(args: &args::Bench, dimension: usize) -> CollectionConfig {
    let config = CollectionConfig::new(dimension).metric(args.metric).quantization(args.codes.into());
    config.m(args.m).ef_construction(args.ef_construction)
}

/// Number of documents that wait to be linked.
fn tail_length(db: &Database) -> Result<usize, Failure> {
    Ok(db.stats()?.collections.first().map_or(0, |collection| collection.tail_length))
}

/// Fails once a signal asks for an end.
fn go_on() -> Result<(), Failure> {
    match interrupt::requested() {
        true => Err(Failure::interrupted()),
        false => Ok(()),
    }
}

/// A bar on stderr, if that is a terminal.
fn progress(n_steps: usize, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(n_steps as u64).with_message(what);
    match ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} {msg}  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
