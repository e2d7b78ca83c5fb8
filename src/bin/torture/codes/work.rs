//! The worker process, which the campaign kills. It performs the script, and reports each
//! acknowledged operation and each change of codes.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use vectrove::{Collection, Database, Durability, Result};

use super::script::Script;
use super::{COLLECTION, codes_of};
use crate::args::Args;
use crate::{Outcome, opening};

pub(crate) fn run(args: &Args) -> Outcome<ExitCode> {
    let script = Script { seed: args.number_or("seed", 0)? };
    let first = args.number_or("from", 0)?;
    let options = opening::told(args)?.durability(Durability::Wal);
    let folder = args.text("dir").ok_or("expected --dir")?;
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("worker: {panic}");
        std::process::abort();
    }));
    let work = || -> Result<()> {
        let db = Database::open_with(folder, options)?;
        let collection = db.get_or_create_collection(COLLECTION, script.config())?;
        write_all(script, first, &db, &collection)?;
        db.close()
    };
    match work() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(format!("worker: {:?}: {error}", error.kind())),
    }
}

fn write_all(script: Script, first: u64, db: &Database, collection: &Collection) -> Result<()> {
    let mut known = codes_of(db)?.map_or(0, |codes| codes.generation);
    let mut tell_codes = || -> Result<()> {
        let generation = codes_of(db)?.map_or(0, |codes| codes.generation);
        if generation != known {
            known = generation;
            tell(&format!("codes {generation}"));
        }
        Ok(())
    };
    for operation in first..Script::n_operations() {
        script.perform(operation, collection)?;
        tell(&format!("done {operation}"));
        tell_codes()?;
        // Pauses let linking and replacing keep up, so that kills meet both.
        std::thread::sleep(Duration::from_millis(if operation % 16 == 15 { 120 } else { 6 }));
    }
    collection.wait_indexed()?;
    tell_codes()
}

/// Writes one line at once. Without a parent the worker ends.
fn tell(line: &str) {
    let mut output = std::io::stdout().lock();
    if writeln!(output, "{line}").and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}
