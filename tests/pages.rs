//! Pages of an answer: no document is on two of them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeSet, HashSet};

use common::{check_error, database, number_from_env, random, seed};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;
use vectrove::limits::{MAX_GROUPS, MAX_PAGED};
use vectrove::{
    Boost, Collection, CollectionConfig, DocId, Document, Fusion, Hits, Index, Metric, Quantization, Query, Search,
    SearchCursor, Strategy, Value, field,
};

fn vector(random: &mut StdRng, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn fill(collection: &Collection, random: &mut StdRng, n: usize) {
    let dimension = collection.config().dimension;
    let words = ["red", "red green", "green and green", "blue", "red blue"];
    let documents = (0..n as u64).map(|n| {
        let metadata = json!({"kind": n % 31, "half": n % 2, "at": n});
        Document::new(vector(random, dimension)).id(n).text(words[n as usize % 5]).metadata(metadata)
    });
    let documents: Vec<Document> = documents.collect();
    documents.chunks(2_000).for_each(|documents| _ = collection.insert_many(documents.to_vec()).unwrap());
}

/// Queries that lie far from all documents: all are about as far away.
fn far(random: &mut StdRng, dimension: usize) -> Vec<f32> {
    (0..dimension).map(|_| random.random_range(2.0..40.0) * if random.random::<bool>() { 1.0 } else { -1.0 }).collect()
}

/// Asserts that pages by offset repeat nothing.
fn check_offsets(search: &dyn Fn() -> Search, limit: usize, n_pages: usize, what: &str) {
    let mut seen = HashSet::new();
    for page in 0..n_pages {
        let hits = search().offset(page * limit).limit(limit).run().unwrap();
        for hit in &hits {
            assert!(seen.insert(hit.id.clone()), "{what}: {} of page {page} was there before", hit.id);
        }
    }
    assert!(seen.len() >= limit, "{what}: {} hits", seen.len());
}

#[test]
fn pages_by_offset_repeat_nothing_at_one_commit() {
    let mut random = random(seed());
    // `PAGES=40000` is the size at which a repetition was first found.
    let n = number_from_env("PAGES", 6_000) as usize;
    for (metric, dimension, quantization) in [
        (Metric::Cosine, 384, Quantization::Sq8),
        (Metric::Dot, 64, Quantization::Sq8),
        (Metric::Euclidean, 96, Quantization::Sq8),
        (Metric::Euclidean, 8, Quantization::Sq8),
        (Metric::Manhattan, 32, Quantization::Sq8),
        (Metric::Cosine, 48, Quantization::None),
    ] {
        let (_folder, db) = database();
        let config = CollectionConfig::new(dimension).metric(metric).quantization(quantization);
        let collection = db.create_collection("c", config).unwrap();
        fill(&collection, &mut random, n);
        collection.wait_indexed().unwrap();
        let snapshot = collection.snapshot().unwrap();
        for at in 0..30 {
            let query = if at % 3 == 0 { vector(&mut random, dimension) } else { far(&mut random, dimension) };
            let what = format!("{metric} {dimension} {quantization:?}, query {at}");
            check_offsets(&|| snapshot.search(&query), 20, 10, &what);
            check_offsets(&|| snapshot.search(&query).strategy(Strategy::Graph).ef(20), 7, 12, &what);
            if at % 5 == 0 {
                check_offsets(&|| snapshot.search(&query).exact(true), 20, 10, &what);
                check_offsets(&|| snapshot.search(&query).filter(field("half").eq(1)), 13, 12, &what);
                let filter = field("half").eq(0).and(field("kind").lt(20));
                check_offsets(&|| snapshot.search(&query).strategy(Strategy::Graph).filter(&filter), 13, 12, &what);
                check_offsets(&|| snapshot.search(Query::from(&query).with_text("green red")), 9, 12, &what);
                check_offsets(&|| snapshot.search(Query::text("green red")), 9, 12, &what);
                check_offsets(&|| snapshot.search(&query).boost(Boost::field("at").weight(1e-3)), 9, 12, &what);
                check_offsets(&|| snapshot.search(&query).group_by("kind", 3), 4, 7, &what);
                check_offsets(&|| snapshot.search(&query).mmr(0.5, 200), 20, 10, &what);
            }
        }
    }
}

#[test]
fn offsets_that_begin_anywhere_leave_nothing_out_where_all_are_compared() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(8)).unwrap();
    let mut random = random(seed());
    fill(&collection, &mut random, 500);
    let query = vector(&mut random, 8);
    let all = collection.search(&query).exact(true).limit(1_000).run().unwrap();
    for (offset, limit) in [(0, 500), (1, 3), (7, 100), (499, 10), (500, 10), (3, usize::MAX), (usize::MAX, usize::MAX)]
    {
        let end = offset.saturating_add(limit).min(500);
        let expected = &all[offset.min(500)..end];
        for strategy in [Strategy::Exact, Strategy::Graph] {
            let hits = collection.search(&query).strategy(strategy).offset(offset).limit(limit).run().unwrap();
            match strategy {
                Strategy::Exact => assert_eq!(hits.items, expected, "{offset} {limit}"),
                _ => assert_eq!(hits.len(), expected.len(), "{offset} {limit}"),
            }
        }
        // A bound cuts all pages in the same place.
        let most = all[249].distance;
        let hits = collection.search(&query).max_distance(most).offset(offset).limit(limit).run().unwrap();
        assert_eq!(hits.len(), 250usize.saturating_sub(offset).min(limit), "{offset} {limit}");
    }
}

/// All pages of a search, one after the other, with a call of `between` after each.
fn turn(search: &dyn Fn() -> Search, limit: usize, mut between: impl FnMut(&Hits)) -> Vec<Hits> {
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let page = search().limit(limit).after(after).run().unwrap();
        between(&page);
        // The cursor's text form reads back equal.
        after = page.next.as_ref().map(|next| next.to_string().parse::<SearchCursor>().unwrap());
        assert_eq!(after, page.next);
        pages.push(page);
        if after.is_none() {
            return pages;
        }
        assert!(pages.len() < 1_000, "there is an end");
    }
}

fn ids(pages: &[Hits]) -> Vec<DocId> {
    pages.iter().flatten().map(|hit| hit.id.clone()).collect()
}

#[test]
fn a_cursor_goes_through_everything_once_by_every_strategy() {
    let mut random = random(seed());
    for dimension in [8, 40] {
        let (_folder, db) = database();
        let collection = db.create_collection("c", CollectionConfig::new(dimension)).unwrap();
        fill(&collection, &mut random, 2_000);
        for is_linked in [false, true] {
            if is_linked {
                collection.wait_indexed().unwrap();
            }
            let query = far(&mut random, dimension);
            let (words, half) = (Query::from(&query).with_text("green red"), field("half").eq(1));
            let search = || collection.search(&query).with_document(false);
            let all: [(&str, &dyn Fn() -> Search, usize, usize); 11] = [
                ("as is fastest", &search, 300, 2_000),
                ("exact", &|| search().exact(true), 333, 2_000),
                ("graph", &|| search().strategy(Strategy::Graph).ef(10), 170, 2_000),
                ("half", &|| search().filter(&half), 90, 1_000),
                ("half by graph", &|| search().filter(&half).strategy(Strategy::Graph), 90, 1_000),
                ("few", &|| search().filter(field("kind").eq(3)), 10, 65),
                ("by words", &|| collection.search(Query::text("green red")), 150, 1_600),
                ("by both", &|| collection.search(words.clone()).fusion(Fusion::scores()), 400, 2_000),
                ("boosted", &|| search().boost(Boost::field("at").weight(1e-3)), 400, 2_000),
                ("one page", &search, 2_000, 2_000),
                ("unlike each other", &|| search().mmr(0.7, 100), 30, 100),
            ];
            for (what, search, limit, expected) in all {
                let pages = turn(search, limit, |_| {});
                let (all, n) = (ids(&pages), ids(&pages).len());
                assert_eq!(all.into_iter().collect::<HashSet<_>>().len(), n, "{what}: some are there twice");
                assert_eq!((n, pages.len()), (expected, expected.div_ceil(limit)), "{what}");
                let (last, others) = pages.split_last().unwrap();
                assert!(others.iter().all(|page| page.len() == limit) && !last.is_empty(), "{what}");
            }
            // A scan finds the hits in order.
            let nearest = search().exact(true).limit(2_000).run().unwrap();
            let paged = ids(&turn(&|| search().exact(true), 123, |_| {}));
            assert_eq!(paged, nearest.iter().map(|hit| hit.id.clone()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_cursor_goes_through_groups() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(8)).unwrap();
    let mut random = random(seed());
    fill(&collection, &mut random, 1_000);
    let query = vector(&mut random, 8);
    let search = || collection.search(&query).group_by("kind", 4);
    let mut groups: Vec<Value> = Vec::new();
    let pages = turn(&search, 7, |page| {
        let mut own: Vec<Value> = page.iter().filter_map(|hit| hit.group.clone()).collect();
        own.dedup();
        groups.extend(own);
        // A better hit does not bring a group back.
        let seen = page[0].group.clone().unwrap();
        collection.insert(Document::new(query.clone()).metadata(json!({ "kind": seen }))).unwrap();
    });
    assert_eq!((pages.len(), groups.len()), (5, 31));
    let different: BTreeSet<String> = groups.iter().map(Value::to_string).collect();
    assert_eq!(different.len(), 31, "{groups:?}");
    assert!(pages.iter().flatten().count() >= 31 * 4 - 1);
}

#[test]
fn a_cursor_gives_no_document_twice_whatever_is_written_in_between() {
    let mut random = random(seed());
    for strategy in [Strategy::Exact, Strategy::Graph] {
        let (_folder, db) = database();
        let collection = db.create_collection("c", CollectionConfig::new(24)).unwrap();
        fill(&collection, &mut random, 3_000);
        let query = vector(&mut random, 24);
        let near: Vec<f32> = query.iter().map(|x| x * 1.001 + 1e-4).collect();
        let (mut given, mut gone, mut n_new) = (HashSet::new(), HashSet::new(), 0u64);
        let search = || collection.search(&query).strategy(strategy);
        let pages = turn(&search, 100, |page| {
            for hit in page {
                assert!(given.insert(hit.id.clone()), "{strategy:?}: {} is there twice", hit.id);
                assert!(!gone.contains(&hit.id), "{strategy:?}: {} was deleted", hit.id);
            }
            if given.len() > 2_000 {
                return;
            }
            // Nearer documents come. Some of those given move, go, or go and come again; some not
            // given yet go.
            let new = (0..10).map(|n| Document::new(near.clone()).id(format!("new {}", n_new + n)));
            collection.insert_many(new.collect::<Vec<_>>()).unwrap();
            n_new += 10;
            let own: Vec<DocId> = page.iter().map(|hit| hit.id.clone()).collect();
            collection.upsert_many(own[..20].iter().map(|id| Document::new(near.clone()).id(id))).unwrap();
            collection.delete_many(&own[20..40]).unwrap();
            collection.insert_many(own[20..30].iter().map(|id| Document::new(near.clone()).id(id))).unwrap();
            let later: Vec<DocId> =
                (0..3_000u64).map(DocId::from).filter(|id| !given.contains(id) && !gone.contains(id)).take(5).collect();
            collection.delete_many(&later).unwrap();
            gone.extend(later);
        });
        let n_old = given.iter().filter(|id| id.as_u64().is_some()).count();
        assert_eq!((n_old, pages.len() > 25), (3_000 - gone.len(), true), "{strategy:?}: what stays is found");
        assert!(
            given.iter().any(|id| id.as_str().is_some_and(|id| id.starts_with("new "))),
            "{strategy:?}: so are new ones"
        );
    }
}

#[test]
fn a_cursor_of_another_search_is_refused() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    let other = db.create_collection("d", CollectionConfig::new(2)).unwrap();
    let agent = collection.namespace("agent").unwrap();
    for namespace in [&*collection, &*other, &agent] {
        let documents = (0..20u64).map(|n| Document::new([1.0, n as f32]).id(n).metadata(json!({"n": n})).text("a"));
        namespace.insert_many(documents.collect::<Vec<_>>()).unwrap();
    }
    let search = || collection.search([1.0, 0.5]).limit(3);
    let next = || search().after(None).run().unwrap().next.unwrap();
    assert_eq!(next().n_given(), 3);
    // The cursor does not depend on the limit, on the content of hits, or on whether a snapshot is
    // searched.
    let again = search().limit(5).with_document(false).with_vector(true).explain(true).fields(["n"]).after(next());
    assert_eq!(again.run().unwrap().len(), 5);
    assert_eq!(collection.snapshot().unwrap().search([1.0, 0.5]).after(next()).run().unwrap().len(), 10);
    let others: [(&str, Search); 20] = [
        ("vector", collection.search([1.0, 0.6])),
        ("sign of zero", collection.search([1.0, -0.0])),
        ("words", search().text("a")),
        ("example", collection.search(Query::like(3u64))),
        ("filter", search().filter(field("n").lt(10))),
        ("min_score", search().min_score(-1.0)),
        ("max_distance", search().max_distance(2.0)),
        ("ef", search().ef(100)),
        ("exact", search().exact(true)),
        ("oversampling", search().oversampling(2.0)),
        ("mmr", search().mmr(0.5, 10)),
        ("group_by", search().group_by("n", 1)),
        ("boost", search().boost(Boost::field("n"))),
        ("boosted_candidates", search().boosted_candidates(50)),
        ("bm25", search().bm25(1.0, 0.5)),
        ("fusion", search().fusion(Fusion::scores())),
        ("namespace", agent.search([1.0, 0.5])),
        ("collection", other.search([1.0, 0.5])),
        ("negative", collection.search(Query::recommend([[1.0, 0.5]]).negative([[0.0, 1.0]]))),
        ("examples", collection.search(Query::recommend([[1.0, 0.5], [1.0, 0.5]]))),
    ];
    for (what, search) in others {
        let error = check_error(search.after(next()).run(), "InvalidConfig");
        assert!(error.to_string().starts_with("invalid after: "), "{what}: {error}");
    }
    let error = check_error(search().offset(1).after(next()).run(), "InvalidConfig");
    assert!(error.to_string().starts_with("invalid offset: "), "{error}");
    check_error(search().offset(1).after(None).run(), "InvalidConfig");
    // The same name, but another collection.
    let before = next();
    db.drop_collection("c").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    check_error(collection.search([1.0, 0.5]).after(before).run(), "InvalidConfig");
    assert_eq!(search().run().map(|hits| hits.next).ok().flatten(), None, "without being asked there are no pages");
}

#[test]
fn a_cursor_carries_no_more_than_it_may() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    let documents = |n: u64| (0..n).map(|n| Document::new([1.0, n as f32 + 1.0]).metadata(json!({"n": n})));
    collection.insert_many(documents(MAX_PAGED as u64)).unwrap();
    let search = |limit| collection.search([1.0, 0.0]).with_document(false).limit(limit).after(None);
    // Pages may give all documents, and a last page may give more, after which none follows.
    let pages = turn(&|| collection.search([1.0, 0.0]).with_document(false), 1_000, |_| {});
    assert_eq!(ids(&pages).into_iter().collect::<HashSet<_>>().len(), MAX_PAGED);
    collection.insert_many(documents(2)).unwrap();
    assert_eq!(search(MAX_PAGED + 2).run().unwrap().len(), MAX_PAGED + 2);
    check_error(search(MAX_PAGED + 1).run(), "LimitExceeded");
    let first = search(MAX_PAGED).run().unwrap();
    let rest = collection.search([1.0, 0.0]).with_document(false).after(first.next.clone());
    assert_eq!((first.next.unwrap().n_given(), rest.run().unwrap().len()), (MAX_PAGED, 2));
    let nothing = search(0).run().unwrap();
    assert_eq!((nothing.len(), nothing.next.unwrap().n_given()), (0, 0), "a page of nothing gets no further");
}

#[test]
fn groups_beyond_what_pages_may_give_are_refused_not_left_out() {
    const N_GROUPS: usize = MAX_GROUPS + 50;
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2).index(Index::Flat)).unwrap();
    let document = |n: usize| Document::new([1.0, n as f32 / 1e4]).id(n as u64).metadata(json!({ "own": n }));
    let documents: Vec<Document> = (0..N_GROUPS).map(document).collect();
    collection.insert_many(documents).unwrap();
    let search = |after: Option<SearchCursor>| {
        collection.search([1.0, 0.0]).group_by("own", 1).limit(MAX_GROUPS / 2).after(after).run()
    };
    let (mut given, mut after) = (HashSet::new(), None);
    for _ in 0..2 {
        let page = search(after).unwrap();
        page.iter().for_each(|hit| assert!(given.insert(hit.id.clone()), "{} is there twice", hit.id));
        after = page.next;
        assert!(after.is_some(), "there are {N_GROUPS} groups, {} were given", given.len());
    }
    assert_eq!(given.len(), MAX_GROUPS);
    check_error(search(after), "LimitExceeded");
}
