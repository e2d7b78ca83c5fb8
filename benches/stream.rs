//! The cost of replacing codes, for a stream whose distribution moves: clusters far apart, one
//! after the other.
//!
//! One thread inserts singly, while another searches among the newest 1,000. After each 1,000
//! inserts the default search is compared with the exact one. The same stream runs with codes
//! replaced and with codes kept, or twice alike to measure the machine's noise. All options are
//! numbers: `--each N` inserts into each of `--clusters N`, `--apart N` spreads between clusters,
//! `--dimension N`, spread along `--rank N` directions, `--pace N` microseconds from one insert to
//! the next, `--pairs N` runs each.

#[path = "common/shapes/mod.rs"]
mod shapes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shapes::Dice;
use vectrove::{CodeStats, Collection, CollectionConfig, Database, Document, Durability, Metric, Options};

/// Inserts between two measurements of recall, which search for the newest `STEP` rows.
const STEP: usize = 1_000;
/// Queries that recall is measured by, hits of each, and queries of the thread that searches.
const N_QUERIES: usize = 100;
const N_HITS: usize = 10;
/// Spread of a cluster in all components, as a part of its spread along its few directions.
const NOISE: f64 = 0.1;
/// Distance of a query from its row, in spreads.
const BESIDE: f64 = 0.5;
/// Bars: recall after each step, mean latency of inserts, p99 of searches, and replacements.
const LEAST_RECALL: f64 = 0.98;
const MOST_LATENCY: f64 = 1.2;
const MOST_P99: f64 = 1.5;
const LEAST_REPLACED: usize = 3;

#[derive(Clone, Copy)]
struct Size {
    n_clusters: usize,
    n_each: usize,
    apart: f64,
    dimension: usize,
    /// Directions along which clusters are spread.
    rank: usize,
    /// Microseconds from one insert to the next; 0 for full speed.
    pace: u64,
}

/// The stream, and queries near its newest rows after each step.
struct Stream {
    size: Size,
    rows: Vec<Vec<f32>>,
    queries: Vec<Vec<f32>>,
}

/// The state after some inserts.
struct Step {
    recall: f64,
    codes: CodeStats,
    tail_length: usize,
}

/// The figures of a run.
#[derive(Default)]
struct Run {
    steps: Vec<Step>,
    /// Nanoseconds of each insert, and of each search.
    inserts: Vec<u64>,
    searches: Vec<u64>,
    seconds: f64,
    /// The codes once all is linked.
    end: String,
}

impl Stream {
    fn draw(size: Size) -> Self {
        let mut dice = Dice::new(shapes::SEED);
        // Two random directions lie √2 lengths apart. The unit is √dimension: the spread of a
        // cluster in all components.
        let scale = size.apart / 2f64.sqrt();
        let directions: Vec<Vec<f64>> = (0..size.rank).map(|_| dice.normals(size.dimension)).collect();
        let spread = |dice: &mut Dice, by: f64| -> Vec<f64> {
            let mut spread: Vec<f64> = (0..size.dimension).map(|_| by * NOISE * dice.normal()).collect();
            for direction in &directions {
                let length = by * dice.normal() / (size.rank as f64).sqrt();
                spread.iter_mut().zip(direction).for_each(|(sum, x)| *sum += length * x);
            }
            spread
        };
        let mut centre: Vec<f64> = Vec::new();
        let mut rows: Vec<Vec<f32>> = Vec::new();
        for n in 0..size.n_clusters * size.n_each {
            if n % size.n_each == 0 {
                centre = dice.normals(size.dimension).into_iter().map(|x| scale * x).collect();
            }
            let spread = spread(&mut dice, 1.0);
            rows.push(centre.iter().zip(spread).map(|(x, spread)| (x + spread) as f32).collect());
        }
        let near = |at: usize, dice: &mut Dice| -> Vec<f32> {
            rows[at].iter().zip(spread(dice, BESIDE)).map(|(x, spread)| (f64::from(*x) + spread) as f32).collect()
        };
        let n_steps = rows.len() / STEP;
        let queries = (0..n_steps * N_QUERIES)
            .map(|n| {
                let at = n / N_QUERIES * STEP + dice.below(STEP);
                near(at, &mut dice)
            })
            .collect();
        Stream { size, rows, queries }
    }

    fn queries_of(&self, step: usize) -> &[Vec<f32>] {
        &self.queries[step * N_QUERIES..][..N_QUERIES]
    }

    fn run(self: &Arc<Self>, adapts: bool) -> Run {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options::new().durability(Durability::Wal);
        let db = Database::open_with(folder.path().join("db"), options).expect("opens");
        let config = CollectionConfig::new(self.size.dimension).metric(Metric::Euclidean).adapt_codes(adapts);
        let collection = db.create_collection("stream", config).expect("is created");
        let (step, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let pauses = Arc::new(parking_lot::RwLock::new(()));
        let searching = {
            let (stream, collection, step) = (self.clone(), collection.clone(), step.clone());
            let (is_over, pauses) = (is_over.clone(), pauses.clone());
            std::thread::spawn(move || {
                let mut searches = Vec::new();
                for n in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let _runs = pauses.read();
                    let newest = step.load(Ordering::Relaxed).saturating_sub(1);
                    let query = &stream.queries_of(newest)[n % N_QUERIES];
                    let began = Instant::now();
                    search(&collection, query, false);
                    searches.push(began.elapsed().as_nanos() as u64);
                    // Searches come now and then, as from an agent, and leave a core to other
                    // threads.
                    std::thread::sleep(Duration::from_micros(500));
                }
                searches
            })
        };
        let mut run = Run::default();
        let (mut began, mut seconds) = (Instant::now(), 0.0);
        for (n, row) in self.rows.iter().enumerate() {
            let document = Document::new(row.as_slice()).id(n as u64);
            let before = Instant::now();
            collection.insert(document).expect("is inserted");
            let took = before.elapsed();
            run.inserts.push(took.as_nanos() as u64);
            if let Some(rest) = Duration::from_micros(self.size.pace).checked_sub(took) {
                std::thread::sleep(rest);
            }
            if (n + 1) % STEP == 0 {
                seconds += began.elapsed().as_secs_f64();
                // Measuring must not slow down the two threads.
                let _still = pauses.write();
                let stats = &db.stats().expect("stats").collections[0];
                let (codes, tail_length) = (stats.codes.expect("codes"), stats.tail_length);
                let recall = recall(&collection, self.queries_of(n / STEP));
                run.steps.push(Step { recall, codes, tail_length });
                step.store((n + 1) / STEP, Ordering::Relaxed);
                began = Instant::now();
            }
        }
        run.seconds = seconds;
        is_over.store(true, Ordering::Relaxed);
        run.searches = searching.join().expect("searches");
        let began = Instant::now();
        collection.wait_indexed().expect("is linked");
        let codes = db.stats().expect("stats").collections[0].codes.expect("codes");
        let last = self.queries_of(self.rows.len() / STEP - 1);
        run.end = format!(
            "{:.1} s later all is linked: recall {:.3}, {codes:?}",
            began.elapsed().as_secs_f64(),
            recall(&collection, last)
        );
        run
    }
}

/// Distances of the nearest.
fn search(collection: &Collection, query: &[f32], exact: bool) -> Vec<f32> {
    let hits = collection.search(query).limit(N_HITS).exact(exact).with_document(false).run().expect("finds");
    hits.iter().map(|hit| hit.distance).collect()
}

fn recall(collection: &Collection, queries: &[Vec<f32>]) -> f64 {
    let n_found = |query: &Vec<f32>| {
        let (truth, found) = (search(collection, query, true), search(collection, query, false));
        found.iter().filter(|distance| **distance <= truth[truth.len() - 1] * 1.000_01).count()
    };
    queries.iter().map(n_found).sum::<usize>() as f64 / (N_HITS * queries.len()) as f64
}

impl Run {
    fn latency(&self) -> f64 {
        mean(&self.inserts)
    }

    fn least_recall(&self) -> f64 {
        self.steps.iter().map(|step| step.recall).fold(1.0, f64::min)
    }

    fn n_replaced(&self) -> usize {
        self.steps.last().map_or(0, |step| step.codes.n_replaced)
    }

    fn n_low(&self) -> usize {
        self.steps.iter().filter(|step| step.recall < LEAST_RECALL).count()
    }
}

fn mean(times: &[u64]) -> f64 {
    times.iter().sum::<u64>() as f64 / times.len().max(1) as f64
}

fn quantile(times: &[u64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default() as f64
}

fn print_steps(size: Size, adapting: &Run, kept: &Run) {
    println!(
        "\n| inserts | cluster | codes | replaced | code recall (measured at) | tail | recall | insert µs \
         | kept: tail | recall | insert µs |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for (at, (one, other)) in adapting.steps.iter().zip(&kept.steps).enumerate() {
        let of_step = |run: &Run| mean(&run.inserts[at * STEP..][..STEP]) / 1e3;
        let CodeStats { kind, n_replaced, n_measured, code_recall, .. } = one.codes;
        let gauge = code_recall.map_or_else(|| "none".to_owned(), |recall| format!("{recall:.3} ({n_measured})"));
        let low = if one.recall < LEAST_RECALL { " <" } else { "" };
        println!(
            "| {} | {} | {kind:?} | {n_replaced} | {gauge} | {} | {:.3}{low} | {:.0} | {} | {:.3} | {:.0} |",
            (at + 1) * STEP,
            at * STEP / size.n_each + 1,
            one.tail_length,
            one.recall,
            of_step(adapting),
            other.tail_length,
            other.recall,
            of_step(kept)
        );
    }
    println!("\ncodes replaced: {}\ncodes kept: {}", adapting.end, kept.end);
}

fn print_summary(adapting: &Run, kept: &Run) {
    let line = |what: &str, one: f64, other: f64, bar: &str| {
        println!("| {what} | {one:.1} | {other:.1} | {:.2} | {bar} |", one / other);
    };
    println!("\n| | codes replaced | codes kept | ratio | bar |\n|---|---|---|---|---|");
    line("mean insert, µs", adapting.latency() / 1e3, kept.latency() / 1e3, &format!("≤ {MOST_LATENCY}"));
    for (what, share, bar) in
        [("p50", 0.5, String::new()), ("p99", 0.99, format!("≤ {MOST_P99}")), ("p99.9", 0.999, String::new())]
    {
        let of = |run: &Run| quantile(&run.searches, share) / 1e3;
        line(&format!("search {what}, µs"), of(adapting), of(kept), &bar);
    }
    line("insert p99, µs", quantile(&adapting.inserts, 0.99) / 1e3, quantile(&kept.inserts, 0.99) / 1e3, "");
    line("seconds", adapting.seconds, kept.seconds, "");
    println!("| least recall | {:.3} | {:.3} | | ≥ {LEAST_RECALL} |", adapting.least_recall(), kept.least_recall());
    println!("| steps below | {} of {} | {} | | 0 |", adapting.n_low(), adapting.steps.len(), kept.n_low());
    println!("| replaced | {} | {} | | ≥ {LEAST_REPLACED} |", adapting.n_replaced(), kept.n_replaced());
    println!("| searches | {} | {} | | |", adapting.searches.len(), kept.searches.len());
}

fn option(name: &str, default: usize) -> usize {
    let words: Vec<String> = std::env::args().collect();
    let value = words.iter().position(|word| *word == format!("--{name}")).and_then(|at| words.get(at + 1));
    value.map_or(default, |text| text.parse().expect("a number"))
}

fn main() {
    let size = Size {
        n_clusters: option("clusters", 10),
        n_each: option("each", 10_000),
        apart: option("apart", 20_000) as f64,
        dimension: option("dimension", 64),
        rank: option("rank", 16),
        pace: option("pace", 300) as u64,
    };
    let stream = Arc::new(Stream::draw(size));
    println!(
        "{} clusters of {} rows, {} spreads apart, {} dimensions, Euclidean; {} µs an insert at least",
        size.n_clusters, size.n_each, size.apart, size.dimension, size.pace
    );
    for pair in 0..option("pairs", 1) {
        // Each second time, the other run goes first.
        let first = stream.run(pair % 2 == 0);
        let second = stream.run(pair % 2 == 1);
        let (adapting, kept) = if pair % 2 == 0 { (first, second) } else { (second, first) };
        print_steps(size, &adapting, &kept);
        print_summary(&adapting, &kept);
    }
}
