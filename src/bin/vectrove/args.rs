//! The command line: verbs, their arguments, and the help.
//!
//! Owns names, defaults and ranges; knows nothing of databases beyond the types its arguments are
//! parsed into.

use std::convert::Infallible;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::path::PathBuf;

use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use vectrove::limits::{MAX_EF, MAX_GROUP, MAX_LINK_THREADS, MAX_M, MIN_M};
use vectrove::{DocId, Filter, Language, Metric, Quantization};

const AFTER_HELP: &str = "\
Ids: a JSON number (7) is a number, a JSON string ('\"7\"') is a string, anything else is the text as it stands.
Filters: JSON, such as '{\"section\": \"net\", \"size\": {\"$lt\": 100}}'.

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 not found; 4 the database is in use; 5 damage or lost data;
130 interrupted. A reader that goes away, as in `… | head`, ends the command quietly with 0.";

const IMPORT_HELP: &str = "\
Rows: one JSON object a line. `id` (or --id-field) is the id, a string or a whole number; rows without one get a new
id. `vector` is the vector, unless --vectors brings it. `text` is the text. All other fields are metadata. A row with
no fields but these and `metadata`, an object, has that object as its metadata: `export` writes such rows where a
metadata key would otherwise be taken for `id`, `vector`, `text` or `metadata`.

Rows are upserted batch by batch. A batch is acknowledged when it is on the disk, and how far the import came is
written with it, into the namespace `vectrove-import` of the collection: whatever stops the import, --resume goes on
after the last acknowledged row. Without --resume an import starts at the first row again, which does no harm to rows
with ids and doubles those without. With --json every batch prints {\"rows\": …, \"commit\": …}: rows of the input
acknowledged so far, and the commit that did it.";

const SCHEMA_HELP: &str = "\
A schema is JSON, such as
  {\"fields\": {\"kind\": {\"type\": \"string\", \"one_of\": [\"note\", \"task\"], \"required\": true},
              \"at\": {\"type\": \"time\"}, \"tags\": {\"type\": \"string\", \"array\": true}}, \"strict\": true}
Types: any, boolean, integer, number, string, time, object. Dots reach into objects. A strict schema refuses fields that it
does not declare. Without a schema all metadata is admitted, and `null` is shown.";

const BENCH_HELP: &str = "\
The rows are inserted in batches of 1,000, each on the disk before the next; then all of them are linked. Reading the
file is not timed. Recall is the part of the true --k nearest that a search finds. Of three passes over all queries the
fastest counts. Larger --ef are left out once recall is above 0.9985.

--truth holds queries and columns as u32, and then the ids of the nearest rows as u32, nearest first; little-endian.
Without it every query is compared with every row first, which takes a while.

--insert-rate then opens the database with acknowledgement by the operating system (`Durability::Wal`) and measures
searches at ef 64, first alone and then while one writer inserts other vectors one by one. Recall is then that of the
hits among the base's rows; every tenth document is searched for right after its insert.

With --json: a line for the build, with bytes of memory; a line for each ef; a line with the rates at four recalls,
log-interpolated; and a line for --insert-rate.";

/// An embedded vector database: collections of documents with vectors, metadata and text in one
/// folder.
#[derive(Debug, Parser)]
#[command(name = "vectrove", version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The database's folder [default: $VECTROVE_DB, or ./vectrove-db]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) db: Option<PathBuf>,
    /// Only read, also while another process writes
    #[arg(long, global = true)]
    pub(crate) read_only: bool,
    /// Answer with JSON on stdout, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    #[command(flatten)]
    Verb(Verb),
    #[command(flatten)]
    Keep(Keep),
    /// Measure building, memory, and searches at each recall, in a database that goes afterwards
    #[command(after_help = BENCH_HELP)]
    Bench(Bench),
}

/// What is done with the database of `--db`.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Create a collection, and the database if there is none
    Create(Create),
    /// Import rows of JSON, with their vectors inside or beside them
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// Find the documents nearest to vectors or to a stored document, or by words
    Search(Box<Search>),
    /// Show documents by id
    Get(Get),
    /// Delete documents by id or by filter
    Delete(Delete),
    /// Count documents
    Count(Count),
    /// Count the documents that have each value of a metadata field
    Facet(Facet),
    /// Show documents in the order of their ids, a page at a time, or of a field
    Scroll(Scroll),
    /// Show some documents drawn at random
    Sample(Sample),
    /// Write all documents as rows that `import` reads
    Export(Export),
    /// Show or change what metadata documents must have
    #[command(after_help = SCHEMA_HELP)]
    Schema(Schema),
    /// List the collections
    Collections,
    /// Show figures of the database
    Stats,
    /// Read everything and compare all with all
    Verify,
    /// Give back the space of deleted and replaced documents, on disk and in memory
    Vacuum {
        /// The collection [default: all of them]
        name: Option<String>,
    },
    /// Drop a collection and everything in it
    Drop {
        /// The collection
        name: String,
        /// Yes, drop it
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Give a collection another name
    Rename {
        /// The collection
        from: String,
        /// Its name from now on
        to: String,
    },
    /// Copy the database into a new folder, itself a database
    Checkpoint {
        /// The folder to make
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Add a backup to a folder of backups, copying only files that are not there yet
    Backup {
        /// The folder of backups, made if missing
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// What is done with a folder of backups; the database of `--db` is not opened.
#[derive(Debug, Subcommand)]
pub(crate) enum Keep {
    /// List the backups in a folder, oldest first
    Backups {
        /// The folder of backups
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Make a database of a backup, verified before it is there
    Restore {
        /// The folder of backups
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The folder to make
        target: PathBuf,
        /// The number of the backup [default: the newest]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        backup: Option<u32>,
    },
    /// Remove all but the newest backups in a folder
    PurgeBackups {
        /// The folder of backups
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// How many to keep
        #[arg(long, value_name = "N", value_parser = number(1..))]
        keep: usize,
    },
}

/// The documents a verb is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Target {
    /// The collection
    #[arg(value_name = "NAME")]
    pub(crate) collection: String,
    /// A namespace of it, instead of the default one
    #[arg(long, value_name = "NS")]
    pub(crate) namespace: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// The collection
    pub(crate) name: String,
    /// Components of every vector
    #[arg(long, value_name = "N")]
    pub(crate) dimension: usize,
    /// cosine, dot, euclidean or manhattan
    #[arg(long, default_value_t = Metric::Cosine)]
    pub(crate) metric: Metric,
    /// Compare vectors at unit length; cosine always does
    #[arg(long)]
    pub(crate) normalize: bool,
    /// No graph: every search compares every vector
    #[arg(long)]
    pub(crate) flat: bool,
    /// Links of a document in the graph
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = number(MIN_M..=MAX_M))]
    pub(crate) m: usize,
    /// Candidates that a document's links are chosen from
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = number(1..=MAX_EF))]
    pub(crate) ef_construction: usize,
    /// What the graph is walked by
    #[arg(long, value_enum, default_value_t = Codes::Sq8)]
    pub(crate) codes: Codes,
    /// What metadata documents must have, as JSON
    #[arg(long, value_name = "FILE.json|-")]
    pub(crate) schema: Option<PathBuf>,
    /// A metadata field not to index, with all below it
    #[arg(long, value_name = "FIELD")]
    pub(crate) no_index: Vec<String>,
    /// Do not index words of texts
    #[arg(long)]
    pub(crate) no_text: bool,
    /// A metadata field that counts as text
    #[arg(long, value_name = "FIELD", conflicts_with = "no_text")]
    pub(crate) text_field: Vec<String>,
    /// Reduce words to their stems and leave stop words out of queries, by the rules of a language,
    /// such as english
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    pub(crate) language: Option<Language>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// The collection
    #[arg(value_name = "NAME")]
    pub(crate) collection: String,
    /// Give it this schema, if all its documents satisfy it
    #[arg(long, value_name = "FILE.json|-", conflicts_with = "drop")]
    pub(crate) set: Option<PathBuf>,
    /// Have it admit all metadata
    #[arg(long)]
    pub(crate) drop: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Rows, one JSON object a line; `-` for stdin
    #[arg(value_name = "FILE.jsonl|-")]
    pub(crate) file: PathBuf,
    /// Vectors beside the rows: .fbin or .npy, as many as there are rows
    #[arg(long, value_name = "FILE.fbin|FILE.npy")]
    pub(crate) vectors: Option<PathBuf>,
    /// The field that is the id
    #[arg(long, value_name = "FIELD", default_value = "id", value_parser = id_field)]
    pub(crate) id_field: String,
    /// Rows a commit
    // One operation of the largest batch is left for the place the import has reached.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=99_999))]
    pub(crate) batch: u32,
    /// Go on where an interrupted import of the same file stopped
    #[arg(long)]
    pub(crate) resume: bool,
    /// Create the database and the collection if they do not exist. An existing collection must
    /// have this dimension and metric
    #[arg(long, requires = "dimension")]
    pub(crate) create: bool,
    /// Components of every vector of a collection that is created
    #[arg(long, value_name = "N", requires = "create")]
    pub(crate) dimension: Option<usize>,
    /// How vectors of a collection that is created are compared: cosine, dot, euclidean or
    /// manhattan [default: cosine]
    #[arg(long, requires = "create")]
    pub(crate) metric: Option<Metric>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("query").required(true).multiple(true).args(["like", "vectors", "vector", "text"]))]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Search with the vector of a stored document, which is left out; of several, with their mean
    #[arg(long, value_name = "ID", value_parser = any_id, conflicts_with_all = ["vectors", "vector"])]
    pub(crate) like: Vec<DocId>,
    /// Also away from the vector of a stored document, which is left out too
    #[arg(long, value_name = "ID", value_parser = any_id, requires = "like", conflicts_with_all = ["vectors", "vector"])]
    pub(crate) unlike: Vec<DocId>,
    /// Search with each vector of a file
    #[arg(long, value_name = "FILE.fbin|FILE.npy", conflicts_with = "vector")]
    pub(crate) vectors: Option<PathBuf>,
    /// Search with each JSON array of numbers in a file; `-` for stdin, each answered before the
    /// next is read
    #[arg(long, value_name = "FILE|-")]
    pub(crate) vector: Option<PathBuf>,
    /// Search by words: alone, or together with each vector; "phrases" and beginnings* too
    #[arg(long, value_name = "WORDS")]
    pub(crate) text: Option<String>,
    /// Only these vectors of --vectors, counted from 1
    #[arg(long, value_name = "N,…", requires = "vectors", value_delimiter = ',', value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) row: Vec<u64>,
    /// Only documents that match
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<Filter>,
    /// Most hits
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: usize,
    /// How many of the nearest to leave out first; --pages repeats nothing whatever is written in
    /// between
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) offset: usize,
    /// Say where the next page begins, for --after; of a single query
    #[arg(long, conflicts_with = "offset")]
    pub(crate) pages: bool,
    /// Go on after a page of the same search: its `next`, or @ and a file that has it
    #[arg(long, value_name = "NEXT|@FILE", conflicts_with = "offset")]
    pub(crate) after: Option<String>,
    /// Compare with every document instead of walking the graph
    #[arg(long)]
    pub(crate) exact: bool,
    /// Points that a walk through the graph keeps: more find more, and take longer
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_EF))]
    pub(crate) ef: Option<usize>,
    /// Only hits with at least this score
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) min_score: Option<f32>,
    /// Only hits at most this far away
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub(crate) max_distance: Option<f32>,
    /// Hits that differ from each other: 1 is nearness alone, 0 difference alone
    #[arg(long, value_name = "LAMBDA", conflicts_with = "group_by")]
    pub(crate) mmr: Option<f32>,
    /// Hits in groups that have the same value in a metadata field: --limit groups
    #[arg(long, value_name = "FIELD")]
    pub(crate) group_by: Option<String>,
    /// Most hits of a group
    #[arg(long, value_name = "N", default_value_t = 1, requires = "group_by", value_parser = number(1..=MAX_GROUP))]
    pub(crate) per_group: usize,
    /// Say why hits were found as they were
    #[arg(long)]
    pub(crate) explain: bool,
    /// Only these metadata fields with the hits
    #[arg(long, value_name = "A,…", value_delimiter = ',')]
    pub(crate) fields: Option<Vec<String>>,
    /// Vectors with the hits; only --json shows them
    #[arg(long)]
    pub(crate) with_vector: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Ids of the documents
    #[arg(value_name = "ID", required = true, value_parser = any_id)]
    pub(crate) ids: Vec<DocId>,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["ids", "filter"]))]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Ids of the documents; deleting what is not there is no error
    #[arg(value_name = "ID", value_parser = any_id)]
    pub(crate) ids: Vec<DocId>,
    /// All documents that match, instead
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<Filter>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Count {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only documents that match
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<Filter>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Facet {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The metadata field
    pub(crate) field: String,
    /// Only documents that match
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<Filter>,
    /// Most values
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Sample {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How many documents
    #[arg(value_name = "N")]
    pub(crate) n: usize,
    /// Only documents that match
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<Filter>,
    /// Draw the same documents whenever the same are there
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Scroll {
    /// In the order of a metadata field's values
    #[arg(long, value_name = "FIELD")]
    pub(crate) order_by: Option<String>,
    /// The greatest first
    #[arg(long, requires = "order_by")]
    pub(crate) descending: bool,
    #[command(flatten)]
    pub(crate) target: Target,
    /// Only documents that match
    #[arg(long, value_name = "JSON")]
    pub(crate) filter: Option<Filter>,
    /// Most documents
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Begin after this id, or with --order-by at this cursor: the `next` of the page before
    #[arg(long, value_name = "NEXT")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The file to write; `-` for stdout. A file of this name is replaced once all rows are written
    #[arg(value_name = "FILE|-", default_value = "-")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// Rows to search in
    #[arg(long, value_name = "FILE.fbin|FILE.npy")]
    pub(crate) base: PathBuf,
    /// Vectors to search for
    #[arg(long, value_name = "FILE.fbin|FILE.npy")]
    pub(crate) query: PathBuf,
    /// The nearest rows of each query, instead of computing them
    #[arg(long, value_name = "FILE.ibin")]
    pub(crate) truth: Option<PathBuf>,
    /// cosine, dot, euclidean or manhattan
    #[arg(long)]
    pub(crate) metric: Metric,
    /// Links of a document
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = number(MIN_M..=MAX_M))]
    pub(crate) m: usize,
    /// Candidates that links are chosen from
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = number(1..=MAX_EF))]
    pub(crate) ef_construction: usize,
    /// Points that a search keeps, one measurement for each
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = number(1..=MAX_EF))]
    #[arg(default_value = "10,16,24,32,48,64,96,128,192,256,384,512,768")]
    pub(crate) ef: Vec<usize>,
    /// Threads that search at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number(1..=1_024))]
    pub(crate) threads: usize,
    /// Hits of a search
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = number(1..))]
    pub(crate) k: usize,
    /// Only the first rows of --base
    #[arg(long, value_name = "N", value_parser = number(1..))]
    pub(crate) limit: Option<usize>,
    /// What the graph is walked by
    #[arg(long, value_enum, default_value_t = Codes::Sq8)]
    pub(crate) codes: Codes,
    /// Threads that link documents [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = number(1..=MAX_LINK_THREADS))]
    pub(crate) link_threads: Option<usize>,
    /// Where the database's folder is made [default: where temporary files belong]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Measure inserts and searches at the same time, too
    #[arg(long)]
    pub(crate) insert_rate: bool,
    /// How long that is done
    #[arg(long, hide = true, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
}

/// What a graph is walked by, as it is named here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codes {
    /// Codes of one byte per component
    Sq8,
    /// Exact vectors
    None,
}

impl fmt::Display for Codes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Codes::Sq8 => "sq8",
            Codes::None => "none",
        })
    }
}

impl From<Codes> for Quantization {
    fn from(codes: Codes) -> Self {
        match codes {
            Codes::Sq8 => Quantization::Sq8,
            Codes::None => Quantization::None,
        }
    }
}

/// Reads a count within bounds.
fn number(range: impl RangeBounds<usize>) -> RangedU64ValueParser<usize> {
    let bound = |bound: Bound<&usize>| bound.map(|&bound| bound as u64);
    RangedU64ValueParser::new().range((bound(range.start_bound()), bound(range.end_bound())))
}

/// Reads an id as the help describes it.
pub(crate) fn id(text: &str) -> DocId {
    match serde_json::from_str(text) {
        Ok(serde_json::Value::Number(number)) => number.as_u64().map_or_else(|| DocId::from(text), DocId::from),
        Ok(serde_json::Value::String(string)) => DocId::from(string),
        _ => DocId::from(text),
    }
}

/// As [`id`], for the parser of arguments.
fn any_id(text: &str) -> Result<DocId, Infallible> {
    Ok(id(text))
}

/// A language by its English name.
fn language(name: &str) -> Result<Language, String> {
    let of = |name: &str| serde_json::from_value(name.to_lowercase().into());
    of(name).map_err(|_: serde_json::Error| {
        let all: Vec<String> = Language::ALL.iter().map(|language| format!("{language:?}").to_lowercase()).collect();
        format!("expected one of {}", all.join(", "))
    })
}

/// Refuses a field name that has another meaning in each row.
fn id_field(name: &str) -> Result<String, String> {
    match name {
        "vector" | "text" | "metadata" => Err(format!("`{name}` has a meaning of its own in every row")),
        _ => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn ids_are_numbers_only_where_they_look_like_json_numbers() {
        for (text, expected) in [
            ("7", DocId::from(7)),
            ("\"7\"", DocId::from("7")),
            ("007", DocId::from("007")),
            ("-7", DocId::from("-7")),
            ("1.5", DocId::from("1.5")),
            ("true", DocId::from("true")),
            ("note 17", DocId::from("note 17")),
        ] {
            assert_eq!(id(text), expected, "{text}");
        }
    }
}
