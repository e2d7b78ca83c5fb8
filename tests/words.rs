//! Searches find words of a text in each language and form of query.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng};
use serde_json::json;
use tempfile::TempDir;
use vectrove::{Analyzer, Collection, CollectionConfig, Database, DocId, Document, Filter, Language, Query, field};

use common::{database, random, seed};

/// The same documents in two collections: one with an index of words, and one that each search
/// scans.
struct Shelf {
    indexed: Collection,
    gone_through: Collection,
    db: Database,
    _folder: TempDir,
}

fn of(language: Language) -> Analyzer {
    Analyzer::new().stem(language).stop_words(language)
}

impl Shelf {
    fn new(analyzer: Analyzer) -> Self {
        let (folder, db) = database();
        let config = CollectionConfig::new(1).analyzer(analyzer).text_field("title");
        let indexed = db.create_collection("indexed", config.clone()).unwrap();
        let gone_through = db.create_collection("gone-through", config.no_text()).unwrap();
        Shelf { indexed, gone_through, db, _folder: folder }
    }

    fn filled(analyzer: Analyzer, documents: &[(&str, &str)]) -> Self {
        let shelf = Shelf::new(analyzer);
        documents.iter().for_each(|(id, text)| shelf.put(id, text));
        shelf
    }

    fn put(&self, id: &str, text: &str) {
        for collection in self.both() {
            collection.upsert(Document::new([1.0]).id(id).text(text)).unwrap();
        }
    }

    fn both(&self) -> [&Collection; 2] {
        [&self.indexed, &self.gone_through]
    }

    /// The hits of a query with their scores, which are equal with an index and without.
    #[track_caller]
    fn hits(&self, query: &str) -> Vec<(DocId, f32)> {
        let hits = self.both().map(|collection| {
            let hits = collection.search(Query::text(query)).limit(usize::MAX).run().unwrap();
            let mut hits: Vec<_> = hits.iter().map(|hit| (hit.id.clone(), hit.score)).collect();
            // Equally good hits may be in any order.
            hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            hits
        });
        let [indexed, gone_through] = hits;
        assert_eq!(indexed, gone_through, "{query}");
        let counts = self.both().map(|collection| collection.count(Filter::text(query)).unwrap());
        assert_eq!(counts[0], counts[1], "{query}");
        indexed
    }

    /// Asserts that a query finds these documents, perhaps among others, and `first` first.
    #[track_caller]
    fn check(&self, query: &str, expected: &[&str], first: Option<&str>) {
        let hits = self.hits(query);
        for id in expected {
            assert!(hits.iter().any(|(hit, _)| *hit == DocId::from(*id)), "{query}: {id} is not among {hits:?}");
        }
        if let Some(first) = first {
            assert_eq!(hits[0].0, DocId::from(first), "{query}: {hits:?}");
            assert!(hits.len() < 2 || hits[0].1 > hits[1].1, "{query}: {hits:?}");
        }
    }

    /// Asserts that a query finds these documents and no others.
    #[track_caller]
    fn check_only(&self, query: &str, expected: &[&str]) {
        let mut hits: Vec<_> = self.hits(query).into_iter().map(|(id, _)| id.to_string()).collect();
        hits.sort_unstable();
        assert_eq!(hits, expected, "{query}");
    }
}

const ENGLISH: [(&str, &str); 5] = [
    ("a", "We use AI and ML to fix problems in the file system; the test is open."),
    ("b", "IT help desk: information on the home page of the web site."),
    ("c", "Go and JS: order number, value, index, computer, work"),
    ("d", "The Who played. To be or not to be."),
    ("e", "generalization of organizations, indexing twice"),
];

#[test]
fn every_english_word_is_found() {
    let shelf = Shelf::filled(of(Language::English), &ENGLISH);
    for (query, hits) in [
        ("AI", &["a"][..]),
        ("ML", &["a"]),
        ("fix problem", &["a"]),
        ("system", &["a"]),
        ("test", &["a"]),
        ("use", &["a"]),
        ("open", &["a"]),
        ("IT help", &["b"]),
        ("information", &["b"]),
        ("home page", &["b"]),
        ("web site", &["b"]),
        ("Go", &["c"]),
        ("JS", &["c"]),
        ("order number", &["c"]),
        ("value", &["c"]),
        ("work", &["c"]),
        ("the who", &["d"]),
        ("to be or not to be", &["d"]),
        ("\"to be or not to be\"", &["d"]),
        ("\"The Who\"", &["d"]),
        ("or", &["d"]),
        ("of", &["b", "e"]),
    ] {
        shelf.check(query, hits, None);
    }
    for (_, text) in ENGLISH {
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            assert!(!shelf.hits(word).is_empty(), "{word}");
        }
    }
    shelf.db.verify().unwrap();
}

#[test]
fn stop_words_of_a_query_find_nothing_beside_others() {
    let shelf = Shelf::filled(of(Language::English), &ENGLISH);
    for (query, hits) in [
        ("the system", &["a"][..]),
        ("what is the value of it", &["c"]),
        ("IT help", &["b"]),
        ("the", &["a", "b", "d"]),
        ("the to", &["a", "b", "d"]),
        ("the zebra", &[]),
        ("the \"who\"", &["d"]),
    ] {
        shelf.check_only(query, hits);
    }
    let whole = Shelf::filled(Analyzer::new().stem(Language::English), &ENGLISH);
    whole.check_only("the system", &["a", "b", "d"]);
}

#[test]
fn beginnings_are_found_with_stems() {
    let shelf = Shelf::filled(of(Language::English), &ENGLISH);
    for (query, hits, first) in [
        ("organiz*", &["e"][..], None),
        ("organizations*", &["e"], None),
        ("indexing*", &["c", "e"], Some("e")),
        ("index*", &["c", "e"], None),
        ("generali*", &["e"], None),
        ("informati*", &["b"], None),
        ("problems*", &["a"], None),
        ("the* whoever", &["a", "b", "d"], None),
        ("wh*", &["d"], None),
        ("comput* play*", &["c", "d"], None),
        ("indexed* organize*", &["c", "e"], Some("e")),
        ("INDEXING*, value", &["c", "e"], None),
    ] {
        shelf.check(query, hits, first);
    }
    shelf.check_only("organizing* -", &["e"]);
    shelf.check_only("organizationz*", &[]);
    shelf.check_only("zation*", &[]);
    let german = [("h", "Die Häuser am Ufer"), ("v", "Vereinigungen und Qualifizierungen"), ("k", "laufende Kosten")];
    let shelf = Shelf::filled(of(Language::German), &german);
    for (query, hits) in [
        ("häus*", "h"),
        ("haus*", "h"),
        ("vereinigungen*", "v"),
        ("qualifizierun*", "v"),
        ("laufend*", "k"),
        ("am", "h"),
    ] {
        shelf.check(query, &[hits], Some(hits));
    }
}

/// A form counts once, whether it is found by itself or by its stem.
#[test]
fn a_word_counts_once_for_a_beginning() {
    let shelf =
        Shelf::filled(of(Language::English), &[("one", "indexing x x"), ("two", "index x x"), ("none", "x x x")]);
    for query in ["index*", "indexing*", "inde*", "indexes*"] {
        let hits = shelf.hits(query);
        assert!(hits.len() == 2 && hits[0].1 == hits[1].1, "{query}: {hits:?}");
    }
    let hits = shelf.hits("indexi*");
    assert_eq!(hits.len(), 1, "{hits:?}");
}

const MANY_SCRIPTS: [(&str, &str); 10] = [
    ("desk", "a 24\" monitor stand for the desk"),
    ("ja", "ベクトルデータベースの検索"),
    ("ko", "데이터베이스에서 검색합니다"),
    ("zh", "我们在北京大学学习数据库系统"),
    ("zh-scattered", "大北京学数据很多，京大"),
    ("shy", "data\u{ad}base"),
    ("he", "שָׁלוֹם"),
    ("tr", "İSTANBUL"),
    ("fire", "🔥"),
    ("rust", "what does borrow mean in Rust"),
];

#[test]
fn every_script_is_found() {
    let shelf = Shelf::filled(Analyzer::new(), &MANY_SCRIPTS);
    for (query, hits, first) in [
        ("24\" monitor", &["desk"][..], None),
        ("24\" monitor arm", &["desk"], None),
        ("what does \"borrow mean", &["rust"], Some("rust")),
        ("データベース", &["ja"], None),
        ("ベクトル", &["ja"], None),
        ("検索", &["ja"], None),
        ("데이터베이스", &["ko"], None),
        ("검색", &["ko"], None),
        ("北京大学", &["zh", "zh-scattered"], Some("zh")),
        ("北", &["zh", "zh-scattered"], None),
        ("database", &["shy"], None),
        ("שלום", &["he"], None),
        ("istanbul", &["tr"], None),
        ("🔥", &["fire"], None),
    ] {
        shelf.check(query, hits, first);
    }
    shelf.db.verify().unwrap();
}

#[test]
fn scripts_without_spaces_are_found_by_pairs() {
    let documents = [
        ("zh", "我们在北京大学学习数据库系统"),
        ("zh-scattered", "大北京学数据很多，京大"),
        ("ja", "東京タワーでﾃﾞｰﾀを見る"),
        ("mixed", "AI模型与Rust语言2024年"),
        ("ko", "서울에서는 인공지능을 연구하고 있습니다"),
        ("th", "ภาษาไทยไม่มีช่องว่าง"),
        ("km", "ភាសាខ្មែរ"),
        ("my", "မြန်မာဘာသာ"),
        ("rare", "\u{20bb7}野家"),
    ];
    for analyzer in [Analyzer::new(), of(Language::English)] {
        let shelf = Shelf::filled(analyzer, &documents);
        for (query, hits) in [
            ("大学", &["zh"][..]),
            ("学习", &["zh"]),
            ("\"北京大学\"", &["zh"]),
            ("\"大北京\"", &["zh-scattered"]),
            ("\"北大\"", &[]),
            ("京大", &["zh", "zh-scattered"]),
            ("库系", &["zh"]),
            ("东京", &[]),
            ("東京", &["ja"]),
            ("タワー", &["ja"]),
            ("データ", &["ja"]),
            ("見る*", &["ja"]),
            ("模型", &["mixed"]),
            ("ai", &["mixed"]),
            ("rust*", &["mixed"]),
            ("2024", &["mixed"]),
            ("年", &["mixed"]),
            ("서울", &["ko"]),
            ("인공지능", &["ko"]),
            ("연구", &["ko"]),
            ("ภาษา", &["th"]),
            ("ช่องว่าง", &["th"]),
            ("ខ្មែរ", &["km"]),
            ("ဘာသာ", &["my"]),
            ("\u{20bb7}野", &["rare"]),
        ] {
            shelf.check_only(query, hits);
        }
        shelf.db.verify().unwrap();
    }
}

#[test]
fn what_looks_alike_is_found() {
    let documents = [
        ("ar", "مُحَمَّدٌ وَالكِتَـــابُ"),
        ("fa", "می\u{200c}خواهم"),
        ("he", "צה\"ל בְּרֵאשִׁית"),
        ("ru", "ста\u{301}рый за\u{301}мок, Ёлка Йод"),
        ("el", "ΟΔΟΣ Αθηνών"),
        ("fr", "l’École n’est pas fermée"),
        ("latin", "\u{feff}ﬁne Ｗｉｄｅ na\u{ef}ve cafe\u{301} co\u{ad}operate x\u{304}"),
        ("emoji", "👍🏽 ❤\u{fe0f} 👩\u{200d}💻 🇩🇪 1\u{fe0f}\u{20e3}"),
    ];
    let shelf = Shelf::filled(Analyzer::new(), &documents);
    for (query, hit) in [
        ("محمد", "ar"),
        ("مُحَمَّد", "ar"),
        ("والكتاب", "ar"),
        ("میخواهم", "fa"),
        ("בראשית", "he"),
        ("צה\"ל", "he"),
        ("замок", "ru"),
        ("СТАРЫЙ", "ru"),
        ("ёлка", "ru"),
        ("йод", "ru"),
        ("οδος", "el"),
        ("οδοσ*", "el"),
        ("l'école", "fr"),
        ("N'EST", "fr"),
        ("fine", "latin"),
        ("wide", "latin"),
        ("naïve", "latin"),
        ("café", "latin"),
        ("cooperate", "latin"),
        ("x", "latin"),
        ("👍", "emoji"),
        ("❤", "emoji"),
        ("💻", "emoji"),
        ("👩\u{200d}💻", "emoji"),
        ("🇩🇪", "emoji"),
        ("1", "emoji"),
    ] {
        shelf.check_only(query, &[hit]);
    }
    shelf.check_only("cafe", &[]);
    shelf.check_only("иод", &[]);
    shelf.check_only("🇫🇷", &[]);
}

#[test]
fn words_after_an_apostrophe_are_found() {
    let french = [("h", "L’homme qui rit"), ("a", "aujourd'hui"), ("e", "d'une école")];
    let shelf = Shelf::filled(of(Language::French), &french);
    for (query, hit) in [("homme", "h"), ("hommes", "h"), ("l'homme", "h"), ("école", "e"), ("aujourd’hui", "a")] {
        shelf.check_only(query, &[hit]);
    }
    let shelf = Shelf::filled(of(Language::Italian), &[("u", "dell'università"), ("a", "un amico")]);
    shelf.check_only("università", &["u"]);
}

#[test]
fn a_quotation_mark_without_a_counterpart_is_punctuation() {
    let documents =
        [("desk", "a 24\" monitor, or a 27\" one"), ("quote", "she said \"never mind\" and left"), ("rest", "mind")];
    let shelf = Shelf::filled(Analyzer::new(), &documents);
    for (query, hits) in [
        ("24\" monitor", &["desk"][..]),
        ("24\" or 27\" monitor", &["desk"]),
        ("monitor 27\"", &["desk"]),
        ("\"never mind\"", &["quote"]),
        ("\"never mind", &["quote", "rest"]),
        ("never mind\"", &["quote", "rest"]),
        ("\"mind never\"", &[]),
        ("27\" \"never mind\"", &["quote"]),
        ("\"", &[]),
    ] {
        shelf.check_only(query, hits);
    }
}

#[test]
fn documents_of_one_character_are_as_long_as_their_characters() {
    // Pairs do not make a document longer: both documents have two words, one of which is searched
    // for.
    let shelf = Shelf::filled(Analyzer::new(), &[("pair", "日本"), ("words", "one two"), ("third", "three four")]);
    let score = |query: &str| shelf.hits(query)[0].1;
    assert_eq!(score("日本"), score("one"));
}

/// Pieces of text with special meanings: stems, stop words, scripts, quotation marks.
const PIECES: [&str; 28] = [
    "the",
    "of",
    "It",
    "index",
    "indexes",
    "indexing",
    "organ",
    "organizations",
    "organize",
    "AI",
    "help",
    "helping",
    "北京",
    "大学",
    "北",
    "京大学",
    "データ",
    "ベース",
    "검색",
    "합니다",
    "🔥",
    "שָׁלוֹם",
    "naïve",
    "don’t",
    "24\"",
    "x",
    "l'index",
    "C语言",
];

fn text(rng: &mut StdRng, most: usize) -> String {
    let mut text = String::new();
    for _ in 0..rng.random_range(0..=most) {
        text += PIECES[(rng.random_range(0.0..1.0_f64).powi(2) * PIECES.len() as f64) as usize];
        text += ["", " ", " ", " ", ", ", "。", "\u{ad}"][rng.random_range(0..7)];
    }
    text
}

fn query(rng: &mut StdRng) -> String {
    let mut query = String::new();
    for _ in 0..rng.random_range(1..4) {
        let piece = text(rng, 2);
        query += &match rng.random_range(0..5) {
            0 => format!("\"{piece}\" "),
            1 => format!("{}* ", piece.trim()),
            2 => format!("\"{piece}"),
            _ => format!("{piece} "),
        };
    }
    query
}

#[test]
fn an_index_says_what_going_through_documents_does() {
    for (salt, analyzer) in
        [of(Language::English), Analyzer::new(), Analyzer::new().stem(Language::French)].into_iter().enumerate()
    {
        let mut rng = random(seed() + salt as u64);
        let shelf = Shelf::new(analyzer);
        let mut n_hits = BTreeMap::<bool, usize>::new();
        for round in 0..30 {
            for _ in 0..20 {
                let id = rng.random_range(0..150u64);
                if rng.random_bool(0.2) {
                    for collection in shelf.both() {
                        _ = collection.delete(id).unwrap();
                    }
                    continue;
                }
                let (title, text, n) = (text(&mut rng, 3), text(&mut rng, 25), rng.random_range(0..3));
                for collection in shelf.both() {
                    let metadata = json!({"title": title, "n": n});
                    collection.upsert(Document::new([1.0]).id(id).text(text.clone()).metadata(metadata)).unwrap();
                }
            }
            for _ in 0..25 {
                let query = query(&mut rng);
                *n_hits.entry(shelf.hits(&query).is_empty()).or_default() += 1;
                let found = shelf.both().map(|collection| {
                    let hits =
                        collection.search(Query::text(&query)).filter(field("n").eq(1)).limit(500).run().unwrap();
                    let mut ids: Vec<_> = hits.iter().map(|hit| hit.id.clone()).collect();
                    ids.sort();
                    ids
                });
                assert_eq!(found[0], found[1], "{query}");
            }
            if round % 10 == 9 {
                shelf.db.verify().unwrap();
                shelf.indexed.rebuild_index().unwrap();
                shelf.db.verify().unwrap();
            }
        }
        assert!(n_hits.values().all(|n| *n > 20), "{n_hits:?}");
    }
}
