//! Measuring: how long building takes, what it costs in memory, and how fast searches are at which recall.
//!
//! | file | owns |
//! |---|---|
//! | [`data`] | the rows and queries that are measured with |
//! | [`truth`] | the nearest neighbours of the queries, and recall |
//! | [`folder`] | the folder of the database, which goes when the measuring ends |
//! | [`build`] | loading the rows, and what they take then |
//! | [`sweep`] | rate and recall of searches, one `ef` after the other |
//! | [`inserts`] | inserts and searches at the same time |
//! | [`report`] | how all of it is shown |
//!
//! Nothing here is known to the library: what is measured is what a program sees that calls it.

mod build;
mod data;
mod folder;
mod inserts;
mod report;
mod sweep;
mod truth;

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use vectrove::{Collection, CollectionConfig, Database, Durability, Hits, Options, Query, Search};

use self::data::Rows;
use self::folder::Folder;
use self::truth::Truth;
use crate::args;
use crate::failure::{Failure, Status};
use crate::interrupt;
use crate::output::{Output, grouped};

const COLLECTION: &str = "bench";

/// Measures as the arguments say.
pub(crate) fn bench(args: &args::Bench, output: &mut Output) -> Result<(), Failure> {
    interrupt::watch()?;
    let queries = Rows::read(&args.query, None)?;
    let shape = data::check(args, &queries)?;
    let told = args.truth.as_deref().map(|path| Truth::read(path, args.k, &queries, shape.n_rows)).transpose()?;
    let folder = Folder::create(args.path.as_deref())?;
    let db = Database::open_with(folder.path(), options(args))?;
    let mut config = CollectionConfig::new(shape.dimension).metric(args.metric);
    config = config.m(args.m).ef_construction(args.ef_construction).quantization(args.codes.into());
    let collection = db.create_collection(COLLECTION, config)?;

    report::settings(args, &shape, output)?;
    report::build(args, &build::build(args, &db, &collection)?, output)?;
    let truth = told.map_or_else(|| Truth::compute(&collection, &queries, args.k), Ok)?;
    let field = Field { collection, queries, truth };
    report::curve(&sweep::sweep(args, &field, |point| report::point(point, output))?, output)?;
    db.close()?;
    if !args.insert_rate {
        return Ok(());
    }
    let db = Database::open_with(folder.path(), options(args).durability(Durability::Wal))?;
    let bound = inserts::bound(&db)?;
    db.close()?;
    let db = Database::open_with(folder.path(), options(args).durability(Durability::Wal).tail_bound(bound))?;
    let field = Field { collection: db.collection(COLLECTION)?, ..field };
    let figures = inserts::measure(args, &db, &field, bound)?;
    report::inserts(&figures, output)?;
    Ok(db.close()?)
}

/// What is searched, for what, and what is to be found.
struct Field {
    collection: Collection,
    queries: Rows,
    truth: Truth,
}

impl Field {
    /// A search for a query's nearest, by their ids.
    fn search(&self, query: usize, ef: usize) -> Search {
        self.collection.search(self.queries.row(query)).limit(self.truth.k()).ef(ef).with_document(false)
    }
}
