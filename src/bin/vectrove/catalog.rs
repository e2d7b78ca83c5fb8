//! Verbs on collections and on the database as a whole.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use vectrove::{
    Analyzer, Collection, CollectionConfig, CollectionStats, Database, Error, Index, JobState, JobStats, Metric,
    Namespace, Schema,
};

use crate::args;
use crate::failure::Failure;
use crate::interrupt;
use crate::lines;
use crate::output::{Output, grouped};

/// Opens the collection of this name. If there is none, the failure lists the names there are.
pub(crate) fn open(db: &Database, name: &str) -> Result<Collection, Failure> {
    db.collection(name).map_err(|error| absent(db, error))
}

/// Opens the collection of this name, or creates it. An existing one must have the given dimension
/// and metric.
pub(crate) fn open_or_create(
    db: &Database,
    name: &str,
    dimension: usize,
    metric: Option<Metric>,
) -> Result<Collection, Failure> {
    let collection = match db.collection(name) {
        Err(Error::CollectionNotFound { .. }) => {
            let config = CollectionConfig::new(dimension).metric(metric.unwrap_or_default());
            return Ok(db.get_or_create_collection(name, config)?);
        }
        found => found?,
    };
    let config = collection.config();
    let differs =
        |field, expected: String, got: String| Error::ConfigConflict { name: name.into(), field, expected, got };
    match metric {
        _ if config.dimension != dimension => {
            Err(differs("dimension", config.dimension.to_string(), dimension.to_string()).into())
        }
        Some(metric) if config.metric != metric => {
            Err(differs("metric", config.metric.to_string(), metric.to_string()).into())
        }
        _ => Ok(collection),
    }
}

/// The namespace that a verb works on; the default one without a name.
pub(crate) fn namespace(collection: &Collection, name: Option<&str>) -> Result<Namespace, Failure> {
    match name {
        Some(name) => Ok(collection.namespace(name)?),
        None => Ok(Namespace::clone(collection)),
    }
}

fn absent(db: &Database, error: Error) -> Failure {
    let Error::CollectionNotFound { name } = &error else { return error.into() };
    let create = format!("`vectrove create {name} --dimension N` makes it, and so does `import --create`");
    let hint = match db.collections() {
        Ok(names) if !names.is_empty() => format!("there are: {}; {create}", names.join(", ")),
        _ => create,
    };
    Failure::from(error).hint(hint)
}

pub(crate) fn create(db: &Database, create: args::Create, output: &mut Output) -> Result<(), Failure> {
    let args::Create { name, dimension, metric, normalize, flat, m, ef_construction, codes, schema, .. } = create;
    let mut config = CollectionConfig::new(dimension)
        .metric(metric)
        .normalize(normalize)
        .index(if flat { Index::Flat } else { Index::Hnsw })
        .m(m)
        .ef_construction(ef_construction)
        .quantization(codes.into());
    (config.no_index, config.index_text) = (create.no_index, !create.no_text);
    config.text_fields = create.text_field;
    if let Some(language) = create.language {
        config.analyzer = Analyzer::new().stem(language).stop_words(language);
    }
    config.schema = schema.as_deref().map(read_schema).transpose()?;
    let collection = db.create_collection(&name, config)?;
    let line = format!("created {name}: {dimension} components, {metric}");
    output.answer(&json!({"name": name, "config": collection.config()}), line)
}

pub(crate) fn schema(db: &Database, args: &args::Schema, output: &mut Output) -> Result<(), Failure> {
    let collection = open(db, &args.collection)?;
    if let Some(path) = &args.set {
        collection.set_schema(read_schema(path)?)?;
    } else if args.drop {
        collection.set_schema(None)?;
    }
    let schema = collection.schema()?;
    let line = schema.as_ref().map_or_else(|| "null".to_owned(), Schema::to_string);
    output.answer(&json!({"name": args.collection, "schema": schema}), line)
}

fn read_schema(path: &Path) -> Result<Schema, Failure> {
    let text = match lines::is_stdin(path) {
        true => std::io::read_to_string(std::io::stdin()),
        false => std::fs::read_to_string(path),
    };
    let text = text.map_err(|error| Failure::file("reading", path, &error))?;
    let text = lines::unmarked(&text);
    text.parse().map_err(|error| Failure::from(error).about(&path.display().to_string()))
}

pub(crate) fn drop_collection(db: &Database, name: &str, output: &mut Output) -> Result<(), Failure> {
    db.drop_collection(name).map_err(|error| absent(db, error))?;
    output.answer(&json!({"dropped": name}), format_args!("dropped {name}"))
}

pub(crate) fn rename(db: &Database, from: &str, to: &str, output: &mut Output) -> Result<(), Failure> {
    db.rename_collection(from, to).map_err(|error| absent(db, error))?;
    output.answer(&json!({"from": from, "to": to}), format_args!("renamed {from} to {to}"))
}

pub(crate) fn checkpoint(db: &Database, folder: &Path, output: &mut Output) -> Result<(), Failure> {
    let commit = db.checkpoint_with(folder, &interrupt::cancel())?;
    let shown = folder.display();
    output.answer(&json!({"path": folder, "commit": commit}), format_args!("copied up to commit {commit} into {shown}"))
}

pub(crate) fn collections(db: &Database, output: &mut Output) -> Result<(), Failure> {
    let collections = db.stats()?.collections;
    if output.json {
        return collections.iter().try_for_each(|collection| output.object(collection));
    }
    table(&collections).lines().try_for_each(|line| output.line(line))
}

pub(crate) fn stats(db: &Database, output: &mut Output) -> Result<(), Failure> {
    let stats = db.stats()?;
    if output.json {
        return output.object(&stats);
    }
    output.line(format_args!("commit          {} ({} on the disk)", stats.commit, stats.durable_commit))?;
    output.line(format_args!("engine memory   {}", bytes(stats.engine_memory_bytes)))?;
    if let Some(reason) = &stats.read_only {
        output.line(format_args!("read-only       {reason}"))?;
    }
    for collection in &stats.collections {
        let busy = collection.jobs.iter().filter(|job| job.state != JobState::Idle);
        busy.map(job_line)
            .try_for_each(|job| output.line(format_args!("background      {}: {job}", collection.name)))?;
    }
    output.line("")?;
    table(&stats.collections).lines().try_for_each(|line| output.line(line))
}

pub(crate) fn verify(db: &Database, output: &mut Output) -> Result<(), Failure> {
    let found = db.verify_with(&interrupt::cancel())?;
    let line = format!(
        "all is as it should be: {} documents of {} collections, {} commits of the log, up to commit {}",
        grouped(found.n_documents as u64),
        found.n_collections,
        grouped(found.n_commits),
        found.commit
    );
    output.answer(&found, line)
}

pub(crate) fn vacuum(db: &Database, name: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    let vacuum = match name {
        Some(name) => db.collection(name).map_err(|error| absent(db, error))?.vacuum(),
        None => db.vacuum(),
    };
    let done = vacuum.cancel(&interrupt::cancel()).run()?;
    let [before, after] = [done.disk_bytes_before, done.disk_bytes_after].map(bytes);
    let noun = if done.n_collections == 1 { "collection" } else { "collections" };
    output.answer(&done, format_args!("{before} of files before, {after} after, of {} {noun}", done.n_collections))
}

/// A job with its state, and what is left or why it fails.
fn job_line(JobStats { name, state, n_done, n_left, error, .. }: &JobStats) -> String {
    match (error, n_done, n_left) {
        (Some(error), ..) => format!("{name} is {state}: {error}"),
        (None, Some(n_done), Some(n_left)) => {
            let [n_done, n_left] = [n_done, n_left].map(|n| grouped(*n as u64));
            format!("{name} is {state}, {n_done} done, {n_left} left")
        }
        _ => format!("{name} is {state}"),
    }
}

/// Lists collections with their figures, one a line.
fn table(collections: &[CollectionStats]) -> String {
    if collections.is_empty() {
        return "no collections".to_owned();
    }
    let width = collections.iter().map(|collection| collection.name.len()).max().unwrap_or(0).max(10);
    let mut table = format!(
        "{:width$}  {:>9}  {:9}  {:>11}  {:>10}  {:>10}\n",
        "collection", "dimension", "metric", "documents", "memory", "disk"
    );
    for CollectionStats { name, config, n_documents, memory_bytes, disk_bytes, .. } in collections {
        let (memory, disk) = (bytes(*memory_bytes as u64), bytes(*disk_bytes));
        let (dimension, metric, n_documents) = (config.dimension, config.metric, grouped(*n_documents as u64));
        // Writing to a string does not fail.
        let _ =
            writeln!(table, "{name:width$}  {dimension:>9}  {metric:9}  {n_documents:>11}  {memory:>10}  {disk:>10}");
    }
    table
}

/// A number of bytes in a fitting unit.
pub(crate) fn bytes(n_bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| n_bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", n_bytes as f64 / unit as f64),
        None => format!("{n_bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use vectrove::{Database, Job};

    use super::*;

    #[test]
    fn a_job_says_what_is_left_or_why_it_fails() {
        let folder = tempfile::tempdir().unwrap();
        let db = Database::open(folder.path()).unwrap();
        let jobs = db.create_collection("c", CollectionConfig::new(1)).unwrap().stats().unwrap().jobs;
        let line = |name, change: &dyn Fn(&mut JobStats)| {
            let mut job = jobs.iter().find(|job| job.name == name).unwrap().clone();
            change(&mut job);
            job_line(&job)
        };
        let working = line(Job::LoadVectors, &|job| {
            (job.state, job.n_done, job.n_left) = (JobState::Working, Some(1_024), Some(7))
        });
        assert_eq!(working, "load_vectors is working, 1,024 done, 7 left");
        assert_eq!(line(Job::Save, &|job| job.state = JobState::Working), "save is working");
        let failing = line(Job::Link, &|job| (job.state, job.error) = (JobState::Failing, Some("full".to_owned())));
        assert_eq!(failing, "link is failing: full");
    }
}
