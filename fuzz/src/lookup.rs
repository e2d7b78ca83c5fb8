//! Compares the answer of an index to a filter with the documents, and these with the twin.
//!
//! Documents are in memory, and their terms are under the same keys as in a collection.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included};
use std::sync::Arc;

use roaring::RoaringBitmap;
use serde_json::{Map, Value as Json, json};

use crate::error::Result;
use crate::filter::extract::{MAX_TERMS, terms_of, values_of};
use crate::filter::lookup::{Coverage, Postings};
use crate::filter::slots::{Bits, Bounds, SlotSet};
use crate::filter::term::{TermRange, Term, kind_of, ordinal, value_of};
use crate::filter::{Filter, field};
use crate::id::FieldId;
use crate::store::format::key;
use crate::value::{Unchecked, Value};

#[path = "../../src/filter/tests/naive.rs"]
mod twin;

const MOST_DOCUMENTS: usize = 12;
/// Most conditions of a filter that are tested on their own.
const MOST_CONDITIONS: usize = 16;
/// Most terms of a document that are read back as values.
const MOST_READ_BACK: usize = 8;
/// Number of fields where few are numbered.
const FEW_FIELDS: usize = 2;

/// Reads a byte of choices, a line with a filter, and lines with metadata. Asserts for each
/// document that it matches as the twin says, that it is possible if it matches, and that it
/// matches if it is sure.
pub fn check(input: &[u8]) {
    let Some((choices, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let (text, metadata) = text.split_once('\n').unwrap_or((text, "{}"));
    let Ok(filter) = text.parse::<Filter>() else { return };
    let written = plain(&serde_json::from_str(text).expect("what reads as a filter reads as JSON"));

    let choices = Choices(*choices);
    let mut documents: Vec<Document> = metadata.split('\n').take(MOST_DOCUMENTS).filter_map(Document::read).collect();
    documents.iter_mut().take(choices.n_overflowing()).for_each(Document::overflow);
    let index = Index::new(&documents, choices);

    let json = filter.to_json();
    let again = Filter::from_json(&json).expect("a filter reads what it wrote");
    assert_eq!(again.to_json(), json, "{written}");
    index.check(&filter, &written, &documents);
    index.check(&again, &plain(&json), &documents);
    let opposite = !filter;
    if opposite.check().is_ok() {
        index.check(&opposite, &json!({ "$not": written }), &documents);
    }
    // In a filter of many conditions, one condition may make no difference.
    let mut conditions = Vec::new();
    collect_conditions(&written, &mut conditions);
    for condition in conditions {
        let filter = Filter::from_json(condition).expect("a condition is a filter");
        index.check(&filter, condition, &documents);
    }
    documents.iter().enumerate().for_each(|(place, document)| index.check_values(place, document));
}

/// The answer of an index to a filter, also as a search asks for it.
struct Told {
    bounds: Bounds,
    bits: [Bits; 2],
}

impl Told {
    fn of(filter: &Filter, index: &Index) -> Self {
        let bounds = filter.bounds(index).expect("an index in memory is read");
        let bits = [&bounds.sure, bounds.possible()].map(Bits::new);
        Told { bounds, bits }
    }

    fn check(&self, slot: u32, is_match: bool, what: &dyn Fn() -> String) {
        let (is_sure, is_possible) = (self.bounds.sure.contains(slot), self.bounds.possible().contains(slot));
        assert!(is_match || !is_sure, "does not match, and is said to: {}", what());
        assert!(!is_match || is_possible, "matches, and is said not to: {}", what());
        assert_eq!([is_sure, is_possible], [0, 1].map(|of| self.bits[of].contains(slot)), "{}", what());
    }
}

/// Metadata that a collection accepts.
struct Document {
    json: Json,
    metadata: Value,
}

impl Document {
    fn read(line: &str) -> Option<Self> {
        let json: Json = serde_json::from_str(line).ok()?;
        let metadata = Unchecked(Value::from(json.clone())).into_metadata().ok()?;
        let read: Value = serde_json::from_str(line).expect("what reads as JSON reads as a value");
        assert!(read == metadata || read.is_null(), "{line}");
        assert_eq!(Value::from(Json::from(metadata.clone())), metadata, "{line}");
        Some(Document { json, metadata })
    }

    /// Gives the document more terms than are indexed.
    fn overflow(&mut self) {
        if let (Json::Object(json), Value::Object(metadata)) = (&mut self.json, &mut self.metadata) {
            let many: Vec<usize> = (0..MAX_TERMS).collect();
            json.insert("many".to_owned(), json!(many));
            metadata.insert("many".to_owned(), Value::from(many));
        }
    }
}

/// What the index lacks, and which slots documents have; `@` chooses a complete, ordinary index.
#[derive(Clone, Copy)]
struct Choices(u8);

impl Choices {
    fn has(self, bit: u8) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// Whether a path is indexed. A path below one that is not indexed is not indexed either.
    fn wants(self, path: &str) -> bool {
        let n_left_out = usize::from(self.0 & 3);
        path.split('.').all(|key| key.bytes().map(usize::from).sum::<usize>() % 4 >= n_left_out)
    }

    /// Most fields that are numbered.
    fn room(self) -> usize {
        if self.has(2) { FEW_FIELDS } else { usize::MAX }
    }

    /// The slot of a document; `None` if it was deleted.
    fn slot(self, place: usize) -> Option<u32> {
        let is_deleted = self.has(3) && place == 0;
        (!is_deleted).then(|| self.slot_before(place))
    }

    /// The slot of a document, deleted or not. Slots are consecutive, or in different chunks.
    fn slot_before(self, place: usize) -> u32 {
        place as u32 * if self.has(4) { 50_021 } else { 1 }
    }

    /// Number of documents with too many terms.
    fn n_overflowing(self) -> usize {
        usize::from(!self.has(6))
    }

    /// Whether each document first has the metadata of the next one.
    fn replaces(self) -> bool {
        self.has(5)
    }
}

/// Postings by their keys: the places of a chunk that have a term.
struct Index {
    rows: BTreeMap<Vec<u8>, BTreeSet<u16>>,
    fields: BTreeMap<Box<str>, FieldId>,
    choices: Choices,
}

impl Index {
    fn new(documents: &[Document], choices: Choices) -> Self {
        let mut index = Index { rows: BTreeMap::new(), fields: BTreeMap::new(), choices };
        let nothing = Value::object();
        for (place, document) in documents.iter().enumerate() {
            let slot = choices.slot_before(place);
            let before =
                documents.get(place + 1).filter(|_| choices.replaces()).map_or(&nothing, |next| &next.metadata);
            index.replace(slot, &nothing, before);
            index.replace(slot, before, &document.metadata);
            if choices.slot(place).is_none() {
                index.replace(slot, &document.metadata, &nothing);
            }
        }
        index
    }

    /// Replaces the metadata of a slot's document.
    fn replace(&mut self, slot: u32, before: &Value, after: &Value) {
        let (chunk, place) = ((slot >> 16) as u16, slot as u16);
        let [old, new] = [before, after].map(|metadata| self.entries(metadata));
        for (field, term) in old.difference(&new) {
            let key = key::postings(*field, term.bytes(), chunk);
            let places = self.rows.get_mut(&key).expect("what is removed was put");
            assert!(places.remove(&place));
            if places.is_empty() {
                self.rows.remove(&key);
            }
        }
        for (field, term) in new.difference(&old) {
            assert!(self.rows.entry(key::postings(*field, term.bytes(), chunk)).or_default().insert(place));
        }
    }

    /// The terms of metadata with the numbers of their fields; new fields are numbered while there
    /// is room.
    fn entries(&mut self, metadata: &Value) -> BTreeSet<(FieldId, Term)> {
        let overflow = || (FieldId::default(), Term::incomplete());
        let terms = terms_of(metadata, |path| self.choices.wants(path));
        let mut entries: BTreeSet<_> = terms.overflows.then(overflow).into_iter().collect();
        for (path, terms) in terms.by_path {
            if !self.fields.contains_key(&path) && self.fields.len() >= self.choices.room() {
                entries.insert(overflow());
                continue;
            }
            let next = FieldId(self.fields.len() as u32 + 1);
            let field = *self.fields.entry(path).or_insert(next);
            entries.extend(terms.into_iter().map(|term| (field, term)));
        }
        entries
    }

    /// The rows between two keys, as field, term and slots.
    fn rows(&self, (from, to): (Vec<u8>, Vec<u8>)) -> impl Iterator<Item = (FieldId, &[u8], RoaringBitmap)> {
        self.rows.range((Included(from), Excluded(to))).map(|(key, places)| {
            let (field, term, chunk) = key::read_postings(key).expect("a key reads back");
            assert_eq!(key::postings(field, term, chunk), *key);
            (field, term, places.iter().map(|place| u32::from(chunk) << 16 | u32::from(*place)).collect())
        })
    }

    /// Asserts that a filter, which the twin has in the first spelling, and the index's answer are
    /// right.
    fn check(&self, filter: &Filter, written: &Json, documents: &[Document]) {
        let told = Told::of(filter, self);
        for (place, document) in documents.iter().enumerate() {
            let is_match = twin::matches(written, &document.json);
            assert_eq!(filter.matches(&document.metadata), is_match, "{written} on {}", document.json);
            if let Some(slot) = self.choices.slot(place) {
                told.check(slot, is_match, &|| format!("{written} on {}", document.json));
            }
        }
    }

    /// Asserts that each indexed term of a document reads back as one of its values, which finds
    /// the document.
    fn check_values(&self, place: usize, document: &Document) {
        let Some(slot) = self.choices.slot(place) else { return };
        let mut n_read = 0;
        for (path, terms) in terms_of(&document.metadata, |_| true).by_path {
            let values = values_of(&document.metadata, &path);
            for term in terms.iter().filter(|term| **term != Term::exists() && **term != Term::incomplete()) {
                let value = value_of(term.bytes()).expect("a term of a value");
                let equal = field(&*path).eq(value);
                if n_read == MOST_READ_BACK || equal.check().is_err() {
                    break;
                }
                n_read += 1;
                assert!(values.contains(term), "{path} of {}", document.json);
                assert!(equal.matches(&document.metadata), "{equal} on {}", document.json);
                let bounds = equal.bounds(self).expect("an index in memory is read");
                assert!(bounds.possible().contains(slot), "{equal} on {}", document.json);
            }
        }
    }
}

impl Postings for Index {
    fn coverage(&self, path: &str) -> Coverage {
        match self.fields.get(path) {
            _ if !self.choices.wants(path) => Coverage::Unindexed,
            Some(field) => Coverage::Indexed(*field),
            None => Coverage::Absent,
        }
    }

    fn term(&self, field: FieldId, term: &Term) -> Result<Arc<RoaringBitmap>> {
        let mut slots = RoaringBitmap::new();
        for (of, found, own) in self.rows(key::term_range(field, term.bytes())) {
            assert_eq!((of, found), (field, term.bytes()));
            slots |= own;
        }
        Ok(Arc::new(slots))
    }

    /// Reads all terms of the kind. Asserts that a scan with a beginning and an end finds the same,
    /// and so do integers by the order of terms.
    fn range(&self, field: FieldId, range: &TermRange) -> Result<Arc<RoaringBitmap>> {
        let kind = key::postings_range(field, &[range.kind as u8]);
        let (from, _) = key::postings_range(field, &range.start());
        let (mut all, mut scanned, mut ordered) = (RoaringBitmap::new(), RoaringBitmap::new(), RoaringBitmap::new());
        for (of, term, own) in self.rows(kind.clone()) {
            assert!(of == field && kind_of(term) == Some(range.kind));
            if range.admits(term) {
                all |= &own;
            }
            let is_within = |(first, last)| ordinal(term).is_some_and(|ordinal| (first..=last).contains(&ordinal));
            if range.ordinals().is_some_and(is_within) {
                ordered |= own;
            }
        }
        // An empty range may begin beyond the kind.
        if from < kind.1 {
            for (_, term, own) in self.rows((from, kind.1)).take_while(|(_, term, _)| !range.is_passed(term)) {
                if range.admits(term) {
                    scanned |= own;
                }
            }
        }
        assert_eq!(scanned, all, "{range:?}");
        assert!(range.ordinals().is_none() || ordered == all, "{range:?}");
        Ok(Arc::new(all))
    }

    /// Documents without text have no words. The index may know this, or not.
    fn text(&self, text: &str) -> Result<Bounds> {
        Ok(if text.len() % 2 == 0 { Bounds::exactly(SlotSet::none()) } else { Bounds::at_most(SlotSet::all()) })
    }

    fn overflowing(&self) -> Result<Arc<RoaringBitmap>> {
        self.term(FieldId::default(), &Term::incomplete())
    }
}

/// A filter in the first spelling; a filter in words becomes one that matches nothing.
fn plain(filter: &Json) -> Json {
    all(filter.as_object().expect("a filter is an object").iter().map(|(key, operand)| clause(key, operand)).collect())
}

/// The first conditions on single fields of a filter in the first spelling, each a filter.
fn collect_conditions<'j>(filter: &'j Json, conditions: &mut Vec<&'j Json>) {
    for (key, operand) in filter.as_object().into_iter().flatten() {
        match (key.as_str(), operand) {
            ("$and" | "$or" | "$nor", Json::Array(parts)) => {
                parts.iter().for_each(|part| collect_conditions(part, conditions));
            }
            ("$not", inner) => collect_conditions(inner, conditions),
            _ if conditions.len() < MOST_CONDITIONS => conditions.push(filter),
            _ => {}
        }
    }
}

fn all(parts: Vec<Json>) -> Json {
    json!({ "$and": parts })
}

fn object(key: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), value)]))
}

fn clause(key: &str, operand: &Json) -> Json {
    let is_filter = operand.as_object().is_some_and(|object| object.keys().any(|key| !is_operator(key)));
    match key {
        "$text" => json!({ "$or": [] }),
        "$and" | "$or" | "$nor" => object(key, each(operand, plain)),
        "and" | "or" | "nor" if operand.is_array() => object(&format!("${key}"), each(operand, plain)),
        "$not" => json!({ "$not": plain(operand) }),
        "not" if is_filter => json!({ "$not": plain(operand) }),
        "must" | "should" | "must_not" if operand == &json!([]) => all(Vec::new()),
        "must" if is_filter || operand.is_array() => json!({ "$and": each(operand, condition) }),
        "should" if is_filter || operand.is_array() => json!({ "$or": each(operand, condition) }),
        "must_not" if is_filter || operand.is_array() => json!({ "$nor": each(operand, condition) }),
        path => tests(path, operand),
    }
}

/// Applies `part` to one operand, or to each of several.
fn each(operand: &Json, part: fn(&Json) -> Json) -> Json {
    operand.as_array().map_or_else(|| vec![part(operand)], |parts| parts.iter().map(part).collect()).into()
}

const OPERATORS: [&str; 16] = [
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "any", "all", "between", "prefix", "contains", "exists",
    "isNull", "not",
];

fn is_operator(key: &str) -> bool {
    OPERATORS.contains(&key.strip_prefix('$').unwrap_or(key))
}

/// The tests of a field, each operator on its own, since an operator may occur with and without its
/// dollar sign.
fn tests(path: &str, operand: &Json) -> Json {
    let Json::Object(operators) = operand else { return object(path, operand.clone()) };
    let test = |(name, operand): (&String, &Json)| match name.strip_prefix('$').unwrap_or(name) {
        "not" => json!({ "$not": tests(path, operand) }),
        name => object(path, object(&format!("${name}"), operand.clone())),
    };
    all(operators.iter().map(test).collect())
}

/// A condition on a field that is named in it, or a filter.
fn condition(json: &Json) -> Json {
    let parts = json.as_object().expect("a condition is an object");
    let path_of = |parts: &Map<String, Json>| parts.get("key").and_then(Json::as_str).map(|key| key.replace("[]", ""));
    match (path_of(parts), parts.get("match"), parts.get("range"), parts.len()) {
        (Some(path), Some(matched), None, 2) => match (matched.get("value"), matched.get("any")) {
            (Some(value), _) => object(&path, json!({ "$eq": value })),
            (None, any) => object(&path, json!({ "$in": any })),
        },
        (Some(path), None, Some(Json::Object(bounds)), 2) => {
            let bounds = bounds.iter().filter(|(_, limit)| !limit.is_null());
            all(bounds.map(|(name, limit)| object(&path, object(&format!("${name}"), limit.clone()))).collect())
        }
        _ => match parts.get("is_null").and_then(Json::as_object).filter(|_| parts.len() == 1).and_then(path_of) {
            Some(path) => object(&path, json!({ "$isNull": true })),
            None => plain(json),
        },
    }
}
