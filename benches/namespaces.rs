//! Searches in a namespace beside searches in a collection of its own with the same documents, both
//! in one run, by turns.
//!
//! `cargo bench --bench namespaces [-- equal | zipf | tiny … --rows N --k N … --batch N --pairs N
//! --json]`. `equal` shares the rows among `k` namespaces of one size, by turns and in blocks.
//! `zipf` shares them among 1,000 by a skewed draw. `tiny` searches 100,000 namespaces of at most
//! ten documents. One commit inserts `--batch` documents, 1,000 by default. Then half of a
//! namespace's documents, in whole clusters, are deleted, and the same searches run at once. Rows
//! are those of the data set that `VECTROVE_DATA` names, or 200,000 of 128 components in clusters.
//! Rates are of one thread, for hits with ids and scores. Recall is measured against exact
//! searches. A ratio is printed as its median, with the interval that holds 95 % of the medians of
//! resampled pairs.

mod common;

use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use vectrove::{
    Collection, CollectionConfig, Database, Document, Durability, Hits, Namespace, Options, SearchStats, Strategy,
};

use common::median;

/// Hits of each search.
const K: usize = 10;
const N_QUERIES: usize = 100;
/// Searches for each query in a round.
const N_TIMES: usize = 5;
/// Pivots that define clusters: rows nearest to the same pivot are one cluster.
const N_PIVOTS: usize = 16;
const SIZES: [usize; 4] = [2, 10, 100, 1_000];
const SEED: u64 = 7;

struct Asked {
    parts: Vec<String>,
    rows: usize,
    sizes: Vec<usize>,
    batch: usize,
    n_pairs: usize,
    is_json: bool,
}

struct Data {
    rows: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
    /// The cluster of each row.
    clusters: Vec<usize>,
}

fn main() {
    let asked = asked();
    let wants = |part: &str| asked.parts.is_empty() || asked.parts.iter().any(|name| name == part);
    if wants("equal") || wants("zipf") {
        let data = data(asked.rows);
        if !asked.is_json {
            println!("{} rows of {} components; k {K}", data.rows.len(), data.rows[0].len());
            println!(
                "{:22}{:>8}{:>9}{:>8}{:>10}{:>8}{:>7}  95 %",
                "namespaces", "size", "QPS", "recall", "alone", "recall", "ratio"
            );
        }
        let n = data.rows.len();
        for &k in asked.sizes.iter().filter(|_| wants("equal")) {
            compare(&format!("{k}, by turns"), &data, &|row| row % k, &[0, k / 2], &asked);
            compare(&format!("{k}, in blocks"), &data, &|row| row * k / n, &[0, k / 2], &asked);
        }
        if wants("zipf") {
            let homes = skewed(n, 1_000);
            compare("1000, skewed", &data, &|row| homes[row], &[0, 9, 99, 999], &asked);
        }
    }
    if wants("tiny") {
        tiny(asked.is_json);
    }
}

fn asked() -> Asked {
    let mut asked =
        Asked { parts: Vec::new(), rows: 200_000, sizes: Vec::new(), batch: 1_000, n_pairs: 15, is_json: false };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse().ok()).expect("a number");
        match arg.as_str() {
            "--rows" => asked.rows = number(),
            "--k" => asked.sizes.push(number()),
            "--batch" => asked.batch = number().max(1),
            "--pairs" => asked.n_pairs = number(),
            "--json" => asked.is_json = true,
            _ => asked.parts.push(arg),
        }
    }
    if asked.sizes.is_empty() {
        asked.sizes = SIZES.to_vec();
    }
    asked
}

fn data(n_rows: usize) -> Data {
    let mut random = StdRng::seed_from_u64(SEED);
    let (rows, queries) = match common::full() {
        Some(_) => {
            let (_, rows) = common::rows(n_rows.min(common::n_rows()));
            (rows.into_iter().map(|row| row.vector).collect(), common::queries())
        }
        None => {
            let mut clusters = Clusters::new(&mut random);
            let mut draw = |n: usize| (0..n).map(|_| clusters.draw(&mut random)).collect::<Vec<_>>();
            (draw(n_rows), draw(1_000))
        }
    };
    let pivots: Vec<&Vec<f32>> = rows.iter().step_by((rows.len() / N_PIVOTS).max(1)).take(N_PIVOTS).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let nearest = |row: &Vec<f32>| {
        let near = pivots.iter().map(|pivot| dot(row, pivot) / dot(pivot, pivot).sqrt());
        near.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at)
    };
    let clusters = rows.iter().map(nearest).collect();
    Data { rows, queries, clusters }
}

/// Clusters that are spread along few directions.
struct Clusters {
    centres: Vec<Vec<f32>>,
    directions: Vec<Vec<f32>>,
}

impl Clusters {
    const DIMENSION: usize = 128;

    fn new(random: &mut StdRng) -> Self {
        let mut some = |n: usize| (0..n).map(|_| normals(random, Self::DIMENSION)).collect::<Vec<_>>();
        Clusters { centres: some(400), directions: some(24) }
    }

    fn draw(&mut self, random: &mut StdRng) -> Vec<f32> {
        let mut row = self.centres[random.random_range(0..self.centres.len())].clone();
        let noise = normals(random, Self::DIMENSION);
        row.iter_mut().zip(noise).for_each(|(x, noise)| *x += noise * 0.15);
        for direction in &self.directions {
            let length = normals(random, 1)[0] * 0.12;
            row.iter_mut().zip(direction).for_each(|(x, component)| *x += length * component);
        }
        row
    }
}

/// Normally distributed numbers, nearly: sums of twelve uniform ones.
fn normals(random: &mut StdRng, n: usize) -> Vec<f32> {
    (0..n).map(|_| (0..12).map(|_| random.random_range(-0.5..0.5f32)).sum()).collect()
}

/// A namespace for each of `n` rows; number `i` gets a share of about `1 / (i + 1)`.
fn skewed(n: usize, n_namespaces: usize) -> Vec<usize> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut sums = Vec::with_capacity(n_namespaces);
    let mut sum = 0.0;
    for at in 0..n_namespaces {
        sum += 1.0 / (at + 1) as f64;
        sums.push(sum);
    }
    let mut draw = || random.random_range(0.0..sum);
    (0..n).map(|_| draw()).map(|at| sums.partition_point(|&below| below < at).min(n_namespaces - 1)).collect()
}

/// A place to search: a namespace, or a collection of its own.
struct Place {
    namespace: Namespace,
    exact: Vec<Vec<f32>>,
}

impl Place {
    fn search(&self, query: &[f32], strategy: Option<Strategy>) -> Hits {
        let search = self.namespace.search(query).limit(K).with_document(false);
        strategy.map_or(search.clone(), |strategy| search.strategy(strategy)).run().expect("finds")
    }

    /// Stores the distances of the true neighbours.
    fn learn(&mut self, queries: &[Vec<f32>]) {
        let distances =
            |query: &Vec<f32>| self.search(query, Some(Strategy::Exact)).iter().map(|hit| hit.distance).collect();
        self.exact = queries.iter().map(distances).collect();
    }

    /// Seconds for a search, and its recall.
    fn ask(&self, queries: &[Vec<f32>]) -> (f64, f64) {
        let began = Instant::now();
        let mut found: Vec<Hits> = Vec::new();
        for _ in 0..N_TIMES {
            found = queries.iter().map(|query| self.search(query, None)).collect();
        }
        let seconds = began.elapsed().as_secs_f64() / (N_TIMES * queries.len()) as f64;
        let (mut n_found, mut n_wanted) = (0, 0);
        for (hits, exact) in found.iter().zip(&self.exact) {
            let farthest = exact.last().map_or(0.0, |distance| distance + distance.abs() * 1e-6 + 1e-7);
            n_wanted += exact.len();
            n_found += hits.iter().filter(|hit| hit.distance <= farthest).count().min(exact.len());
        }
        (seconds, n_found as f64 / n_wanted.max(1) as f64)
    }
}

fn collection(db: &Database, name: &str, dimension: usize) -> Collection {
    db.create_collection(name, CollectionConfig::new(dimension)).expect("creates")
}

fn compare(name: &str, data: &Data, home: &dyn Fn(usize) -> usize, wanted: &[usize], asked: &Asked) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Database::open_with(folder.path().join("db"), Options::new().durability(Durability::Wal)).expect("opens");
    let dimension = data.rows[0].len();
    let shared = collection(&db, "shared", dimension);
    let named = |home: usize| shared.namespace(&format!("n{home}")).expect("a name");
    let all: Vec<usize> = (0..data.rows.len()).collect();
    for batch in all.chunks(asked.batch) {
        let mut writes = db.batch();
        for &row in batch {
            writes.insert(&named(home(row)), Document::new(data.rows[row].clone()).id(row as u64));
        }
        writes.commit().expect("writes");
    }
    let mut wanted = wanted.to_vec();
    wanted.dedup();
    let queries = &data.queries[..N_QUERIES.min(data.queries.len())];
    let mut places: Vec<(usize, [Place; 2], Vec<usize>)> = Vec::new();
    for home_wanted in wanted {
        let own: Vec<usize> = all.iter().copied().filter(|&row| home(row) == home_wanted).collect();
        let alone = collection(&db, &format!("alone{home_wanted}"), dimension);
        for batch in own.chunks(1_000) {
            let documents = batch.iter().map(|&row| Document::new(data.rows[row].clone()).id(row as u64));
            alone.insert_many(documents).expect("inserts");
        }
        alone.wait_indexed().expect("links");
        let place = |namespace: Namespace| Place { namespace, exact: Vec::new() };
        places.push((home_wanted, [place(named(home_wanted)), place((*alone).clone())], own));
    }
    shared.wait_indexed().expect("links");
    while db.stats().expect("tells").collections.iter().any(|stats| stats.tail_length > 0) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for (_, pair, own) in &mut places {
        tell(name, own.len(), pair, queries, asked);
    }
    for (_, pair, own) in &mut places {
        let is_doomed = |row: &usize| data.clusters[*row].is_multiple_of(2);
        let doomed: Vec<u64> = own.iter().copied().filter(is_doomed).map(|row| row as u64).collect();
        pair.iter().for_each(|place| _ = place.namespace.delete_many(doomed.iter().copied()).expect("deletes"));
        tell(&format!("{name}, half"), own.len() - doomed.len(), pair, queries, asked);
    }
}

fn tell(name: &str, size: usize, pair: &mut [Place; 2], queries: &[Vec<f32>], asked: &Asked) {
    if size == 0 {
        return;
    }
    // The first few searches run before the truth is computed, right after documents were deleted.
    pair.iter_mut().for_each(|place| place.learn(queries));
    let (mut times, mut recalls) = ([const { Vec::new() }; 2], [0.0; 2]);
    let mut ratios = Vec::new();
    for round in 0..asked.n_pairs {
        let mut seconds = [0.0; 2];
        for at in [round % 2, 1 - round % 2] {
            (seconds[at], recalls[at]) = pair[at].ask(queries);
            times[at].push(seconds[at]);
        }
        ratios.push(seconds[1] / seconds[0]);
    }
    let rates = times.map(|times| 1.0 / median(times));
    let (low, high) = interval(&ratios);
    let ratio = median(ratios);
    let all_stats = queries.iter().map(|query| pair[0].search(query, None).stats);
    let strategies = strategies(all_stats.collect());
    if asked.is_json {
        println!(
            "{}",
            json!({"name": name, "size": size, "qps": rates[0].round(), "recall": recalls[0], "alone": rates[1].round(),
            "alone_recall": recalls[1], "ratio": ratio, "low": low, "high": high, "strategies": strategies})
        );
        return;
    }
    println!(
        "{name:22}{size:8}{:9.0}{:8.3}{:10.0}{:8.3}{ratio:7.2}  {low:.2}–{high:.2}  {strategies}",
        rates[0], recalls[0], rates[1], recalls[1]
    );
}

/// The ways that were taken, and how often.
fn strategies(all_stats: Vec<SearchStats>) -> String {
    let count = |strategy: Strategy| all_stats.iter().filter(|stats| stats.strategy == strategy).count();
    let told =
        [(Strategy::Exact, "exact"), (Strategy::Codes, "codes"), (Strategy::Graph, "graph")].map(|(strategy, name)| {
            let n = count(strategy);
            if n == 0 { String::new() } else { format!("{name} {n} ") }
        });
    let n_widened = all_stats.iter().filter(|stats| stats.widened).count();
    let n_given_up = all_stats.iter().filter(|stats| stats.gave_up).count();
    format!("{}(widened {n_widened}, given up {n_given_up})", told.concat())
}

/// The interval that holds 95 % of the medians of resampled figures.
fn interval(figures: &[f64]) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut resample = || median((0..figures.len()).map(|_| figures[random.random_range(0..figures.len())]).collect());
    let mut medians: Vec<f64> = (0..1_000).map(|_| resample()).collect();
    medians.sort_by(f64::total_cmp);
    (medians[25], medians[974])
}

/// 100,000 namespaces of at most ten documents.
fn tiny(is_json: bool) {
    const N: usize = 100_000;
    let mut random = StdRng::seed_from_u64(SEED);
    let mut clusters = Clusters::new(&mut random);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let db = Database::open_with(folder.path().join("db"), Options::new().durability(Durability::Wal)).expect("opens");
    let shared = collection(&db, "shared", Clusters::DIMENSION);
    let named = |at: usize| shared.namespace(&format!("n{at}")).expect("a name");
    for batch in (0..N).collect::<Vec<_>>().chunks(500) {
        let mut writes = db.batch();
        for &at in batch {
            let vector = clusters.draw(&mut random);
            for id in 0..=(at % 10) as u64 {
                writes.insert(&named(at), Document::new(vector.clone()).id(id));
            }
        }
        writes.commit().expect("writes");
    }
    shared.wait_indexed().expect("links");
    let places: Vec<Namespace> = (0..2_000).map(|_| named(random.random_range(0..N))).collect();
    let query = clusters.draw(&mut random);
    let round = || {
        let began = Instant::now();
        places.iter().for_each(|place| drop(place.search(&query).limit(K).with_document(false).run().expect("finds")));
        began.elapsed().as_secs_f64() * 1e6 / places.len() as f64
    };
    let micros = median((0..9).map(|_| round()).collect());
    let stats = db.stats().expect("tells").collections.swap_remove(0);
    let bytes = stats.slots_bytes as f64 / stats.n_documents as f64;
    match is_json {
        true => println!("{}", json!({"name": "tiny", "micros": micros, "slots_bytes": bytes})),
        false => {
            println!("100,000 namespaces of 1 to 10: {micros:.1} µs a search, {bytes:.0} bytes of slots a document")
        }
    }
}
