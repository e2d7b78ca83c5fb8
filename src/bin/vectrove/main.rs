//! The `vectrove` command: a database for the shell.
//!
//! Turns arguments into calls of the library's public interface, and their answers into lines of
//! text; owns nothing else. Each verb opens the database, does one thing, and closes it. `bench`
//! uses databases of its own, and verbs on folders of backups open none.

mod args;
mod backup;
mod bench;
mod catalog;
mod documents;
mod failure;
mod import;
mod interrupt;
mod lines;
mod output;
mod place;
mod search;
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use vectrove::limits::MAX_TAIL;
use vectrove::{Database, Options};

use crate::args::{Args, Task, Verb};
use crate::failure::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    raise_limit();
    let mut output = Output::new(args.json);
    match run(args, &mut output).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: Args, output: &mut Output) -> Result<(), Failure> {
    let verb = match args.task {
        Task::Bench(_) if args.db.is_some() => {
            return Err(Failure::failed("bench makes a database of its own").hint("use --path instead of --db"));
        }
        Task::Bench(bench) => return bench::bench(&bench, output),
        Task::Keep(verb) => return backup::perform(verb, output),
        Task::Verb(verb) => verb,
    };
    let creates = match &verb {
        Verb::Create(_) => true,
        Verb::Import(import) => import.create,
        _ => false,
    };
    // No import waits for linking here. The next process that opens the database to search it links
    // the documents.
    let options = Options::new().create_if_missing(creates).tail_bound(MAX_TAIL).read_only(args.read_only);
    let Some(left) = left_by_interrupt(&verb) else { return open_and_perform(args.db, options, verb, output) };
    interrupt::watch()?;
    let done = open_and_perform(args.db, options.cancel(interrupt::cancel()), verb, output);
    done.map_err(|failure| failure.hint_if_interrupted(left))
}

fn open_and_perform(db: Option<PathBuf>, options: Options, verb: Verb, output: &mut Output) -> Result<(), Failure> {
    let db = Database::open_with(folder(db), options)?;
    let done = perform(&db, verb, output);
    let closed = db.close().map_err(Failure::from);
    done.and(closed)
}

/// What an interrupted verb that ends in order has left. `None` for verbs that a signal simply
/// ends, which loses nothing either.
fn left_by_interrupt(verb: &Verb) -> Option<&'static str> {
    Some(match verb {
        Verb::Import(_) => "nothing was imported; the same command starts again",
        Verb::Export(_) => "a file that was there is as it was; the same command starts again",
        Verb::Verify => "nothing was changed; the same command starts again",
        Verb::Vacuum { .. } => "what was given back stays so; the same command starts again",
        Verb::Checkpoint { .. } => "no copy was left; the same command starts again",
        Verb::Backup { .. } => "no backup was added, those there were stay; the same command starts again",
        _ => return None,
    })
}

/// Raises this process's limit of open files to the maximum. The library leaves the limit to its
/// program.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Under a lower limit a database of many collections is slower, or names the limit in an
        // error.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// The folder of the database: the argument, else the environment variable, else the default.
fn folder(told: Option<PathBuf>) -> PathBuf {
    let named = || std::env::var_os("VECTROVE_DB").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    told.or_else(named).unwrap_or_else(|| PathBuf::from("vectrove-db"))
}

fn perform(db: &Database, verb: Verb, output: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::Create(create) => catalog::create(db, create, output),
        Verb::Import(import) => import::import(db, &import, output),
        Verb::Search(search) => search::search(db, *search, output),
        Verb::Get(get) => documents::get(db, get, output),
        Verb::Delete(delete) => documents::delete(db, delete, output),
        Verb::Count(count) => documents::count(db, count, output),
        Verb::Facet(facet) => documents::facet(db, facet, output),
        Verb::Scroll(scroll) => documents::scroll(db, scroll, output),
        Verb::Sample(sample) => documents::sample(db, sample, output),
        Verb::Export(export) => documents::export(db, &export, output),
        Verb::Schema(schema) => catalog::schema(db, &schema, output),
        Verb::Collections => catalog::collections(db, output),
        Verb::Stats => catalog::stats(db, output),
        Verb::Verify => catalog::verify(db, output),
        Verb::Vacuum { name } => catalog::vacuum(db, name.as_deref(), output),
        Verb::Drop { name, .. } => catalog::drop_collection(db, &name, output),
        Verb::Rename { from, to } => catalog::rename(db, &from, &to, output),
        Verb::Checkpoint { folder } => catalog::checkpoint(db, &folder, output),
        Verb::Backup { folder } => backup::backup(db, &folder, output),
    }
}
