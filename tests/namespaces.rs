//! Namespaces are independent: no verb shows, counts or changes documents of another one. The
//! namespace may be the only one with documents, one of several, empty, emptied, dropped or never
//! used.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::database;
use serde_json::json;
use vectrove::{
    Boost, Collection, CollectionConfig, Document, Error, Filter, Hits, Namespace, Query, Schema, Search, Snapshot,
    Strategy, Type, Update, field,
};

/// Documents of each namespace with documents: too many for a scan without a choice, so that graphs
/// are searched too.
const N: usize = 90;
/// Components of a vector: enough for codes of two planes and for sketches.
const DIMENSION: usize = 256;

/// The state of a namespace before the questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Inhabited,
    /// It had documents, and all were deleted one by one.
    Emptied,
    /// It had documents, and was dropped.
    Dropped,
    NeverUsed,
}

const STATES: [State; 4] = [State::Inhabited, State::Emptied, State::Dropped, State::NeverUsed];
/// The default namespace has no name.
const NAMES: [&str; 2] = ["", "asked"];
/// Other namespaces with documents. With none or one of them, at most one namespace of the
/// collection has documents.
const OTHERS: [&[&str]; 3] = [&[], &["other"], &["other", "another"]];

/// A namespace now, or in a snapshot.
enum Place {
    Now(Namespace),
    Then(Snapshot),
}

macro_rules! ask {
    ($place:expr, $verb:ident($($argument:expr),*)) => {
        match $place {
            Place::Now(namespace) => namespace.$verb($($argument),*),
            Place::Then(snapshot) => snapshot.$verb($($argument),*),
        }
    };
}

fn namespace(collection: &Collection, name: &str) -> Namespace {
    if name.is_empty() { (**collection).clone() } else { collection.namespace(name).unwrap() }
}

/// The mark in each part of a namespace's documents. It is not a part of another's mark.
fn mark(name: &str) -> String {
    format!("mark-of-{}.", if name.is_empty() { "default" } else { name })
}

fn vector(n: usize) -> Vec<f32> {
    (0..DIMENSION).map(|at| ((n * 31 + at * 17) % 97) as f32 / 97.0 - 0.5).collect()
}

fn documents(name: &str) -> impl Iterator<Item = Document> {
    let (mark, name) = (mark(name), name.to_owned());
    (0..N).map(move |n| {
        let metadata = json!({
            "owner": mark, "parity": n % 2, "n": n, "bare": format!("{name}{n}"), "at": "2026-01-01T00:00:00Z",
            // More values than are indexed of one document.
            "many": (0..if n == 0 { 2_000 } else { 0 }).collect::<Vec<u32>>(),
        });
        Document::new(vector(n)).id(format!("{mark}{n}")).metadata(metadata).text(format!("common {mark} number{n}"))
    })
}

/// A question, and the number of the namespace's documents that its answer must name, if it has
/// them all.
type Question = (&'static str, usize, fn(&Place) -> String);

fn hits(search: Search) -> String {
    let found: Hits = search.run().unwrap();
    format!("{:?} {:?}", found.items, found.explanation.map(|explanation| explanation.filter))
}

fn near(place: &Place) -> Search {
    ask!(place, search(vector(3))).limit(2 * N).explain(true)
}

fn words(place: &Place) -> Search {
    ask!(place, search(Query::text("common"))).limit(2 * N).explain(true)
}

fn even() -> Filter {
    field("parity").eq(0)
}

/// Questions for each verb that reads.
const QUESTIONS: &[Question] = &[
    ("near", N, |place| hits(near(place))),
    ("exact", N, |place| hits(near(place).exact(true))),
    ("by the graph", N, |place| hits(near(place).strategy(Strategy::Graph))),
    ("by codes", N / 2, |place| hits(near(place).strategy(Strategy::Codes).filter(even()))),
    ("filtered", N / 2, |place| hits(near(place).filter(even()))),
    ("filtered by what is not indexed", N / 2, |place| {
        hits(near(place).filter(field("hidden").exists(false) & even()))
    }),
    ("filtered by a negation", N / 2, |place| hits(near(place).filter(!even()))),
    ("filtered by the graph", N / 2, |place| hits(near(place).strategy(Strategy::Graph).filter(!even()))),
    ("filtered, in doubt", 1, |place| hits(near(place).filter(field("many").eq(1_999)))),
    ("grouped", N, |place| hits(near(place).group_by("parity", N))),
    ("grouped, one of each", 2, |place| hits(near(place).group_by("parity", 1))),
    ("grouped and filtered", N / 2, |place| hits(near(place).filter(!even()).group_by("bare", 1))),
    ("unlike each other", N, |place| hits(near(place).mmr(0.5, 4 * N))),
    ("boosted", N, |place| hits(near(place).boost(Boost::when(even())).boost(Boost::field("n")))),
    ("decayed", N, |place| hits(near(place).boost(Boost::decay("at", Duration::from_secs(3_600))))),
    ("bare", N, |place| hits(near(place).with_document(false))),
    ("far", N, |place| hits(near(place).max_distance(1e9).min_score(-1e9))),
    ("words", N, |place| hits(words(place))),
    ("words, filtered", N / 2, |place| hits(words(place).filter(even()))),
    ("words, grouped", N, |place| hits(words(place).group_by("n", 1))),
    ("phrase", N, |place| hits(ask!(place, search(Query::text("\"common mark\""))).limit(2 * N))),
    ("beginning", N, |place| hits(ask!(place, search(Query::text("numb*"))).limit(2 * N))),
    ("both", N, |place| hits(near(place).text("common"))),
    ("both, grouped", N, |place| hits(near(place).text("common").group_by("n", 1))),
    ("many", 2 * N, |place| {
        let found = ask!(place, search_many([vector(1), vector(2)])).limit(2 * N).run().unwrap();
        found.iter().map(|hits| format!("{:?}", hits.items)).collect()
    }),
    ("recommended", N, |place| {
        hits(ask!(place, search(Query::recommend([vector(1)]).negative([vector(2)]))).limit(2 * N))
    }),
    ("scroll", N, |place| format!("{:?}", ask!(place, scroll()).limit(2 * N).run().unwrap().documents)),
    ("scroll, filtered", N / 2, |place| {
        format!("{:?}", ask!(place, scroll()).filter(!even()).limit(2 * N).run().unwrap().documents)
    }),
    ("scroll in order", N, |place| {
        format!("{:?}", ask!(place, scroll()).order_by("n").descending().limit(2 * N).run().unwrap().documents)
    }),
    ("sample", N, |place| format!("{:?}", ask!(place, sample(2 * N)).run().unwrap())),
    ("sample, filtered", N / 2, |place| format!("{:?}", ask!(place, sample(2 * N)).filter(!even()).run().unwrap())),
    ("facet", N, |place| format!("{:?}", ask!(place, facet("owner")).run().unwrap())),
    ("facet, filtered", N / 2, |place| format!("{:?}", ask!(place, facet("owner")).filter(!even()).run().unwrap())),
];

/// How often a namespace's mark is in an answer: a document is named in many ways, and a facet
/// counts.
fn count_in(answer: &str, name: &str) -> usize {
    let counted = answer.split_once("n_documents: ").and_then(|(_, rest)| rest.split([' ', '}']).next()?.parse().ok());
    let ids = answer.matches(&format!("id: Str(\"{}", mark(name))).count();
    counted.filter(|_| answer.contains(&mark(name))).unwrap_or(ids)
}

fn check_reads(place: &Place, name: &str, state: State, others: &[&str], what: &str) {
    let is_inhabited = state == State::Inhabited;
    for (question, n_expected, ask) in QUESTIONS {
        let (answer, what) = (ask(place), format!("{what}: {question}"));
        let n_expected = if is_inhabited { *n_expected } else { 0 };
        assert_eq!(count_in(&answer, name), n_expected, "{what}: {answer:.2000}");
        for other in others.iter().chain(&NAMES).filter(|other| **other != name) {
            assert!(!answer.contains(&mark(other)), "{what} shows what is of {other:?}: {answer:.2000}");
        }
    }
    let counts = [None, Some(even()), Some(!even()), Some(field("owner").exists(false)), Some(field("many").eq(1_999))];
    let n = if is_inhabited { N } else { 0 };
    let expected = [n, n / 2, n / 2, 0, usize::from(is_inhabited)];
    assert_eq!(counts.map(|filter| ask!(place, count(filter)).unwrap()), expected, "{what}: count");
    for other in others.iter().chain(&NAMES).filter(|other| **other != name) {
        let id = format!("{}0", mark(other));
        assert!(ask!(place, get(id.as_str())).unwrap().is_none(), "{what}: get of {other:?}");
        assert!(!ask!(place, contains(id.as_str())).unwrap(), "{what}: contains of {other:?}");
        assert_eq!(ask!(place, get_many([id.as_str()])).unwrap(), [None], "{what}: get_many of {other:?}");
        let error = ask!(place, search(Query::like(id.as_str()))).run().unwrap_err();
        assert!(matches!(error, Error::DocumentNotFound { .. }), "{what}: like of {other:?}: {error}");
    }
    let own = format!("{}7", mark(name));
    assert_eq!(ask!(place, contains(own.as_str())).unwrap(), is_inhabited, "{what}");
    if is_inhabited {
        let like = hits(ask!(place, search(Query::like(own.as_str()))).limit(2 * N));
        assert_eq!(count_in(&like, name), N - 1, "{what}: like");
    }
}

/// Writes through a namespace with ids of others, and asserts that these do not change.
fn check_writes(collection: &Collection, asked: &Namespace, others: &[&str], what: &str) {
    let everything = |name: &str| namespace(collection, name).scroll().with_vector(true).limit(2 * N).run().unwrap();
    let before: Vec<_> = others.iter().map(|name| everything(name).documents).collect();
    for other in others {
        let id = format!("{}0", mark(other));
        assert_eq!(asked.delete(id.as_str()).unwrap().n_changed, 0, "{what}");
        assert!(asked.update(Update::new(id.as_str()).merge(json!({"n": -1}))).is_err(), "{what}");
        asked.upsert(Document::new(vector(0)).id(id.as_str()).metadata(json!({"n": -1}))).unwrap();
        assert_eq!(asked.delete_where(field("owner").eq(mark(other))).unwrap().n_changed, 0, "{what}");
    }
    asked.delete_where(Filter::everything()).unwrap();
    assert_eq!(asked.count(None).unwrap(), 0, "{what}");
    let after: Vec<_> = others.iter().map(|name| everything(name).documents).collect();
    assert_eq!(before, after, "{what}");
}

fn check(name: &str, state: State, others: &[&str], linked: bool) {
    let what = format!("{name:?} {state:?} beside {others:?}, linked: {linked}");
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(DIMENSION).no_index("hidden")).unwrap();
    let asked = namespace(&collection, name);
    if state != State::NeverUsed {
        asked.insert_many(documents(name)).unwrap();
    }
    others.iter().for_each(|other| _ = namespace(&collection, other).insert_many(documents(other)).unwrap());
    if linked {
        collection.wait_indexed().unwrap();
    }
    match state {
        State::Emptied => _ = asked.delete_many((0..N).map(|n| format!("{}{n}", mark(name)))).unwrap(),
        State::Dropped if name.is_empty() => _ = asked.delete_where(Filter::everything()).unwrap(),
        State::Dropped => _ = collection.drop_namespace(name).unwrap(),
        State::Inhabited | State::NeverUsed => {}
    }
    check_reads(&Place::Now(asked.clone()), name, state, others, &what);
    let then = asked.snapshot().unwrap();
    check_reads(&Place::Then(then.clone()), name, state, others, &what);
    let mut named: Vec<&str> = others.iter().copied().chain((state == State::Inhabited).then_some(name)).collect();
    named.retain(|name| !name.is_empty());
    named.sort_unstable();
    assert_eq!(collection.namespaces("").unwrap(), named, "{what}");
    check_writes(&collection, &asked, others, &what);
    others.iter().for_each(|other| _ = collection.drop_namespace(other).unwrap());
    check_reads(&Place::Then(then), name, state, others, &format!("{what}, later"));
    db.verify().unwrap();
}

#[test]
fn no_verb_shows_what_is_of_another_namespace() {
    for name in NAMES {
        for state in STATES {
            for others in OTHERS {
                check(name, state, others, true);
                check(name, state, others, false);
            }
        }
    }
}

#[test]
fn a_refusal_names_nothing_of_another_namespace() {
    let (_folder, db) = database();
    let schema = Schema::new().field("n", Type::Integer);
    let collection = db.create_collection("c", CollectionConfig::new(DIMENSION).schema(schema)).unwrap();
    let asked = collection.namespace("asked").unwrap();
    collection.namespace("other").unwrap().insert_many(documents("other")).unwrap();
    let id = format!("{}0", mark("other"));
    let errors = [
        asked.update(Update::new(id.as_str()).merge(json!({"n": 1}))).unwrap_err(),
        asked.insert(Document::new(vector(0)).id("new").metadata(json!({"n": "no"}))).unwrap_err(),
        asked.insert(Document::new([1.0])).unwrap_err(),
        asked.search([1.0]).run().unwrap_err(),
        asked.search(Query::like("missing")).run().unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string().replace(&id, "");
        assert!(!text.contains("other"), "{text}");
    }
}

#[test]
fn a_snapshot_sees_one_commit_until_its_collection_goes() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(DIMENSION)).unwrap();
    collection.insert_many(documents("")).unwrap();
    let then = collection.snapshot().unwrap();
    let (before, commit) = (then.scroll().with_vector(true).run().unwrap(), then.commit());
    for n in 0..N {
        let id = format!("{}{n}", mark(""));
        collection
            .update(Update::new(id.as_str()).vector(vector(n + 1)).replace(json!({"n": 0})).text("else"))
            .unwrap();
    }
    collection.insert_many(documents("more")).unwrap();
    collection.rebuild_index().unwrap();
    collection.delete_where(Filter::everything()).unwrap();
    assert_eq!((collection.count(None).unwrap(), then.count(None).unwrap(), then.commit()), (0, N, commit));
    let after = then.scroll().with_vector(true).run().unwrap();
    assert_eq!((&before.documents, after.commit, before.commit), (&after.documents, commit, commit));
    assert_eq!(then.search(vector(3)).limit(1).run().unwrap()[0].id, format!("{}3", mark("")).into());
    check_reads(&Place::Then(then.clone()), "", State::Inhabited, &["more"], "an old snapshot");
    db.drop_collection("c").unwrap();
    assert!(matches!(then.count(None), Err(Error::CollectionNotFound { .. })));
    let other = db.create_collection("d", CollectionConfig::new(1)).unwrap().snapshot().unwrap();
    // Closing does not wait for a holder of a snapshot.
    db.close().unwrap();
    assert!(
        matches!(other.search([1.0]).run(), Err(Error::Closed))
            && matches!(then.get("x"), Err(Error::Closed) | Err(Error::CollectionNotFound { .. }))
    );
}
