//! Graph searches find what exact searches find, from the moment a write returns.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use common::{database, dataset, folder, quick, random, seed};
use rand::{Rng, rngs::StdRng};
use vectrove::{
    Collection, CollectionConfig, Database, DocId, Document, Error, ErrorKind, Hits, Index, Metric, Quantization,
    Strategy, TrySendError,
};

/// Vectors around some centres, as embeddings are.
fn clustered(random: &mut StdRng, n: usize, dimension: usize) -> Vec<Vec<f32>> {
    let mut row = |spread: f32| (0..dimension).map(|_| random.random_range(-spread..spread)).collect::<Vec<f32>>();
    let centres: Vec<Vec<f32>> = (0..30).map(|_| row(1.0)).collect();
    let near = |n: usize| centres[n % 30].iter().zip(row(0.5)).map(|(centre, off)| centre + off).collect();
    (0..n).map(near).collect::<Vec<_>>()
}

fn insert_all(collection: &Collection, vectors: &[Vec<f32>]) {
    for (batch, vectors) in vectors.chunks(1_000).enumerate() {
        let documents = vectors.iter().enumerate();
        let document = |(at, vector): (usize, &Vec<f32>)| Document::new(vector.clone()).id((batch * 1_000 + at) as u64);
        collection.insert_many(documents.map(document)).unwrap();
    }
}

fn ids(hits: &Hits) -> HashSet<DocId> {
    hits.iter().map(|hit| hit.id.clone()).collect()
}

/// The recall at 10 of graph searches with this `ef`.
fn recall(collection: &Collection, queries: &[Vec<f32>], ef: usize) -> f64 {
    let found = |query: &Vec<f32>| {
        let truth = collection.search(query).exact(true).with_document(false).run().unwrap();
        let walked = collection.search(query).strategy(Strategy::Graph).ef(ef).with_document(false).run().unwrap();
        assert_eq!((truth.stats.strategy, walked.stats.strategy), (Strategy::Exact, Strategy::Graph));
        assert!(walked.is_sorted_by(|a, b| a.distance <= b.distance));
        let again =
            collection.search(query).strategy(Strategy::Graph).exact(false).ef(ef).with_document(false).run().unwrap();
        assert_eq!(again.stats.strategy, Strategy::Graph, "it is not exact, and says nothing else");
        ids(&truth).intersection(&ids(&walked)).count()
    };
    queries.iter().map(found).sum::<usize>() as f64 / (10 * queries.len()) as f64
}

#[track_caller]
fn check_recall(config: CollectionConfig, least: f64) {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let mut vectors = clustered(&mut random, 4_100, config.dimension);
    let queries = vectors.split_off(4_000);
    let collection = db.create_collection("c", config.clone()).unwrap();
    insert_all(&collection, &vectors);
    let before = recall(&collection, &queries, 100);
    collection.wait_indexed().unwrap();
    let after = recall(&collection, &queries, 100);
    assert!(before >= least && after >= least, "{config:?}: {before} while linking, {after} linked");
    assert_eq!(db.verify().unwrap().n_documents, 4_000);
}

#[test]
fn every_metric_is_walked() {
    for metric in Metric::ALL {
        check_recall(CollectionConfig::new(40).metric(metric), 0.95);
    }
    check_recall(CollectionConfig::new(300).metric(Metric::Euclidean), 0.95);
    check_recall(CollectionConfig::new(300).metric(Metric::Dot).normalize(true), 0.95);
}

#[test]
fn exact_vectors_are_walked() {
    check_recall(CollectionConfig::new(40).quantization(Quantization::None), 0.97);
    check_recall(CollectionConfig::new(3).metric(Metric::Euclidean).m(4).ef_construction(40), 0.95);
}

#[test]
fn the_data_set_is_found_again() {
    let Some(data) = dataset::load("the_data_set_is_found_again") else { return };
    let (folder, n) = (folder(), data.base.vectors.len());
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(data.base.vectors[0].len())).unwrap();
    insert_all(&collection, &data.base.vectors);
    collection.wait_indexed().unwrap();
    let check = |collection: &Collection, ef: usize, least: f64| {
        let found = |(query, truth): (&Vec<f32>, &Vec<u32>)| {
            let hits = collection.search(query).ef(ef).with_document(false).run().unwrap();
            assert_eq!(hits.stats.strategy, Strategy::Graph);
            truth[..10].iter().filter(|&&row| hits.iter().any(|hit| hit.id == DocId::from(u64::from(row)))).count()
        };
        let n_found: usize = data.query.vectors.iter().zip(&data.truth).map(found).sum();
        let recall = n_found as f64 / (10 * data.truth.len()) as f64;
        assert!(recall >= least, "recall {recall} at ef {ef}");
        println!("recall@10 {recall} at ef {ef}");
    };
    check(&collection, 16, 0.935);
    check(&collection, 100, 0.985);
    assert_eq!(db.verify().unwrap().n_documents, n);
    db.close().unwrap();
    // From the first moment, while the graph is rebuilt.
    let db = Database::open_with(folder.path(), quick()).unwrap();
    let collection = db.collection("c").unwrap();
    let hits = collection.search(&data.query.vectors[0]).run().unwrap();
    let nearest: HashSet<DocId> = data.truth[0][..10].iter().map(|&row| DocId::from(u64::from(row))).collect();
    assert!(ids(&hits).intersection(&nearest).count() >= 9);
    collection.wait_indexed().unwrap();
    check(&collection, 100, 0.985);
}

#[test]
fn what_was_just_written_is_the_next_searchs_nearest() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(32)).unwrap();
    insert_all(&collection, &clustered(&mut random, 5_000, 32));
    for (n, vector) in clustered(&mut random, 10_000, 32).into_iter().enumerate() {
        let id = DocId::from((1 << 40) + n as u64);
        collection.insert(Document::new(vector.clone()).id(id.clone())).unwrap();
        let hits = collection.search(&vector).limit(1).strategy(Strategy::Graph).with_document(false).run().unwrap();
        assert_eq!(hits[0].id, id, "insert {n}");
    }
}

#[test]
fn a_hundred_thousand_times_the_same_vector() {
    const N: usize = 100_000;
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(16).metric(Metric::Euclidean)).unwrap();
    let others = clustered(&mut random, 2_000, 16);
    insert_all(&collection, &others);
    let same = vec![0.25; 16];
    for batch in 0..N / 1_000 {
        let document = |n: usize| Document::new(same.clone()).id((N + batch * 1_000 + n) as u64);
        collection.insert_many((0..1_000).map(document)).unwrap();
    }
    collection.wait_indexed().unwrap();
    let hits = collection.search(&same).limit(500).strategy(Strategy::Graph).with_document(false).run().unwrap();
    assert_eq!(ids(&hits).len(), 500);
    assert!(hits.iter().all(|hit| hit.distance == 0.0), "the same vector is nearest to itself");
    assert!(hits.stats.n_visited < 20_000, "{:?}", hits.stats);
    for vector in others.iter().step_by(50) {
        let hits = collection.search(vector).limit(1).strategy(Strategy::Graph).with_document(false).run().unwrap();
        assert_eq!(hits[0].distance, 0.0, "others are still reached");
    }
    // Nearly all documents are deleted; the others are still found.
    for batch in 0..N / 1_000 - 1 {
        collection.delete_many((0..1_000).map(|n| (N + batch * 1_000 + n) as u64)).unwrap();
    }
    collection.wait_indexed().unwrap();
    let hits = collection.search(&same).limit(1_000).strategy(Strategy::Graph).with_document(false).run().unwrap();
    assert!(hits.iter().all(|hit| hit.distance == 0.0) && hits.len() == 1_000);
    assert_eq!(db.verify().unwrap().n_documents, 3_000);
}

#[test]
fn churn_neither_grows_memory_nor_loses_anything() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(24)).unwrap();
    let mut vectors = clustered(&mut random, 3_000, 24);
    insert_all(&collection, &vectors);
    for _ in 0..12 {
        for _ in 0..10 {
            let changed: Vec<usize> = (0..150).map(|_| random.random_range(0..vectors.len())).collect();
            for (&row, vector) in changed.iter().zip(clustered(&mut random, 150, 24)) {
                vectors[row] = vector;
            }
            let document = |&row: &usize| Document::new(vectors[row].clone()).id(row as u64);
            collection.upsert_many(changed.iter().map(document)).unwrap();
        }
        collection.wait_indexed().unwrap();
    }
    let queries = clustered(&mut random, 100, 24);
    let recall = recall(&collection, &queries, 100);
    assert!(recall >= 0.95, "{recall}");
    for (row, vector) in vectors.iter().enumerate().step_by(7) {
        let hits = collection.search(vector).limit(1).strategy(Strategy::Graph).with_document(false).run().unwrap();
        assert_eq!(hits[0].id, DocId::from(row as u64));
    }
    let stats = &db.stats().unwrap().collections[0];
    let n_slots = stats.vectors_bytes / (24 * 4);
    assert!(n_slots < 8_000, "{n_slots} slots for 3,000 documents after 18,000 updates");
    assert_eq!(db.verify().unwrap().n_documents, 3_000);
}

#[test]
fn searches_find_the_same_beside_a_writer() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(24)).unwrap();
    let vectors = clustered(&mut random, 4_000, 24);
    insert_all(&collection, &vectors);
    collection.wait_indexed().unwrap();
    let (done, more) = (AtomicBool::new(false), clustered(&mut random, 6_000, 24));
    let n_missed = thread::scope(|scope| {
        let search = scope.spawn(|| {
            let mut missed = 0;
            while !done.load(Ordering::Relaxed) {
                for (row, vector) in vectors.iter().enumerate().step_by(41) {
                    let hits = collection
                        .search(vector)
                        .limit(1)
                        .strategy(Strategy::Graph)
                        .with_document(false)
                        .run()
                        .unwrap();
                    missed += usize::from(hits[0].id != DocId::from(row as u64));
                }
            }
            missed
        });
        for (n, vectors) in more.chunks(10).enumerate() {
            let document = |(at, vector): (usize, &Vec<f32>)| Document::new(vector.clone()).id(format!("{n}/{at}"));
            collection.insert_many(vectors.iter().enumerate().map(document)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        search.join().unwrap()
    });
    assert_eq!(n_missed, 0);
}

#[test]
fn namespaces_are_walked_and_scanned_apart() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(24)).unwrap();
    let small = collection.namespace("small").unwrap();
    let vectors = clustered(&mut random, 3_000, 24);
    insert_all(&collection, &vectors);
    small.insert_many(vectors[..50].iter().enumerate().map(|(n, v)| Document::new(v.clone()).id(n as u64))).unwrap();
    collection.wait_indexed().unwrap();
    for vector in &vectors[..50] {
        for strategy in [Strategy::Graph, Strategy::Exact] {
            let hits = small.search(vector).limit(50).strategy(strategy).with_document(false).run().unwrap();
            assert_eq!(hits.len(), 50, "{strategy:?}");
            assert_eq!(hits[0].distance, small.search(vector).exact(true).run().unwrap()[0].distance);
            let hits = collection.search(vector).limit(2).strategy(strategy).with_document(false).run().unwrap();
            assert!(hits[0].distance < 1e-6 && hits[1].distance > 1e-6, "the other namespace's twin is not found");
        }
    }
}

#[test]
fn a_registered_distance_is_walked_and_scanned() {
    let chebyshev = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    let (mut random, folder) = (random(seed()), folder());
    let options = || quick().distance("chebyshev", chebyshev);
    let db = Database::open_with(folder.path(), options()).unwrap();
    let mut vectors = clustered(&mut random, 3_050, 12);
    let queries = vectors.split_off(3_000);
    let config = |index| CollectionConfig::new(12).distance("chebyshev").index(index);
    let walked = db.create_collection("walked", config(Index::Hnsw)).unwrap();
    let scanned = db.create_collection("scanned", config(Index::Flat)).unwrap();
    insert_all(&walked, &vectors);
    insert_all(&scanned, &vectors);
    walked.wait_indexed().unwrap();
    scanned.wait_indexed().unwrap();
    assert!(recall(&walked, &queries, 100) >= 0.95);
    for query in &queries {
        let nearest = vectors.iter().map(|vector| chebyshev(query, vector)).fold(f32::INFINITY, f32::min);
        let hits = scanned.search(query).limit(1).strategy(Strategy::Graph).run().unwrap();
        assert_eq!(
            (hits.stats.strategy, hits[0].distance, hits[0].score),
            (Strategy::Exact, nearest, 1.0 / (1.0 + nearest))
        );
    }
    let unknown = db.create_collection("c", CollectionConfig::new(2).distance("nobody")).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidArgument);
    assert!(unknown.to_string().contains("nobody") && unknown.to_string().contains("chebyshev"), "{unknown}");
    db.close().unwrap();
    let unregistered = Database::open_with(folder.path(), quick()).unwrap_err();
    assert!(unregistered.to_string().contains("chebyshev"), "{unregistered}");
    let db = Database::open_with(folder.path(), options()).unwrap();
    assert_eq!(db.collection("walked").unwrap().count(None).unwrap(), 3_000);
}

#[test]
fn a_distance_that_panics_or_is_not_a_number_harms_no_one() {
    let picky = |a: &[f32], b: &[f32]| {
        assert!(a[0] < 90.0 || b[0] < 90.0, "two large ones");
        if a[0] > 80.0 { f32::NAN } else { (a[0] - b[0]).abs() }
    };
    let folder = folder();
    let db = Database::open_with(folder.path(), quick().distance("picky", picky).tail_bound(64)).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(1).distance("picky")).unwrap();
    for n in 0..2_000u32 {
        collection.insert(Document::new([(n % 100) as f32]).id(u64::from(n))).unwrap();
    }
    collection.wait_indexed().unwrap();
    let hits = collection.search([7.2]).limit(20).run().unwrap();
    assert!(hits.len() == 20 && hits.iter().all(|hit| (hit.distance - 0.2).abs() < 1e-5));
    let error = collection.rebuild_index().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    db.verify().unwrap();
    db.close().unwrap();
}

#[test]
fn searches_together_answer_as_one_by_one() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(24)).unwrap();
    let mut vectors = clustered(&mut random, 3_103, 24);
    let queries = vectors.split_off(3_000);
    insert_all(&collection, &vectors);
    collection.wait_indexed().unwrap();
    let together = collection.search_many(queries.iter().cloned()).strategy(Strategy::Graph).ef(40).run().unwrap();
    for (query, together) in queries.iter().zip(&together) {
        let alone = collection.search(query).strategy(Strategy::Graph).ef(40).run().unwrap();
        assert_eq!((&alone.items, alone.stats), (&together.items, together.stats));
    }
    let mut broken = queries.clone();
    broken[6] = vec![1.0];
    let error = collection.search_many(broken).run().unwrap_err();
    assert!(error.to_string().contains('6'), "{error}");
}

#[test]
fn a_full_tail_makes_writers_wait() {
    let (mut random, folder) = (random(seed()), folder());
    let db = Database::open_with(folder.path(), quick().tail_bound(100).link_threads(1)).unwrap();
    let collection = db.create_collection("c", CollectionConfig::new(64).ef_construction(400)).unwrap();
    let vectors = clustered(&mut random, 4_000, 64);
    let mut longest = 0;
    for vectors in vectors.chunks(20) {
        collection.insert_many(vectors.iter().map(|vector| Document::new(vector.clone()))).unwrap();
        longest = longest.max(db.stats().unwrap().collections[0].tail_length);
    }
    assert!((1..=120).contains(&longest), "{longest} documents waited");
    collection.wait_indexed().unwrap();
    assert_eq!(db.stats().unwrap().collections[0].tail_length, 0);
}

/// Wakes the thread that it was made for.
struct Unpark(thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// Panics.
struct Panicking;

impl std::task::Wake for Panicking {
    fn wake(self: std::sync::Arc<Self>) {
        panic!("a waker");
    }
}

/// Runs a future on this thread, which sleeps until it is woken. Returns how often the future was
/// polled, too.
fn block_on<F: Future>(future: F) -> (F::Output, usize) {
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread::current())));
    let (mut future, mut n_polls, began) = (std::pin::pin!(future), 0, Instant::now());
    loop {
        n_polls += 1;
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(output) => return (output, n_polls),
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "nobody wakes the task");
    }
}

#[test]
fn a_stream_can_be_awaited() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    let writer = collection.writer().unwrap();
    let send = |document: Document| {
        let (writer, mut document) = (&writer, Some(document));
        std::future::poll_fn(move |context| writer.poll_send(&mut document, context))
    };
    let began = Instant::now();
    // More than the queue holds, by bytes, so that some wait for room.
    let sent: Vec<_> =
        (0..150u64).map(|n| block_on(send(Document::new([1.0, n as f32]).id(n).text("x".repeat(1 << 20))))).collect();
    assert!(sent.iter().any(|(_, n_polls)| *n_polls > 1), "the queue was never full");
    for (n, (ticket, _)) in sent.into_iter().enumerate() {
        let (receipt, n_polls) = block_on(ticket.unwrap());
        assert_eq!(collection.get(n as u64).unwrap().unwrap().version, receipt.unwrap().commit);
        assert!(n_polls <= 2, "it was woken for nothing {n_polls} times");
    }
    assert!(began.elapsed() < Duration::from_secs(40), "a task slept until it looked by itself");
    let (refused, _) = block_on(async { send(Document::new([1.0])).await.unwrap().await });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
    // A waker that panics harms nobody.
    let ticket = block_on(send(Document::new([1.0, 2.0]).id("panics").text("y".repeat(1 << 20)))).0.unwrap();
    let mut ticket = std::pin::pin!(ticket);
    let waker = std::task::Waker::from(std::sync::Arc::new(Panicking));
    let polled = ticket.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    if polled.is_pending() {
        thread::sleep(Duration::from_millis(50));
        assert!(block_on(ticket).0.is_ok());
    }
    assert!(writer.send(Document::new([1.0, 3.0])).unwrap().wait().is_ok(), "the thread goes on");
    let nothing = block_on(std::future::poll_fn(|context| writer.poll_send(&mut None, context))).0.err().unwrap();
    assert_eq!(nothing.kind(), ErrorKind::InvalidArgument);
    // An answer is taken once.
    let mut ticket = block_on(send(Document::new([1.0, 1.0]).id("twice"))).0.unwrap();
    assert!(block_on(&mut ticket).0.is_ok());
    assert!(matches!(block_on(&mut ticket).0, Err(Error::Closed)));
}

#[test]
fn rows_of_a_matrix_are_written_with_their_ids() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(3)).unwrap();
    let namespace = collection.namespace("n").unwrap();
    let matrix: Vec<f32> = (1..=12).map(|x| x as f32).collect();
    assert_eq!(namespace.upsert_vectors(0..4u64, &matrix).unwrap().n_changed, 4);
    for (n, row) in matrix.chunks(3).enumerate() {
        assert_eq!(namespace.get(n as u64).unwrap().unwrap().vector, row);
    }
    assert_eq!(namespace.upsert_vectors(["a", "a"], &matrix[..6]).unwrap().n_changed, 1);
    assert_eq!(namespace.get("a").unwrap().unwrap().vector, matrix[3..6]);
    assert_eq!(namespace.upsert_vectors(Vec::<u64>::new(), &[]).unwrap().n_changed, 0);
    for (n_ids, n_components) in [(4, 11), (4, 13), (3, 12), (0, 3), (4, 0)] {
        let components = vec![1.0; n_components];
        let error = namespace.upsert_vectors(10..10 + n_ids as u64, &components).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(error.to_string().contains(&format!("got {n_components}")), "{error}");
    }
    let mut broken = matrix.clone();
    broken[7] = f32::NAN;
    let error = namespace.upsert_vectors(20..24u64, &broken).unwrap_err();
    assert!(error.to_string().contains('2'), "{error}");
    assert_eq!(namespace.count(None).unwrap(), 5, "nothing was written");
}

#[test]
fn a_stream_acknowledges_each_document_for_itself() {
    let (_folder, db) = database();
    let collection = db.create_collection("c", CollectionConfig::new(2)).unwrap();
    let writer = collection.writer().unwrap();
    let vector = |n: u64| if n % 10 == 3 { vec![1.0] } else { vec![1.0, n as f32] };
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let (writer, collection) = (&writer, &collection);
            scope.spawn(move || {
                let sent: Vec<_> = (0..500)
                    .map(|n| writer.send(Document::new(vector(n)).id(format!("{thread}/{n}"))).unwrap())
                    .collect();
                for (n, ticket) in (0..500).zip(sent) {
                    match ticket.wait() {
                        Ok(receipt) => {
                            let stored = collection.get(format!("{thread}/{n}")).unwrap().unwrap();
                            assert_eq!((stored.vector, stored.version), (vector(n), receipt.commit));
                        }
                        Err(error) => assert!(n % 10 == 3 && error.kind() == ErrorKind::InvalidArgument, "{error}"),
                    }
                }
            });
        }
    });
    assert_eq!(collection.count(None).unwrap(), 1_800);
    drop(writer);

    let writer = collection.writer().unwrap();
    let mut tickets = Vec::new();
    let refused = loop {
        match writer.try_send(Document::new([1.0, 1.0]).text("x".repeat(1 << 20))) {
            Ok(ticket) => tickets.push(ticket),
            Err(TrySendError::Full(document)) => break document,
            Err(error) => panic!("{error}"),
        }
    };
    writer.send(refused).unwrap().wait().unwrap();
    drop(writer);
    assert!(tickets.into_iter().all(|ticket| ticket.wait().is_ok()), "what was sent before the end is written");

    let writer = collection.writer().unwrap();
    db.drop_collection("c").unwrap();
    let error = writer.send(Document::new([1.0, 1.0])).unwrap().wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn closing_lets_those_who_wait_go() {
    let (mut random, folder) = (random(seed()), folder());
    let db = Database::open_with(folder.path(), quick().tail_bound(10).link_threads(1)).unwrap();
    let config = CollectionConfig::new(128).ef_construction(2_000);
    let collection = db.create_collection("c", config).unwrap();
    let vectors = clustered(&mut random, 3_000, 128);
    insert_all(&collection, &vectors);
    thread::scope(|scope| {
        let waits = scope.spawn(|| collection.wait_indexed());
        let writes = scope.spawn(|| collection.insert(Document::new(vectors[0].clone())));
        thread::sleep(std::time::Duration::from_millis(50));
        db.clone().close().unwrap();
        for kind in [waits.join().unwrap().err(), writes.join().unwrap().err()].into_iter().flatten().map(|e| e.kind())
        {
            assert_eq!(kind, ErrorKind::Unavailable);
        }
    });
}

#[test]
fn settings_out_of_range_are_refused() {
    let (_folder, db) = database();
    let config = || CollectionConfig::new(2);
    for (field, config) in [
        ("m", config().m(1)),
        ("m", config().m(129)),
        ("ef_construction", config().ef_construction(15)),
        ("ef_construction", config().ef_construction(4_097)),
        ("distance", config().distance("")),
    ] {
        let error = db.create_collection("c", config).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains(field), "{field}: {error}");
    }
    let collection = db.create_collection("c", config()).unwrap();
    collection.insert(Document::new([1.0, 0.0])).unwrap();
    let search = || collection.search([1.0, 0.0]);
    for search in [search().ef(0), search().ef(usize::MAX), search().oversampling(f32::NAN), search().oversampling(0.5)]
    {
        assert_eq!(search.run().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(search().strategy(Strategy::Graph).ef(4_096).limit(usize::MAX).run().unwrap().len(), 1);
    for options in [quick().link_threads(0), quick().link_threads(257), quick().tail_bound(0)] {
        let error = Database::open_with(folder().path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[test]
fn a_snapshot_that_is_held_costs_no_recall() {
    let (mut random, (_folder, db)) = (random(seed()), database());
    let collection = db.create_collection("c", CollectionConfig::new(16).metric(Metric::Euclidean)).unwrap();
    let mut row = || (0..16).map(|_| random.random_range(-1.0..1.0f32)).collect::<Vec<f32>>();
    let (mut held, n) = (None, 4_000u64);
    for round in 0..4 {
        collection.delete_many((0..if round == 0 { 0 } else { n }).map(|id| (round - 1) * n + id)).unwrap();
        collection.insert_many((0..n).map(|id| Document::new(row()).id(round * n + id))).unwrap();
        collection.wait_indexed().unwrap();
        held.get_or_insert_with(|| collection.snapshot().unwrap());
    }
    let n_found: usize = (0..100)
        .map(|_| {
            let query = row();
            let search = |exact| collection.search(&query).exact(exact).with_document(false).run().unwrap();
            ids(&search(true)).intersection(&ids(&search(false))).count()
        })
        .sum();
    assert!(n_found >= 980, "recall {}", n_found as f64 / 1_000.0);
    assert_eq!(held.unwrap().count(None).unwrap(), n as usize);
}
