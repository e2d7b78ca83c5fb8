//! Rows for benchmarks, and figures of the operating system.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

/// A document as the data set has it.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) metadata: Map<String, Json>,
    pub(crate) vector: Vec<f32>,
}

impl Row {
    /// Bytes of the vector, id, text and metadata as JSON, before they are stored.
    pub(crate) fn raw_bytes(&self) -> usize {
        let metadata = serde_json::to_string(&self.metadata).map_or(0, |json| json.len());
        self.vector.len() * 4 + self.id.len() + self.text.len() + metadata
    }
}

/// Up to `limit` rows of the full data set in the folder `VECTROVE_DATA`, or of the sample,
/// repeated under other ids. The first value names which.
pub(crate) fn rows(limit: usize) -> (String, Vec<Row>) {
    let stem = stem();
    let name = if full().is_some() { "63,000 package descriptions" } else { "the sample, repeated" };
    let text = std::fs::read_to_string(stem.with_extension("jsonl")).expect("the data set's rows");
    let vectors = read_vectors(&stem.with_extension("fbin"), limit);
    let dimension = vectors.first().map_or(0, Vec::len);
    let base: Vec<Row> = text.lines().zip(vectors).map(|(line, vector)| read_row(line, vector)).collect();
    let repeated = (0..).flat_map(|round| base.iter().map(move |row| repeat(row, round))).take(limit).collect();
    (format!("{name}, {dimension} dimensions"), repeated)
}

/// Number of rows before they repeat.
pub(crate) fn n_rows() -> usize {
    let mut header = [0; 4];
    let read = File::open(stem().with_extension("fbin")).and_then(|mut file| file.read_exact(&mut header));
    read.expect("the data set's vectors");
    u32::from_le_bytes(header) as usize
}

/// Vectors to search the rows for, none of which is a row.
pub(crate) fn queries() -> Vec<Vec<f32>> {
    let path = full().map_or_else(|| "examples/data/queries.fbin".into(), |folder| folder.join("query.fbin"));
    read_vectors(&path, usize::MAX)
}

/// The rows of these queries, which only the full data set has.
pub(crate) fn query_rows() -> Vec<Row> {
    let folder = full().expect("the full data set");
    let text = std::fs::read_to_string(folder.join("query.jsonl")).expect("the data set's queries");
    text.lines().zip(queries()).map(|(line, vector)| read_row(line, vector)).collect()
}

/// The folder of the full data set, if there is one.
pub(crate) fn full() -> Option<PathBuf> {
    std::env::var_os("VECTROVE_DATA").map(PathBuf::from)
}

fn stem() -> PathBuf {
    full().map_or_else(|| "examples/data/debian".into(), |folder| folder.join("base"))
}

fn read_vectors(path: &Path, limit: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).expect("the data set's vectors");
    let (header, values) = bytes.split_at(8);
    let dimension = u32::from_le_bytes(header[4..].try_into().expect("four bytes")) as usize;
    let (values, _) = values.as_chunks::<4>();
    let rows = values.chunks(dimension).take(limit);
    rows.map(|row| row.iter().map(|&b| f32::from_le_bytes(b)).collect()).collect()
}

fn read_row(line: &str, vector: Vec<f32>) -> Row {
    let mut metadata: Map<String, Json> = serde_json::from_str(line).expect("a JSON object");
    let mut take = |key| metadata.remove(key).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let (id, text) = (take("id"), take("text"));
    Row { id, text, metadata, vector }
}

fn repeat(row: &Row, round: usize) -> Row {
    let id = if round == 0 { row.id.clone() } else { format!("{}#{round}", row.id) };
    Row { id, ..row.clone() }
}

/// Bytes this process has caused to be written to disk; `None` where the operating system does not
/// count them.
pub(crate) fn written_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

/// Resident bytes of this process; `None` where the operating system does not report them.
pub(crate) fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// Resident bytes that belong to no file; `None` where the operating system does not report them.
pub(crate) fn anonymous_bytes() -> Option<u64> {
    status_bytes("RssAnon:")
}

/// The most resident bytes of this process so far; `None` where the operating system does not
/// report them.
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

const TICKS_A_SECOND: f64 = 100.0;

/// Processor seconds that all processes used, and that there were; `None` where the operating
/// system does not report them.
pub(crate) fn machine_seconds() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.map(|field| field.parse().ok()).collect::<Option<_>>()?;
    let (all, idle) = (ticks.iter().sum::<f64>(), ticks.get(3)? + ticks.get(4)?);
    Some(((all - idle) / TICKS_A_SECOND, all / TICKS_A_SECOND))
}

/// Processor seconds of this process; `None` where the operating system does not report them.
pub(crate) fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the program's name, which may hold any character: the 12th and 13th fields, user and
    // system time.
    let (_, fields) = text.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<f64>().ok());
    ticks.sum::<Option<f64>>().map(|ticks| ticks / TICKS_A_SECOND)
}

/// The middle of several figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
