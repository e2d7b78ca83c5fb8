//! Searches in words find the right documents with their BM25 scores, in each state of the word
//! index.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng};
use serde_json::{Value as Json, json};
use vectrove::{
    Analyzer, Collection, CollectionConfig, Database, DocId, Document, Filter, Fusion, Language, Query, Strategy,
    Update, field,
};

use common::{check_error, database, quick, random, seed};

/// Words of very different frequency, some of which begin alike.
const WORDS: [&str; 12] =
    ["the", "a", "rust", "rusty", "index", "indexes", "borrow", "lifetime", "zebra", "naïve", "größe", "qualifiziert"];

fn words(rng: &mut StdRng, n: usize) -> String {
    let word = |rng: &mut StdRng| {
        let at = (rng.random_range(0.0..1.0_f64).powi(3) * WORDS.len() as f64) as usize;
        let word = WORDS[at];
        if rng.random_bool(0.2) { word.to_uppercase() } else { word.to_owned() }
    };
    let mut text = String::new();
    for _ in 0..n {
        text += &word(rng);
        text += [" ", ", ", ". ", "-", "\n"][rng.random_range(0..5)];
    }
    text
}

/// A document of the twin: its texts, and a number to filter by.
#[derive(Clone, Default)]
struct Twin {
    text: Option<String>,
    title: Vec<String>,
    n: u64,
}

impl Twin {
    fn random(rng: &mut StdRng) -> Self {
        let length = [0, 3, 20, 90][rng.random_range(0..4)];
        Twin {
            text: rng.random_bool(0.8).then(|| words(rng, length)),
            title: (0..rng.random_range(0..3)).map(|_| words(rng, 3)).collect(),
            n: rng.random_range(0..10),
        }
    }

    fn metadata(&self) -> Json {
        match self.title.as_slice() {
            [] => json!({ "n": self.n }),
            [one] => json!({ "n": self.n, "info": { "title": one } }),
            many => json!({ "n": self.n, "info": { "title": many } }),
        }
    }

    fn document(&self, id: u64) -> Document {
        self.document_at(id, [id as f32 + 1.0, 1.0])
    }

    fn document_at(&self, id: u64, vector: [f32; 2]) -> Document {
        let document = Document::new(vector).id(id).metadata(self.metadata());
        match &self.text {
            Some(text) => document.text(text.clone()),
            None => document,
        }
    }

    /// The words of each of its texts.
    fn texts(&self) -> Vec<Vec<String>> {
        self.text.iter().chain(&self.title).map(|text| split(text)).collect()
    }
}

fn split(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// A query of the twin: single words, beginnings and phrases.
struct Asked {
    text: &'static str,
    words: &'static [&'static str],
    beginnings: &'static [&'static str],
    phrases: &'static [&'static [&'static str]],
}

const ASKED: [Asked; 9] = [
    Asked { text: "zebra", words: &["zebra"], beginnings: &[], phrases: &[] },
    Asked { text: "The RUST borrow", words: &["the", "rust", "borrow"], beginnings: &[], phrases: &[] },
    Asked { text: "lifetime lifetime a", words: &["lifetime", "lifetime", "a"], beginnings: &[], phrases: &[] },
    Asked { text: "naïve, GRÖSSE größe", words: &["naïve", "grösse", "größe"], beginnings: &[], phrases: &[] },
    Asked { text: "index*", words: &[], beginnings: &["index"], phrases: &[] },
    Asked { text: "rus* zebra", words: &["zebra"], beginnings: &["rus"], phrases: &[] },
    Asked { text: "\"the rust\"", words: &[], beginnings: &[], phrases: &[&["the", "rust"]] },
    Asked { text: "\"a the\" borrow", words: &["borrow"], beginnings: &[], phrases: &[&["a", "the"]] },
    Asked { text: "nowhere", words: &["nowhere"], beginnings: &[], phrases: &[] },
];

type World = BTreeMap<u64, Twin>;

fn has_phrase(twin: &Twin, phrase: &[&str]) -> bool {
    twin.texts().iter().any(|words| words.windows(phrase.len()).any(|window| window == phrase))
}

/// The score of every document that has some of the words and all of the phrases.
fn scores(world: &World, asked: &Asked, k1: f64, b: f64) -> Vec<(u64, f64)> {
    let bags: Vec<(u64, Vec<String>)> = world.iter().map(|(id, twin)| (*id, twin.texts().concat())).collect();
    let bags: Vec<_> = bags.into_iter().filter(|(_, words)| !words.is_empty()).collect();
    let average = bags.iter().map(|(_, words)| words.len() as f64).sum::<f64>() / bags.len() as f64;
    type Test<'t> = Box<dyn Fn(&str) -> bool + 't>;
    let exact = |word: &&'static str| -> Test<'static> {
        let word = *word;
        Box::new(move |other| other == word)
    };
    let mut tests: Vec<Test<'_>> = asked.words.iter().map(exact).collect();
    tests.extend(asked.phrases.iter().copied().flatten().map(exact));
    for beginning in asked.beginnings {
        tests.push(Box::new(move |word| word.starts_with(beginning)));
    }
    let count = |words: &[String], test: &Test<'_>| words.iter().filter(|word| test(word)).count() as f64;
    let mut scored = Vec::new();
    for (id, words) in &bags {
        let mut score = 0.0;
        for test in &tests {
            let n = bags.iter().filter(|(_, words)| count(words, test) > 0.0).count() as f64;
            let t = count(words, test);
            let rarity = (1.0 + (bags.len() as f64 - n + 0.5) / (n + 0.5)).ln();
            score += rarity * t / (t + k1 * (1.0 - b + b * words.len() as f64 / average));
        }
        if score > 0.0 && asked.phrases.iter().all(|phrase| has_phrase(&world[id], phrase)) {
            scored.push((*id, score));
        }
    }
    scored.sort_by(|a, b| b.1.total_cmp(&a.1));
    scored
}

/// Whether a document has all parts of the query.
fn has_all(twin: &Twin, asked: &Asked) -> bool {
    let has = |test: &dyn Fn(&String) -> bool| twin.texts().iter().flatten().any(test);
    asked.words.iter().all(|wanted| has(&|word| word == wanted))
        && asked.beginnings.iter().all(|wanted| has(&|word| word.starts_with(wanted)))
        && asked.phrases.iter().all(|phrase| has_phrase(twin, phrase))
}

fn number(id: &DocId) -> u64 {
    id.to_string().parse().unwrap()
}

/// Compares searches and filters in words with a scan of all documents.
fn check_all(collection: &Collection, world: &World) {
    for asked in &ASKED {
        for (k1, b) in [(1.2, 0.75), (2.0, 0.0)] {
            let expected = scores(world, asked, k1, b);
            for limit in [3, usize::MAX] {
                let search = collection.search(Query::text(asked.text)).bm25(k1 as f32, b as f32).limit(limit);
                check_hits(&search.run().unwrap(), &expected, limit, asked.text);
            }
        }
        let filtered: Vec<_> = scores(world, asked, 1.2, 0.75).into_iter().filter(|(id, _)| world[id].n < 3).collect();
        let hits = collection.search(Query::text(asked.text)).filter(field("n").lt(3)).limit(5).run().unwrap();
        check_hits(&hits, &filtered, 5, asked.text);

        let expected: Vec<DocId> =
            world.iter().filter(|(_, twin)| has_all(twin, asked)).map(|(id, _)| DocId::from(*id)).collect();
        let filter = Filter::from_json(&json!({ "$text": asked.text })).unwrap();
        assert_eq!(filter.to_json(), json!({ "$text": asked.text }));
        assert_eq!(collection.count(filter.clone()).unwrap(), expected.len(), "{}", asked.text);
        let page = collection.scroll().filter(filter.clone()).limit(usize::MAX).run().unwrap();
        assert_eq!(page.documents.into_iter().map(|document| document.id).collect::<Vec<_>>(), expected);
        let others = collection.count(!filter.clone()).unwrap();
        assert_eq!(others, world.len() - expected.len());
        let hits = collection.search([1.0, 1.0]).filter(filter.and(field("n").ne(5))).limit(usize::MAX).run().unwrap();
        assert_eq!(hits.len(), expected.iter().filter(|id| world[&number(id)].n != 5).count(), "{}", asked.text);
    }
}

#[track_caller]
fn check_hits(hits: &vectrove::Hits, expected: &[(u64, f64)], limit: usize, text: &str) {
    assert_eq!(hits.stats.strategy, Strategy::Words);
    assert_eq!(hits.len(), expected.len().min(limit), "{text}");
    let by_id: BTreeMap<u64, f64> = expected.iter().copied().collect();
    for (hit, (_, score)) in hits.iter().zip(expected) {
        assert!((f64::from(hit.score) - score).abs() < 1e-4, "{text}: {} instead of {score}", hit.score);
        let own = by_id[&number(&hit.id)];
        assert!(
            (f64::from(hit.score) - own).abs() < 1e-4,
            "{text}: document {}: {} instead of {own}",
            hit.id,
            hit.score
        );
        assert!(hit.distance.is_infinite());
    }
}

/// Makes random changes to the collection and the twin, several in a batch.
fn change(rng: &mut StdRng, collection: &Collection, world: &mut World, n_changes: usize) {
    for _ in 0..n_changes {
        let id = rng.random_range(0..400);
        match rng.random_range(0..10) {
            0..=4 => {
                let twin = Twin::random(rng);
                collection.upsert(twin.document(id)).unwrap();
                world.insert(id, twin);
            }
            5 => {
                _ = collection.delete(id).unwrap();
                world.remove(&id);
            }
            6 => {
                let some: Vec<(u64, Twin)> = (0..20).map(|n| (id + n, Twin::random(rng))).collect();
                collection.upsert_many(some.iter().map(|(id, twin)| twin.document(*id))).unwrap();
                world.extend(some);
            }
            7 => {
                if let Some(twin) = world.get_mut(&id) {
                    let text = words(rng, 7);
                    collection.update(Update::new(id).text(text.clone())).unwrap();
                    twin.text = Some(text);
                }
            }
            8 => {
                if let Some(twin) = world.get_mut(&id) {
                    twin.title = vec![words(rng, 4)];
                    collection.update(Update::new(id).replace(twin.metadata())).unwrap();
                }
            }
            _ => {
                if let Some(twin) = world.get_mut(&id) {
                    twin.text = None;
                    collection.update(Update::new(id).remove_text().vector([id as f32 + 1.0, 2.0])).unwrap();
                }
            }
        }
    }
}

#[test]
fn words_are_found_whatever_changed() {
    let (mut rng, folder) = (random(seed()), common::folder());
    let path = folder.path().join("db");
    let mut db = Database::open_with(&path, quick()).unwrap();
    let config = CollectionConfig::new(2).text_field("info.title");
    let mut collection = db.create_collection("c", config).unwrap();
    let mut world = World::new();
    check_all(&collection, &world);
    for round in 0..8 {
        change(&mut rng, &collection, &mut world, 150);
        check_all(&collection, &world);
        db.verify().unwrap();
        match round % 4 {
            1 => {
                drop(collection);
                db.close().unwrap();
                db = Database::open_with(&path, quick()).unwrap();
                collection = db.collection("c").unwrap();
                check_all(&collection, &world);
            }
            3 => {
                collection.rebuild_index().unwrap();
                db.verify().unwrap();
                check_all(&collection, &world);
            }
            _ => {}
        }
    }
}

#[test]
fn words_are_found_while_they_are_indexed_and_without_an_index() {
    let mut rng = random(seed() + 1);
    for config in [CollectionConfig::new(2), CollectionConfig::new(2).no_text()] {
        let (_folder, db) = database();
        let collection = db.create_collection("c", config.text_field("info.title")).unwrap();
        let mut world: World = (0..600).map(|id| (id, Twin::random(&mut rng))).collect();
        collection.insert_many(world.iter().map(|(id, twin)| twin.document(*id))).unwrap();
        let mut other = random(seed() + 2);
        std::thread::scope(|scope| {
            let rebuilding = scope.spawn(|| collection.rebuild_index().unwrap());
            change(&mut other, &collection, &mut world, 40);
            check_all(&collection, &world);
            rebuilding.join().unwrap();
        });
        check_all(&collection, &world);
        db.verify().unwrap();
    }
}

#[test]
fn frequent_words_do_not_have_everything_scored() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    let mut rng = random(seed() + 3);
    let document = |n: u64| {
        let rare = if n.is_multiple_of(300) { "zebra" } else { "" };
        let n_words = rng.random_range(5..60);
        let text: Vec<&str> = (0..n_words).map(|_| WORDS[rng.random_range(0..2)]).collect();
        Document::new([1.0, 1.0]).id(n).text(text.join(" ") + " " + rare)
    };
    collection.insert_many((0..20_000).map(document)).unwrap();
    let hits = collection.search(Query::text("the a zebra")).limit(10).run().unwrap();
    assert!(hits.len() == 10 && hits.stats.n_visited < 10_000, "{:?}", hits.stats);
}

#[test]
fn namespaces_have_their_own_words() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
    for (name, text) in [("one", "rust"), ("two", "rust and zebra"), ("three", "nothing")] {
        collection.namespace(name).unwrap().insert(Document::new([1.0]).id("x").text(text)).unwrap();
    }
    let n_hits = |name: &str, text: &str| {
        let namespace = collection.namespace(name).unwrap();
        let n_hits = namespace.search(Query::text(text)).run().unwrap().len();
        assert_eq!(namespace.count(Filter::text(text)).unwrap(), n_hits);
        n_hits
    };
    assert_eq!((n_hits("one", "rust"), n_hits("one", "zebra"), n_hits("two", "zebra")), (1, 0, 1));
    assert_eq!((n_hits("three", "rust"), n_hits("never", "rust")), (0, 0));
    assert_eq!(collection.search(Query::text("rust")).run().unwrap().len(), 0);
}

#[test]
fn both_sides_make_one_answer() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    let mut rng = random(seed() + 4);
    let twins: World = (0..500).map(|id| (id, Twin::random(&mut rng))).collect();
    let vector = |id: u64| [(id as f32 * 0.7).sin(), (id as f32 * 0.7).cos()];
    collection.insert_many(twins.iter().map(|(id, twin)| twin.document_at(*id, vector(*id)))).unwrap();
    let (query, text) = ([0.6, 0.8], "rust zebra");
    for filter in [Filter::everything(), field("n").gt(4)] {
        let near = collection.search(query).filter(filter.clone()).limit(100).run().unwrap();
        let named = collection.search(Query::text(text)).filter(filter.clone()).limit(100).run().unwrap();
        let rank = |hits: &vectrove::Hits, id: &DocId| hits.iter().position(|hit| hit.id == *id).map(|at| at + 1);
        let search = || collection.search(query).text(text).filter(filter.clone());
        let fused = search().fusion(Fusion::rrf().k(10.0).weights(2.0, 1.0).candidates(100)).limit(20).run().unwrap();
        assert_eq!(fused.len(), 20);
        assert!(fused.is_sorted_by(|a, b| a.score >= b.score));
        for hit in &fused {
            let parts = hit.parts.unwrap();
            assert_eq!((parts.vector.rank, parts.text.rank), (rank(&near, &hit.id), rank(&named, &hit.id)));
            let share = |rank: Option<usize>, weight: f32| rank.map_or(0.0, |rank| weight / (10.0 + rank as f32));
            let expected = share(parts.vector.rank, 2.0) + share(parts.text.rank, 1.0);
            assert!((hit.score - expected).abs() < 1e-6, "{hit:?}");
            assert!((hit.distance - (1.0 - parts.vector.score)).abs() < 1e-4, "{hit:?}");
            let own = vector(number(&hit.id));
            assert!((parts.vector.score - (own[0] * query[0] + own[1] * query[1])).abs() < 1e-3, "{hit:?}");
        }
        let by_scores = search().fusion(Fusion::scores().weights(0.0, 1.0)).limit(10).run().unwrap();
        let scores = |hits: &vectrove::Hits| {
            hits.iter().map(|hit| hit.parts.map_or(hit.score, |parts| parts.text.score)).collect::<Vec<_>>()
        };
        assert_eq!(scores(&by_scores), scores(&named)[..10]);
        assert!((by_scores[0].score - 1.0).abs() < 1e-6);
        let near_only = search().fusion(Fusion::scores().weights(1.0, 0.0)).limit(10).run().unwrap();
        assert_eq!(near_only[0].id, near[0].id);
        let bounded = search().max_distance(0.1).limit(200).run().unwrap();
        assert!(!bounded.is_empty() && bounded.iter().all(|hit| hit.distance <= 0.1));
        assert_eq!(search().min_score(2.0).run().unwrap().len(), 0);
    }
    let many = collection.search_many([Query::text("rust"), Query::from(query), Query::from(query).with_text("a")]);
    let answers = many.run().unwrap();
    assert_eq!(answers.iter().map(|hits| hits[0].parts.is_some()).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn languages_are_taken_apart_by_their_rules() {
    let (_folder, db) = database();
    let english = Analyzer::new().stem(Language::English).stop_words(Language::English);
    let collection = db.create_collection("c", CollectionConfig::new(1).analyzer(english)).unwrap();
    collection.insert(Document::new([1.0]).text("The indexes were being built")).unwrap();
    let n_hits = |text: &str| collection.search(Query::text(text)).run().unwrap().len();
    assert_eq!(
        ["indexing", "the", "build", "built", "\"index built\"", "INDEX*", "were"].map(n_hits),
        [1, 1, 0, 1, 1, 1, 1]
    );
    assert_eq!(collection.config().analyzer, english);
    let other = CollectionConfig::new(1);
    check_error(db.get_or_create_collection("c", other), "ConfigConflict");
}

#[test]
fn hostile_words_are_refused_or_answered() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(1)).unwrap();
    let long = "x".repeat(100_000);
    let many: String = (0..30_000).map(|n| format!("w{n} ")).collect();
    for (n, text) in [&*long, &many, "\0\u{200b}", "", "\"\"\"", "a\u{301}"].into_iter().enumerate() {
        collection.insert(Document::new([1.0]).id(n as u64).text(text)).unwrap();
    }
    db.verify().unwrap();
    let n_hits = |text: &str| collection.search(Query::text(text)).limit(100).run().unwrap().len();
    assert_eq!(
        ["", "\"", "***", "w29999", "w2999*", &long[..70], "á", "w1 w2 \"w1 w2\""].map(n_hits),
        [0, 0, 0, 1, 1, 1, 1, 1]
    );
    let too_long = "x ".repeat(40_000);
    check_error(collection.search(Query::text(&too_long)).run(), "LimitExceeded");
    check_error(collection.search([1.0]).filter(Filter::text(&too_long)).run(), "LimitExceeded");
    check_error(collection.search_many([Query::text("a"), Query::text(too_long)]).run(), "1 LimitExceeded");
    for text in ["a OR b", "a AND", "-a", "a:b", "(a", "a^2", "w1~", "[1 TO 2]", "\\", "%"] {
        _ = collection.search(Query::text(text)).run().unwrap();
    }
    check_error(collection.search(Query::text("a")).mmr(0.5, 10).run(), "InvalidConfig");
    check_error(collection.search(Query::text("a")).max_distance(0.5).run(), "InvalidConfig");
    check_error(collection.search(Query::text("a")).bm25(-1.0, 0.5).run(), "InvalidConfig");
    check_error(collection.search(Query::text("a")).bm25(1.0, f32::NAN).run(), "InvalidConfig");
    check_error(collection.search([1.0]).text("a").fusion(Fusion::rrf().k(f32::NAN)).run(), "InvalidConfig");
    check_error(collection.search([1.0]).text("a").fusion(Fusion::scores().weights(-1.0, 0.0)).run(), "InvalidConfig");
    check_error(collection.search([1.0]).text("a").fusion(Fusion::scores().candidates(0)).run(), "InvalidConfig");
    assert_eq!(collection.search([1.0]).text("a").fusion(Fusion::rrf().k(0.0)).run().unwrap().len(), 6);
    let refused = Filter::from_json(&json!({ "$text": 5 }));
    assert!(refused.unwrap_err().to_string().contains("expected a string"));
    check_error(db.create_collection("d", CollectionConfig::new(1).text_field("")), "InvalidConfig");
    let fields = (0..65).fold(CollectionConfig::new(1), |config, n| config.text_field(format!("f{n}")));
    check_error(db.create_collection("d", fields), "InvalidConfig");
}
