//! The full data set, read from the folder that `VECTROVE_DATA` names.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use vectrove::Document;

/// Vectors with their metadata.
pub(crate) struct Rows {
    pub(crate) vectors: Vec<Vec<f32>>,
    pub(crate) metadata: Vec<Json>,
}

/// Rows to store, rows to search with, and for each of these the nearest stored ones by cosine,
/// best first.
pub(crate) struct DataSet {
    pub(crate) base: Rows,
    pub(crate) query: Rows,
    pub(crate) truth: Vec<Vec<u32>>,
}

/// The data set; `None`, with a message, where the environment does not name it.
pub(crate) fn load(test: &str) -> Option<DataSet> {
    let Some(folder) = std::env::var_os("VECTROVE_DATA").map(PathBuf::from) else {
        eprintln!("SKIPPED {test}: set VECTROVE_DATA to the folder with the full data set");
        return None;
    };
    let rows = |name: &str| Rows {
        vectors: table(&folder.join(format!("{name}.fbin")), f32::from_le_bytes),
        metadata: lines(&folder.join(format!("{name}.jsonl"))),
    };
    let truth = table(&folder.join("truth.ibin"), u32::from_le_bytes);
    Some(DataSet { base: rows("base"), query: rows("query"), truth })
}

impl Rows {
    /// A row as a document: its `id` and `text` are the document's, the other fields its metadata.
    pub(crate) fn document(&self, row: usize) -> Document {
        let mut metadata = self.metadata[row].as_object().unwrap().clone();
        let mut take = |key: &str| metadata.remove(key).unwrap().as_str().unwrap().to_owned();
        let (id, text) = (take("id"), take("text"));
        Document::new(self.vectors[row].clone()).id(id).text(text).metadata(Json::Object(metadata))
    }

    pub(crate) fn id(&self, row: usize) -> &str {
        self.metadata[row]["id"].as_str().unwrap()
    }
}

/// Two numbers, rows and columns, and then the rows.
fn table<T>(path: &Path, read: fn([u8; 4]) -> T) -> Vec<Vec<T>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (words, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty(), "{} is not made of words", path.display());
    let [n_rows, n_columns] = [0, 1].map(|index: usize| u32::from_le_bytes(words[index]) as usize);
    assert_eq!(words.len() - 2, n_rows * n_columns, "{}", path.display());
    words[2..].chunks(n_columns).map(|row| row.iter().map(|word| read(*word)).collect()).collect()
}

fn lines(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
