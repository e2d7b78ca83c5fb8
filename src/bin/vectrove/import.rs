//! Importing rows. A stopped import loses no acknowledged row, and a resumed one repeats as few as
//! possible.
//!
//! Rows are gathered into batches. Each batch is committed together with the place that the import
//! has then reached (see [`crate::place`]). A refused row ends the import after the rows before it
//! have been committed.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use vectrove::json::Row;
use vectrove::{Collection, Commit, Database, Document, Error, ErrorKind, Namespace};

use crate::args;
use crate::catalog;
use crate::failure::Failure;
use crate::interrupt;
use crate::lines::{self, Line, Lines, Next};
use crate::output::{Output, grouped};
use crate::place::{self, Place, Reached};
use crate::vectors::VectorFile;

/// Bytes of rows after which a batch is committed, even if it is not full: far below the limit of a
/// batch.
const MAX_BATCH_BYTES: usize = 32 << 20;

const RESUME: &str = "the same command with --resume goes on from there";

/// Imports rows as the arguments ask.
pub(crate) fn import(db: &Database, args: &args::Import, output: &mut Output) -> Result<(), Failure> {
    let collection = match args.dimension.filter(|_| args.create) {
        Some(dimension) => catalog::open_or_create(db, &args.target.collection, dimension, args.metric)?,
        None => catalog::open(db, &args.target.collection)?,
    };
    let mut import = Import::begin(db, &collection, args)?;
    let done = import.run(output);
    import.progress.finish_and_clear();
    done?;
    let line = format!("{} into {}", import.so_far(), collection.name());
    tolerant(output.answer(&Acknowledged { complete: true, ..import.acknowledged() }, line))
}

/// The JSON line after each batch, and at the end.
#[derive(Serialize)]
struct Acknowledged {
    /// Rows of the input, from its first, that are on disk.
    rows: u64,
    commit: Commit,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    complete: bool,
}

struct Import<'a> {
    db: &'a Database,
    args: &'a args::Import,
    /// The input, as messages name it.
    source: String,
    into: Namespace,
    place: Place,
    lines: Lines,
    vectors: Option<VectorFile>,
    /// The place of the last acknowledged batch.
    reached: Reached,
    commit: Commit,
    pending: Vec<Pending>,
    n_pending_bytes: usize,
    progress: ProgressBar,
}

/// A row that is read and not yet committed.
struct Pending {
    document: Document,
    line: u64,
    /// The place of the import once this row is committed.
    reached: Reached,
}

impl<'a> Import<'a> {
    /// Opens all inputs, and checks what can be checked before the first row.
    fn begin(db: &'a Database, collection: &Collection, args: &'a args::Import) -> Result<Self, Failure> {
        let into = catalog::namespace(collection, args.target.namespace.as_deref())?;
        if into.namespace_name() == place::NAMESPACE {
            return Err(Failure::failed(format!("namespace {} is kept for imports under way", place::NAMESPACE)));
        }
        let lines = Lines::open(&args.file)?;
        let source = if lines::is_stdin(&args.file) { "stdin".into() } else { args.file.display().to_string() };
        let vectors = args.vectors.as_deref().map(VectorFile::open).transpose()?;
        if let Some(vectors) = &vectors {
            check_vectors(collection, args, vectors)?;
        }
        let mut import = Import {
            db,
            args,
            source,
            place: Place::new(collection, &into, &args.file)?,
            into,
            lines,
            vectors,
            reached: Reached::default(),
            commit: Commit::default(),
            pending: Vec::new(),
            n_pending_bytes: 0,
            progress: progress(&args.file),
        };
        import.find_place()?;
        Ok(import)
    }

    /// Moves to the place where an unfinished import stopped, if `--resume` asks for it.
    fn find_place(&mut self) -> Result<(), Failure> {
        match self.place.reached()? {
            Some(reached) if self.args.resume => return self.skip(reached),
            Some(reached) => {
                let (source, rows) = (&self.source, grouped(reached.rows));
                eprintln!("note: an import of {source} stopped after {rows} rows; beginning anew without --resume");
            }
            None if self.args.resume => {
                eprintln!("note: no import of {} was interrupted; beginning with its first row", self.source);
            }
            None => {}
        }
        Ok(())
    }

    /// Skips the rows that were imported before.
    fn skip(&mut self, wanted: Reached) -> Result<(), Failure> {
        let changed = |found: String| {
            Failure::failed(format!("cannot go on after row {} of {}: {found}", grouped(wanted.rows), self.source))
                .hint("give it the same rows from the first one on, or import all of them anew without --resume")
        };
        let mut passed = Reached::default();
        while passed.rows < wanted.rows {
            match self.next()? {
                Next::Line(line) => passed = passed.with(&line.bytes),
                Next::End => return Err(changed(format!("it has only {}", grouped(passed.rows)))),
                Next::Interrupted => return Err(Failure::interrupted().hint(RESUME)),
            }
        }
        if passed != wanted {
            return Err(changed("the rows up to there are not those that were imported".into()));
        }
        if let Some(vectors) = &mut self.vectors {
            vectors.seek(wanted.rows)?;
        }
        self.reached = wanted;
        Ok(())
    }

    fn run(&mut self, output: &mut Output) -> Result<(), Failure> {
        loop {
            match self.next() {
                Ok(Next::Line(line)) => {
                    if let Err(failure) = self.take(&line) {
                        return self.stop(failure, output);
                    }
                }
                Ok(Next::End) => return self.finish(output),
                Ok(Next::Interrupted) => {
                    return self.stop(Failure::interrupted().hint(RESUME), output);
                }
                Err(failure) => return self.stop(failure.hint(RESUME), output),
            }
            if self.pending.len() >= self.args.batch as usize || self.n_pending_bytes >= MAX_BATCH_BYTES {
                self.commit(false, output)?;
            }
        }
    }

    fn next(&self) -> Result<Next, Failure> {
        self.lines.next().map_err(|error| Failure::file("reading", Path::new(&self.source), &error))
    }

    /// Makes a document of a line.
    fn take(&mut self, line: &Line) -> Result<(), Failure> {
        let last = self.pending.last().map_or(self.reached, |pending| pending.reached);
        let bad = |reason: String| bad_row(last.rows + 1, line.number, &reason);
        let row = Row::try_read(&line.bytes, &self.args.id_field);
        let mut row = row.map_err(|(error, is_whole)| bad(refused(&error, is_whole)))?;
        let vector = match (row.vector.take(), &mut self.vectors) {
            (Some(vector), None) => vector,
            (None, Some(vectors)) => match vectors.read()? {
                Some(vector) => vector,
                None => return Err(bad(format!("there are only {} vectors", grouped(vectors.n_rows())))),
            },
            (None, None) => return Err(bad("it has no vector".into())),
            (Some(_), Some(_)) => return Err(bad("it has a vector of its own beside the one from --vectors".into())),
        };
        self.n_pending_bytes += line.bytes.len() + vector.len() * size_of::<f32>();
        self.progress.inc(line.bytes.len() as u64 + 1);
        let (document, reached) = (row.into_document(vector), last.with(&line.bytes));
        self.pending.push(Pending { document, line: line.number, reached });
        Ok(())
    }

    /// Commits the pending rows, and ends with a failure that gives the place reached.
    fn stop(&mut self, failure: Failure, output: &mut Output) -> Result<(), Failure> {
        self.commit(false, output)?;
        Err(failure.after(&self.so_far()))
    }

    /// Commits the pending rows, and the end of the import with them.
    fn finish(&mut self, output: &mut Output) -> Result<(), Failure> {
        let left_over = self.vectors.as_ref().map_or(0, |vectors| vectors.n_rows() - vectors.position());
        if left_over > 0 {
            let message = format!("there are {} vectors without rows", grouped(left_over));
            return self.stop(Failure::failed(message), output);
        }
        self.commit(true, output)
    }

    /// Commits the pending rows. If one of them is refused, commits the rows before it.
    fn commit(&mut self, last: bool, output: &mut Output) -> Result<(), Failure> {
        let before = self.reached;
        let refused = match self.try_commit(self.pending.len(), last) {
            Ok(()) => None,
            Err(Error::InBatch { index, source, .. })
                if index < self.pending.len() && source.kind() == ErrorKind::InvalidArgument =>
            {
                let row = &self.pending[index];
                let failure = bad_row(row.reached.rows, row.line, &source.to_string());
                self.try_commit(index, false).map_err(|error| Failure::from(error).after(&self.so_far()))?;
                Some(failure)
            }
            Err(error) => return Err(Failure::from(error).after(&self.so_far()).hint(RESUME)),
        };
        if self.reached != before {
            self.acknowledge(output)?;
        }
        refused.map_or(Ok(()), |failure| Err(failure.after(&self.so_far())))
    }

    /// Commits the first `n_rows` pending rows and the place reached with them.
    fn try_commit(&mut self, n_rows: usize, last: bool) -> Result<(), Error> {
        let reached = n_rows.checked_sub(1).map_or(self.reached, |end| self.pending[end].reached);
        if n_rows == 0 && !last {
            return Ok(());
        }
        let mut batch = self.db.batch();
        for pending in &self.pending[..n_rows] {
            batch.upsert(&self.into, pending.document.clone());
        }
        match self.pending[..n_rows].last() {
            Some(pending) if !last => self.place.put(&mut batch, reached, pending.document.clone()),
            _ => self.place.remove(&mut batch),
        }
        self.commit = batch.commit()?.commit;
        self.reached = reached;
        self.pending.clear();
        self.n_pending_bytes = 0;
        Ok(())
    }

    fn acknowledge(&mut self, output: &mut Output) -> Result<(), Failure> {
        self.progress.set_message(format!("{} rows", grouped(self.reached.rows)));
        if !output.json {
            return Ok(());
        }
        let written = output.object(&self.acknowledged());
        tolerant(written.and_then(|()| output.flush()))
    }

    fn acknowledged(&self) -> Acknowledged {
        Acknowledged { rows: self.reached.rows, commit: self.commit, complete: false }
    }

    fn so_far(&self) -> String {
        format!("imported {} rows of {}", grouped(self.reached.rows), self.source)
    }
}

/// The error of a row, with its field.
fn refused(error: &Error, is_whole: bool) -> String {
    match error {
        Error::InvalidJson { reason, .. } if is_whole => reason.clone(),
        Error::InvalidJson { at, reason } => format!("{at}: {reason}"),
        other => other.to_string(),
    }
}

fn bad_row(number: u64, line: u64, reason: &str) -> Failure {
    let place = if number == line { String::new() } else { format!(" (line {})", grouped(line)) };
    Failure::failed(format!("row {}{place} is bad: {reason}", grouped(number)))
        .hint("fix it and run the same command with --resume")
}

/// Refuses vectors that the collection cannot hold, or whose number differs from that of the rows.
fn check_vectors(collection: &Collection, args: &args::Import, vectors: &VectorFile) -> Result<(), Failure> {
    let (expected, got) = (collection.config().dimension, vectors.n_columns());
    if expected != got {
        return Err(Error::DimensionMismatch { collection: collection.name(), expected, got }.into());
    }
    // Only a file can be read twice.
    if !fs::metadata(&args.file).is_ok_and(|metadata| metadata.is_file()) || lines::is_stdin(&args.file) {
        return Ok(());
    }
    let n_rows = lines::count(&args.file)?;
    if n_rows == vectors.n_rows() || interrupt::requested() {
        return Ok(());
    }
    let (n_rows, n_vectors) = (grouped(n_rows), grouped(vectors.n_rows()));
    Err(Failure::failed(format!("{} has {n_rows} rows, but there are {n_vectors} vectors", args.file.display()))
        .hint("nothing was imported; vectors belong to rows by their order"))
}

/// Ignores a reader of stdout that is gone: the import is run for its rows.
fn tolerant(written: Result<(), Failure>) -> Result<(), Failure> {
    written.or_else(|failure| if failure.is_unread() { Ok(()) } else { Err(failure) })
}

/// A progress bar on stderr, if stderr is a terminal. It counts the bytes of a file; a pipe has no
/// total.
fn progress(file: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let n_bytes = fs::metadata(file).ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    let (bar, template) = match n_bytes {
        Some(n_bytes) => (ProgressBar::new(n_bytes), "{wide_bar} {percent}%  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
