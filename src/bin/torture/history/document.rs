//! Documents of the history campaign: metadata made of a few facts, text made of a few words.
//!
//! All values come from small sets, so that filters, facets and groups meet many documents.

use serde_json::json;
use vectrove::{DocId, Document, StoredDocument, Uuid, Value};

use crate::rng::Rng;

/// Values of the metadata field `tag`, in order.
pub(super) const TAGS: [&str; 6] = ["amber", "blue", "cyan", "dun", "ecru", "fawn"];
/// Values of the field `n` lie below this number.
pub(super) const N_NUMBERS: u64 = 40;
/// Elements of the field `list` and values of the field `raw` lie below this number.
pub(super) const N_SMALL: u64 = 6;
/// Spellings of times in the field `at`, and their seconds since 1970.
pub(super) const TIMES: [(&str, i64); 4] = [
    ("2026-01-01T00:00:00Z", 1_767_225_600),
    ("2026-01-02T02:00:00+02:00", 1_767_312_000),
    ("2026-01-05T00:00:00Z", 1_767_571_200),
    ("2026-02-01T00:00:00Z", 1_769_904_000),
];
/// The words that texts are made of.
pub(super) const WORDS: [&str; 12] =
    ["the", "of", "rust", "rusty", "rustle", "index", "indexes", "tree", "trees", "borrow", "lifetime", "zebra"];
/// Beginnings of some of these words.
pub(super) const BEGINNINGS: [&str; 3] = ["rust", "index", "tree"];
/// Words and beginnings together: the terms that BM25 counts documents of.
pub(super) const N_TERMS: usize = WORDS.len() + BEGINNINGS.len();

/// The facts that a document's metadata states.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) tag: Option<u8>,
    pub(super) n: Option<u8>,
    pub(super) list: Option<Vec<u8>>,
    /// A field that most collections do not index.
    pub(super) raw: Option<u8>,
    pub(super) at: Option<u8>,
    /// Whether it has a string longer than an index keeps.
    pub(super) is_long: bool,
    /// Whether it has more values than an index keeps of one document.
    pub(super) is_many: bool,
}

impl Facts {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut some = |percent: u64, below: u64| rng.chance(percent).then(|| rng.below(below) as u8);
        let (tag, n, raw) = (some(85, TAGS.len() as u64), some(85, N_NUMBERS), some(70, N_SMALL));
        let at = some(50, TIMES.len() as u64);
        let list = rng.chance(50).then(|| (0..rng.below(4)).map(|_| rng.below(N_SMALL) as u8).collect());
        Facts { tag, n, list, raw, at, is_long: rng.chance(2), is_many: rng.below(300) == 0 }
    }

    pub(super) fn metadata(&self) -> Value {
        let mut map = serde_json::Map::new();
        let mut put = |key: &str, value| _ = map.insert(key.to_owned(), value);
        self.tag.iter().for_each(|tag| put("tag", json!(TAGS[usize::from(*tag)])));
        self.n.iter().for_each(|n| put("n", json!(n)));
        self.list.iter().for_each(|list| put("list", json!(list)));
        self.raw.iter().for_each(|raw| put("raw", json!(raw)));
        self.at.iter().for_each(|at| put("at", json!(TIMES[usize::from(*at)].0)));
        if self.is_long {
            put("long", json!("x".repeat(300)));
        }
        if self.is_many {
            put("many", json!((0..1_100).collect::<Vec<u32>>()));
        }
        Value::from(serde_json::Value::Object(map))
    }
}

/// The content of a document that is to be written. Its version comes with the commit.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) vector: Vec<f32>,
    pub(super) facts: Facts,
    /// The words of its text, by their places among [`WORDS`]; `None` without a text.
    pub(super) words: Option<Vec<u8>>,
}

impl Content {
    pub(super) fn draw(rng: &mut Rng, dimension: usize) -> Self {
        let words = rng.chance(80).then(|| draw_words(rng));
        Content { vector: draw_vector(rng, dimension), facts: Facts::draw(rng), words }
    }

    /// A small document, for the collection with many: little metadata, and a short text or none.
    pub(super) fn draw_small(rng: &mut Rng, dimension: usize) -> Self {
        let facts = Facts { tag: Some(rng.below(TAGS.len() as u64) as u8), ..Facts::default() };
        let words = rng.chance(10).then(|| draw_words(rng));
        Content { vector: draw_vector(rng, dimension), facts, words }
    }

    pub(super) fn document(&self, index: u32) -> Document {
        let document = Document::new(self.vector.clone()).id(id_of(index)).metadata(self.facts.metadata());
        match &self.words {
            Some(words) => document.text(text_of(words)),
            None => document,
        }
    }
}

/// A document of the twin, as of one commit.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) content: Content,
    pub(super) norm: f64,
    pub(super) metadata: Value,
    pub(super) text: Option<String>,
    /// The terms it has, one bit each.
    pub(super) terms: u32,
    pub(super) version: u64,
}

impl Stored {
    pub(super) fn new(content: Content, version: u64) -> Self {
        let norm = content.vector.iter().map(|&component| f64::from(component).powi(2)).sum::<f64>().sqrt();
        let words = content.words.as_deref().unwrap_or_default();
        let terms = (0..N_TERMS).filter(|term| words.iter().any(|word| is_of(*word, *term)));
        let terms = terms.fold(0, |bits, term| bits | 1 << term);
        let (metadata, text) = (content.facts.metadata(), content.words.as_deref().map(text_of));
        Stored { content, norm, metadata, text, terms, version }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.content.facts
    }

    pub(super) fn words(&self) -> &[u8] {
        self.content.words.as_deref().unwrap_or_default()
    }

    /// Whether a document that was read is this one.
    pub(super) fn is_read_as(&self, read: &StoredDocument, with_vector: bool) -> bool {
        let vector: &[f32] = if with_vector { &self.content.vector } else { &[] };
        read.version.0 == self.version
            && read.vector == vector
            && read.text == self.text
            && read.metadata == self.metadata
    }
}

/// Whether a word matches a term: the word itself, or one that begins with the term.
pub(super) fn is_of(word: u8, term: usize) -> bool {
    match term.checked_sub(WORDS.len()) {
        None => usize::from(word) == term,
        Some(beginning) => WORDS[usize::from(word)].starts_with(BEGINNINGS[beginning]),
    }
}

fn draw_words(rng: &mut Rng) -> Vec<u8> {
    // The first words are the most frequent.
    let word = |rng: &mut Rng| rng.below(WORDS.len() as u64).min(rng.below(WORDS.len() as u64)) as u8;
    let n_words = rng.between(1, 12);
    (0..n_words).map(|_| word(rng)).collect()
}

pub(super) fn text_of(words: &[u8]) -> String {
    let words: Vec<&str> = words.iter().map(|word| WORDS[usize::from(*word)]).collect();
    words.join(" ")
}

/// A vector that is far from zero, which no metric refuses.
pub(super) fn draw_vector(rng: &mut Rng, dimension: usize) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..dimension).map(|_| rng.component()).collect();
    vector[0] += if vector[0] < 0.0 { -0.5 } else { 0.5 };
    vector
}

/// A value of the field `n`.
pub(super) fn draw_number(rng: &mut Rng) -> u8 {
    rng.below(N_NUMBERS) as u8
}

/// The high half of ids that are UUIDs.
const UUID_HIGH: u64 = 0x0123_4567_89ab_cdef;

/// The id of the document with a number; ids of every kind occur.
pub(super) fn id_of(index: u32) -> DocId {
    match index % 3 {
        0 => DocId::from(u64::from(index)),
        1 => DocId::from(format!("note-{index:06}")),
        _ => DocId::from(Uuid::from_u64_pair(UUID_HIGH, u64::from(index))),
    }
}

/// The number of the document with an id; `None` if no document of the campaign has it.
pub(super) fn index_of(id: &DocId) -> Option<u32> {
    match id {
        DocId::U64(number) => u32::try_from(*number).ok().filter(|index| index % 3 == 0),
        DocId::Str(text) => text.strip_prefix("note-")?.parse().ok().filter(|index| index % 3 == 1),
        DocId::Uuid(uuid) => {
            let (high, low) = uuid.as_u64_pair();
            u32::try_from(low).ok().filter(|index| high == UUID_HIGH && index % 3 == 2)
        }
    }
}

/// The place of a document's id among ids: numbers come first, then UUIDs, then strings.
pub(super) fn place_of(index: u32) -> (u8, u32) {
    ([0, 2, 1][index as usize % 3], index)
}

/// Numbers below a bound in the order of the ids they stand for.
pub(super) fn in_id_order(bound: u32) -> impl Iterator<Item = u32> {
    [0, 2, 1].into_iter().flat_map(move |class| (class..bound).step_by(3))
}
