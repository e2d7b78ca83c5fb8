//! Rows for benchmarks, and what the operating system counts.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::path::PathBuf;

use serde_json::{Map, Value as Json};

/// A document as it stands in a data set.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) metadata: Map<String, Json>,
    pub(crate) vector: Vec<f32>,
}

impl Row {
    /// Bytes of the vector, id, text and metadata as JSON: the document, before anyone stores it.
    pub(crate) fn raw_bytes(&self) -> usize {
        let metadata = serde_json::to_string(&self.metadata).map_or(0, |json| json.len());
        self.vector.len() * 4 + self.id.len() + self.text.len() + metadata
    }
}

/// Up to `limit` rows of the full data set in the folder `VECTROVE_DATA`, or of the sample, repeated under other ids.
/// Says which.
pub(crate) fn rows(limit: usize) -> (String, Vec<Row>) {
    let full = std::env::var_os("VECTROVE_DATA").map(PathBuf::from);
    let (name, stem) = match full {
        Some(folder) => ("63,000 package descriptions", folder.join("base")),
        None => ("the sample, repeated", PathBuf::from("examples/data/debian")),
    };
    let text = std::fs::read_to_string(stem.with_extension("jsonl")).expect("the data set's rows");
    let bytes = std::fs::read(stem.with_extension("fbin")).expect("the data set's vectors");
    let (header, values) = bytes.split_at(8);
    let dimension = u32::from_le_bytes(header[4..].try_into().expect("four bytes")) as usize;
    let (values, _) = values.as_chunks::<4>();
    let vectors = values.chunks(dimension).map(|row| row.iter().map(|&b| f32::from_le_bytes(b)).collect::<Vec<_>>());
    let base: Vec<Row> = text.lines().zip(vectors).map(|(line, vector)| read_row(line, vector)).collect();
    let repeated = (0..).flat_map(|round| base.iter().map(move |row| repeat(row, round))).take(limit).collect();
    (format!("{name}, {dimension} dimensions"), repeated)
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

/// Bytes this process has caused to be written to disk, by the operating system's count; `None` where it keeps none.
pub(crate) fn written_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}

/// Resident bytes of this process; `None` where the operating system does not tell.
pub(crate) fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The middle of several figures.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
