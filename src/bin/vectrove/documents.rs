//! Verbs on documents: get, delete, count, scroll, export.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;
use vectrove::json::Row;
use vectrove::{Cursor, Database, DocId, Filter, Namespace, StoredDocument};

use crate::args;
use crate::catalog;
use crate::failure::{Failure, Status};
use crate::interrupt;
use crate::lines::is_stdin;
use crate::output::{Output, cut, grouped, note_absent, write_row};

/// Documents read at once for an export.
const PAGE: usize = 200;

/// Components shown of a vector.
const N_SHOWN: usize = 4;

pub(crate) fn get(db: &Database, get: args::Get, output: &mut Output) -> Result<(), Failure> {
    let namespace = target(db, &get.target)?;
    let found = namespace.get_many(&get.ids)?;
    let mut missing = Vec::new();
    for (id, document) in get.ids.iter().zip(found) {
        match document {
            Some(document) if output.json => output.object(&document)?,
            Some(document) => show(&document, output)?,
            None => missing.push(spelled(id)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    output.flush()?;
    Err(Failure::new(Status::NotFound, format!("no document with id {}", missing.join(", "))))
}

pub(crate) fn delete(db: &Database, delete: args::Delete, output: &mut Output) -> Result<(), Failure> {
    let namespace = target(db, &delete.target)?;
    let receipt = match delete.filter {
        Some(filter) => {
            note_absent(&namespace.absent_fields(&filter)?);
            namespace.delete_where(filter)?
        }
        None => namespace.delete_many(delete.ids)?,
    };
    let n_deleted = receipt.n_changed;
    let line = format!("deleted {} documents", grouped(n_deleted as u64));
    output.answer(&json!({"deleted": n_deleted, "commit": receipt.commit}), line)
}

pub(crate) fn count(db: &Database, count: args::Count, output: &mut Output) -> Result<(), Failure> {
    let namespace = noted(db, &count.target, count.filter.as_ref())?;
    let n_documents = namespace.count(count.filter)?;
    output.answer(&json!({"count": n_documents}), n_documents)
}

/// Documents as JSON.
#[derive(Serialize)]
struct Documents<'a> {
    documents: &'a [StoredDocument],
    /// The argument of `--after` for the next page; null after the last.
    next: Option<Next<'a>>,
}

/// Place of the next page: an id, or a cursor in the order of a field.
#[derive(Serialize)]
#[serde(untagged)]
enum Next<'a> {
    Id(&'a DocId),
    Cursor(String),
}

pub(crate) fn scroll(db: &Database, scroll: args::Scroll, output: &mut Output) -> Result<(), Failure> {
    let is_ordered = scroll.order_by.is_some();
    let after = match scroll.after.as_deref() {
        Some(cursor) if is_ordered => Some(cursor.trim().parse()?),
        id => id.map(|id| Cursor::after(args::id(id))),
    };
    let mut asked = noted(db, &scroll.target, scroll.filter.as_ref())?
        .scroll()
        .filter(scroll.filter.unwrap_or_default())
        .limit(scroll.limit)
        .after(after);
    if let Some(field) = scroll.order_by {
        asked = asked.order_by(field);
    }
    let page = if scroll.descending { asked.descending() } else { asked }.run()?;
    let next = page.next.as_ref().map(|cursor| match is_ordered {
        true => Next::Cursor(cursor.to_string()),
        false => Next::Id(cursor.id()),
    });
    if output.json {
        return output.object(&Documents { documents: &page.documents, next });
    }
    page.documents.iter().try_for_each(|document| show(document, output))?;
    match next {
        None => Ok(()),
        Some(Next::Id(id)) => output.line(format_args!("more: --after '{}'", spelled(id))),
        Some(Next::Cursor(cursor)) => output.line(format_args!("more: --after {cursor}")),
    }
}

pub(crate) fn facet(db: &Database, facet: args::Facet, output: &mut Output) -> Result<(), Failure> {
    let namespace = noted(db, &facet.target, facet.filter.as_ref())?;
    let filter = facet.filter.unwrap_or_default();
    let counts = namespace.facet(facet.field).filter(filter).limit(facet.limit).run()?;
    counts.iter().try_for_each(|count| match output.json {
        true => output.object(count),
        false => output.line(format_args!("{:>10}  {}", grouped(count.n_documents as u64), count.value)),
    })
}

pub(crate) fn sample(db: &Database, sample: args::Sample, output: &mut Output) -> Result<(), Failure> {
    let namespace = noted(db, &sample.target, sample.filter.as_ref())?;
    let asked = namespace.sample(sample.n).filter(sample.filter.unwrap_or_default());
    let documents = sample.seed.map_or(asked.clone(), |seed| asked.seed(seed)).run()?;
    if output.json {
        return output.object(&Documents { documents: &documents, next: None });
    }
    documents.iter().try_for_each(|document| show(document, output))
}

pub(crate) fn export(db: &Database, export: &args::Export, output: &mut Output) -> Result<(), Failure> {
    let namespace = target(db, &export.target)?;
    if is_stdin(&export.file) {
        return each(&namespace, |document| output.object(&Row::from(document)));
    }
    let n_rows = write_file(&namespace, &export.file)?;
    let line = format!("exported {} rows to {}", grouped(n_rows), export.file.display());
    output.answer(&json!({"rows": n_rows, "file": export.file}), line)
}

fn target(db: &Database, target: &args::Target) -> Result<Namespace, Failure> {
    catalog::namespace(&catalog::open(db, &target.collection)?, target.namespace.as_deref())
}

/// The namespace of a verb with a filter. Notes on stderr which fields of the filter no document
/// has.
fn noted(db: &Database, target: &args::Target, filter: Option<&Filter>) -> Result<Namespace, Failure> {
    let namespace = self::target(db, target)?;
    if let Some(filter) = filter {
        note_absent(&namespace.absent_fields(filter)?);
    }
    Ok(namespace)
}

/// Visits each document with its vector, until a signal ends the scan. Documents do not change
/// meanwhile, as only this process has the database open.
fn each(namespace: &Namespace, mut visit: impl FnMut(StoredDocument) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut after = None;
    loop {
        interrupt::check()?;
        let page = namespace.scroll().limit(PAGE).with_vector(true).after(after).run()?;
        page.documents.into_iter().try_for_each(&mut visit)?;
        match page.next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// Writes rows to a file beside `path`, and moves it to `path` once all rows are on disk. A pipe or
/// another path that is no regular file is written directly.
fn write_file(namespace: &Namespace, path: &Path) -> Result<u64, Failure> {
    let replaces = !fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    let written = if replaces { beside(path) } else { path.to_owned() };
    let failed = |error: io::Error| Failure::file("writing", &written, &error);
    let mut out = BufWriter::new(File::create(&written).map_err(failed)?);
    let mut n_rows = 0;
    let done = each(namespace, |document| {
        n_rows += 1;
        write_row(&mut out, &Row::from(document)).map_err(failed)
    });
    let done = done.and_then(|()| out.flush().map_err(failed));
    if !replaces {
        return done.map(|()| n_rows);
    }
    let kept = done
        .and_then(|()| out.get_ref().sync_all().map_err(failed))
        .and_then(|()| fs::rename(&written, path).map_err(failed));
    if kept.is_err() {
        // The failure itself is reported; a partial file that cannot be removed does no harm.
        let _ = fs::remove_file(&written);
    }
    kept.map(|()| n_rows)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// An id in the form of an argument and of JSON.
fn spelled(id: &DocId) -> String {
    serde_json::to_string(id).unwrap_or_else(|_| id.to_string())
}

/// Prints a document as text.
fn show(document: &StoredDocument, output: &mut Output) -> Result<(), Failure> {
    let width = output.width.saturating_sub(10).max(10);
    output.line(cut(&spelled(&document.id), output.width))?;
    if let Some(text) = &document.text {
        output.line(format_args!("  text      {}", cut(text, width)))?;
    }
    output.line(format_args!("  metadata  {}", cut(&document.metadata.to_string(), width)))?;
    if !document.vector.is_empty() {
        let shown: Vec<String> = document.vector.iter().take(N_SHOWN).map(f32::to_string).collect();
        let more = if document.vector.len() > N_SHOWN { ", …" } else { "" };
        let n_components = document.vector.len();
        output.line(format_args!("  vector    {}{more} ({n_components} components)", shown.join(", ")))?;
    }
    output.line(format_args!("  version   {}", document.version))
}
