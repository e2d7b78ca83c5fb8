//! The effect of a change: rates of searches, counts and inserts, with the recall and the work of
//! the searches, as JSON.
//!
//! One run is not enough. `benches/pairs.py BEFORE AFTER` runs two builds of this program in turn,
//! and prints their ratios.

mod common;

use std::time::Instant;

use serde_json::{Map, Value as Json, json};
use vectrove::{Collection, CollectionConfig, Database, Document, Durability, Namespace, Options, field};

const N_DOCUMENTS: usize = 20_000;
const N_NAMESPACES: usize = 20;
const N_INSERTS: usize = 4_000;
/// Number of queries, which are searched in turn.
const N_QUERIES: usize = 400;
const N_ROUNDS: usize = 8;
const N_COUNTS: usize = 20_000;

fn document(row: &common::Row) -> Document {
    let metadata = Json::Object(row.metadata.clone());
    Document::new(row.vector.as_slice()).id(&row.id).metadata(metadata)
}

/// Runs of `work` a second, in the fastest of three rounds.
fn rate(n: usize, mut work: impl FnMut(usize)) -> f64 {
    let mut round = || {
        let began = Instant::now();
        (0..n).for_each(&mut work);
        n as f64 / began.elapsed().as_secs_f64()
    };
    (0..3).map(|_| round()).fold(0.0, f64::max)
}

fn searches(namespace: &Namespace, queries: &[Vec<f32>]) -> f64 {
    rate(N_ROUNDS * queries.len(), |n| {
        let search = namespace.search(&queries[n % queries.len()]).limit(10).with_document(false);
        assert!(search.run().is_ok_and(|hits| hits.len() == 10));
    })
}

/// Recall at 10, and the work of the searches, which does not depend on the machine.
fn work(collection: &Collection, queries: &[Vec<f32>]) -> Map<String, Json> {
    let (mut n_found, mut n_visited, mut n_hops, mut n_scanned) = (0, 0, 0, 0);
    for query in queries {
        let search = |exact| collection.search(query).limit(10).exact(exact).with_document(false).run().expect("finds");
        let (found, truth) = (search(false), search(true));
        n_found += found.iter().filter(|hit| hit.distance <= truth[9].distance).count();
        n_visited += found.stats.n_visited;
        n_hops += found.stats.n_hops;
        n_scanned += found.stats.n_scanned;
    }
    let recall = n_found as f64 / (10 * queries.len()) as f64;
    let work = json!({"recall": recall, "codes": n_visited, "hops": n_hops, "rescored": n_scanned});
    work.as_object().cloned().unwrap_or_default()
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_, rows) = common::rows(N_DOCUMENTS + N_INSERTS);
    let (rows, more) = rows.split_at(N_DOCUMENTS);
    let mut queries = common::queries();
    queries.truncate(N_QUERIES);
    // One thread links, so that the graph is the same each time.
    let options = Options::new().durability(Durability::Wal).link_threads(1);
    let db = Database::open_with(folder.path().join("db"), options).expect("opens");
    let create = |name| db.create_collection(name, CollectionConfig::new(rows[0].vector.len())).expect("is created");
    let (alone, shared, fresh) = (create("alone"), create("shared"), create("fresh"));
    alone.insert_many(rows.iter().map(document)).expect("is inserted");
    for (n, rows) in rows.chunks(N_DOCUMENTS / N_NAMESPACES).enumerate() {
        let namespace = shared.namespace(&format!("agent-{n}")).expect("a name");
        namespace.insert_many(rows.iter().map(document)).expect("is inserted");
    }
    [&alone, &shared].iter().for_each(|collection| collection.wait_indexed().expect("is linked"));
    let agent = shared.namespace("agent-7").expect("a name");
    let filter = || field("section").eq("net");
    let count = |namespace: &Namespace, negated: bool| {
        rate(N_COUNTS, |_| {
            let counted = namespace.count(if negated { !filter() } else { filter() });
            assert!(counted.is_ok_and(|n| n > 0));
        })
    };
    let began = Instant::now();
    more.iter().for_each(|row| assert!(fresh.insert(document(row)).is_ok()));
    let inserts = more.len() as f64 / began.elapsed().as_secs_f64();
    let mut told = work(&alone, &queries);
    let rates = json!({
        "searches": searches(&alone, &queries),
        "searches_in_one_of_20_namespaces": searches(&agent, &queries),
        "filtered_searches": rate(N_ROUNDS * queries.len() / 4, |n| {
            let search = alone.search(&queries[n % queries.len()]).limit(10).filter(filter()).with_document(false);
            assert!(search.run().is_ok());
        }),
        "counts": rate(N_COUNTS, |_| assert!(alone.count(None).is_ok_and(|n| n > 0))),
        "counts_in_one_of_20_namespaces": rate(N_COUNTS, |_| assert!(agent.count(None).is_ok_and(|n| n > 0))),
        "filtered_counts": count(&alone, false),
        "negated_counts": count(&alone, true),
        "gets": rate(N_COUNTS, |n| assert!(alone.get(&rows[n % rows.len()].id).is_ok())),
        "inserts": inserts,
    });
    told.insert("rates".into(), rates);
    println!("{}", Json::Object(told));
}
